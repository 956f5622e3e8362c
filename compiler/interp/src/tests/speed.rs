//! The evaluator must be fast enough for whole models in tests.

use super::*;
use std::time::Instant;

/// A contraction of six million points, right, and with its rate printed.
#[test]
fn large_contractions_are_right() {
    let (n, m, k) = (96, 256, 256);
    let mut c = Case::new();
    let [i, j, l] = [("I", n), ("J", m), ("K", k)].map(|(name, extent)| c.dim(name, extent));
    let ones = |n: u64| vec![1.0; n as usize];
    let x = c.floats(DType::F32, &[i, l], &ones(n * k));
    let y = c.floats(DType::F32, &[l, j], &ones(k * m));
    let z = c.builder.einsum("z", &[i, j], x, y);
    c.builder.output(z);
    let start = Instant::now();
    let results = c.run(Precision::Program);
    let rate = (n * m * k) as f64 / start.elapsed().as_secs_f64() / 1e6;
    // Printed, not asserted: the machine may be busy.
    println!("{rate:.0} million points per second");
    assert_eq!(results[0].floats()[0], k as f64);
}
