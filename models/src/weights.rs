//! Checkpoints and batches that are a pure function of their tensors' names.

use crate::generator::{seed, tokens, uniform};
use crate::tensor::{Data, Tensor};

/// A tensor of a checkpoint: its name, its extents, and how it is initialised.
pub type Weight = (String, Vec<usize>, Init);

/// How a weight is initialised.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Init {
    /// Uniform in ± half of this power of two.
    Uniform(i32),
    /// Ones, for the weights of norms.
    Ones,
    /// Zeros, for biases.
    Zeros,
}

/// Matrices: ±2⁻⁵.
pub const WIDE: Init = Init::Uniform(-4);
/// Projections into the residual stream: ±2⁻⁷.
pub const RESIDUAL: Init = Init::Uniform(-6);

/// The tensors of a specification.
pub fn checkpoint(specification: Vec<Weight>) -> Vec<Tensor> {
    let tensors = specification.into_iter();
    tensors
        .map(|(name, shape, init)| {
            let count = shape.iter().product();
            let elements = match init {
                Init::Uniform(exponent) => uniform(count, seed(&name), f64::from(exponent).exp2()),
                Init::Ones => vec![1.0; count],
                Init::Zeros => vec![0.0; count],
            };
            Tensor { name, shape, data: Data::F32(elements) }
        })
        .collect()
}

/// Multiplies all matrices: a trained model's are larger than those of [`checkpoint`], with which a
/// model repeats itself. Exact if `gain` is a power of two.
pub fn amplify(tensors: &mut [Tensor], gain: f32) {
    for tensor in tensors.iter_mut().filter(|t| t.shape.len() >= 2) {
        if let Data::F32(elements) = &mut tensor.data {
            elements.iter_mut().for_each(|x| *x *= gain);
        }
    }
}

/// How many numbers a specification has.
pub fn parameters(specification: &[Weight]) -> usize {
    specification.iter().map(|(_, shape, _)| shape.iter().product::<usize>()).sum()
}

/// A batch of pseudo-random tokens: `tokens` and the `targets` that follow them.
pub fn batch(vocabulary: usize, rows: usize, length: usize) -> [Tensor; 2] {
    let all = tokens(rows * (length + 1), seed("tokens"), vocabulary as u32);
    let row = |r: usize, shift: usize| &all[r * (length + 1) + shift..][..length];
    let tensor = |name: &str, shift: usize| Tensor {
        name: name.to_owned(),
        shape: vec![rows, length],
        data: Data::I32((0..rows).flat_map(|r| row(r, shift)).copied().collect()),
    };
    [tensor("tokens", 0), tensor("targets", 1)]
}
