//! The corners of the IR's meaning: guards, bounds, stores, integers, casts, random numbers, sorting.

use crate::common::make::*;
use crate::common::{EXACT, Tolerance, check, check_all, check_special};
use einmesh_ir::{
    BinaryOp, Bounds, DType, Expr, IndexId, Literal, Load, Reducer, UnaryOp, ValueId,
};
use einmesh_schedule::kernel::{Kernel, Stage, Target};

const CLOSE: Tolerance = Tolerance { relative: 1e-5, absolute: 1e-5 };

fn bounded(value: ValueId, subs: Vec<Expr>, bounds: Bounds) -> Expr {
    Expr::Load(Load { value, subs, bounds })
}

fn stored(value: ValueId, subs: Vec<Expr>, combine: Reducer) -> Target {
    Target { value, subs, combine, store: true }
}

#[test]
fn loads_outside_of_their_value() {
    let mut cases = Vec::new();
    for (rows, columns) in [(5, 37), (33, 4)] {
        for (by_row, by_column) in [(-2, 0), (0, 3), (1, -5)] {
            let mut m = make("shifted");
            let x = m.read(DType::F32, &[rows, columns]);
            let out = m.write(DType::F32, &[rows, columns]);
            let (i, j) = (m.index(rows), m.index(columns));
            let subs = vec![add(idx(i), Expr::int(by_row)), add(idx(j), Expr::int(by_column))];
            let default = Expr::cast(DType::F32, idx(j));
            let body = bounded(x, subs.clone(), Bounds::Else(Box::new(default)));
            cases.push((m.nest(&[], vec![map(&[i, j], body, to(out, &[i, j]))]), EXACT));

            let mut m = make("clamped");
            let x = m.read(DType::F32, &[rows, columns]);
            let out = m.write(DType::F32, &[rows, columns]);
            let (i, j) = (m.index(rows), m.index(columns));
            let body = bounded(x, subs, Bounds::Clamp);
            cases.push((m.nest(&[], vec![map(&[i, j], body, to(out, &[i, j]))]), EXACT));
        }
    }
    check_all(&cases);
}

/// Proven by the guard only: `x[i + r]` with `i + r < n`, and backwards.
#[test]
fn guards_prove_bounds() {
    let n = 45;
    let mut m = make("window");
    let x = m.read(DType::F32, &[n]);
    let out = m.write(DType::F32, &[n]);
    let (i, r) = (m.index(n), m.index(3));
    let place = add(idx(i), idx(r));
    let body = Expr::load(x, [place.clone()]);
    let stage = reduce(Reducer::Max, &[i], &[r], body, to(out, &[i]));
    let forward = m.nest(&[], vec![guarded(lt(place, Expr::int(n as i64)), stage)]);

    let mut m = make("reversed");
    let x = m.read(DType::F32, &[n]);
    let out = m.write(DType::F32, &[n]);
    let (i, j) = (m.index(n), m.index(n));
    let place = sub(idx(i), idx(j));
    let guard = and(le(Expr::int(0), place.clone()), lt(idx(j), Expr::int(7)));
    let stage = reduce(Reducer::Sum, &[i], &[j], Expr::load(x, [place]), to(out, &[i]));
    let backward = m.nest(&[], vec![guarded(guard, stage)]);

    // Without a reduction the excluded points are 0.
    let mut m = make("excluded");
    let x = m.read(DType::F32, &[n]);
    let out = m.write(DType::F32, &[n]);
    let i = m.index(n);
    let place = sub(idx(i), Expr::int(5));
    let stage = map(&[i], Expr::load(x, [place.clone()]), to(out, &[i]));
    let excluded = m.nest(&[], vec![guarded(le(Expr::int(0), place), stage)]);
    check_all(&[(forward, EXACT), (backward, CLOSE), (excluded, EXACT)]);
}

