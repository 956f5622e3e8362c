//! Matrix products: blocks of the result as tiles, operands packed panel by panel into scratch memory, a
//! micro-kernel that holds its part of the result in registers (Goto and van de Geijn 2008; Van Zee and
//! van de Geijn 2015).
//!
//! A tile owns a block of the result and walks along the sum in steps of [`Plan::depth`]: it packs the
//! step's part of both operands, adds their products to a block of sums in scratch memory, and at the end
//! evaluates the epilogue on finished sums. Each sum is accumulated in the same order however tiles are run.

mod drive;
mod micro;
mod pack;
mod transpose;

pub use drive::emit;

use super::cost;
use super::env::{dtype_of, row_major};
use super::level::Level;
use super::value::register;
use crate::build::Scalar;
use crate::tuning::Sizes;
use einmesh_ir::{Affine, Expr, IndexId};
use einmesh_schedule::kernel::{Contraction, Kernel};

/// The k loop of the micro-kernel is unrolled so often; packed depths are multiples of it.
pub const UNROLL: u64 = 4;

/// The sizes that a product is computed with. "Rows" are m, "columns" n, "depth" k.
#[derive(Clone, PartialEq, Debug)]
pub struct Plan {
    /// The accumulators' type.
    pub scalar: Scalar,
    /// Lanes of a vector.
    pub lanes: u64,
    /// Rows of the micro-kernel.
    pub tile_rows: u64,
    /// Vectors of columns of the micro-kernel.
    pub tile_vectors: u64,
    /// The whole problem.
    pub rows: u64,
    /// The whole problem.
    pub columns: u64,
    /// The whole problem.
    pub depth: u64,
    /// The number of independent problems.
    pub batch: u64,
    /// Rows of a tile, a multiple of `tile_rows`.
    pub block_rows: u64,
    /// Columns of a tile, a multiple of [`Plan::panel`].
    pub block_columns: u64,
    /// Depth of a step, a multiple of [`UNROLL`] and of `lanes`.
    pub step: u64,
    /// Depth of a step if the problem is deep enough.
    pub full_step: u64,
    /// Rows packed at a time, a multiple of `tile_rows`.
    pub packed_rows: u64,
}

impl Plan {
    /// Columns of the micro-kernel.
    pub fn panel(&self) -> u64 {
        self.tile_vectors * self.lanes
    }

    /// Elements from one packed row of lhs to the next. A multiple of 4096 bytes would put all rows
    /// into one set of the cache.
    pub fn lhs_stride(&self) -> u64 {
        self.full_step + 64 / self.scalar.bytes()
    }

    /// Elements from one row of sums to the next; as above.
    pub fn sums_stride(&self) -> u64 {
        self.block_columns + 64 / self.scalar.bytes()
    }

    /// Elements of packed lhs.
    pub fn lhs_elements(&self) -> u64 {
        self.packed_rows * self.lhs_stride()
    }

    /// Elements of packed rhs.
    pub fn rhs_elements(&self) -> u64 {
        self.block_columns * self.step
    }

    /// Elements of the block of sums.
    pub fn sums_elements(&self) -> u64 {
        self.block_rows * self.sums_stride()
    }

    /// Tiles along the rows.
    pub fn row_blocks(&self) -> u64 {
        self.rows.div_ceil(self.block_rows)
    }

    /// Tiles along the columns.
    pub fn column_blocks(&self) -> u64 {
        self.columns.div_ceil(self.block_columns)
    }
}

