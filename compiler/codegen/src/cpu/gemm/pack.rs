//! Packing: copies of a step's part of the operands, in the order that the micro-kernel reads.
//!
//! An operand is evaluated once per element. Lanes run along the index in which it is contiguous; if
//! that is not the one in which its packed form is, squares of vectors are transposed in registers.
//! Depths beyond the end are 0; rows and columns beyond it repeat the last, and are never stored.

use super::transpose::transpose;
use super::{Plan, UNROLL, contiguous, plain};
use crate::build::V;
use crate::cpu::env::{Env, Flat};
use crate::cpu::value::{cast, register};
use einmesh_ir::{Bounds, DType, Expr, IndexId};

/// An operand and where a part of it goes.
pub struct Pack<'c, 'e> {
    /// The operand.
    pub operand: &'e Expr,
    /// Its rows (m) or columns (n).
    pub across: &'e [IndexId],
    /// The depth (k).
    pub along: &'e [IndexId],
    /// The first position across, and how many there are to pack.
    pub first: V<'c>,
    /// How many positions across are wanted, at most up to the end.
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

impl<'c> Pack<'c, '_> {
    /// The operand at one position across, at the depths `depth..` in the lanes.
    fn deep(&self, env: &Env<'c, '_>, plan: &Plan, across: V<'c>, offset: V<'c>) -> V<'c> {
        let b = env.b;
        let last = b.index(self.total as i64 - 1);
        let mut env = env.with_flat(Flat::of(env, self.across, b.smin(across, last), None));
        let first = b.add(self.depth, offset);
        env = env.with_flat(Flat::of(&env, self.along, first, Some(plan.lanes)));
        self.masked(env, plan, b.sub(self.depths, offset))
    }

    /// The operand at one depth, at the positions `across..` in the lanes; `aligned` if those are a
    /// multiple of the lanes.
    fn wide(
        &self,
        env: &Env<'c, '_>,
        plan: &Plan,
        (across, depth): (V<'c>, V<'c>),
        aligned: bool,
    ) -> V<'c> {
        let b = env.b;
        let depth = b.add(self.depth, depth);
        let mut env = env.with_flat(Flat::of(env, self.along, depth, None));
        let mut flat = Flat::of(&env, self.across, across, Some(plan.lanes));
        flat.aligned = aligned;
        env = env.with_flat(flat);
        self.masked(env, plan, b.sub(b.index(self.total as i64), across))
    }

    /// The operand's value in the first `count` lanes, 0 in the others.
    fn masked(&self, mut env: Env<'c, '_>, plan: &Plan, count: V<'c>) -> V<'c> {
        let b = env.b;
        env.lanes = Some(plan.lanes as u32);
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

/// Packs rows of lhs: row-major, [`Plan::lhs_stride`] apart. `count` is a multiple of the tile's rows.
pub fn lhs<'c>(env: &Env<'c, '_>, plan: &Plan, pack: &Pack<'c, '_>) {
    let b = env.b;
    let lanes = plan.lanes as i64;
    let stride = plan.lhs_stride() as i64;
    let zero = b.index(0);
    let store = |value: V<'c>, row: V<'c>, depth: V<'c>| {
        let offset = b.add(b.mul(row, b.index(stride)), depth);
        b.store(value, b.address(pack.into, plan.scalar, offset));
    };
    let turned = !contiguous(env.kernel, pack.operand, pack.along)
        && contiguous(env.kernel, pack.operand, pack.across)
        && plain(env.kernel, pack.operand);
    if !turned {
        b.for_each(zero, pack.count, 1, |row| {
            let mut env = env.clone();
            let across = b.add(pack.first, row);
            hoist_across(&mut env, pack, across);
            b.for_each(zero, pack.depths, lanes, |depth| {
                store(pack.deep(&env, plan, across, depth), row, depth);
            });
        });
        return;
    }
    // Squares of rows by depths. The packed rows are not a multiple of the lanes: the last square starts
    // earlier and repeats some, or there are too few, and the memory behind takes the excess.
    b.for_each(zero, pack.count, lanes, |row| {
        b.for_each(zero, pack.depths, lanes, |depth| {
            let vectors = (0..lanes)
                .map(|d| {
                    let depth = b.add(depth, b.index(d));
                    // Depths beyond the end read the last one, and are cleared below.
                    let last = b.sub(pack.depths, b.index(1));
                    let at = (b.add(pack.first, row), b.smin(depth, last));
                    pack.wide(env, plan, at, false)
                })
                .collect();
            let mut place = env.clone();
            place.lanes = Some(plan.lanes as u32);
            let mask = place.first_lanes(b.sub(pack.depths, depth));
            for (r, vector) in transpose(b, vectors).into_iter().enumerate() {
                let cleared = b.select(mask, vector, b.float(vector.ty, 0.0));
                store(cleared, b.add(row, b.index(r as i64)), depth);
            }
        });
    });
}

