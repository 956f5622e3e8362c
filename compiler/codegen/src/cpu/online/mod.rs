//! Online softmax: the rows of a matrix product are reduced block by block, while a running maximum and a
//! running sum of exponentials are kept per row (Milakov and Gimelshein 2018); sums weighted by the
//! exponentials are rescaled as the maximum grows (Dao et al. 2022). No row is ever stored.
//!
//! A tile owns a chunk of rows of one batch and walks along the keys (the index n) in blocks. For each block
//! it packs keys and values, and for each group of rows: computes the scores in registers, evaluates them row by
//! row, and adds the weighted values to the rows' sums. Each row has a range of keys that the guard's comparisons
//! amount to; blocks, panels and groups outside of all ranges are skipped. If there are few rows, the keys are
//! split in parts as well, whose states a second phase merges in order: results never depend on who ran what. Very few
//! rows, as in a decode step, read keys and values where they lie (`direct.rs`).

mod direct;
mod drive;
mod finish;
mod packed;
mod row;

pub use drive::emit;

use super::block::{Rows, UNROLL, Vectors};
use super::level::Level;
use super::phase::ALIGN;
use crate::tuning::Sizes;
use einmesh_ir::IndexId;
use einmesh_schedule::kernel::{Kernel, Online};

/// Rows of a tile, about: packing keys for a tile costs as much as some ten rows.
const CHUNK_ROWS: u64 = 256;
/// Keys of a block, at most; their packed memory is bounded by [`BLOCK_BYTES`], to stay in the L2 cache.
const BLOCK_KEYS: u64 = 256;
const BLOCK_BYTES: u64 = 192 << 10;
/// There should be so many tiles, unless they would have less than [`TILE_FLOPS`] to do.
const TILES: u64 = 16;
const TILE_FLOPS: u64 = 2_000_000;
/// Keys and values that are read in place are split in parts of this much at least.
const PART_BYTES: u64 = 256 << 10;

/// The sizes that rows are reduced with. "Rows" are m, "keys" n, "depth" k, "columns" v.
#[derive(Clone, PartialEq, Debug)]
pub struct Plan {
    /// The vectors of sums and scores.
    pub vectors: Vectors,
    /// Rows of the micro-kernels.
    pub tile_rows: u64,
    /// Vectors of keys in a panel.
    pub key_vectors: u64,
    /// Vectors of columns in a panel.
    pub column_vectors: u64,
    /// The whole problem.
    pub rows: u64,
    /// The whole problem.
    pub keys: u64,
    /// The whole problem.
    pub depth: u64,
    /// The whole problem; 0 without a context.
    pub columns: u64,
    /// The number of independent problems.
    pub batch: u64,
    /// Rows of a tile.
    pub chunk: u64,
    /// Keys of a block, a multiple of the keys' panel.
    pub block: u64,
    /// Parts that the keys are split in.
    pub parts: u64,
    /// Keys of a part, a multiple of `block`.
    pub part_keys: u64,
    /// Whether keys and values are read where they lie.
    pub in_place: bool,
}

