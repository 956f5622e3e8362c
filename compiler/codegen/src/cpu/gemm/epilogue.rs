//! The epilogue: what is stored, on a few finished sums that lie in the L1 cache.

use crate::build::{Cmp, Ty, V};
use crate::cpu::env::{Env, Flat, Source};
use crate::cpu::value::{Val, register};
use einmesh_ir::IndexId;
use einmesh_schedule::kernel::Contraction;

/// One side of a tile of sums.
pub struct Side<'c, 'g> {
    /// Its indices.
    pub group: &'g [IndexId],
    /// The first position.
    pub first: V<'c>,
    /// How many positions there are.
    pub count: V<'c>,
}

/// When vectors are not full.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Partial {
    /// Never.
    Never,
    /// The last one may not be.
    Last,
    /// There is just one, which is not.
    Only,
}

/// Stores what the epilogue makes of sums: for each position of `outer`, `row` elements apart, lanes along
/// `inner`. Vectors that are full start at a multiple of the lanes.
pub fn store<'c>(
    env: &Env<'c, '_>,
    c: &Contraction,
    (lanes, partial): (u64, Partial),
    (sums, row): (V<'c>, u64),
    outer: &Side<'c, '_>,
    inner: &Side<'c, '_>,
) {
    let b = env.b;
    let zero = b.index(0);
    let scalar = register(c.accumulator);
    let vector = Ty::vector(scalar, lanes as u32);
    b.for_each(zero, outer.count, 1, |position| {
        let mut env = env.with_flat(Flat::of(env, outer.group, b.add(outer.first, position), None));
        let mut later = inner.group.to_vec();
        // The sum is not known outside of the loop over lanes.
        later.extend(c.k.iter());
        env.hoist(&c.epilogue, &later, &[c.acc, c.target.value], false);
        let sums_row = b.mul(position, b.index(row as i64));
        let store = |at: V<'c>, masked: bool| {
            let mut flat = Flat::of(&env, inner.group, b.add(inner.first, at), Some(lanes));
            flat.aligned = partial != Partial::Only;
            let mut env = env.with_flat(flat);
            env.lanes = Some(lanes as u32);
            if masked {
                let mask = env.first_lanes(b.sub(inner.count, at));
                env = env.masked(mask);
            }
            let sum = b.load(vector, b.address(sums, scalar, b.add(sums_row, at)));
            let dtype = c.accumulator;
            env.sources[c.acc.0 as usize] = Source::Register(Val { v: sum, dtype });
            let value = env.eval(&c.epilogue);
            env.write(&c.target, value);
        };
        if partial == Partial::Only {
            return store(zero, true);
        }
        let lanes = b.index(lanes as i64);
        let whole = b.mul(b.udiv(inner.count, lanes), lanes);
        b.for_each(zero, whole, vector.lanes.map_or(1, i64::from), |at| store(at, false));
        if partial == Partial::Last {
            b.if_true(b.cmp(Cmp::Lt, whole, inner.count), || store(whole, true));
        }
    });
}
