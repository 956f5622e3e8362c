//! The threads of a run, kept together from its begin to its end.
//!
//! A kernel of a small model takes a few microseconds, as long as it takes to wake a thread. So the pool's
//! threads join a run once, and then wait for its parallel regions: first spinning, then asleep. One thread
//! leads: it executes the steps, opens regions, and works in them itself; the others help in regions that
//! they find open. A region never waits for a thread that has not come, so a thread that the system has
//! taken away costs nothing but its help.
//!
//! # Protocol
//!
//! `state` holds the region's number, whether it is open, and how many helpers are inside. All of it
//! changes at once:
//!
//! 1. the leader writes `job` and each seat's `next` while the region is closed and empty, then opens the next
//!    region (release);
//! 2. a helper that sees an open region counts itself in by compare-and-swap (acquire): from then on `job`
//!    stays valid. It takes tasks until there are none, and counts itself out (release);
//! 3. the leader takes tasks as well, closes the region, and waits until it is empty (acquire). Whoever
//!    comes later finds it closed.
//!
//! So everything written in a region happens-before everything after it, and everything before it
//! happens-before everything in it. Which thread does which task is left to chance; what a task does is not.
//!
//! Every seat has a share of the tasks, always the same for the same number of them, and takes others'
//! when it has done its own: what a thread has computed is mostly found in its own core's cache by the next
//! kernel.
//!
//! What runs beside regions, see [`beside`].
//!
//! # Between runs
//!
//! A run that takes as long as waking a thread does (some 10 µs, more if its core has gone to sleep) would be over
//! before its helpers came. So a helper lingers for a moment after a run, at `call`, where whoever starts the next run
//! calls it by compare-and-swap; one that leaves takes itself off in the same way, so that it has been called or it
//! is gone, never both. Leaders do not linger: one thread at least is free to lead, and the caller, who waits for the
//! result asleep, finds a core. Lingering threads yield to others, and there are none if a core has several threads.

mod beside;

pub(super) use beside::Beside;
use std::cell::UnsafeCell;
use std::hint::spin_loop;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::Thread;
use std::time::{Duration, Instant};

/// A helper that has found no region for so long sleeps. The gaps between the regions of small models are
/// shorter.
const PATIENCE: Duration = Duration::from_micros(50);
/// Looks at `state` between looks at the clock.
const LOOKS: u32 = 64;

/// What stands at `call` of a helper that is not between two runs, and of one that lingers there; else it is the number
/// of the run that it has been called to.
const AWAY: u64 = 0;
const LINGERS: u64 = u64::MAX;

const OPEN: u64 = 1 << 31;
const INSIDE: u64 = OPEN - 1;
const NUMBER: u64 = 1 << 32;

fn open(state: u64) -> bool {
    state & OPEN != 0
}

/// A region's tasks.
#[derive(Clone, Copy)]
struct Job {
    run: *const (dyn Fn(u64) + Sync),
    tasks: u64,
}

/// See the file's head.
pub(super) struct Gang {
    state: AtomicU64,
    job: UnsafeCell<Option<Job>>,
    /// As `state` and `job`, of what is done beside regions.
    gate: AtomicU64,
    jobs: UnsafeCell<Option<*const [Beside<'static>]>>,
    /// Counts the changes after which there may be a task to be done beside regions.
    offers: AtomicU64,
    /// The number of the last run that has a leader, and of the last that has ended.
    led: AtomicU64,
    ended: AtomicU64,
    /// The number of the last run that helpers were called to.
    called: AtomicU64,
    /// How long a helper lingers.
    lingering: Duration,
    /// By thread.
    seats: Vec<Seat>,
}

/// What belongs to a thread; on a cache line of its own.
#[derive(Default)]
#[repr(align(64))]
struct Seat {
    /// How many of its share of the region's tasks have been taken.
    next: AtomicU64,
    /// See [`LINGERS`].
    call: AtomicU64,
    /// How many tasks it has done, in all runs.
    done: AtomicU64,
    /// How to wake it.
    thread: OnceLock<Thread>,
    /// Whether it sleeps.
    asleep: AtomicBool,
}

// SAFETY: `job` is written by the leader alone, while nobody is inside of a region, and read by those who
// have counted themselves in; the protocol orders the two. What the job points to is `Sync`. So it is with `jobs`
// and the gate.
unsafe impl Sync for Gang {}
// SAFETY: as above; the pointers are only followed during the region, or the call of `beside`, that they were given for.
unsafe impl Send for Gang {}

impl Gang {
    /// Of so many threads, the leader included.
    pub(super) fn new(threads: usize) -> Gang {
        let cores = std::thread::available_parallelism().map_or(1, |n| n.get());
        let lingering = if threads <= cores { PATIENCE } else { Duration::ZERO };
        Gang {
            state: AtomicU64::new(0),
            job: UnsafeCell::new(None),
            gate: AtomicU64::new(0),
            jobs: UnsafeCell::new(None),
            offers: AtomicU64::new(0),
            led: AtomicU64::new(0),
            ended: AtomicU64::new(0),
            called: AtomicU64::new(0),
            lingering,
            seats: (0..threads).map(|_| Seat::default()).collect(),
        }
    }

