//! GPT-2 and LLaMA in bf16, compiled: the logits against the interpreter's in f64 on the same weights, which
//! are numbers of bf16, within an error that is derived from the depth.
//!
//! # How far bf16 may be
//!
//! Let e be the rms error of a tensor relative to its rms. Rounding to bf16 (8 bits) moves a number by half a
//! spacing at most, which is u = 2⁻⁸ of it; evenly spread errors have the rms u/√3, so that one rounding
//! adds at most u²/3 to e². Roundings are as good as independent of each other, so that squares add:
//!
//! * A sum of K products with a weight, each term with an error of its own, has the error of its operand
//!   whatever K is: √K terms of error beside √K terms of value. Sums are accumulated in f32, whose own error of
//!   √K · 2⁻²⁴ is nothing beside u for the K ≤ 1024 here. A sum over two computed operands has e₁² + e₂².
//! * A norm keeps e, since it divides by what is large as a whole.
//! * A scalar function of which the derivative is about 1 at most keeps e and adds its steps' roundings. Scores of
//!   attention are below 1 with these weights, so that exp turns their absolute errors into relative ones.
//! * `x + f(x)`: with ρ the part of f in |x|² + |f|², which is about |x + f|² as f is nearly orthogonal to x,
//!   e² becomes (1 − ρ) e² + ρ (g e² + n u²/3) + r u²/3: f makes n roundings, reads x by g ways that reach its
//!   result with full size (both sides of a gated layer; queries and keys reach it only through scores
//!   far below 1), and the sum is rounded r times. The branches are at most as large as the stream: ρ ≤ ½.
//!
//! An error of one logit is a sum of D independent ones: close to normal, and 6 standard deviations
//! are not met by chance among 10⁶ logits. Below a single rounding's error it would not be bf16 that ran.

use crate::model::{Case, WHOLE};
use einmesh_interp::Tensor;
use einmesh_ir::DType;
use einmesh_models::{Data, gpt2, llama};

/// The roundings of a branch of the residual stream.
struct Branch {
    /// n above.
    roundings: f64,
    /// g above.
    ways: f64,
}

/// The roundings of a model, by what computes in bf16.
struct Roundings {
    /// The embedding's.
    embedding: f64,
    attention: Branch,
    mlp: Branch,
    /// Of `x + f(x)`: r above.
    residual: f64,
    /// Of the last norm and of the logits.
    head: f64,
}

impl Roundings {
    /// The relative rms error of the logits after so many layers.
    fn error(&self, layers: usize) -> f64 {
        const PART: f64 = 0.5;
        let mut square = self.embedding;
        for _ in 0..layers {
            for Branch { roundings, ways } in [&self.attention, &self.mlp] {
                let branch = ways * square + roundings;
                square = (1.0 - PART) * square + PART * branch + self.residual;
            }
        }
        ((square + self.head) / 3.0).sqrt() * UNIT
    }
}

/// Half the spacing of bf16 at 1.
const UNIT: f64 = 1.0 / 256.0;

/// `-D W=bf16`: every value of the program is rounded.
const GPT_STORED: Roundings = Roundings {
    embedding: 1.0,
    // Norm 3; query, key and value 2 each with their biases; scores 2; softmax 4; context 1; projection 2.
    attention: Branch { roundings: 18.0, ways: 1.0 },
    // Norm 3; product 2; GELU 7; projection 2.
    mlp: Branch { roundings: 14.0, ways: 1.0 },
    residual: 1.0,
    head: 4.0,
};

/// `@precision(compute: bf16)`: the operands of contractions are rounded, nothing else is.
const GPT_COMPUTED: Roundings = Roundings {
    embedding: 0.0,
    // Norm; query and key; probability and value; context.
    attention: Branch { roundings: 6.0, ways: 1.0 },
    // Norm; GELU.
    mlp: Branch { roundings: 2.0, ways: 1.0 },
    residual: 0.0,
    head: 1.0,
};

