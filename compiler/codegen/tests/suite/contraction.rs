//! Contractions against the plain evaluator: every layout, size and dtype that takes another path.

use crate::common::make::*;
use crate::common::{EXACT, Tolerance, check_all, check_tuned, small_blocks};
use einmesh_ir::{BinaryOp, DType, Expr, IndexId, UnaryOp};
use einmesh_schedule::kernel::{Contraction, Kernel};

/// Products of numbers below 2, summed over a few hundred: n · 2⁻²⁴ · Σ|xy|.
const F32: Tolerance = Tolerance { relative: 1e-5, absolute: 2e-4 };
const F64: Tolerance = Tolerance { relative: 1e-13, absolute: 1e-12 };
/// A unit of bf16's last place: sums that differ by rounding may lie on two sides of a midpoint.
const BF16: Tolerance = Tolerance { relative: 1.0 / 128.0, absolute: 2e-3 };

/// A product of matrices, each transposed or not.
pub struct Layout {
    pub dtype: DType,
    pub m: u64,
    pub n: u64,
    pub k: u64,
    pub lhs_transposed: bool,
    pub rhs_transposed: bool,
    pub out_transposed: bool,
}

pub fn matmul(l: &Layout) -> Kernel {
    let mut make = make(&format!(
        "{} {}x{}x{} {}{}{}",
        l.dtype, l.m, l.n, l.k, l.lhs_transposed, l.rhs_transposed, l.out_transposed
    ));
    let (m, n, k) = (make.index(l.m), make.index(l.n), make.index(l.k));
    let order = |x: IndexId, y: IndexId, swap: bool| if swap { [y, x] } else { [x, y] };
    let extents = |x: u64, y: u64, swap: bool| if swap { [y, x] } else { [x, y] };
    let a = make.read(l.dtype, &extents(l.m, l.k, l.lhs_transposed));
    let b = make.read(l.dtype, &extents(l.k, l.n, l.rhs_transposed));
    let out = make.write(l.dtype, &extents(l.m, l.n, l.out_transposed));
    let accumulator = l.dtype.accumulator();
    let acc = make.local(accumulator, &[]);
    let epilogue = load(acc, &[]);
    make.contraction(Contraction {
        batch: vec![],
        m: vec![m],
        n: vec![n],
        k: vec![k],
        lhs: load(a, &order(m, k, l.lhs_transposed)),
        rhs: load(b, &order(k, n, l.rhs_transposed)),
        accumulator,
        acc,
        epilogue: if accumulator == l.dtype { epilogue } else { Expr::cast(l.dtype, epilogue) },
        target: to(out, &order(m, n, l.out_transposed)),
    })
}

#[test]
fn every_layout_and_size() {
    let sizes = [
        (1, 1, 1),
        (1, 70, 33),
        (70, 1, 33),
        (3, 40, 17),
        (14, 32, 16),
        (31, 47, 29),
        (64, 64, 64),
        (130, 75, 300),
        (37, 200, 1),
    ];
    let mut cases = Vec::new();
    for (m, n, k) in sizes {
        for bits in 0..8 {
            let layout = Layout {
                dtype: DType::F32,
                m,
                n,
                k,
                lhs_transposed: bits & 1 != 0,
                rhs_transposed: bits & 2 != 0,
                out_transposed: bits & 4 != 0,
            };
            cases.push((matmul(&layout), F32));
        }
    }
    check_all(&cases);
}

/// Few rows or columns: weights `[in,out]` and `[out,in]`, whole and with rests, also in bf16.
#[test]
fn few_rows() {
    let mut cases = Vec::new();
    for few in [1, 2, 3, 5, 8, 9] {
        for (many, k) in [(200, 100), (128, 128)] {
            for bits in (0..8).filter(|bits| (bits + few + many) % 2 == 0) {
                let dtype = match (few + bits) % 3 {
                    0 => DType::Bf16,
                    1 => DType::F64,
                    _ => DType::F32,
                };
                let tolerance = match dtype {
                    DType::Bf16 => BF16,
                    DType::F64 => F64,
                    _ => F32,
                };
                let swapped = bits & 4 != 0;
                let layout = Layout {
                    dtype,
                    m: if swapped { many } else { few },
                    n: if swapped { few } else { many },
                    k,
                    lhs_transposed: bits & 1 != 0,
                    rhs_transposed: bits & 2 != 0,
                    out_transposed: few % 2 == 0,
                };
                cases.push((matmul(&layout), tolerance));
            }
        }
    }
    check_all(&cases);
}

