//! GPT-2 on the meshes that matter: the plans are those of the literature.

mod common;

use common::gpt::{Config, SMALL, gpt};
use common::inspect::{check_invariants, gathers, reductions, shown};
use common::*;
use einmesh_ir::{Directives, Program};
use einmesh_plan::{Plan, plan};

/// `@shard(data: B, tensor: [H, F, V])`, as far as the mesh goes.
fn megatron(program: &Program, axes: &[(&str, u64)]) -> Directives {
    let mut directives = mesh(axes);
    for (axis, dims) in [("data", &["B"][..]), ("tensor", &["H", "F", "V"])] {
        if axes.iter().any(|(name, _)| *name == axis) {
            directives.shard.push(shard(program, axis, dims, 10));
        }
    }
    directives
}

fn planned(program: &Program, directives: &Directives) -> Plan {
    assert_eq!(einmesh_ir::verify(program), []);
    let (plan, found) = plan(program, directives);
    assert!(found.is_empty(), "{found:?}");
    check_invariants(program, &plan);
    plan
}

#[track_caller]
fn check(program: &Program, plan: &Plan, expected: &[(&str, &str)]) {
    for (name, sharding) in expected {
        assert_eq!(shown(program, plan, value(program, name)), *sharding, "of {name}");
    }
}

#[test]
fn data_parallel_moves_nothing() {
    let program = gpt(&SMALL, false);
    let plan = planned(&program, &megatron(&program, &[("data", 2)]));
    assert_eq!(reductions(&program, &plan, "data"), [""; 0]);
    assert_eq!(gathers(&program, &plan, "data"), [""; 0]);
    check(
        &program,
        &plan,
        &[
            ("tokens", "[B@data, T]"),
            ("wte.weight", "[V, D]"),
            ("embed", "[B@data, T, D]"),
            ("ln_1.mu", "[B@data, T]"),
            ("s", "[B@data, H, T, U]"),
            ("logits", "[B@data, T, V]"),
        ],
    );
}

/// Shoeybi et al. 2019: two all-reduces per layer forward; one more for the sharded vocabulary.
#[test]
fn tensor_parallel_is_megatron() {
    for tensor in [2, 3] {
        let program = gpt(&SMALL, false);
        let plan = planned(&program, &megatron(&program, &[("tensor", tensor)]));
        assert_eq!(
            reductions(&program, &plan, "tensor"),
            ["all_reduce sum embed", "all_reduce sum proj", "all_reduce sum down"],
        );
        assert_eq!(gathers(&program, &plan, "tensor"), [""; 0]);
        check(
            &program,
            &plan,
            &[
                ("wte.weight", "[V@tensor, D]"),
                ("wpe.weight", "[P, D]"),
                ("h.attn.c_attn.weight", "[L, D, 3, H@tensor, K]"),
                ("h.attn.c_attn.bias", "[L, 3, H@tensor, K]"),
                ("h.attn.c_proj.weight", "[L, H@tensor, K, D]"),
                ("h.attn.c_proj.bias", "[L, D]"),
                ("h.mlp.c_fc.weight", "[L, D, F@tensor]"),
                ("h.mlp.c_proj.weight", "[L, F@tensor, D]"),
                ("embed", "[B, T, D]"),
                ("q", "[B, T, H@tensor, K]"),
                ("a", "[B, H@tensor, T, U]"),
                ("proj", "[B, T, D]"),
                ("x", "[B, T, D]"),
                ("logits", "[B, T, V@tensor]"),
            ],
        );
    }
}

#[test]
fn both_axes_are_independent() {
    let program = gpt(&SMALL, true);
    let plan = planned(&program, &megatron(&program, &[("data", 2), ("tensor", 4)]));
    assert_eq!(
        reductions(&program, &plan, "tensor"),
        [
            "all_reduce sum embed",
            "all_reduce sum proj",
            "all_reduce sum down",
            "all_reduce max ce.top",
            "all_reduce sum ce.den",
            "all_reduce sum ce",
        ],
    );
    // Sums over the batch: two scalars.
    assert_eq!(
        reductions(&program, &plan, "data"),
        ["all_reduce sum total", "all_reduce sum count"],
    );
    assert_eq!(gathers(&program, &plan, "tensor"), [""; 0], "logits are never gathered");
    assert_eq!(gathers(&program, &plan, "data"), [""; 0]);
    check(
        &program,
        &plan,
        &[
            ("q", "[B@data, T, H@tensor, K]"),
            ("logits", "[B@data, T, V@tensor]"),
            ("ce", "[B@data, T]"),
            ("loss", "[]"),
        ],
    );
}

