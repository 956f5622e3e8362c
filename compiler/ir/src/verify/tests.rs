//! One broken program per invariant, and intact ones that come close.

use super::*;
use crate::builder::Builder;
use crate::dtype::DType;
use crate::expr::{BinaryOp, Bounds, Expr, Literal, Load, UnaryOp};
use crate::mesh::MeshAxisId;
use crate::spmd::{Collective, CollectiveKind, DimLayout, Provenance};

fn intact() -> Builder {
    let mut b = Builder::new("test");
    let (i, j) = (b.dim("I", 4), b.dim("J", 6));
    let x = b.input("x", DType::F32, &[i, j]);
    let y = b.compute("y", DType::F32, &[i], &[j], Reducer::Sum, |ix| Expr::load(x, ix.to_vec()));
    b.output(y);
    b
}

fn first(program: &mut Program) -> &mut Comprehension {
    match &mut program.body.ops[0] {
        Op::Compute(c) => c,
        _ => unreachable!("the fixture starts with a comprehension"),
    }
}

/// Breaks the fixture and expects exactly one violation that contains `message`.
fn broken(message: &str, damage: impl FnOnce(&mut Program)) {
    let mut program = intact().finish();
    damage(&mut program);
    let found = verify(&program);
    assert!(found.iter().any(|v| v.message.contains(message)), "{found:#?}");
    assert_eq!(found.len(), 1, "{found:#?}");
}

#[test]
fn intact_programs_pass() {
    assert_eq!(verify(&intact().finish()), []);
}

#[test]
fn assignment_and_dominance() {
    broken("%y.1: %y.1 is assigned twice", |p| {
        let op = p.body.ops[0].clone();
        p.body.ops.push(op);
    });
    broken("%x.0 is read before it is assigned", |p| p.inputs.clear());
    broken("%y.1 is read before it is assigned", |p| p.body.ops.clear());
    broken("%9 is read but not declared", |p| p.outputs[0].value = ValueId(9));
}

#[test]
fn declarations() {
    broken("%x.0: f32[I,I] names a dim twice", |p| p.values[ValueId(0)].dims[1] = DimId(0));
    broken("%x.0 has too many elements", |p| {
        p.dims[DimId(0)].extent = 1 << 60;
        p.dims[DimId(1)].extent = 8;
        p.values[ValueId(1)].dims.clear();
    });
    broken("has an unknown dim", |p| p.values[ValueId(0)].dims[1] = DimId(7));
    broken("input `x` describes 1 dims", |p| p.inputs[0].axes = vec![1]);
    broken("donated input `x` has no output", |p| p.inputs[0].donated = true);
    broken("two outputs have the path `y`", |p| {
        let again = p.outputs[0].clone();
        p.outputs.push(again);
    });
}

#[test]
fn shapes_of_comprehensions() {
    broken("1 indices are reduced with None", |p| first(p).reducer = Reducer::None);
    broken("do not range over the dims of %y.1: f32[I]", |p| {
        first(p).indices[IndexId(0)].dim = DimId(1);
        first(p).body = Expr::float(DType::F32, 1.0);
    });
    broken("fewer indices than free ones", |p| {
        first(p).free = 5;
        p.outputs.clear();
    });
    broken("ArgMax over f32 does not give f32", |p| first(p).reducer = Reducer::ArgMax);
    broken("Sum over i32 does not give f32", |p| first(p).body = Expr::int(1));
}

