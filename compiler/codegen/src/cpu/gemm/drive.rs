//! A tile of the result: steps along the depth, groups of rows, panels, micro-kernels, the epilogue.

use super::epilogue::{self, Partial, Side};
use super::micro::Call;
use super::pack::{self, Pack};
use super::{Access, Part, Plan};
use crate::build::{Cmp, Scalar, V};
use crate::cpu::env::{Env, Flat};
use crate::cpu::phase::{ALIGN, PhaseShape, Phases, local_bytes};
use crate::error::CompilerBug;
use einmesh_ir::{Expr, IndexId};
use einmesh_schedule::kernel::{Contraction, Kernel};

/// So many depths of a tile of rows are packed before those of the next tile: as many as the L1 cache has ways.
const TOGETHER: i64 = 8;

/// Adds the phases of matrix products with one left operand.
pub fn emit<'c>(
    phases: &mut Phases<'c, '_>,
    kernel: &Kernel,
    contractions: &[Contraction],
    plan: &Plan,
) -> Result<(), CompilerBug> {
    for part in &plan.parts {
        part.tile.define(phases);
        part.narrow().iter().for_each(|tile| tile.define(phases));
    }
    let size = |elements: u64| (elements * plan.tile.scalar.bytes()).next_multiple_of(ALIGN);
    let (before, lhs) = match plan.packed_before {
        true => (size(plan.lhs_elements()), 0),
        false => (0, size(plan.lhs_elements())),
    };
    let parts =
        [lhs, size(plan.rhs_elements()), size(plan.kept_elements()), size(plan.tile.elements())];
    let ctx = |env: &Env<'c, '_>, workspace: V<'c>, scratch: V<'c>| {
        let mut next = 0;
        let [lhs, rhs, kept, sums] = parts.map(|size| {
            let place = env.b.byte_offset(scratch, next);
            next += size as i64;
            place
        });
        let lhs = if plan.packed_before { workspace } else { lhs };
        Ctx { plan, contractions, memory: Memory { lhs, rhs, kept, sums } }
    };
    if plan.packed_before {
        let shape = PhaseShape {
            tiles: plan.batch * plan.row_blocks * plan.row_tiles().div_ceil(plan.group),
            workspace_bytes: before,
            scratch_bytes: local_bytes(kernel),
        };
        phases.add_raw(kernel, shape, |env, workspace, scratch, begin, end| {
            let ctx = ctx(env, workspace, scratch);
            env.b.for_each(begin, end, 1, |tile| ctx.pack(env, tile));
        })?;
    }
    let shape = PhaseShape {
        tiles: plan.batch * plan.row_blocks * plan.column_blocks,
        workspace_bytes: before,
        scratch_bytes: local_bytes(kernel) + parts.iter().sum::<u64>(),
    };
    phases.add_raw(kernel, shape, |env, workspace, scratch, begin, end| {
        let ctx = ctx(env, workspace, scratch);
        env.b.for_each(begin, end, 1, |tile| ctx.tile(env, tile));
    })
}

struct Memory<'c> {
    /// Packed rows: of a group, or all.
    lhs: V<'c>,
    /// Packed panels.
    rhs: V<'c>,
    /// Sums between steps, tile by tile.
    kept: V<'c>,
    /// Finished sums of one tile.
    sums: V<'c>,
}

struct Ctx<'c, 'p> {
    plan: &'p Plan,
    /// One for each of the plan's parts.
    contractions: &'p [Contraction],
    memory: Memory<'c>,
}

/// A block of the result.
struct Block<'c> {
    /// Counted over all rows, and all batches before this one.
    number: V<'c>,
    /// The batch.
    batch: V<'c>,
    first_row: V<'c>,
    rows: V<'c>,
    row_tiles: V<'c>,
    first_panel: V<'c>,
    panels: V<'c>,
}

/// A step along the depth.
pub struct Step<'c> {
    /// Its first depth.
    pub depth: V<'c>,
    /// How many it has.
    pub depths: V<'c>,
    /// Whether it is the first: 0 or 1.
    pub first: V<'c>,
    /// Whether it is the last.
    pub last: V<'c>,
}

