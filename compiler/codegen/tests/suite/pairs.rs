//! Products of bf16 at the levels that have instructions for them, against the plain evaluator.
//!
//! The evaluator sums exact products in f64. Each of the k additions in f32 rounds a partial sum that is at
//! most Σ|x·y|: the difference is at most (k + 2) · 2⁻²⁴ · Σ|x·y|, and the operands are below 2. Results are
//! stored in f32, so that nothing else is in the difference.

use crate::common::make::*;
use crate::common::{Tolerance, amx, check_all, check_special, compile_for};
use einmesh_codegen::Level;
use einmesh_ir::{BinaryOp, DType, Expr, IndexId};
use einmesh_schedule::kernel::{Contraction, Kernel};

const BF16: DType = DType::Bf16;
const F32: DType = DType::F32;

fn within(k: u64) -> Tolerance {
    let k = k as f64;
    Tolerance { relative: 0.0, absolute: (k + 2.0) * f64::powi(2.0, -24) * 4.0 * k }
}

/// Where the factors of a product come from.
#[derive(Clone, Copy, PartialEq, Debug)]
enum From {
    /// Arrays of bf16.
    Loads,
    /// Arrays of bf16, widened.
    Widened,
    /// Arrays of f32, rounded.
    Rounded,
    /// Products of bf16.
    Expressions,
}

/// A factor from an element of an array.
fn factor(from: From, e: Expr) -> Expr {
    match from {
        From::Loads => e,
        From::Widened => Expr::cast(F32, e),
        From::Rounded => Expr::cast(BF16, e),
        From::Expressions => Expr::binary(BinaryOp::Mul, e, Expr::float(BF16, 0.75)),
    }
}

/// `out[m,n] = Σ over k of lhs · rhs`, each of the three transposed or not.
fn matmul((m, n, k): (u64, u64, u64), transposed: [bool; 3], from: From) -> Kernel {
    let mut make = make(&format!("{m}x{n}x{k} {transposed:?} {from:?}"));
    let (im, inn, ik) = (make.index(m), make.index(n), make.index(k));
    let order = |x: IndexId, y: IndexId, swap: bool| if swap { [y, x] } else { [x, y] };
    let extents = |x: u64, y: u64, swap: bool| if swap { [y, x] } else { [x, y] };
    let stored = if from == From::Rounded { F32 } else { BF16 };
    let a = make.read(stored, &extents(m, k, transposed[0]));
    let b = make.read(stored, &extents(k, n, transposed[1]));
    let out = make.write(F32, &extents(m, n, transposed[2]));
    let acc = make.local(F32, &[]);
    make.contraction(Contraction {
        batch: vec![],
        m: vec![im],
        n: vec![inn],
        k: vec![ik],
        lhs: factor(from, load(a, &order(im, ik, transposed[0]))),
        rhs: factor(from, load(b, &order(ik, inn, transposed[1]))),
        accumulator: F32,
        acc,
        epilogue: load(acc, &[]),
        target: to(out, &order(im, inn, transposed[2])),
    })
}

/// All ways to transpose the three arrays.
fn layouts() -> impl Iterator<Item = [bool; 3]> {
    (0..8).map(|bits| [bits & 1 != 0, bits & 2 != 0, bits & 4 != 0])
}

#[test]
fn every_layout_and_size() {
    let sizes = [
        (4, 9, 8),
        (5, 17, 9),
        (16, 16, 32),
        (33, 47, 29),
        (40, 70, 64),
        (31, 33, 130),
        (150, 20, 33),
    ];
    let mut cases = Vec::new();
    for size in sizes {
        for layout in layouts() {
            cases.push((matmul(size, layout, From::Loads), within(size.2)));
        }
    }
    // Several blocks of rows, of columns, and steps.
    for size in [(20, 600, 40), (18, 40, 1100), (300, 290, 15)] {
        for layout in [[false; 3], [true, true, false]] {
            cases.push((matmul(size, layout, From::Loads), within(size.2)));
        }
    }
    check_all(&cases);
}

