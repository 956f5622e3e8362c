//! A tile: blocks of keys, blocks of rows, groups of rows.

use super::layout::Layout;
use super::{Plan, finish};
use crate::build::{Cmp, Scalar, V};
use crate::cpu::block::{Bounds, Call, Conditions, Operand, UNROLL, round_down, round_up};
use crate::cpu::env::{Env, Flat};
use crate::cpu::phase::{PhaseShape, Phases, local_bytes};
use crate::error::CompilerBug;
use einmesh_schedule::kernel::{Kernel, Sweep};

/// Adds the phases of a sweep.
pub fn emit(
    phases: &mut Phases<'_, '_>,
    kernel: &Kernel,
    sweep: &Sweep,
) -> Result<(), CompilerBug> {
    let plan = Plan::new(kernel, sweep, phases.level, &phases.sizes);
    let layout = Layout::new(&plan, sweep);
    plan.product_kernel().define(phases);
    for (sum, columns) in sweep.sums.iter().zip(&plan.columns) {
        plan.sum_kernel(sum.of_columns, *columns).define(phases);
    }
    let whole = plan.parts == 1;
    let tiles = plan.batch * plan.parts;
    let shape = PhaseShape {
        tiles,
        workspace_bytes: if whole { 0 } else { layout.state_bytes * tiles },
        scratch_bytes: local_bytes(kernel) + layout.bytes,
    };
    phases.add_raw(kernel, shape, |env, workspace, scratch, begin, end| {
        let b = env.b;
        let at = |place: &u64| b.byte_offset(scratch, *place as i64);
        let all = |places: &[u64]| places.iter().map(at).collect();
        let [low, high, group_low, group_high] = layout.bounds.each_ref().map(at);
        let arrays = Arrays {
            lhs: all(&layout.lhs),
            rhs: all(&layout.rhs),
            values: all(&layout.values),
            blocks: all(&layout.blocks),
            key_sums: all(&layout.key_sums),
        };
        let ctx = Ctx {
            plan: &plan,
            sweep,
            layout: &layout,
            bounds: Bounds { low, high, group_low, group_high },
            arrays,
            conditions: Conditions::of(env, sweep.guard.as_ref(), sweep.n),
        };
        b.for_each(begin, end, 1, |tile| {
            let state = match whole {
                true => at(&layout.state),
                false => state_of(env, &layout, workspace, tile),
            };
            ctx.tile(env, tile, state);
        });
    })?;
    match whole || layout.state_bytes == 0 {
        true => Ok(()),
        false => finish::merge(phases, kernel, (sweep, &plan, &layout)),
    }
}

/// The state of a tile, in the workspace.
pub fn state_of<'c>(env: &Env<'c, '_>, layout: &Layout, workspace: V<'c>, tile: V<'c>) -> V<'c> {
    let offset = env.b.mul(tile, env.b.index(layout.state_bytes as i64));
    env.b.address(workspace, Scalar::I8, offset)
}

/// The place of a batch.
pub fn at_batch<'c, 'k>(env: &Env<'c, 'k>, sweep: &Sweep, batch: V<'c>) -> Env<'c, 'k> {
    match sweep.batch[..] {
        [] => env.clone(),
        ref group => env.with_flat(Flat::of(env, group, batch, None)),
    }
}

/// The arrays of [`Layout`].
pub struct Arrays<'c> {
    pub lhs: Vec<V<'c>>,
    pub rhs: Vec<V<'c>>,
    pub values: Vec<V<'c>>,
    pub blocks: Vec<V<'c>>,
    pub key_sums: Vec<V<'c>>,
}

/// What a tile works with.
pub struct Ctx<'c, 'p> {
    pub plan: &'p Plan,
    pub sweep: &'p Sweep,
    pub layout: &'p Layout,
    pub bounds: Bounds<'c>,
    pub arrays: Arrays<'c>,
    pub conditions: Conditions<'p>,
}

