//! A block of the result: steps along the depth, packing, the micro-kernel, the epilogue.

use super::micro::{self, Call};
use super::pack::{self, Pairs, padded};
use super::{Form, LANES, Plan};
use crate::build::{Cmp, Scalar, Ty, V};
use crate::cpu::amx;
use crate::cpu::env::{Env, Flat, Source};
use crate::cpu::gemm::pack::Pack;
use crate::cpu::phase::{ALIGN, PhaseShape, Phases, local_bytes};
use crate::cpu::value::Val;
use crate::error::CompilerBug;
use einmesh_schedule::kernel::{Contraction, Kernel};

/// Adds the phase of a product.
pub fn emit(
    phases: &mut Phases<'_, '_>,
    kernel: &Kernel,
    contraction: &Contraction,
    plan: &Plan,
) -> Result<(), CompilerBug> {
    micro::define(phases, plan);
    let size = |words: u64| (4 * words).next_multiple_of(ALIGN) as i64;
    // Transposing rows of lhs may write up to a square beyond the last.
    let lhs = size((plan.packed_rows + LANES) * plan.lhs_stride);
    let rhs = size(plan.block_columns * plan.step / 2);
    let sums = size(plan.block_rows * plan.sums_stride());
    let config = if plan.form == Form::Tiles { amx::CONFIG_BYTES as i64 } else { 0 };
    let shape = PhaseShape {
        tiles: plan.batch * plan.row_blocks() * plan.column_blocks(),
        workspace_bytes: 0,
        scratch_bytes: local_bytes(kernel) + (lhs + rhs + sums + config) as u64,
    };
    phases.add_raw(kernel, shape, |env, _, scratch, begin, end| {
        let b = env.b;
        let memory = Scratch {
            lhs: scratch,
            rhs: b.byte_offset(scratch, lhs),
            sums: b.byte_offset(scratch, lhs + rhs),
            config: b.byte_offset(scratch, lhs + rhs + sums),
        };
        if plan.form == Form::Tiles {
            amx::configure(b, memory.config);
        }
        let ctx = Ctx { plan, contraction, memory };
        b.for_each(begin, end, 1, |tile| ctx.tile(env, tile));
    })
}

struct Scratch<'c> {
    lhs: V<'c>,
    rhs: V<'c>,
    sums: V<'c>,
    config: V<'c>,
}

struct Ctx<'c, 'p> {
    plan: &'p Plan,
    contraction: &'p Contraction,
    memory: Scratch<'c>,
}

/// A block of the result.
struct Block<'c> {
    first_row: V<'c>,
    rows: V<'c>,
    first_column: V<'c>,
    columns: V<'c>,
}

