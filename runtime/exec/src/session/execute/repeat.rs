//! Loops, and what they do one iteration ahead.

use super::super::gang::Beside;
use super::super::launch::{self, Tasks, Work, thread_number};
use super::super::machine::Machine;
use super::super::work::{Arguments, Copy, Exchange, Tiles};
use super::Ctx;
use crate::error::RunError;
use einmesh_artifact::{Ahead, Step};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// A step that is done ahead, with all that it needs.
enum Prepared {
    Launch { kernel: u32, arguments: Arguments },
    Copy(Copy),
    Exchange(Exchange),
}

impl Ctx<'_> {
    pub(super) fn repeat(&mut self, step: &Step) -> Result<(), RunError> {
        let Step::Loop { counter, extent, reversed, condition, ahead, steps } = step else {
            unreachable!("the executor calls this for loops");
        };
        let (counter, extent) = (*counter as usize, *extent);
        let position = |i: u64| (if *reversed { extent - 1 - i } else { i }) as i64;
        if extent > 0 && !ahead.is_empty() {
            self.machine.progress.iterate(0, extent);
            self.counters[counter] = position(0);
            self.beside(ahead, None, |_| Ok(()))?;
        }
        for i in 0..extent {
            if let Some(condition) = condition
                && !self.holds(*condition)?
            {
                break;
            }
            self.machine.progress.iterate(i, extent);
            for (next, now) in &ahead.handed {
                self.slots.swap(*next as usize, *now as usize);
            }
            self.counters[counter] = position(i);
            match i + 1 < extent && !ahead.is_empty() {
                true => {
                    let next = (counter, position(i + 1));
                    self.beside(ahead, Some(next), |ctx| ctx.block(steps))?;
                }
                false => self.block(steps)?,
            }
        }
        Ok(())
    }

    /// Does what is done ahead, and `steps` meanwhile. What is done ahead finds the counter as `next` says.
    fn beside(
        &mut self,
        ahead: &Ahead,
        next: Option<(usize, i64)>,
        steps: impl FnOnce(&mut Self) -> Result<(), RunError>,
    ) -> Result<(), RunError> {
        let machine = self.machine;
        let (gang, progress) = (&machine.gang, &machine.progress);
        let prepared = self.prepare(ahead, next)?;
        let parts = prepared.iter().enumerate();
        let parts = parts.flat_map(|(n, p)| p.works(machine).into_iter().map(move |w| (n, w)));
        let parts: Vec<(usize, Part)> = parts.collect();
        let tasks: Vec<Tasks> = parts.iter().map(|(_, part)| Tasks::beside(part.work())).collect();
        let measured: Option<Vec<AtomicU64>> =
            self.profile.is_some().then(|| tasks.iter().map(|_| AtomicU64::new(0)).collect());
        let runs: Vec<_> = (tasks.iter().enumerate())
            .map(|(n, tasks)| {
                let measured = measured.as_ref();
                move |task| {
                    let start = measured.map(|_| Instant::now());
                    tasks.run(task);
                    if let (Some(measured), Some(start)) = (measured, start) {
                        let time = start.elapsed().as_nanos() as u64;
                        measured[n].fetch_add(time, Ordering::Relaxed);
                    }
                }
            })
            .collect();
        let jobs: Vec<Beside> =
            runs.iter().zip(&tasks).map(|(run, tasks)| Beside::new(tasks.count, run)).collect();
        let done = gang.beside(
            thread_number(),
            &jobs,
            || steps(self),
            |job| progress.reach_ahead(parts[job].0),
        );
        drop(jobs);
        drop(runs);
        done?;
        for ((step, _), tasks) in parts.iter().zip(tasks) {
            progress.reach_ahead(*step);
            tasks.result(machine)?;
        }
        progress.leave_ahead();
        if let (Some(profile), Some(measured)) = (&mut self.profile, measured) {
            let mut times = vec![Duration::ZERO; ahead.steps.len()];
            for ((step, _), time) in parts.iter().zip(measured) {
                times[*step] += Duration::from_nanos(time.into_inner());
            }
            for (step, time) in ahead.steps.iter().zip(times) {
                profile.add(machine.manifest(), step, time);
            }
        }
        Ok(())
    }

    /// The steps that are done ahead, with the memory that buffers have now and the counters that they will find.
    fn prepare(
        &mut self,
        ahead: &Ahead,
        next: Option<(usize, i64)>,
    ) -> Result<Vec<Prepared>, RunError> {
        let now = next.map(|(counter, value)| {
            (counter, std::mem::replace(&mut self.counters[counter], value))
        });
        let prepared = ahead.steps.iter().map(|step| self.prepare_step(step)).collect();
        if let Some((counter, value)) = now {
            self.counters[counter] = value;
        }
        prepared
    }

    fn prepare_step(&self, step: &Step) -> Result<Prepared, RunError> {
        match step {
            Step::Launch { kernel, operands, ints } => {
                let mut arguments = Arguments::default();
                self.fill(&mut arguments, operands, ints);
                Ok(Prepared::Launch { kernel: *kernel, arguments })
            }
            Step::Copy { from, to } => {
                let copy = self.to_copy(*from, *to);
                match copy.is_apart() {
                    true => Ok(Prepared::Copy(copy)),
                    false => Err(self.overlap(0)),
                }
            }
            Step::Collective { kind, axes, input, output } => {
                self.exchange(kind, axes, *input, *output).map(Prepared::Exchange)
            }
            Step::Loop { .. } | Step::Swap { .. } => {
                unreachable!("validation refuses loops and swaps ahead")
            }
        }
    }

    /// Whether a loop's condition is true; an error if the devices do not agree.
    fn holds(&self, condition: u32) -> Result<bool, RunError> {
        let holds = |device: usize| {
            // SAFETY: validation found the buffer to be one truth value, and no task runs that writes
            // it. The byte is read as a number: what a kernel wrote need not be 0 or 1.
            unsafe { self.pointer(device, condition).read() != 0 }
        };
        let first = holds(0);
        match (1..self.machine.devices.len()).find(|device| holds(*device) != first) {
            None => Ok(first),
            Some(device) => {
                let name = &self.machine.manifest().buffers[condition as usize].name;
                let reason = format!(
                    "the loop's condition `{name}` is {} here and {first} on rank 0; this is a bug of the \
                     compiler",
                    !first
                );
                Err(launch::failed(self.machine, device as u64, reason))
            }
        }
    }
}

impl Prepared {
    /// What has to be done for the step, one after the other.
    fn works<'a>(&'a self, machine: &'a Machine) -> Vec<Part<'a>> {
        match self {
            Prepared::Launch { kernel, arguments } => {
                let phases = machine.module.kernels[*kernel as usize].iter();
                let tiles = phases.map(|phase| Tiles { machine, phase, arguments, ahead: true });
                tiles.map(Part::Tiles).collect()
            }
            Prepared::Copy(copy) => vec![Part::Whole(copy)],
            Prepared::Exchange(exchange) => vec![Part::Whole(exchange)],
        }
    }
}

/// A kernel's phase, or a whole step.
enum Part<'a> {
    Tiles(Tiles<'a>),
    Whole(&'a dyn Work),
}

impl Part<'_> {
    fn work(&self) -> &dyn Work {
        match self {
            Part::Tiles(tiles) => tiles,
            Part::Whole(work) => *work,
        }
    }
}
