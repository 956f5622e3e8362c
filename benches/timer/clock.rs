//! Timing: medians over repetitions, with what else the machine did meanwhile.

use serde_json::{Value, json};
use std::hint::black_box;
use std::time::Instant;

/// Repetitions at least, and at most.
const REPETITIONS: (usize, usize) = (3, 20_000);
/// `/proc/stat` counts hundredths of a second: in a shorter time than this it tells nothing.
const TELLING_S: f64 = 0.2;

/// Times `run` for about `budget_s` seconds, after a warm-up; a run that takes much longer is its own.
pub fn time(budget_s: f64, mut run: impl FnMut() -> Result<(), String>) -> Result<Value, String> {
    let mut once = || {
        let begin = Instant::now();
        run().map(|()| begin.elapsed().as_secs_f64())
    };
    let (mut busy, mut own, mut start) = (busy_s(), own_s(), Instant::now());
    let mut times = vec![once()?];
    if times[0] < 2.0 * budget_s {
        times.clear();
        (busy, own, start) = (busy_s(), own_s(), Instant::now());
        while times.len() < REPETITIONS.0
            || (start.elapsed().as_secs_f64() < budget_s && times.len() < REPETITIONS.1)
        {
            times.push(once()?);
        }
    }
    let wall = start.elapsed().as_secs_f64();
    let others = ((busy_s() - busy - (own_s() - own)) / wall).max(0.0);
    times.sort_by(f64::total_cmp);
    let other_cores = (wall >= TELLING_S).then_some(others);
    Ok(json!({
        "median_s": times[times.len() / 2],
        "min_s": times[0],
        "repetitions": times.len(),
        "other_cores": other_cores,
    }))
}

/// Seconds of CPU that all processes have used.
fn busy_s() -> f64 {
    let stat = std::fs::read_to_string("/proc/stat").unwrap_or_default();
    let fields = stat.lines().next().unwrap_or_default().split_whitespace().skip(1).take(8);
    let ticks = fields.enumerate().map(|(i, n)| match i {
        3 | 4 => 0.0,
        _ => n.parse().unwrap_or(0.0),
    });
    // SAFETY: asks for a number.
    ticks.sum::<f64>() / unsafe { libc::sysconf(libc::_SC_CLK_TCK) } as f64
}

/// Seconds of CPU that this process has used.
fn own_s() -> f64 {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `now` is there to be written.
    unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &mut now) };
    now.tv_sec as f64 + now.tv_nsec as f64 * 1e-9
}

/// Bytes per second that threads read from memory together: the bound of kernels that read each weight once.
pub fn read_bandwidth(threads: usize, bytes: usize, budget_s: f64) -> Result<Value, String> {
    let memory: Vec<u64> = (0..bytes as u64 / 8).collect();
    let part = memory.len().div_ceil(threads.max(1));
    let mut answer = time(budget_s, || {
        std::thread::scope(|scope| {
            for part in memory.chunks(part) {
                scope.spawn(move || black_box(sum(part)));
            }
        });
        Ok(())
    })?;
    let seconds = answer["median_s"].as_f64().unwrap_or(f64::INFINITY);
    answer["bytes_per_s"] = json!(bytes as f64 / seconds);
    Ok(answer)
}

/// A sum with enough independent parts that it waits for memory only.
fn sum(numbers: &[u64]) -> u64 {
    let mut sums = [0u64; 32];
    let chunks = numbers.chunks_exact(sums.len());
    let rest = chunks.remainder().iter().fold(0u64, |a, b| a.wrapping_add(*b));
    for chunk in chunks {
        for (sum, number) in sums.iter_mut().zip(chunk) {
            *sum = sum.wrapping_add(*number);
        }
    }
    sums.into_iter().fold(rest, u64::wrapping_add)
}
