//! Reductions, guards, bounds and stores.

use super::*;
use einmesh_ir::{Literal, Store};

const NAN: f64 = f64::NAN;
const INF: f64 = f64::INFINITY;

/// Reduces each row of two.
fn reduce(reducer: Reducer, rows: [&[f64]; 2]) -> Vec<f64> {
    let mut c = Case::new();
    let (i, j) = (c.dim("I", 2), c.dim("J", rows[0].len() as u64));
    let x = c.floats(DType::F64, &[i, j], &rows.concat());
    c.compute(DType::F64, &[i], &[j], reducer, |ix| load(x, ix));
    c.floats_out()
}

#[test]
fn contracts_in_any_order_of_dims() {
    // Rows and columns long enough for several groups of lanes, on either side.
    let (n, m, k) = (3, 300, 140);
    let mut c = Case::new();
    let [i, j, l] = [("I", n), ("J", m), ("K", k)].map(|(name, extent)| c.dim(name, extent));
    let a: Vec<f64> = (0..n * k).map(|x| (x % 7) as f64 - 3.0).collect();
    let b: Vec<f64> = (0..k * m).map(|x| (x % 5) as f64 - 2.0).collect();
    let (x, y) = (c.floats(DType::F32, &[i, l], &a), c.floats(DType::F32, &[l, j], &b));
    let product = |f: &[Expr; 3]| {
        binary(
            BinaryOp::Mul,
            load(x, &[f[0].clone(), f[2].clone()]),
            load(y, &[f[2].clone(), f[1].clone()]),
        )
    };
    c.compute(DType::F32, &[i, j], &[l], Reducer::Sum, |ix| {
        product(&[ix[0].clone(), ix[1].clone(), ix[2].clone()])
    });
    c.compute(DType::F32, &[j, i], &[l], Reducer::Sum, |ix| {
        product(&[ix[1].clone(), ix[0].clone(), ix[2].clone()])
    });
    let results = c.run(Precision::Program);
    let (n, m, k) = (n as usize, m as usize, k as usize);
    for row in 0..n {
        for column in 0..m {
            let expected: f64 = (0..k).map(|d| a[row * k + d] * b[d * m + column]).sum();
            assert_eq!(results[0].floats()[row * m + column], expected);
            assert_eq!(results[1].floats()[column * n + row], expected);
        }
    }
}

#[test]
fn reductions() {
    same(&reduce(Reducer::Sum, [&[1.0, 2.0], &[3.0, 4.0]]), &[3.0, 7.0]);
    same(&reduce(Reducer::Prod, [&[1.0, 2.0], &[3.0, 4.0]]), &[2.0, 12.0]);
    same(&reduce(Reducer::Max, [&[1.0, 2.0], &[NAN, 4.0]]), &[2.0, NAN]);
    same(&reduce(Reducer::Min, [&[1.0, 2.0], &[3.0, NAN]]), &[1.0, NAN]);
}

#[test]
fn log_sum_exp_is_stable() {
    let rows: [&[f64]; 2] = [&[1000.0, 1000.0], &[-INF, 3.0]];
    let got = reduce(Reducer::LogSumExp, rows);
    assert!((got[0] - (1000.0 + 2f64.ln())).abs() < 1e-12);
    assert_eq!(got[1], 3.0);
    same(&reduce(Reducer::LogSumExp, [&[-INF, -INF], &[INF, INF]]), &[-INF, INF]);
    same(&reduce(Reducer::LogSumExp, [&[NAN, 1.0], &[1.0, NAN]]), &[NAN, NAN]);
    same(&reduce(Reducer::LogSumExp, [&[], &[]]), &[-INF, -INF]);
    let got = reduce(Reducer::LogSumExp, [&[1.0, 2.0, 3.0], &[3.0, 1.0, 2.0]]);
    let expected = (1f64.exp() + 2f64.exp() + 3f64.exp()).ln();
    assert!((got[0] - expected).abs() < 1e-14 && (got[1] - expected).abs() < 1e-14);
}