/// A panel of columns.
struct Panel<'c, 'p> {
    /// Whose panel it is.
    part: &'p Part,
    /// The same.
    contraction: &'p Contraction,
    /// Counted from the block's first.
    number: V<'c>,
    /// Its first column.
    column: V<'c>,
    /// Columns from there on to the end, at least 1.
    left: V<'c>,
    /// The right operand, and from one depth of it to the next.
    rhs: (V<'c>, V<'c>),
}

/// Rows that a panel is multiplied with, one tile after the other.
struct Group<'c> {
    /// Its first row tile, and the one after the last.
    tiles: (V<'c>, V<'c>),
    /// Its first row, counted from the block's.
    row: V<'c>,
}

impl<'c, 'p> Ctx<'c, 'p> {
    /// Packs a group of rows, all depths of it.
    fn pack(&self, env: &Env<'c, '_>, tile: V<'c>) {
        let b = env.b;
        let plan = self.plan;
        let groups = b.index(plan.row_tiles().div_ceil(plan.group) as i64);
        let (number, group) = (b.udiv(tile, groups), b.urem(tile, groups));
        let zero = b.index(0);
        let (env, block) = self.block(env, number, zero);
        let tiles = b.index(plan.group as i64);
        let first = b.mul(group, tiles);
        let end = b.smin(b.add(first, tiles), block.row_tiles);
        let group = Group { tiles: (first, end), row: self.row(&env, &block, first) };
        let depths = b.index(plan.depth as i64);
        self.pack_lhs(&env, &block, (zero, depths), &group);
    }

