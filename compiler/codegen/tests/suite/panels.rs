//! Matrix products whose right operand lies in panels, as the schedule puts parameters.

use crate::common::make::*;
use crate::common::{Tolerance, check_all, check_special};
use einmesh_ir::{BinaryOp, DType, Expr, IndexId, UnaryOp};
use einmesh_schedule::kernel::{Contraction, Kernel};

const F32: Tolerance = Tolerance { relative: 1e-5, absolute: 2e-4 };
const F64: Tolerance = Tolerance { relative: 1e-13, absolute: 1e-12 };
const BF16: Tolerance = Tolerance { relative: 1.0 / 128.0, absolute: 2e-3 };
const WIDTH: u64 = 32;

/// Positions of indices, flattened row-major.
fn flat(indices: &[(IndexId, u64)]) -> Expr {
    let mut stride = 1;
    let mut terms = Vec::new();
    for (index, extent) in indices.iter().rev() {
        let term = Expr::Index(*index);
        terms.push(match stride {
            1 => term,
            _ => Expr::binary(BinaryOp::Mul, term, Expr::int(stride)),
        });
        stride *= *extent as i64;
    }
    let sum = terms.into_iter().rev().reduce(|x, y| Expr::binary(BinaryOp::Add, x, y));
    sum.unwrap_or(Expr::int(0))
}

/// `out[m, n…] = tanh(Σ x[m, k…] · w[layer, n / 32, k, n mod 32] + bias[n…])`, the layer a number of the launch.
pub fn linear(dtype: DType, m: u64, n: &[u64], k: &[u64], epilogue: bool) -> Kernel {
    let mut make = make(&format!("{dtype} {m}x{n:?}x{k:?} {epilogue}"));
    make.ints(1);
    let row = make.index(m);
    let columns: Vec<(IndexId, u64)> = n.iter().map(|n| (make.index(*n), *n)).collect();
    let depths: Vec<(IndexId, u64)> = k.iter().map(|k| (make.index(*k), *k)).collect();
    let (count, depth): (u64, u64) = (n.iter().product(), k.iter().product());
    let ids = |group: &[(IndexId, u64)]| group.iter().map(|g| g.0).collect::<Vec<IndexId>>();
    let (n_ids, k_ids) = (ids(&columns), ids(&depths));
    let with_row = |group: &[IndexId]| [&[row], group].concat();
    let x = make.read(dtype, &[&[m], k].concat());
    let w = make.read(dtype, &[3, count.div_ceil(WIDTH), depth, WIDTH]);
    let bias = make.read(dtype, n);
    let out = make.write(dtype, &[&[m], n].concat());
    let wide = dtype.accumulator();
    let acc = make.local(wide, &[]);
    let width = || Expr::int(WIDTH as i64);
    let subs = [
        Expr::LoopVar(einmesh_ir::LoopVarId(0)),
        Expr::binary(BinaryOp::FloorDiv, flat(&columns), width()),
        flat(&depths),
        Expr::binary(BinaryOp::Rem, flat(&columns), width()),
    ];
    let cast = |to: DType, e: Expr| if dtype == wide { e } else { Expr::cast(to, e) };
    let sum = load(acc, &[]);
    let biased = Expr::binary(BinaryOp::Add, sum.clone(), cast(wide, load(bias, &n_ids)));
    make.contraction(Contraction {
        batch: vec![],
        m: vec![row],
        n: n_ids.clone(),
        // In an order that is not that of the memory.
        k: k_ids.iter().rev().copied().collect(),
        lhs: load(x, &with_row(&k_ids)),
        rhs: if m.is_multiple_of(2) {
            Expr::load(w, subs)
        } else {
            cast(wide, Expr::load(w, subs))
        },
        accumulator: wide,
        acc,
        epilogue: cast(dtype, if epilogue { Expr::unary(UnaryOp::Tanh, biased) } else { sum }),
        target: to(out, &with_row(&n_ids)),
    })
}

#[test]
fn every_size_with_and_without_an_epilogue() {
    let mut cases = Vec::new();
    for (m, n, k) in [(1, 37, 33), (1, 64, 1), (2, 100, 5), (5, 32, 5), (14, 64, 33), (29, 37, 33)]
    {
        for epilogue in [true, false] {
            cases.push((linear(DType::F32, m, &[n], &[k], epilogue), F32));
        }
        cases.push((linear(DType::F64, m, &[83], &[19], true), F64));
        cases.push((linear(DType::F32, m, &[3, 24], &[4, 7], m % 2 == 1), F32));
    }
    // Several steps along the depth, several blocks.
    cases.push((linear(DType::F32, 1, &[1003], &[1700], true), F32));
    cases.push((linear(DType::F32, 150, &[700], &[1700], false), F32));
    check_all(&cases);
}

/// Numbers of bf16: converted where rows are few, packed as pairs where they are many.
#[test]
fn halves() {
    let mut cases = Vec::new();
    for (m, n, k) in
        [(1, 37, 33), (2, 100, 5), (8, 64, 40), (9, 37, 33), (13, 70, 9), (30, 130, 64)]
    {
        for epilogue in [true, false] {
            cases.push((linear(DType::Bf16, m, &[n], &[k], epilogue), BF16));
        }
        cases.push((linear(DType::Bf16, m, &[3, 24], &[4, 7], m % 2 == 1), BF16));
    }
    // Several blocks; several steps along the depth.
    cases.push((linear(DType::Bf16, 1, &[1003], &[1700], true), BF16));
    cases.push((linear(DType::Bf16, 70, &[333], &[1701], false), BF16));
    check_all(&cases);
}

#[test]
fn special_values_stay_in_their_columns() {
    check_special(&[
        (linear(DType::F32, 3, &[70], &[9], false), F32),
        (linear(DType::F32, 17, &[40], &[9], true), F32),
        (linear(DType::Bf16, 3, &[70], &[9], false), BF16),
    ]);
}