#[test]
fn every_kind_of_factor() {
    let mut cases = Vec::new();
    for from in [From::Widened, From::Rounded, From::Expressions] {
        for layout in layouts() {
            for size in [(35, 50, 27), (64, 64, 64), (7, 33, 601)] {
                cases.push((matmul(size, layout, from), within(size.2)));
            }
        }
    }
    check_all(&cases);
}

/// NaN, infinities, zeros of both signs and denormals, which are taken as zeros.
#[test]
fn special_numbers() {
    let mut cases = Vec::new();
    for from in [From::Loads, From::Rounded] {
        for layout in layouts() {
            cases.push((matmul((21, 37, 19), layout, from), within(19)));
        }
    }
    check_special(&cases);
}

/// Attention's scores, batched over indices that lie between the others, and a projection with two summed
/// indices, a bias and a residual, stored as bf16.
#[test]
fn groups_batches_and_epilogues() {
    let (b_size, t, u, h, k, d) = (2, 37, 29, 3, 20, 45);
    let mut m = make("scores");
    let q = m.read(BF16, &[b_size, t, h, k]);
    let key = m.read(BF16, &[b_size, u, h, k]);
    let out = m.write(F32, &[b_size, h, t, u]);
    let acc = m.local(F32, &[]);
    let (ib, it, iu) = (m.index(b_size), m.index(t), m.index(u));
    let (ih, ik) = (m.index(h), m.index(k));
    let scores = m.contraction(Contraction {
        batch: vec![ib, ih],
        m: vec![it],
        n: vec![iu],
        k: vec![ik],
        lhs: load(q, &[ib, it, ih, ik]),
        rhs: load(key, &[ib, iu, ih, ik]),
        accumulator: F32,
        acc,
        epilogue: mul(load(acc, &[]), Expr::float(F32, 0.125)),
        target: to(out, &[ib, ih, it, iu]),
    });
    let mut m = make("merge");
    let o = m.read(BF16, &[b_size, h, t, k]);
    let w = m.read(BF16, &[h, k, d]);
    let (bias, rest) = (m.read(BF16, &[d]), m.read(BF16, &[b_size, t, d]));
    let out = m.write(BF16, &[b_size, t, d]);
    let acc = m.local(F32, &[]);
    let (ib, it, id) = (m.index(b_size), m.index(t), m.index(d));
    let (ih, ik) = (m.index(h), m.index(k));
    let wide = |e: Expr| Expr::cast(F32, e);
    let sum = add(add(load(acc, &[]), wide(load(bias, &[id]))), wide(load(rest, &[ib, it, id])));
    let merge = m.contraction(Contraction {
        batch: vec![],
        m: vec![ib, it],
        n: vec![id],
        k: vec![ih, ik],
        lhs: load(o, &[ib, ih, it, ik]),
        rhs: load(w, &[ih, ik, id]),
        accumulator: F32,
        acc,
        epilogue: Expr::cast(BF16, sum),
        target: to(out, &[ib, it, id]),
    });
    // Half a unit of bf16's last place besides.
    let rounded = Tolerance { relative: 1.0 / 256.0, ..within(h * k) };
    check_all(&[(scores, within(k)), (merge, rounded)]);
}

