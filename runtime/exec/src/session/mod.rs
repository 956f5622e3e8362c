//! Sessions: a module with memory for all devices of its mesh.

mod execute;
mod gang;
mod inputs;
mod launch;
mod machine;
mod panels;
mod profile;
mod progress;
mod results;
mod shards;
mod work;

use crate::error::RunError;
use crate::module::Module;
use crate::tensors::{Tensor, Value};
use einmesh_artifact::Manifest;
use execute::Finished;
use machine::Machine;
use profile::Profile;
pub use profile::StepTime;
use rayon::prelude::*;
pub use results::Results;
use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How a session runs.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Threads that compute. Results do not depend on it.
    pub threads: usize,
    /// How long a run may make no progress before it is given up.
    pub watchdog: Duration,
    /// Whether to measure how long each kernel, copy and collective takes.
    pub profile: bool,
}

impl Default for Options {
    /// As many threads as the process may use CPUs, and five minutes.
    fn default() -> Options {
        Options {
            threads: std::thread::available_parallelism().map_or(1, |n| n.get()),
            watchdog: Duration::from_secs(300),
            profile: false,
        }
    }
}

/// A loaded program with its memory: bind all inputs, run, read the outputs; again as often as wanted.
///
/// A model has several programs: one reads a prompt, another makes one step. [`Session::beside`] gives
/// each a session of its own; parameters are in memory once, and what one program leaves in an `inout`
/// input the next goes on from, without a copy.
pub struct Session {
    machine: Arc<Machine>,
    family: Arc<Family>,
    watchdog: Duration,
    /// The number of runs so far.
    runs: u64,
    /// Which memory each buffer has had since the last run's swaps.
    slots: Vec<u32>,
    /// The times of all runs, if they are wanted.
    profile: Option<Profile>,
}

/// What sessions beside one another have in common.
struct Family {
    pool: rayon::ThreadPool,
    threads: usize,
    /// Whose turn it is: held by a session while it binds, runs or reads. The first error of a run,
    /// after which memory is in no known state.
    turn: Mutex<Option<String>>,
}

impl Family {
    /// Waits for the turn; refused after a failed run.
    fn turn(&self) -> Result<MutexGuard<'_, Option<String>>, RunError> {
        // A panic while the turn was held left no run under way: runs are on other threads.
        let turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        match &*turn {
            Some(reason) => Err(RunError::Poisoned(reason.clone())),
            None => Ok(turn),
        }
    }
}

impl Session {
    /// Allocates the memory of all devices and starts the threads.
    pub fn new(module: Module, options: Options) -> Result<Session, RunError> {
        let threads = options.threads.max(1);
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .thread_name(|i| format!("einmesh-{i}"))
            .build()
            .map_err(|e| RunError::Threads { threads, reason: e.to_string() })?;
        let family = Family { pool, threads, turn: Mutex::new(None) };
        let machine = Machine::new(module, threads, None)?;
        Ok(Session::of(machine, Arc::new(family), options.watchdog, options.profile))
    }

    /// A session for another program of the same model: it runs on the same threads, and inputs that
    /// both programs have, under one path with one type and placement, are the same memory. Bound in one,
    /// they are bound in both, and a run of one that updates an `inout` input updates the other's.
    ///
    /// Not shared is an input that `module` updates and this program only reads. Sessions beside one
    /// another take turns: what one starts waits until the others have ended what they do.
    pub fn beside(&self, module: Module) -> Result<Session, RunError> {
        let own = self.manifest();
        if module.manifest.mesh != own.mesh {
            return Err(RunError::Beside {
                entry: module.manifest.entry.clone(),
                first: own.entry.clone(),
            });
        }
        let machine = Machine::new(module, self.family.threads, Some(&self.machine))?;
        let family = Arc::clone(&self.family);
        Ok(Session::of(machine, family, self.watchdog, self.profile.is_some()))
    }

    fn of(machine: Machine, family: Arc<Family>, watchdog: Duration, profile: bool) -> Session {
        Session {
            slots: machine.initial_slots(),
            machine: Arc::new(machine),
            family,
            watchdog,
            runs: 0,
            profile: profile.then(Profile::default),
        }
    }

    /// The program's description.
    pub fn manifest(&self) -> &Manifest {
        self.machine.manifest()
    }

    /// Cuts a whole tensor into the devices' shards and converts its elements. `input` counts
    /// [`Manifest::inputs`]. A run leaves an `inout` input with its new value, until it is bound again.
    pub fn bind(&mut self, input: usize, value: &Value) -> Result<(), RunError> {
        let _turn = self.family.turn()?;
        let tensor = self.input(input)?;
        let bound = shards::cut(&self.machine, input, value);
        bound.map_err(|reason| RunError::Bind { path: tensor.path.clone(), reason })?;
        self.machine.inputs[input].set_bound();
        Ok(())
    }

