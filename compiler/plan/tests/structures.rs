//! Rules read off the subscripts: gathers, halos, stores, sorts, loops, diagonals.

mod common;

use common::inspect::{gathers, reductions, shown};
use common::*;
use einmesh_ir::{
    Argsort, BinaryOp, Block, Bounds, Carried, Collected, DType, Directives, Expr, Id, IndexId,
    Load, Loop, LoopVar, Op, Program, Reducer, Store,
};
use einmesh_plan::{Plan, plan};

fn planned(program: &Program, directives: &Directives) -> Plan {
    assert_eq!(einmesh_ir::verify(program), []);
    let (plan, found) = plan(program, directives);
    assert!(found.is_empty(), "{found:?}");
    plan
}

fn sharded(program: &Program, axis: &str, size: u64, dims: &[&str]) -> Directives {
    let mut directives = mesh(&[(axis, size)]);
    directives.shard.push(shard(program, axis, dims, 10));
    directives
}

fn last_op(m: &mut Make) -> &mut einmesh_ir::Comprehension {
    match m.b.program.body.ops.last_mut() {
        Some(Op::Compute(c)) => c,
        _ => panic!("the last operation is a comprehension"),
    }
}

#[track_caller]
fn split_of(program: &Program, plan: &Plan, name: &str, axis: &str) -> Option<usize> {
    let axis = plan.mesh.axis(axis).expect("an axis");
    plan.loops[&value(program, name)].iter().position(|axes| axes.contains(&axis))
}

/// `y[t] = x[t - 1]`: blocks of x serve blocks of y, but splits do not spread through the shift.
#[test]
fn halos_do_not_propagate() {
    let mut m = Make::new("main", &[("T", 16), ("S", 16)]);
    let x = m.input("x", DType::F32, "s");
    let shifted = |l: &dyn Fn(einmesh_ir::ValueId, &str) -> Expr| match l(x, "t") {
        Expr::Load(Load { value, mut subs, .. }) => {
            subs[0] = sub(subs[0].clone(), Expr::int(1));
            let bounds = Bounds::Else(Box::new(float(0.0)));
            Expr::Load(Load { value, subs, bounds })
        }
        other => other,
    };
    let y = m.compute("y", "t", Reducer::None, "", shifted);
    m.b.output(y);
    let program = m.b.finish();
    let plan = planned(&program, &sharded(&program, "seq", 4, &["T"]));
    assert_eq!(shown(&program, &plan, value(&program, "x")), "[S]");
    assert_eq!(split_of(&program, &plan, "y", "seq"), Some(0));
    // Asked for both, each keeps its split: the partitioner exchanges edges.
    let plan = planned(&program, &sharded(&program, "seq", 4, &["T", "S"]));
    assert_eq!(shown(&program, &plan, value(&program, "x")), "[S@seq]");
    assert_eq!(split_of(&program, &plan, "y", "seq"), Some(0));
}

/// `t + 0` is the index itself.
#[test]
fn trivial_affine_forms_are_bare() {
    let mut m = Make::new("main", &[("T", 16), ("S", 16)]);
    let x = m.input("x", DType::F32, "s");
    let y = m.compute("y", "t", Reducer::None, "", |l| match l(x, "t") {
        Expr::Load(mut load) => {
            load.subs[0] = add(load.subs[0].clone(), Expr::int(0));
            Expr::Load(load)
        }
        other => other,
    });
    m.b.output(y);
    let program = m.b.finish();
    let plan = planned(&program, &sharded(&program, "seq", 4, &["T"]));
    assert_eq!(shown(&program, &plan, value(&program, "x")), "[S@seq]");
}

/// Half of a dim is not its first half of blocks.
#[test]
fn subranges_do_not_share_blocks() {
    let mut m = Make::new("main", &[("P", 32), ("T", 16)]);
    let x = m.input("x", DType::F32, "p");
    let y = m.compute("y", "t", Reducer::None, "", |l| l(x, "t"));
    m.b.output(y);
    let program = m.b.finish();
    let plan = planned(&program, &sharded(&program, "seq", 4, &["T", "P"]));
    assert_eq!(shown(&program, &plan, value(&program, "x")), "[P@seq]");
    assert_eq!(gathers(&program, &plan, "seq"), ["x for y"]);
}

