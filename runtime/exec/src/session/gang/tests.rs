//! Stress of the protocol.

use super::*;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::AtomicU32;

/// Leads runs of a gang, to which so many helpers come.
fn lead(gang: &Gang, runs: u64, helpers: usize, run: impl Fn()) {
    /// Ends all runs also when an assertion fails, so that the test ends as well.
    struct End<'a>(&'a Gang, u64);
    impl Drop for End<'_> {
        fn drop(&mut self) {
            self.0.end(self.1);
        }
    }
    std::thread::scope(|scope| {
        let _end = End(gang, runs);
        for seat in 1..=helpers {
            scope.spawn(move || (1..=runs).for_each(|run| gang.help(seat, run)));
        }
        for number in 1..=runs {
            assert!(gang.leads(number));
            assert!(!gang.leads(number));
            run();
            gang.end(number);
        }
    });
}

/// A region whose leader's task lasts until a helper has done the other: that it does so at all is the test.
fn together(gang: &Gang, helps: impl Fn() + Sync) {
    let (leader, helped) = (std::thread::current().id(), AtomicBool::new(false));
    gang.region(0, 2, &|_| match std::thread::current().id() == leader {
        true => {
            while !helped.load(Ordering::Relaxed) {
                std::thread::yield_now()
            }
        }
        false => {
            helps();
            helped.store(true, Ordering::Relaxed);
        }
    });
}

#[test]
fn each_task_is_done_once_and_before_the_region_ends() {
    for helpers in 0..4 {
        let gang = Gang::new(4);
        lead(&gang, 20, helpers, || {
            for region in 0..200u64 {
                let tasks = region % 17;
                let done: Vec<AtomicU32> = (0..tasks).map(|_| AtomicU32::new(0)).collect();
                gang.region(0, tasks, &|task| {
                    done[task as usize].fetch_add(1, Ordering::Relaxed);
                });
                assert!(done.iter().all(|n| n.load(Ordering::Relaxed) == 1));
            }
        });
    }
}

#[test]
fn a_helper_that_lingers_helps_in_every_run_that_it_is_called_to() {
    let gang = Gang { lingering: Duration::from_secs(60), ..Gang::new(2) };
    std::thread::scope(|scope| {
        // It comes once, and stays for all runs.
        scope.spawn(|| gang.help(1, 1));
        for run in 1..=100 {
            if run > 1 {
                while gang.seats[1].call.load(Ordering::SeqCst) != LINGERS {
                    std::thread::yield_now();
                }
                assert_eq!(gang.call(run), 1);
            }
            assert!(gang.leads(run));
            together(&gang, || ());
            gang.end(run);
        }
        // Who is not there when it is called goes home.
        gang.called.store(101, Ordering::SeqCst);
    });
    assert_eq!(gang.call(102), 0);
}

#[test]
fn a_helper_is_either_called_or_gone() {
    let gang = Gang { lingering: Duration::from_micros(20), ..Gang::new(2) };
    let served = AtomicU64::new(0);
    std::thread::scope(|scope| {
        let (home, runs_from_home) = std::sync::mpsc::channel();
        let helping = &gang;
        scope.spawn(move || runs_from_home.iter().for_each(|run| helping.help(1, run)));
        for run in 1..=2_000 {
            // Where it was called, it is there; where not, it has come home, or will do so.
            if gang.call(run) == 0 {
                home.send(run).expect("the helper is there");
            }
            assert!(gang.leads(run));
            // A helper that finds the leader's task not begun does both.
            together(&gang, || served.store(run, Ordering::Relaxed));
            assert_eq!(served.load(Ordering::Relaxed), run);
            gang.end(run);
            // Now and then longer than it lingers.
            (0..run % 64 * 16).for_each(|_| spin_loop());
        }
    });
}

#[test]
fn helpers_wake_for_a_region_after_a_long_pause() {
    let gang = Gang::new(2);
    lead(&gang, 1, 1, || {
        for _ in 0..3 {
            std::thread::sleep(20 * PATIENCE);
            together(&gang, || ());
        }
    });
}

