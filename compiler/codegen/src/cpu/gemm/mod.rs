//! Matrix products: blocks of the result as tiles, a micro-kernel that holds its part of the result in
//! registers, operands packed for it where they are not read well as they lie (Goto and van de Geijn 2008; Van
//! Zee and van de Geijn 2015).
//!
//! A tile owns a block of the result and walks along the sum in steps, mostly a single one. Within a step it takes
//! rows of the left operand by the group (what stays in the L2 cache), columns of the right one by the
//! panel, and lets the micro-kernel add their products. Sums go from registers straight into the result,
//! if that is all there is to do; else through a few rows of scratch memory, on which the epilogue is evaluated
//! while they are in the L1 cache. Each sum is accumulated in the same order however tiles are run.

pub mod access;
mod drive;
mod epilogue;
mod few;
pub mod micro;
pub mod pack;
mod transpose;

pub use drive::Step;
pub use transpose::transpose;

use super::cost;
use super::level::Level;
use super::phase::Phases;
use super::value::{memory, register};
use crate::build::Scalar;
use crate::error::CompilerBug;
use crate::tuning::Sizes;
use access::{Found, Strides, varying};
use einmesh_ir::{DType, Expr, IndexId};
use einmesh_schedule::kernel::{Contraction, Kernel};
use micro::Tile;
use pack::Form;

/// So many rows are few: then the product takes as long as reading the other operand does.
pub const FEW_ROWS: u64 = 8;
/// Vectors of a panel for few rows, at most.
const MOST_VECTORS: u64 = 8;
/// So many depths ahead a packed panel is asked for.
const AHEAD: u64 = 12;
/// Blocks that read less than this are not worth having.
const FEWEST_BYTES: u64 = 1 << 18;
/// Beyond so many row tiles it is better to copy the right operand than to read it where it lies, over and over.
const FEW_ROW_TILES: u64 = 2;
/// Up to so many columns the left operand is better read where it lies than copied.
const FEW_COLUMNS: u64 = 128;

/// Blocks are not made of fewer columns for the sake of there being more blocks.
const FEWEST_COLUMNS: u64 = 64;

/// How the micro-kernel gets an operand.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Access {
    /// As it lies in memory.
    Direct(Strides),
    /// As it lies in memory, in panels that are as wide as the micro-kernel's or a multiple. Of the right operand
    /// only: the schedule puts parameters in this order.
    Panels(u64),
    /// Packed, the depths of a row side by side. Of the left operand only.
    Rows,
    /// Packed, the rows of a tile (or columns of a panel) at one depth side by side.
    Tiles,
}

/// The sizes that products with one left operand are computed with, mostly a single one. "Rows" are m, "columns" n,
/// "depth" k.
#[derive(Clone, PartialEq, Debug)]
pub struct Plan {
    /// The sums that the micro-kernel holds; its columns are a panel.
    pub tile: Tile,
    /// The whole problem.
    pub rows: u64,
    /// The whole problem.
    pub depth: u64,
    /// The number of independent problems.
    pub batch: u64,
    /// Into how many blocks rows are split, as evenly as can be; each has [`Tile::rows`] at least.
    pub row_blocks: u64,
    /// Into how many blocks the panels are split, as evenly as can be.
    pub column_blocks: u64,
    /// Depth of a step, a multiple of the lanes.
    pub step: u64,
    /// Row tiles in a group: what of the left operand is used by one panel after the other.
    pub group: u64,
    /// The left operand.
    pub lhs: Access,
    /// Whether the left operand is packed once, in a phase of its own, for all blocks of columns.
    pub packed_before: bool,
    /// The products, whose panels are counted one product after the other.
    pub parts: Vec<Part>,
}

/// What is a product's own among those with one left operand.
#[derive(Clone, PartialEq, Debug)]
pub struct Part {
    /// The plan's tile, with this right operand's numbers.
    pub tile: Tile,
    /// How many columns there are.
    pub columns: u64,
    /// The panels of the products before.
    pub first_panel: u64,
    /// The right operand: direct, in panels, or tiles.
    pub rhs: Access,
    /// Whether the sums of whole panels are the result, and where they lie: the distance of rows.
    pub plain: Option<i64>,
}

