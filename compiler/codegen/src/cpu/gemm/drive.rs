//! A tile of the result: steps along the depth, panels, micro-kernels, the epilogue.

use super::Plan;
use super::micro::{self, Call, Shared};
use super::pack::{self, Pack, padded};
use crate::build::{Cmp, Scalar, Ty, V};
use crate::cpu::env::{Env, Flat, Source};
use crate::cpu::phase::{ALIGN, PhaseShape, Phases, local_bytes};
use crate::cpu::value::Val;
use crate::error::CompilerBug;
use einmesh_ir::IndexId;
use einmesh_schedule::kernel::{Contraction, Kernel};

/// Adds the phase of a matrix product.
pub fn emit(
    phases: &mut Phases<'_, '_>,
    kernel: &Kernel,
    contraction: &Contraction,
    plan: &Plan,
) -> Result<(), CompilerBug> {
    micro::define(phases, plan);
    let size = |elements: u64| (elements * plan.scalar.bytes()).next_multiple_of(ALIGN);
    let (lhs_bytes, rhs_bytes) =
        (size(plan.lhs_elements() + slack(plan)), size(plan.rhs_elements()));
    let shape = PhaseShape {
        tiles: plan.batch * plan.row_blocks() * plan.column_blocks(),
        workspace_bytes: 0,
        scratch_bytes: local_bytes(kernel) + lhs_bytes + rhs_bytes + size(plan.sums_elements()),
    };
    let mut used = std::collections::BTreeSet::new();
    phases.add_raw(kernel, shape, |env, _, scratch, begin, end| {
        let b = env.b;
        let memory = Scratch {
            lhs: scratch,
            rhs: b.byte_offset(scratch, lhs_bytes as i64),
            sums: b.byte_offset(scratch, (lhs_bytes + rhs_bytes) as i64),
        };
        let mut ctx = Ctx { plan, contraction, memory, shared: Shared { used: &mut used } };
        b.for_each(begin, end, 1, |tile| ctx.tile(env, tile));
    })
}

/// Transposing rows of lhs may write up to a square beyond the last.
fn slack(plan: &Plan) -> u64 {
    plan.lanes * plan.lhs_stride()
}

struct Scratch<'c> {
    lhs: V<'c>,
    rhs: V<'c>,
    sums: V<'c>,
}

struct Ctx<'c, 'p> {
    plan: &'p Plan,
    contraction: &'p Contraction,
    memory: Scratch<'c>,
    shared: Shared<'p>,
}

/// A block of the result.
struct Block<'c> {
    first_row: V<'c>,
    rows: V<'c>,
    first_column: V<'c>,
    columns: V<'c>,
}

