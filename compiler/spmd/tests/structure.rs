//! Which collectives a plan leads to, one idea per test.

use einmesh_ir::{
    BinaryOp, Bounds, Builder, DType, Expr, IndexId, Load, Mesh, MeshAxisId, Op, Program, Reducer,
    Sharding, ValueId,
};
use einmesh_plan::{Plan, Reason};
use einmesh_spmd::{check, collectives, partition, verify_collectives};

const X: MeshAxisId = MeshAxisId(0);
const Y: MeshAxisId = MeshAxisId(1);

/// A plan that splits nothing.
fn whole(program: &Program, axes: &[(&str, u64)]) -> Plan {
    Plan::replicated(program, Mesh::new(axes.iter().copied()))
}

/// The collectives as `op axes index`, loops counted.
#[track_caller]
fn expect(program: &Program, plan: &Plan, expected: &[&str]) {
    assert_eq!(check(program, plan), [""; 0]);
    let spmd = partition(program, plan);
    assert_eq!(verify_collectives(&spmd), []);
    let rows = collectives(&spmd);
    let found = rows.iter().map(|r| format!("{} {} {}", r.op, r.axes.join("+"), r.index));
    assert_eq!(found.collect::<Vec<_>>(), expected);
}

/// `c[i,k] = Σj a[i,j]·b[j,k]`.
fn matmul() -> (Program, [ValueId; 3]) {
    let mut b = Builder::new("matmul");
    let (i, j, k) = (b.dim("I", 8), b.dim("J", 8), b.dim("K", 8));
    let a = b.input("a", DType::F32, &[i, j]);
    let w = b.input("b", DType::F32, &[j, k]);
    let c = b.einsum("c", &[i, k], a, w);
    b.output(c);
    (b.finish(), [a, w, c])
}

fn split(dims: usize, at: &[(usize, MeshAxisId)]) -> Sharding {
    let mut sharding = Sharding::replicated(dims);
    for (position, axis) in at {
        sharding.spec[*position].push(*axis);
    }
    sharding
}

#[test]
fn a_split_free_index_moves_nothing() {
    let (program, [a, _, c]) = matmul();
    let mut plan = whole(&program, &[("x", 4)]);
    plan.shardings[a] = split(2, &[(0, X)]);
    plan.shardings[c] = split(2, &[(0, X)]);
    plan.loops.insert(c, vec![vec![X], vec![], vec![]]);
    expect(&program, &plan, &[]);
}

#[test]
fn a_split_contraction_is_reduced() {
    let (program, [a, w, c]) = matmul();
    let mut plan = whole(&program, &[("x", 4)]);
    plan.shardings[a] = split(2, &[(1, X)]);
    plan.shardings[w] = split(2, &[(0, X)]);
    plan.loops.insert(c, vec![vec![], vec![], vec![X]]);
    expect(&program, &plan, &["all_reduce x j"]);
    plan.shardings[c] = split(2, &[(0, X)]);
    expect(&program, &plan, &["reduce_scatter x j"]);
}

#[test]
fn provenance_names_the_decorator() {
    let (program, [_, _, c]) = matmul();
    let mut plan = whole(&program, &[("x", 4)]);
    plan.loops.insert(c, vec![vec![], vec![], vec![X]]);
    let reason = Reason { dim: "J".to_owned(), decorator: "@shard(x: J)".to_owned() };
    plan.reasons.insert((c, X), reason);
    let rows = collectives(&partition(&program, &plan));
    assert_eq!((rows.len(), rows[0].decorator.as_str()), (1, "@shard(x: J)"));
    // The whole product of 64 floats, reduced over 4 devices.
    assert_eq!((rows[0].payload_bytes, rows[0].wire_bytes, rows[0].group_size), (256, 384, 4));
}

/// Both axes are reduced in one collective, and an axis that the target splits is scattered first.
#[test]
fn several_axes_are_reduced_together() {
    let (program, [_, _, c]) = matmul();
    let mut plan = whole(&program, &[("x", 2), ("y", 2)]);
    plan.loops.insert(c, vec![vec![], vec![], vec![X, Y]]);
    expect(&program, &plan, &["all_reduce x+y j"]);
    plan.shardings[c] = split(2, &[(1, Y)]);
    expect(&program, &plan, &["reduce_scatter y j", "all_reduce x j"]);
}

/// Both operands of an argument that is split otherwise are moved by one all-to-all, not gathered.
#[test]
fn a_split_moves_between_dims() {
    let (program, [a, _, c]) = matmul();
    let mut plan = whole(&program, &[("x", 4)]);
    plan.shardings[a] = split(2, &[(1, X)]);
    plan.shardings[c] = split(2, &[(0, X)]);
    plan.loops.insert(c, vec![vec![X], vec![], vec![]]);
    expect(&program, &plan, &["all_to_all x j"]);
}

