//! Parallel regions: work of all devices, cut into tasks for the pool.

use super::machine::Machine;
use crate::error::RunError;
use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Mutex, PoisonError};

/// Tasks per thread at most: enough that uneven tiles balance, few enough that their cost vanishes.
const TASKS_PER_THREAD: u64 = 4;
/// Work on fewer bytes than this is done by one thread: sharing it costs more.
const SMALL: u64 = 32 << 10;
/// A task should touch so many bytes, as long as every thread has one.
const TASK_BYTES: u64 = 16 << 10;
/// The same for tasks beside others, which whoever does them wants to be done with soon: a few microseconds.
const BESIDE_BYTES: u64 = 64 << 10;

/// Something that is done for all devices, in units that any threads do in any order.
pub(super) trait Work: Sync {
    /// How many units there are.
    fn total(&self) -> u64;

    /// An estimate of the memory they touch.
    fn bytes(&self) -> u64;

    /// Does the units `begin..end`.
    fn run(&self, begin: u64, end: u64) -> Result<(), Failure>;
}

/// A task's failure: on which rank, and why.
pub(super) struct Failure {
    rank: u64,
    reason: String,
}

/// Runs code of a rank, and turns a panic into its failure.
pub(super) fn guard(rank: u64, work: impl FnOnce()) -> Result<(), Failure> {
    catch_unwind(AssertUnwindSafe(work))
        .map_err(|panic| Failure { rank, reason: panic_message(&*panic) })
}

/// Work cut into ranges, the tasks.
///
/// A failure lets the other ranges finish, so that the lowest failing rank is named whatever the
/// timing.
pub(super) struct Tasks<'a> {
    work: &'a dyn Work,
    total: u64,
    /// How many there are.
    pub(super) count: u64,
    failure: Mutex<Option<Failure>>,
}

impl<'a> Tasks<'a> {
    /// For threads that share the work and nothing else meanwhile.
    fn shared(work: &'a dyn Work, threads: usize) -> Tasks<'a> {
        let (threads, total, bytes) = (threads as u64, work.total(), work.bytes());
        let count = match threads == 1 || bytes < SMALL {
            true => total.min(1),
            // A multiple of the threads: equal tasks would end at different times otherwise.
            false => total.min(threads * (bytes / TASK_BYTES / threads).clamp(1, TASKS_PER_THREAD)),
        };
        Tasks { work, total, count, failure: Mutex::new(None) }
    }

    /// For threads that have something better to do as soon as there is something.
    pub(super) fn beside(work: &'a dyn Work) -> Tasks<'a> {
        let total = work.total();
        let count = total.min((work.bytes() / BESIDE_BYTES).max(1));
        Tasks { work, total, count, failure: Mutex::new(None) }
    }

    /// Does a task; never panics.
    pub(super) fn run(&self, task: u64) {
        // The split is by number, never by time. In 128 bits, the product of two counts fits.
        let at =
            |task: u64| (u128::from(self.total) * u128::from(task) / u128::from(self.count)) as u64;
        let done = catch_unwind(AssertUnwindSafe(|| self.work.run(at(task), at(task + 1))));
        let done =
            done.unwrap_or_else(|panic| Err(Failure { rank: 0, reason: panic_message(&*panic) }));
        if let Err(failure) = done {
            let mut first = self.failure.lock().unwrap_or_else(PoisonError::into_inner);
            if first.as_ref().is_none_or(|f| failure.rank < f.rank) {
                *first = Some(failure);
            }
        }
    }

    /// The failure of the lowest rank, as an error at the step under way; when all tasks are done.
    pub(super) fn result(self, machine: &Machine) -> Result<(), RunError> {
        match self.failure.into_inner().unwrap_or_else(PoisonError::into_inner) {
            None => Ok(()),
            Some(Failure { rank, reason }) => Err(failed(machine, rank, reason)),
        }
    }
}

/// Does all of some work, with all threads.
pub(super) fn parallel(machine: &Machine, work: &dyn Work) -> Result<(), RunError> {
    let tasks = Tasks::shared(work, machine.threads);
    match tasks.count {
        0 => {}
        1 => tasks.run(0),
        count => machine.gang.region(thread_number(), count, &|task| tasks.run(task)),
    }
    tasks.result(machine)
}

/// The number of the pool's thread that calls.
pub(super) fn thread_number() -> usize {
    rayon::current_thread_index().unwrap_or(0)
}

/// The error of a rank at the step under way.
pub(super) fn failed(machine: &Machine, rank: u64, reason: String) -> RunError {
    let (op, place) = machine.whereabouts();
    RunError::Device { rank, op, place, reason }
}

/// What a panic says.
pub(super) fn panic_message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|s| (*s).to_owned());
    let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
    text.unwrap_or_else(|| "it panicked without a message".to_owned())
}