#[test]
fn types_of_expressions() {
    broken("Add of f32 and i32", |p| {
        let body = first(p).body.clone();
        first(p).body = Expr::binary(BinaryOp::Add, body, Expr::int(1));
    });
    broken("Exp of i32", |p| {
        first(p).body = Expr::cast(DType::F32, Expr::unary(UnaryOp::Exp, Expr::int(1)));
    });
    broken("the guard is not a truth value", |p| first(p).guard = Some(Expr::int(1)));
    broken("index i7 is not declared", |p| {
        first(p).body = Expr::cast(DType::F32, Expr::Index(IndexId(7)));
    });
    broken("is not a number of its dtype", |p| first(p).body = Expr::float(DType::F32, 0.1));
    broken("is not a number of its dtype", |p| {
        let big = Expr::Literal(Literal::Int(DType::I32, 1 << 40));
        first(p).body = Expr::cast(DType::F32, big);
    });
    broken("a selection between f32 and i32", |p| {
        let then = first(p).body.clone();
        let yes = Expr::Literal(Literal::Bool(true));
        first(p).body = Expr::select(yes, then, Expr::int(0));
    });
    broken("a device coordinate is used before partitioning", |p| {
        first(p).body = Expr::cast(DType::F32, Expr::Coord(MeshAxisId(0)));
    });
    broken("loop counter l0 is used outside of its loop", |p| {
        first(p).body = Expr::cast(DType::F32, Expr::LoopVar(LoopVarId(0)));
    });
}

#[test]
fn subscripts() {
    let index = |i| Expr::Index(IndexId(i));
    broken("%x.0: f32[I,J] is loaded with 1 subscripts", |p| {
        first(p).body = Expr::load(ValueId(0), [index(0)]);
    });
    broken("a subscript of %x.0 is not an integer", |p| {
        first(p).body = Expr::load(ValueId(0), [index(0), Expr::float(DType::F32, 1.0)]);
    });
    broken("spans 1 to 6 of 6 positions", |p| {
        let next = Expr::binary(BinaryOp::Add, index(1), Expr::int(1));
        first(p).body = Expr::load(ValueId(0), [index(0), next]);
    });
    broken("the default of %x.0: f32[I,J] is of another type", |p| {
        first(p).body = Expr::Load(Load {
            value: ValueId(0),
            subs: vec![index(0), index(1)],
            bounds: Bounds::Else(Box::new(Expr::int(0))),
        });
    });
}

#[test]
fn a_guard_may_prove_bounds() {
    let mut program = intact().finish();
    let (i, j) = (Expr::Index(IndexId(0)), Expr::Index(IndexId(1)));
    let next = Expr::binary(BinaryOp::Add, j.clone(), Expr::int(1));
    first(&mut program).body = Expr::load(ValueId(0), [i, next]);
    first(&mut program).guard = Some(Expr::binary(BinaryOp::Lt, j, Expr::int(5)));
    assert_eq!(verify(&program), []);
}

#[test]
fn stores() {
    let store = |combine| {
        let subs = vec![Expr::Index(IndexId(0))];
        Store { base: ValueId(2), subs, combine }
    };
    let with_base = |p: &mut Program| {
        let base = Value { name: "base".to_owned(), ..p.values[ValueId(1)].clone() };
        let value = p.values.push(base);
        let [path, tensor] = ["base", "base"].map(str::to_owned);
        let (records, axes) = (vec![], vec![1]);
        p.inputs.push(Input { value, path, tensor, records, axes, donated: false });
    };
    let mut program = intact().finish();
    with_base(&mut program);
    first(&mut program).store = Some(store(Reducer::Sum));
    assert_eq!(verify(&program), []);

    broken("a store combines f32 with ArgMax", |p| {
        with_base(p);
        first(p).store = Some(store(Reducer::ArgMax));
    });
    broken("2 subscripts store into 1 dims", |p| {
        with_base(p);
        let mut twice = store(Reducer::Sum);
        twice.subs.push(Expr::int(0));
        first(p).store = Some(twice);
    });
    broken("depends on a reduced index", |p| {
        with_base(p);
        let subs = vec![Expr::Index(IndexId(1))];
        first(p).store = Some(Store { subs, ..store(Reducer::Sum) });
    });
    broken("the base %x.0: f32[I,J] is of another type", |p| {
        first(p).store = Some(Store { base: ValueId(0), ..store(Reducer::Sum) });
    });
}