/// `y[i] = a[i, i]`: one of the two dims is split.
#[test]
fn diagonals_split_one_dim() {
    let mut m = Make::new("main", &[("I", 16), ("J", 16)]);
    let a = m.input("a", DType::F32, "i j");
    let y = m.compute("y", "i", Reducer::None, "", |l| l(a, "i i"));
    m.b.output(y);
    let program = m.b.finish();
    let mut directives = mesh(&[("x", 4)]);
    directives.shard_values.push(shard_value(&program, "y", &[("I", &["x"])], true, 10));
    let plan = planned(&program, &directives);
    assert_eq!(shown(&program, &plan, value(&program, "a")), "[I@x, J]");
    assert_eq!(shown(&program, &plan, value(&program, "y")), "[I@x]");
}

#[test]
fn a_sorted_dim_is_whole_and_the_others_follow() {
    let mut m = Make::new("main", &[("B", 8), ("N", 16)]);
    let x = m.input("x", DType::F32, "b n");
    let dims = m.b.program.values[x].dims.clone();
    let out = m.b.value("order", DType::I32, &dims);
    m.b.program.body.ops.push(Op::Argsort(Argsort { out, input: x, position: 1 }));
    m.b.output(out);
    let program = m.b.finish();
    let mut directives = mesh(&[("data", 2)]);
    directives.shard_values.push(shard_value(&program, "x", &[("B", &["data"])], true, 10));
    let plan = planned(&program, &directives);
    assert_eq!(shown(&program, &plan, out), "[B@data, N]");
    directives.shard_values[0] = shard_value(&program, "x", &[("N", &["data"])], true, 10);
    let (plan, _) = einmesh_plan::plan(&program, &directives);
    assert_eq!(shown(&program, &plan, out), "[B, N]");
}

/// A greedy token from sharded logits: positions of maxima are found in parts.
#[test]
fn positions_of_maxima_are_split() {
    let mut m = Make::new("main", &[("B", 8), ("V", 100)]);
    let z = m.input("z", DType::F32, "b v");
    let y = m.typed("y", DType::I32, "b", Reducer::ArgMax, "v", |l| l(z, "b v"));
    m.b.output(y);
    let program = m.b.finish();
    let plan = planned(&program, &sharded(&program, "tensor", 4, &["V"]));
    assert_eq!(reductions(&program, &plan, "tensor"), ["all_reduce argmax y"]);
}

fn store(combine: Reducer) -> Program {
    let mut m = Make::new("main", &[("B", 8), ("V", 100), ("D", 16)]);
    let base = m.input("base", DType::F32, "v d");
    let rows = m.input("rows", DType::I32, "b");
    let x = m.input("x", DType::F32, "b d");
    let y = m.compute("y", "b d", Reducer::None, "", |l| l(x, "b d"));
    let out = m.b.value("out", DType::F32, &m.b.program.values[base].dims.clone());
    let at = Expr::load(rows, [Expr::Index(IndexId(0))]);
    let c = last_op(&mut m);
    assert_eq!(c.out, y);
    c.out = out;
    c.store = Some(Store { base, subs: vec![at, Expr::Index(IndexId(1))], combine });
    m.b.output(out);
    m.b.finish()
}

#[test]
fn scattered_sums_are_partial_and_overwriting_is_not_split() {
    let program = store(Reducer::Sum);
    let plan = planned(&program, &sharded(&program, "data", 2, &["B"]));
    assert_eq!(split_of(&program, &plan, "out", "data"), Some(0));
    assert_eq!(shown(&program, &plan, value(&program, "out")), "[V, D]");
    let program = store(Reducer::None);
    let plan = planned(&program, &sharded(&program, "data", 2, &["B"]));
    assert_eq!(split_of(&program, &plan, "out", "data"), None);
    // A bare subscript says who owns a place, however it is written to.
    let plan = planned(&program, &sharded(&program, "tensor", 4, &["D"]));
    assert_eq!(split_of(&program, &plan, "out", "tensor"), Some(1));
    assert_eq!(shown(&program, &plan, value(&program, "base")), "[V, D@tensor]");
    assert_eq!(shown(&program, &plan, value(&program, "out")), "[V, D@tensor]");
}

