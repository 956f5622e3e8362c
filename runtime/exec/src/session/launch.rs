//! Parallel regions: work of all devices, cut into tasks for the pool.

use super::machine::Machine;
use crate::error::RunError;
use crate::module::Phase;
use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Mutex, PoisonError};

/// Tasks per thread at most: enough that uneven tiles balance, few enough that their cost vanishes.
const TASKS_PER_THREAD: u64 = 4;
/// Work on fewer bytes than this is done by one thread: sharing it costs more.
const SMALL: u64 = 32 << 10;
/// A task should touch so many bytes, as long as every thread has one.
const TASK_BYTES: u64 = 16 << 10;

/// The operands and numbers of a launch, for each device one after the other.
#[derive(Default)]
pub(super) struct Arguments {
    pub(super) operands: Vec<*mut u8>,
    pub(super) operands_each: usize,
    pub(super) ints: Vec<i64>,
    pub(super) ints_each: usize,
}

// SAFETY: tasks only read the lists; what the pointers lead to is written by the tasks as the
// kernel's tiles allow.
unsafe impl Sync for Arguments {}

/// Runs a phase: all tiles of all devices.
pub(super) fn phase(
    machine: &Machine,
    phase: &Phase,
    arguments: &Arguments,
    bytes: u64,
) -> Result<(), RunError> {
    let each = phase.tiles;
    let total = each * machine.devices.len() as u64;
    parallel(machine, total, bytes, |begin, end| {
        let mut next = begin;
        while next < end {
            let device = (next / each) as usize;
            let tile = next % each;
            let count = (each - tile).min(end - next);
            guard(device as u64, || {
                let operands = &arguments.operands[device * arguments.operands_each..];
                let ints = &arguments.ints[device * arguments.ints_each..];
                let thread = thread_number();
                // SAFETY: this is the call that the manifest describes. The operands are the
                // device's buffers, with the sizes that validation checked; each tile is computed by
                // one call; the scratch memory is this thread's, and no task is started inside of
                // the call that could take the thread.
                unsafe {
                    (phase.function)(
                        operands.as_ptr(),
                        ints.as_ptr(),
                        machine.workspace(device),
                        machine.scratch(thread),
                        tile as i64,
                        (tile + count) as i64,
                    );
                }
            })?;
            next += count;
        }
        Ok(())
    })
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

/// Does the units of work `0..total`, in ranges. `bytes` estimates the memory they touch.
///
/// A failure lets the other ranges finish, so that the lowest failing rank is named whatever the
/// timing.
pub(super) fn parallel(
    machine: &Machine,
    total: u64,
    bytes: u64,
    work: impl Fn(u64, u64) -> Result<(), Failure> + Sync,
) -> Result<(), RunError> {
    let threads = machine.threads as u64;
    let tasks = match threads == 1 || bytes < SMALL {
        true => total.min(1),
        // A multiple of the threads: equal tasks would end at different times otherwise.
        false => total.min(threads * (bytes / TASK_BYTES / threads).clamp(1, TASKS_PER_THREAD)),
    };
    let first: Mutex<Option<Failure>> = Mutex::new(None);
    let run = |task: u64| {
        // In 128 bits, the product of two counts fits.
        let at = |task: u64| (u128::from(total) * u128::from(task) / u128::from(tasks)) as u64;
        let done = catch_unwind(AssertUnwindSafe(|| work(at(task), at(task + 1))));
        let done =
            done.unwrap_or_else(|panic| Err(Failure { rank: 0, reason: panic_message(&*panic) }));
        if let Err(failure) = done {
            let mut first = first.lock().unwrap_or_else(PoisonError::into_inner);
            if first.as_ref().is_none_or(|f| failure.rank < f.rank) {
                *first = Some(failure);
            }
        }
    };
    match tasks {
        0 => {}
        1 => run(0),
        // The split is by number, never by time.
        _ => machine.gang.region(thread_number(), tasks, &run),
    }
    match first.into_inner().unwrap_or_else(PoisonError::into_inner) {
        None => Ok(()),
        Some(Failure { rank, reason }) => Err(failed(machine, rank, reason)),
    }
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
