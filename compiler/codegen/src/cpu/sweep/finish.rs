//! What sums have come to: results, and the merging of parts.

use super::Plan;
use super::drive::{at_batch, state_of};
use super::layout::Layout;
use crate::build::V;
use crate::cpu::env::{Env, Flat, Source};
use crate::cpu::phase::{PhaseShape, Phases, local_bytes};
use crate::cpu::value::Val;
use crate::error::CompilerBug;
use einmesh_ir::IndexId;
use einmesh_schedule::kernel::{Kernel, Sweep};

/// Stores the results of some rows or keys, which `group` counts, from `first` on: those of one sum, which are at `sums`.
pub fn results<'c>(
    env: &Env<'c, '_>,
    (sweep, plan): (&Sweep, &Plan),
    number: usize,
    sums: V<'c>,
    group: &[IndexId],
    (first, count): (V<'c>, V<'c>),
) {
    let b = env.b;
    let (sum, columns) = (&sweep.sums[number], plan.columns[number]);
    let lanes = plan.vectors.lanes;
    b.for_each(b.index(0), count, 1, |row| {
        let env = env.with_flat(Flat::of(env, group, b.add(first, row), None));
        let row = b.mul(row, b.index(columns.stride as i64));
        let end = b.index(columns.count as i64);
        b.for_each(b.index(0), end, lanes as i64, |column| {
            let mut env = env.with_flat(Flat::of(&env, &sum.v, column, Some(lanes)));
            env.lanes = Some(lanes as u32);
            if !columns.count.is_multiple_of(lanes) {
                let mask = env.first_lanes(b.sub(end, column));
                env = env.masked(mask);
            }
            let place = b.address(sums, plan.vectors.scalar, b.add(row, column));
            let v = b.load(plan.vectors.ty(), place);
            let value = Val { v, dtype: sweep.accumulator };
            env.sources[sum.acc.0 as usize] = Source::Register(value);
            env.write(&sum.target, env.eval(&sum.result));
        });
    });
}

/// Stores the results of all rows of a batch.
pub fn rows<'c>(env: &Env<'c, '_>, (sweep, plan, layout): (&Sweep, &Plan, &Layout), state: V<'c>) {
    let b = env.b;
    let all = (b.index(0), b.index(plan.rows as i64));
    for number in (0..sweep.sums.len()).filter(|n| !sweep.sums[*n].of_columns) {
        let sums = b.byte_offset(state, layout.row_sums[number] as i64);
        results(env, (sweep, plan), number, sums, &sweep.m, all);
    }
}

/// Adds the phase that adds up the parts' sums of rows, in order, and stores the results.
pub fn merge(
    phases: &mut Phases<'_, '_>,
    kernel: &Kernel,
    (sweep, plan, layout): (&Sweep, &Plan, &Layout),
) -> Result<(), CompilerBug> {
    let shape = PhaseShape {
        tiles: plan.batch,
        workspace_bytes: layout.state_bytes * plan.batch * plan.parts,
        scratch_bytes: local_bytes(kernel),
    };
    phases.add_raw(kernel, shape, |env, workspace, _, begin, end| {
        let b = env.b;
        let parts = b.index(plan.parts as i64);
        let scalar = plan.vectors.scalar;
        let elements = b.index((layout.state_bytes / scalar.bytes()) as i64);
        b.for_each(begin, end, 1, |batch| {
            let first = b.mul(batch, parts);
            let into = state_of(env, layout, workspace, first);
            b.for_each(b.index(1), parts, 1, |part| {
                let from = state_of(env, layout, workspace, b.add(first, part));
                b.for_each(b.index(0), elements, plan.vectors.lanes as i64, |at| {
                    let [here, there] = [into, from].map(|state| b.address(state, scalar, at));
                    let ty = plan.vectors.ty();
                    b.store(b.add(b.load(ty, here), b.load(ty, there)), here);
                });
            });
            rows(&at_batch(env, sweep, batch), (sweep, plan, layout), into);
        });
    })
}