    /// The block of a number of rows, counted over all batches, and of columns; and the place in its batch.
    fn block<'k>(
        &self,
        env: &Env<'c, 'k>,
        row_block: V<'c>,
        column_block: V<'c>,
    ) -> (Env<'c, 'k>, Block<'c>) {
        let b = env.b;
        let plan = self.plan;
        let number = |v: u64| b.index(v as i64);
        // Blocks differ by one at most.
        let part = |block: V<'c>, total: u64, blocks: u64| {
            let at = |block| b.udiv(b.mul(block, number(total)), number(blocks));
            let first = at(block);
            (first, b.sub(at(b.add(block, number(1))), first))
        };
        let batch = b.udiv(row_block, number(plan.row_blocks));
        let within = b.urem(row_block, number(plan.row_blocks));
        let (first_row, rows) = part(within, plan.rows, plan.row_blocks);
        let (first_panel, panels) = part(column_block, plan.panels(), plan.column_blocks);
        let row_tiles = self.up(env, rows, plan.tile.rows);
        let env = match self.contractions[0].batch[..] {
            [] => env.clone(),
            ref group => env.with_flat(Flat::of(env, group, batch, None)),
        };
        let number = row_block;
        (env, Block { number, batch, first_row, rows, row_tiles, first_panel, panels })
    }

    /// Computes a tile. Those that follow each other share columns, and so their part of rhs in the cache.
    fn tile(&self, env: &Env<'c, '_>, tile: V<'c>) {
        let b = env.b;
        let plan = self.plan;
        let number = |v: u64| b.index(v as i64);
        let row_block = b.urem(tile, number(plan.row_blocks));
        let rest = b.udiv(tile, number(plan.row_blocks));
        let column_block = b.urem(rest, number(plan.column_blocks));
        let batch = b.udiv(rest, number(plan.column_blocks));
        let row_block = b.add(b.mul(batch, number(plan.row_blocks)), row_block);
        let (env, block) = self.block(env, row_block, column_block);
        b.for_each(b.index(0), number(plan.depth), plan.step as i64, |depth| {
            let left = b.sub(number(plan.depth), depth);
            let is_first = b.cmp(Cmp::Eq, depth, b.index(0));
            let step = Step {
                depth,
                depths: b.smin(number(plan.step), left),
                first: b.zext(is_first, Scalar::I64),
                last: b.cmp(Cmp::Le, left, number(plan.step)),
            };
            self.step(&env, &block, &step);
        });
    }

    /// How many units it takes.
    fn up(&self, env: &Env<'c, '_>, count: V<'c>, unit: u64) -> V<'c> {
        let b = env.b;
        b.udiv(b.add(count, b.index(unit as i64 - 1)), b.index(unit as i64))
    }

    /// The first row of a tile, counted from the block's. The last tile starts early rather than being
    /// smaller: what it has in common with the one before is computed twice, and stored twice alike.
    fn row(&self, env: &Env<'c, '_>, block: &Block<'c>, tile: V<'c>) -> V<'c> {
        let b = env.b;
        let rows = b.index(self.plan.tile.rows as i64);
        b.smin(b.mul(tile, rows), b.sub(block.rows, rows))
    }

    /// Adds the products of one step's depths.
    fn step(&self, env: &Env<'c, '_>, block: &Block<'c>, step: &Step<'c>) {
        let b = env.b;
        let plan = self.plan;
        let zero = b.index(0);
        b.for_each(zero, block.row_tiles, plan.group as i64, |tile| {
            let end = b.smin(b.add(tile, b.index(plan.group as i64)), block.row_tiles);
            let group = Group { tiles: (tile, end), row: self.row(env, block, tile) };
            if !plan.packed_before {
                self.pack_lhs(env, block, (step.depth, step.depths), &group);
            }
            for (part, contraction) in plan.parts.iter().zip(self.contractions) {
                let (first, after) = self.panels(env, block, part);
                b.for_each(first, after, 1, |number| {
                    let panel = self.panel(env, block, step, &group, (part, contraction), number);
                    b.for_each(tile, end, 1, |tile| {
                        self.multiply(env, block, step, &group, &panel, tile);
                    });
                });
            }
        });
    }

    /// The panels of a block that are a part's: the first, counted from the block's, and the one after the last.
    fn panels(&self, env: &Env<'c, '_>, block: &Block<'c>, part: &Part) -> (V<'c>, V<'c>) {
        let b = env.b;
        let zero = b.index(0);
        if self.plan.parts.len() == 1 {
            return (zero, block.panels);
        }
        let from_block = |panel: u64| b.sub(b.index(panel as i64), block.first_panel);
        let first = b.smax(from_block(part.first_panel), zero);
        let after = from_block(part.first_panel + part.panels());
        (first, b.smin(after, block.panels))
    }

    /// Packs a group of rows, so many depths from one on.
    fn pack_lhs(
        &self,
        env: &Env<'c, '_>,
        block: &Block<'c>,
        (depth, depths): (V<'c>, V<'c>),
        group: &Group<'c>,
    ) {
        let b = env.b;
        let (plan, c) = (self.plan, &self.contractions[0]);
        let pack = |row: V<'c>, count: V<'c>, into: V<'c>| Pack {
            operand: &c.lhs,
            across: &c.m,
            along: &c.k,
            first: b.add(block.first_row, row),
            count,
            total: plan.rows,
            depth,
            depths,
            into,
            dtype: c.accumulator,
        };
        match plan.lhs {
            Access::Direct(_) | Access::Panels(_) => {}
            Access::Rows => {
                let unit = b.index(plan.tile.rows as i64);
                let end = b.smin(b.mul(group.tiles.1, unit), block.rows);
                let into = self.packed(env, block, depth, group, group.tiles.0);
                pack::rows(
                    env,
                    plan.form(),
                    &pack(group.row, b.sub(end, group.row), into),
                    plan.lhs_row(),
                );
            }
            // A few depths of all tiles at a time: tiles share lines of memory, which would be gone from the cache
            // if all depths came first, as they often lie a multiple of 4096 bytes apart.
            Access::Tiles => b.for_each(b.index(0), depths, TOGETHER, |begin| {
                let end = b.smin(b.add(begin, b.index(TOGETHER)), depths);
                b.for_each(group.tiles.0, group.tiles.1, 1, |tile| {
                    let into = self.packed(env, block, depth, group, tile);
                    let count = b.index(plan.tile.rows as i64);
                    let pack = pack(self.row(env, block, tile), count, into);
                    pack::tile(env, plan.form(), &pack, plan.lhs_depth(), (begin, end));
                });
            }),
        }
    }

    /// Where a tile of lhs is packed, from a depth on.
    fn packed(
        &self,
        env: &Env<'c, '_>,
        block: &Block<'c>,
        depth: V<'c>,
        group: &Group<'c>,
        tile: V<'c>,
    ) -> V<'c> {
        let b = env.b;
        let plan = self.plan;
        let times = |v: V<'c>, factor: u64| b.mul(v, b.index(factor as i64));
        let row = self.row(env, block, tile);
        let offset = match (plan.lhs, plan.packed_before) {
            (Access::Tiles, false) => times(b.sub(tile, group.tiles.0), plan.lhs_tile()),
            (Access::Tiles, true) => {
                let number = b.add(times(block.number, plan.row_tiles()), tile);
                b.add(times(number, plan.lhs_tile()), times(depth, plan.lhs_depth()))
            }
            (_, false) => times(b.sub(row, group.row), plan.lhs_row()),
            (_, true) => {
                let row = b.add(b.add(times(block.batch, plan.rows), block.first_row), row);
                b.add(times(row, plan.lhs_row()), depth)
            }
        };
        b.address(self.memory.lhs, plan.tile.scalar, offset)
    }

    /// A panel, packed if it has to be.
    fn panel(
        &self,
        env: &Env<'c, '_>,
        block: &Block<'c>,
        step: &Step<'c>,
        group: &Group<'c>,
        (part, c): (&'p Part, &'p Contraction),
        number: V<'c>,
    ) -> Panel<'c, 'p> {
        let b = env.b;
        let plan = self.plan;
        let width = b.index(plan.panel() as i64);
        let mut of_part = b.add(block.first_panel, number);
        if part.first_panel != 0 {
            of_part = b.sub(of_part, b.index(part.first_panel as i64));
        }
        let column = b.mul(of_part, width);
        let left = b.sub(b.index(part.columns as i64), column);
        let packed = |into: V<'c>| Pack {
            operand: &c.rhs,
            across: &c.n,
            along: &c.k,
            first: column,
            count: left,
            total: part.columns,
            depth: step.depth,
            depths: step.depths,
            into,
            dtype: c.accumulator,
        };
        let rhs = match (part.rhs, plan.one_group()) {
            (Access::Panels(stride), _) => {
                let place =
                    env.with_flat(Flat::of(env, &c.n, column, None)).with_flat_of(&c.k, step.depth);
                (place.operand(&c.rhs), b.index(stride as i64))
            }
            (Access::Direct(strides), _) => {
                let there = || {
                    let place = env
                        .with_flat(Flat::of(env, &c.n, column, None))
                        .with_flat_of(&c.k, step.depth);
                    vec![place.operand(&c.rhs), b.index(strides.along)]
                };
                let copied = || {
                    pack::panel(env, plan.form(), &packed(self.memory.rhs));
                    vec![self.memory.rhs, width]
                };
                let found = match part.has_partial_panel() {
                    true => b.if_else(b.cmp(Cmp::Ge, left, width), there, copied),
                    false => there(),
                };
                (found[0], found[1])
            }
            (_, true) => {
                pack::panel(env, plan.form(), &packed(self.memory.rhs));
                (self.memory.rhs, width)
            }
            (_, false) => {
                let elements = b.index((plan.panel() * plan.step) as i64);
                let into = b.address(self.memory.rhs, plan.tile.scalar, b.mul(number, elements));
                // The first group's is there for all.
                b.if_true(b.cmp(Cmp::Eq, group.tiles.0, b.index(0)), || {
                    pack::panel(env, plan.form(), &packed(into));
                });
                (into, width)
            }
        };
        Panel { part, contraction: c, number, column, left, rhs }
    }

    /// Multiplies a tile of rows with a panel; after the last step, finishes it.
    fn multiply(
        &self,
        env: &Env<'c, '_>,
        block: &Block<'c>,
        step: &Step<'c>,
        group: &Group<'c>,
        panel: &Panel<'c, '_>,
        tile: V<'c>,
    ) {
        let b = env.b;
        let (plan, part, c) = (self.plan, panel.part, panel.contraction);
        let row = self.row(env, block, tile);
        let first_row = b.add(block.first_row, row);
        let width = b.index(plan.panel() as i64);
        let (lhs, lhs_row, lhs_depth) = match plan.lhs {
            Access::Direct(strides) => {
                let place = env
                    .with_flat(Flat::of(env, &c.m, first_row, None))
                    .with_flat_of(&c.k, step.depth);
                (place.operand(&c.lhs), strides.across, strides.along)
            }
            Access::Panels(_) => unreachable!("panels are of the right operand"),
            Access::Rows => {
                let place = self.packed(env, block, step.depth, group, tile);
                (place, plan.lhs_row() as i64, 1)
            }
            Access::Tiles => {
                let place = self.packed(env, block, step.depth, group, tile);
                (place, 1, plan.lhs_depth() as i64)
            }
        };
        // Where sums are stored at once, whole panels need no epilogue.
        let whole = match (part.plain, part.has_partial_panel()) {
            (None, _) => Whole::Never,
            (Some(_), false) => Whole::Always,
            (Some(_), true) => Whole::If(b.cmp(Cmp::Ge, panel.left, width)),
        };
        let kept = {
            let tiles = b.index(plan.row_tiles() as i64);
            let number = b.add(b.mul(panel.number, tiles), tile);
            let offset = b.mul(number, b.index(plan.tile.elements() as i64));
            b.address(self.memory.kept, plan.tile.scalar, offset)
        };
        let finished = || {
            let sums = (self.memory.sums, width);
            let result = || {
                let place = env
                    .with_flat(Flat::of(env, &c.m, first_row, None))
                    .with_flat_of(&c.n, panel.column);
                let stride = b.index(part.plain.unwrap_or(0));
                (place.element(c.target.value, &c.target.subs), stride)
            };
            match whole {
                Whole::Never => sums,
                Whole::Always => result(),
                Whole::If(whole) => {
                    let result = result();
                    (b.select(whole, result.0, sums.0), b.select(whole, result.1, sums.1))
                }
            }
        };
        let (into, into_row) = match plan.steps() {
            0 | 1 => finished(),
            _ => {
                let (place, stride) = finished();
                (b.select(step.last, place, kept), b.select(step.last, stride, width))
            }
        };
        let call = Call {
            lhs,
            lhs_row: b.index(lhs_row),
            lhs_depth: b.index(lhs_depth),
            rhs: panel.rhs.0,
            rhs_depth: panel.rhs.1,
            ahead: b.index(part.ahead()),
            depth: step.depths,
            from: kept,
            from_row: width,
            first: step.first,
            into,
            into_row,
        };
        match part.narrow() {
            None => part.tile.call(b, &call),
            Some(narrow) => {
                let fits = b.cmp(Cmp::Le, panel.left, b.index(narrow.columns() as i64));
                b.if_else(
                    fits,
                    || {
                        narrow.call(b, &call);
                        vec![]
                    },
                    || {
                        part.tile.call(b, &call);
                        vec![]
                    },
                );
            }
        }
        let finish = || self.epilogue(env, first_row, panel);
        let condition = match whole {
            Whole::Always => return,
            Whole::Never => None,
            Whole::If(whole) => Some(b.not(whole)),
        };
        let last = (plan.steps() > 1).then_some(step.last);
        match (condition, last) {
            (None, None) => finish(),
            (Some(condition), None) | (None, Some(condition)) => b.if_true(condition, finish),
            (Some(x), Some(y)) => b.if_true(b.and(x, y), finish),
        }
    }

    /// Stores what the epilogue makes of a tile's finished sums.
    fn epilogue(&self, env: &Env<'c, '_>, first_row: V<'c>, panel: &Panel<'c, '_>) {
        let b = env.b;
        let (plan, c) = (self.plan, panel.contraction);
        let width = b.index(plan.panel() as i64);
        let rows = b.index(plan.tile.rows as i64);
        let outer = Side { group: &c.m, first: first_row, count: rows };
        let columns = b.smin(panel.left, width);
        let inner = Side { group: &c.n, first: panel.column, count: columns };
        let partial = match panel.part.columns.is_multiple_of(plan.tile.lanes) {
            true => Partial::Never,
            false => Partial::Last,
        };
        let sums = (self.memory.sums, plan.panel());
        epilogue::store(env, c, (plan.tile.lanes, partial), sums, &outer, &inner);
    }
}

/// Whether a panel's sums are stored by the micro-kernel.
#[derive(Clone, Copy)]
enum Whole<'c> {
    Always,
    Never,
    If(V<'c>),
}

impl<'c> Env<'c, '_> {
    /// The same place with a group of indices at a position, the same in all lanes.
    fn with_flat_of(&self, group: &[IndexId], at: V<'c>) -> Self {
        self.with_flat(Flat::of(self, group, at, None))
    }

    /// The address of an operand that is a load, perhaps with a cast.
    pub(in crate::cpu) fn operand(&self, operand: &Expr) -> V<'c> {
        match operand {
            Expr::Load(load) => self.element(load.value, &load.subs),
            Expr::Cast(_, inner) => self.operand(inner),
            _ => unreachable!("only loads are read where they lie"),
        }
    }
}