/// `for l in L { s = s + x[l, j] }`, collecting s.
fn looped() -> (Program, Loop) {
    let mut b = Builder::new("looped");
    let (l, j) = (b.dim("L", 3), b.dim("J", 6));
    let x = b.input("x", DType::F32, &[l, j]);
    let init = b.input("init", DType::F32, &[j]);
    let entry = b.value("s", DType::F32, &[j]);
    let var = b.program.loop_vars.push(LoopVar { name: "l".to_owned(), dim: l });
    let exit = b.compute("s", DType::F32, &[j], &[], Reducer::None, |ix| {
        let state = Expr::load(entry, [ix[0].clone()]);
        let layer = Expr::load(x, [Expr::LoopVar(var), ix[0].clone()]);
        Expr::binary(BinaryOp::Add, state, layer)
    });
    let result = b.value("s", DType::F32, &[j]);
    let all = b.value("all", DType::F32, &[j, l]);
    let body = std::mem::take(&mut b.program.body);
    let carried = vec![Carried { init, entry, exit, result }];
    let collected = vec![Collected { value: exit, result: all, position: 1 }];
    b.output(result);
    (b.finish(), Loop { var, reversed: false, condition: None, carried, collected, body })
}

#[test]
fn loops() {
    let check = |message: &str, damage: &dyn Fn(&mut Program, &mut Loop)| {
        let (mut program, mut l) = looped();
        damage(&mut program, &mut l);
        program.body.ops.push(Op::Loop(l));
        let found = verify(&program);
        assert_eq!(found.is_empty(), message.is_empty(), "{found:#?}");
        assert!(found.iter().all(|v| v.message.contains(message)), "{found:#?}");
    };
    check("", &|_, _| {});
    check("differ in type", &|p, l| p.values[l.carried[0].result].dtype = DType::F64);
    check("collected at position 0 does not give %all.5: f32[J,L]", &|_, l| {
        l.collected[0].position = 0;
    });
    check("outside of the block that assigns it", &|p, l| {
        p.outputs[0].value = l.carried[0].exit;
    });
    check("%s.2: f32[J] is not a truth value", &|_, l| {
        l.condition = Some(l.carried[0].entry);
        l.collected.clear();
    });
    check("another loop has the counter `l`", &|p, l| {
        let (carried, collected, body) = (vec![], vec![], Block::default());
        p.body.ops.push(Op::Loop(Loop { carried, collected, body, ..l.clone() }));
    });
}

/// As [`looped`], but it goes on while `%on`, of `carried`'s entries, holds.
#[test]
fn conditions() {
    let check = |message: &str, damage: &dyn Fn(&mut Loop)| {
        let (mut program, mut l) = looped();
        let scalar =
            Value { dtype: DType::Bool, dims: vec![], ..program.values[ValueId(0)].clone() };
        let [init, entry, exit, result] = [(); 4].map(|()| program.values.push(scalar.clone()));
        let truth = |out| {
            let body = Expr::Literal(Literal::Bool(true));
            let (indices, guard, store) = (Arena::new(), None, None);
            let reducer = Reducer::None;
            Op::Compute(Comprehension { out, indices, free: 0, reducer, guard, body, store })
        };
        program.body.ops.push(truth(init));
        l.body.ops.push(truth(exit));
        l.carried.push(Carried { init, entry, exit, result });
        l.condition = Some(entry);
        l.collected.clear();
        damage(&mut l);
        program.body.ops.push(Op::Loop(l));
        let found = verify(&program);
        assert_eq!(found.is_empty(), message.is_empty(), "{found:#?}");
        assert!(found.iter().all(|v| v.message.contains(message)), "{found:#?}");
    };
    check("", &|_| {});
    check("is none of its states", &|l| l.condition = Some(l.carried[1].exit));
    check("a loop with a condition collects nothing", &|l| {
        let (value, result) = (l.carried[0].exit, ValueId(5));
        l.collected.push(Collected { value, result, position: 1 });
    });
}

