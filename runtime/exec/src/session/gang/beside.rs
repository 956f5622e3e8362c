//! Work beside regions.
//!
//! What may be done at any time while other steps run ([`Gang::beside`]) is given to the gang as a list of jobs, one
//! after the other, each cut into tasks. Helpers do its tasks where they find no region to help in; the leader comes to
//! it when the steps are done, and does what is left with everybody's help.
//!
//! `gate` has the form of `state`: 1. the leader writes `jobs` while the gate is closed and nobody inside, and opens it
//! (release); 2. a helper counts itself in by compare-and-swap (acquire) for one task, and out (release); 3. the leader
//! closes the gate and waits until nobody is inside (acquire): only then may the list go. A job's tasks are taken by
//! counting `next` up, and counted in `done` when they end (acquire and release). A job is begun by nobody who has not
//! seen all jobs before it `done` (acquire), so that what they wrote happens-before it, and the leader does not leave
//! before it has seen all of them done: everything after `beside` happens-after every task. Between these tasks and
//! those of the regions there is no order: they touch different memory.
//!
//! A helper sleeps if all tasks of the list's current job are taken. `offers` counts what may change that: who has found
//! nothing remembers the count from before it looked, and does not sleep if it has changed. It may stay
//! asleep while other helpers go on to the next job; when the leader comes to the list, it wakes all.

use super::{Close, Gang, Leave, NUMBER, OPEN, PATIENCE, open};
use std::hint::spin_loop;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

/// Work that is done beside regions.
pub(in super::super) struct Beside<'a> {
    run: &'a (dyn Fn(u64) + Sync),
    tasks: u64,
    /// How many tasks have been taken; more than there are, if somebody has looked since.
    next: AtomicU64,
    /// How many have ended.
    done: AtomicU64,
}

impl<'a> Beside<'a> {
    /// Tasks `0..tasks`.
    pub(in super::super) fn new(tasks: u64, run: &'a (dyn Fn(u64) + Sync)) -> Beside<'a> {
        Beside { run, tasks, next: AtomicU64::new(0), done: AtomicU64::new(0) }
    }

    fn is_done(&self) -> bool {
        self.done.load(Ordering::Acquire) == self.tasks
    }
}

impl Gang {
    /// Does a task beside regions; whether there was one.
    pub(super) fn lend(&self, seat: usize) -> bool {
        let mut seen = self.gate.load(Ordering::Relaxed);
        while open(seen) {
            let inside =
                self.gate.compare_exchange(seen, seen + 1, Ordering::AcqRel, Ordering::Relaxed);
            let Err(now) = inside else {
                let _leave = Leave(&self.gate);
                // SAFETY: the gate is open and this thread inside of it: the leader does not write `jobs`, and
                // keeps what they point to until nobody is inside.
                return unsafe { (*self.jobs.get()).is_some_and(|jobs| self.take(seat, &*jobs)) };
            };
            seen = now;
        }
        false
    }

    /// Does a task of the first job that is not done; whether there was one that nobody had taken.
    fn take(&self, seat: usize, jobs: &[Beside]) -> bool {
        let Some(job) = jobs.iter().find(|job| !job.is_done()) else {
            return false;
        };
        // Orders nothing: the gate and `done` do.
        let task = job.next.fetch_add(1, Ordering::Relaxed);
        if task >= job.tasks {
            return false;
        }
        // Counts it as done even if it panics, so that the leader does not wait for ever.
        struct Done<'a>(&'a Beside<'a>, &'a AtomicU64);
        impl Drop for Done<'_> {
            fn drop(&mut self) {
                if self.0.done.fetch_add(1, Ordering::AcqRel) + 1 == self.0.tasks {
                    self.1.fetch_add(1, Ordering::SeqCst);
                }
            }
        }
        let _done = Done(job, &self.offers);
        (job.run)(task);
        self.seats[seat].done.fetch_add(1, Ordering::Relaxed);
        true
    }

    /// Runs `steps`, which may open regions, and meanwhile or afterwards all jobs, in their order; if the steps fail,
    /// some jobs may be left. `reached` hears which job the leader works at or waits for when the steps are done. Only
    /// the run's leader may call it, with its seat, and neither a task nor `steps` may.
    pub(in super::super) fn beside<E>(
        &self,
        seat: usize,
        jobs: &[Beside],
        steps: impl FnOnce() -> Result<(), E>,
        reached: impl Fn(usize),
    ) -> Result<(), E> {
        let list: *const [Beside<'_>] = jobs;
        // SAFETY: only the lifetime changes; helpers use it while the gate is open, or until they have left.
        let list: *const [Beside<'static>] = unsafe { std::mem::transmute(list) };
        // SAFETY: the gate is closed and nobody inside: only the leader opens it, here, and below waits for that.
        unsafe { *self.jobs.get() = Some(list) };
        let number = (self.gate.load(Ordering::Relaxed) & !(NUMBER - 1)).wrapping_add(NUMBER);
        self.gate.store(number | OPEN, Ordering::SeqCst);
        // Also if the steps or a task panic, helpers must have left before the list goes.
        let _close = Close(&self.gate);
        self.offer();
        steps()?;
        self.offer();
        while let Some(job) = jobs.iter().position(|job| !job.is_done()) {
            reached(job);
            let start = Instant::now();
            // Others may be at the job's last tasks; nobody begins another one before.
            while !self.take(seat, jobs) && !jobs[job].is_done() {
                match start.elapsed() < PATIENCE {
                    true => spin_loop(),
                    false => std::thread::yield_now(),
                }
            }
        }
        Ok(())
    }

    /// Lets everybody look for a task beside regions.
    fn offer(&self) {
        self.offers.fetch_add(1, Ordering::SeqCst);
        self.wake();
    }
}
