//! Products with one left operand in one kernel, against the plain evaluator: columns of different numbers, operands
//! in different orders, epilogues of their own.

use crate::common::make::*;
use crate::common::{Tolerance, check_all, check_special, check_tuned, small_blocks};
use einmesh_codegen::{Level, Options, TargetKind, emit};
use einmesh_ir::{BinaryOp, DType, Expr, IndexId, UnaryOp};
use einmesh_schedule::KernelGraph;
use einmesh_schedule::kernel::{Contraction, Kernel};

const F32: Tolerance = Tolerance { relative: 1e-5, absolute: 2e-4 };
const F64: Tolerance = Tolerance { relative: 1e-13, absolute: 1e-12 };
const BF16: Tolerance = Tolerance { relative: 1.0 / 128.0, absolute: 2e-3 };
const WIDTH: u64 = 32;

/// How a right operand lies.
#[derive(Clone, Copy, PartialEq, Debug)]
enum Lies {
    /// `[k, n]`.
    In,
    /// `[n, k]`.
    Out,
    /// In panels, as parameters do.
    Panels,
}

/// What is stored of a sum.
#[derive(Clone, Copy, PartialEq, Debug)]
enum Stored {
    Sum,
    /// With a bias and an activation.
    Active,
}

/// `out_i[b, m, n_i] = stored(Σ over k of x[b, m, k] · w_i[k, n_i])`, for parts of so many columns.
fn siblings(
    dtype: DType,
    (batch, m, k): (u64, u64, u64),
    turned: bool,
    parts: &[(u64, Lies, Stored)],
) -> Kernel {
    let mut make = make(&format!("{dtype} {batch} {m} {k} {turned} {parts:?}"));
    let (ib, im, ik) = (make.index(batch), make.index(m), make.index(k));
    let x = match turned {
        true => make.read(dtype, &[batch, k, m]),
        false => make.read(dtype, &[batch, m, k]),
    };
    let lhs = load(x, &if turned { [ib, ik, im] } else { [ib, im, ik] });
    let wide = dtype.accumulator();
    let cast = |to: DType, e: Expr| if dtype == wide { e } else { Expr::cast(to, e) };
    let mut contractions = Vec::new();
    for (n, lies, stored) in parts {
        let column = make.index(*n);
        let w = match lies {
            Lies::In => make.read(dtype, &[k, *n]),
            Lies::Out => make.read(dtype, &[*n, k]),
            Lies::Panels => make.read(dtype, &[n.div_ceil(WIDTH), k, WIDTH]),
        };
        let width = || Expr::int(WIDTH as i64);
        let rhs = match lies {
            Lies::In => load(w, &[ik, column]),
            Lies::Out => load(w, &[column, ik]),
            Lies::Panels => {
                let panel = Expr::binary(BinaryOp::FloorDiv, idx(column), width());
                let within = Expr::binary(BinaryOp::Rem, idx(column), width());
                Expr::load(w, [panel, idx(ik), within])
            }
        };
        let bias = make.read(dtype, &[*n]);
        let out = make.write(dtype, &[batch, m, *n]);
        let acc = make.local(wide, &[]);
        let sum = load(acc, &[]);
        let value = match stored {
            Stored::Sum => sum,
            Stored::Active => {
                let bias = cast(wide, load(bias, &[column]));
                Expr::unary(UnaryOp::Tanh, add(sum, bias))
            }
        };
        let groups: [Vec<IndexId>; 2] = [vec![ib, im], vec![column]];
        let [rows, columns] = groups;
        contractions.push(Contraction {
            batch: vec![],
            m: rows,
            n: columns,
            k: vec![ik],
            lhs: lhs.clone(),
            rhs,
            accumulator: wide,
            acc,
            epilogue: cast(dtype, value),
            target: to(out, &[ib, im, column]),
        });
    }
    make.siblings(contractions)
}

use Lies::{In, Out, Panels};
use Stored::{Active, Sum};

