//! The two products of a block: packed operands and what is computed of them. Scores are rows times keys, context is
//! weights times values.

use super::{Plan, UNROLL};
use crate::build::V;
use crate::cpu::block::{Call, Micro, Operand, round_up};
use crate::cpu::env::Env;
use crate::cpu::phase::Phases;
use einmesh_schedule::kernel::{Context, Online};

/// Where the packed operands are.
pub struct Packed<'c, 'p> {
    /// The sizes.
    pub plan: &'p Plan,
    /// The rows: row-major, [`Plan::lhs_stride`] apart.
    pub lhs: V<'c>,
    /// The block's keys: panel after panel, depth-major.
    pub keys: V<'c>,
    /// The block's values: panel after panel of columns, key-major.
    pub values: V<'c>,
    /// The scores of a group of rows, then their exponentials.
    pub scores: V<'c>,
}

impl Packed<'_, '_> {
    /// Bytes of each part, in the order of the fields.
    pub fn bytes(plan: &Plan) -> [u64; 4] {
        let packed_keys = if plan.in_place { 0 } else { plan.block };
        [
            plan.bytes(plan.padded_rows() * plan.lhs_stride()),
            plan.bytes(packed_keys * plan.padded_depth()),
            plan.bytes(packed_keys * plan.sum_stride()),
            plan.bytes(plan.tile_rows * plan.score_stride()),
        ]
    }

    /// Adds the micro-kernels to the module, if any are needed.
    pub fn define(phases: &mut Phases<'_, '_>, plan: &Plan) {
        if plan.in_place {
            return;
        }
        micro(plan, plan.key_vectors).define(phases);
        if plan.columns > 0 {
            micro(plan, plan.column_vectors).define(phases);
        }
    }
}

fn micro(plan: &Plan, columns: u64) -> Micro {
    Micro { vectors: plan.vectors, rows: plan.tile_rows, columns, turned: false }
}

impl<'c> Packed<'c, '_> {
    fn number(env: &Env<'c, '_>, value: u64) -> V<'c> {
        env.b.index(value as i64)
    }

    /// Packs a chunk's rows, from `first` on. Rows beyond the last repeat it, and are never stored.
    pub fn pack_rows(&self, env: &Env<'c, '_>, online: &Online, first: V<'c>) {
        let plan = self.plan;
        let (rows, columns) = (&online.m, &online.k);
        let rows = Operand { expr: &online.lhs, rows, columns, vectors: plan.vectors };
        rows.pack_rows(env, self.lhs, plan.lhs_stride(), (first, plan.padded_rows()));
    }

    /// Packs the keys `block + from .. block + to`, whole panels. Keys beyond the last repeat it.
    pub fn pack_keys(
        &self,
        env: &Env<'c, '_>,
        online: &Online,
        block: V<'c>,
        range: (V<'c>, V<'c>),
    ) {
        let plan = self.plan;
        let (rows, columns) = (&[online.n], &online.k);
        let keys = Operand { expr: &online.rhs, rows, columns, vectors: plan.vectors };
        keys.pack_turned(env, self.keys, plan.key_vectors, block, range);
    }

    /// Packs the values of the keys `block + from .. block + to`, and zeros up to a multiple of the
    /// micro-kernel's unrolling.
    pub fn pack_values(
        &self,
        env: &Env<'c, '_>,
        (online, context): (&Online, &Context),
        block: V<'c>,
        range: (V<'c>, V<'c>),
    ) {
        let plan = self.plan;
        let (rows, columns) = (&[online.n], &context.v);
        let values = Operand { expr: &context.value, rows, columns, vectors: plan.vectors };
        let panels = (plan.column_vectors, plan.block);
        values.pack_panels(env, self.values, panels, block, range);
    }

    /// The scores of a group of rows, from the row `top` of the chunk on, with the packed keys `from .. to`.
    pub fn scores(&self, env: &Env<'c, '_>, top: V<'c>, (from, to): (V<'c>, V<'c>)) {
        let (b, plan) = (env.b, self.plan);
        let lhs = b.mul(top, Self::number(env, plan.lhs_stride()));
        let lhs = b.address(self.lhs, plan.vectors.scalar, lhs);
        let depth = Self::number(env, plan.depth.next_multiple_of(UNROLL));
        b.for_each(from, to, plan.key_panel() as i64, |column| {
            let offset = b.mul(column, Self::number(env, plan.padded_depth()));
            let call = Call {
                lhs,
                lhs_stride: Self::number(env, plan.lhs_stride()),
                rhs: b.address(self.keys, plan.vectors.scalar, offset),
                sums: b.address(self.scores, plan.vectors.scalar, column),
                sum_stride: Self::number(env, plan.score_stride()),
                depth,
                adds: b.index(0),
            };
            micro(plan, plan.key_vectors).call(b, &call);
        });
    }

    /// Adds the exponentials `from .. to` times their values to the sums of a group of rows.
    pub fn context(&self, env: &Env<'c, '_>, sums: V<'c>, (from, to): (V<'c>, V<'c>)) {
        let (b, plan) = (env.b, self.plan);
        let scalar = plan.vectors.scalar;
        let depth = b.sub(round_up(b, to, UNROLL), from);
        let panel = plan.column_panel() as i64;
        b.for_each(b.index(0), Self::number(env, plan.columns), panel, |column| {
            let offset =
                b.add(b.mul(column, Self::number(env, plan.block)), b.mul(from, b.index(panel)));
            let call = Call {
                lhs: b.address(self.scores, scalar, from),
                lhs_stride: Self::number(env, plan.score_stride()),
                rhs: b.address(self.values, scalar, offset),
                sums: b.address(sums, scalar, column),
                sum_stride: Self::number(env, plan.sum_stride()),
                depth,
                adds: b.index(1),
            };
            micro(plan, plan.column_vectors).call(b, &call);
        });
    }
}