#[test]
fn reasons_name_index_and_decorator() {
    let program = gpt(&SMALL, true);
    let plan = planned(&program, &megatron(&program, &[("data", 2), ("tensor", 4)]));
    let reason = |name: &str, axis: &str| {
        let key = (value(&program, name), plan.mesh.axis(axis).expect("an axis"));
        let reason = &plan.reasons[&key];
        (reason.dim.as_str(), reason.decorator.as_str())
    };
    let tensor = "@shard(tensor: [H, F, V])";
    assert_eq!(reason("proj", "tensor"), ("H", tensor));
    assert_eq!(reason("down", "tensor"), ("F", tensor));
    assert_eq!(reason("embed", "tensor"), ("V", tensor));
    assert_eq!(reason("ce.den", "tensor"), ("V", tensor));
    assert_eq!(reason("total", "data"), ("B", "@shard(data: B)"));
    // Propagated values keep the decorator they owe their split to.
    assert_eq!(reason("ln_1.mu", "data"), ("B", "@shard(data: B)"));
}

#[test]
fn fsdp_stores_parts_and_computes_as_before() {
    let program = gpt(&SMALL, false);
    let mut directives = megatron(&program, &[("data", 4)]);
    let without = planned(&program, &directives);
    directives.fsdp.push(fsdp("data", "Params", 20));
    let plan = planned(&program, &directives);
    assert_eq!(plan.loops, without.loops);
    check(
        &program,
        &plan,
        &[
            // 50257 is prime to 4, so the next dim is split.
            ("wte.weight", "[V, D@data]"),
            ("wpe.weight", "[P@data, D]"),
            // The stacked dim is left alone even where 4 divides it.
            ("h.ln_1.bias", "[L, D@data]"),
            ("h.attn.c_attn.weight", "[L, D@data, 3, H, K]"),
            ("h.attn.c_attn.bias", "[L, 3, H@data, K]"),
            ("tokens", "[B@data, T]"),
        ],
    );
    assert_eq!(reductions(&program, &plan, "data"), [""; 0]);
    assert!(gathers(&program, &plan, "data").contains(&"h.attn.c_attn.weight for q0".to_owned()));
    let key = (value(&program, "wte.weight"), plan.mesh.axis("data").expect("data"));
    assert_eq!(plan.reasons[&key].decorator, "@fsdp(data: Params)");
}

#[test]
fn fsdp_takes_a_dim_that_tensor_leaves_free() {
    let program = gpt(&SMALL, false);
    let mut directives = megatron(&program, &[("data", 2), ("tensor", 2)]);
    directives.fsdp.push(fsdp("data", "Block", 20));
    let plan = planned(&program, &directives);
    check(
        &program,
        &plan,
        &[
            ("h.attn.c_proj.weight", "[L, H@tensor, K@data, D]"),
            ("h.mlp.c_fc.weight", "[L, D@data, F@tensor]"),
            ("wte.weight", "[V@tensor, D]"),
        ],
    );
}