#[test]
fn columns_of_different_numbers() {
    let mut cases = Vec::new();
    for m in [1, 3, 8, 9, 14, 31, 70] {
        for lies in [In, Out, Panels] {
            let parts = [(70, lies, Sum), (33, lies, Active), (96, lies, Active), (64, lies, Sum)];
            cases.push((siblings(DType::F32, (1, m, 37), m % 2 == 1, &parts), F32));
            let parts = [(40, lies, Active), (100, lies, Sum)];
            cases.push((siblings(DType::F32, (2, m, 64), false, &parts), F32));
            cases.push((siblings(DType::F64, (1, m, 19), m % 2 == 0, &parts), F64));
        }
    }
    check_all(&cases);
}

/// Some are computed alone: with too few columns for tiles, or with operands that are read in other ways.
#[test]
fn those_that_differ() {
    let mut cases = Vec::new();
    for m in [1, 5, 20] {
        let few = [(70, In, Active), (3, In, Sum), (1, Out, Active)];
        cases.push((siblings(DType::F32, (1, m, 40), false, &few), F32));
        let mixed = [(70, Panels, Active), (48, In, Sum), (90, Out, Active)];
        cases.push((siblings(DType::F32, (1, m, 70), false, &mixed), F32));
        let mixed = [(48, In, Sum), (90, Out, Active), (70, Panels, Active)];
        cases.push((siblings(DType::F64, (1, m, 9), false, &mixed), F64));
    }
    check_all(&cases);
}

/// Few rows with factors converted, many by products of pairs where the level has them.
#[test]
fn halves() {
    let mut cases = Vec::new();
    for m in [1, 4, 8, 9, 30] {
        for lies in [In, Panels] {
            let parts = [(64, lies, Active), (37, lies, Sum), (96, lies, Active)];
            cases.push((siblings(DType::Bf16, (1, m, 41), false, &parts), BF16));
        }
    }
    check_all(&cases);
}

/// Blocks that lie across the border of two products, several steps and groups: with sizes so small that a small
/// problem has them.
#[test]
fn blocks_across_borders() {
    let mut cases = Vec::new();
    for lies in [In, Out, Panels] {
        for turned in [false, true] {
            let parts = [(33, lies, Active), (70, lies, Sum), (20, lies, Sum), (129, lies, Active)];
            cases.push((siblings(DType::F32, (1, 61, 130), turned, &parts), F32));
        }
    }
    for (block_rows, block_columns, blocks) in [(48, 96, 8), (128, 1024, 1), (64, 32, 3)] {
        check_tuned(&cases, |level| small_blocks(level, block_rows, block_columns, blocks));
    }
}

#[test]
fn special_values_stay_with_their_product() {
    check_special(&[
        (siblings(DType::F32, (1, 3, 9), false, &[(70, Panels, Sum), (33, Panels, Active)]), F32),
        (siblings(DType::F32, (1, 17, 9), false, &[(40, In, Active), (33, In, Sum)]), F32),
    ]);
}

/// A phase packs rows, and one multiplies, however many products there are; those that read in different ways have
/// phases of their own.
#[test]
fn those_alike_share_their_phases() {
    let phases = |parts: &[(u64, Lies, Stored)], m: u64| {
        let kernel = siblings(DType::F32, (1, m, 40), true, parts);
        let graph = KernelGraph { kernels: vec![kernel], ..KernelGraph::default() };
        let target = TargetKind::Cpu(vec![Level::X86_64V4, Level::X86_64V3]);
        let emitted = emit(&graph, &Options { target, ..Options::default() });
        let emitted = emitted.unwrap_or_else(|bug| panic!("{bug}"));
        emitted.kernels[0].phases.iter().map(Vec::len).max()
    };
    for m in [1, 8, 40] {
        let alike = [(70, Panels, Active), (64, Panels, Sum), (96, Panels, Sum)];
        assert!(phases(&alike, m) <= Some(2), "{m} rows");
        let other = [(70, Panels, Active), (64, In, Sum), (96, Panels, Sum)];
        assert!(phases(&other, m) >= Some(3), "{m} rows");
    }
}