#[test]
fn an_operand_is_gathered_once_for_all_its_readers() {
    let mut b = Builder::new("shared");
    let (i, j, k) = (b.dim("I", 8), b.dim("J", 8), b.dim("K", 8));
    let a = b.input("a", DType::F32, &[i, j]);
    let w = b.input("w", DType::F32, &[j, k]);
    let first = b.einsum("first", &[i, k], a, w);
    let second = b.einsum("second", &[k, i], a, w);
    b.output(first);
    b.output(second);
    let program = b.finish();
    let mut plan = whole(&program, &[("x", 4)]);
    plan.shardings[w] = split(2, &[(0, X)]);
    expect(&program, &plan, &["all_gather x j"]);
}

/// `e[t,d] = w[tok[t],d]`, the vocabulary split.
fn embedding(vocabulary: u64) -> (Program, ValueId, ValueId) {
    let mut b = Builder::new("embedding");
    let (v, t, d) = (b.dim("V", vocabulary), b.dim("T", 4), b.dim("D", 6));
    let tokens = b.input("tokens", DType::I32, &[t]);
    let w = b.input("w", DType::F32, &[v, d]);
    let e = b.compute("e", DType::F32, &[t, d], &[], Reducer::None, |ix| {
        let token = Expr::load(tokens, [ix[0].clone()]);
        Expr::Load(Load { value: w, subs: vec![token, ix[1].clone()], bounds: Bounds::Clamp })
    });
    b.output(e);
    (b.finish(), w, e)
}

#[test]
fn a_lookup_in_a_split_vocabulary_is_summed() {
    let (program, w, e) = embedding(101);
    let mut plan = whole(&program, &[("x", 4)]);
    plan.shardings[w] = split(2, &[(0, X)]);
    expect(&program, &plan, &["all_reduce x v"]);
    plan.shardings[e] = split(2, &[(0, X)]);
    expect(&program, &plan, &["reduce_scatter x v"]);
}

/// `y[i] = (x[i-1] else 0) + x[i]`: one element comes from the left neighbour.
#[test]
fn neighbours_exchange_edges() {
    let mut b = Builder::new("difference");
    let i = b.dim("I", 10);
    let x = b.input("x", DType::F32, &[i]);
    let y = b.compute("y", DType::F32, &[i], &[], Reducer::None, |ix| {
        let before = Load {
            value: x,
            subs: vec![Expr::binary(BinaryOp::Sub, ix[0].clone(), Expr::int(1))],
            bounds: Bounds::Else(Box::new(Expr::float(DType::F32, 0.0))),
        };
        Expr::binary(BinaryOp::Add, Expr::Load(before), Expr::load(x, [ix[0].clone()]))
    });
    b.output(y);
    let program = b.finish();
    let mut plan = whole(&program, &[("x", 4)]);
    plan.shardings[x] = split(1, &[(0, X)]);
    plan.shardings[y] = split(1, &[(0, X)]);
    plan.loops.insert(y, vec![vec![X]]);
    expect(&program, &plan, &["collective_permute x i"]);
    let rows = collectives(&partition(&program, &plan));
    assert_eq!(rows[0].payload_bytes, 4);
}

/// `y = a·b + c·d`, both products partial: one all-reduce, though the plan wants both whole.
#[test]
fn sums_are_added_before_they_are_reduced() {
    let mut b = Builder::new("sums");
    let (i, j, k) = (b.dim("I", 8), b.dim("J", 8), b.dim("K", 8));
    let a = b.input("a", DType::F32, &[i, j]);
    let w = b.input("w", DType::F32, &[j, k]);
    let p = b.einsum("p", &[i, k], a, w);
    let q = b.einsum("q", &[i, k], a, w);
    let y = b.compute("y", DType::F32, &[i, k], &[], Reducer::None, |ix| {
        let load = |v| Expr::load(v, ix.iter().cloned());
        Expr::binary(BinaryOp::Add, load(p), load(q))
    });
    b.output(y);
    let program = b.finish();
    let mut plan = whole(&program, &[("x", 4)]);
    for sum in [p, q] {
        plan.loops.insert(sum, vec![vec![], vec![], vec![X]]);
    }
    expect(&program, &plan, &["all_reduce x j"]);
}

