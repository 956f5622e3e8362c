//! Matrix products with blocks of fixed sizes (Goto and van de Geijn 2008; Van Zee and van de Geijn 2015).
//!
//! One index of each of the groups m, n and k is blocked; those besides it are walked outside, those of k within a tile.
//! A tile owns a block of the result and walks along the sum in steps. Within a step it packs its rows of the left
//! factor, and panel by panel its columns of the right one, unless there are so few that reading them where they lie is
//! better. Each element's sum is accumulated in the order of k, whatever the extents and tiles are.

use super::pack::{self, Factor, beside, plain};
use super::place::{Binding, Place, Source};
use super::shape::Shape;
use super::tiles::{self, Split};
use crate::build::{Builder, Cmp, Scalar, Ty, V};
use crate::cpu::block::round_down;
use crate::cpu::gemm::Step;
use crate::cpu::gemm::micro::{Call, Tile};
use crate::cpu::level::Level;
use crate::cpu::phase::ALIGN;
use crate::cpu::value::{Val, register};
use crate::tuning::Sizes;
use einmesh_ir::{Expr, IndexId, Load};
use einmesh_schedule::kernel::Contraction;
use std::collections::BTreeSet;

/// Columns of a tile of the result, at most.
const COLUMNS: u64 = 512;
/// Up to so many panels the left factor is better read where it lies than copied.
const FEW_PANELS: i64 = 4;
/// Up to so many tiles of rows the right factor is.
const FEW_ROW_TILES: i64 = 2;
/// A row that is alone is multiplied with so many panels at a time: that many sums hide the latency of an addition.
const PANELS_OF_A_ROW: u64 = 4;
/// So many depths ahead a packed panel is asked for.
const AHEAD: u64 = 12;

/// How a product is computed.
pub struct Plan {
    c: Contraction,
    /// Batch indices, and those of m and n that are not blocked.
    outer: Vec<IndexId>,
    m: IndexId,
    n: IndexId,
    k: IndexId,
    /// The indices of k that are not blocked.
    others: Vec<IndexId>,
    /// The largest micro-kernel.
    tile: Tile,
    /// The rows of smaller ones, largest first; the last has one.
    fewer: Vec<u64>,
    /// Rows of a tile of the result.
    rows: u64,
    /// Depths of a step.
    depth: u64,
    /// Whether rows are packed in tiles, because they lie side by side.
    in_tiles: bool,
    /// Whether sums of whole panels are the result.
    stores_sums: bool,
    /// How the result is shared out.
    pub tiles: Vec<Split>,
}

/// How a contraction is computed as a matrix product at a level; `None` if one side has no indices.
pub fn plan(shape: &Shape, c: &Contraction, level: Level, sizes: &Sizes) -> Option<Plan> {
    let mut c = c.clone();
    // Lanes run along columns: those should be what lies side by side in the result.
    let last = c.target.subs.last();
    if last.is_some_and(|sub| c.m.iter().any(|i| *sub == Expr::Index(*i))) {
        std::mem::swap(&mut c.m, &mut c.n);
        std::mem::swap(&mut c.lhs, &mut c.rhs);
    }
    let example = |i: IndexId| shape.kernel.indices[i.0 as usize].extent;
    let preferred = |group: &[IndexId], good: &dyn Fn(IndexId) -> bool| {
        let long = |i: IndexId| example(i) >= 16;
        group.iter().rev().copied().max_by_key(|i| (long(*i), good(*i), example(*i)))
    };
    let at_end = c.target.subs.last().cloned();
    let n = preferred(&c.n, &|i| at_end == Some(Expr::Index(i)))?;
    let k = preferred(&c.k, &|i| beside(&c.lhs, i) || beside(&c.rhs, i))?;
    let m = preferred(&c.m, &|_| false)?;
    let rest = |group: &[IndexId], main: IndexId| -> Vec<IndexId> {
        group.iter().copied().filter(|i| *i != main).collect()
    };
    let outer = [c.batch.clone(), rest(&c.m, m), rest(&c.n, n)].concat();
    let others = rest(&c.k, k);
    let scalar = register(c.accumulator);
    let lanes = u64::from(level.lanes(scalar));
    let tile = Tile::of(scalar, lanes, sizes.tile_rows, sizes.tile_vectors);
    let fewer = if tile.rows > 4 { vec![4, 1] } else { vec![1] };
    let rows = (sizes.packed_rows * 4 / 3 / tile.rows).max(1) * tile.rows;
    let depth = (sizes.step_bytes / scalar.bytes()).next_multiple_of(lanes);
    let mut tiles: Vec<Split> =
        outer.iter().map(|i| Split { size: shape.size(*i).clone(), block: 1 }).collect();
    tiles.push(Split { size: shape.size(m).clone(), block: rows });
    tiles.push(Split { size: shape.size(n).clone(), block: COLUMNS });
    let in_tiles = beside(&c.lhs, m) && !beside(&c.lhs, k);
    let memory = &shape.kernel.values[c.target.value.0 as usize];
    let is_sum = matches!(&c.epilogue, Expr::Load(load) if load.value == c.acc);
    let lies = c.target.subs.iter().all(|sub| matches!(sub, Expr::Index(_)));
    let ends = c.target.subs.last() == Some(&Expr::Index(n));
    let stores_sums = is_sum && lies && ends && memory.dtype == c.accumulator;
    Some(Plan { c, outer, m, n, k, others, tile, fewer, rows, depth, in_tiles, stores_sums, tiles })
}