#[test]
fn nothing_gives_the_identity() {
    let empty: [&[f64]; 2] = [&[], &[]];
    same(&reduce(Reducer::Sum, empty), &[0.0, 0.0]);
    same(&reduce(Reducer::Prod, empty), &[1.0, 1.0]);
    same(&reduce(Reducer::Max, empty), &[-INF, -INF]);
    same(&reduce(Reducer::Min, empty), &[INF, INF]);
    let of_ints = |reducer, dtype| {
        let mut c = Case::new();
        let (i, j) = (c.dim("I", 1), c.dim("J", 0));
        let x = c.ints(dtype, &[i, j], &[]);
        c.compute(dtype, &[i], &[j], reducer, |ix| load(x, ix));
        c.ints_out()[0]
    };
    assert_eq!(of_ints(Reducer::Max, DType::I32), i64::from(i32::MIN));
    assert_eq!(of_ints(Reducer::Min, DType::I64), i64::MAX);
    assert_eq!(of_ints(Reducer::Any, DType::Bool), 0);
    assert_eq!(of_ints(Reducer::All, DType::Bool), 1);
    assert_eq!(of_ints(Reducer::ArgMax, DType::I32), 0);
}

#[test]
fn positions_of_extremes() {
    let arg = |reducer, x: &[f64]| {
        let mut c = Case::new();
        let j = c.dim("J", x.len() as u64);
        let x = c.floats(DType::F32, &[j], x);
        c.compute(DType::I32, &[], &[j], reducer, |ix| load(x, ix));
        c.ints_out()[0]
    };
    assert_eq!(arg(Reducer::ArgMax, &[1.0, 3.0, 3.0]), 1);
    assert_eq!(arg(Reducer::ArgMin, &[2.0, 1.0, 1.0]), 1);
    assert_eq!(arg(Reducer::ArgMax, &[1.0, NAN, 9.0, NAN]), 1);
    assert_eq!(arg(Reducer::ArgMin, &[NAN, -9.0]), 0);
    assert_eq!(arg(Reducer::ArgMax, &[-INF, -INF]), 0);
    let far: Vec<f64> = (0..400).map(|i| if i == 300 { 1.0 } else { 0.0 }).collect();
    assert_eq!(arg(Reducer::ArgMax, &far), 300);
}

#[test]
fn sums_run_in_index_order_and_round_once() {
    // In f32, 2^24 + 1 loses the 1, but 1 + 1 + 2^24 does not.
    let sum = |x: &[f64], body: DType, out: DType| {
        let mut c = Case::new();
        let j = c.dim("J", x.len() as u64);
        let x = c.floats(body, &[j], x);
        c.compute(out, &[], &[j], Reducer::Sum, |ix| load(x, ix));
        c.floats_out()[0]
    };
    let big = 16_777_216.0;
    assert_eq!(sum(&[big, 1.0, 1.0], DType::F32, DType::F32), big);
    assert_eq!(sum(&[1.0, 1.0, big], DType::F32, DType::F32), big + 2.0);
    assert_eq!(sum(&[big, 1.0, 1.0], DType::F64, DType::F32), big + 2.0);
    // bf16 accumulates in f32: 256 + 1 + 1 is 258, a number of bf16.
    assert_eq!(sum(&[256.0, 1.0, 1.0], DType::Bf16, DType::Bf16), 258.0);
}

#[test]
fn guards_exclude_points() {
    // Causal: u ≤ t. Row sums of ones count the points.
    let causal = |reducer| {
        let mut c = Case::new();
        let (t, u) = (c.dim("T", 4), c.dim("U", 4));
        let x = c.floats(DType::F32, &[u], &[1.0, 2.0, NAN, 4.0]);
        c.compute(DType::F32, &[t], &[u], reducer, |ix| load(x, &ix[1..]));
        c.last().guard = Some({
            let [t, u] = [0, 1].map(|i| Expr::Index(einmesh_ir::IndexId(i)));
            binary(BinaryOp::Lt, u, t)
        });
        c.floats_out()
    };
    same(&causal(Reducer::Sum), &[0.0, 1.0, 3.0, NAN]);
    same(&causal(Reducer::Max), &[-INF, 1.0, 2.0, NAN]);
    same(&causal(Reducer::Prod), &[1.0, 1.0, 2.0, NAN]);
}