    /// Whether the caller leads this run: the first who asks. Runs are numbered from 1 on, one after the other.
    pub(super) fn leads(&self, run: u64) -> bool {
        self.led.compare_exchange(run - 1, run, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }

    /// Ends a run: its helpers go home.
    pub(super) fn end(&self, run: u64) {
        self.ended.store(run, Ordering::SeqCst);
        self.wake();
    }

    /// Calls the helpers that linger to a run that is about to begin, and says how many there were. Runs are numbered
    /// as for [`Gang::leads`].
    pub(super) fn call(&self, run: u64) -> usize {
        self.called.store(run, Ordering::SeqCst);
        let called = |seat: &&Seat| {
            seat.call.compare_exchange(LINGERS, run, Ordering::SeqCst, Ordering::Relaxed).is_ok()
        };
        self.seats.iter().filter(called).count()
    }

    /// Helps in regions until the run ends, and in the runs that it is called to meanwhile. `seat` is the thread's
    /// number.
    pub(super) fn help(&self, seat: usize, run: u64) {
        self.seats[seat].thread.get_or_init(std::thread::current);
        if self.ended.load(Ordering::Acquire) >= run {
            // It came too late. It may be the one that has led the run, and leaders do not linger.
            return;
        }
        let mut next = Some(run);
        while let Some(run) = next {
            self.serve(seat, run);
            next = self.linger(seat, run);
        }
    }

    /// Waits for a call after a run; the number of the run that it is called to.
    fn linger(&self, seat: usize, run: u64) -> Option<u64> {
        let seat = &self.seats[seat];
        seat.call.store(LINGERS, Ordering::SeqCst);
        let start = Instant::now();
        let stays = || {
            seat.call.load(Ordering::SeqCst) == LINGERS
                // Called before this one was here: its place in that run is with those that come from home.
                && self.called.load(Ordering::SeqCst) <= run
        };
        while stays() && start.elapsed() < self.lingering {
            (0..LOOKS).take_while(|_| stays()).for_each(|_| spin_loop());
            std::thread::yield_now();
        }
        seat.call.compare_exchange(LINGERS, AWAY, Ordering::SeqCst, Ordering::SeqCst).err()
    }

    /// Helps in regions of one run.
    fn serve(&self, seat: usize, run: u64) {
        // The region that this thread has helped in: it has no tasks left, even if it is open still.
        let mut helped = 0;
        while self.ended.load(Ordering::Acquire) < run {
            let offers = self.offers.load(Ordering::SeqCst);
            let seen = self.state.load(Ordering::Relaxed);
            match open(seen) && seen / NUMBER != helped {
                true if self.join(seat, seen) => helped = seen / NUMBER,
                true => {}
                false if self.lend(seat) => {}
                false => self.wait(seat, run, helped, offers),
            }
        }
    }

    /// Works in the open region that was seen; whether it was still there to be entered.
    fn join(&self, seat: usize, seen: u64) -> bool {
        let inside =
            self.state.compare_exchange(seen, seen + 1, Ordering::AcqRel, Ordering::Relaxed);
        if inside.is_err() {
            return false;
        }
        let _leave = Leave(&self.state);
        // SAFETY: the region is open and this thread inside of it: the leader does not write `job`.
        if let Some(job) = unsafe { *self.job.get() } {
            // SAFETY: the leader keeps what it points to until the region is empty.
            self.work(seat, unsafe { &*job.run }, job.tasks);
        }
        true
    }

    /// Does tasks: those of the thread's share first, then those that others have not come to.
    fn work(&self, seat: usize, run: &(dyn Fn(u64) + Sync), tasks: u64) {
        let count = self.seats.len();
        let share = |seat: usize| tasks * seat as u64 / count as u64;
        for owner in (seat..count).chain(0..seat) {
            let (begin, end) = (share(owner), share(owner + 1));
            loop {
                // Orders nothing: the region's begin and end do.
                let task = begin + self.seats[owner].next.fetch_add(1, Ordering::Relaxed);
                if task >= end {
                    break;
                }
                run(task);
                self.seats[seat].done.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    /// The number of tasks done so far; orders nothing.
    pub(super) fn done(&self) -> u64 {
        let done = self.seats.iter().map(|seat| seat.done.load(Ordering::Relaxed));
        done.fold(0, u64::wrapping_add)
    }

    /// Waits for a region, or for more than `offers`: spinning first, then asleep.
    fn wait(&self, seat: usize, run: u64, helped: u64, offers: u64) {
        let seat = &self.seats[seat];
        let nothing = || {
            let seen = self.state.load(Ordering::SeqCst);
            let region = open(seen) && seen / NUMBER != helped;
            let offered = self.offers.load(Ordering::SeqCst) != offers;
            !region && !offered && self.ended.load(Ordering::SeqCst) < run
        };
        let start = Instant::now();
        while start.elapsed() < PATIENCE {
            for _ in 0..LOOKS {
                if !nothing() {
                    return;
                }
                spin_loop();
            }
        }
        seat.asleep.store(true, Ordering::SeqCst);
        // Looked at once more after saying so: either this sees the region, or the leader sees the sleeper.
        while nothing() && seat.asleep.load(Ordering::SeqCst) {
            std::thread::park();
        }
        seat.asleep.store(false, Ordering::SeqCst);
    }

    /// Wakes those who sleep.
    fn wake(&self) {
        for seat in &self.seats {
            if seat.asleep.load(Ordering::SeqCst)
                && seat.asleep.swap(false, Ordering::SeqCst)
                && let Some(thread) = seat.thread.get()
            {
                thread.unpark();
            }
        }
    }

    /// Does tasks `0..tasks`, with whoever of the gang is there, and returns when all are done. Only the
    /// run's leader may call it, with its seat, and no task may.
    pub(super) fn region(&self, seat: usize, tasks: u64, run: &(dyn Fn(u64) + Sync)) {
        let run: *const (dyn Fn(u64) + Sync + '_) = run;
        // SAFETY: only the lifetime changes; helpers use it inside of the region, which ends below.
        let run: *const (dyn Fn(u64) + Sync + 'static) = unsafe { std::mem::transmute(run) };
        // SAFETY: no region is open, and none has anybody inside: only the leader opens them, one at a
        // time, and waits until they are empty.
        unsafe { *self.job.get() = Some(Job { run, tasks }) };
        for seat in &self.seats {
            seat.next.store(0, Ordering::Relaxed);
        }
        let number = (self.state.load(Ordering::Relaxed) & !(NUMBER - 1)).wrapping_add(NUMBER);
        self.state.store(number | OPEN, Ordering::SeqCst);
        self.wake();
        // A panic must not leave before the helpers have: they use what `run` borrows.
        let _close = Close(&self.state);
        // SAFETY: `run` was made of a reference that is still borrowed.
        self.work(seat, unsafe { &*run }, tasks);
    }
}

/// Counts a helper out, even if a task panics, so that the leader does not wait for ever.
struct Leave<'a>(&'a AtomicU64);

impl Drop for Leave<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Release);
    }
}

/// Closes what the leader has opened, and waits until nobody is inside.
struct Close<'a>(&'a AtomicU64);

impl Drop for Close<'_> {
    fn drop(&mut self) {
        self.0.fetch_and(!OPEN, Ordering::AcqRel);
        let start = Instant::now();
        while self.0.load(Ordering::Acquire) & INSIDE != 0 {
            match start.elapsed() < PATIENCE {
                true => spin_loop(),
                // A helper has been taken its CPU away: it may need this one.
                false => std::thread::yield_now(),
            }
        }
    }
}

#[cfg(test)]
mod tests;