impl<'c> Ctx<'c, '_> {
    /// Computes a tile. Those that follow each other share columns, and so their part of rhs in the cache.
    fn tile(&mut self, env: &Env<'c, '_>, tile: V<'c>) {
        let b = env.b;
        let plan = self.plan;
        let (row_blocks, column_blocks) = (plan.row_blocks(), plan.column_blocks());
        let number = |v: u64| b.index(v as i64);
        let row_block = b.urem(tile, number(row_blocks));
        let rest = b.udiv(tile, number(row_blocks));
        let column_block = b.urem(rest, number(column_blocks));
        let batch = b.udiv(rest, number(column_blocks));
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
    fn step(&mut self, env: &Env<'c, '_>, block: &Block<'c>, depth: V<'c>) {
        let b = env.b;
        let plan = self.plan;
        let c = self.contraction;
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
        pack::rhs(env, plan, &rhs);
        let padded = padded(env, depths);
        b.for_each(zero, block.rows, plan.packed_rows as i64, |top| {
            let left = b.sub(block.rows, top);
            let rows = b.smin(b.index(plan.packed_rows as i64), left);
            let lhs = Pack {
                operand: &c.lhs,
                across: &c.m,
                first: b.add(block.first_row, top),
                count: self.whole_tiles(env, rows),
                total: plan.rows,
                into: self.memory.lhs,
                ..rhs
            };
            pack::lhs(env, plan, &lhs);
            let stride = b.index(plan.sums_stride() as i64);
            b.for_each(zero, block.columns, plan.panel() as i64, |column| {
                let panel = b.address(
                    self.memory.rhs,
                    plan.scalar,
                    b.mul(column, b.index(plan.step as i64)),
                );
                b.for_each(zero, rows, plan.tile_rows as i64, |row| {
                    let lhs_offset = b.mul(row, b.index(plan.lhs_stride() as i64));
                    let sums_offset = b.add(b.mul(b.add(top, row), stride), column);
                    let call = Call {
                        lhs: b.address(self.memory.lhs, plan.scalar, lhs_offset),
                        rhs: panel,
                        sums: b.address(self.memory.sums, plan.scalar, sums_offset),
                        stride,
                        depth: padded,
                        first,
                    };
                    micro::call(&mut self.shared, b, plan, &call);
                });
            });
        });
    }

    /// The number of rows, rounded up to whole register tiles.
    fn whole_tiles(&self, env: &Env<'c, '_>, rows: V<'c>) -> V<'c> {
        let b = env.b;
        let unit = self.plan.tile_rows as i64;
        let more = b.add(rows, b.index(unit - 1));
        b.mul(b.udiv(more, b.index(unit)), b.index(unit))
    }

    /// Stores what the epilogue makes of the finished sums, row by row, lanes along the columns.
    fn epilogue(&self, env: &Env<'c, '_>, block: &Block<'c>) {
        let b = env.b;
        let plan = self.plan;
        let c = self.contraction;
        let zero = b.index(0);
        let lanes = plan.lanes as i64;
        let vector = Ty::vector(plan.scalar, plan.lanes as u32);
        b.for_each(zero, block.rows, 1, |row| {
            let mut env = env.with_flat(Flat::of(env, &c.m, b.add(block.first_row, row), None));
            let mut inner = c.n.clone();
            let unwritten = c.target.value;
            // The sum is not known outside of the loop over columns.
            inner.extend(c.k.iter());
            hoist_without_acc(&mut env, c, &inner, unwritten);
            let sums_row = b.mul(row, b.index(plan.sums_stride() as i64));
            let store = |column: V<'c>, masked: bool| {
                let first = b.add(block.first_column, column);
                let mut env = env.with_flat(Flat::of(&env, &c.n, first, Some(plan.lanes)));
                env.lanes = Some(plan.lanes as u32);
                if masked {
                    let mask = env.first_lanes(b.sub(block.columns, column));
                    env = env.masked(mask);
                }
                let offset = b.add(sums_row, column);
                let sum = b.load(vector, b.address(self.memory.sums, plan.scalar, offset));
                let dtype = c.accumulator;
                env.sources[c.acc.0 as usize] = Source::Register(Val { v: sum, dtype });
                let value = env.eval(&c.epilogue);
                env.write(&c.target, value);
            };
            let whole = b.mul(b.udiv(block.columns, b.index(lanes)), b.index(lanes));
            b.for_each(zero, whole, lanes, |column| store(column, false));
            if !plan.columns.is_multiple_of(plan.lanes) {
                b.if_true(b.cmp(Cmp::Lt, whole, block.columns), || store(whole, true));
            }
        });
    }
}

fn hoist_without_acc(
    env: &mut Env<'_, '_>,
    c: &Contraction,
    inner: &[IndexId],
    written: einmesh_ir::ValueId,
) {
    fn visit(
        env: &mut Env<'_, '_>,
        expr: &einmesh_ir::Expr,
        acc: einmesh_ir::ValueId,
        inner: &[IndexId],
        written: einmesh_ir::ValueId,
    ) {
        if !expr.loads().iter().any(|l| l.value == acc) {
            return env.hoist(expr, inner, written);
        }
        for child in expr.children() {
            visit(env, child, acc, inner, written);
        }
    }
    visit(env, &c.epilogue, c.acc, inner, written);
}