/// A guard of loaded truth values, over rows and over columns, with rows where it never holds.
#[test]
fn guards_that_are_data() {
    let mut cases = Vec::new();
    for reducer in [Reducer::Sum, Reducer::Max, Reducer::ArgMax, Reducer::LogSumExp] {
        for by_column in [false, true] {
            let mut m = make(&format!("masked {reducer:?}"));
            let x = m.read(DType::F32, &[29, 41]);
            let keep = m.read(DType::Bool, &[29, 41]);
            let extent = if by_column { 41 } else { 29 };
            let result = if reducer == Reducer::ArgMax { DType::I32 } else { DType::F32 };
            let out = m.write(result, &[extent]);
            let (i, j) = (m.index(29), m.index(41));
            let (free, over) = if by_column { (j, i) } else { (i, j) };
            let stage = reduce(reducer, &[free], &[over], load(x, &[i, j]), to(out, &[free]));
            let never = lt(Expr::int(6), idx(free));
            let guard = and(load(keep, &[i, j]), never);
            cases.push((m.nest(&[], vec![guarded(guard, stage)]), CLOSE));
        }
    }
    check_all(&cases);
}

/// `out[rows[b], d] += x[b, d]`, dropping rows out of range; every combination, several points per place.
#[test]
fn scattered_stores_combine_in_order() {
    let mut cases = Vec::new();
    for (combine, dtype) in [
        (Reducer::Sum, DType::F32),
        (Reducer::Max, DType::F32),
        (Reducer::Min, DType::I32),
        (Reducer::Prod, DType::I64),
        (Reducer::Sum, DType::Bf16),
        (Reducer::Any, DType::Bool),
    ] {
        for d_size in [1, 19] {
            let mut m = make(&format!("scatter {combine:?} {dtype} {d_size}"));
            let x = m.read(dtype, &[50, d_size]);
            let rows = m.read(DType::I32, &[50]);
            let out = m.update(dtype, &[11, d_size]);
            let (b, d) = (m.index(50), m.index(d_size));
            let target = stored(out, vec![load(rows, &[b]), idx(d)], combine);
            cases.push((m.serial(&[], vec![map(&[b, d], load(x, &[b, d]), target)]), CLOSE));
        }
    }
    check_all(&cases);
}

/// Stores keep what is there where the guard excludes a point, or all points of a reduction.
#[test]
fn stores_keep_what_they_do_not_write() {
    let mut m = make("assign");
    let x = m.read(DType::F32, &[30]);
    let out = m.update(DType::F32, &[40]);
    let i = m.index(30);
    let target = stored(out, vec![add(idx(i), Expr::int(15))], Reducer::None);
    let guard =
        Expr::binary(BinaryOp::Eq, Expr::binary(BinaryOp::Rem, idx(i), Expr::int(3)), Expr::int(1));
    let assign = m.nest(&[], vec![guarded(guard, map(&[i], load(x, &[i]), target))]);
    let mut cases = vec![(assign, EXACT)];
    for by_column in [false, true] {
        let mut m = make("reduce into");
        let x = m.read(DType::F32, &[20, 33]);
        let keep = m.read(DType::Bool, &[20, 33]);
        let extent = if by_column { 33 } else { 20 };
        let out = m.update(DType::F32, &[extent]);
        let (i, j) = (m.index(20), m.index(33));
        let (free, over) = if by_column { (j, i) } else { (i, j) };
        let target = stored(out, vec![idx(free)], Reducer::None);
        let stage = reduce(Reducer::Sum, &[free], &[over], load(x, &[i, j]), target);
        let guard = and(load(keep, &[i, j]), lt(idx(free), Expr::int(9)));
        cases.push((m.nest(&[], vec![guarded(guard, stage)]), CLOSE));
    }
    // Nothing to reduce: everything is kept.
    let mut m = make("nothing");
    let x = m.read(DType::F32, &[5, 0]);
    let out = m.update(DType::F32, &[5]);
    let (i, j) = (m.index(5), m.index(0));
    let target = stored(out, vec![idx(i)], Reducer::None);
    let stage = reduce(Reducer::Sum, &[i], &[j], load(x, &[i, j]), target);
    cases.push((m.nest(&[], vec![stage]), EXACT));
    check_all(&cases);
}