/// Several steps, groups and blocks, each with a rest: with sizes so small that a small problem has them.
#[test]
fn every_kind_of_block() {
    let mut cases = Vec::new();
    for (m, n, k) in [(43, 70, 130), (61, 40, 64), (150, 40, 70)] {
        for bits in 0..8 {
            let layout = Layout {
                dtype: if bits == 5 { DType::Bf16 } else { DType::F32 },
                m,
                n,
                k,
                lhs_transposed: bits & 1 != 0,
                rhs_transposed: bits & 2 != 0,
                out_transposed: bits & 4 != 0,
            };
            cases.push((matmul(&layout), if bits == 5 { BF16 } else { F32 }));
        }
    }
    cases.push((groups(3, 20, 70, 4, 20), F32));
    // The left operand packed once; then in each block, by the group and all at once; then by more blocks of rows
    // than there need be, so that it is not packed twice.
    for (block_rows, block_columns, blocks) in [(48, 32, 8), (128, 1024, 1), (128, 1024, 4)] {
        check_tuned(&cases, |level| small_blocks(level, block_rows, block_columns, blocks));
    }
}

#[test]
fn every_dtype() {
    let mut cases = Vec::new();
    let dtypes = [
        (DType::F64, F64),
        (DType::Bf16, BF16),
        (DType::F16, BF16),
        (DType::I32, EXACT),
        (DType::I64, EXACT),
    ];
    for (dtype, tolerance) in dtypes {
        for bits in 0..4 {
            let layout = Layout {
                dtype,
                m: 35,
                n: 50,
                k: 27,
                lhs_transposed: bits & 1 != 0,
                rhs_transposed: bits & 2 != 0,
                out_transposed: false,
            };
            cases.push((matmul(&layout), tolerance));
        }
    }
    check_all(&cases);
}

#[test]
fn groups_and_epilogues() {
    let sizes = [(2, 9, 40, 3, 16), (1, 5, 24, 2, 5), (3, 33, 20, 4, 8)];
    let cases: Vec<_> = sizes.map(|(b, t, d, h, k)| (groups(b, t, d, h, k), F32)).into();
    check_all(&cases);
}

/// `out[b,t,h,k] = gelu(Σ_d x[b,t,d] · w[d,1,h,k] + bias[1,h,k]) + res[b,t,h,k]`: groups of indices, a
/// fused operand, and an epilogue.
fn groups(b_size: u64, t: u64, d: u64, h: u64, k: u64) -> Kernel {
    let mut m = make("projection");
    let x = m.read(DType::F32, &[b_size, t, d]);
    let w = m.read(DType::F32, &[d, 3, h, k]);
    let bias = m.read(DType::F32, &[3, h, k]);
    let res = m.read(DType::F32, &[b_size, t, h, k]);
    let out = m.write(DType::F32, &[b_size, t, h, k]);
    let acc = m.local(DType::F32, &[]);
    let (ib, it, id) = (m.index(b_size), m.index(t), m.index(d));
    let (ih, ik) = (m.index(h), m.index(k));
    let part = |value, rest: &[Expr]| Expr::load(value, rest.to_vec());
    let sum = add(load(acc, &[]), part(bias, &[Expr::int(1), idx(ih), idx(ik)]));
    let gelu = mul(sum.clone(), Expr::unary(UnaryOp::Tanh, sum));
    m.contraction(Contraction {
        batch: vec![],
        m: vec![ib, it],
        n: vec![ih, ik],
        k: vec![id],
        lhs: load(x, &[ib, it, id]),
        rhs: part(w, &[idx(id), Expr::int(1), idx(ih), idx(ik)]),
        accumulator: DType::F32,
        acc,
        epilogue: add(gelu, load(res, &[ib, it, ih, ik])),
        target: to(out, &[ib, it, ih, ik]),
    })
}

