//! Online softmax against the plain evaluator: attention and row reductions, every kind of guard, sizes that
//! are multiples of nothing, rows without points, and special values.

use crate::common::attention::*;
use crate::common::make::*;
use crate::common::{Tolerance, check_all, check_special, check_with};
use einmesh_codegen::Tuning;
use einmesh_ir::{BinaryOp, DType, Expr, IndexId, ValueId};
use einmesh_schedule::kernel::{Context, Kernel, Online, RowResult};

/// Scores of a few dozen products below 4 are off by some 1e-5, and so are their exponentials.
const F32: Tolerance = Tolerance { relative: 2e-4, absolute: 2e-5 };
const F64: Tolerance = Tolerance { relative: 1e-11, absolute: 1e-12 };
/// Half a unit of bf16's last place, on top.
const BF16: Tolerance = Tolerance { relative: 0.01, absolute: 2e-3 };

/// Makes what is added to scores, of the head's index and slope.
type Bias = fn(&Names, IndexId, ValueId) -> Expr;

/// Attention in the layout of a transformer.
fn attention(name: &str, s: Shape, guard: Option<Guard>, bias: Option<Bias>) -> Kernel {
    let mut m = make(name);
    let wide = s.dtype.accumulator();
    let q = m.read(s.dtype, &[s.b, s.t, s.g, s.r, s.k]);
    let key = m.read(s.dtype, &[s.b, s.u, s.g, s.k]);
    let val = m.read(s.dtype, &[s.b, s.u, s.g, s.v]);
    let keep = m.read(DType::Bool, &[s.b, s.u]);
    let start = m.read(DType::I32, &[s.b]);
    let slope = m.read(wide, &[s.g]);
    let out = m.write(s.dtype, &[s.b, s.t, s.g, s.r, s.v]);
    let norm = m.write(wide, &[s.b, s.g, s.r, s.t]);
    let locals = [(); 5].map(|()| m.local(wide, &[]));
    let [acc, top, total, lse, context] = locals;
    m.ints(1);
    let (b, g, r, t) = (m.index(s.b), m.index(s.g), m.index(s.r), m.index(s.t));
    let (u, k, v) = (m.index(s.u), m.index(s.k), m.index(s.v));
    let names = Names { b, t, u, keep, start };
    let number = |x: f64| Expr::float(wide, x);
    let mut score = mul(load(acc, &[]), number(0.3));
    if let Some(bias) = bias {
        score = add(score, bias(&names, g, slope));
    }
    let empty = Expr::binary(BinaryOp::Eq, load(total, &[]), number(0.0));
    let normal = Expr::select(empty, number(0.0), div(load(context, &[]), load(total, &[])));
    let cast = |e: Expr| if s.dtype == wide { e } else { Expr::cast(s.dtype, e) };
    let results = vec![
        RowResult { wide: false, value: load(lse, &[]), target: to(norm, &[b, g, r, t]) },
        RowResult { wide: true, value: cast(normal), target: to(out, &[b, t, g, r, v]) },
    ];
    m.online(Online {
        batch: vec![b, g],
        m: vec![r, t],
        n: u,
        k: vec![k],
        lhs: load(q, &[b, t, g, r, k]),
        rhs: load(key, &[b, u, g, k]),
        accumulator: wide,
        acc,
        score,
        guard: guard.map(|g| g(&names)),
        top,
        total,
        lse,
        context: Some(Context { v: vec![v], value: load(val, &[b, u, g, v]), acc: context }),
        results,
    })
}

fn alibi(n: &Names, head: IndexId, slope: ValueId) -> Expr {
    mul(load(slope, &[head]), Expr::cast(DType::F32, sub(idx(n.u), idx(n.t))))
}

#[test]
fn every_guard() {
    let mut cases = Vec::new();
    for (name, guard) in GUARDS {
        cases.push((attention(name, SMALL, guard, None), F32));
    }
    cases.push((attention("alibi", SMALL, Some(causal), Some(alibi)), F32));
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
        (5, 600, 3, 70),
        (90, 515, 16, 20),
    ];
    for (t, u, k, v) in sizes {
        let shape = Shape { t, u, k, v, r: 1, ..SMALL };
        cases.push((attention("plain", shape, None, None), F32));
        cases.push((attention("causal", shape, Some(causal), None), F32));
    }
    for dtype in [DType::F64, DType::Bf16, DType::F16] {
        let tolerance = if dtype == DType::F64 { F64 } else { BF16 };
        cases.push((attention("dtype", Shape { dtype, ..SMALL }, Some(causal), None), tolerance));
    }
    check_all(&cases);
}

/// Few rows and many keys: the keys are split in parts.
#[test]
fn split_keys() {
    let shape = Shape { b: 1, t: 2, u: 5000, g: 1, r: 2, k: 64, v: 64, ..SMALL };
    let last = |n: &Names| le(idx(n.u), add(idx(n.t), Expr::int(4000)));
    check_all(&[
        (attention("split", shape, None, None), F32),
        (attention("split causal", shape, Some(last), None), F32),
        (attention("split ragged", shape, Some(ragged), None), F32),
        (attention("split keep", shape, Some(keep), None), F32),
    ]);
}

