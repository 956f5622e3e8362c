//! Reductions that devices cannot simply combine: positions of extremes and log-sum-exp, with the
//! numbers that break careless ones.

use einmesh_interp::{Data, Precision, Tensor, evaluate, evaluate_spmd};
use einmesh_ir::{
    BinaryOp, Builder, DType, Expr, Mesh, MeshAxisId, Op, Program, Reducer, Sharding,
};
use einmesh_plan::Plan;
use einmesh_spmd::{check, partition, verify_collectives};

const NAN: f64 = f64::NAN;
const INF: f64 = f64::INFINITY;

/// `y[b] = ⊕ over v | keep[b,v] of z[b,v]`, or without a guard.
fn reduction(reducer: Reducer, rows: u64, columns: u64, guarded: bool) -> Program {
    let mut b = Builder::new("reduction");
    let (batch, v) = (b.dim("B", rows), b.dim("V", columns));
    let z = b.input("z", DType::F32, &[batch, v]);
    let keep = b.input("keep", DType::Bool, &[batch, v]);
    let dtype = match reducer {
        Reducer::ArgMax | Reducer::ArgMin => DType::I32,
        _ => DType::F32,
    };
    let y = b.compute("y", dtype, &[batch], &[v], reducer, |ix| Expr::load(z, ix.to_vec()));
    b.output(y);
    let mut program = b.finish();
    if guarded && let Op::Compute(c) = &mut program.body.ops[0] {
        c.guard = Some(Expr::load(keep, c.indices.ids().map(Expr::Index)));
    }
    program
}

/// The reduced index split over both axes or one, the result whole or split.
fn plans(program: &Program) -> Vec<Plan> {
    let (x, y) = (MeshAxisId(0), MeshAxisId(1));
    let mut plans = Vec::new();
    for mesh in [[2, 1], [3, 2], [2, 4], [7, 1]] {
        for (loops, held) in [
            (vec![vec![], vec![x, y]], vec![vec![]]),
            (vec![vec![], vec![y, x]], vec![vec![x]]),
            (vec![vec![y], vec![x]], vec![vec![y]]),
        ] {
            let mesh = Mesh::new(["x", "y"].into_iter().zip(mesh));
            let mut plan = Plan::replicated(program, mesh);
            let out = program.outputs[0].value;
            plan.shardings[out] = Sharding { spec: held, partial: Vec::new() };
            plan.shardings[program.inputs[0].value].spec = vec![vec![], vec![x, y]];
            plan.loops.insert(out, loops);
            assert_eq!(check(program, &plan), [""; 0]);
            plans.push(plan);
        }
    }
    plans
}

fn numbers(tensor: &Tensor) -> Vec<f64> {
    match &tensor.data {
        Data::Float(x) => x.clone(),
        Data::Int(x) => x.iter().map(|x| *x as f64).collect(),
    }
}

#[track_caller]
fn agree(program: &Program, inputs: &[Tensor], tolerance: f64) {
    let whole = evaluate(program, inputs, Precision::F64).expect("runs");
    for plan in plans(program) {
        let spmd = partition(program, &plan);
        assert_eq!(verify_collectives(&spmd), []);
        let parts = evaluate_spmd(&spmd, inputs, Precision::F64).expect("runs");
        let (a, b) = (numbers(&whole[0]), numbers(&parts[0]));
        let same =
            |a: &f64, b: &f64| a == b || (a.is_nan() && b.is_nan()) || (a - b).abs() <= tolerance;
        let loops = &plan.loops;
        assert!(a.iter().zip(&b).all(|(a, b)| same(a, b)), "{a:?} and {b:?} under {loops:?}");
    }
}

/// Rows with ties, NaN, infinities, and rows of which nothing or little is kept.
fn rows() -> (Vec<[f64; 7]>, Vec<[i64; 7]>) {
    let z = vec![
        [1.0, 3.0, 2.0, 3.0, 0.0, 3.0, -1.0],
        [1.0, NAN, 5.0, NAN, 0.0, 9.0, 2.0],
        [-INF, -INF, -INF, -INF, -INF, -INF, -INF],
        [INF, 1.0, INF, -INF, 0.0, 2.0, INF],
        [4.0, 4.0, 4.0, 4.0, 4.0, 4.0, 4.0],
        [0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0],
        [6.0, 5.0, -INF, 3.0, 2.0, 1.0, 0.0],
        [1.0, 2.0, 3.0, NAN, 4.0, 5.0, -6.0],
    ];
    let keep = vec![
        [1, 0, 1, 1, 1, 1, 1],
        [1, 0, 1, 0, 1, 1, 1],
        [0, 0, 0, 1, 1, 0, 0],
        [0, 0, 0, 0, 0, 0, 0],
        [0, 0, 0, 0, 0, 0, 1],
        [1, 1, 1, 0, 0, 0, 0],
        [0, 0, 1, 0, 0, 0, 0],
        [0, 0, 0, 1, 0, 0, 0],
    ];
    (z, keep)
}

fn inputs() -> Vec<Tensor> {
    let (z, keep) = rows();
    let shape = [z.len(), 7];
    vec![
        Tensor::float(DType::F32, &shape, z.into_iter().flatten()),
        Tensor::int(DType::Bool, &shape, keep.into_iter().flatten()),
    ]
}

#[test]
fn positions_of_extremes() {
    for reducer in [Reducer::ArgMax, Reducer::ArgMin] {
        for guarded in [false, true] {
            agree(&reduction(reducer, 8, 7, guarded), &inputs(), 0.0);
        }
    }
}

#[test]
fn extremes_with_nan() {
    for reducer in [Reducer::Max, Reducer::Min] {
        for guarded in [false, true] {
            agree(&reduction(reducer, 8, 7, guarded), &inputs(), 0.0);
        }
    }
}

/// exp and log are each within an ulp or two, and sums have 7 terms of at most 1.
#[test]
fn log_sum_exp() {
    for guarded in [false, true] {
        agree(&reduction(Reducer::LogSumExp, 8, 7, guarded), &inputs(), 1e-14);
    }
}

/// A diagonal: one index for two dims of one value, of which only one can be split by it.
#[test]
fn a_diagonal() {
    let mut b = Builder::new("diagonal");
    let (i, j) = (b.dim("I", 7), b.dim("J", 7));
    let a = b.input("a", DType::F32, &[i, j]);
    let y = b.compute("y", DType::F32, &[i], &[], Reducer::None, |ix| {
        Expr::load(a, [ix[0].clone(), ix[0].clone()])
    });
    let square = b.compute("s", DType::F32, &[], &[i], Reducer::Sum, |ix| {
        let y = Expr::load(y, [ix[0].clone()]);
        Expr::binary(BinaryOp::Mul, y.clone(), y)
    });
    b.output(square);
    let program = b.finish();
    let numbers: Vec<f64> = (0..49).map(f64::from).collect();
    let input = Tensor::float(DType::F32, &[7, 7], numbers);
    let whole = evaluate(&program, std::slice::from_ref(&input), Precision::F64).expect("runs");
    let x = MeshAxisId(0);
    for spec in [vec![vec![x], vec![]], vec![vec![], vec![x]], vec![vec![], vec![]]] {
        let mut plan = Plan::replicated(&program, Mesh::new([("x", 3)]));
        plan.shardings[a].spec = spec;
        plan.loops.insert(y, vec![vec![x]]);
        plan.loops.insert(square, vec![vec![x]]);
        let spmd = partition(&program, &plan);
        let parts =
            evaluate_spmd(&spmd, std::slice::from_ref(&input), Precision::F64).expect("runs");
        assert_eq!(whole, parts);
    }
}
