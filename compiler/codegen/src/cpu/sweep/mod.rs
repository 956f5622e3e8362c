//! Sums over the points of matrix products that are never stored: the gradients of attention.
//!
//! A tile owns a batch, or a part of a batch's keys (the index n), and walks along its keys in blocks and, for each, along
//! all rows in blocks: the loops of FlashAttention-2's backward pass (Dao 2023). For a block of rows and keys it
//! computes the products and, row by row, the weights in scratch memory, and adds the weighted values to the sums of
//! the block's keys, which end with the loop over rows, and to those of its rows, which the tile holds for all rows. Each row
//! has a range of keys that the guard's comparisons amount to; groups of rows have nothing to do outside of it. If batches are
//! few, the sums of rows of several parts are added by a second phase, in order: results never depend on who ran what.

mod drive;
mod finish;
mod layout;
mod row;

pub use drive::emit;

use super::block::{Micro, Rows, Vectors};
use super::level::Level;
use crate::tuning::Sizes;
use einmesh_ir::IndexId;
use einmesh_schedule::kernel::{Kernel, Sweep};

/// Keys of a block, about: what is packed of them and their sums stay in the L2 cache.
const BLOCK_KEYS: u64 = 128;
/// Rows of a block, about: so many products are added up in registers before they are added to the sums of keys.
const BLOCK_ROWS: u64 = 64;
/// There should be so many tiles, if batches can be split in parts. Each part has sums for all rows.
const TILES: u64 = 8;

/// The sizes that a sweep runs with. "Rows" are m, "keys" n.
#[derive(Clone, PartialEq, Debug)]
pub struct Plan {
    /// The vectors of products and sums.
    pub vectors: Vectors,
    /// The whole problem.
    pub rows: u64,
    /// The whole problem.
    pub keys: u64,
    /// The number of independent problems.
    pub batch: u64,
    /// Rows of the micro-kernels, where rows are rows.
    pub tile_rows: u64,
    /// Groups of so many rows in a block of rows.
    pub groups: u64,
    /// Rows of the micro-kernels, where keys are rows.
    pub tile_keys: u64,
    /// Vectors of keys in a panel.
    pub key_vectors: u64,
    /// Keys of a block, a multiple of the keys' panel.
    pub block: u64,
    /// Parts that the keys of a batch are split in.
    pub parts: u64,
    /// Keys of a part, a multiple of `block`.
    pub part_keys: u64,
    /// The depth of each product.
    pub depths: Vec<u64>,
    /// The columns of each sum.
    pub columns: Vec<Columns>,
}

/// The columns of a sum.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Columns {
    /// How many there are.
    pub count: u64,
    /// Vectors of a panel of them.
    pub panel: u64,
    /// Elements from one row of the sums to the next: whole panels.
    pub stride: u64,
}

impl Plan {
    /// The sizes for a kernel.
    pub fn new(kernel: &Kernel, sweep: &Sweep, level: Level, sizes: &Sizes) -> Plan {
        let size = |group: &[IndexId]| -> u64 {
            group.iter().map(|i| kernel.indices[i.0 as usize].extent).product()
        };
        let vectors = Vectors::of(sweep.accumulator, level);
        let lanes = vectors.lanes;
        let (rows, keys, batch) = (size(&sweep.m), size(&[sweep.n]), size(&sweep.batch));
        let wide = |extent: u64| if extent <= lanes { 1 } else { sizes.tile_vectors };
        // The number of rows that costs least: a call costs about a quarter of a row besides its rows.
        let most = sizes.tile_rows;
        let cheapest = |count: u64| {
            let all = (most.div_ceil(2)..=most).rev();
            let best = all.min_by_key(|r| count.div_ceil(*r) * (4 * r + 1)).unwrap_or(most);
            best.min(count).max(1)
        };
        let key_vectors = wide(keys);
        let blocks = keys.div_ceil(BLOCK_KEYS).max(1);
        let block = keys.div_ceil(blocks).next_multiple_of(key_vectors * lanes);
        let block = block.max(key_vectors * lanes);
        let tile_rows = cheapest(rows);
        let blocks = keys.div_ceil(block).max(1);
        let part_blocks = blocks.div_ceil(TILES.div_ceil(batch.max(1)));
        Plan {
            vectors,
            rows,
            keys,
            batch,
            tile_rows,
            groups: (BLOCK_ROWS / tile_rows).clamp(1, rows.div_ceil(tile_rows).max(1)),
            tile_keys: cheapest(block),
            key_vectors,
            block,
            parts: blocks.div_ceil(part_blocks),
            part_keys: part_blocks * block,
            depths: sweep.products.iter().map(|p| size(&p.k)).collect(),
            columns: sweep
                .sums
                .iter()
                .map(|sum| {
                    let count = size(&sum.v);
                    let panel = wide(count);
                    Columns { count, panel, stride: count.next_multiple_of(panel * lanes) }
                })
                .collect(),
        }
    }

    /// The rows of a block.
    pub fn rows_of<'p>(&self, sweep: &'p Sweep) -> Rows<'p> {
        let (of_group, groups) = (self.tile_rows, self.groups);
        Rows { m: &sweep.m, all: self.rows, of_group, groups, keys: self.keys }
    }

    /// Rows of a block.
    pub fn block_rows(&self) -> u64 {
        self.groups * self.tile_rows
    }

    /// Rows of all blocks, which may be more than there are.
    pub fn padded_rows(&self) -> u64 {
        self.rows.next_multiple_of(self.block_rows())
    }

    /// Keys of a panel.
    pub fn key_panel(&self) -> u64 {
        self.key_vectors * self.vectors.lanes
    }

    /// Keys of a block's groups, which may be more than a block has.
    pub fn padded_keys(&self) -> u64 {
        self.block.next_multiple_of(self.tile_keys)
    }

    /// Elements from one packed row of a product's left factor to the next; not a power of two, which would put all
    /// rows into one set of the cache.
    pub fn lhs_stride(&self, product: usize) -> u64 {
        self.padded_depth(product) + self.vectors.lanes
    }

    /// The depth that is packed of a product: whole vectors.
    pub fn padded_depth(&self, product: usize) -> u64 {
        self.depths[product].next_multiple_of(self.vectors.lanes)
    }

    /// Weights of a row in a block, whole vectors.
    pub fn weight_width(&self) -> u64 {
        self.padded_keys().next_multiple_of(self.vectors.lanes)
    }

    /// Elements from one row of weights to the next; as above.
    pub fn weight_stride(&self) -> u64 {
        self.weight_width() + self.vectors.lanes
    }

    /// The micro-kernel of the products.
    pub fn product_kernel(&self) -> Micro {
        self.micro(self.tile_rows, self.key_vectors, false)
    }

    /// The micro-kernel of a sum.
    pub fn sum_kernel(&self, of_columns: bool, columns: Columns) -> Micro {
        let rows = if of_columns { self.tile_keys } else { self.tile_rows };
        self.micro(rows, columns.panel, of_columns)
    }

    fn micro(&self, rows: u64, columns: u64, turned: bool) -> Micro {
        Micro { vectors: self.vectors, rows, columns, turned }
    }
}