/// So few rows that keys and values are read where they lie: every guard, tails of keys, depths and columns, every
/// type, keys in several parts, special values.
#[test]
fn few_rows() {
    let step = Shape { t: 1, r: 1, k: 64, v: 64, ..SMALL };
    let mut cases = Vec::new();
    for (name, guard) in GUARDS {
        cases.push((attention(name, Shape { r: 3, ..step }, guard, Some(alibi)), F32));
    }
    let sizes = [
        (1, 1, 1, 1, 1),
        (1, 16, 16, 16, 2),
        (2, 17, 13, 21, 2),
        (4, 3, 128, 33, 1),
        (1, 700, 40, 300, 3),
    ];
    for (t, u, k, v, r) in sizes {
        let shape = Shape { t, u, k, v, r, ..SMALL };
        cases.push((attention("few", shape, None, None), F32));
        cases.push((attention("few ragged", shape, Some(ragged), None), F32));
    }
    for dtype in [DType::F64, DType::Bf16, DType::F16] {
        let tolerance = if dtype == DType::F64 { F64 } else { BF16 };
        let shape = Shape { dtype, u: 37, k: 24, v: 40, r: 2, ..step };
        cases.push((attention("few dtype", shape, Some(ragged), None), tolerance));
    }
    let long = Shape { b: 1, u: 3001, g: 1, ..step };
    cases.push((attention("few parts", long, None, None), F32));
    cases.push((attention("few parts keep", long, Some(keep), None), F32));
    check_all(&cases);
    check_special(&[(attention("few values", Shape { u: 40, ..step }, None, None), F32)]);
}

/// Infinities and NaN in queries, keys and biases, and in values that have a weight.
#[test]
fn special_values() {
    let cases: Vec<(Kernel, Tolerance)> = GUARDS
        .iter()
        .map(|(name, guard)| (attention(name, SMALL, *guard, Some(alibi)), F32))
        .collect();
    check_with(&cases, Tuning::default(), |kernel, seed| {
        let mut operands = operands(kernel, seed);
        let value = operands[2].clone();
        add_special(kernel, &mut operands);
        operands[2] = value;
        operands
    });
    let shape = Shape { u: 40, ..SMALL };
    check_special(&[(attention("values", shape, None, None), F32)]);
}

/// Every score is infinite, one way or the other.
#[test]
fn infinite_scores() {
    let cases: Vec<(Kernel, Tolerance)> = GUARDS
        .iter()
        .map(|(name, guard)| (attention(name, SMALL, *guard, Some(alibi)), F32))
        .collect();
    for infinity in [f64::INFINITY, f64::NEG_INFINITY] {
        check_with(&cases, Tuning::default(), |kernel, seed| {
            let mut operands = operands(kernel, seed);
            let bytes = (infinity as f32).to_le_bytes();
            operands[5].chunks_mut(4).for_each(|place| place.copy_from_slice(&bytes));
            operands
        });
    }
}

/// `lse[t] = logsumexp[v](Σ_d x[t,d] · w[v,d])`, the rows' maxima, and sums of exponentials.
fn reductions(t: u64, v: u64, d: u64) -> Kernel {
    let mut m = make("reductions");
    let x = m.read(DType::F32, &[t, d]);
    let w = m.read(DType::F32, &[v, d]);
    let outs = [(); 3].map(|()| m.write(DType::F32, &[t]));
    let [acc, top, total, lse] = [(); 4].map(|()| m.local(DType::F32, &[]));
    let (t, v, d) = (m.index(t), m.index(v), m.index(d));
    let results = [lse, top, total]
        .iter()
        .zip(outs)
        .map(|(local, out)| RowResult {
            wide: false,
            value: load(*local, &[]),
            target: to(out, &[t]),
        })
        .collect();
    m.online(Online {
        batch: vec![],
        m: vec![t],
        n: v,
        k: vec![d],
        lhs: load(x, &[t, d]),
        rhs: load(w, &[v, d]),
        accumulator: DType::F32,
        acc,
        score: load(acc, &[]),
        guard: None,
        top,
        total,
        lse,
        context: None,
        results,
    })
}

#[test]
fn row_reductions() {
    let cases = [(1, 1, 1), (7, 33, 5), (30, 700, 300), (5, 3000, 48)];
    let cases: Vec<(Kernel, Tolerance)> =
        cases.iter().map(|(t, v, d)| (reductions(*t, *v, *d), F32)).collect();
    check_all(&cases);
    check_special(&cases);
}

/// Extents of 0: rows without keys, scores without depth.
#[test]
fn nothing() {
    check_all(&[
        (attention("no keys", Shape { u: 0, ..SMALL }, None, None), F32),
        (attention("no rows", Shape { t: 0, ..SMALL }, None, None), F32),
        (attention("no depth", Shape { k: 0, ..SMALL }, Some(causal), None), F32),
        (attention("no columns", Shape { v: 0, ..SMALL }, None, None), F32),
    ]);
}
