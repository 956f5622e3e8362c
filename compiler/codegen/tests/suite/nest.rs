//! Nests against the plain evaluator: elementwise work, reductions along every index, several stages.

use crate::common::make::*;
use crate::common::{EXACT, Tolerance, check, check_all, check_special};
use einmesh_ir::{DType, Expr, Reducer};
use einmesh_schedule::kernel::Kernel;

/// Enough for sums of a few hundred f32 below 4 in any order: n · 2⁻²⁴ · Σ|x|.
const SUM: Tolerance = Tolerance { relative: 1e-6, absolute: 2e-4 };

fn elementwise(extents: &[u64]) -> Kernel {
    let mut m = make("axpy");
    let (x, y) = (m.read(DType::F32, extents), m.read(DType::F32, extents));
    let out = m.write(DType::F32, extents);
    let indices: Vec<_> = extents.iter().map(|e| m.index(*e)).collect();
    let body = add(mul(load(x, &indices), Expr::float(DType::F32, 0.5)), load(y, &indices));
    m.nest(&[], vec![map(&indices, body, to(out, &indices))])
}

#[test]
fn elementwise_of_any_shape() {
    let shapes: [&[u64]; 8] = [&[], &[1], &[7], &[64], &[3, 5], &[2, 3, 17], &[5, 1], &[70_001]];
    let cases: Vec<_> = shapes.iter().map(|s| (elementwise(s), EXACT)).collect();
    check_all(&cases);
}

#[test]
fn transposes_and_broadcasts() {
    let mut m = make("transpose");
    let (x, v) = (m.read(DType::F32, &[9, 21]), m.read(DType::F32, &[21]));
    let out = m.write(DType::F32, &[21, 9]);
    let (i, j) = (m.index(21), m.index(9));
    let body = mul(load(x, &[j, i]), load(v, &[i]));
    check(m.nest(&[], vec![map(&[i, j], body, to(out, &[i, j]))]), EXACT);
}

fn reduction(reducer: Reducer, dtype: DType, rows: u64, columns: u64, over_rows: bool) -> Kernel {
    let mut m = make(&format!("{reducer:?} {dtype} {rows}x{columns} {over_rows}"));
    let x = m.read(dtype, &[rows, columns]);
    let (i, j) = (m.index(rows), m.index(columns));
    let (free, reduced) = if over_rows { (j, i) } else { (i, j) };
    let result = match reducer {
        Reducer::ArgMax | Reducer::ArgMin => DType::I32,
        _ => dtype,
    };
    let extent = if over_rows { columns } else { rows };
    let out = m.write(result, &[extent]);
    let stage = reduce(reducer, &[free], &[reduced], load(x, &[i, j]), to(out, &[free]));
    m.nest(&[], vec![stage])
}

#[test]
fn reductions_along_rows_and_columns() {
    let mut cases = Vec::new();
    for dtype in [DType::F32, DType::F64, DType::I32, DType::I64] {
        for reducer in [
            Reducer::Sum,
            Reducer::Prod,
            Reducer::Max,
            Reducer::Min,
            Reducer::ArgMax,
            Reducer::ArgMin,
        ] {
            for (rows, columns) in [(3, 130), (37, 5), (1, 1), (2, 64)] {
                for over_rows in [false, true] {
                    let exact = dtype.is_int() || !matches!(reducer, Reducer::Sum | Reducer::Prod);
                    let tolerance = if exact { EXACT } else { SUM };
                    cases.push((reduction(reducer, dtype, rows, columns, over_rows), tolerance));
                }
            }
        }
    }
    for over_rows in [false, true] {
        cases.push((reduction(Reducer::LogSumExp, DType::F32, 19, 37, over_rows), SUM));
        cases.push((reduction(Reducer::Any, DType::Bool, 19, 37, over_rows), EXACT));
        cases.push((reduction(Reducer::All, DType::Bool, 19, 3, over_rows), EXACT));
    }
    check_all(&cases);
}

