//! The entries of one `.ein` file, compiled into the binary.

use super::call::Call;
use super::record::{self, Leaves};
use super::runner::{Known, Runner};
use crate::error::Error;
use crate::files::SafeTensors;
use einmesh_artifact::Artifact;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The entries that `program!` or `einmesh-build` has compiled from one `.ein` file, as the static `MODEL` of their
/// module.
///
/// Entries share the memory of parameters that both have, and read a tensor only if it was written since. Calls may
/// come from any thread; they run one after another, each on all threads of the model.
pub struct Model {
    entries: &'static [(&'static str, &'static [u8])],
    state: Mutex<State>,
}

/// What a model has in memory.
pub(super) struct State {
    pub runners: Vec<(usize, Runner)>,
    pub known: Known,
    threads: Option<usize>,
}

impl State {
    /// Forgets all that is in memory: after a failed run nobody knows what it is.
    pub fn reset(&mut self) {
        self.runners.clear();
        self.known.clear();
    }
}

impl Model {
    /// A model of these entries: names and artifacts.
    #[doc(hidden)]
    pub const fn new(entries: &'static [(&'static str, &'static [u8])]) -> Model {
        let state = State { runners: Vec::new(), known: Known::new(), threads: None };
        Model { entries, state: Mutex::new(state) }
    }

    /// Sets how many threads compute, from the next call on; without it, as many as the process may use CPUs.
    /// Results do not depend on it.
    pub fn set_threads(&self, threads: usize) {
        let mut state = self.state();
        state.reset();
        state.threads = Some(threads.max(1));
    }

    /// Gives all memory back to the system. The next call takes what it needs again.
    pub fn release(&self) {
        self.state().reset();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // A panic while it was held has left sessions that take turns themselves, and nothing half written.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn artifact(&self, entry: usize) -> Result<Artifact, Error> {
        Ok(Artifact::read(self.entries[entry].1)?)
    }

    /// Begins a call of an entry, by its number.
    #[doc(hidden)]
    pub fn call(&self, entry: usize) -> Result<Call<'_>, Error> {
        let mut state = self.state();
        let found = state.runners.iter().position(|(number, _)| *number == entry);
        let runner = match found {
            Some(runner) => runner,
            None => {
                let artifact = self.artifact(entry)?;
                let beside = state.runners.iter().map(|(_, runner)| runner);
                let beside = beside.into_iter().find(|r| r.has_mesh_of(&artifact.manifest));
                let runner = Runner::new(&artifact, beside, state.threads)?;
                state.runners.push((entry, runner));
                state.runners.len() - 1
            }
        };
        Ok(Call::new(state, runner))
    }

    /// The leaves of an argument from a checkpoint.
    #[doc(hidden)]
    pub fn load(&self, entry: usize, argument: &str, path: &Path) -> Result<Leaves, Error> {
        let manifest = self.artifact(entry)?.manifest;
        record::load(&manifest, argument, &SafeTensors::open(path)?)
    }

    /// A record's leaves, to be saved under their names in checkpoints.
    #[doc(hidden)]
    pub fn save<'a>(&self, entry: usize, argument: &str) -> Result<record::Saved<'a>, Error> {
        let manifest = self.artifact(entry)?.manifest;
        Ok(record::Saved::new(&manifest, argument))
    }
}