impl Part {
    /// Panels, the last of which may not be whole.
    pub fn panels(&self) -> u64 {
        self.columns.div_ceil(self.tile.columns())
    }

    /// Whether there is a last panel that is not whole.
    pub fn has_partial_panel(&self) -> bool {
        !self.columns.is_multiple_of(self.tile.columns())
    }

    /// How many bytes ahead the right operand is asked for: some depths of a packed panel, or the next panel
    /// beside one that is read where it lies.
    pub fn ahead(&self) -> i64 {
        let depth = self.tile.columns() * memory(self.tile.rhs).bytes();
        match self.rhs {
            Access::Direct(_) => depth as i64,
            _ => (AHEAD * depth) as i64,
        }
    }

    /// The micro-kernel for the last panel, if fewer vectors than usual are enough.
    pub fn narrow(&self) -> Option<Tile> {
        let last = self.columns % self.tile.columns();
        let vectors = last.div_ceil(self.tile.lanes);
        (last != 0 && vectors < self.tile.vectors).then_some(Tile { vectors, ..self.tile })
    }

    /// Panels of it that are packed at a time, if a block has so many and they are used again or not.
    fn packed_panels(&self, block: u64, again: bool) -> u64 {
        match self.rhs {
            Access::Panels(_) => 0,
            Access::Direct(_) if !self.has_partial_panel() => 0,
            Access::Direct(_) => 1,
            _ if again => block,
            _ => 1,
        }
    }
}

impl Plan {
    /// Columns of a panel.
    pub fn panel(&self) -> u64 {
        self.tile.columns()
    }

    /// What operands are packed for.
    pub fn form(&self) -> Form {
        Form { tile: self.tile, whole_depth: self.depth.is_multiple_of(self.tile.lanes) }
    }

    /// The panels of all products.
    pub fn panels(&self) -> u64 {
        self.parts.iter().map(Part::panels).sum()
    }

    /// Panels of a block, at most.
    pub fn block_panels(&self) -> u64 {
        self.panels().div_ceil(self.column_blocks)
    }

    /// Rows of a block, at most.
    pub fn block_rows(&self) -> u64 {
        self.rows.div_ceil(self.row_blocks)
    }

    /// Row tiles of a block, at most.
    pub fn row_tiles(&self) -> u64 {
        self.block_rows().div_ceil(self.tile.rows)
    }

    /// Whether all rows of a block are one group, so that a packed panel is used once.
    pub fn one_group(&self) -> bool {
        self.row_tiles() <= self.group
    }

    /// Steps along the depth.
    pub fn steps(&self) -> u64 {
        self.depth.div_ceil(self.step)
    }

    /// Elements from one row of the packed left operand to the next, if it is packed by [`Access::Rows`]. A
    /// multiple of 4096 bytes would put all rows into one set of the cache.
    pub fn lhs_row(&self) -> u64 {
        self.packed_depth() + 64 / self.tile.scalar.bytes()
    }

    /// Depths that are packed of the left operand at a time.
    pub fn packed_depth(&self) -> u64 {
        match self.packed_before {
            true => self.depth.next_multiple_of(self.tile.lanes),
            false => self.step,
        }
    }

    /// Elements from one depth of the packed left operand to the next, if it is packed by [`Access::Tiles`].
    pub fn lhs_depth(&self) -> u64 {
        self.tile.rows.next_multiple_of(self.tile.lanes)
    }

    /// Elements of the left operand where it is packed: of a group, or all of it.
    pub fn lhs_elements(&self) -> u64 {
        let (rows, tiles) = match self.packed_before {
            true => (self.batch * self.rows, self.batch * self.row_blocks * self.row_tiles()),
            false => (self.group * self.tile.rows, self.group),
        };
        match self.lhs {
            Access::Direct(_) | Access::Panels(_) => 0,
            Access::Rows => rows * self.lhs_row(),
            Access::Tiles => tiles * self.lhs_tile(),
        }
    }