#[test]
fn a_panic_of_the_leaders_task_leaves_nobody_inside() {
    let gang = Gang::new(3);
    lead(&gang, 1, 2, || {
        let leader = std::thread::current().id();
        // The helpers keep the tasks that they have until the leader has come to one.
        let panicking = AtomicBool::new(false);
        let region = || {
            gang.region(0, 50, &|_| {
                if std::thread::current().id() == leader {
                    panicking.store(true, Ordering::Relaxed);
                    panic!("the leader's task");
                }
                while !panicking.load(Ordering::Relaxed) {
                    std::thread::yield_now();
                }
            });
        };
        assert!(catch_unwind(AssertUnwindSafe(region)).is_err());
        assert_eq!(gang.state.load(Ordering::SeqCst) & (OPEN | INSIDE), 0);
        let count = AtomicU32::new(0);
        gang.region(0, 50, &|_| {
            count.fetch_add(1, Ordering::Relaxed);
        });
        assert_eq!(count.into_inner(), 50);
    });
}

/// Jobs of which each task checks that all tasks of the jobs before have been done.
fn in_order(gang: &Gang, counts: &[u64], steps: impl FnOnce() -> Result<(), ()>) -> Result<(), ()> {
    let done: Vec<Vec<AtomicU32>> =
        counts.iter().map(|n| (0..*n).map(|_| AtomicU32::new(0)).collect()).collect();
    let all =
        |jobs: &[Vec<AtomicU32>]| jobs.iter().flatten().all(|n| n.load(Ordering::Relaxed) == 1);
    let runs: Vec<_> = (0..counts.len())
        .map(|job| {
            let (done, all) = (&done, &all);
            move |task: u64| {
                assert!(all(&done[..job]), "job {job} began before another had ended");
                done[job][task as usize].fetch_add(1, Ordering::Relaxed);
            }
        })
        .collect();
    let jobs: Vec<Beside> = runs.iter().zip(counts).map(|(run, n)| Beside::new(*n, run)).collect();
    gang.beside(0, &jobs, steps, |_| ())?;
    assert!(all(&done), "every task is done once");
    Ok(())
}

#[test]
fn work_beside_regions_is_done_once_in_order_and_before_the_end() {
    for helpers in 0..4 {
        let gang = Gang::new(4);
        lead(&gang, 10, helpers, || {
            for round in 0..100u64 {
                let counts = [round % 5, 1, 0, round % 23, 2];
                let regions = || {
                    for region in 0..round % 4 {
                        let count = AtomicU32::new(0);
                        gang.region(0, region * 5, &|_| {
                            count.fetch_add(1, Ordering::Relaxed);
                        });
                        assert_eq!(u64::from(count.into_inner()), region * 5);
                    }
                    Ok(())
                };
                in_order(&gang, &counts, regions).expect("the steps succeed");
            }
        });
    }
}

#[test]
fn a_helper_does_work_beside_regions_while_the_leader_is_busy() {
    let gang = Gang::new(2);
    lead(&gang, 1, 1, || {
        for _ in 0..50 {
            // The leader does not come to the job before a helper has done all of it.
            let helped = AtomicU32::new(0);
            let run = |_| _ = helped.fetch_add(1, Ordering::Relaxed);
            let jobs = [Beside::new(3, &run), Beside::new(2, &run)];
            let steps = || -> Result<(), ()> {
                while helped.load(Ordering::Relaxed) < 5 {
                    std::thread::yield_now();
                }
                Ok(())
            };
            gang.beside(0, &jobs, steps, |_| ()).expect("the steps succeed");
        }
    });
}

#[test]
fn steps_that_fail_leave_nobody_in_the_work_beside_them() {
    let gang = Gang::new(3);
    lead(&gang, 1, 2, || {
        for round in 0..200u64 {
            let counts = [round % 7, 40];
            assert_eq!(in_order(&gang, &counts, || Err(())), Err(()));
            assert_eq!(gang.gate.load(Ordering::SeqCst) & (OPEN | INSIDE), 0);
            let panics = || in_order(&gang, &counts, || panic!("a step"));
            assert!(catch_unwind(AssertUnwindSafe(panics)).is_err());
            assert_eq!(gang.gate.load(Ordering::SeqCst) & (OPEN | INSIDE), 0);
        }
        in_order(&gang, &[3, 5], || Ok(())).expect("the steps succeed");
    });
}
