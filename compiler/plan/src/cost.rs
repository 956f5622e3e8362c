//! What a placement costs: bytes on the wire, work per device.
//!
//! All numbers are integers, so that comparing them is exact and the same everywhere. Propagation
//! uses them only to break ties. They are written for the joint search over algebra and placements
//! too: there, each e-node of the rewriter's e-graph offers one strategy per index (the
//! [`Work`] of its comprehension divided by the axis' size) and each e-class one reshard layer
//! between the strategies of its producers and consumers (the [`wire_bytes`] of the collective that
//! leads from one sharding to the other, paid once per class and target, not per reader). Both
//! functions take a comprehension or a byte count, not a program position, and can be asked for
//! terms that no program contains yet. A machine model turns the three counts into one time,
//! `launch + max(FLOP / peak, bytes / bandwidth) + α + β·wire`, outside this module.

use einmesh_ir::{CollectiveKind, Comprehension, Expr, Program, ValueId};

/// The bytes that one device sends in a collective among `group` devices, with ring algorithms:
/// an all-reduce 2(n−1)/n, an all-gather, reduce-scatter or all-to-all (n−1)/n, a permutation 1
/// times the payload, rounded up. The payload is the bytes of one device's operand; for an
/// all-gather, those of its result.
pub fn wire_bytes(kind: &CollectiveKind, group: u64, payload: u64) -> u64 {
    if group <= 1 {
        return 0;
    }
    let (payload, group) = (u128::from(payload), u128::from(group));
    let sent = match kind {
        CollectiveKind::AllReduce(_) => (2 * (group - 1) * payload).div_ceil(group),
        CollectiveKind::AllGather { .. }
        | CollectiveKind::ReduceScatter { .. }
        | CollectiveKind::AllToAll { .. } => ((group - 1) * payload).div_ceil(group),
        CollectiveKind::CollectivePermute { .. } => payload,
    };
    u64::try_from(sent).unwrap_or(u64::MAX)
}

/// What a comprehension does, once, on one device that has all of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Work {
    /// Arithmetic operations: each function of floats or integers at each point, and each
    /// combination of a reduced point, counts as one. Subscripts do not count.
    pub flops: u64,
    /// Bytes read and written if every operand is read once.
    pub bytes: u64,
}

/// The work of a comprehension. Guards are taken as true: how many points they exclude is not known
/// in general.
pub fn work(program: &Program, c: &Comprehension) -> Work {
    let points = product(c.indices.values().map(|i| program.dims[i.dim].extent));
    let reduced = u64::from(c.reduced_indices().next().is_some());
    let flops = points.saturating_mul(operations(&c.body) + reduced);
    let values = c.reads().into_iter().chain([c.out]);
    let bytes = total(values.map(|value| bytes_of(program, value)));
    Work { flops, bytes }
}

/// The bytes of a whole value. Like all numbers here it saturates: extents are the user's.
pub(crate) fn bytes_of(program: &Program, value: ValueId) -> u64 {
    let elements = product(program.extents(value));
    elements.saturating_mul(program.values[value].dtype.bytes())
}

/// A product that saturates.
pub(crate) fn product(factors: impl IntoIterator<Item = u64>) -> u64 {
    factors.into_iter().fold(1, u64::saturating_mul)
}

/// A sum that saturates.
pub(crate) fn total(terms: impl IntoIterator<Item = u64>) -> u64 {
    terms.into_iter().fold(0, u64::saturating_add)
}

/// Arithmetic operations of an expression, those of subscripts left out.
fn operations(e: &Expr) -> u64 {
    match e {
        Expr::Load(load) => match &load.bounds {
            einmesh_ir::Bounds::Else(default) => operations(default),
            _ => 0,
        },
        Expr::Literal(_) | Expr::Index(_) | Expr::LoopVar(_) | Expr::Coord(_) => 0,
        Expr::Cast(_, a) => operations(a),
        Expr::Unary(..) | Expr::Binary(..) | Expr::Select(..) => {
            1 + e.children().into_iter().map(operations).sum::<u64>()
        }
    }
}
