//! Matrix products of bf16 by instructions that multiply pairs: AVX-512's `vdpbf16ps`, and AMX tiles.
//!
//! The loops are those of [`super::gemm`]. Operands are packed as pairs of factors that follow each other
//! along the depth, 32 bits each, which both kinds of instruction read: lhs row by row, rhs in panels of
//! columns, pair by pair. A factor that is a rounded f32 is rounded while it is packed.
//!
//! The products of bf16 factors are exact in f32. Both instructions take denormal numbers as zeros and
//! give zeros for denormal results, and both add in their own, fixed order (Intel's manual, volume 2: VDPBF16PS,
//! TDPBF16PS): results differ from those of other levels by the rounding of sums, and by 2⁻¹²⁶ per product.

mod drive;
mod micro;
mod pack;

pub use drive::emit;
pub use micro::Call;

use super::env::dtype_of;
use super::gemm::{self, access::Found};
use super::level::Level;
use crate::tuning::Sizes;
use einmesh_ir::{DType, Expr, IndexId};
use einmesh_schedule::kernel::{Contraction, Kernel};

/// Lanes of f32, or of pairs of bf16.
pub const LANES: u64 = 16;
/// What multiplies.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Form {
    /// Dot products of pairs in vector registers.
    Dots,
    /// Tiles of 16 rows and 16 columns.
    Tiles,
}

impl Form {
    /// Packed depths are multiples of so many pairs.
    fn unit(self) -> u64 {
        match self {
            Form::Dots => micro::UNROLL,
            Form::Tiles => LANES,
        }
    }
}

/// The sizes that a product is computed with. "Rows" are m, "columns" n, "depth" k.
#[derive(Clone, PartialEq, Debug)]
pub struct Plan {
    /// What multiplies.
    pub form: Form,
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
    /// Rows of a block, a multiple of `tile_rows`.
    pub block_rows: u64,
    /// Columns of a block, a multiple of [`Plan::panel`].
    pub block_columns: u64,
    /// Depth of a step, a multiple of 32.
    pub step: u64,
    /// Rows packed at a time, a multiple of `tile_rows`.
    pub packed_rows: u64,
    /// Pairs from one packed row of lhs to the next, the same for all plans of a level. A multiple of 4096
    /// bytes would put all rows into one set of the cache.
    pub lhs_stride: u64,
}

impl Plan {
    /// Columns of the micro-kernel.
    pub fn panel(&self) -> u64 {
        self.tile_vectors * LANES
    }

    /// Numbers from one row of sums to the next.
    pub fn sums_stride(&self) -> u64 {
        self.block_columns + LANES
    }

    /// Blocks along the rows.
    pub fn row_blocks(&self) -> u64 {
        self.rows.div_ceil(self.block_rows)
    }

    /// Blocks along the columns.
    pub fn column_blocks(&self) -> u64 {
        self.columns.div_ceil(self.block_columns)
    }
}

/// How a contraction is computed by products of pairs, and with which sides exchanged and factors of bf16;
/// `None` if the level has none, its numbers are others, or it is not worth it.
pub fn plan(
    kernel: &Kernel,
    contraction: &Contraction,
    level: Level,
    sizes: &Sizes,
) -> Option<(Plan, Contraction)> {
    let form = level.products()?;
    if contraction.accumulator != DType::F32 {
        return None;
    }
    let mut c = gemm::oriented(kernel, contraction);
    c.lhs = narrow(kernel, &c.lhs)?;
    c.rhs = narrow(kernel, &c.rhs)?;
    let size = |group: &[IndexId]| -> u64 {
        group.iter().map(|i| kernel.indices[i.0 as usize].extent).product()
    };
    let (rows, columns, depth, batch) = (size(&c.m), size(&c.n), size(&c.k), size(&c.batch));
    // Narrower than this, most of a register tile is padding, and packing costs more than it saves; few rows wait
    // for memory, and are multiplied with what lies there.
    if rows <= gemm::FEW_ROWS || 2 * columns <= LANES || depth < 8 || batch == 0 {
        return None;
    }
    let most_rows = sizes.tile_rows;
    let most_vectors = if form == Form::Tiles { 2 } else { sizes.tile_vectors };
    let tile_vectors = if columns <= LANES { 1 } else { most_vectors };
    let tile_rows = match form {
        Form::Tiles => 16,
        // The number of rows that leaves the least padding.
        Form::Dots => (most_rows.div_ceil(2)..=most_rows)
            .rev()
            .min_by_key(|r| rows.next_multiple_of(*r))
            .unwrap_or(most_rows)
            .min(rows),
    };
    let panel = tile_vectors * LANES;
    let even = |whole: u64, most: u64, unit: u64| {
        let parts = whole.div_ceil(most);
        whole.div_ceil(parts).next_multiple_of(unit)
    };
    let mut block_rows = even(rows, sizes.block_rows, tile_rows);
    let mut block_columns = even(columns, sizes.block_columns, panel);
    loop {
        let blocks = batch * rows.div_ceil(block_rows) * columns.div_ceil(block_columns);
        let flops = 2 * block_rows * block_columns * depth;
        if blocks >= sizes.blocks || flops < 2 * sizes.block_flops {
            break;
        }
        let halved_rows = even(block_rows, block_rows.div_ceil(2), tile_rows);
        let halved_columns = even(block_columns, block_columns.div_ceil(2), panel);
        if block_columns >= block_rows && halved_columns < block_columns {
            block_columns = halved_columns;
        } else if halved_rows < block_rows {
            block_rows = halved_rows;
        } else {
            break;
        }
    }
    if let Some(lies) = panels(kernel, &c.rhs, &c.n, &c.k) {
        c.k.clone_from(&lies.along);
    }
    let step = sizes.step_bytes / 2;
    let plan = Plan {
        form,
        tile_rows,
        tile_vectors,
        rows,
        columns,
        depth,
        batch,
        block_rows,
        block_columns,
        step: step.min(depth.next_multiple_of(2 * LANES)),
        packed_rows: even(block_rows, sizes.packed_rows, tile_rows),
        lhs_stride: step / 2 + LANES,
    };
    Some((plan, c))
}

/// The panels of whole vectors that a factor of bf16 lies in, if it is a parameter.
fn panels(kernel: &Kernel, factor: &Expr, across: &[IndexId], along: &[IndexId]) -> Option<Found> {
    gemm::access::panels(kernel, factor, DType::Bf16, across, along)
        .filter(|lies| lies.width.is_multiple_of(LANES))
}

/// A factor as an expression of bf16, if that is what its numbers are.
fn narrow(kernel: &Kernel, factor: &Expr) -> Option<Expr> {
    match factor {
        _ if dtype_of(kernel, factor) == DType::Bf16 => Some(factor.clone()),
        Expr::Cast(DType::F32, inner) => narrow(kernel, inner),
        _ => None,
    }
}