/// The extreme and the position: two values of the output's shape, and nothing of the operand's.
#[test]
fn an_arg_max_moves_no_operand() {
    let mut b = Builder::new("greedy");
    let (t, v) = (b.dim("T", 3), b.dim("V", 1000));
    let z = b.input("z", DType::F32, &[t, v]);
    let y = b.compute("y", DType::I32, &[t], &[v], Reducer::ArgMax, |ix| {
        Expr::load(z, ix.iter().cloned())
    });
    b.output(y);
    let program = b.finish();
    let mut plan = whole(&program, &[("x", 4)]);
    plan.shardings[z] = split(2, &[(1, X)]);
    plan.loops.insert(y, vec![vec![], vec![X]]);
    expect(&program, &plan, &["all_reduce x v", "all_reduce x v"]);
    let rows = collectives(&partition(&program, &plan));
    assert!(rows.iter().all(|r| r.payload_bytes == 12));
}

/// bf16 sums are combined in f32 and rounded once.
#[test]
fn sums_round_when_they_are_complete() {
    let mut b = Builder::new("sum");
    let i = b.dim("I", 8);
    let x = b.input("x", DType::Bf16, &[i]);
    let y =
        b.compute("y", DType::Bf16, &[], &[i], Reducer::Sum, |ix| Expr::load(x, [ix[0].clone()]));
    b.output(y);
    let program = b.finish();
    let mut plan = whole(&program, &[("x", 4)]);
    plan.shardings[x] = split(1, &[(0, X)]);
    plan.loops.insert(y, vec![vec![X]]);
    plan.shardings[y].partial.push((X, Reducer::Sum));
    let rows = collectives(&partition(&program, &plan));
    assert_eq!((rows[0].op, rows[0].payload_bytes), ("all_reduce", 4));
}

/// An axis of one device and padding for more devices than positions.
#[test]
fn extents_are_padded_to_equal_blocks() {
    let (program, [a, _, c]) = matmul();
    let mut plan = whole(&program, &[("x", 12), ("y", 1)]);
    plan.shardings[a] = split(2, &[(0, X), (1, Y)]);
    plan.shardings[c] = split(2, &[(0, X)]);
    plan.loops.insert(c, vec![vec![X], vec![], vec![Y]]);
    let spmd = partition(&program, &plan);
    assert_eq!(collectives(&spmd), []);
    let layout = &spmd.outputs[0].dims[0];
    assert_eq!((layout.global, layout.local, &layout.axes[..]), (8, 1, &[X][..]));
    assert_eq!(spmd.inputs[0].dims[1].axes, []);
}

/// A donated argument's result leaves as the argument came, whatever its own placement.
#[test]
fn donated_arguments_return_in_their_layout() {
    let mut b = Builder::new("step");
    let i = b.dim("I", 8);
    let p = b.input("p", DType::F32, &[i]);
    let next = b.compute("p", DType::F32, &[i], &[], Reducer::None, |ix| {
        Expr::unary(einmesh_ir::UnaryOp::Neg, Expr::load(p, [ix[0].clone()]))
    });
    b.output(next);
    let mut program = b.finish();
    program.inputs[0].donated = true;
    let mut plan = whole(&program, &[("x", 4)]);
    plan.shardings[p] = split(1, &[(0, X)]);
    let spmd = partition(&program, &plan);
    assert_eq!(spmd.outputs, spmd.inputs);
}

#[test]
fn ill_formed_plans_are_found() {
    let (program, [a, w, c]) = matmul();
    let mut plan = whole(&program, &[("x", 2), ("y", 2)]);
    plan.shardings[a].spec[0] = vec![X, X];
    plan.shardings[w].partial.push((Y, Reducer::Sum));
    plan.shardings[c].spec.pop();
    plan.loops.insert(c, vec![vec![X], vec![], vec![X]]);
    let found = check(&program, &plan);
    let about = |words: &str| found.iter().filter(|f| f.contains(words)).count();
    assert_eq!(about("occurs twice"), 2, "{found:?}");
    assert_eq!(about("argument `b` is partial"), 1, "{found:?}");
    assert_eq!(about("2 dims, but 1 lists"), 1, "{found:?}");
    assert_eq!(found.len(), 4, "{found:?}");
    plan.loops.remove(&c);
    assert!(check(&program, &plan).iter().any(|f| f.contains("no axes for its indices")));
}