#[test]
fn a_false_guard_without_a_reducer_gives_zero() {
    let mut c = Case::new();
    let i = c.dim("I", 3);
    let x = c.floats(DType::F32, &[i], &[1.0, 2.0, 3.0]);
    let keep = c.ints(DType::Bool, &[i], &[1, 0, 1]);
    c.compute(DType::F32, &[i], &[], Reducer::None, |ix| load(x, ix));
    let index = Expr::Index(einmesh_ir::IndexId(0));
    c.last().guard = Some(load(keep, &[index]));
    same(&c.floats_out(), &[1.0, 0.0, 3.0]);
}

#[test]
fn a_guard_keeps_loads_in_range() {
    let shifted = |guarded: bool| {
        let mut c = Case::new();
        let (i, j) = (c.dim("I", 3), c.dim("J", 2));
        let x = c.floats(DType::F32, &[j], &[5.0, 6.0]);
        let p = c.ints(DType::I32, &[i], &[0, 1, 2]);
        c.compute(DType::F32, &[i], &[], Reducer::None, |ix| load(x, &[load(p, ix)]));
        let index = Expr::Index(einmesh_ir::IndexId(0));
        let guard = binary(BinaryOp::Lt, load(p, &[index]), Expr::int(2));
        c.last().guard = guarded.then_some(guard);
        c.try_run(Precision::Program)
    };
    same(shifted(true).unwrap()[0].floats(), &[5.0, 6.0, 0.0]);
    let error = shifted(false).unwrap_err();
    assert_eq!(
        error.to_string(),
        "%out0.2: subscript 0 of %in1.0 is 2, outside of 2 positions, although it was proven in range"
    );
}

#[test]
fn loads_out_of_range() {
    let mut c = Case::new();
    let i = c.dim("I", 4);
    let x = c.floats(DType::F32, &[i], &[1.0, 2.0, 3.0, 4.0]);
    let p = c.ints(DType::I32, &[i], &[-5, 1, 3, 9]);
    let back = |ix: &[Expr], n| binary(BinaryOp::Sub, ix[0].clone(), Expr::int(n));
    c.compute(DType::F32, &[i], &[], Reducer::None, |ix| {
        load_else(x, &[back(ix, 1)], Expr::float(DType::F32, -7.0))
    });
    c.compute(DType::F32, &[i], &[], Reducer::None, |ix| {
        // A default that is itself out of range in places.
        let before = load_else(x, &[back(ix, 2)], Expr::float(DType::F32, 0.5));
        load_else(x, &[binary(BinaryOp::Add, ix[0].clone(), Expr::int(2))], before)
    });
    c.compute(DType::F32, &[i], &[], Reducer::None, |ix| gather(x, &[load(p, ix)]));
    let results = c.run(Precision::Program);
    same(results[0].floats(), &[-7.0, 1.0, 2.0, 3.0]);
    same(results[1].floats(), &[3.0, 4.0, 1.0, 2.0]);
    same(results[2].floats(), &[1.0, 2.0, 4.0, 4.0]);
}

#[test]
fn diagonals_strides_and_broadcasts() {
    let mut c = Case::new();
    let (i, j, k) = (c.dim("I", 2), c.dim("J", 2), c.dim("K", 4));
    let x = c.floats(DType::F32, &[i, j], &[1.0, 2.0, 3.0, 4.0]);
    let y = c.floats(DType::F32, &[k], &[5.0, 6.0, 7.0, 8.0]);
    c.compute(DType::F32, &[i], &[], Reducer::None, |ix| load(x, &[ix[0].clone(), ix[0].clone()]));
    c.compute(DType::F32, &[], &[i], Reducer::Sum, |ix| load(x, &[ix[0].clone(), ix[0].clone()]));
    c.compute(DType::F32, &[i, j], &[], Reducer::None, |ix| {
        let twice = binary(BinaryOp::Mul, Expr::int(2), ix[0].clone());
        load(y, &[binary(BinaryOp::Add, twice, ix[1].clone())])
    });
    c.compute(DType::F32, &[i, j], &[], Reducer::None, |ix| load(y, &[ix[1].clone()]));
    let results = c.run(Precision::Program);
    same(results[0].floats(), &[1.0, 4.0]);
    same(results[1].floats(), &[5.0]);
    same(results[2].floats(), &[5.0, 6.0, 7.0, 8.0]);
    same(results[3].floats(), &[5.0, 6.0, 5.0, 6.0]);
}