const LLAMA_STORED: Roundings = Roundings {
    embedding: 0.0,
    // Norm 2; query, key and value 3; rotations 2; the softmax's cast 1; context 1; projection 1.
    attention: Branch { roundings: 10.0, ways: 1.0 },
    // Norm 2; gate and up 2; SiLU 5; their product 1; down 1.
    mlp: Branch { roundings: 11.0, ways: 2.0 },
    residual: 1.0,
    head: 3.0,
};

const LLAMA_COMPUTED: Roundings = Roundings {
    embedding: 0.0,
    attention: Branch { roundings: 6.0, ways: 1.0 },
    // Norm; the gated product.
    mlp: Branch { roundings: 2.0, ways: 2.0 },
    residual: 0.0,
    head: 1.0,
};

/// Tokens: few, since the interpreter computes them too.
const LENGTH: usize = 24;

/// The case with weights of bf16, in wider arrays.
fn rounded(mut case: Case) -> Case {
    for tensor in &mut case.tensors {
        if let Data::F32(elements) = &mut tensor.data {
            elements.iter_mut().for_each(|x| *x = DType::Bf16.round(f64::from(*x)) as f32);
        }
    }
    case
}

fn gpt() -> Case {
    let config = gpt2::Config::TINY;
    let mut tensors = gpt2::weights(&config);
    tensors.extend(gpt2::batch(&config, 1, LENGTH));
    let mut definitions = config.definitions();
    definitions.extend([("B", 1), ("T", LENGTH)]);
    rounded(Case::new("gpt2.ein", definitions, &[], tensors))
}

fn llama() -> Case {
    let config = llama::Config::TINY;
    let mut tensors = llama::weights(&config);
    tensors.extend(llama::batch(&config, 1, LENGTH));
    let mut definitions = config.definitions();
    definitions.extend([("B", 1), ("T", LENGTH)]);
    rounded(Case::new("llama.ein", definitions, &[("theta", "10000")], tensors))
}

fn rms(elements: impl Iterator<Item = f64>) -> f64 {
    let (n, sum) = elements.fold((0.0, 0.0), |(n, sum), x| (n + 1.0, sum + x * x));
    f64::sqrt(sum / n)
}

/// Checks logits against f64 ones.
fn close(what: &str, precise: &Tensor, found: &Tensor, roundings: &Roundings, layers: usize) {
    assert_eq!(precise.shape, found.shape);
    let size = rms(precise.floats().iter().copied());
    let errors = || precise.floats().iter().zip(found.floats()).map(|(a, b)| (a - b).abs());
    let (error, largest) = (rms(errors()) / size, errors().fold(0.0, f64::max) / size);
    let bound = roundings.error(layers);
    println!(
        "{what}: rms {error:.2e} of {bound:.2e}, largest {largest:.2e} of {:.2e}",
        6.0 * bound
    );
    // The comparisons are false for NaN.
    assert!(error <= bound, "{what}: rms {error:.2e}, at most {bound:.2e}");
    assert!(largest <= 6.0 * bound, "{what}: {largest:.2e}, at most {:.2e}", 6.0 * bound);
    assert!(error >= UNIT / 3.0, "{what}: {error:.2e} is too good for bf16");
}

/// Both ways to compute in bf16.
fn check(case: &mut Case, layers: usize, stored: &Roundings, computed: &Roundings) {
    let precise = case.precise("forward").remove(0);
    let found = case.compiled(&WHOLE, "forward", DType::Bf16).remove(0);
    close("stored in bf16", &precise, &found, stored, layers);
    case.compute = Some(DType::Bf16);
    let found = case.compiled(&WHOLE, "forward", DType::F32).remove(0);
    close("computed in bf16", &precise, &found, computed, layers);
}

#[test]
fn gpt_in_bf16_is_within_its_roundings() {
    check(&mut gpt(), gpt2::Config::TINY.L, &GPT_STORED, &GPT_COMPUTED);
}

#[test]
fn llama_in_bf16_is_within_its_roundings() {
    check(&mut llama(), llama::Config::TINY.L, &LLAMA_STORED, &LLAMA_COMPUTED);
}