/// Every way to make a collective mean different things to different devices is found.
#[test]
fn inconsistent_collectives_are_found() {
    use einmesh_ir::CollectiveKind::*;
    let (program, [_, _, c]) = matmul();
    let mut plan = whole(&program, &[("x", 4), ("y", 2)]);
    plan.loops.insert(c, vec![vec![], vec![], vec![X]]);
    let good = partition(&program, &plan);
    let broken: [fn(&mut einmesh_ir::Collective); 9] = [
        |c| c.axes.clear(),
        |c| c.axes = vec![X, X],
        |c| c.axes = vec![MeshAxisId(7)],
        |c| c.input = c.out,
        |c| c.out = ValueId(0),
        |c| c.kind = AllReduce(Reducer::Any),
        |c| c.kind = AllGather { position: 0 },
        |c| c.kind = ReduceScatter { reducer: Reducer::Sum, position: 5 },
        |c| c.kind = CollectivePermute { shift: 4, wrap: true },
    ];
    for (at, damage) in broken.iter().enumerate() {
        let mut spmd = good.clone();
        // An input of another shape, for what receives it.
        let dim = spmd.program.dims.push(einmesh_ir::Dim {
            name: "odd".to_owned(),
            extent: 3,
            role_of: None,
            symbolic: false,
        });
        spmd.program.values[ValueId(0)].dims[0] = dim;
        for op in &mut spmd.program.body.ops {
            if let Op::Collective(c) = op {
                damage(c);
            }
        }
        assert!(!verify_collectives(&spmd).is_empty(), "damage {at} is not found");
    }
    assert_eq!(verify_collectives(&good), []);
}

/// Indices used as numbers are global positions.
#[test]
fn positions_are_global() {
    let mut b = Builder::new("positions");
    let i = b.dim("I", 7);
    let y = b.compute("y", DType::I32, &[i], &[], Reducer::None, |ix| ix[0].clone());
    b.output(y);
    let program = b.finish();
    let mut plan = whole(&program, &[("x", 3)]);
    plan.shardings[y] = split(1, &[(0, X)]);
    plan.loops.insert(y, vec![vec![X]]);
    let spmd = partition(&program, &plan);
    let Op::Compute(c) = &spmd.program.body.ops[0] else { panic!("one comprehension") };
    let start = Expr::binary(BinaryOp::Mul, Expr::Coord(X), Expr::int(3));
    let position = Expr::binary(BinaryOp::Add, start, Expr::Index(IndexId(0)));
    let form = |e: &Expr| einmesh_ir::affine::Affine::of(e);
    assert_eq!(form(&c.body), form(&position));
}

/// `while any(x[i] < 3) { x[i] = x[i] + 1 }`, x split, as one device runs it.
fn counting(mesh: &[(&str, u64)]) -> einmesh_ir::SpmdProgram {
    let text = "\
program count {
  dim I = 8, N = 5

  input %x.0: f32[I]

  %on.1: bool = any[i](%x.0[i] < 3.0)
  for step in N while %on.3 {
    carry %x.2: f32[I] = %x.0
    carry %on.3: bool = %on.1
    %x.4: f32[I] = %x.2[i] + 1.0
    %on.5: bool = any[i](%x.4[i] < 3.0)
    yield %x.4 -> %x.6: f32[I]
    yield %on.5 -> %on.7: bool
  }

  output %x.6
}
";
    let program = einmesh_ir::text::parse(text).expect("a program");
    let mut plan = whole(&program, mesh);
    for value in [0, 2, 4, 6] {
        plan.shardings[ValueId(value)] = split(1, &[(0, X)]);
    }
    for value in [1, 4, 5] {
        plan.loops.insert(ValueId(value), vec![vec![X]]);
    }
    // A condition is reduced where it is computed even if the plan would wait.
    plan.shardings[ValueId(3)].partial = vec![(X, Reducer::Any)];
    assert_eq!(check(&program, &plan), [""; 0]);
    partition(&program, &plan)
}

#[test]
fn conditions_are_whole_and_proven_so() {
    let spmd = counting(&[("x", 2)]);
    assert_eq!(verify_collectives(&spmd), []);
    let ops: Vec<&str> = collectives(&spmd).iter().map(|row| row.op).collect();
    assert_eq!(ops, ["all_reduce", "all_reduce"]);
    // With a copy in the place of either reduction, the devices need not agree.
    for inside in [false, true] {
        let mut broken = spmd.clone();
        let ops = match inside {
            false => &mut broken.program.body.ops,
            true => {
                let found = broken.program.body.ops.iter_mut().find_map(|op| match op {
                    Op::Loop(l) => Some(&mut l.body.ops),
                    _ => None,
                });
                found.expect("a loop")
            }
        };
        for op in ops {
            if let Op::Collective(c) = op {
                *op = Op::Compute(einmesh_ir::Comprehension {
                    out: c.out,
                    indices: einmesh_ir::Arena::new(),
                    free: 0,
                    reducer: Reducer::None,
                    guard: None,
                    body: Expr::load(c.input, []),
                    store: None,
                });
            }
        }
        let found = verify_collectives(&broken);
        assert!(found[0].message.contains("may differ along `x`"), "{found:?}");
    }
}