    /// Elements from one tile of the packed left operand to the next, if it is packed by [`Access::Tiles`].
    pub fn lhs_tile(&self) -> u64 {
        self.packed_depth() * self.lhs_depth()
    }

    /// Elements of the packed right operand.
    pub fn rhs_elements(&self) -> u64 {
        let (block, again) = (self.block_panels(), !self.one_group());
        let panels = self.parts.iter().map(|p| p.packed_panels(block, again)).max();
        panels.unwrap_or(0) * self.step * self.panel()
    }

    /// Elements of the sums that are kept from one step to the next.
    pub fn kept_elements(&self) -> u64 {
        match self.steps() {
            0 | 1 => 0,
            _ => self.row_tiles() * self.block_panels() * self.tile.elements(),
        }
    }
}

/// Adds the phases of a contraction; `false` if it should rather be a nest: if its numbers are integers, or there is
/// too little of it.
pub fn emit(
    phases: &mut Phases<'_, '_>,
    kernel: &Kernel,
    contraction: &Contraction,
) -> Result<bool, CompilerBug> {
    let (level, sizes) = (phases.level, phases.sizes);
    if let Some(plan) = few::plan(kernel, contraction, level, &sizes) {
        return few::emit(phases, kernel, contraction, &plan).map(|()| true);
    }
    let straight = oriented(kernel, contraction);
    let turned = exchanged(&straight);
    for c in [straight, turned] {
        let mut alone = [c];
        if let Some(plan) = plan(kernel, &mut alone, level, &sizes) {
            return drive::emit(phases, kernel, &alone, &plan).map(|()| true);
        }
    }
    Ok(false)
}

/// Adds the phases of contractions with one left operand; `false` if each should rather be computed alone: if they
/// read their right operands in different ways, or not by tiles.
pub fn emit_together(
    phases: &mut Phases<'_, '_>,
    kernel: &Kernel,
    siblings: &[Contraction],
) -> Result<bool, CompilerBug> {
    let (level, sizes) = (phases.level, phases.sizes);
    let apart = |c: &Contraction| {
        few::plan(kernel, c, level, &sizes).is_some() || oriented(kernel, c) != *c
    };
    if siblings.iter().any(apart) {
        return Ok(false);
    }
    let mut siblings = siblings.to_vec();
    match plan(kernel, &mut siblings, level, &sizes) {
        Some(plan) => drive::emit(phases, kernel, &siblings, &plan).map(|()| true),
        None => Ok(false),
    }
}