impl<'c> Ctx<'c, '_> {
    /// Computes a block. Those that follow each other share columns, and so their part of rhs in the cache.
    fn tile(&self, env: &Env<'c, '_>, tile: V<'c>) {
        let b = env.b;
        let plan = self.plan;
        let number = |v: u64| b.index(v as i64);
        let row_block = b.urem(tile, number(plan.row_blocks()));
        let rest = b.udiv(tile, number(plan.row_blocks()));
        let column_block = b.urem(rest, number(plan.column_blocks()));
        let batch = b.udiv(rest, number(plan.column_blocks()));
        let part = |block: V<'c>, size: u64, total: u64| {
            let first = b.mul(block, number(size));
            (first, b.smin(number(size), b.sub(number(total), first)))
        };
        let (first_row, rows) = part(row_block, plan.block_rows, plan.rows);
        let (first_column, columns) = part(column_block, plan.block_columns, plan.columns);
        let block = Block { first_row, rows, first_column, columns };
        let env = match self.contraction.batch[..] {
            [] => env.clone(),
            ref group => env.with_flat(Flat::of(env, group, batch, None)),
        };
        b.for_each(b.index(0), number(plan.depth), plan.step as i64, |depth| {
            self.step(&env, &block, depth);
        });
        self.epilogue(&env, &block);
    }

    /// Adds the products of one step's depths.
    fn step(&self, env: &Env<'c, '_>, block: &Block<'c>, depth: V<'c>) {
        let b = env.b;
        let (plan, c) = (self.plan, self.contraction);
        let zero = b.index(0);
        let depths = b.smin(b.index(plan.step as i64), b.sub(b.index(plan.depth as i64), depth));
        let first = b.zext(b.cmp(Cmp::Eq, depth, zero), Scalar::I64);
        let rhs = Pack {
            operand: &c.rhs,
            across: &c.n,
            along: &c.k,
            first: block.first_column,
            count: block.columns,
            total: plan.columns,
            depth,
            depths,
            into: self.memory.rhs,
            dtype: c.accumulator,
        };
        pack::rhs(env, plan, &Pairs::of(plan, Pack { ..rhs }, env));
        let stride = b.index(plan.sums_stride() as i64);
        b.for_each(zero, block.rows, plan.packed_rows as i64, |top| {
            let left = b.sub(block.rows, top);
            let rows = b.smin(b.index(plan.packed_rows as i64), left);
            // Rounded up to whole tiles.
            let unit = b.index(plan.tile_rows as i64);
            let more = b.add(rows, b.index(plan.tile_rows as i64 - 1));
            let rows = b.mul(b.udiv(more, unit), unit);
            let lhs = Pack {
                operand: &c.lhs,
                across: &c.m,
                first: b.add(block.first_row, top),
                count: rows,
                total: plan.rows,
                into: self.memory.lhs,
                ..rhs
            };
            pack::lhs(env, plan, &Pairs::of(plan, lhs, env));
            let call = Call {
                lhs: self.memory.lhs,
                rhs: self.memory.rhs,
                sums: b.address(self.memory.sums, Scalar::F32, b.mul(top, stride)),
                stride,
                deepest: b.index(plan.step as i64 / 2),
                rows,
                columns: block.columns,
                pairs: padded(b, plan, depths),
                first,
                config: self.memory.config,
            };
            micro::call(b, plan, &call);
        });
    }

    /// Stores what the epilogue makes of the finished sums, row by row, lanes along the columns.
    fn epilogue(&self, env: &Env<'c, '_>, block: &Block<'c>) {
        let b = env.b;
        let (plan, c) = (self.plan, self.contraction);
        let zero = b.index(0);
        let lanes = LANES as i64;
        b.for_each(zero, block.rows, 1, |row| {
            let mut env = env.with_flat(Flat::of(env, &c.m, b.add(block.first_row, row), None));
            let inner = [&c.n[..], &c.k].concat();
            env.hoist(&c.epilogue, &inner, &[c.acc, c.target.value], false);
            let sums_row = b.mul(row, b.index(plan.sums_stride() as i64));
            let store = |column: V<'c>, masked: bool| {
                let first = b.add(block.first_column, column);
                let mut env = env.with_flat(Flat::of(&env, &c.n, first, Some(LANES)));
                env.lanes = Some(LANES as u32);
                if masked {
                    let mask = env.first_lanes(b.sub(block.columns, column));
                    env = env.masked(mask);
                }
                let place = b.address(self.memory.sums, Scalar::F32, b.add(sums_row, column));
                let v = b.load(Ty::vector(Scalar::F32, LANES as u32), place);
                let dtype = c.accumulator;
                env.sources[c.acc.0 as usize] = Source::Register(Val { v, dtype });
                let value = env.eval(&c.epilogue);
                env.write(&c.target, value);
            };
            let whole = b.mul(b.udiv(block.columns, b.index(lanes)), b.index(lanes));
            b.for_each(zero, whole, lanes, |column| store(column, false));
            if !plan.columns.is_multiple_of(LANES) {
                b.if_true(b.cmp(Cmp::Lt, whole, block.columns), || store(whole, true));
            }
        });
    }
}
