//! How many multiplications and additions of f32 this machine could do at most.

use std::hint::black_box;
use std::time::{Duration, Instant};

/// Sums that do not wait for one another: more than latency × units of any x86-64 processor so far.
const CHAINS: usize = 12;
/// Multiply-adds of each chain between two looks at the clock.
const ROUNDS: u32 = 20_000;

/// Floating-point operations a second of f32 on `threads` threads: measured with vector multiply-adds that
/// stay in registers, for about 40 ms. What matrix kernels reach is compared with it as utilisation (MFU).
pub fn peak_flops(threads: usize) -> f64 {
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads.max(1)).map(|_| scope.spawn(one_thread)).collect();
        workers.into_iter().map(|worker| worker.join().expect("it does not panic")).sum()
    })
}

fn one_thread() -> f64 {
    let begin = Instant::now();
    let mut best = 0.0_f64;
    while begin.elapsed() < Duration::from_millis(40) {
        let start = Instant::now();
        let lanes = multiply_adds();
        let flops = 2.0 * (lanes * CHAINS) as f64 * f64::from(ROUNDS);
        best = best.max(flops / start.elapsed().as_secs_f64());
    }
    best
}

/// Runs all chains and says how many lanes a vector has.
fn multiply_adds() -> usize {
    #[cfg(target_arch = "x86_64")]
    {
        if is_x86_feature_detected!("avx512f") {
            // SAFETY: the processor has AVX-512.
            unsafe { avx512() };
            return 16;
        }
        if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
            // SAFETY: the processor has AVX2 and FMA.
            unsafe { avx2() };
            return 8;
        }
    }
    let mut sums = [1.0_f32; CHAINS];
    for _ in 0..ROUNDS {
        sums = sums.map(|sum| sum * black_box(0.5) + 0.5);
    }
    black_box(sums);
    1
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f")]
fn avx512() {
    use std::arch::x86_64::*;
    let (factor, summand) = (_mm512_set1_ps(black_box(0.5)), _mm512_set1_ps(black_box(0.5)));
    let mut sums = [_mm512_set1_ps(1.0); CHAINS];
    for _ in 0..ROUNDS {
        for sum in &mut sums {
            *sum = _mm512_fmadd_ps(*sum, factor, summand);
        }
    }
    black_box(sums);
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn avx2() {
    use std::arch::x86_64::*;
    let (factor, summand) = (_mm256_set1_ps(black_box(0.5)), _mm256_set1_ps(black_box(0.5)));
    let mut sums = [_mm256_set1_ps(1.0); CHAINS];
    for _ in 0..ROUNDS {
        for sum in &mut sums {
            *sum = _mm256_fmadd_ps(*sum, factor, summand);
        }
    }
    black_box(sums);
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_machine_computes_something() {
        assert!(super::peak_flops(1) > 1e6);
    }
}