/// How contractions with one left operand are computed as a matrix product; their depths get the order in which
/// those of right operands in panels lie. `None` if that is not worth it.
fn plan(
    kernel: &Kernel,
    siblings: &mut [Contraction],
    level: Level,
    sizes: &Sizes,
) -> Option<Plan> {
    let found = |c: &Contraction| access::panels(kernel, &c.rhs, c.accumulator, &c.n, &c.k);
    let all_lie: Vec<Option<Found>> = siblings.iter().map(found).collect();
    if let Some(lies) = &all_lie[0] {
        siblings.iter_mut().for_each(|c| c.k.clone_from(&lies.along));
    }
    let form = |lies: &Option<Found>| lies.as_ref().map(|lies| (lies.width, lies.along.clone()));
    if all_lie.iter().any(|lies| form(lies) != form(&all_lie[0])) {
        return None;
    }
    let (c, lies) = (&siblings[0], all_lie[0].as_ref());
    let size = |group: &[IndexId]| -> u64 {
        group.iter().map(|i| kernel.indices[i.0 as usize].extent).product()
    };
    let columns: Vec<u64> = siblings.iter().map(|c| size(&c.n)).collect();
    let (rows, depth, batch) = (size(&c.m), size(&c.k), size(&c.batch));
    let scalar = register(c.accumulator);
    let lanes = u64::from(level.lanes(scalar));
    let direct = |operand: &Expr, across: &[IndexId]| {
        access::strides(kernel, operand, c.accumulator, across, &c.k)
    };
    // Narrower than this, most of a register tile is padding, and packing costs more than it saves; but few rows
    // are multiplied with what is side by side in memory without packing it.
    let all_beside: Vec<Option<Strides>> =
        siblings.iter().map(|c| direct(&c.rhs, &c.n).filter(|s| s.across == 1)).collect();
    let few = all_beside[0].filter(|_| rows <= FEW_ROWS);
    let streamed = lies.filter(|_| rows <= FEW_ROWS);
    let enough = rows >= 4 || few.is_some() && rows > 0;
    let enough = enough && columns.iter().all(|n| n * 2 > lanes) && depth >= 4;
    let alike = all_beside.iter().all(|s| s.is_some() == few.is_some()) || rows > FEW_ROWS;
    if !scalar.is_float() || batch == 0 || rows == 0 || !enough && lies.is_none() || !alike {
        return None;
    }
    let wide = match (lies, few) {
        (Some(lies), _) => {
            (1..=sizes.tile_vectors).rev().find(|v| lies.width % (v * lanes) == 0)?
        }
        // As many as there are registers for: long stretches of memory are read faster.
        (None, Some(_)) => ((level.registers() - 1) / (rows + 1)).clamp(1, MOST_VECTORS),
        (None, None) => sizes.tile_vectors,
    };
    let vectors = columns.iter().max()?.div_ceil(lanes).min(wide);
    let panel = vectors * lanes;
    let panels = columns.iter().map(|n| n.div_ceil(panel)).sum();
    let (row_blocks, column_blocks) = match few {
        Some(strides) => {
            let bytes = depth * panel * memory(strides.element).bytes();
            (1, few_blocks(panels, bytes, batch, sizes))
        }
        None => match streamed {
            Some(lies) => {
                let bytes = depth * panel * memory(lies.element).bytes();
                (1, few_blocks(panels, bytes, batch, sizes))
            }
            None => {
                let lies = direct(&c.lhs, &c.m).filter(|s| s.element == c.accumulator);
                let copied = !lies.is_some_and(|s| may_lie(&s, columns.iter().sum()));
                let step_bytes = step(depth, lanes, scalar, sizes) * scalar.bytes();
                blocks((rows, panels, panel), (depth, step_bytes), batch, copied, sizes)
            }
        },
    };
    let fewest = rows / row_blocks;
    let tile_rows = match few {
        Some(_) => rows,
        None if streamed.is_some() => rows,
        None => tile_rows(rows.div_ceil(row_blocks), fewest, sizes),
    };
    let tile = Tile::of(scalar, lanes, tile_rows, vectors);
    let row_tiles = rows.div_ceil(row_blocks).div_ceil(tile.rows);
    let step = match few {
        // Stretches of few rows of the other operand at a time: each is read as it lies in memory.
        Some(_) => lanes,
        None if streamed.is_some() => depth.next_multiple_of(lanes),
        None => step(depth, lanes, scalar, sizes),
    };
    let group = sizes.packed_rows / tile.rows;
    let group = row_tiles.div_ceil(row_tiles.div_ceil(group.max(1)));
    let lhs = match direct(&c.lhs, &c.m).filter(|s| s.element == c.accumulator) {
        Some(strides) if reads_well(&strides, &tile, columns.iter().sum()) => {
            Access::Direct(strides)
        }
        _ if contiguous(kernel, &c.lhs, &c.m) && !contiguous(kernel, &c.lhs, &c.k) => Access::Tiles,
        _ => Access::Rows,
    };
    let mut parts: Vec<Part> = Vec::with_capacity(siblings.len());
    for (n, c) in siblings.iter().enumerate() {
        let (lies, beside) = (all_lie[n].as_ref(), all_beside[n]);
        let (rhs, element) = right(c, &tile, (rows, columns[n]), lies, beside);
        parts.push(Part {
            tile: Tile { rhs: element.unwrap_or(tile.rhs), ..tile },
            columns: columns[n],
            first_panel: parts.iter().map(Part::panels).sum(),
            rhs,
            plain: plain(kernel, c, panel),
        });
    }
    Some(Plan {
        packed_before: column_blocks > 1 && !matches!(lhs, Access::Direct(_)),
        tile,
        rows,
        depth,
        batch,
        row_blocks,
        column_blocks,
        step,
        group,
        lhs,
        parts,
    })
}