/// Korthikanti et al. 2022: with the residual stream split over positions, each all-reduce becomes
/// a reduce-scatter and an all-gather.
#[test]
fn sequence_parallel_residual_stream() {
    let program = gpt(&SMALL, false);
    let mut directives = megatron(&program, &[("tensor", 4)]);
    directives.shard_values.push(shard_value(&program, "x", &[("T", &["tensor"])], true, 20));
    let plan = planned(&program, &directives);
    check(
        &program,
        &plan,
        &[
            ("x", "[B, T@tensor, D]"),
            ("embed", "[B, T@tensor, D]"),
            ("y", "[B, T@tensor, D]"),
            ("ln_1", "[B, T@tensor, D]"),
            ("ln_1.mu", "[B, T@tensor]"),
            ("proj", "[B, T@tensor, D]"),
            ("q", "[B, T, H@tensor, K]"),
            ("wpe.weight", "[P, D]"),
        ],
    );
    let reduced = reductions(&program, &plan, "tensor");
    for site in ["reduce_scatter sum proj", "reduce_scatter sum down"] {
        assert!(reduced.iter().any(|r| r == site), "{reduced:?}");
    }
    assert!(reduced.iter().all(|r| r.starts_with("reduce_scatter")), "{reduced:?}");
    // The table is looked up in parts, and what is found is scattered over positions.
    let lookup = "wte.weight for embed";
    assert_eq!(
        gathers(&program, &plan, "tensor"),
        [lookup, "ln_1 for q0", "ln_1 for key0", "ln_1 for val0", "ln_2 for fc", "ln_f for logits"],
    );
}

/// The first dim of a list wins in a value that has several; the other is then iterated.
#[test]
fn context_parallel_splits_queries_and_gathers_keys() {
    let program = gpt(&SMALL, false);
    let mut directives = mesh(&[("seq", 4)]);
    directives.shard.push(shard(&program, "seq", &["T", "U"], 10));
    let plan = planned(&program, &directives);
    check(
        &program,
        &plan,
        &[
            ("x", "[B, T@seq, D]"),
            ("key", "[B, U@seq, H, K]"),
            ("s", "[B, H, T@seq, U]"),
            ("o", "[B, T@seq, H, K]"),
            // T is a subrange of P here, so their blocks do not coincide.
            ("wpe.weight", "[P, D]"),
        ],
    );
    assert_eq!(reductions(&program, &plan, "seq"), [""; 0]);
    assert_eq!(gathers(&program, &plan, "seq"), ["key for s", "val for o"]);
}

/// A role gets its split by propagation, not by its name.
#[test]
fn roles_follow_the_values_they_subscript() {
    let config = Config { p: SMALL.t, ..SMALL };
    let program = gpt(&config, false);
    let mut directives = mesh(&[("seq", 4)]);
    directives.shard.push(shard(&program, "seq", &["T"], 10));
    let plan = planned(&program, &directives);
    check(
        &program,
        &plan,
        &[
            ("key", "[B, U@seq, H, K]"),
            ("val", "[B, U@seq, H, K]"),
            ("s", "[B, H, T@seq, U]"),
            ("wpe.weight", "[P@seq, D]"),
        ],
    );
    assert_eq!(gathers(&program, &plan, "seq"), ["key for s", "val for o"]);
}

#[test]
fn axes_of_one_device_split_nothing() {
    let program = gpt(&SMALL, false);
    let plan = planned(&program, &megatron(&program, &[("data", 1), ("tensor", 1)]));
    assert!(plan.shardings.values().all(einmesh_ir::Sharding::is_replicated));
    assert!(plan.loops.values().flatten().all(Vec::is_empty));
}

#[test]
fn one_dim_on_two_axes_is_major_to_minor_as_written() {
    let program = gpt(&SMALL, false);
    let mut directives = mesh(&[("minor", 2), ("major", 2)]);
    directives.shard.push(shard(&program, "major", &["B"], 10));
    directives.shard.push(shard(&program, "minor", &["B"], 20));
    let plan = planned(&program, &directives);
    check(&program, &plan, &[("x", "[B@major@minor, T, D]"), ("q", "[B@major@minor, T, H, K]")]);
    let q = value(&program, "q");
    let axis = |name| plan.mesh.axis(name).expect("an axis");
    assert_eq!(plan.loops[&q][0], [axis("major"), axis("minor")]);
}

#[test]
fn plans_are_the_same_every_time() {
    let program = gpt(&SMALL, true);
    let mut directives = megatron(&program, &[("data", 2), ("tensor", 4)]);
    directives.fsdp.push(fsdp("data", "Params", 20));
    let first = plan(&program, &directives).0;
    assert_eq!(plan(&program, &directives).0, first);
}
