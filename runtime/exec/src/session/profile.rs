//! Where the time of runs goes, by kind of step.

use super::progress::describe_step;
use einmesh_artifact::{Manifest, Step};
use std::collections::BTreeMap;
use std::time::Duration;

/// The time of all executions of one kernel, copy or collective, on all devices.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StepTime {
    /// What it does, in a few words.
    pub what: String,
    /// How often it was done.
    pub count: u64,
    /// How long all of them took together.
    pub time: Duration,
}

/// The times so far. Kernels of one name are told apart by their number.
#[derive(Clone, Default, Debug)]
pub(super) struct Profile(BTreeMap<(Option<u32>, String), (u64, Duration)>);

impl Profile {
    /// Adds one execution of a step.
    pub(super) fn add(&mut self, manifest: &Manifest, step: &Step, time: Duration) {
        let kernel = match step {
            // What loops contain is counted by itself, and swaps are bookkeeping.
            Step::Loop { .. } | Step::Swap { .. } => return,
            Step::Launch { kernel, .. } => Some(*kernel),
            Step::Copy { .. } | Step::Collective { .. } => None,
        };
        let entry = self.0.entry((kernel, describe_step(manifest, step))).or_default();
        entry.0 += 1;
        entry.1 += time;
    }

    /// Adds the times of a later run.
    pub(super) fn merge(&mut self, later: Profile) {
        for (key, (count, time)) in later.0 {
            let entry = self.0.entry(key).or_default();
            entry.0 += count;
            entry.1 += time;
        }
    }

    /// The times, the longest first.
    pub(super) fn times(&self) -> Vec<StepTime> {
        let row = |((_, what), (count, time)): (&(Option<u32>, String), &(u64, Duration))| {
            StepTime { what: what.clone(), count: *count, time: *time }
        };
        let mut times: Vec<StepTime> = self.0.iter().map(row).collect();
        times.sort_by_key(|t| std::cmp::Reverse(t.time));
        times
    }
}