/// How a contraction is computed as a matrix product, and with which sides exchanged; `None` if that is not
/// worth it or its numbers are integers.
pub fn plan(
    kernel: &Kernel,
    contraction: &Contraction,
    level: Level,
    sizes: &Sizes,
) -> Option<(Plan, Contraction)> {
    let c = oriented(kernel, contraction);
    let size = |group: &[IndexId]| -> u64 {
        group.iter().map(|i| kernel.indices[i.0 as usize].extent).product()
    };
    let (rows, columns, depth, batch) = (size(&c.m), size(&c.n), size(&c.k), size(&c.batch));
    let scalar = register(c.accumulator);
    let lanes = u64::from(level.lanes(scalar));
    // Narrower than this, most of a register tile is padding, and packing costs more than it saves.
    let wide_enough = rows >= 4 && columns * 2 > lanes && depth >= 4 && batch > 0;
    if !scalar.is_float() || !wide_enough {
        return None;
    }
    let tile_vectors = if columns <= lanes { 1 } else { sizes.tile_vectors };
    let most_rows = sizes.tile_rows;
    // The number of rows that leaves the least padding.
    let tile_rows = (most_rows.div_ceil(2)..=most_rows)
        .rev()
        .min_by_key(|r| rows.next_multiple_of(*r))
        .unwrap_or(most_rows)
        .min(rows);
    let panel = tile_vectors * lanes;
    let even = |whole: u64, most: u64, unit: u64| {
        let parts = whole.div_ceil(most);
        whole.div_ceil(parts).next_multiple_of(unit)
    };
    let mut block_rows = even(rows, sizes.block_rows, tile_rows);
    let mut block_columns = even(columns, sizes.block_columns, panel);
    loop {
        let tiles = batch * rows.div_ceil(block_rows) * columns.div_ceil(block_columns);
        let flops = 2 * block_rows * block_columns * depth;
        if tiles >= sizes.blocks || flops < 2 * sizes.block_flops {
            break;
        }
        let (halved_rows, halved_columns) = (
            even(block_rows, block_rows.div_ceil(2), tile_rows),
            even(block_columns, block_columns.div_ceil(2), panel),
        );
        if block_columns >= block_rows && halved_columns < block_columns {
            block_columns = halved_columns;
        } else if halved_rows < block_rows {
            block_rows = halved_rows;
        } else {
            break;
        }
    }
    let unit = UNROLL.max(lanes);
    let full_step = sizes.step_bytes / scalar.bytes();
    let plan = Plan {
        scalar,
        lanes,
        tile_rows,
        tile_vectors,
        rows,
        columns,
        depth,
        batch,
        block_rows,
        block_columns,
        step: full_step.min(depth.next_multiple_of(unit)),
        full_step,
        packed_rows: even(block_rows, sizes.packed_rows, tile_rows),
    };
    Some((plan, c))
}

/// The contraction with its sides exchanged if the result is contiguous along m rather than n.
fn oriented(kernel: &Kernel, c: &Contraction) -> Contraction {
    let contiguous = |group: &[IndexId]| {
        let last = varying(kernel, group).last().copied();
        last.is_some_and(|i| cost::stride(kernel, c.target.value, &c.target.subs, i) == Some(1))
    };
    let mut c = c.clone();
    if contiguous(&c.m) && !contiguous(&c.n) {
        std::mem::swap(&mut c.m, &mut c.n);
        std::mem::swap(&mut c.lhs, &mut c.rhs);
    }
    c
}

/// The indices of a group that have more than one position.
fn varying(kernel: &Kernel, group: &[IndexId]) -> Vec<IndexId> {
    let varies = |i: &&IndexId| kernel.indices[i.0 as usize].extent > 1;
    group.iter().filter(varies).copied().collect()
}

/// Whether vectors of an operand can be read along a group: every load is contiguous or the same along
/// its last index.
fn contiguous(kernel: &Kernel, operand: &Expr, group: &[IndexId]) -> bool {
    let Some(last) = varying(kernel, group).last().copied() else {
        return false;
    };
    operand.loads().iter().all(|load| {
        let stride = cost::stride(kernel, load.value, &load.subs, last);
        matches!(stride, Some(0 | 1))
    })
}

/// Whether an operand is little more than a load, so that evaluating it for many rows at a time does not
/// make the code long.
fn plain(kernel: &Kernel, operand: &Expr) -> bool {
    let load = match operand {
        Expr::Cast(_, inner) => inner,
        other => other,
    };
    match load {
        Expr::Load(load) => {
            let strides = row_major(&kernel.values[load.value.0 as usize].extents);
            strides.len() == load.subs.len()
                && load.subs.iter().all(|s| Affine::of(s).is_some())
                && dtype_of(kernel, operand).is_float()
        }
        _ => false,
    }
}