fn elementwise(
    name: &str,
    dtypes: &[DType],
    result: DType,
    body: impl Fn(&[Expr]) -> Expr,
) -> Kernel {
    let mut m = make(name);
    let n = 83;
    let values: Vec<ValueId> = dtypes.iter().map(|d| m.read(*d, &[n])).collect();
    let out = m.write(result, &[n]);
    let i: IndexId = m.index(n);
    let loads: Vec<Expr> = values.iter().map(|v| load(*v, &[i])).collect();
    let stage: Stage = map(&[i], body(&loads), to(out, &[i]));
    m.nest(&[], vec![stage])
}

#[test]
fn integer_arithmetic_is_total() {
    use BinaryOp::*;
    let mut cases = Vec::new();
    for dtype in [DType::I32, DType::I64] {
        for op in [Add, Sub, Mul, FloorDiv, Rem, Pow, Min, Max] {
            let name = format!("{op:?} {dtype}");
            cases.push((
                elementwise(&name, &[dtype, dtype], dtype, |x| {
                    Expr::binary(op, x[0].clone(), x[1].clone())
                }),
                EXACT,
            ));
            // Extreme numbers: by wrapping around on the way.
            let name = format!("{op:?} {dtype} extreme");
            let least = match dtype {
                DType::I32 => i64::from(i32::MIN),
                _ => i64::MIN,
            };
            cases.push((
                elementwise(&name, &[dtype, dtype], dtype, |x| {
                    let extreme = add(x[0].clone(), Expr::Literal(Literal::Int(dtype, least)));
                    Expr::binary(op, extreme, sub(x[1].clone(), x[0].clone()))
                }),
                EXACT,
            ));
        }
        for op in [Eq, Ne, Lt, Le, Gt, Ge] {
            let name = format!("{op:?} {dtype}");
            cases.push((
                elementwise(&name, &[dtype, dtype], DType::Bool, |x| {
                    Expr::binary(op, x[0].clone(), x[1].clone())
                }),
                EXACT,
            ));
        }
        for op in [UnaryOp::Neg, UnaryOp::Abs] {
            cases.push((
                elementwise(&format!("{op:?}"), &[dtype], dtype, |x| Expr::unary(op, x[0].clone())),
                EXACT,
            ));
        }
    }
    check_all(&cases);
}

#[test]
fn casts_round_and_saturate() {
    let mut cases = Vec::new();
    for from in DType::ALL {
        for to in DType::ALL {
            if (from == DType::Key) != (to == DType::Key) {
                continue;
            }
            cases.push((
                elementwise(&format!("{from} to {to}"), &[from], to, |x| {
                    Expr::cast(to, x[0].clone())
                }),
                EXACT,
            ));
            if from.is_float() && to.is_int() {
                // Far out of range, infinite, and NaN.
                for scale in [1e30, f64::INFINITY, f64::NAN] {
                    cases.push((
                        elementwise(
                            &format!("{from} · {scale} to {to}"),
                            &[DType::F64],
                            to,
                            |x| {
                                let scale = Expr::float(DType::F64, scale);
                                Expr::cast(to, Expr::cast(from, mul(x[0].clone(), scale)))
                            },
                        ),
                        EXACT,
                    ));
                }
            }
        }
    }
    // Large integers, where one rounding differs from two.
    for to in [DType::F32, DType::F64] {
        cases.push((
            elementwise(&format!("large to {to}"), &[DType::I64], to, |x| {
                let factor = Expr::Literal(Literal::Int(DType::I64, 0x0123_4567_89AB_CDEF));
                Expr::cast(to, mul(x[0].clone(), factor))
            }),
            EXACT,
        ));
    }
    check_all(&cases);
}