/// A product with any number of indices of each kind, stored in any order, with extents that rarely fit.
fn random(seed: u64) -> (Kernel, Tolerance) {
    let mut rng = Rng(seed);
    let mut make = make(&format!("random {seed}"));
    let kinds = [From::Loads, From::Widened, From::Rounded, From::Expressions];
    let from = kinds[(rng.next() % 4) as usize];
    let group = |make: &mut Make, rng: &mut Rng, extents: &[u64], most: u64| -> Vec<IndexId> {
        let count = rng.next() % (most + 1);
        let extent = |rng: &mut Rng| extents[(rng.next() % extents.len() as u64) as usize];
        (0..count).map(|_| make.index(extent(rng))).collect()
    };
    let batch = group(&mut make, &mut rng, &[1, 2, 3], 2);
    let [mut m, mut n, mut k] = [(); 3].map(|()| group(&mut make, &mut rng, &[1, 2, 3, 5], 1));
    // One of each that is large enough for tiles.
    for (indices, extents) in [(&mut m, [4, 16, 21]), (&mut n, [9, 17, 32]), (&mut k, [8, 19, 32])]
    {
        let at = (rng.next() % (indices.len() as u64 + 1)) as usize;
        indices.insert(at, make.index(extents[(rng.next() % 3) as usize]));
    }
    let mut shuffled = |groups: &[&[IndexId]]| -> Vec<IndexId> {
        let mut all = groups.concat();
        for i in (1..all.len()).rev() {
            all.swap(i, (rng.next() % (i as u64 + 1)) as usize);
        }
        all
    };
    let (left, right) = (shuffled(&[&batch, &m, &k]), shuffled(&[&batch, &n, &k]));
    let result = shuffled(&[&batch, &m, &n]);
    let stored = if from == From::Rounded { F32 } else { BF16 };
    let extents =
        |make: &Make, order: &[IndexId]| order.iter().map(|i| make.extent(*i)).collect::<Vec<_>>();
    let (left_extents, right_extents) = (extents(&make, &left), extents(&make, &right));
    let depth = extents(&make, &k).iter().product();
    let a = make.read(stored, &left_extents);
    let b = make.read(stored, &right_extents);
    let out_extents = extents(&make, &result);
    let out = make.write(F32, &out_extents);
    let acc = make.local(F32, &[]);
    let kernel = make.contraction(Contraction {
        batch,
        m,
        n,
        k,
        lhs: factor(from, load(a, &left)),
        rhs: factor(from, load(b, &right)),
        accumulator: F32,
        acc,
        epilogue: load(acc, &[]),
        target: to(out, &result),
    });
    (kernel, within(depth))
}

#[test]
fn random_products() {
    let wanted = std::env::var("EINMESH_FUZZ").ok().and_then(|n| n.parse().ok());
    let cases: Vec<_> = (0..wanted.unwrap_or(24)).map(random).collect();
    for some in cases.chunks(24) {
        check_all(some);
    }
}

/// A level gets an image only if a kernel differs there, and shares the others with the level below.
#[test]
fn images_are_only_for_levels_that_differ() {
    let size = (40, 40, 40);
    let names = |kernels: &[Kernel], levels: Vec<Level>| -> Vec<String> {
        let emitted = compile_for(kernels, levels);
        for kernel in &emitted.kernels {
            assert_eq!(kernel.phases.len(), emitted.images.len(), "{}", kernel.name);
        }
        emitted.images.iter().map(|(image, _)| image.level.clone()).collect()
    };
    let narrow = matmul(size, [false; 3], From::Loads);
    let mut wide = matmul(size, [false; 3], From::Loads);
    for value in &mut wide.values {
        value.dtype = F32;
    }
    let all = Level::ALL.to_vec();
    assert_eq!(names(&[wide.clone()], all.clone()), ["x86-64-v4", "x86-64-v3"]);
    assert_eq!(
        names(&[wide.clone(), narrow.clone()], all),
        ["x86-64-v4-amx", "x86-64-v4-bf16", "x86-64-v4", "x86-64-v3"]
    );
    // Without the level below, there is nothing to share with.
    assert_eq!(names(&[wide.clone()], vec![Level::X86_64V4Amx]), ["x86-64-v4-amx"]);
    assert_eq!(
        names(&[wide, narrow], vec![Level::X86_64V4Amx, Level::X86_64V3]),
        ["x86-64-v4-amx", "x86-64-v3"]
    );
}

/// Where there are no tiles, the ones in software have been used: the tests above are not of other code.
#[test]
fn tiles_are_used() {
    if !is_x86_feature_detected!("avx512bf16") {
        return;
    }
    let before = amx::executed();
    check_all(&[(matmul((40, 40, 40), [false; 3], From::Loads), within(40))]);
    let after = amx::executed();
    assert!(after.is_none_or(|after| after > before.unwrap_or(0)), "{before:?}, {after:?}");
}
