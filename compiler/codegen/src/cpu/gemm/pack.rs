//! Packing: copies of a step's part of the operands, in the order that the micro-kernel reads.
//!
//! An operand is evaluated once per element. Lanes run along the index in which it is contiguous; if
//! that is not the one in which its packed form is, squares of vectors are transposed in registers. Columns beyond
//! the end repeat the last or are 0, and are never stored.

use super::contiguous;
use super::micro::Tile;
use super::transpose::transpose;
use crate::build::V;
use crate::cpu::env::{Env, Flat, dtype_of, row_major};
use crate::cpu::value::{cast, memory, register};
use einmesh_ir::{Affine, Bounds, DType, Expr, IndexId};
use einmesh_schedule::kernel::Kernel;

/// An operand and where a part of it goes.
pub struct Pack<'c, 'e> {
    /// The operand.
    pub operand: &'e Expr,
    /// Its rows (m) or columns (n).
    pub across: &'e [IndexId],
    /// The depth (k).
    pub along: &'e [IndexId],
    /// The first position across.
    pub first: V<'c>,
    /// How many positions across there are from there on.
    pub count: V<'c>,
    /// The number of positions across in all.
    pub total: u64,
    /// The first depth.
    pub depth: V<'c>,
    /// How many depths there are.
    pub depths: V<'c>,
    /// The packed memory.
    pub into: V<'c>,
    /// The accumulators' type.
    pub dtype: DType,
}

/// What operands are packed for.
#[derive(Clone, Copy)]
pub struct Form {
    /// The register tile.
    pub tile: Tile,
    /// Whether depths always come in whole vectors.
    pub whole_depth: bool,
}

impl<'c> Pack<'c, '_> {
    /// The operand at one position across, at the depths `depth..` in the lanes.
    fn deep(&self, env: &Env<'c, '_>, form: Form, across: V<'c>, offset: V<'c>) -> V<'c> {
        let b = env.b;
        let last = b.index(self.total as i64 - 1);
        let mut env = env.with_flat(Flat::of(env, self.across, b.smin(across, last), None));
        let first = b.add(self.depth, offset);
        env = env.with_flat(Flat::of(&env, self.along, first, Some(form.tile.lanes)));
        match form.whole_depth {
            true => self.value(env, form.tile.lanes, None),
            false => self.value(env, form.tile.lanes, Some(b.sub(self.depths, offset))),
        }
    }

    /// The operand at one depth, at the positions `across..` in the lanes, of which `count` exist, or all;
    /// `aligned` if those are a multiple of the lanes.
    fn wide(
        &self,
        env: &Env<'c, '_>,
        form: Form,
        (across, depth): (V<'c>, V<'c>),
        count: Option<V<'c>>,
        aligned: bool,
    ) -> V<'c> {
        let b = env.b;
        let depth = b.add(self.depth, depth);
        let mut env = env.with_flat(Flat::of(env, self.along, depth, None));
        let mut flat = Flat::of(&env, self.across, across, Some(form.tile.lanes));
        flat.aligned = aligned;
        env = env.with_flat(flat);
        self.value(env, form.tile.lanes, count)
    }

    /// Asks for what lies beside so many columns at a depth: the next panel, which the processor does not foresee where
    /// every depth is on another page.
    fn ask_for_next(&self, env: &Env<'c, '_>, (across, depth): (V<'c>, V<'c>), columns: i64) {
        let b = env.b;
        let bytes = columns * memory(dtype_of(env.kernel, loaded(self.operand))).bytes() as i64;
        let depth = b.add(self.depth, depth);
        let place = env.with_flat(Flat::of(env, self.along, depth, None));
        let place = place.with_flat(Flat::of(&place, self.across, across, None));
        let next = b.byte_offset(place.operand(self.operand), bytes);
        for line in (0..bytes).step_by(64) {
            b.prefetch(b.byte_offset(next, line));
        }
    }

    /// The operand's value in the first `count` lanes, 0 in the others.
    pub fn value(&self, mut env: Env<'c, '_>, lanes: u64, count: Option<V<'c>>) -> V<'c> {
        let b = env.b;
        env.lanes = Some(lanes as u32);
        let Some(count) = count else {
            let value = cast(b, env.eval(self.operand), self.dtype).v;
            return b.broadcast(value, lanes as u32);
        };
        let mask = env.first_lanes(count);
        let env = env.masked(mask);
        let value = cast(b, env.eval(self.operand), self.dtype).v;
        let zero = b.float(env.wide(register(self.dtype)), 0.0);
        match (self.operand, value.ty.lanes) {
            // A masked load has zeros where it does not read, without a default.
            (Expr::Load(load), Some(_)) if !matches!(load.bounds, Bounds::Else(_)) => value,
            _ => b.select(mask, value, zero),
        }
    }
}