impl Plan {
    /// The sizes for a kernel.
    pub fn new(kernel: &Kernel, online: &Online, level: Level, sizes: &Sizes) -> Plan {
        let size = |group: &[IndexId]| -> u64 {
            group.iter().map(|i| kernel.indices[i.0 as usize].extent).product()
        };
        let (rows, keys) = (size(&online.m), size(&[online.n]));
        let (depth, batch) = (size(&online.k), size(&online.batch));
        let columns = online.context.as_ref().map_or(0, |c| size(&c.v));
        let vectors = Vectors::of(online.accumulator, level);
        let Vectors { scalar, lanes, .. } = vectors;
        let wide = |extent: u64| if extent <= lanes { 1 } else { sizes.tile_vectors };
        let (key_vectors, column_vectors) = (wide(keys), wide(columns));
        let even = |whole: u64, most: u64| whole.div_ceil(whole.div_ceil(most).max(1)).max(1);
        let mut chunk = even(rows, CHUNK_ROWS);
        let flops = |chunk: u64, keys: u64| 2 * chunk * keys * (depth + columns);
        let tiles = |chunk: u64| (batch * rows.div_ceil(chunk)).max(1);
        let most_rows = sizes.tile_rows;
        while tiles(chunk) < TILES && chunk >= 4 * most_rows && flops(chunk, keys) > 2 * TILE_FLOPS
        {
            chunk = chunk.div_ceil(2);
        }
        let panel = key_vectors * lanes;
        let fitting = BLOCK_BYTES / (scalar.bytes() * (depth + columns).max(1));
        let block = fitting.min(BLOCK_KEYS) / panel * panel;
        let block = block.min(keys.next_multiple_of(panel)).max(panel);
        // The number of rows that costs least: a call costs about a quarter of a row besides its rows.
        let tile_rows = (most_rows.div_ceil(2)..=most_rows)
            .rev()
            .min_by_key(|r| chunk.div_ceil(*r) * (4 * r + 1))
            .unwrap_or(most_rows)
            .min(chunk);
        let mut plan = Plan {
            vectors,
            tile_rows,
            key_vectors,
            column_vectors,
            rows,
            keys,
            depth,
            columns,
            batch,
            chunk,
            block,
            parts: 1,
            part_keys: 0,
            in_place: false,
        };
        plan.in_place = direct::suits(kernel, online, &plan);
        let wanted = TILES.div_ceil(tiles(chunk));
        let affordable = match plan.in_place {
            true => keys * (depth + columns) * scalar.bytes() / PART_BYTES,
            false => flops(chunk, keys) / TILE_FLOPS,
        };
        let blocks = keys.div_ceil(block).max(1);
        let part_blocks = blocks.div_ceil(wanted.min(affordable.max(1)));
        plan.parts = blocks.div_ceil(part_blocks);
        plan.part_keys = part_blocks * block;
        plan
    }

    /// The rows of a tile.
    pub fn rows_of<'p>(&self, online: &'p Online) -> Rows<'p> {
        let (of_group, groups) = (self.tile_rows, self.groups());
        Rows { m: &online.m, all: self.rows, of_group, groups, keys: self.keys }
    }

    /// Tiles along the rows.
    pub fn chunks(&self) -> u64 {
        self.rows.div_ceil(self.chunk)
    }

    /// Groups of rows in a tile.
    pub fn groups(&self) -> u64 {
        self.chunk.div_ceil(self.tile_rows)
    }

    /// Rows of a tile's memory: whole groups.
    pub fn padded_rows(&self) -> u64 {
        self.groups() * self.tile_rows
    }

    /// Keys of a panel.
    pub fn key_panel(&self) -> u64 {
        self.key_vectors * self.vectors.lanes
    }

    /// Columns of a panel.
    pub fn column_panel(&self) -> u64 {
        self.column_vectors * self.vectors.lanes
    }

    /// Elements from one packed row of lhs to the next; not a power of two, which would put all rows into
    /// one set of the cache.
    pub fn lhs_stride(&self) -> u64 {
        self.padded_depth() + self.vectors.lanes
    }

    /// The depth that is packed: whole vectors.
    pub fn padded_depth(&self) -> u64 {
        self.depth.next_multiple_of(self.vectors.lanes)
    }

    /// Elements from one row of scores to the next; as above.
    pub fn score_stride(&self) -> u64 {
        self.block + self.vectors.lanes
    }

    /// Elements from one row of sums to the next.
    pub fn sum_stride(&self) -> u64 {
        self.columns.next_multiple_of(self.column_panel())
    }

    fn bytes(&self, elements: u64) -> u64 {
        (elements * self.vectors.scalar.bytes()).next_multiple_of(ALIGN)
    }
}

/// The state of a chunk's rows: where its parts are, in bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct StateLayout {
    /// The running maxima.
    pub top: u64,
    /// The running sums of exponentials.
    pub total: u64,
    /// 1 for rows that have any point, else 0.
    pub seen: u64,
    /// The running weighted sums.
    pub sums: u64,
    /// All.
    pub bytes: u64,
}

impl StateLayout {
    /// The layout of a plan's chunks.
    pub fn new(plan: &Plan) -> StateLayout {
        let rows = plan.bytes(plan.padded_rows());
        let sums = plan.bytes(plan.padded_rows() * plan.sum_stride());
        StateLayout { top: 0, total: rows, seen: 2 * rows, sums: 3 * rows, bytes: 3 * rows + sums }
    }
}