/// `for l in L { s = s + x; h[l] = s }`.
fn looping() -> Program {
    let mut m = Make::new("main", &[("B", 8), ("D", 16), ("L", 4)]);
    let over = m.dim("L");
    let var = m.b.program.loop_vars.push(LoopVar { name: "l".to_owned(), dim: over });
    let init = m.input("s", DType::F32, "b d");
    let w = m.input("w", DType::F32, "l d");
    let dims = m.b.program.values[init].dims.clone();
    let entry = m.b.value("s", DType::F32, &dims);
    let exit = m.compute("t", "b d", Reducer::None, "", |l| match l(w, "0 d") {
        Expr::Load(mut load) => {
            load.subs[0] = Expr::LoopVar(var);
            add(l(entry, "b d"), Expr::Load(load))
        }
        other => other,
    });
    let body = Block { ops: m.b.program.body.ops.split_off(0) };
    let result = m.b.value("s", DType::F32, &dims);
    let stacked = m.b.value("h", DType::F32, &[dims[0], over, dims[1]]);
    m.b.program.body.ops.push(Op::Loop(Loop {
        var,
        reversed: false,
        condition: None,
        carried: vec![Carried { init, entry, exit, result }],
        collected: vec![Collected { value: exit, result: stacked, position: 1 }],
        body,
    }));
    m.b.output(result);
    m.b.output(stacked);
    m.b.finish()
}

#[test]
fn loop_states_and_collections_are_laid_out_alike() {
    let program = looping();
    let mut directives = mesh(&[("data", 2)]);
    directives.shard_values.push(shard_value(&program, "h", &[("D", &["data"])], true, 10));
    let plan = planned(&program, &directives);
    assert_eq!(shown(&program, &plan, value(&program, "h")), "[B, L, D@data]");
    for (id, v) in program.values.iter().filter(|(_, v)| v.name == "s" || v.name == "t") {
        assert_eq!(shown(&program, &plan, id), "[B, D@data]", "of {}", v.name);
    }
    assert_eq!(shown(&program, &plan, value(&program, "w")), "[L, D@data]");
}

#[test]
fn loops_are_not_split() {
    let program = looping();
    // By name, the collection is passed over; the stacked argument is split as asked.
    let plan = planned(&program, &sharded(&program, "pipe", 2, &["L"]));
    assert_eq!(shown(&program, &plan, value(&program, "h")), "[B, L, D]");
    assert_eq!(shown(&program, &plan, value(&program, "w")), "[L@pipe, D]");
    let mut directives = mesh(&[("pipe", 2)]);
    directives.shard_values.push(shard_value(&program, "h", &[("L", &["pipe"])], true, 10));
    let (_, found) = einmesh_plan::plan(&program, &directives);
    let codes: Vec<_> = found.iter().map(|d| d.code).collect();
    assert_eq!(codes, [einmesh_diagnostics::codes::plan::COLLECTED_DIM]);
}

/// A donated argument's memory becomes the result's, so both are laid out alike.
#[test]
fn donated_arguments_keep_their_layout() {
    let mut m = Make::new("main", &[("B", 8), ("D", 16)]);
    let s = m.input("s", DType::F32, "b d");
    let y = m.compute("y", "b d", Reducer::None, "", |l| exp(l(s, "b d")));
    m.b.output(y);
    m.b.program.outputs[0].path = "s".to_owned();
    m.b.program.inputs[0].donated = true;
    let program = m.b.finish();
    let mut directives = mesh(&[("data", 2)]);
    directives.shard_values.push(shard_value(&program, "s", &[("D", &["data"])], false, 10));
    let plan = planned(&program, &directives);
    assert_eq!(shown(&program, &plan, value(&program, "y")), "[B, D@data]");
}

