//! A tile: blocks of keys, groups of rows.

use super::finish;
use super::packed::Packed;
use super::{Plan, StateLayout};
use crate::build::{Cmp, V};
use crate::cpu::block::{Bounds, Conditions, round_down, round_up};
use crate::cpu::env::{Env, Flat};
use crate::cpu::phase::{PhaseShape, Phases, local_bytes};
use crate::error::CompilerBug;
use einmesh_schedule::kernel::{Kernel, Online};

/// Adds the phases of online reductions.
pub fn emit(
    phases: &mut Phases<'_, '_>,
    kernel: &Kernel,
    online: &Online,
) -> Result<(), CompilerBug> {
    let plan = Plan::new(kernel, online, phases.level, &phases.sizes);
    Packed::define(phases, &plan);
    let layout = StateLayout::new(&plan);
    let sizes = [&Bounds::bytes(plan.rows_of(online))[..], &Packed::bytes(&plan)].concat();
    let scratch: u64 = sizes.iter().sum();
    let whole = plan.parts == 1;
    let chunks = plan.batch * plan.chunks();
    let shape = PhaseShape {
        tiles: chunks * plan.parts,
        workspace_bytes: if whole { 0 } else { layout.bytes * chunks * plan.parts },
        scratch_bytes: local_bytes(kernel) + scratch + if whole { layout.bytes } else { 0 },
    };
    phases.add_raw(kernel, shape, |env, workspace, scratch, begin, end| {
        let b = env.b;
        let mut next = 0;
        let mut arrays = sizes.iter().map(|size| {
            let array = b.byte_offset(scratch, next);
            next += *size as i64;
            array
        });
        let mut array = || arrays.next().unwrap_or(scratch);
        let bounds =
            Bounds { low: array(), high: array(), group_low: array(), group_high: array() };
        let packed =
            Packed { plan: &plan, lhs: array(), keys: array(), values: array(), scores: array() };
        let conditions = Conditions::of(env, online.guard.as_ref(), online.n);
        let ctx = Ctx { plan: &plan, online, layout, bounds, packed, conditions };
        let state = b.byte_offset(scratch, sizes.iter().sum::<u64>() as i64);
        b.for_each(begin, end, 1, |tile| {
            let state = match whole {
                true => state,
                false => state_of(env, layout, workspace, tile),
            };
            ctx.tile(env, tile, state);
        });
    })?;
    if whole { Ok(()) } else { finish::merge(phases, kernel, online, &plan) }
}

/// The state of a tile of the first phase, in the workspace.
pub fn state_of<'c>(
    env: &Env<'c, '_>,
    layout: StateLayout,
    workspace: V<'c>,
    tile: V<'c>,
) -> V<'c> {
    let b = env.b;
    let offset = b.mul(tile, b.index(layout.bytes as i64));
    b.address(workspace, crate::build::Scalar::I8, offset)
}

/// What a tile works with.
pub struct Ctx<'c, 'p> {
    pub plan: &'p Plan,
    pub online: &'p Online,
    pub layout: StateLayout,
    pub bounds: Bounds<'c>,
    pub packed: Packed<'c, 'p>,
    pub conditions: Conditions<'p>,
}

/// A tile's place: the batch bound, its first row, the number of its rows.
pub fn place<'c, 'k>(
    env: &Env<'c, 'k>,
    online: &Online,
    plan: &Plan,
    chunk: V<'c>,
) -> (Env<'c, 'k>, V<'c>, V<'c>) {
    let b = env.b;
    let chunks = b.index(plan.chunks().max(1) as i64);
    let first = b.mul(b.urem(chunk, chunks), b.index(plan.chunk as i64));
    let rows = b.smin(b.index(plan.chunk as i64), b.sub(b.index(plan.rows as i64), first));
    let batch = b.udiv(chunk, chunks);
    let env = match online.batch[..] {
        [] => env.clone(),
        ref group => env.with_flat(Flat::of(env, group, batch, None)),
    };
    (env, first, rows)
}