/// Softmax over the positions up to the row's own: the guard bounds the loops.
fn causal_softmax(rows: u64) -> Kernel {
    let mut m = make("softmax");
    let x = m.read(DType::F32, &[2, rows, rows]);
    let out = m.write(DType::F32, &[2, rows, rows]);
    let (most, sum) = (m.local(DType::F32, &[]), m.local(DType::F32, &[]));
    let row = m.local(DType::F32, &[rows]);
    let (b, t, u) = (m.index(2), m.index(rows), m.index(rows));
    let causal = || le(idx(u), idx(t));
    let stages = vec![
        guarded(causal(), reduce(Reducer::Max, &[], &[u], load(x, &[b, t, u]), to(most, &[]))),
        guarded(causal(), map(&[u], exp(sub(load(x, &[b, t, u]), load(most, &[]))), to(row, &[u]))),
        reduce(Reducer::Sum, &[], &[u], load(row, &[u]), to(sum, &[])),
        map(&[u], div(load(row, &[u]), load(sum, &[])), to(out, &[b, t, u])),
    ];
    m.nest(&[b, t], stages)
}

#[test]
fn softmax_with_a_causal_guard() {
    let tolerance = Tolerance { relative: 1e-5, absolute: 1e-7 };
    check_all(&[(causal_softmax(5), tolerance), (causal_softmax(67), tolerance)]);
}

/// What a guard keeps in range is not read where the guard does not hold, even if it could be read before a loop.
#[test]
fn a_guarded_load_is_not_read_too_early() {
    let mut cases = Vec::new();
    for (rows, columns) in [(3, 130), (64, 3), (33, 50), (1, 40)] {
        for store in [false, true] {
            let mut m = make(&format!("guarded load {rows}x{columns} {store}"));
            let (x, y) = (m.read(DType::F32, &[rows - 1]), m.read(DType::F32, &[columns]));
            let flags = m.read(DType::Bool, &[rows - 1]);
            let out =
                if store { m.update(DType::F32, &[rows]) } else { m.write(DType::F32, &[rows]) };
            let (i, j) = (m.index(rows), m.index(columns));
            let before = || vec![sub(idx(i), Expr::int(1))];
            let body = mul(Expr::load(x, before()), load(y, &[j]));
            let guard = and(le(Expr::int(1), idx(i)), Expr::load(flags, before()));
            let mut stage = guarded(guard, reduce(Reducer::Sum, &[i], &[j], body, to(out, &[i])));
            stage.target.store = store;
            cases.push((m.nest(&[], vec![stage]), SUM));
        }
    }
    check_all(&cases);
}

/// Arrays turned by squares of vectors: whole ones and rests, in several types, with arithmetic on the way.
#[test]
fn turned_arrays() {
    let mut cases = Vec::new();
    for (rows, columns) in [(64, 32), (33, 50), (16, 129)] {
        for dtype in [DType::F32, DType::F64, DType::Bf16, DType::I32] {
            let mut m = make(&format!("turned {dtype} {rows}x{columns}"));
            let a = m.read(dtype, &[3, rows, 2, columns]);
            let gain = m.read(dtype, &[columns]);
            let out = m.write(dtype, &[3, 2, columns, rows]);
            let (x, i, y, j) = (m.index(3), m.index(rows), m.index(2), m.index(columns));
            let body = mul(load(a, &[x, i, y, j]), load(gain, &[j]));
            let stage = map(&[i], body, to(out, &[x, y, j, i]));
            cases.push((m.nest(&[x, y, j], vec![stage]), EXACT));
        }
    }
    check_all(&cases);
}

/// Sums of products of arrays that lie across each other: whole squares of vectors and rests, with another index of
/// the sum outside.
#[test]
fn crossed_products() {
    let mut cases = Vec::new();
    for (rows, columns) in [(64, 32), (33, 50), (16, 129), (47, 16)] {
        for dtype in [DType::F32, DType::F64] {
            let mut m = make(&format!("crossed {dtype} {rows}x{columns}"));
            let a = m.read(dtype, &[3, rows, 2, columns]);
            let c = m.read(dtype, &[3, 2, columns, rows]);
            let out = m.write(dtype, &[3]);
            let (x, i, y, j) = (m.index(3), m.index(rows), m.index(2), m.index(columns));
            let body = mul(load(a, &[x, i, y, j]), load(c, &[x, y, j, i]));
            let stage = reduce(Reducer::Sum, &[], &[i, y, j], body, to(out, &[x]));
            cases.push((m.nest(&[x], vec![stage]), SUM));
        }
    }
    check_all(&cases);
    check_special(&cases);
}
