//! Where a run is: for error messages and the watchdog.

use einmesh_artifact::{Collective, Manifest, Step};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The position in the step tree, and a counter that moves as long as anything does.
#[derive(Default)]
pub(super) struct Progress {
    /// Orders nothing: the watchdog only looks whether it has changed.
    ticks: AtomicU64,
    frames: Mutex<Vec<Frame>>,
}

/// A level of nesting.
#[derive(Clone, Copy, Default)]
struct Frame {
    step: usize,
    /// Which iteration of how many, if the step is a loop that has been entered.
    iteration: Option<(u64, u64)>,
    /// The step that is done for the next iteration, if the loop is at that.
    ahead: Option<usize>,
}

impl Progress {
    /// Notes that something has been done.
    pub(super) fn tick(&self) {
        self.ticks.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn ticks(&self) -> u64 {
        self.ticks.load(Ordering::Relaxed)
    }

    /// Forgets an earlier run.
    pub(super) fn restart(&self) {
        self.frames().clear();
    }

    /// Enters a list of steps.
    pub(super) fn enter(&self) {
        self.frames().push(Frame::default());
    }

    /// Leaves a list of steps.
    pub(super) fn leave(&self) {
        self.frames().pop();
    }

    /// Reaches a step of the innermost list.
    pub(super) fn reach(&self, step: usize) {
        self.tick();
        if let Some(frame) = self.frames().last_mut() {
            *frame = Frame { step, ..Frame::default() };
        }
    }

    /// Reaches an iteration of the innermost list's current step, a loop.
    pub(super) fn iterate(&self, iteration: u64, extent: u64) {
        if let Some(frame) = self.frames().last_mut() {
            frame.iteration = Some((iteration, extent));
        }
    }

    /// Reaches a step of what the innermost list's current step, a loop, does ahead.
    pub(super) fn reach_ahead(&self, step: usize) {
        if let Some(frame) = self.frames().last_mut() {
            frame.ahead = Some(step);
        }
    }

    /// Leaves what is done ahead.
    pub(super) fn leave_ahead(&self) {
        if let Some(frame) = self.frames().last_mut() {
            frame.ahead = None;
        }
    }

    /// The current operation and its place, for messages.
    pub(super) fn describe(&self, manifest: &Manifest) -> (String, String) {
        let frames = self.frames().clone();
        let mut steps = &manifest.steps;
        let mut op = "nothing".to_owned();
        let mut place: Vec<String> = Vec::new();
        for frame in frames {
            let Some(step) = steps.get(frame.step) else {
                break;
            };
            op = describe_step(manifest, step);
            place.push(format!("step {}", frame.step));
            if let Some((iteration, extent)) = frame.iteration {
                place.push(format!("iteration {iteration} of {extent}"));
            }
            if let Step::Loop { steps: inner, ahead, .. } = step {
                steps = inner;
                if let Some((n, step)) = frame.ahead.and_then(|n| Some((n, ahead.steps.get(n)?))) {
                    op = describe_step(manifest, step);
                    place.push(format!("step {n} of what is done ahead"));
                    break;
                }
            }
        }
        (op, place.join(", "))
    }

    /// The frames; a panic elsewhere leaves them whole, since each change is one assignment.
    fn frames(&self) -> MutexGuard<'_, Vec<Frame>> {
        self.frames.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a step does, in a few words.
pub(super) fn describe_step(manifest: &Manifest, step: &Step) -> String {
    let buffer = |i: u32| &manifest.buffers[i as usize].name;
    match step {
        Step::Launch { kernel, .. } => match manifest.kernels.get(*kernel as usize) {
            Some(described) => format!("kernel `{}`", described.name),
            // A module of native functions has no descriptions.
            None => format!("kernel {kernel}"),
        },
        Step::Loop { .. } => "a loop".to_owned(),
        Step::Copy { from, to } => format!("copy of `{}` to `{}`", buffer(*from), buffer(*to)),
        Step::Swap { a, b } => format!("swap of `{}` and `{}`", buffer(*a), buffer(*b)),
        Step::Collective { kind, axes, input, .. } => {
            let axes = axes.iter().map(|a| manifest.mesh[*a as usize].name.as_str());
            let axes: Vec<&str> = axes.collect();
            let name = collective_name(kind);
            format!("{name} of `{}` over {}", buffer(*input), axes.join(", "))
        }
    }
}

fn collective_name(kind: &Collective) -> &'static str {
    match kind {
        Collective::AllReduce { .. } => "all_reduce",
        Collective::AllGather { .. } => "all_gather",
        Collective::ReduceScatter { .. } => "reduce_scatter",
        Collective::AllToAll { .. } => "all_to_all",
        Collective::CollectivePermute { .. } => "collective_permute",
    }
}