/// How the micro-kernel gets a right operand, and what that is made of if not of the accumulator's numbers.
fn right(
    c: &Contraction,
    tile: &Tile,
    (rows, columns): (u64, u64),
    lies: Option<&Found>,
    beside: Option<Strides>,
) -> (Access, Option<DType>) {
    match (lies, beside) {
        (Some(lies), _) => (Access::Panels(lies.width), Some(lies.element)),
        // A last panel that is not whole is packed, and so is all the rest, if that means another type.
        (None, Some(strides))
            if rows <= FEW_ROW_TILES * tile.rows
                && (strides.element == c.accumulator || columns.is_multiple_of(tile.columns())) =>
        {
            (Access::Direct(strides), Some(strides.element))
        }
        _ => (Access::Tiles, None),
    }
}

/// Into how many blocks so many `units` of an operand are split that is read once: as many as are wanted, unless
/// they would be small.
fn few_blocks(units: u64, unit_bytes: u64, batch: u64, sizes: &Sizes) -> u64 {
    let worth = (units * unit_bytes / FEWEST_BYTES).max(1);
    sizes.blocks.div_ceil(batch).min(worth).min(units)
}

/// Into how many blocks rows and panels are split.
///
/// Blocks of few columns cost nothing but reading the left operand again; blocks of few rows also copy the
/// right one again, which is not worth it if columns make nearly as many as are wanted. But where the left operand is
/// `copied`, more than one block of columns means to write all of it to memory first: rows are split instead, if
/// copying the right one for each block is less, and columns are not split before the cache asks for it.
fn blocks(
    (rows, panels, panel): (u64, u64, u64),
    (depth, step_bytes): (u64, u64),
    batch: u64,
    copied: bool,
    sizes: &Sizes,
) -> (u64, u64) {
    let mut row_blocks = rows.div_ceil(sizes.block_rows);
    let columns = match copied {
        true => sizes.block_columns * (sizes.step_bytes / step_bytes).max(1),
        false => sizes.block_columns,
    };
    let mut block_panels = (columns / panel).clamp(1, panels);
    let flops =
        |row_blocks: u64, block_panels: u64| 2 * (rows / row_blocks) * block_panels * panel * depth;
    let wanted = sizes.blocks.div_ceil(batch);
    let by_rows = wanted.saturating_sub(row_blocks) * panels * panel <= 2 * rows
        && rows / wanted >= 2 * sizes.tile_rows
        && flops(wanted, panels) >= sizes.block_flops;
    if copied && block_panels == panels && by_rows {
        return (row_blocks.max(wanted), 1);
    }
    block_panels = block_panels.min((sizes.block_columns / panel).max(1));
    while row_blocks * panels.div_ceil(block_panels) < wanted {
        let fewer = panels.div_ceil(panels.div_ceil(block_panels) + 1).min(block_panels - 1);
        if block_panels > 1
            && fewer * panel >= FEWEST_COLUMNS
            && flops(row_blocks, fewer) >= sizes.block_flops
        {
            block_panels = fewer;
        } else if 4 * row_blocks * panels.div_ceil(block_panels) < 3 * wanted
            && rows / (row_blocks + 1) >= 2 * sizes.tile_rows
            && flops(row_blocks + 1, block_panels) >= sizes.block_flops
        {
            row_blocks += 1;
        } else {
            break;
        }
    }
    (row_blocks, panels.div_ceil(block_panels))
}

