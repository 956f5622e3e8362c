//! Where a tile's arrays are in its scratch memory.

use super::Plan;
use crate::cpu::block::{Bounds, UNROLL};
use crate::cpu::phase::ALIGN;
use einmesh_ir::ValueId;
use einmesh_schedule::kernel::Sweep;

/// Places, in bytes from the beginning.
#[derive(Clone, Debug)]
pub struct Layout {
    /// The arrays of [`Bounds`].
    pub bounds: [u64; 4],
    /// Per product, the packed rows of a block.
    pub lhs: Vec<u64>,
    /// Per product, the packed keys of a block.
    pub rhs: Vec<u64>,
    /// Per sum, the packed values of a block of keys or rows.
    pub values: Vec<u64>,
    /// The products of a block of rows and keys, then the weights of `weights`.
    pub blocks: Vec<u64>,
    /// The points that are weights of sums.
    pub weights: Vec<ValueId>,
    /// Per sum, the sums of a block's keys; 0 for sums of rows.
    pub key_sums: Vec<u64>,
    /// The sums of rows, if they are not in the workspace.
    pub state: u64,
    /// All.
    pub bytes: u64,
    /// Per sum, where in a state its sums of rows are; 0 for sums of keys.
    pub row_sums: Vec<u64>,
    /// Bytes of a state.
    pub state_bytes: u64,
}

impl Layout {
    /// The places for a plan.
    pub fn new(plan: &Plan, sweep: &Sweep) -> Layout {
        let mut bytes = 0;
        let mut raw = |size: u64| {
            bytes += size;
            bytes - size
        };
        let bounds = Bounds::bytes(plan.rows_of(sweep)).map(&mut raw);
        let size = |n: u64| (n * plan.vectors.scalar.bytes()).next_multiple_of(ALIGN);
        let mut array = |elements: u64| raw(size(elements));
        let products = 0..plan.depths.len();
        let rows = plan.block_rows().next_multiple_of(UNROLL);
        let lhs = products.clone().map(|p| array(plan.block_rows() * plan.lhs_stride(p))).collect();
        let rhs = products.map(|p| array(plan.block * plan.padded_depth(p))).collect();
        let sums = || sweep.sums.iter().zip(&plan.columns);
        let values = sums()
            .map(|(sum, c)| array(c.stride * if sum.of_columns { rows } else { plan.block }))
            .collect();
        let mut weights: Vec<ValueId> = sweep.sums.iter().map(|sum| sum.weight).collect();
        weights.sort();
        weights.dedup();
        let blocks = 0..weights.len().max(plan.depths.len());
        let blocks = blocks.map(|_| array(rows * plan.weight_stride())).collect();
        let keys = |of_columns: bool| if of_columns { plan.padded_keys() } else { 0 };
        let key_sums = sums().map(|(sum, c)| array(c.stride * keys(sum.of_columns))).collect();
        let mut state_bytes = 0;
        let row_sums = sums()
            .map(|(sum, c)| {
                let own = if sum.of_columns { 0 } else { size(c.stride * plan.padded_rows()) };
                state_bytes += own;
                state_bytes - own
            })
            .collect();
        let state = raw(if plan.parts == 1 { state_bytes } else { 0 });
        Layout {
            bounds,
            lhs,
            rhs,
            values,
            blocks,
            weights,
            key_sums,
            state,
            bytes,
            row_sums,
            state_bytes,
        }
    }
}