    /// Binds several inputs at the same time, as [`Session::bind`] does each. If there is an error, it is the
    /// first one's, and what else was bound is not known.
    pub fn bind_all(&mut self, values: &[(usize, &Value<'_>)]) -> Result<(), RunError> {
        let family = Arc::clone(&self.family);
        let _turn = family.turn()?;
        let mut seen = BTreeSet::new();
        for (input, _) in values {
            let tensor = self.input(*input)?;
            if !seen.insert(*input) {
                let reason = "it is given twice".to_owned();
                return Err(RunError::Bind { path: tensor.path.clone(), reason });
            }
        }
        let machine = &*self.machine;
        // Each input has memory of its own.
        let cut = |(input, value): &(usize, &Value<'_>)| shards::cut(machine, *input, value);
        let bound: Vec<Result<(), String>> =
            family.pool.install(|| values.par_iter().map(cut).collect());
        for ((input, _), bound) in values.iter().zip(bound) {
            let path = || machine.manifest().inputs[*input].path.clone();
            bound.map_err(|reason| RunError::Bind { path: path(), reason })?;
            machine.inputs[*input].set_bound();
        }
        Ok(())
    }

    /// Sets all elements of an input to zero (false), without a tensor of zeros.
    pub fn clear(&mut self, input: usize) -> Result<(), RunError> {
        let _turn = self.family.turn()?;
        self.input(input)?;
        shards::clear(&self.machine, input);
        self.machine.inputs[input].set_bound();
        Ok(())
    }

    /// Whether an input has a value: bound, cleared, or shared with a session where it has.
    pub fn is_bound(&self, input: usize) -> bool {
        self.machine.inputs.get(input).is_some_and(|input| input.is_bound())
    }

    fn input(&self, input: usize) -> Result<&einmesh_artifact::Tensor, RunError> {
        self.manifest().inputs.get(input).ok_or_else(|| RunError::Bind {
            path: format!("#{input}"),
            reason: "there is no such input".to_owned(),
        })
    }

    /// Runs all steps on all devices.
    pub fn run(&mut self) -> Result<(), RunError> {
        let family = Arc::clone(&self.family);
        let mut turn = family.turn()?;
        if let Some(input) = self.machine.inputs.iter().position(|input| !input.is_bound()) {
            return Err(RunError::Unbound { path: self.manifest().inputs[input].path.clone() });
        }
        match self.run_watched() {
            Ok(finished) => {
                self.slots = finished.slots;
                if let (Some(profile), Some(later)) = (&mut self.profile, finished.profile) {
                    profile.merge(later);
                }
                Ok(())
            }
            Err(error) => {
                *turn = Some(error.to_string());
                Err(error)
            }
        }
    }

    /// Puts an output together. `output` counts [`Manifest::outputs`] and panics beyond them.
    pub fn output(&self, output: usize) -> Result<Tensor, RunError> {
        let _turn = self.family.turn()?;
        Ok(shards::assemble(&self.machine, output, &self.slots))
    }

    /// Puts an output together in memory that is given; refused if it has another size than the whole tensor.
    pub fn output_into(&self, output: usize, whole: &mut [u8]) -> Result<(), RunError> {
        let _turn = self.family.turn()?;
        let tensor = &self.manifest().outputs[output];
        let expected = shards::whole_bytes(tensor);
        if whole.len() != expected {
            let (path, given) = (tensor.path.clone(), whole.len());
            let reason = format!("the output has {expected} bytes, but there is room for {given}");
            return Err(RunError::Bind { path, reason });
        }
        shards::assemble_into(&self.machine, output, &self.slots, whole);
        Ok(())
    }

    /// What memory an input has: a number that other inputs have only in sessions that share it.
    pub fn memory_of(&self, input: usize) -> Option<usize> {
        self.machine.inputs.get(input).map(|input| std::sync::Arc::as_ptr(input).addr())
    }

    /// Ends the session: its outputs can be taken, and the memory of its inputs goes back to the system at once.
    pub fn finish(self) -> Results {
        Results::new(self.machine, self.family, self.slots)
    }

    /// How long the runs so far took by kernel, copy and collective, the longest first; nothing unless
    /// [`Options::profile`] is set.
    pub fn profile(&self) -> Vec<StepTime> {
        self.profile.as_ref().map_or(vec![], Profile::times)
    }

    /// Runs on the pool and waits while there is progress.
    ///
    /// If there is none, the run is abandoned, not stopped: native code cannot be. Its thread holds
    /// the machine's last reference, so that the memory it may still write stays allocated.
    fn run_watched(&mut self) -> Result<Finished, RunError> {
        let (sender, receiver) = sync_channel(1);
        let machine = Arc::clone(&self.machine);
        let profile = self.profile.is_some();
        self.runs += 1;
        let run = self.runs;
        let come = move || {
            if !machine.gang.leads(run) {
                return machine.gang.help(launch::thread_number(), run);
            }
            let result = catch_unwind(AssertUnwindSafe(|| execute::execute(&machine, profile)));
            machine.gang.end(run);
            // Nobody waits any more if the watchdog has given up.
            let _ = sender.send(result);
        };
        // A place in the run for each thread that has not been called already: the first to come leads.
        let called = self.machine.gang.call(run);
        for _ in called..self.family.threads {
            self.family.pool.spawn(come.clone());
        }
        drop(come);
        let mut seen = self.machine.ticks();
        let mut since = Instant::now();
        loop {
            // Looked at several times within the limit, so that it is overrun by a quarter at most.
            let pause = (self.watchdog / 4).max(Duration::from_millis(1));
            match receiver.recv_timeout(pause) {
                Ok(Ok(result)) => return result,
                Ok(Err(panic)) => return Err(self.failed(launch::panic_message(&*panic))),
                Err(RecvTimeoutError::Disconnected) => {
                    return Err(self.failed("the thread ended without a result".to_owned()));
                }
                Err(RecvTimeoutError::Timeout) => {
                    let ticks = self.machine.ticks();
                    if ticks != seen {
                        (seen, since) = (ticks, Instant::now());
                    } else if since.elapsed() >= self.watchdog {
                        let (op, place) = self.machine.whereabouts();
                        return Err(RunError::Stalled { waited: since.elapsed(), op, place });
                    }
                }
            }
        }
    }

    /// A failure of the executor itself, which runs for all ranks.
    fn failed(&self, reason: String) -> RunError {
        let (op, place) = self.machine.whereabouts();
        RunError::Device { rank: 0, op, place, reason }
    }
}
