//! AMX: eight registers of 16 rows of 64 bytes, and products of two of them.
//!
//! The registers are named outright rather than left to LLVM, which would save and configure them around
//! calls: everything between the configuration and the release is in one function that calls nothing.

use super::dot::{Call, LANES, Plan};
use crate::build::{Builder, Cmp, Scalar, Ty, V};

/// Bytes of a configuration.
pub const CONFIG_BYTES: u64 = 64;
/// Rows of a register.
const ROWS: i64 = LANES as i64;
/// Bytes of a row of a register.
const ROW_BYTES: i64 = 64;

/// Writes the configuration: palette 1, all eight registers whole.
pub fn configure<'c>(b: &Builder<'c>, place: V<'c>) {
    // 64 bytes a row as 16-bit numbers from byte 16 on, 16 rows as bytes from byte 48 on.
    let (widths, rows) = (0x0040_0040_0040_0040, 0x1010_1010_1010_1010);
    for (n, word) in [1, 0, widths, widths, 0, 0, rows, 0].into_iter().enumerate() {
        b.store(b.index(word), b.byte_offset(place, 8 * n as i64));
    }
}

/// A tile register.
#[derive(Clone, Copy)]
struct Tile(i64);

/// The instructions.
struct Tiles<'c, 'b> {
    b: &'b Builder<'c>,
}

impl<'c> Tiles<'c, '_> {
    fn number(&self, tile: Tile) -> V<'c> {
        self.b.int(Ty::scalar(Scalar::I8), tile.0)
    }

    fn zero(&self, tile: Tile) {
        self.b.run_intrinsic("llvm.x86.tilezero", &[self.number(tile)]);
    }

    /// Reads the rows that start at `address`, `stride` bytes apart.
    fn load(&self, tile: Tile, address: V<'c>, stride: V<'c>) {
        self.b.run_intrinsic("llvm.x86.tileloadd64", &[self.number(tile), address, stride]);
    }

    /// Writes the rows.
    fn store(&self, tile: Tile, address: V<'c>, stride: V<'c>) {
        self.b.run_intrinsic("llvm.x86.tilestored64", &[self.number(tile), address, stride]);
    }

    /// `sums += lhs · rhs`, of pairs of bf16.
    fn multiply(&self, sums: Tile, lhs: Tile, rhs: Tile) {
        let operands = [sums, lhs, rhs].map(|tile| self.number(tile));
        self.b.run_intrinsic("llvm.x86.tdpbf16ps", &operands);
    }
}

/// The body of the micro-kernel: blocks of two registers of rows, and a last one.
pub fn tiles<'c>(b: &Builder<'c>, plan: &Plan, call: &Call<'c>) {
    b.run_intrinsic("llvm.x86.ldtilecfg", &[call.config]);
    let zero = b.index(0);
    let two = b.index(2 * ROWS);
    let even = b.mul(b.udiv(call.rows, two), two);
    b.for_each(zero, call.columns, plan.panel() as i64, |column| {
        b.for_each(zero, even, 2 * ROWS, |row| block(b, plan, 2, call, (row, column)));
        b.if_true(b.cmp(Cmp::Lt, even, call.rows), || {
            block(b, plan, 1, call, (even, column));
        });
    });
    b.run_intrinsic("llvm.x86.tilerelease", &[]);
}

/// Sums of `down` registers of rows by a panel.
fn block<'c>(
    b: &Builder<'c>,
    plan: &Plan,
    down: i64,
    call: &Call<'c>,
    (row, column): (V<'c>, V<'c>),
) {
    let across = plan.tile_vectors as i64;
    let tiles = Tiles { b };
    let sum = |i: i64, j: i64| Tile(2 * i + j);
    let (lhs, rhs) = (|i: i64| Tile(4 + i), |j: i64| Tile(6 + j));
    let all: Vec<(i64, i64)> = (0..down).flat_map(|i| (0..across).map(move |j| (i, j))).collect();
    let stride = b.mul(call.stride, b.index(4));
    let place = |i: i64, j: i64| {
        let row = b.add(row, b.index(i * ROWS));
        call.sum(b, row, b.add(column, b.index(j * ROWS)))
    };
    b.if_else(
        b.cmp(Cmp::Ne, call.first, b.index(0)),
        || {
            all.iter().for_each(|(i, j)| tiles.zero(sum(*i, *j)));
            vec![]
        },
        || {
            all.iter().for_each(|(i, j)| tiles.load(sum(*i, *j), place(*i, *j), stride));
            vec![]
        },
    );
    let rows = call.row(b, plan, row);
    let panel = call.panel(b, column);
    let (lhs_stride, rhs_stride) = (4 * plan.lhs_stride as i64, ROW_BYTES * across);
    b.for_each(b.index(0), call.pairs, LANES as i64, |pair| {
        let left = b.address(rows, Scalar::I32, pair);
        let right = b.address(panel, Scalar::I32, b.mul(pair, b.index(across * ROWS)));
        for j in 0..across {
            tiles.load(rhs(j), b.byte_offset(right, j * ROW_BYTES), b.index(rhs_stride));
        }
        for i in 0..down {
            let place = b.byte_offset(left, i * ROWS * lhs_stride);
            tiles.load(lhs(i), place, b.index(lhs_stride));
            for j in 0..across {
                tiles.multiply(sum(i, j), lhs(i), rhs(j));
            }
        }
    });
    all.iter().for_each(|(i, j)| tiles.store(sum(*i, *j), place(*i, *j), stride));
}