impl<'c> Ctx<'c, '_> {
    /// Sweeps over all rows with a part of the keys.
    fn tile(&self, env: &Env<'c, '_>, tile: V<'c>, state: V<'c>) {
        let (b, plan) = (env.b, self.plan);
        let number = |v: u64| b.index(v as i64);
        let part = b.mul(b.urem(tile, number(plan.parts)), number(plan.part_keys));
        let env = &at_batch(env, self.sweep, b.udiv(tile, number(plan.parts)));
        let part_end = b.smin(b.add(part, number(plan.part_keys)), number(plan.keys));
        let elements = self.layout.state_bytes / plan.vectors.scalar.bytes();
        self.clear(env, state, b.index(0), number(elements));
        b.for_each(part, part_end, plan.block as i64, |block| {
            let keys = b.smin(b.sub(part_end, block), number(plan.block));
            self.pack_keys(env, block, keys);
            for (sum, columns) in plan.columns.iter().enumerate() {
                if self.sweep.sums[sum].of_columns {
                    let elements = number(plan.padded_keys() * columns.stride);
                    self.clear(env, self.arrays.key_sums[sum], b.index(0), elements);
                }
            }
            b.for_each(b.index(0), number(plan.rows), plan.block_rows() as i64, |first| {
                self.rows(env, state, first, (block, keys));
            });
            for number in 0..self.sweep.sums.len() {
                if self.sweep.sums[number].of_columns {
                    let (sums, of) = (self.arrays.key_sums[number], (self.sweep, plan));
                    finish::results(env, of, number, sums, &[self.sweep.n], (block, keys));
                }
            }
        });
        if plan.parts == 1 {
            finish::rows(env, (self.sweep, plan, self.layout), state);
        }
    }

    /// Sets elements to 0, whole vectors.
    fn clear(&self, env: &Env<'c, '_>, array: V<'c>, from: V<'c>, to: V<'c>) {
        let (b, vectors) = (env.b, self.plan.vectors);
        b.for_each(from, to, vectors.lanes as i64, |at| {
            b.store(b.float(vectors.ty(), 0.0), b.address(array, vectors.scalar, at));
        });
    }

    /// Packs what a block of keys has in products and sums of rows.
    fn pack_keys(&self, env: &Env<'c, '_>, block: V<'c>, keys: V<'c>) {
        let (b, plan, vectors) = (env.b, self.plan, self.plan.vectors);
        let rows = &[self.sweep.n];
        let panels = round_up(b, keys, plan.key_panel());
        for (product, into) in self.sweep.products.iter().zip(&self.arrays.rhs) {
            let operand = Operand { expr: &product.rhs, rows, columns: &product.k, vectors };
            operand.pack_turned(env, *into, plan.key_vectors, block, (b.index(0), panels));
        }
        for (n, sum) in self.sweep.sums.iter().enumerate().filter(|(_, s)| !s.of_columns) {
            let operand = Operand { expr: &sum.value, rows, columns: &sum.v, vectors };
            let panels = (plan.columns[n].panel, plan.block);
            operand.pack_panels(env, self.arrays.values[n], panels, block, (b.index(0), keys));
        }
    }

    /// Packs what a block of rows has in products and sums of columns.
    fn pack_rows(&self, env: &Env<'c, '_>, first: V<'c>, count: V<'c>) {
        let (b, plan, vectors) = (env.b, self.plan, self.plan.vectors);
        let rows = &self.sweep.m[..];
        for (n, product) in self.sweep.products.iter().enumerate() {
            let operand = Operand { expr: &product.lhs, rows, columns: &product.k, vectors };
            let all = (first, plan.block_rows());
            operand.pack_rows(env, self.arrays.lhs[n], plan.lhs_stride(n), all);
        }
        for (n, sum) in self.sweep.sums.iter().enumerate().filter(|(_, s)| s.of_columns) {
            let operand = Operand { expr: &sum.value, rows, columns: &sum.v, vectors };
            let panels = (plan.columns[n].panel, plan.block_rows().next_multiple_of(UNROLL));
            operand.pack_panels(env, self.arrays.values[n], panels, first, (b.index(0), count));
        }
    }

    /// A block of rows and a block of keys.
    fn rows(&self, env: &Env<'c, '_>, state: V<'c>, first: V<'c>, (block, keys): (V<'c>, V<'c>)) {
        let (b, plan) = (env.b, self.plan);
        let number = |v: u64| b.index(v as i64);
        let zero = b.index(0);
        let part = (block, b.add(block, keys));
        let rows_of = (plan.rows_of(self.sweep), &self.conditions);
        let (low, high) = self.bounds.fill(env, rows_of, first, part);
        b.if_true(b.cmp(Cmp::Lt, low, high), || {
            let count = b.smin(number(plan.block_rows()), b.sub(number(plan.rows), first));
            self.pack_rows(env, first, count);
            let groups = b.udiv(round_up(b, count, plan.tile_rows), number(plan.tile_rows));
            b.for_each(zero, groups, 1, |group| {
                self.group(env, state, (first, group, count), block);
            });
            // Sums of columns end with a whole step of the depth.
            b.for_each(count, round_up(b, count, UNROLL), 1, |row| {
                self.empty(env, row, zero, number(plan.weight_width()));
            });
            let from = round_down(b, b.sub(low, block), plan.tile_keys);
            self.sums_of_columns(env, count, (from, b.sub(high, block)));
        });
    }

    /// Sets some weights of a row to 0.
    fn empty(&self, env: &Env<'c, '_>, row: V<'c>, from: V<'c>, to: V<'c>) {
        let b = env.b;
        let row = b.mul(row, b.index(self.plan.weight_stride() as i64));
        for weights in &self.arrays.blocks[..self.layout.weights.len()] {
            self.clear(env, *weights, b.add(row, from), b.add(row, to));
        }
    }

    /// A group of rows and a block of keys: products, weights, and what they add to the sums of the rows.
    fn group(
        &self,
        env: &Env<'c, '_>,
        state: V<'c>,
        (first, group, count): (V<'c>, V<'c>, V<'c>),
        block: V<'c>,
    ) {
        let (b, plan) = (env.b, self.plan);
        let number = |v: u64| b.index(v as i64);
        let zero = b.index(0);
        let low = self.bounds.get(env, self.bounds.group_low, group);
        let high = self.bounds.get(env, self.bounds.group_high, group);
        let some = b.cmp(Cmp::Lt, low, high);
        // An empty range is that of no keys at the beginning.
        let to = b.select(some, b.sub(high, block), zero);
        let from = b.select(some, round_down(b, b.sub(low, block), plan.key_panel()), zero);
        let end = round_up(b, to, plan.vectors.lanes);
        let top = b.mul(group, number(plan.tile_rows));
        self.products(env, top, (from, round_up(b, to, plan.key_panel())));
        let rows = b.smin(b.add(top, number(plan.tile_rows)), count);
        b.for_each(top, rows, 1, |row| {
            b.if_true(some, || self.row(env, (first, row), block, (from, to)));
            self.empty(env, row, zero, from);
            self.empty(env, row, end, number(plan.weight_width()));
        });
        self.sums_of_rows(env, state, (first, top), (from, to));
    }

    /// The products of a group of rows with the packed keys `from .. to`, whole panels.
    fn products(&self, env: &Env<'c, '_>, top: V<'c>, (from, to): (V<'c>, V<'c>)) {
        let (b, plan, scalar) = (env.b, self.plan, self.plan.vectors.scalar);
        let number = |v: u64| b.index(v as i64);
        for n in 0..self.sweep.products.len() {
            let stride = number(plan.lhs_stride(n));
            let lhs = b.address(self.arrays.lhs[n], scalar, b.mul(top, stride));
            let row = b.mul(top, number(plan.weight_stride()));
            b.for_each(from, to, plan.key_panel() as i64, |key| {
                let panel = b.mul(key, number(plan.padded_depth(n)));
                let call = Call {
                    lhs,
                    lhs_stride: stride,
                    rhs: b.address(self.arrays.rhs[n], scalar, panel),
                    sums: b.address(self.arrays.blocks[n], scalar, b.add(row, key)),
                    sum_stride: number(plan.weight_stride()),
                    depth: number(plan.depths[n].next_multiple_of(UNROLL)),
                    adds: b.index(0),
                };
                plan.product_kernel().call(b, &call);
            });
        }
    }

    /// The block with a sum's weights.
    fn weights(&self, sum: usize) -> V<'c> {
        let weight = self.sweep.sums[sum].weight;
        let at = self.layout.weights.iter().position(|w| *w == weight);
        self.arrays.blocks[at.unwrap_or(0)]
    }

    /// Adds the weights `from .. to` of a group of rows times their values to the rows' sums.
    fn sums_of_rows(
        &self,
        env: &Env<'c, '_>,
        state: V<'c>,
        (first, top): (V<'c>, V<'c>),
        (from, to): (V<'c>, V<'c>),
    ) {
        let (b, plan, scalar) = (env.b, self.plan, self.plan.vectors.scalar);
        let number = |v: u64| b.index(v as i64);
        let weights = b.add(b.mul(top, number(plan.weight_stride())), from);
        for n in (0..self.sweep.sums.len()).filter(|n| !self.sweep.sums[*n].of_columns) {
            let columns = plan.columns[n];
            let width = columns.panel * plan.vectors.lanes;
            let row = b.mul(b.add(first, top), number(columns.stride));
            let sums = b.byte_offset(state, self.layout.row_sums[n] as i64);
            b.for_each(b.index(0), number(columns.count), width as i64, |column| {
                let rhs = b.add(b.mul(column, number(plan.block)), b.mul(from, number(width)));
                let call = Call {
                    lhs: b.address(self.weights(n), scalar, weights),
                    lhs_stride: number(plan.weight_stride()),
                    rhs: b.address(self.arrays.values[n], scalar, rhs),
                    sums: b.address(sums, scalar, b.add(row, column)),
                    sum_stride: number(columns.stride),
                    depth: b.sub(round_up(b, to, UNROLL), from),
                    adds: b.index(1),
                };
                plan.sum_kernel(false, columns).call(b, &call);
            });
        }
    }

    /// Adds the weights of a block's `count` rows times their values to the sums of the keys `from .. to`.
    fn sums_of_columns(&self, env: &Env<'c, '_>, count: V<'c>, (from, to): (V<'c>, V<'c>)) {
        let (b, plan, scalar) = (env.b, self.plan, self.plan.vectors.scalar);
        let number = |v: u64| b.index(v as i64);
        let depth = round_up(b, count, UNROLL);
        let held = plan.block_rows().next_multiple_of(UNROLL);
        for n in (0..self.sweep.sums.len()).filter(|n| self.sweep.sums[*n].of_columns) {
            let columns = plan.columns[n];
            let width = columns.panel * plan.vectors.lanes;
            b.for_each(b.index(0), number(columns.count), width as i64, |column| {
                let rhs = b.mul(column, number(held));
                let rhs = b.address(self.arrays.values[n], scalar, rhs);
                b.for_each(from, to, plan.tile_keys as i64, |key| {
                    let sums = b.add(b.mul(key, number(columns.stride)), column);
                    let call = Call {
                        lhs: b.address(self.weights(n), scalar, key),
                        lhs_stride: number(plan.weight_stride()),
                        rhs,
                        sums: b.address(self.arrays.key_sums[n], scalar, sums),
                        sum_stride: number(columns.stride),
                        depth,
                        adds: b.index(1),
                    };
                    plan.sum_kernel(true, columns).call(b, &call);
                });
            });
        }
    }
}