/// Stores `x[i]` at `places[i]` of `base`, where `x` is not negative.
fn store(combine: Reducer, places: &[i64], x: &[f64], dtype: DType, base: &[f64]) -> Vec<f64> {
    let mut c = Case::new();
    let (i, n) = (c.dim("I", places.len() as u64), c.dim("N", base.len() as u64));
    let x = c.floats(dtype, &[i], x);
    let p = c.ints(DType::I32, &[i], places);
    let base = c.floats(dtype, &[n], base);
    c.compute(dtype, &[i], &[], Reducer::None, |ix| load(x, ix));
    let index = Expr::Index(einmesh_ir::IndexId(0));
    let out = c.last().out;
    c.builder.program.values[out].dims = vec![n];
    c.last().guard =
        Some(binary(BinaryOp::Ge, load(x, std::slice::from_ref(&index)), Expr::float(dtype, 0.0)));
    c.last().store = Some(Store { base, subs: vec![load(p, &[index])], combine });
    c.floats_out()
}

#[test]
fn stores_keep_the_base_combine_and_drop() {
    let f = DType::F32;
    let base = [10.0, 20.0, 30.0];
    same(&store(Reducer::None, &[2, 0], &[1.0, 2.0], f, &base), &[2.0, 20.0, 1.0]);
    same(&store(Reducer::Sum, &[1, 1, 1], &[1.0, 2.0, 3.0], f, &base), &[10.0, 26.0, 30.0]);
    same(&store(Reducer::Max, &[0, 0], &[11.0, 5.0], f, &base), &[11.0, 20.0, 30.0]);
    same(&store(Reducer::Min, &[0, 0], &[11.0, 5.0], f, &base), &[5.0, 20.0, 30.0]);
    same(&store(Reducer::Prod, &[2], &[2.0], f, &base), &[10.0, 20.0, 60.0]);
    // Out of range on both sides, and excluded by the guard.
    same(&store(Reducer::Sum, &[-1, 3, 0], &[1.0, 2.0, -3.0], f, &base), &base);
    // bf16 combines in f32 and rounds once.
    same(&store(Reducer::Sum, &[0, 0], &[1.0, 1.0], DType::Bf16, &[256.0]), &[258.0]);
}

#[test]
fn stores_of_reductions() {
    // Row sums added at the rows' targets; a row without points keeps the base.
    let mut c = Case::new();
    let (i, j, n) = (c.dim("I", 3), c.dim("J", 2), c.dim("N", 2));
    let x = c.floats(DType::F32, &[i, j], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
    let p = c.ints(DType::I32, &[i], &[1, 0, 1]);
    let base = c.floats(DType::F32, &[n], &[100.0, 200.0]);
    c.compute(DType::F32, &[i], &[j], Reducer::Max, |ix| load(x, ix));
    let index = Expr::Index(einmesh_ir::IndexId(0));
    let out = c.last().out;
    c.builder.program.values[out].dims = vec![n];
    c.last().guard = Some(binary(BinaryOp::Ne, index.clone(), Expr::int(1)));
    let subs = vec![load(p, &[index])];
    c.last().store = Some(Store { base, subs, combine: Reducer::Sum });
    same(&c.floats_out(), &[100.0, 208.0]);
}

#[test]
fn scalars_and_empty_values() {
    let mut c = Case::new();
    let (i, n) = (c.dim("I", 0), c.dim("N", 3));
    let x = c.floats(DType::F32, &[], &[3.0]);
    let e = c.floats(DType::F32, &[i], &[]);
    c.compute(DType::F32, &[], &[], Reducer::None, |_| load(x, &[]));
    c.compute(DType::F32, &[i], &[], Reducer::None, |ix| load(e, ix));
    c.compute(DType::F32, &[n], &[i], Reducer::Sum, |ix| load(e, &ix[1..]));
    c.compute(DType::Bool, &[n], &[], Reducer::None, |_| Expr::Literal(Literal::Bool(true)));
    let results = c.run(Precision::Program);
    same(results[0].floats(), &[3.0]);
    assert!(results[1].is_empty());
    same(results[2].floats(), &[0.0, 0.0, 0.0]);
    assert_eq!(results[3].ints(), [1, 1, 1]);
}
