//! The executor: walks the steps once, doing each for all devices before the next.

mod repeat;

use super::launch;
use super::machine::Machine;
use super::profile::Profile;
use super::work::{Arguments, Copy, Exchange, Tiles};
use crate::collective::{Members, Pattern};
use crate::error::RunError;
use einmesh_artifact::{Collective, Int, Step};
use std::time::Instant;

/// What a run leaves behind.
pub(super) struct Finished {
    /// Which memory each buffer has.
    pub(super) slots: Vec<u32>,
    /// The times of its steps, if they were wanted.
    pub(super) profile: Option<Profile>,
}

/// Runs all steps.
pub(super) fn execute(machine: &Machine, profile: bool) -> Result<Finished, RunError> {
    machine.progress.restart();
    let mut ctx = Ctx {
        machine,
        slots: machine.initial_slots(),
        counters: vec![0; machine.manifest().loops as usize],
        arguments: Arguments::default(),
        profile: profile.then(Profile::default),
    };
    ctx.block(&machine.manifest().steps)?;
    ctx.settle_donated();
    ctx.update_inputs();
    Ok(Finished { slots: ctx.slots, profile: ctx.profile })
}

struct Ctx<'a> {
    machine: &'a Machine,
    /// For each buffer, whose home memory it has: swaps exchange the entries.
    slots: Vec<u32>,
    /// The loops' counters.
    counters: Vec<i64>,
    /// The arguments of the launch under way; kept to reuse the memory.
    arguments: Arguments,
    /// The times so far, if they are wanted.
    profile: Option<Profile>,
}