/// The nearest request wins, then the fewest bytes: small `b` is gathered, not large `a`.
#[test]
fn conflicting_operands_move_the_fewest_bytes() {
    let mut m = Make::new("main", &[("I", 64), ("J", 64), ("K", 8)]);
    let a = m.input("a", DType::F32, "i j");
    let b = m.input("b", DType::F32, "j");
    let y = m.compute("y", "i j", Reducer::None, "", |l| {
        Expr::binary(BinaryOp::Mul, l(a, "i j"), l(b, "j"))
    });
    m.b.output(y);
    let program = m.b.finish();
    let mut directives = mesh(&[("x", 4)]);
    directives.shard_values.push(shard_value(&program, "a", &[("I", &["x"])], true, 10));
    directives.shard_values.push(shard_value(&program, "b", &[("J", &["x"])], true, 20));
    let plan = planned(&program, &directives);
    assert_eq!(split_of(&program, &plan, "y", "x"), Some(0));
    assert_eq!(gathers(&program, &plan, "x"), ["b for y"]);
    assert_eq!(shown(&program, &plan, y), "[I@x, J]");
}

#[test]
fn a_values_own_decorator_orders_its_axes() {
    let mut m = Make::new("main", &[("I", 64)]);
    let a = m.input("a", DType::F32, "i");
    let y = m.compute("y", "i", Reducer::None, "", |l| exp(l(a, "i")));
    m.b.output(y);
    let program = m.b.finish();
    let mut directives = mesh(&[("p", 2), ("q", 2)]);
    directives.shard_values.push(shard_value(&program, "a", &[("I", &["q", "p"])], true, 10));
    let plan = planned(&program, &directives);
    assert_eq!(shown(&program, &plan, value(&program, "a")), "[I@q@p]");
    assert_eq!(shown(&program, &plan, y), "[I@q@p]");
    assert_eq!(plan.loops[&y][0].iter().map(|a| a.index()).collect::<Vec<_>>(), [1, 0]);
}

/// `y[b] = x[b, pos[b]]` with x split along the looked-up dim: each device adds what it has.
#[test]
fn lookups_in_split_dims_are_summed() {
    let mut m = Make::new("main", &[("B", 8), ("T", 16)]);
    let x = m.input("x", DType::F32, "b t");
    let pos = m.input("pos", DType::I32, "b");
    let y = m.compute("y", "b", Reducer::None, "", |l| {
        let subs = vec![Expr::Index(IndexId(0)), l(pos, "b")];
        Expr::Load(Load { value: x, subs, bounds: Bounds::Clamp })
    });
    m.b.output(y);
    let program = m.b.finish();
    let plan = planned(&program, &sharded(&program, "seq", 4, &["T"]));
    assert_eq!(reductions(&program, &plan, "seq"), ["all_reduce sum y"]);
    assert_eq!(gathers(&program, &plan, "seq"), [""; 0]);
    let reason = &plan.reasons[&(y, plan.mesh.axis("seq").expect("seq"))];
    assert_eq!((reason.dim.as_str(), reason.decorator.as_str()), ("T", "@shard(seq: T)"));
}

/// Everything else being equal, the index that the devices divide evenly is split.
#[test]
fn equal_bytes_prefer_even_parts() {
    let mut m = Make::new("main", &[("I", 6), ("J", 8), ("K", 6)]);
    let a = m.input("a", DType::F32, "i j");
    let b = m.input("b", DType::F32, "j i");
    let y = m.compute("y", "i j", Reducer::None, "", |l| add(l(a, "i j"), l(b, "j i")));
    m.b.output(y);
    let program = m.b.finish();
    for (first, second) in [("I", "J"), ("J", "I")] {
        let mut directives = mesh(&[("x", 4)]);
        directives.shard_values.push(shard_value(&program, "a", &[(first, &["x"])], true, 10));
        directives.shard_values.push(shard_value(&program, "b", &[(second, &["x"])], true, 20));
        let plan = planned(&program, &directives);
        assert_eq!(split_of(&program, &plan, "y", "x"), Some(1), "8 positions, not 6");
    }
}