#[test]
fn small_floats_round_after_each_operation() {
    let mut cases = Vec::new();
    for dtype in [DType::Bf16, DType::F16] {
        cases.push((
            elementwise(&format!("{dtype} arithmetic"), &[dtype, dtype], dtype, |x| {
                div(add(mul(x[0].clone(), x[1].clone()), x[0].clone()), x[1].clone())
            }),
            EXACT,
        ));
        let mut m = make(&format!("{dtype} sum"));
        let x = m.read(dtype, &[7, 90]);
        let out = m.write(dtype, &[7]);
        let (i, j) = (m.index(7), m.index(90));
        let stage = reduce(Reducer::Sum, &[i], &[j], load(x, &[i, j]), to(out, &[i]));
        let tolerance = Tolerance { relative: 0.008, absolute: 1e-5 };
        cases.push((m.nest(&[], vec![stage]), tolerance));
    }
    check_all(&cases);
}

#[test]
fn random_numbers_are_those_of_the_ir() {
    let mut m = make("rng");
    let keys = m.read(DType::Key, &[3]);
    let (folded, drawn) = (m.write(DType::Key, &[3, 29]), m.write(DType::F32, &[3, 29]));
    let (i, j) = (m.index(3), m.index(29));
    m.ints(1);
    let wide = |e: Expr| Expr::cast(DType::I64, e);
    let layer = Expr::LoopVar(einmesh_ir::LoopVarId(0));
    let key = Expr::binary(BinaryOp::Fold, load(keys, &[i]), wide(add(idx(j), layer)));
    let number = Expr::binary(BinaryOp::Uniform, key.clone(), wide(mul(idx(j), idx(i))));
    check(
        m.nest(
            &[i],
            vec![map(&[j], key, to(folded, &[i, j])), map(&[j], number, to(drawn, &[i, j]))],
        ),
        EXACT,
    );
}

#[test]
fn selections_and_truth_values() {
    let mut cases = Vec::new();
    cases.push((
        elementwise("select", &[DType::F32, DType::F32, DType::Bool], DType::F32, |x| {
            // The branch that is not taken divides by zero.
            let zero = Expr::float(DType::F32, 0.0);
            let wrong = div(x[0].clone(), mul(x[1].clone(), zero));
            Expr::select(x[2].clone(), add(x[0].clone(), x[1].clone()), wrong)
        }),
        EXACT,
    ));
    cases.push((
        elementwise("finite", &[DType::F32, DType::F32, DType::Bool], DType::Bool, |x| {
            let quotient = div(x[0].clone(), Expr::cast(DType::F32, x[2].clone()));
            let finite = Expr::unary(UnaryOp::IsFinite, quotient);
            let either = Expr::binary(BinaryOp::Or, finite, lt(x[0].clone(), x[1].clone()));
            Expr::unary(UnaryOp::Not, either)
        }),
        EXACT,
    ));
    check_all(&cases);
}

#[test]
fn sorting_is_stable_with_nan_last() {
    let mut cases = Vec::new();
    for dtype in [DType::I32, DType::F32, DType::F64, DType::Bf16, DType::Bool] {
        for (extents, position) in
            [(vec![1], 0), (vec![50], 0), (vec![4, 33], 1), (vec![19, 5], 0), (vec![3, 64, 2], 1)]
        {
            let mut m = make(&format!("argsort {dtype} {extents:?}"));
            let input = m.read(dtype, &extents);
            let output = m.write(DType::I32, &extents);
            cases.push((m.argsort(input, output, position), EXACT));
        }
    }
    check_all(&cases);
}

