//! LLaMA from `models/llama.ein`, on meshes: against the interpreter in f64, and against values that a
//! float64 PyTorch model gave on the same weights and tokens.

use crate::model::{Case, Placement};
use einmesh_models::Checksum;
use einmesh_models::llama::{Config, batch, weights};

fn case(config: Config, rows: usize, length: usize) -> Case {
    let mut definitions = config.definitions();
    definitions.extend([("B", rows), ("T", length)]);
    let mut tensors = weights(&config);
    tensors.extend(batch(&config, rows, length));
    Case::new("llama.ein", definitions, &[("theta", "10000")], tensors)
}

/// Nothing divides anything.
fn odd() -> Case {
    case(Config { L: 3, D: 180, H: 15, G: 5, V: 1003, F: 331 }, 3, 61)
}

const TENSOR: (&str, &[&str]) = ("tensor", &["G", "F", "V"]);
const PLACEMENTS: [(&str, Placement); 4] = [
    ("tensor=2", Placement { mesh: &[("tensor", 2)], shard: &[TENSOR], fsdp: &[] }),
    ("tensor=3", Placement { mesh: &[("tensor", 3)], shard: &[TENSOR], fsdp: &[] }),
    (
        "data=2,tensor=4",
        Placement {
            mesh: &[("data", 2), ("tensor", 4)],
            shard: &[("data", &["B"]), TENSOR],
            fsdp: &[],
        },
    ),
    (
        "fsdp data=4",
        Placement { mesh: &[("data", 4)], shard: &[("data", &["B"])], fsdp: &[("data", "Params")] },
    ),
];

#[test]
fn odd_sizes_agree_with_f64_on_every_mesh() {
    odd().agrees_on_meshes("forward", 2e-4, &PLACEMENTS);
}

#[test]
fn simulated_ranks_agree_in_f64() {
    odd().partitions_exactly("forward", &PLACEMENTS);
}

/// From PyTorch in float64 on the same weights and tokens.
#[test]
fn the_tiny_model_agrees_with_pytorch() {
    let expected =
        Checksum { sum: -46.100_368_636_8, abs_sum: 7_443.775_940_858, weighted: 2.415_373_731_6 };
    case(Config::TINY, 4, 256).agrees_with_pytorch(expected, 9.039_159_757_2);
}