/// Packs rows: the depths of each side by side, and rows `stride` apart, of which what is behind the last whole vector
/// of depths may be written.
pub fn rows<'c>(env: &Env<'c, '_>, form: Form, pack: &Pack<'c, '_>, stride: u64) {
    let b = env.b;
    b.for_each(b.index(0), pack.count, 1, |row| {
        let mut env = env.clone();
        let across = b.add(pack.first, row);
        hoist_across(&mut env, pack, across);
        b.for_each(b.index(0), pack.depths, form.tile.lanes as i64, |depth| {
            let offset = b.add(b.mul(row, b.index(stride as i64)), depth);
            let value = pack.deep(&env, form, across, depth);
            b.store(value, b.address(pack.into, form.tile.scalar, offset));
        });
    });
}

/// Packs some depths of as many rows as a tile has: at each depth side by side, and depths `stride` apart.
pub fn tile<'c>(
    env: &Env<'c, '_>,
    form: Form,
    pack: &Pack<'c, '_>,
    stride: u64,
    (begin, end): (V<'c>, V<'c>),
) {
    let b = env.b;
    let (rows, lanes) = (form.tile.rows, form.tile.lanes);
    b.for_each(begin, end, 1, |depth| {
        for first in (0..rows).step_by(lanes as usize) {
            let count = (rows - first < lanes).then(|| b.index((rows - first) as i64));
            let at = (b.add(pack.first, b.index(first as i64)), depth);
            let value = pack.wide(env, form, at, count, false);
            let offset = b.add(b.mul(depth, b.index(stride as i64)), b.index(first as i64));
            b.store(value, b.address(pack.into, form.tile.scalar, offset));
        }
    });
}

/// Packs as many columns as a tile has: at each depth side by side. With a transposition, what is behind the last
/// whole vector of depths may be written.
pub fn panel<'c>(env: &Env<'c, '_>, form: Form, pack: &Pack<'c, '_>) {
    let b = env.b;
    let (lanes, width) = (form.tile.lanes as i64, form.tile.columns() as i64);
    let partial = !pack.total.is_multiple_of(form.tile.columns());
    let zero = b.index(0);
    let turned = !contiguous(env.kernel, pack.operand, pack.across)
        && contiguous(env.kernel, pack.operand, pack.along)
        && plain(env.kernel, pack.operand);
    let store = |value: V<'c>, depth: V<'c>, vector: i64| {
        let offset = b.add(b.mul(depth, b.index(width)), b.index(vector * lanes));
        b.store(value, b.address(pack.into, form.tile.scalar, offset));
    };
    let at = |vector: i64| b.add(pack.first, b.index(vector * lanes));
    if turned {
        b.for_each(zero, pack.depths, lanes, |depth| {
            for vector in 0..form.tile.vectors as i64 {
                let rows = (0..lanes)
                    .map(|r| pack.deep(env, form, b.add(at(vector), b.index(r)), depth))
                    .collect();
                for (d, row) in transpose(b, rows).into_iter().enumerate() {
                    store(row, b.add(depth, b.index(d as i64)), vector);
                }
            }
        });
        return;
    }
    let beside = plain(env.kernel, pack.operand);
    b.for_each(zero, pack.depths, 1, |depth| {
        if beside {
            pack.ask_for_next(env, (at(0), depth), width);
        }
        for vector in 0..form.tile.vectors as i64 {
            let count = partial.then(|| b.sub(pack.count, b.index(vector * lanes)));
            store(pack.wide(env, form, (at(vector), depth), count, true), depth, vector);
        }
    });
}

/// Whether an operand is little more than a load, so that evaluating it for many rows at a time does not
/// make the code long.
pub fn plain(kernel: &Kernel, operand: &Expr) -> bool {
    match loaded(operand) {
        Expr::Load(load) => {
            let strides = row_major(&kernel.values[load.value.0 as usize].extents);
            strides.len() == load.subs.len()
                && load.subs.iter().all(|s| Affine::of(s).is_some())
                && dtype_of(kernel, operand).is_float()
        }
        _ => false,
    }
}

/// What is loaded, perhaps to be cast.
fn loaded(operand: &Expr) -> &Expr {
    match operand {
        Expr::Cast(_, inner) => inner,
        other => other,
    }
}

/// Moves what depends on the row alone out of the loop over the depth.
pub fn hoist_across<'c>(env: &mut Env<'c, '_>, pack: &Pack<'c, '_>, across: V<'c>) {
    let last = env.b.index(pack.total as i64 - 1);
    let flat = Flat::of(env, pack.across, env.b.smin(across, last), None);
    let mut place = env.with_flat(flat);
    place.hoist(pack.operand, pack.along, &[], false);
    env.known = place.known;
}
