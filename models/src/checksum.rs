//! Position-sensitive summaries of a tensor.

use crate::generator::uniform_at;

/// The seed of the weights of [`Checksum::weighted`].
const WEIGHTS_SEED: u32 = 0x00C0_FFEE;

/// Sums over a tensor in f64, in row-major order.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Checksum {
    /// Σ y
    pub sum: f64,
    /// Σ |y|
    pub abs_sum: f64,
    /// Σ y · w, with w reproducible uniform numbers in ±½: it changes when elements change places.
    pub weighted: f64,
}

impl Checksum {
    /// The summary of a tensor's elements.
    pub fn of(elements: impl IntoIterator<Item = f64>) -> Checksum {
        let mut all = Checksum { sum: 0.0, abs_sum: 0.0, weighted: 0.0 };
        for (i, y) in elements.into_iter().enumerate() {
            all.sum += y;
            all.abs_sum += y.abs();
            all.weighted += y * uniform_at(i as u32, WEIGHTS_SEED, 1.0);
        }
        all
    }
}