impl<'c> Ctx<'c, '_> {
    /// Reduces a chunk of rows over a part of the keys.
    fn tile(&self, env: &Env<'c, '_>, tile: V<'c>, state: V<'c>) {
        let b = env.b;
        let plan = self.plan;
        let number = |v: u64| b.index(v as i64);
        let part = b.mul(b.urem(tile, number(plan.parts)), number(plan.part_keys));
        let (env, first_row, rows) =
            place(env, self.online, plan, b.udiv(tile, number(plan.parts)));
        let env = &env;
        let part_end = b.smin(b.add(part, number(plan.part_keys)), number(plan.keys));
        let rows_of = (plan.rows_of(self.online), &self.conditions);
        let (low, high) = self.bounds.fill(env, rows_of, first_row, (part, part_end));
        self.clear(env, state);
        self.packed.pack_rows(env, self.online, first_row);
        let start = round_down(b, b.smax(b.sub(low, part), b.index(0)), plan.block);
        b.for_each(b.add(part, start), high, plan.block as i64, |block| {
            let to = b.smin(b.sub(high, block), number(plan.block));
            let from = b.smax(b.sub(low, block), b.index(0));
            let from = round_down(b, from, plan.key_panel());
            if !plan.in_place {
                let panels = round_up(b, to, plan.key_panel());
                self.packed.pack_keys(env, self.online, block, (from, panels));
                if let Some(context) = &self.online.context {
                    self.packed.pack_values(env, (self.online, context), block, (from, to));
                }
            }
            b.for_each(b.index(0), number(plan.groups()), 1, |group| {
                self.group(env, state, (first_row, group), block);
            });
        });
        if plan.parts == 1 {
            finish::rows(env, self.online, plan, state, (first_row, rows));
        }
    }

    /// Empties the state of a chunk's rows.
    fn clear(&self, env: &Env<'c, '_>, state: V<'c>) {
        let b = env.b;
        let plan = self.plan;
        let scalar = crate::build::Ty::scalar(plan.vectors.scalar);
        let vector = plan.vectors.ty();
        b.for_each(b.index(0), b.index(plan.padded_rows() as i64), 1, |row| {
            let put = |array: u64, value: V<'c>| {
                b.store(
                    value,
                    b.address(b.byte_offset(state, array as i64), plan.vectors.scalar, row),
                );
            };
            put(self.layout.top, b.float(scalar, f64::NEG_INFINITY));
            put(self.layout.total, b.float(scalar, 0.0));
            let (low, high) = (
                self.bounds.get(env, self.bounds.low, row),
                self.bounds.get(env, self.bounds.high, row),
            );
            // Where points are looked at one by one, that tells.
            let some = b.cmp(Cmp::Lt, low, high);
            let one = if self.conditions.points.is_empty() { 1.0 } else { 0.0 };
            put(self.layout.seen, b.select(some, b.float(scalar, one), b.float(scalar, 0.0)));
        });
        let sums = b.byte_offset(state, self.layout.sums as i64);
        let all = b.index((plan.padded_rows() * plan.sum_stride()) as i64);
        b.for_each(b.index(0), all, plan.vectors.lanes as i64, |at| {
            b.store(b.float(vector, 0.0), b.address(sums, plan.vectors.scalar, at));
        });
    }

    /// A group of rows and a block of keys.
    fn group(
        &self,
        env: &Env<'c, '_>,
        state: V<'c>,
        (first_row, group): (V<'c>, V<'c>),
        block: V<'c>,
    ) {
        let b = env.b;
        let plan = self.plan;
        let low = self.bounds.get(env, self.bounds.group_low, group);
        let high = self.bounds.get(env, self.bounds.group_high, group);
        let to = b.smin(b.sub(high, block), b.index(plan.block as i64));
        let from = round_down(b, b.smax(b.sub(low, block), b.index(0)), plan.key_panel());
        b.if_true(b.cmp(Cmp::Lt, from, to), || {
            let top = b.mul(group, b.index(plan.tile_rows as i64));
            match plan.in_place {
                true => self.packed.scores_in_place(env, self.online, block, (from, to)),
                false => self.packed.scores(env, top, (from, round_up(b, to, plan.key_panel()))),
            }
            b.for_each(b.index(0), b.index(plan.tile_rows as i64), 1, |row| {
                self.row(env, state, (first_row, top, row), block, (from, to));
            });
            if let Some(context) = self.online.context.as_ref().filter(|_| plan.columns > 0) {
                let sums = b.mul(top, b.index(plan.sum_stride() as i64));
                let base = b.byte_offset(state, self.layout.sums as i64);
                let sums = b.address(base, plan.vectors.scalar, sums);
                let context = (self.online, context);
                match plan.in_place {
                    true => self.packed.context_in_place(env, context, sums, block, (from, to)),
                    false => self.packed.context(env, sums, (from, to)),
                }
            }
        });
    }
}
