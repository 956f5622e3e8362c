//! GPT-2 from `models/gpt2.ein`, on meshes: against the interpreter in f64, and against values that a
//! float64 PyTorch model gave on the same weights and tokens.

use crate::model::{Case, Placement};
use einmesh_driver::Goal;
use einmesh_ir::DType;
use einmesh_models::Checksum;
use einmesh_models::gpt2::{Config, batch, weights};

fn case(config: Config, rows: usize, length: usize) -> Case {
    let mut definitions = config.definitions();
    definitions.extend([("B", rows), ("T", length)]);
    let mut tensors = weights(&config);
    tensors.extend(batch(&config, rows, length));
    Case::new("gpt2.ein", definitions, &[], tensors)
}

/// Nothing divides anything.
fn odd() -> Case {
    case(Config { L: 3, D: 192, H: 6, P: 77, V: 1003, F: 768 }, 2, 77)
}

fn tiny() -> Case {
    case(Config::TINY, 4, 256)
}

const TENSOR: (&str, &[&str]) = ("tensor", &["H", "F", "V"]);
const PLACEMENTS: [(&str, Placement); 6] = [
    ("data=2", Placement { mesh: &[("data", 2)], shard: &[("data", &["B"])], fsdp: &[] }),
    ("tensor=2", Placement { mesh: &[("tensor", 2)], shard: &[TENSOR], fsdp: &[] }),
    ("tensor=3", Placement { mesh: &[("tensor", 3)], shard: &[TENSOR], fsdp: &[] }),
    (
        "data=2,tensor=2",
        Placement {
            mesh: &[("data", 2), ("tensor", 2)],
            shard: &[("data", &["B"]), TENSOR],
            fsdp: &[],
        },
    ),
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

#[test]
fn two_all_reduces_per_layer_and_the_vocabularys() {
    let case = tiny();
    let config = Config::TINY;
    for size in [2, 4, 8] {
        let mesh: &'static [(&str, u64)] = match size {
            2 => &[("tensor", 2)],
            4 => &[("tensor", 4)],
            _ => &[("tensor", 8)],
        };
        let placement = Placement { mesh, shard: &[TENSOR], fsdp: &[] };
        let parted = case.products(&placement, "forward", Goal::Interpret, DType::F32);
        let reduces: u64 = parted.collectives.iter().map(|c| c.count).sum();
        assert!(
            parted.collectives.iter().all(|c| c.op == "all_reduce"),
            "{:#?}",
            parted.collectives
        );
        assert_eq!(reduces, 2 * config.L as u64 + 1, "{:#?}", parted.collectives);
        let payload = (4 * 256 * config.D * 4) as u64;
        let textbook = reduces * payload * 2 * (size - 1) / size;
        let wire: u64 = parted.collectives.iter().map(|c| c.count * c.wire_bytes).sum();
        assert!(wire <= textbook, "{wire} > {textbook}");
    }
}

/// From PyTorch in float64 on the same weights and tokens.
#[test]
fn the_tiny_model_agrees_with_pytorch() {
    let expected =
        Checksum { sum: 40.015_290_946_1, abs_sum: 7_562.335_133_833, weighted: 14.633_897_949_2 };
    tiny().agrees_with_pytorch(expected, 9.046_258_493_5);
}