/// Rows of a register tile: as many as leave the least to compute twice, in blocks of `most` rows or one less.
fn tile_rows(most: u64, fewest: u64, sizes: &Sizes) -> u64 {
    let whole = sizes.tile_rows.min(fewest);
    // A tile of few rows has more to load per product.
    let cost = |rows: u64| (rows + 1) * most.div_ceil(rows);
    (whole.div_ceil(2)..=whole).rev().min_by_key(|r| cost(*r)).unwrap_or(1)
}

/// Depth of a step: the whole depth, if it is not too much, else in even parts.
fn step(depth: u64, lanes: u64, scalar: Scalar, sizes: &Sizes) -> u64 {
    let most = (sizes.step_bytes / scalar.bytes()).max(lanes);
    depth.div_ceil(depth.div_ceil(most)).next_multiple_of(lanes)
}

/// Whether the rows of a tile are read without getting into each other's way in the L1 cache, whose sets repeat
/// every 4096 bytes; and whether copying would not be better anyway.
fn reads_well(strides: &Strides, tile: &Tile, columns: u64) -> bool {
    let bytes = |elements: i64| elements.unsigned_abs() * tile.scalar.bytes();
    let sets = |distance: u64| 4096 / gcd(distance, 4096).max(64);
    let apart = 4 * sets(bytes(strides.across)) >= tile.rows || !matches!(strides.along, 0 | 1);
    apart && may_lie(strides, columns)
}

/// Whether rows may be read where they lie, if they do not get into each other's way.
fn may_lie(strides: &Strides, columns: u64) -> bool {
    match (strides.across, strides.along) {
        (_, 0 | 1) => true,
        // Every depth is on another line, and soon on another page.
        (0 | 1, _) => columns <= FEW_COLUMNS,
        _ => false,
    }
}

fn gcd(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { gcd(b, a % b) }
}

/// Whether sums are stored as they are, a panel's columns side by side and rows a fixed distance apart; that
/// distance.
fn plain(kernel: &Kernel, c: &Contraction, panel: u64) -> Option<i64> {
    let Expr::Load(load) = &c.epilogue else {
        return None;
    };
    let target = &c.target;
    let run = access::run(kernel, target.value, &target.subs, &c.n);
    let size: u64 = c.n.iter().map(|i| kernel.indices[i.0 as usize].extent).product();
    let as_they_are = load.value == c.acc
        && kernel.values[target.value.0 as usize].dtype == c.accumulator
        && target.combine == einmesh_ir::Reducer::None
        && !target.store
        && access::in_range(kernel, target.value, &target.subs)
        && (run == size || run.is_multiple_of(panel));
    if !as_they_are {
        return None;
    }
    access::distance(kernel, target.value, &target.subs, &c.m)
}

/// The contraction with its sides exchanged if the result is contiguous along m rather than n.
pub fn oriented(kernel: &Kernel, c: &Contraction) -> Contraction {
    let contiguous = |group: &[IndexId]| {
        let last = varying(kernel, group).last().copied();
        last.is_some_and(|i| cost::stride(kernel, c.target.value, &c.target.subs, i) == Some(1))
    };
    match contiguous(&c.m) && !contiguous(&c.n) {
        true => exchanged(c),
        false => c.clone(),
    }
}

/// The contraction with its sides exchanged.
fn exchanged(c: &Contraction) -> Contraction {
    let mut c = c.clone();
    std::mem::swap(&mut c.m, &mut c.n);
    std::mem::swap(&mut c.lhs, &mut c.rhs);
    c
}

/// Whether vectors of an operand can be read along a group: every load is contiguous or the same along
/// its last index.
pub fn contiguous(kernel: &Kernel, operand: &Expr, group: &[IndexId]) -> bool {
    let Some(last) = varying(kernel, group).last().copied() else {
        return false;
    };
    operand.loads().iter().all(|load| {
        let stride = cost::stride(kernel, load.value, &load.subs, last);
        matches!(stride, Some(0 | 1))
    })
}