/// Attention: batched over `b, h`, which lie between the others in memory, and summed over two indices.
#[test]
fn batches_and_several_sums() {
    let (b_size, t, u, h, k) = (2, 37, 29, 3, 20);
    let mut m = make("scores");
    let q = m.read(DType::F32, &[b_size, t, h, k]);
    let key = m.read(DType::F32, &[b_size, u, h, k]);
    let out = m.write(DType::F32, &[b_size, h, t, u]);
    let acc = m.local(DType::F32, &[]);
    let (ib, it, iu) = (m.index(b_size), m.index(t), m.index(u));
    let (ih, ik) = (m.index(h), m.index(k));
    let scores = m.contraction(Contraction {
        batch: vec![ib, ih],
        m: vec![it],
        n: vec![iu],
        k: vec![ik],
        lhs: load(q, &[ib, it, ih, ik]),
        rhs: load(key, &[ib, iu, ih, ik]),
        accumulator: DType::F32,
        acc,
        epilogue: mul(load(acc, &[]), Expr::float(DType::F32, 0.125)),
        target: to(out, &[ib, ih, it, iu]),
    });
    let mut m = make("merge");
    let o = m.read(DType::F32, &[b_size, h, t, k]);
    let w = m.read(DType::F32, &[h, k, 45]);
    let out = m.write(DType::F32, &[b_size, t, 45]);
    let acc = m.local(DType::F32, &[]);
    let (ib, it, id) = (m.index(b_size), m.index(t), m.index(45));
    let (ih, ik) = (m.index(h), m.index(k));
    let merge = m.contraction(Contraction {
        batch: vec![],
        m: vec![ib, it],
        n: vec![id],
        k: vec![ih, ik],
        lhs: load(o, &[ib, ih, it, ik]),
        rhs: load(w, &[ih, ik, id]),
        accumulator: DType::F32,
        acc,
        epilogue: load(acc, &[]),
        target: to(out, &[ib, it, id]),
    });
    check_all(&[(scores, F32), (merge, F32)]);
}

/// Operands that are expressions: a guard as a factor, a gathered row, a shifted position.
#[test]
fn operands_that_are_expressions() {
    let (t, u, d) = (40, 50, 36);
    let mut m = make("masked");
    let a = m.read(DType::F32, &[t, u]);
    let table = m.read(DType::F32, &[11, d]);
    let rows = m.read(DType::I32, &[u]);
    let out = m.write(DType::F32, &[t, d]);
    let acc = m.local(DType::F32, &[]);
    let (it, iu, id) = (m.index(t), m.index(u), m.index(d));
    let lhs =
        Expr::select(le(idx(iu), idx(it)), exp(load(a, &[it, iu])), Expr::float(DType::F32, 0.0));
    let rhs = Expr::Load(einmesh_ir::Load {
        value: table,
        subs: vec![load(rows, &[iu]), idx(id)],
        bounds: einmesh_ir::Bounds::Clamp,
    });
    let masked = m.contraction(Contraction {
        batch: vec![],
        m: vec![it],
        n: vec![id],
        k: vec![iu],
        lhs,
        rhs,
        accumulator: DType::F32,
        acc,
        epilogue: load(acc, &[]),
        target: to(out, &[it, id]),
    });
    // A convolution along t.
    let (t, c, f, r) = (50, 20, 33, 3);
    let mut m = make("convolution");
    let x = m.read(DType::F32, &[t, c]);
    let w = m.read(DType::F32, &[r, c, f]);
    let out = m.write(DType::F32, &[t, f]);
    let acc = m.local(DType::F32, &[]);
    let (it, ic, i_f, ir) = (m.index(t), m.index(c), m.index(f), m.index(r));
    let place = Expr::binary(BinaryOp::Sub, add(idx(it), idx(ir)), Expr::int(1));
    let lhs = Expr::Load(einmesh_ir::Load {
        value: x,
        subs: vec![place, idx(ic)],
        bounds: einmesh_ir::Bounds::Else(Box::new(Expr::float(DType::F32, 0.0))),
    });
    let convolution = m.contraction(Contraction {
        batch: vec![],
        m: vec![it],
        n: vec![i_f],
        k: vec![ir, ic],
        lhs,
        rhs: load(w, &[ir, ic, i_f]),
        accumulator: DType::F32,
        acc,
        epilogue: load(acc, &[]),
        target: to(out, &[it, i_f]),
    });
    check_all(&[(masked, F32), (convolution, F32)]);
}
