//! Where operands lie: which of them the micro-kernel can read as they are.

use crate::cpu::cost;
use einmesh_ir::{Affine, Atom, BinaryOp, Bounds, DType, Expr, IndexId, Load, ValueId};
use einmesh_schedule::kernel::Kernel;

/// How far apart the elements of a matrix are, and what they are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Strides {
    /// The type in memory.
    pub element: DType,
    /// From one row (or column) to the next.
    pub across: i64,
    /// From one depth to the next.
    pub along: i64,
}

/// The strides of an operand that is a plain load of numbers of `dtype`, or of bf16 numbers that are to be f32,
/// with every subscript in range.
pub fn strides(
    kernel: &Kernel,
    operand: &Expr,
    dtype: DType,
    across: &[IndexId],
    along: &[IndexId],
) -> Option<Strides> {
    let (load, element) = plain_load(kernel, operand, dtype)?;
    let plain = !matches!(load.bounds, Bounds::Else(_)) && in_range(kernel, load.value, &load.subs);
    let of = |group: &[IndexId]| distance(kernel, load.value, &load.subs, group);
    plain.then_some(Strides { element, across: of(across)?, along: of(along)? })
}

/// The load that an operand is, cast to `dtype` at most, and the type in memory: `dtype`, or bf16 where that is f32.
fn plain_load<'a>(kernel: &Kernel, operand: &'a Expr, dtype: DType) -> Option<(&'a Load, DType)> {
    let load = match operand {
        Expr::Load(load) => load,
        Expr::Cast(to, inner) if *to == dtype => match &**inner {
            Expr::Load(load) => load,
            _ => return None,
        },
        _ => return None,
    };
    let element = kernel.values[load.value.0 as usize].dtype;
    let readable = element == dtype || element == DType::Bf16 && dtype == DType::F32;
    readable.then_some((load, element))
}

/// Panels that a matrix lies in.
pub struct Found {
    /// The type in memory.
    pub element: DType,
    /// Columns of a panel.
    pub width: u64,
    /// The depth's indices, in the order in which depths lie.
    pub along: Vec<IndexId>,
}

/// The panels that an operand lies in: it is `value[…, column / width, depth, column mod width]`, where columns are
/// the positions of `across`, flattened, and depths those of `along`, flattened in some order. Its numbers are of
/// `dtype`, or bf16 numbers that are to be f32.
pub fn panels(
    kernel: &Kernel,
    operand: &Expr,
    dtype: DType,
    across: &[IndexId],
    along: &[IndexId],
) -> Option<Found> {
    let (load, element) = plain_load(kernel, operand, dtype)?;
    let [.., panel, depth, within] = load.subs.as_slice() else {
        return None;
    };
    let (Expr::Binary(BinaryOp::FloorDiv, of, by), Expr::Binary(BinaryOp::Rem, rest, modulo)) =
        (panel, within)
    else {
        return None;
    };
    let width = u64::try_from(Affine::of(by)?.as_constant()?).ok()?;
    let extents = &kernel.values[load.value.0 as usize].extents;
    let found = load.bounds == Bounds::Proven
        && of == rest
        && by == modulo
        && extents.last() == Some(&width)
        && flattened(kernel, of)? == varying(kernel, across);
    // Every depth of a panel, and every column, is there.
    let columns: u64 = across.iter().map(|i| extent(kernel, *i)).product();
    let along_order = flattened(kernel, depth)?;
    let mut sorted = along_order.clone();
    sorted.sort();
    let mut expected = varying(kernel, along);
    expected.sort();
    let depths: u64 = along.iter().map(|i| extent(kernel, *i)).product();
    let [.., panels, memory_depths, _] = extents.as_slice() else {
        return None;
    };
    let whole = *panels == columns.div_ceil(width) && *memory_depths == depths;
    let outer = &load.subs[..load.subs.len() - 3];
    let inner = |i: &&IndexId| outer.iter().any(|sub| sub.mentions(**i));
    let apart = across.iter().chain(along).find(inner).is_none();
    (found && whole && apart && sorted == expected).then(|| {
        let rest = along.iter().filter(|i| !along_order.contains(i));
        Found { element, width, along: along_order.iter().chain(rest).copied().collect() }
    })
}

/// The indices that an expression counts through row-major, without gaps.
fn flattened(kernel: &Kernel, expr: &Expr) -> Option<Vec<IndexId>> {
    let form = Affine::of(expr)?;
    let mut terms = Vec::new();
    for (atom, factor) in form.terms() {
        match atom {
            Atom::Index(index) if extent(kernel, *index) > 1 => terms.push((*factor, *index)),
            Atom::Index(_) => {}
            _ => return None,
        }
    }
    terms.sort();
    let mut stride = 1;
    for (factor, index) in &terms {
        if *factor != stride {
            return None;
        }
        stride *= extent(kernel, *index) as i64;
    }
    let constant = form.evaluate(|_| 0) == 0;
    constant.then(|| terms.into_iter().rev().map(|(_, index)| index).collect())
}

/// The distance between elements at consecutive positions of a flattened group, if it is the same everywhere.
pub fn distance(kernel: &Kernel, value: ValueId, subs: &[Expr], group: &[IndexId]) -> Option<i64> {
    let group = varying(kernel, group);
    let mut inner: Option<(i64, u64)> = None;
    let mut last = 0;
    for index in group.iter().rev() {
        let stride = cost::stride(kernel, value, subs, *index)?;
        match inner {
            None => last = stride,
            Some((inside, extent)) if stride == inside.checked_mul(extent as i64)? => {}
            Some(_) => return None,
        }
        inner = Some((stride, extent(kernel, *index)));
    }
    Some(last)
}

/// How many consecutive positions of a flattened group, from a multiple of that number on, lie side by side:
/// at least 1.
pub fn run(kernel: &Kernel, value: ValueId, subs: &[Expr], group: &[IndexId]) -> u64 {
    let mut length = 1u64;
    for index in varying(kernel, group).iter().rev() {
        if cost::stride(kernel, value, subs, *index) != i64::try_from(length).ok() {
            break;
        }
        length *= extent(kernel, *index);
    }
    length
}

/// Whether every subscript that moves stays within its extent, and its computation within its type.
pub fn in_range(kernel: &Kernel, value: ValueId, subs: &[Expr]) -> bool {
    let range = |form: &Affine| {
        form.range_with(|atom| match atom {
            Atom::Index(index) => Some(extent(kernel, index)),
            _ => None,
        })
    };
    let moves = |sub: &Expr| (0..kernel.indices.len()).any(|i| sub.mentions(IndexId(i as u32)));
    subs.iter().zip(&kernel.values[value.0 as usize].extents).filter(|(s, _)| moves(s)).all(
        |(sub, extent)| {
            let mut fits = true;
            sub.walk(&mut |part| {
                let form = Affine::of(part).and_then(|form| range(&form));
                let small = |x: i64| i32::try_from(x).is_ok();
                fits &= form.is_some_and(|r| small(*r.start()) && small(*r.end()));
            });
            let form = Affine::of(sub).and_then(|form| range(&form));
            fits && form.is_some_and(|r| *r.start() >= 0 && *r.end() < *extent as i64)
        },
    )
}

/// The indices of a group that have more than one position.
pub fn varying(kernel: &Kernel, group: &[IndexId]) -> Vec<IndexId> {
    group.iter().copied().filter(|i| extent(kernel, *i) > 1).collect()
}

fn extent(kernel: &Kernel, index: IndexId) -> u64 {
    kernel.indices[index.0 as usize].extent
}
