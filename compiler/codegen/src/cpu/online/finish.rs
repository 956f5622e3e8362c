//! What rows have come to: results, and the merging of parts.

use super::drive::{place, state_of};
use super::{Plan, StateLayout};
use crate::build::{Cmp, Ty, V};
use crate::cpu::env::{Env, Flat, Source};
use crate::cpu::math;
use crate::cpu::phase::{PhaseShape, Phases, local_bytes};
use crate::cpu::reduce::shift;
use crate::cpu::value::Val;
use crate::error::CompilerBug;
use einmesh_ir::ValueId;
use einmesh_schedule::kernel::{Kernel, Online};

/// Stores the results of a chunk's rows.
pub fn rows<'c>(
    env: &Env<'c, '_>,
    online: &Online,
    plan: &Plan,
    state: V<'c>,
    (first, rows): (V<'c>, V<'c>),
) {
    let b = env.b;
    let layout = StateLayout::new(plan);
    let scalar = Ty::scalar(plan.vectors.scalar);
    b.for_each(b.index(0), rows, 1, |row| {
        let flat = Flat::of(env, &online.m, b.add(first, row), None);
        let mut env = env.with_flat(flat);
        let read = |array: u64| {
            b.load(scalar, b.address(b.byte_offset(state, array as i64), plan.vectors.scalar, row))
        };
        let (top, total, seen) = (read(layout.top), read(layout.total), read(layout.seen));
        let nan = b.float(scalar, f64::NAN);
        let set = |env: &mut Env<'c, '_>, local: ValueId, v: V<'c>| {
            let value = Val { v, dtype: online.accumulator };
            env.sources[local.0 as usize] = Source::Register(value);
        };
        // A NaN among the scores is in the total only.
        let largest = b.select(b.is_nan(total), nan, top);
        let finite =
            b.cmp(Cmp::Lt, b.intrinsic("llvm.intr.fabs", top), b.float(scalar, f64::INFINITY));
        let lse = b.add(top, math::log(b, total));
        let none = b.cmp(Cmp::Eq, seen, b.float(scalar, 0.0));
        let sound = b.or(finite, none);
        set(&mut env, online.top, largest);
        set(&mut env, online.lse, b.select(finite, lse, largest));
        set(&mut env, online.total, b.select(sound, total, nan));
        for result in online.results.iter().filter(|r| !r.wide) {
            env.write(&result.target, env.eval(&result.value));
        }
        let Some(context) = &online.context else { return };
        let sums = b.mul(row, b.index(plan.sum_stride() as i64));
        let sums = b.address(b.byte_offset(state, layout.sums as i64), plan.vectors.scalar, sums);
        let vector = plan.vectors.ty();
        let columns = b.index(plan.columns as i64);
        b.for_each(b.index(0), columns, plan.vectors.lanes as i64, |column| {
            let mut env =
                env.with_flat(Flat::of(&env, &context.v, column, Some(plan.vectors.lanes)));
            env.lanes = Some(plan.vectors.lanes as u32);
            if !plan.columns.is_multiple_of(plan.vectors.lanes) {
                let mask = env.first_lanes(b.sub(columns, column));
                env = env.masked(mask);
            }
            let sum = b.load(vector, b.address(sums, plan.vectors.scalar, column));
            let sum = b.select(sound, sum, b.float(vector, f64::NAN));
            set(&mut env, context.acc, sum);
            for result in online.results.iter().filter(|r| r.wide) {
                env.write(&result.target, env.eval(&result.value));
            }
        });
    });
}

/// Adds the phase that merges the parts of each chunk, in order, and stores the results.
pub fn merge(
    phases: &mut Phases<'_, '_>,
    kernel: &Kernel,
    online: &Online,
    plan: &Plan,
) -> Result<(), CompilerBug> {
    let layout = StateLayout::new(plan);
    let tiles = plan.batch * plan.chunks();
    let shape = PhaseShape {
        tiles,
        workspace_bytes: layout.bytes * tiles * plan.parts,
        scratch_bytes: local_bytes(kernel),
    };
    phases.add_raw(kernel, shape, |env, workspace, _, begin, end| {
        let b = env.b;
        let parts = b.index(plan.parts as i64);
        b.for_each(begin, end, 1, |chunk| {
            let first = b.mul(chunk, parts);
            let into = state_of(env, layout, workspace, first);
            let (env, first_row, rows) = place(env, online, plan, chunk);
            b.for_each(b.index(1), parts, 1, |part| {
                let from = state_of(&env, layout, workspace, b.add(first, part));
                b.for_each(b.index(0), rows, 1, |row| {
                    merge_row(&env, plan, layout, (into, from), row)
                });
            });
            self::rows(&env, online, plan, into, (first_row, rows));
        });
    })
}

/// Adds a row's state to another.
fn merge_row<'c>(
    env: &Env<'c, '_>,
    plan: &Plan,
    layout: StateLayout,
    (into, from): (V<'c>, V<'c>),
    row: V<'c>,
) {
    let b = env.b;
    let scalar = Ty::scalar(plan.vectors.scalar);
    let vector = plan.vectors.ty();
    let place = |state: V<'c>, array: u64, at: V<'c>| {
        b.address(b.byte_offset(state, array as i64), plan.vectors.scalar, at)
    };
    let both = |array: u64| [into, from].map(|state| b.load(scalar, place(state, array, row)));
    let [top, other_top] = both(layout.top);
    let most = b.select(b.cmp(Cmp::Gt, other_top, top), other_top, top);
    let relative = shift(b, most);
    let factors = [top, other_top].map(|top| math::exp(b, b.sub(top, relative)));
    let [total, other_total] = both(layout.total);
    let [seen, other_seen] = both(layout.seen);
    b.store(most, place(into, layout.top, row));
    let scaled = b.mul(total, factors[0]);
    b.store(b.fma(other_total, factors[1], scaled), place(into, layout.total, row));
    b.store(b.smax(seen, other_seen), place(into, layout.seen, row));
    if plan.columns > 0 {
        let first = b.mul(row, b.index(plan.sum_stride() as i64));
        b.for_each(
            b.index(0),
            b.index(plan.sum_stride() as i64),
            plan.vectors.lanes as i64,
            |column| {
                let at = b.add(first, column);
                let here = place(into, layout.sums, at);
                let sum = b.mul(b.load(vector, here), factors[0]);
                let other = b.load(vector, place(from, layout.sums, at));
                b.store(b.fma(other, factors[1], sum), here);
            },
        );
    }
}
