//! Dropout drops the same elements on every mesh, forward and backward, whatever computes them.

use crate::model::{Case, Placement, WHOLE};
use einmesh_ir::DType;
use einmesh_models::{Data, Tensor};

fn tensor(name: &str, shape: &[usize], seed: u64) -> Tensor {
    let mut state = seed;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state >> 40) as f32 / (1 << 24) as f32 - 0.5
    };
    let data = Data::F32((0..shape.iter().product()).map(|_| next()).collect());
    Tensor { name: name.to_owned(), shape: shape.to_vec(), data }
}

/// `shape` is that of `x`.
fn case(shape: [usize; 3]) -> Case {
    let key = Tensor { name: "r".to_owned(), shape: vec![], data: Data::I32(vec![4711]) };
    let layers = (0..3).flat_map(|l| {
        let name = |part| format!("layers.{l}.{part}");
        [tensor(&name("up"), &[10, 9], 2 * l), tensor(&name("down"), &[9, 10], 2 * l + 1)]
    });
    let tensors = layers.chain([tensor("x", &shape, 6), key]);
    Case::new("../tests/programs/dropout.ein", vec![], &[], tensors.collect())
}

const DATA: (&str, &[&str]) = ("data", &["B"]);
const TENSOR: (&str, &[&str]) = ("tensor", &["F"]);

const MESHES: [(&str, Placement); 4] = [
    ("data=2", Placement { mesh: &[("data", 2)], shard: &[DATA], fsdp: &[] }),
    ("data=7", Placement { mesh: &[("data", 7)], shard: &[DATA], fsdp: &[] }),
    ("tensor=3", Placement { mesh: &[("tensor", 3)], shard: &[TENSOR], fsdp: &[] }),
    (
        "data=3,tensor=2",
        Placement { mesh: &[("data", 3), ("tensor", 2)], shard: &[DATA, TENSOR], fsdp: &[] },
    ),
];
const IN_PARTS: (&str, Placement) = (
    "fsdp data=2",
    Placement { mesh: &[("data", 2)], shard: &[DATA], fsdp: &[("data", "Params")] },
);

#[test]
fn the_same_elements_are_kept_on_every_mesh() {
    let case = case([7, 5, 9]);
    let alone = case.compiled(&WHOLE, "kept", DType::F32);
    let dropped = alone[0].floats().iter().filter(|y| **y == 0.0).count();
    assert!((63..189).contains(&dropped), "{dropped} of 315 at a rate of 0.4");
    for (name, placement) in &MESHES {
        assert_eq!(case.compiled(placement, "kept", DType::F32), alone, "{name}");
    }
}

/// A single element dropped in one place and kept in another would show in the gradients.
#[test]
fn steps_with_dropout_agree_on_every_mesh() {
    let case = case([7, 5, 10]);
    for placements in [&MESHES[..], &[IN_PARTS]] {
        case.partitions_exactly("steps", placements);
        case.agrees_on_meshes("steps", 1e-4, placements);
    }
}
