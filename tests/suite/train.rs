//! Training: gradients and whole runs of AdamW as one program, against the interpreter in f64 and against
//! the losses of a float64 PyTorch model on the same weights and tokens.

use crate::compiled::difference;
use crate::model::{Case, Placement, WHOLE};
use einmesh_interp::Tensor;
use einmesh_ir::DType;
use einmesh_models::{gpt2, llama};

/// Ten steps of AdamW on one batch, by torch in float64; the loss before each.
pub const GPT: [f64; 10] = [
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
pub const LLAMA: [f64; 10] = [
    9.03915975720194,
    8.62512558168738,
    8.693203527972392,
    8.385785662603269,
    8.342453438733694,
    8.03870621136472,
    7.781099192693171,
    7.462948964224462,
    7.34310042114144,
    7.01980021440504,
];

fn gpt(config: gpt2::Config, rows: usize, length: usize) -> Case {
    let mut definitions = config.definitions();
    definitions.extend([("B", rows), ("T", length)]);
    let mut tensors = gpt2::weights(&config);
    tensors.extend(gpt2::batch(&config, rows, length));
    Case::new("../tests/programs/gpt2_steps.ein", definitions, &[], tensors)
}

fn llama(config: llama::Config, rows: usize, length: usize) -> Case {
    let mut definitions = config.definitions();
    definitions.extend([("B", rows), ("T", length)]);
    let mut tensors = llama::weights(&config);
    tensors.extend(llama::batch(&config, rows, length));
    Case::new("../tests/programs/llama_steps.ein", definitions, &[], tensors)
}

/// Nothing divides anything.
fn odd_gpt() -> Case {
    gpt(gpt2::Config { L: 3, D: 54, H: 3, P: 37, V: 203, F: 77 }, 3, 35)
}

fn odd_llama() -> Case {
    llama(llama::Config { L: 3, D: 60, H: 6, G: 3, V: 203, F: 77 }, 3, 35)
}

const GPT_DIMS: (&str, &[&str]) = ("tensor", &["H", "F", "V"]);
const LLAMA_DIMS: (&str, &[&str]) = ("tensor", &["G", "F", "V"]);
const DATA: (&str, &[&str]) = ("data", &["B"]);

/// An entry in f32, compiled, is within `rounding` of the interpreter's f64.
fn agrees(case: &Case, entry: &str, rounding: f64) {
    let wide = |all: Vec<Tensor>| -> Vec<Tensor> {
        all.into_iter().map(|t| Tensor { dtype: DType::F64, ..t }).collect()
    };
    let expected = wide(case.precise(entry));
    let found = wide(case.compiled(&WHOLE, entry, DType::F32));
    assert_eq!(difference(&expected, &found, rounding), None, "{}: {entry}", case.file);
}

#[test]
fn gradients_of_odd_sizes_agree_with_f64() {
    agrees(&odd_gpt(), "gradient", 1e-4);
    agrees(&odd_llama(), "gradient", 1e-4);
}

#[test]
fn steps_of_odd_sizes_agree_with_f64() {
    agrees(&odd_gpt(), "losses", 1e-4);
    agrees(&odd_llama(), "losses", 1e-4);
}

#[test]
fn simulated_ranks_have_the_same_gradients() {
    let placements =
        |tensor: &'static [(&'static str, &'static [&'static str])],
         both: &'static [(&'static str, &'static [&'static str])]| {
            let place = |mesh, shard, fsdp| Placement { mesh, shard, fsdp };
            [
                ("data=2", place(&[("data", 2)], &[DATA], &[])),
                ("tensor=3", place(&[("tensor", 3)], tensor, &[])),
                ("data=2,tensor=2", place(&[("data", 2), ("tensor", 2)], both, &[])),
                ("fsdp data=2", place(&[("data", 2)], &[DATA], &[("data", "Params")])),
            ]
        };
    odd_gpt().partitions_exactly("gradient", &placements(&[GPT_DIMS], &[DATA, GPT_DIMS]));
    odd_llama().partitions_exactly("gradient", &placements(&[LLAMA_DIMS], &[DATA, LLAMA_DIMS]));
}

fn has_losses(case: &Case, placement: &Placement, expected: [f64; 10]) {
    let losses = case.compiled(placement, "losses", DType::F32).remove(0);
    for (found, expected) in losses.floats().iter().zip(expected) {
        let close = (found - expected).abs() <= 1e-4 * expected;
        assert!(close, "{} on {:?}: {found}, expected {expected}", case.file, placement.mesh);
    }
}

#[test]
fn ten_steps_of_gpt_have_pytorchs_losses() {
    let case = gpt(gpt2::Config::TINY, 4, 256);
    has_losses(&case, &WHOLE, GPT);
    let mesh = &[("data", 2), ("tensor", 2)];
    has_losses(&case, &Placement { mesh, shard: &[DATA, GPT_DIMS], fsdp: &[] }, GPT);
}

#[test]
fn ten_steps_of_llama_have_pytorchs_losses() {
    has_losses(&llama(llama::Config::TINY, 4, 256), &WHOLE, LLAMA);
}
