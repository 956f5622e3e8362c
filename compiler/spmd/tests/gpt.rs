//! GPT-2 under the plans of the literature: which collectives, how many bytes, and the numbers.

#[path = "../../plan/tests/common/mod.rs"]
mod planned;

use einmesh_interp::{Data, Precision, Tensor, evaluate, evaluate_spmd};
use einmesh_ir::{DType, Directives, Program, SpmdProgram};
use einmesh_plan::plan;
use einmesh_spmd::{collectives, partition, verify_collectives};
use planned::gpt::{Config, SMALL, gpt};
use planned::{fsdp, mesh, shard};

const ODD: Config = Config { b: 3, t: 5, p: 7, v: 11, d: 8, h: 2, f: 10, l: 2 };

/// `@mesh(axes)`, `@shard(data: B, tensor: [H, F, V])`, as far as the mesh goes.
fn megatron(program: &Program, axes: &[(&str, u64)]) -> Directives {
    let mut directives = mesh(axes);
    for (axis, dims) in [("data", &["B"][..]), ("tensor", &["H", "F", "V"])] {
        if axes.iter().any(|(name, _)| *name == axis) {
            directives.shard.push(shard(program, axis, dims, 10));
        }
    }
    directives
}

fn partitioned(program: &Program, directives: &Directives) -> SpmdProgram {
    let (plan, found) = plan(program, directives);
    assert!(!found.has_errors(), "{found:?}");
    assert_eq!(einmesh_spmd::check(program, &plan), [""; 0]);
    let spmd = partition(program, &plan);
    assert_eq!(verify_collectives(&spmd), []);
    spmd
}

/// `count × op axes payload`, one line per collective.
fn rows(spmd: &SpmdProgram) -> Vec<String> {
    let rows = collectives(spmd);
    let line = |r: &einmesh_spmd::CollectiveRow| {
        format!("{} {} {} {} {}", r.count, r.op, r.axes.join("+"), r.payload_bytes, r.index)
    };
    rows.iter().map(line).collect()
}

/// Megatron's two per layer, and one for the embedding looked up in a split vocabulary.
#[test]
fn tensor_parallel_reduces_twice_per_layer() {
    for tensor in [2, 3, 4] {
        let program = gpt(&SMALL, false);
        let spmd = partitioned(&program, &megatron(&program, &[("tensor", tensor)]));
        let activations = 8 * 64 * 768 * 4;
        assert_eq!(
            rows(&spmd),
            [
                format!("1 all_reduce tensor {activations} v"),
                format!("12 all_reduce tensor {activations} h"),
                format!("12 all_reduce tensor {activations} f"),
            ]
        );
    }
}

/// Korthikanti et al. 2022: with the residual stream split along the sequence, each all-reduce
/// becomes a reduce-scatter and an all-gather of the same bytes.
#[test]
fn sequence_parallel_scatters_and_gathers() {
    let program = gpt(&SMALL, false);
    let mut directives = mesh(&[("tensor", 4)]);
    directives.shard.push(shard(&program, "tensor", &["H", "F", "V", "T"], 10));
    let (activations, tokens) = (8 * 64 * 768 * 4, 8 * 64 * 4);
    assert_eq!(
        rows(&partitioned(&program, &directives)),
        [
            format!("1 all_gather tensor {tokens} t"),
            format!("1 reduce_scatter tensor {activations} v"),
            format!("12 all_gather tensor {activations} t"),
            format!("12 reduce_scatter tensor {activations} h"),
            format!("12 all_gather tensor {activations} t"),
            format!("12 reduce_scatter tensor {activations} f"),
            format!("1 all_gather tensor {activations} t"),
        ]
    );
}

#[test]
fn data_parallel_forward_is_silent() {
    let program = gpt(&SMALL, false);
    let spmd = partitioned(&program, &megatron(&program, &[("data", 4)]));
    assert_eq!(rows(&spmd), [""; 0]);
}