impl Ctx<'_> {
    fn block(&mut self, steps: &[Step]) -> Result<(), RunError> {
        let machine = self.machine;
        machine.progress.enter();
        for (i, step) in steps.iter().enumerate() {
            machine.progress.reach(i);
            let start = self.profile.is_some().then(Instant::now);
            self.step(step)?;
            if let (Some(profile), Some(start)) = (&mut self.profile, start) {
                profile.add(machine.manifest(), step, start.elapsed());
            }
        }
        machine.progress.leave();
        Ok(())
    }

    fn step(&mut self, step: &Step) -> Result<(), RunError> {
        match step {
            Step::Launch { kernel, operands, ints } => self.launch(*kernel, operands, ints),
            Step::Loop { .. } => self.repeat(step),
            Step::Copy { from, to } => self.copy(*from, *to),
            Step::Swap { a, b } => {
                self.slots.swap(*a as usize, *b as usize);
                Ok(())
            }
            Step::Collective { kind, axes, input, output } => {
                let exchange = self.exchange(kind, axes, *input, *output)?;
                launch::parallel(self.machine, &exchange)
            }
        }
    }

    fn launch(&mut self, kernel: u32, operands: &[u32], ints: &[Int]) -> Result<(), RunError> {
        let machine = self.machine;
        let mut arguments = std::mem::take(&mut self.arguments);
        self.fill(&mut arguments, operands, ints);
        for phase in &machine.module.kernels[kernel as usize] {
            let tiles = Tiles { machine, phase, arguments: &arguments, ahead: false };
            launch::parallel(machine, &tiles)?;
        }
        self.arguments = arguments;
        Ok(())
    }

    /// The arguments of a launch, in memory that may be used again.
    fn fill(&self, arguments: &mut Arguments, operands: &[u32], ints: &[Int]) {
        let machine = self.machine;
        arguments.operands.clear();
        arguments.ints.clear();
        arguments.operands_each = operands.len();
        arguments.ints_each = ints.len();
        for (device, place) in machine.devices.iter().enumerate() {
            let pointers = operands.iter().map(|b| self.pointer(device, *b));
            arguments.operands.extend(pointers);
            arguments.ints.extend(ints.iter().map(|int| match int {
                Int::Counter(counter) => self.counters[*counter as usize],
                Int::Coord(axis) => place.coordinates[*axis as usize] as i64,
            }));
        }
        let touched = operands.iter().map(|b| machine.sizes[*b as usize]);
        arguments.bytes = touched.sum::<u64>() * machine.devices.len() as u64;
    }

    fn copy(&self, from: u32, to: u32) -> Result<(), RunError> {
        let copy = self.to_copy(from, to);
        if from == to || copy.is_apart() {
            return if from == to { Ok(()) } else { launch::parallel(self.machine, &copy) };
        }
        for (from, to) in copy.addresses {
            // SAFETY: both buffers have `each` bytes; overlapping is allowed.
            unsafe { (to as *mut u8).copy_from(from as *const u8, copy.each as usize) };
        }
        Ok(())
    }

    fn to_copy(&self, from: u32, to: u32) -> Copy {
        let addresses = (0..self.machine.devices.len()).map(|device| {
            let [from, to] = [from, to].map(|buffer| self.pointer(device, buffer) as usize);
            (from, to)
        });
        Copy { each: self.machine.sizes[to as usize], addresses: addresses.collect() }
    }

    fn exchange(
        &self,
        kind: &Collective,
        axes: &[u32],
        input: u32,
        output: u32,
    ) -> Result<Exchange, RunError> {
        let machine = self.machine;
        let manifest = machine.manifest();
        self.refuse_overlap(kind, input, output)?;
        let groups = manifest.groups(axes);
        let size = groups.first().map_or(1, Vec::len) as u64;
        let groups = groups.iter().map(|group| {
            let pointers = |buffer| group.iter().map(move |r| self.pointer(*r as usize, buffer));
            let members = Members {
                inputs: pointers(input).map(<*mut u8>::cast_const).collect(),
                outputs: pointers(output).collect(),
            };
            (group[0], members)
        });
        let buffer = &manifest.buffers[input as usize];
        Ok(Exchange {
            pattern: Pattern::new(kind, size, &buffer.extents),
            reduction: match kind {
                Collective::AllReduce { reduction } => Some(*reduction),
                Collective::ReduceScatter { reduction, .. } => Some(*reduction),
                _ => None,
            },
            dtype: buffer.dtype,
            groups: groups.collect(),
            bytes: machine.sizes[input as usize] * machine.devices.len() as u64,
        })
    }

    /// Members read each other's inputs while outputs are written: their memory must be apart, but
    /// for all-reduce in place, where each element is read from all before it is written.
    fn refuse_overlap(&self, kind: &Collective, input: u32, output: u32) -> Result<(), RunError> {
        let in_place = matches!(kind, Collective::AllReduce { .. });
        for rank in 0..self.machine.devices.len() {
            let from = self.pointer(rank, input) as u64;
            let to = self.pointer(rank, output) as u64;
            if in_place && from == to {
                continue;
            }
            let sizes = &self.machine.sizes;
            let (given, received) = (sizes[input as usize], sizes[output as usize]);
            if from < to + received && to < from + given {
                return Err(self.overlap(rank as u64));
            }
        }
        Ok(())
    }

    fn overlap(&self, rank: u64) -> RunError {
        let reason = "its input and output overlap in memory; this is a bug of the compiler";
        launch::failed(self.machine, rank, reason.to_owned())
    }

    /// Puts outputs that take over an input's memory there, if swaps have left them elsewhere: the
    /// next run starts without swaps. Contents are exchanged, so that nothing is lost.
    fn settle_donated(&mut self) {
        let machine = self.machine;
        for output in machine.manifest().outputs.iter().filter(|o| o.donor.is_some()) {
            let (buffer, slot) = (output.buffer, self.slots[output.buffer as usize]);
            if slot == buffer {
                continue;
            }
            let Some(tenant) = self.slots.iter().position(|s| *s == buffer) else {
                // Slots are a permutation: some buffer has it.
                continue;
            };
            for device in &machine.devices {
                let (a, b) = (device.home[buffer as usize], device.home[slot as usize]);
                let bytes = machine.sizes[buffer as usize] as usize;
                // SAFETY: swaps only exchange buffers of the same size, both are this device's, and
                // no task runs any more. The two are different buffers' memory; should a compiler
                // have laid them over each other, neither could have held a value at the end.
                unsafe { swap_bytes(a, b, bytes) };
            }
            self.slots.swap(buffer as usize, tenant);
        }
    }

    /// Copies new values of inputs that were computed elsewhere into the inputs' memory, so that the
    /// next run goes on from them in any case.
    fn update_inputs(&self) {
        let machine = self.machine;
        let manifest = machine.manifest();
        for (input, output) in manifest.inputs.iter().zip(manifest.new_values()) {
            let Some(output) = output.map(|o| &manifest.outputs[o]) else {
                continue;
            };
            if output.donor.is_some() || !output.same_layout(input) {
                continue;
            }
            for (rank, device) in machine.devices.iter().enumerate() {
                let from = self.pointer(rank, output.buffer);
                let to = device.home[input.buffer as usize];
                let bytes = machine.sizes[input.buffer as usize] as usize;
                // SAFETY: both have the size of the same layout, and no task runs any more.
                unsafe { to.copy_from(from, bytes) };
            }
        }
    }

    fn pointer(&self, device: usize, buffer: u32) -> *mut u8 {
        self.machine.devices[device].home[self.slots[buffer as usize] as usize]
    }
}

/// Exchanges two blocks of memory, byte by byte in order, whether or not they overlap.
///
/// # Safety
///
/// Both must be valid for this many bytes.
unsafe fn swap_bytes(a: *mut u8, b: *mut u8, bytes: usize) {
    for i in 0..bytes {
        // SAFETY: the caller vouches for the range; single bytes never overlap partially.
        unsafe {
            let (x, y) = (a.add(i).read(), b.add(i).read());
            a.add(i).write(y);
            b.add(i).write(x);
        }
    }
}
