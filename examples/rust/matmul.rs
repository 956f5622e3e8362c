//! A matrix product, compiled for its extents, and beside it one for any.

use einmesh::prelude::*;
use std::time::Instant;

/// The product of two matrices of 256 × 256, in both ways.
pub fn products(x: &Tensor<f32, 2>, y: &Tensor<f32, 2>) -> Result<[Tensor<f32, 2>; 2], Error> {
    let known = einsum!("i j, j k -> i k", x, y; i = 256, j = 256, k = 256)?;
    let open = einsum!("i j, j k -> i k", x, y)?;
    Ok([known, open])
}

#[allow(dead_code)]
fn main() -> Result<(), Error> {
    let x = Tensor::from_fn([256, 256], |[i, j]| ((i * j) % 7) as f32);
    let y = Tensor::from_fn([256, 256], |[i, j]| ((i + j) % 5) as f32);
    let [known, open] = products(&x, &y)?;
    assert_eq!(known, open);
    let start = Instant::now();
    for _ in 0..100 {
        einsum!("i j, j k -> i k", x, y; i = 256, j = 256, k = 256)?;
    }
    let each = start.elapsed() / 100;
    println!(
        "256 × 256 × 256: {each:?} each, {:.0} GFLOP/s",
        2.0 * 256f64.powi(3) / each.as_secs_f64() / 1e9
    );
    Ok(())
}