/// Of the loss, only what is left of each token and then two scalars are communicated.
#[test]
fn a_split_vocabulary_reduces_per_token() {
    let program = gpt(&SMALL, true);
    let spmd = partitioned(&program, &megatron(&program, &[("data", 2), ("tensor", 4)]));
    let (activations, tokens) = (4 * 64 * 768 * 4, 4 * 64 * 4);
    assert_eq!(
        rows(&spmd),
        [
            format!("1 all_reduce tensor {activations} v"),
            format!("12 all_reduce tensor {activations} h"),
            format!("12 all_reduce tensor {activations} f"),
            format!("1 all_reduce tensor {tokens} v"),
            format!("1 all_reduce tensor {tokens} v"),
            format!("1 all_reduce tensor {tokens} v"),
            "1 all_reduce data 4 b".to_owned(),
            "1 all_reduce data 4 b".to_owned(),
        ]
    );
}

/// Each layer's parameters are gathered in its iteration, once, and nothing else moves.
#[test]
fn fsdp_gathers_a_layer_at_a_time() {
    let program = gpt(&SMALL, false);
    let mut directives = megatron(&program, &[("data", 4)]);
    directives.fsdp.push(fsdp("data", "Params", 50));
    let spmd = partitioned(&program, &directives);
    let rows = collectives(&spmd);
    let (d, f) = (768, 3072);
    let layer = 4 * (4 * d + 3 * d * d + 3 * d + d * d + d + d * f + f + f * d + d);
    let gathered: u64 = rows.iter().filter(|r| r.count == 12).map(|r| r.payload_bytes).sum();
    assert_eq!(gathered, layer);
    assert!(rows.iter().filter(|r| r.count == 12).all(|r| r.op == "all_gather"));
    let held = |spmd: &SpmdProgram| -> u64 {
        spmd.program.inputs.iter().map(|i| spmd.program.bytes(i.value)).sum()
    };
    let whole: u64 = program.inputs.iter().map(|i| program.bytes(i.value)).sum();
    assert!(held(&spmd) * 100 < whole * 26, "each device keeps a quarter of the parameters");
}

/// Numbers in [-1/2, 1/2), and tokens.
fn inputs(program: &Program, vocabulary: u64) -> Vec<Tensor> {
    let mut state = 1u64;
    let mut next = move || {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        state >> 33
    };
    let tensors = program.inputs.iter().map(|input| {
        let shape: Vec<usize> = program.extents(input.value).iter().map(|e| *e as usize).collect();
        let count = shape.iter().product::<usize>();
        match program.values[input.value].dtype {
            DType::I32 => {
                let tokens: Vec<i64> = (0..count).map(|_| (next() % vocabulary) as i64).collect();
                Tensor::int(DType::I32, &shape, tokens)
            }
            dtype => {
                let numbers: Vec<f64> =
                    (0..count).map(|_| next() as f64 / (1u64 << 31) as f64 - 0.5).collect();
                Tensor::float(dtype, &shape, numbers)
            }
        }
    });
    tensors.collect()
}

/// Sums are associated differently on each mesh; with f64 and sums of at most 30 terms of size 1
/// the difference stays below 1e-12.
#[test]
fn logits_and_loss_are_those_of_one_device() {
    let meshes: [&[(&str, u64)]; 6] = [
        &[("data", 2)],
        &[("tensor", 2)],
        &[("tensor", 3)],
        &[("data", 2), ("tensor", 2)],
        &[("data", 2), ("tensor", 4)],
        &[("data", 4)],
    ];
    for with_loss in [false, true] {
        let program = gpt(&ODD, with_loss);
        let inputs = inputs(&program, ODD.v);
        let whole = evaluate(&program, &inputs, Precision::F64).expect("runs");
        for (at, axes) in meshes.into_iter().enumerate() {
            let mut directives = megatron(&program, axes);
            if at == 5 {
                directives.fsdp.push(fsdp("data", "Params", 50));
            }
            let spmd = partitioned(&program, &directives);
            let parts = evaluate_spmd(&spmd, &inputs, Precision::F64).expect("runs");
            let (Data::Float(a), Data::Float(b)) = (&whole[0].data, &parts[0].data) else {
                panic!("logits and losses are floats")
            };
            assert_eq!(a.len(), b.len());
            for (a, b) in a.iter().zip(b) {
                assert!((a - b).abs() <= 1e-12, "{a} and {b} on {axes:?}");
            }
        }
    }
}
