//! The shapes and types of collectives.

use super::Ctx;
use crate::manifest::{Buffer, Collective, DType, Reduction};

/// Checks one collective among groups of `members` devices.
pub(super) fn check_collective(
    ctx: &mut Ctx,
    kind: &Collective,
    members: u64,
    input: &Buffer,
    output: &Buffer,
    place: &str,
) {
    ctx.check(input.dtype == output.dtype, place, || {
        format!("{} and {} differ in type", input.name, output.name)
    });
    if let Collective::AllReduce { reduction } | Collective::ReduceScatter { reduction, .. } = kind
    {
        ctx.check(defined(*reduction, input.dtype), place, || {
            format!("{reduction:?} of {:?} is not defined", input.dtype)
        });
    }
    let expected = expected_extents(kind, members, &input.extents);
    ctx.check(expected.as_deref() == Some(&output.extents[..]), place, || {
        format!(
            "{kind:?} among {members} cannot make {:?} ({}) of {:?} ({})",
            output.extents, output.name, input.extents, input.name
        )
    });
}

/// Whether a reduction combines elements of this type.
fn defined(reduction: Reduction, dtype: DType) -> bool {
    match reduction {
        Reduction::Sum | Reduction::Prod | Reduction::Max | Reduction::Min => {
            !matches!(dtype, DType::Bool | DType::Rng)
        }
        Reduction::Any | Reduction::All => dtype == DType::Bool,
        Reduction::LogSumExp => {
            matches!(dtype, DType::F64 | DType::F32 | DType::Bf16 | DType::F16)
        }
    }
}

/// What each member receives if it gives `extents`; `None` if that is not defined.
fn expected_extents(kind: &Collective, members: u64, extents: &[u64]) -> Option<Vec<u64>> {
    let mut extents = extents.to_vec();
    let shrink = |extent: &mut u64| extent.is_multiple_of(members).then(|| *extent /= members);
    match kind {
        Collective::AllReduce { .. } | Collective::CollectivePermute { .. } => {}
        Collective::AllGather { position } => {
            let extent = extents.get_mut(*position as usize)?;
            *extent = extent.checked_mul(members)?;
        }
        Collective::ReduceScatter { position, .. } => {
            shrink(extents.get_mut(*position as usize)?)?;
        }
        Collective::AllToAll { split, concat } => {
            shrink(extents.get_mut(*split as usize)?)?;
            let extent = extents.get_mut(*concat as usize)?;
            *extent = extent.checked_mul(members)?;
        }
    }
    Some(extents)
}
