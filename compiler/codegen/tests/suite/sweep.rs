//! Sums over the points of products against the plain evaluator: the gradients of attention with every kind of guard,
//! sizes that are multiples of nothing, rows without points, keys in parts, and special values.

use crate::common::attention::*;
use crate::common::make::*;
use crate::common::{Tolerance, check_all, check_special};
use einmesh_ir::{DType, Expr, UnaryOp, ValueId};
use einmesh_schedule::kernel::{Factors, Kernel, Point, PointSum, Sweep};

/// Scores of a few dozen products below 4 are off by some 1e-6, and so are their exponentials, relative to themselves;
/// sums are of up to 150 terms, of which the largest are some 10.
const F32: Tolerance = Tolerance { relative: 4e-4, absolute: 2e-4 };
const F64: Tolerance = Tolerance { relative: 1e-11, absolute: 1e-11 };
/// Half a unit of bf16's last place, on top.
const BF16: Tolerance = Tolerance { relative: 0.01, absolute: 2e-2 };

/// The gradients of attention, `dq`, `dkey` and `dval`, from row numbers `shift` and `delta`.
fn gradients(name: &str, s: Shape, guard: Option<Guard>) -> Kernel {
    let mut m = make(name);
    let wide = s.dtype.accumulator();
    let q = m.read(s.dtype, &[s.b, s.t, s.g, s.r, s.k]);
    let key = m.read(s.dtype, &[s.b, s.u, s.g, s.k]);
    let val = m.read(s.dtype, &[s.b, s.u, s.g, s.v]);
    let d = m.read(s.dtype, &[s.b, s.t, s.g, s.r, s.v]);
    let [shift, delta] = [(); 2].map(|()| m.read(wide, &[s.b, s.g, s.r, s.t]));
    let keep = m.read(DType::Bool, &[s.b, s.u]);
    let start = m.read(DType::I32, &[s.b]);
    let dq = m.write(s.dtype, &[s.b, s.t, s.g, s.r, s.k]);
    let dkey = m.write(s.dtype, &[s.b, s.u, s.g, s.k]);
    let dval = m.write(s.dtype, &[s.b, s.u, s.g, s.v]);
    let [product, other, weight, slope, sum] = [(); 5].map(|()| m.local(wide, &[]));
    m.ints(1);
    let (b, g, r, t) = (m.index(s.b), m.index(s.g), m.index(s.r), m.index(s.t));
    let (u, k, c) = (m.index(s.u), m.index(s.k), m.index(s.v));
    let (k2, c2) = (m.index(s.k), m.index(s.v));
    let names = Names { b, t, u, keep, start };
    let local = |v: ValueId| load(v, &[]);
    let row = |v: ValueId| load(v, &[b, g, r, t]);
    // Exponents stay small: there is no largest score that they are taken relative to.
    let scale = 0.5 / (s.k as f64).sqrt();
    let score = mul(local(product), Expr::float(wide, scale));
    let exponential = Expr::unary(UnaryOp::Exp, sub(score, row(shift)));
    let cast = |e: Expr| if s.dtype == wide { e } else { Expr::cast(s.dtype, e) };
    let total = |scale: f64| cast(mul(local(sum), Expr::float(wide, scale)));
    m.sweep(Sweep {
        batch: vec![b, g],
        m: vec![r, t],
        n: u,
        accumulator: wide,
        products: vec![
            Factors {
                k: vec![k],
                lhs: load(q, &[b, t, g, r, k]),
                rhs: load(key, &[b, u, g, k]),
                acc: product,
            },
            Factors {
                k: vec![c],
                lhs: load(d, &[b, t, g, r, c]),
                rhs: load(val, &[b, u, g, c]),
                acc: other,
            },
        ],
        guard: guard.map(|g| g(&names)),
        points: vec![
            Point { local: weight, value: exponential },
            Point { local: slope, value: mul(local(weight), sub(local(other), row(delta))) },
        ],
        sums: vec![
            PointSum {
                of_columns: false,
                weight: slope,
                v: vec![k2],
                value: load(key, &[b, u, g, k2]),
                acc: sum,
                result: total(scale),
                target: to(dq, &[b, t, g, r, k2]),
            },
            PointSum {
                of_columns: true,
                weight: slope,
                v: vec![k2],
                value: load(q, &[b, t, g, r, k2]),
                acc: sum,
                result: total(scale),
                target: to(dkey, &[b, u, g, k2]),
            },
            PointSum {
                of_columns: true,
                weight,
                v: vec![c2],
                value: load(d, &[b, t, g, r, c2]),
                acc: sum,
                result: total(1.0),
                target: to(dval, &[b, u, g, c2]),
            },
        ],
    })
}

#[test]
fn every_guard() {
    let cases: Vec<_> = GUARDS.map(|(name, guard)| (gradients(name, SMALL, guard), F32)).into();
    check_all(&cases);
}

#[test]
fn every_size() {
    let mut cases = Vec::new();
    let sizes = [
        (1, 1, 1, 1),
        (1, 70, 16, 16),
        (3, 16, 8, 33),
        (32, 32, 64, 64),
        (67, 67, 40, 1),
        (5, 300, 3, 70),
        (150, 140, 16, 20),
    ];
    for (t, u, k, v) in sizes {
        let shape = Shape { t, u, k, v, r: 1, ..SMALL };
        cases.push((gradients("plain", shape, None), F32));
        cases.push((gradients("causal", shape, Some(causal)), F32));
    }
    for dtype in [DType::F64, DType::Bf16, DType::F16] {
        let tolerance = if dtype == DType::F64 { F64 } else { BF16 };
        cases.push((gradients("dtype", Shape { dtype, ..SMALL }, Some(causal)), tolerance));
    }
    check_all(&cases);
}

/// One batch and many keys: the keys are split in parts.
#[test]
fn split_keys() {
    let shape = Shape { b: 1, t: 70, u: 500, g: 1, r: 1, k: 16, v: 20, ..SMALL };
    let late = |n: &Names| le(idx(n.u), add(idx(n.t), Expr::int(300)));
    check_all(&[
        (gradients("split", shape, None), F32),
        (gradients("split causal", shape, Some(late)), F32),
        (gradients("split ragged", shape, Some(ragged)), F32),
        (gradients("split keep", shape, Some(keep)), F32),
    ]);
}

/// NaN, infinities and zeros of both signs. Every key is a point of every row: excluded ones may leak a NaN.
#[test]
fn special_values() {
    let small = Shape { b: 1, g: 1, r: 1, t: 9, u: 20, k: 3, v: 3, ..SMALL };
    check_special(&[
        (gradients("special", small, None), F32),
        (gradients("special odd", Shape { t: 15, u: 33, ..small }, None), F32),
    ]);
}
