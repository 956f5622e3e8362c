//! Training: gradients and whole runs of AdamW as one program, against the interpreter in f64 and against
//! the losses of a float64 PyTorch model on the same weights and tokens.

use crate::compiled::difference;
use crate::model::{Case, WHOLE};
use einmesh_interp::Tensor;
use einmesh_ir::DType;
use einmesh_models::gpt2::{Config, batch, weights};

/// Ten steps of AdamW on one batch, by torch in float64; the loss before each.
const LOSSES: [f64; 10] = [
    9.046258493510814,
    8.211441701132424,
    7.755214568144818,
    7.701714749711849,
    7.564776477977636,
    7.318519352192074,
    6.908844907798465,
    6.688034182121226,
    6.369883295170819,
    6.1305483712375555,
];

fn case(config: Config, rows: usize, length: usize) -> Case {
    let mut definitions = config.definitions();
    definitions.extend([("B", rows), ("T", length)]);
    let mut tensors = weights(&config);
    tensors.extend(batch(&config, rows, length));
    Case::new("../tests/programs/gpt2_steps.ein", definitions, &[], tensors)
}

/// Nothing divides anything.
fn odd() -> Case {
    case(Config { L: 3, D: 54, H: 3, P: 37, V: 203, F: 77 }, 2, 35)
}

/// An entry in f32, compiled, is within `rounding` of the interpreter's f64.
fn agrees(entry: &str, rounding: f64) {
    let case = odd();
    let wide = |all: Vec<Tensor>| -> Vec<Tensor> {
        all.into_iter().map(|t| Tensor { dtype: DType::F64, ..t }).collect()
    };
    let expected = wide(case.precise(entry));
    let found = wide(case.compiled(&WHOLE, entry, DType::F32));
    assert_eq!(difference(&expected, &found, rounding), None, "{entry}");
}

#[test]
fn gradients_of_odd_sizes_agree_with_f64() {
    agrees("gradient", 1e-4);
}

#[test]
fn steps_of_odd_sizes_agree_with_f64() {
    agrees("losses", 1e-4);
}

#[test]
fn ten_steps_have_pytorchs_losses() {
    let case = case(Config::TINY, 4, 256);
    let losses = case.compiled(&WHOLE, "losses", DType::F32).remove(0);
    for (found, expected) in losses.floats().iter().zip(LOSSES) {
        assert!((found - expected).abs() <= 1e-4 * expected, "{found}, expected {expected}");
    }
}