/// Packs columns of rhs: panel after panel, each [`Plan::step`] deep, depth-major.
pub fn rhs<'c>(env: &Env<'c, '_>, plan: &Plan, pack: &Pack<'c, '_>) {
    let b = env.b;
    let (lanes, panel) = (plan.lanes as i64, plan.panel() as i64);
    let zero = b.index(0);
    let panel_elements = b.index(panel * plan.step as i64);
    let turned = !contiguous(env.kernel, pack.operand, pack.across)
        && contiguous(env.kernel, pack.operand, pack.along)
        && plain(env.kernel, pack.operand);
    b.for_each(zero, pack.count, panel, |column| {
        let number = b.udiv(column, b.index(panel));
        let base = b.address(pack.into, plan.scalar, b.mul(number, panel_elements));
        let store = |value: V<'c>, depth: V<'c>, vector: i64| {
            let offset = b.add(b.mul(depth, b.index(panel)), b.index(vector * lanes));
            b.store(value, b.address(base, plan.scalar, offset));
        };
        let at = |vector: i64| b.add(b.add(pack.first, column), b.index(vector * lanes));
        if turned {
            b.for_each(zero, pack.depths, lanes, |depth| {
                for vector in 0..plan.tile_vectors as i64 {
                    let rows = (0..lanes)
                        .map(|r| pack.deep(env, plan, b.add(at(vector), b.index(r)), depth))
                        .collect();
                    for (d, row) in transpose(b, rows).into_iter().enumerate() {
                        store(row, b.add(depth, b.index(d as i64)), vector);
                    }
                }
            });
            return;
        }
        b.for_each(zero, pack.depths, 1, |depth| {
            for vector in 0..plan.tile_vectors as i64 {
                let value = pack.wide(env, plan, (at(vector), depth), true);
                store(value, depth, vector);
            }
        });
        let padded = padded(env, pack.depths);
        b.for_each(pack.depths, padded, 1, |depth| {
            for vector in 0..plan.tile_vectors as i64 {
                let ty = crate::build::Ty::vector(plan.scalar, plan.lanes as u32);
                store(b.float(ty, 0.0), depth, vector);
            }
        });
    });
}

/// The depth of a step as the micro-kernel sees it.
pub fn padded<'c>(env: &Env<'c, '_>, depths: V<'c>) -> V<'c> {
    let b = env.b;
    let unit = b.index(UNROLL as i64);
    let more = b.add(depths, b.index(UNROLL as i64 - 1));
    b.mul(b.udiv(more, unit), unit)
}

/// Moves what depends on the row alone out of the loop over the depth.
fn hoist_across<'c>(env: &mut Env<'c, '_>, pack: &Pack<'c, '_>, across: V<'c>) {
    let last = env.b.index(pack.total as i64 - 1);
    let flat = Flat::of(env, pack.across, env.b.smin(across, last), None);
    let mut place = env.with_flat(flat);
    let nothing = einmesh_ir::ValueId(u32::MAX);
    place.hoist(pack.operand, pack.along, nothing);
    env.known = place.known;
}