/// Where things are in scratch memory: what of the factors is packed, sums between steps, finished sums of a tile.
#[derive(Clone, Copy)]
struct Scratch<'c> {
    lhs: V<'c>,
    rhs: V<'c>,
    kept: V<'c>,
    sums: V<'c>,
}

/// The left factor of a step: at the tile's first row, and how far rows and depths are apart.
#[derive(Clone, Copy)]
struct Left<'c> {
    start: V<'c>,
    row: V<'c>,
    depth: V<'c>,
}

/// A panel of the right factor.
struct Panel<'c> {
    /// Counted from the tile's first.
    number: V<'c>,
    /// Its columns.
    columns: pack::Part<'c>,
    /// How many vectors these are at most.
    vectors: u64,
    /// Whether they are the columns of a micro-kernel, all of which may be read and written where they lie.
    whole: V<'c>,
    right: Right<'c>,
}

/// Where a panel of the right factor is, how far depths are apart, and how far ahead to ask for more.
#[derive(Clone, Copy)]
struct Right<'c> {
    start: V<'c>,
    depth: V<'c>,
    ahead: V<'c>,
}

impl Plan {
    fn sizes(&self) -> [u64; 4] {
        let panels = COLUMNS.div_ceil(self.tile.columns());
        let lhs = match self.in_tiles {
            true => self.rows.div_ceil(self.tile.rows) * self.depth * self.tile_width(),
            false => self.rows * self.row_stride(),
        };
        let kept = panels * self.rows * self.tile.columns();
        let sums = self.tile.elements().max(self.row().elements());
        [lhs, self.depth * self.tile.columns(), kept, sums]
            .map(|elements| (elements * self.tile.scalar.bytes()).next_multiple_of(ALIGN))
    }

    /// Bytes of scratch memory.
    pub fn scratch_bytes(&self) -> u64 {
        self.sizes().iter().sum()
    }

    /// From one packed row to the next: no multiple of 4096 bytes, which would put all rows into one set of the cache.
    fn row_stride(&self) -> u64 {
        self.depth + 64 / self.tile.scalar.bytes()
    }

    /// From one depth of a packed tile to the next.
    fn tile_width(&self) -> u64 {
        self.tile.rows.next_multiple_of(self.tile.lanes)
    }

    /// The numbers of rows of micro-kernels, largest first.
    fn row_counts(&self) -> impl Iterator<Item = u64> {
        std::iter::once(self.tile.rows).chain(self.fewer.iter().copied())
    }

    /// The micro-kernel of a row that is alone. What it keeps lies where other rows of its first panel would.
    fn row(&self) -> Tile {
        let panels = PANELS_OF_A_ROW.min(self.rows);
        Tile { rows: 1, vectors: panels * self.tile.vectors, ..self.tile }
    }

    /// Adds the micro-kernels to a module.
    pub fn define(&self, b: &Builder<'_>, functions: &mut BTreeSet<String>) {
        for rows in self.row_counts() {
            for vectors in [self.tile.vectors, 1] {
                Tile { rows, vectors, ..self.tile }.define_once(b, functions);
            }
        }
        self.row().define_once(b, functions);
    }