#[test]
fn special_values() {
    let mut cases = Vec::new();
    for dtype in [DType::F32, DType::F64, DType::Bf16] {
        let mut m = make(&format!("argsort {dtype}"));
        let (input, output) = (m.read(dtype, &[3, 150]), m.write(DType::I32, &[3, 150]));
        cases.push((m.argsort(input, output, 1), EXACT));
        for op in [BinaryOp::Min, BinaryOp::Max, BinaryOp::Add, BinaryOp::Div] {
            let name = format!("{op:?} {dtype}");
            let body = |x: &[Expr]| Expr::binary(op, x[0].clone(), x[1].clone());
            cases.push((elementwise(&name, &[dtype, dtype], dtype, body), EXACT));
        }
        for op in [BinaryOp::Eq, BinaryOp::Ne, BinaryOp::Lt, BinaryOp::Ge] {
            let name = format!("{op:?} {dtype}");
            let body = |x: &[Expr]| Expr::binary(op, x[0].clone(), x[1].clone());
            cases.push((elementwise(&name, &[dtype, dtype], DType::Bool, body), EXACT));
        }
        for to in [DType::I32, DType::I64, DType::Bool, DType::F16, DType::F32] {
            let name = format!("{dtype} to {to}");
            let body = |x: &[Expr]| Expr::cast(to, x[0].clone());
            cases.push((elementwise(&name, &[dtype], to, body), EXACT));
        }
    }
    // Not products: whether one underflows before it meets an infinity depends on the precision.
    for reducer in [
        Reducer::Sum,
        Reducer::Max,
        Reducer::Min,
        Reducer::ArgMax,
        Reducer::ArgMin,
        Reducer::LogSumExp,
    ] {
        for over_rows in [false, true] {
            let mut m = make(&format!("{reducer:?} {over_rows}"));
            let x = m.read(DType::F32, &[40, 50]);
            let (i, j) = (m.index(40), m.index(50));
            let (free, over, extent) = if over_rows { (j, i, 50) } else { (i, j, 40) };
            let arg = matches!(reducer, Reducer::ArgMax | Reducer::ArgMin);
            let out = m.write(if arg { DType::I32 } else { DType::F32 }, &[extent]);
            let body = load(x, &[i, j]);
            let stage = reduce(reducer, &[free], &[over], body, to(out, &[free]));
            cases.push((m.nest(&[], vec![stage]), CLOSE));
        }
    }
    let mut m = make("matmul");
    let (a, b) = (m.read(DType::F32, &[40, 70]), m.read(DType::F32, &[70, 50]));
    let out = m.write(DType::F32, &[40, 50]);
    let acc = m.local(DType::F32, &[]);
    let (i, j, k) = (m.index(40), m.index(50), m.index(70));
    let contraction = einmesh_schedule::kernel::Contraction {
        batch: vec![],
        m: vec![i],
        n: vec![j],
        k: vec![k],
        lhs: load(a, &[i, k]),
        rhs: load(b, &[k, j]),
        accumulator: DType::F32,
        acc,
        epilogue: load(acc, &[]),
        target: to(out, &[i, j]),
    };
    cases.push((m.contraction(contraction), CLOSE));
    check_special(&cases);
}

/// Every comparison, either way around, as a bound of a loop over lanes, of a plain loop, and of the lanes
/// of a result.
#[test]
fn guards_bound_loops() {
    use BinaryOp::*;
    let mut cases = Vec::new();
    for op in [Lt, Le, Gt, Ge, Eq, Ne] {
        for shift in [-3, 2] {
            for turned in [false, true] {
                let compare = |u: IndexId, t: IndexId| {
                    let (x, y) = (idx(u), add(idx(t), Expr::int(shift)));
                    if turned { Expr::binary(op, y, x) } else { Expr::binary(op, x, y) }
                };
                let name = format!("{op:?} {shift} {turned}");
                for over_rows in [false, true] {
                    let mut m = make(&name);
                    let x = m.read(DType::I32, &[21, 37]);
                    let (t, u) = (m.index(21), m.index(37));
                    let (free, over, extent) = if over_rows { (u, t, 37) } else { (t, u, 21) };
                    let out = m.write(DType::I32, &[extent]);
                    let body = load(x, &[t, u]);
                    let stage = reduce(Reducer::Sum, &[free], &[over], body, to(out, &[free]));
                    cases.push((m.nest(&[], vec![guarded(compare(u, t), stage)]), EXACT));
                }
                let mut m = make(&name);
                let (x, out) = (m.read(DType::I32, &[21, 37]), m.write(DType::I32, &[21, 37]));
                let (t, u) = (m.index(21), m.index(37));
                let stage = map(&[u], load(x, &[t, u]), to(out, &[t, u]));
                cases.push((m.nest(&[t], vec![guarded(compare(u, t), stage)]), EXACT));
            }
        }
    }
    check_all(&cases);
}