#[test]
fn argsorts() {
    let check = |dtype, position, message: &str| {
        let mut b = intact();
        let out = b.value("order", dtype, &[DimId(0), DimId(1)]);
        let sort = Argsort { out, input: ValueId(0), position };
        b.program.body.ops.push(Op::Argsort(sort));
        let found = verify(&b.finish());
        assert_eq!(found.is_empty(), message.is_empty(), "{found:#?}");
        assert!(found.iter().all(|v| v.message.contains(message)), "{found:#?}");
    };
    check(DType::I32, 1, "");
    check(DType::I32, 2, "along position 2 of 2 dims");
    check(DType::F32, 1, "argsort gives i32");
}

fn partitioned(kind: CollectiveKind, out_extent: u64, axes: &[u32]) -> SpmdProgram {
    let mut b = Builder::new("spmd");
    let (i, o) = (b.dim("I", 4), b.dim("O", out_extent));
    let input = b.input("x", DType::F32, &[i]);
    let out = b.value("y", DType::F32, &[o]);
    b.program.body.ops.push(Op::Collective(Collective {
        kind,
        axes: axes.iter().map(|a| MeshAxisId(*a)).collect(),
        input,
        out,
        provenance: Provenance::default(),
    }));
    b.output(out);
    let mesh = Mesh::new([("data", 2), ("tensor", 3)]);
    let layout = |global, local, axes| Layout { dims: vec![DimLayout { global, local, axes }] };
    let inputs = vec![layout(7, 4, vec![MeshAxisId(0)])];
    let outputs = vec![layout(out_extent, out_extent, vec![])];
    SpmdProgram { program: b.finish(), mesh, inputs, outputs }
}

#[test]
fn collectives() {
    let check = |kind, out, axes: &[u32], message: &str| {
        let found = verify_spmd(&partitioned(kind, out, axes));
        assert_eq!(found.is_empty(), message.is_empty(), "{found:#?}");
        assert!(found.iter().all(|v| v.message.contains(message)), "{found:#?}");
    };
    let reducer = Reducer::Sum;
    check(CollectiveKind::AllGather { position: 0 }, 8, &[0], "");
    check(CollectiveKind::AllGather { position: 0 }, 24, &[0, 1], "");
    check(CollectiveKind::AllGather { position: 0 }, 9, &[0], "gives shape [8], not [9]");
    check(CollectiveKind::AllReduce(reducer), 4, &[1], "");
    check(CollectiveKind::AllReduce(Reducer::Any), 4, &[1], "combines f32 with Any");
    check(CollectiveKind::ReduceScatter { reducer, position: 0 }, 2, &[0], "");
    check(CollectiveKind::ReduceScatter { reducer, position: 0 }, 2, &[1], "over 3 devices of");
    check(CollectiveKind::AllToAll { split: 0, concat: 0 }, 4, &[0], "");
    check(CollectiveKind::AllReduce(reducer), 4, &[0, 0], "same mesh axis twice");
    check(CollectiveKind::AllReduce(reducer), 4, &[9], "unknown mesh axis");
    let spmd = partitioned(CollectiveKind::AllReduce(reducer), 4, &[0]);
    let found = verify(&spmd.program);
    assert!(found[0].message.contains("is not partitioned"), "{found:#?}");
}

#[test]
fn layouts() {
    let mut spmd = partitioned(CollectiveKind::AllReduce(Reducer::Sum), 4, &[0]);
    spmd.inputs[0].dims[0].global = 9;
    let found = verify_spmd(&spmd);
    let expected = "gives 4 of I's 9 positions to each of 2 devices";
    assert!(found[0].message.contains(expected), "{found:#?}");
    spmd.inputs.clear();
    let found = verify_spmd(&spmd);
    assert!(found[0].message.contains("1 inputs have 0 layouts"), "{found:#?}");
}