    /// Computes tiles.
    pub fn emit<'c>(&self, place: &Place<'c, '_>, scratch: V<'c>, begin: V<'c>, end: V<'c>) {
        let b = place.b;
        let mut next = 0;
        let [lhs, rhs, kept, sums] = self.sizes().map(|size| {
            let at = b.byte_offset(scratch, next);
            next += size as i64;
            at
        });
        let scratch = Scratch { lhs, rhs, kept, sums };
        tiles::each(b, &place.ints, &self.tiles, (begin, end), |firsts| {
            let mut place = place.clone();
            for (index, first) in self.outer.iter().zip(firsts) {
                place.bindings[index.0 as usize] = Binding::Uniform(*first);
            }
            let [.., row, column] = firsts else { unreachable!("rows and columns are split") };
            let part = |index: IndexId, first: V<'c>, most: u64| {
                (first, b.smin(b.sub(place.extent(index), first), b.index(most as i64)))
            };
            let (rows, columns) = (part(self.m, *row, self.rows), part(self.n, *column, COLUMNS));
            self.steps(&place, scratch, rows, columns);
        });
    }

    /// All steps of a tile of the result.
    fn steps<'c>(
        &self,
        place: &Place<'c, '_>,
        scratch: Scratch<'c>,
        rows: pack::Part<'c>,
        columns: pack::Part<'c>,
    ) {
        let b = place.b;
        let (zero, one) = (b.index(0), b.index(1));
        let deep = b.index(self.depth as i64);
        let mut depth = place.extent(self.k);
        for index in &self.others {
            let none = b.cmp(Cmp::Eq, place.extent(*index), zero);
            depth = b.select(none, zero, depth);
        }
        // Of no points there is one step, too: it stores what sums of nothing give.
        let along = b.smax(b.udiv(b.add(depth, b.sub(deep, one)), deep), one);
        let at_least_one = |i: &IndexId| b.smax(place.extent(*i), one);
        let others: Vec<V<'c>> = self.others.iter().map(at_least_one).collect();
        let all = others.iter().fold(along, |all, n| b.mul(all, *n));
        b.for_each(zero, all, 1, |number| {
            let mut place = place.clone();
            let (mut rest, mut within) = (number, number);
            if !others.is_empty() {
                (within, rest) = (b.urem(number, along), b.udiv(number, along));
            }
            for (n, (index, size)) in self.others.iter().zip(&others).enumerate().rev() {
                let at = if n == 0 { rest } else { b.urem(rest, *size) };
                rest = b.udiv(rest, *size);
                place.bindings[index.0 as usize] = Binding::Uniform(at);
            }
            let first_depth = b.mul(within, deep);
            let step = Step {
                depth: first_depth,
                depths: b.smin(b.sub(depth, first_depth), deep),
                first: b.zext(b.cmp(Cmp::Eq, number, zero), Scalar::I64),
                last: b.cmp(Cmp::Eq, b.add(number, one), all),
            };
            self.step(&place, scratch, &step, rows, columns);
        });
    }

    /// Adds the products of one step's depths.
    fn step<'c>(
        &self,
        place: &Place<'c, '_>,
        scratch: Scratch<'c>,
        step: &Step<'c>,
        rows: pack::Part<'c>,
        columns: pack::Part<'c>,
    ) {
        let b = place.b;
        let width = b.index(self.tile.columns() as i64);
        let left = self.left(place, scratch, step, rows, columns.1);
        let mut done = b.index(0);
        if let Some(load) = self.right_lies(place) {
            let tile = self.row();
            let alone = b.cmp(Cmp::Eq, rows.1, b.index(1));
            let end = b.select(alone, round_down(b, columns.1, tile.columns()), done);
            b.for_each(done, end, tile.columns() as i64, |at| {
                let columns = (b.add(columns.0, at), b.index(tile.columns() as i64));
                let right = self.right_there(place, load, step, columns.0);
                let whole = b.int(Ty::scalar(Scalar::I1), 1);
                let number = b.udiv(at, width);
                let panel = Panel { number, columns, vectors: tile.vectors, whole, right };
                self.rows(place, scratch, step, (left, &panel), (rows.0, b.index(0), 1));
            });
            done = end;
        }
        b.for_each(done, columns.1, self.tile.columns() as i64, |at| {
            let columns = (b.add(columns.0, at), b.smin(b.sub(columns.1, at), width));
            let vector = b.cmp(Cmp::Eq, columns.1, b.index(self.tile.lanes as i64));
            let whole = b.or(b.cmp(Cmp::Eq, columns.1, width), vector);
            let right = self.right(place, scratch, step, rows.1, columns, whole);
            let number = b.udiv(at, width);
            let panel = Panel { number, columns, vectors: self.tile.vectors, whole, right };
            self.multiply(place, scratch, step, (left, &panel), rows);
        });
    }

    /// The left factor's rows, packed unless there are few columns.
    fn left<'c>(
        &self,
        place: &Place<'c, '_>,
        scratch: Scratch<'c>,
        step: &Step<'c>,
        rows: pack::Part<'c>,
        columns: V<'c>,
    ) -> Left<'c> {
        let b = place.b;
        let c = &self.c;
        let factor = Factor { expr: &c.lhs, across: self.m, along: self.k, dtype: c.accumulator };
        let depths = (step.depth, step.depths);
        let packed = || {
            let into = scratch.lhs;
            let (row, depth) = match self.in_tiles {
                true => {
                    let form = (self.depth, self.tile_width());
                    factor.pack_tiles(place, &self.tile, into, form, (rows, depths));
                    (1, self.tile_width())
                }
                false => {
                    let stride = self.row_stride();
                    factor.pack_rows(place, &self.tile, into, stride, (rows, depths));
                    (stride, 1)
                }
            };
            vec![into, b.index(row as i64), b.index(depth as i64)]
        };
        let lies = plain(place.extents.shape, &factor)
            .filter(|_| !self.in_tiles && beside(&c.lhs, self.k));
        let found = match lies {
            None => packed(),
            Some(load) => {
                let few = b.index(FEW_PANELS * self.tile.columns() as i64);
                let there = || {
                    let place = place.with(self.m, Binding::Uniform(rows.0));
                    let place = place.with(self.k, Binding::Uniform(step.depth));
                    let row = place.stride(load.value, &load.subs, self.m);
                    vec![place.element(load.value, &load.subs), row, b.index(1)]
                };
                b.if_else(b.cmp(Cmp::Le, columns, few), there, packed)
            }
        };
        Left { start: found[0], row: found[1], depth: found[2] }
    }

    fn right_factor(&self) -> Factor<'_> {
        let c = &self.c;
        Factor { expr: &c.rhs, across: self.n, along: self.k, dtype: c.accumulator }
    }

    /// The right factor, if its panels can be read where they lie.
    fn right_lies(&self, place: &Place<'_, '_>) -> Option<&Load> {
        plain(place.extents.shape, &self.right_factor()).filter(|_| beside(&self.c.rhs, self.n))
    }

    /// The panel that begins at a column, where it lies.
    fn right_there<'c>(
        &self,
        place: &Place<'c, '_>,
        load: &Load,
        step: &Step<'c>,
        column: V<'c>,
    ) -> Right<'c> {
        let place = place.with(self.n, Binding::Uniform(column));
        let place = place.with(self.k, Binding::Uniform(step.depth));
        Right {
            start: place.element(load.value, &load.subs),
            depth: place.stride(load.value, &load.subs, self.k),
            ahead: place.b.index((self.tile.columns() * self.tile.scalar.bytes()) as i64),
        }
    }

    /// A panel of the right factor, packed unless there are few rows and it is `whole`.
    fn right<'c>(
        &self,
        place: &Place<'c, '_>,
        scratch: Scratch<'c>,
        step: &Step<'c>,
        rows: V<'c>,
        columns: pack::Part<'c>,
        whole: V<'c>,
    ) -> Right<'c> {
        let b = place.b;
        let width = self.tile.columns();
        let packed = || {
            let depths = (step.depth, step.depths);
            self.right_factor().pack_panel(place, &self.tile, scratch.rhs, (columns, depths));
            let ahead = b.index((AHEAD * width * self.tile.scalar.bytes()) as i64);
            Right { start: scratch.rhs, depth: b.index(width as i64), ahead }
        };
        let Some(load) = self.right_lies(place) else { return packed() };
        let list = |right: Right<'c>| vec![right.start, right.depth, right.ahead];
        let few = b.cmp(Cmp::Le, rows, b.index(FEW_ROW_TILES * self.tile.rows as i64));
        let there = || list(self.right_there(place, load, step, columns.0));
        let found = b.if_else(b.and(whole, few), there, || list(packed()));
        Right { start: found[0], depth: found[1], ahead: found[2] }
    }

    /// Multiplies the rows of a tile of the result with a panel; after the last step, stores the sums.
    fn multiply<'c>(
        &self,
        place: &Place<'c, '_>,
        scratch: Scratch<'c>,
        step: &Step<'c>,
        (left, panel): (Left<'c>, &Panel<'c>),
        rows: pack::Part<'c>,
    ) {
        let b = place.b;
        let mut from = b.index(0);
        for count in self.row_counts() {
            let end = b.add(from, round_down(b, b.sub(rows.1, from), count));
            b.for_each(from, end, count as i64, |row| {
                self.rows(place, scratch, step, (left, panel), (b.add(rows.0, row), row, count));
            });
            from = end;
        }
    }

    /// As [`Plan::multiply`], so many rows from one on, which is counted from the tile's first as well.
    fn rows<'c>(
        &self,
        place: &Place<'c, '_>,
        scratch: Scratch<'c>,
        step: &Step<'c>,
        (left, panel): (Left<'c>, &Panel<'c>),
        (first, row, count): (V<'c>, V<'c>, u64),
    ) {
        let b = place.b;
        let scalar = self.tile.scalar;
        let width = b.index(self.tile.columns() as i64);
        let offset = match self.in_tiles {
            true => {
                let rows = b.index(self.tile.rows as i64);
                let held = b.index((self.depth * self.tile_width()) as i64);
                b.add(b.mul(b.udiv(row, rows), held), b.urem(row, rows))
            }
            false => b.mul(row, left.row),
        };
        let kept = {
            let at = b.add(b.mul(panel.number, b.index(self.rows as i64)), row);
            b.address(scratch.kept, scalar, b.mul(at, width))
        };
        let (mut into, mut into_row) = (scratch.sums, width);
        if self.stores_sums {
            let place = place.with(self.m, Binding::Uniform(first));
            let place = place.with(self.n, Binding::Uniform(panel.columns.0));
            let target = &self.c.target;
            let result = place.element(target.value, &target.subs);
            into = b.select(panel.whole, result, into);
            into_row =
                b.select(panel.whole, place.stride(target.value, &target.subs, self.m), into_row);
        }
        let into = b.select(step.last, into, kept);
        let into_row = b.select(step.last, into_row, width);
        let call = Call {
            lhs: b.address(left.start, scalar, offset),
            lhs_row: left.row,
            lhs_depth: left.depth,
            rhs: panel.right.start,
            rhs_depth: panel.right.depth,
            ahead: panel.right.ahead,
            depth: step.depths,
            from: kept,
            from_row: width,
            first: step.first,
            into,
            into_row,
        };
        let wide = Tile { rows: count, vectors: panel.vectors, ..self.tile };
        let narrow = Tile { vectors: 1, ..wide };
        let run = |micro: Tile| {
            micro.call(b, &call);
            vec![]
        };
        match panel.vectors == self.tile.vectors && wide != narrow {
            true => {
                let fits = b.cmp(Cmp::Le, panel.columns.1, b.index(narrow.columns() as i64));
                b.if_else(fits, || run(narrow), || run(wide))
            }
            false => run(wide),
        };
        let unfinished = match self.stores_sums {
            true => b.and(step.last, b.not(panel.whole)),
            false => step.last,
        };
        b.if_true(unfinished, || self.store(place, scratch.sums, (first, count), panel));
    }

    /// Stores what the epilogue makes of finished sums.
    fn store<'c>(
        &self,
        place: &Place<'c, '_>,
        sums: V<'c>,
        (first, count): (V<'c>, u64),
        panel: &Panel<'c>,
    ) {
        let b = place.b;
        let c = &self.c;
        let lanes = self.tile.lanes as i64;
        let vector = Ty::vector(self.tile.scalar, self.tile.lanes as u32);
        b.for_each(b.index(0), b.index(count as i64), 1, |row| {
            let mut place = place.with(self.m, Binding::Uniform(b.add(first, row)));
            let mut later = c.k.clone();
            later.push(self.n);
            place.hoist(&c.epilogue, &later, &[c.acc], false);
            let start = b.mul(row, b.index(self.tile.columns() as i64));
            let store = |at: V<'c>, masked: bool| {
                let column = b.add(panel.columns.0, at);
                let mut place = place.along(self.n, column, self.tile.lanes as u32);
                if masked {
                    let mask = place.first_lanes(b.sub(panel.columns.1, at));
                    place = place.masked(mask);
                }
                let v = b.load(vector, b.address(sums, self.tile.scalar, b.add(start, at)));
                let dtype = c.accumulator;
                place.sources[c.acc.0 as usize] = Source::Register(Val { v, dtype });
                place.write(&c.target, place.eval(&c.epilogue));
            };
            let whole = round_down(b, panel.columns.1, self.tile.lanes);
            b.for_each(b.index(0), whole, lanes, |at| store(at, false));
            b.if_true(b.cmp(Cmp::Lt, whole, panel.columns.1), || store(whole, true));
        });
    }
}
