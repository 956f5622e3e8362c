//! Collectives among devices of one process.
//!
//! Every collective writes its result piece by piece; [`Pattern`] tells where a piece comes from.
//! Members' memory is read where it lies. A task computes a range of the result's elements and
//! nothing else writes them, so that the work splits over threads at any place without changing a bit.

mod pattern;
mod reduce;

use einmesh_artifact::{DType, Reduction};
pub(crate) use pattern::Pattern;
use pattern::Source;

/// One group's members: what they give, and where they receive.
pub(crate) struct Members {
    /// Each member's input, in the group's order.
    pub(crate) inputs: Vec<*const u8>,
    /// Each member's output.
    pub(crate) outputs: Vec<*mut u8>,
}

/// Computes the elements `begin..end` of a group's result, as [`Pattern`] counts them.
///
/// # Safety
///
/// Inputs and outputs must be valid for the extents that the pattern was made of. For the call's
/// duration nobody else may write the inputs, or touch the elements of the outputs that the range
/// names. An output may be its member's input if the pattern is an all-reduce, and must not overlap
/// any input otherwise.
pub(crate) unsafe fn compute(
    pattern: &Pattern,
    reduction: Option<Reduction>,
    dtype: DType,
    members: &Members,
    begin: u64,
    end: u64,
) {
    let width = dtype.bytes();
    let mut next = begin;
    while next < end {
        let piece = pattern.piece(next);
        let within = next % pattern.piece_elements;
        let count = (pattern.piece_elements - within).min(end - next);
        let source = ((piece.source_offset + within) * width) as usize;
        let target = ((piece.target_offset + within) * width) as usize;
        let one;
        let outputs: &[*mut u8] = match piece.target {
            Some(member) => {
                one = [members.outputs[member]];
                &one
            }
            None => &members.outputs,
        };
        let bytes = (count * width) as usize;
        match piece.source {
            Source::Zeros => {
                for output in outputs {
                    // SAFETY: the piece lies inside of the output, which the caller vouches for.
                    unsafe { output.add(target).write_bytes(0, bytes) };
                }
            }
            Source::Member(member) => {
                // SAFETY: as above; a copied piece's source never overlaps its target.
                let from = unsafe { members.inputs[member].add(source) };
                for output in outputs {
                    // SAFETY: as above.
                    unsafe { output.add(target).copy_from_nonoverlapping(from, bytes) };
                }
            }
            Source::All => {
                let range = reduce::Range {
                    inputs: &members.inputs,
                    source,
                    outputs,
                    target,
                    count: count as usize,
                };
                let reduction = reduction.unwrap_or(Reduction::Sum);
                // SAFETY: as above; elements are read before they are written, in blocks.
                unsafe { reduce::reduce(dtype, reduction, &range) };
            }
        }
        next += count;
    }
}
