//! The two products of a block: packed operands, and a micro-kernel that holds its part of the result in
//! registers. Scores are rows times keys, context is weights times values.

use super::{Plan, UNROLL};
use crate::build::{Builder, Cmp, Scalar, Ty, V};
use crate::cpu::env::{Env, Flat};
use crate::cpu::gemm::{contiguous, transpose};
use crate::cpu::phase::Phases;
use crate::cpu::value::cast;
use einmesh_ir::Expr;
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
        define(phases, plan, plan.key_vectors);
        if plan.columns > 0 {
            define(phases, plan, plan.column_vectors);
        }
    }
}

impl<'c> Packed<'c, '_> {
    fn number(env: &Env<'c, '_>, value: u64) -> V<'c> {
        env.b.index(value as i64)
    }

    /// Packs a chunk's rows, from `first` on. Rows beyond the last repeat it, and are never stored.
    pub fn pack_rows(&self, env: &Env<'c, '_>, online: &Online, first: V<'c>) {
        let (b, plan) = (env.b, self.plan);
        let zero = b.index(0);
        b.for_each(zero, Self::number(env, plan.padded_rows()), 1, |row| {
            let env = at_row(env, online, plan, b.add(first, row));
            b.for_each(zero, Self::number(&env, plan.depth), plan.lanes as i64, |depth| {
                let value = along(&env, plan, online, &online.lhs, depth);
                let offset = b.add(b.mul(row, b.index(plan.lhs_stride() as i64)), depth);
                b.store(value, b.address(self.lhs, plan.scalar, offset));
            });
        });
    }

    /// Packs the keys `block + from .. block + to`, whole panels. Keys beyond the last repeat it.
    pub fn pack_keys(
        &self,
        env: &Env<'c, '_>,
        online: &Online,
        block: V<'c>,
        (from, to): (V<'c>, V<'c>),
    ) {
        let (b, plan) = (env.b, self.plan);
        let (lanes, panel) = (plan.lanes as i64, plan.key_panel() as i64);
        let last = Self::number(env, plan.keys.saturating_sub(1));
        let turned = contiguous(env.kernel, &online.rhs, &online.k)
            || !contiguous(env.kernel, &online.rhs, &[online.n]);
        b.for_each(from, to, panel, |column| {
            let base = b.mul(column, Self::number(env, plan.padded_depth()));
            let base = b.address(self.keys, plan.scalar, base);
            let store = |value: V<'c>, depth: V<'c>, vector: i64| {
                let offset = b.add(b.mul(depth, b.index(panel)), b.index(vector * lanes));
                b.store(value, b.address(base, plan.scalar, offset));
            };
            for vector in 0..plan.key_vectors as i64 {
                let key = b.add(b.add(block, column), b.index(vector * lanes));
                if turned {
                    b.for_each(b.index(0), Self::number(env, plan.depth), lanes, |depth| {
                        let rows = (0..lanes)
                            .map(|r| {
                                let key = b.smin(b.add(key, b.index(r)), last);
                                let env = env.with_flat(Flat::of(env, &[online.n], key, None));
                                along(&env, plan, online, &online.rhs, depth)
                            })
                            .collect();
                        for (d, row) in transpose(b, rows).into_iter().enumerate() {
                            store(row, b.add(depth, b.index(d as i64)), vector);
                        }
                    });
                } else {
                    b.for_each(b.index(0), Self::number(env, plan.padded_depth()), 1, |depth| {
                        let within = b.smin(depth, Self::number(env, plan.depth.saturating_sub(1)));
                        let env = env.with_flat(Flat::of(env, &online.k, within, None));
                        let flat = Flat::of(&env, &[online.n], key, Some(plan.lanes));
                        let whole = plan.keys.is_multiple_of(plan.key_panel());
                        let count = (!whole).then(|| b.sub(Self::number(&env, plan.keys), key));
                        let value = lanewise(&env, plan, flat, count, online, &online.rhs);
                        let beyond = b.cmp(Cmp::Ne, depth, within);
                        store(b.select(beyond, b.float(value.ty, 0.0), value), depth, vector);
                    });
                }
            }
        });
    }

    /// Packs the values of the keys `block + from .. block + to`, and zeros up to a multiple of the
    /// micro-kernel's unrolling.
    pub fn pack_values(
        &self,
        env: &Env<'c, '_>,
        (online, context): (&Online, &Context),
        block: V<'c>,
        (from, to): (V<'c>, V<'c>),
    ) {
        let (b, plan) = (env.b, self.plan);
        let (lanes, panel) = (plan.lanes as i64, plan.column_panel() as i64);
        let whole = round_up(b, to, UNROLL);
        let columns = Self::number(env, plan.columns);
        b.for_each(b.index(0), columns, panel, |column| {
            let base = b.mul(column, Self::number(env, plan.block));
            let base = b.address(self.values, plan.scalar, base);
            let place = |key: V<'c>, vector: i64| {
                let offset = b.add(b.mul(key, b.index(panel)), b.index(vector * lanes));
                b.address(base, plan.scalar, offset)
            };
            b.for_each(from, to, 1, |key| {
                let env = env.with_flat(Flat::of(env, &[online.n], b.add(block, key), None));
                for vector in 0..plan.column_vectors as i64 {
                    let first = b.add(column, b.index(vector * lanes));
                    let flat = Flat::of(&env, &context.v, first, Some(plan.lanes));
                    let whole = plan.columns.is_multiple_of(plan.column_panel());
                    let count = (!whole).then(|| b.sub(columns, first));
                    let value = lanewise(&env, plan, flat, count, online, &context.value);
                    b.store(value, place(key, vector));
                }
            });
            b.for_each(to, whole, 1, |key| {
                for vector in 0..plan.column_vectors as i64 {
                    let zero = b.float(Ty::vector(plan.scalar, plan.lanes as u32), 0.0);
                    b.store(zero, place(key, vector));
                }
            });
        });
    }

    /// The scores of a group of rows, from the row `top` of the chunk on, with the packed keys `from .. to`.
    pub fn scores(&self, env: &Env<'c, '_>, top: V<'c>, (from, to): (V<'c>, V<'c>)) {
        let (b, plan) = (env.b, self.plan);
        let lhs = b.mul(top, Self::number(env, plan.lhs_stride()));
        let lhs = b.address(self.lhs, plan.scalar, lhs);
        let depth = Self::number(env, plan.depth.next_multiple_of(UNROLL));
        b.for_each(from, to, plan.key_panel() as i64, |column| {
            let offset = b.mul(column, Self::number(env, plan.padded_depth()));
            let call = Call {
                lhs,
                lhs_stride: Self::number(env, plan.lhs_stride()),
                rhs: b.address(self.keys, plan.scalar, offset),
                sums: b.address(self.scores, plan.scalar, column),
                sum_stride: Self::number(env, plan.score_stride()),
                depth,
                adds: b.index(0),
            };
            call.emit(b, plan, plan.key_vectors);
        });
    }

    /// Adds the exponentials `from .. to` times their values to the sums of a group of rows.
    pub fn context(&self, env: &Env<'c, '_>, sums: V<'c>, (from, to): (V<'c>, V<'c>)) {
        let (b, plan) = (env.b, self.plan);
        let depth = b.sub(round_up(b, to, UNROLL), from);
        let panel = plan.column_panel() as i64;
        b.for_each(b.index(0), Self::number(env, plan.columns), panel, |column| {
            let offset =
                b.add(b.mul(column, Self::number(env, plan.block)), b.mul(from, b.index(panel)));
            let call = Call {
                lhs: b.address(self.scores, plan.scalar, from),
                lhs_stride: Self::number(env, plan.score_stride()),
                rhs: b.address(self.values, plan.scalar, offset),
                sums: b.address(sums, plan.scalar, column),
                sum_stride: Self::number(env, plan.sum_stride()),
                depth,
                adds: b.index(1),
            };
            call.emit(b, plan, plan.column_vectors);
        });
    }
}

/// The place of a row; rows beyond the last are at it.
pub fn at_row<'c, 'k>(env: &Env<'c, 'k>, online: &Online, plan: &Plan, row: V<'c>) -> Env<'c, 'k> {
    let last = env.b.index(plan.rows as i64 - 1);
    env.with_flat(Flat::of(env, &online.m, env.b.smin(row, last), None))
}

/// A factor at the depths `depth ..` in the lanes, 0 beyond the last.
pub fn along<'c>(
    env: &Env<'c, '_>,
    plan: &Plan,
    online: &Online,
    factor: &Expr,
    depth: V<'c>,
) -> V<'c> {
    let flat = Flat::of(env, &online.k, depth, Some(plan.lanes));
    let whole = plan.depth.is_multiple_of(plan.lanes);
    let count = (!whole).then(|| env.b.sub(env.b.index(plan.depth as i64), depth));
    lanewise(env, plan, flat, count, online, factor)
}

/// An expression with a group along the lanes, 0 in all but the first `count`; without one, all lanes are in range.
pub fn lanewise<'c>(
    env: &Env<'c, '_>,
    plan: &Plan,
    flat: Flat<'c>,
    count: Option<V<'c>>,
    online: &Online,
    expr: &Expr,
) -> V<'c> {
    let b = env.b;
    let mut env = env.with_flat(flat);
    env.lanes = Some(plan.lanes as u32);
    let Some(count) = count else {
        let value = cast(b, env.eval(expr), online.accumulator).v;
        return b.broadcast(value, plan.lanes as u32);
    };
    let mask = env.first_lanes(count);
    let env = env.masked(mask);
    let value = cast(b, env.eval(expr), online.accumulator).v;
    let zero = b.float(Ty::vector(plan.scalar, plan.lanes as u32), 0.0);
    b.select(mask, value, zero)
}

/// The least multiple of `unit` that is not smaller.
pub fn round_up<'c>(b: &Builder<'c>, value: V<'c>, unit: u64) -> V<'c> {
    let unit = b.index(unit as i64);
    b.mul(b.udiv(b.add(value, b.sub(unit, b.index(1))), unit), unit)
}

/// The largest multiple of `unit` that is not larger.
pub fn round_down<'c>(b: &Builder<'c>, value: V<'c>, unit: u64) -> V<'c> {
    let unit = b.index(unit as i64);
    b.mul(b.udiv(value, unit), unit)
}

/// The arguments of the micro-kernel's function.
struct Call<'c> {
    /// The first row.
    lhs: V<'c>,
    /// Elements from one row to the next.
    lhs_stride: V<'c>,
    /// The packed panel.
    rhs: V<'c>,
    /// The first of the sums.
    sums: V<'c>,
    /// Elements from one row of sums to the next.
    sum_stride: V<'c>,
    /// The depth, a multiple of [`UNROLL`].
    depth: V<'c>,
    /// Whether the sums are added to, rather than written: 0 or 1.
    adds: V<'c>,
}

fn name(plan: &Plan, vectors: u64) -> String {
    let kind = if plan.scalar == Scalar::F64 { "f64" } else { "f32" };
    format!("online_{kind}_{}x{vectors}", plan.tile_rows)
}

/// Adds a micro-kernel to the module, once.
fn define(phases: &mut Phases<'_, '_>, plan: &Plan, vectors: u64) {
    let name = name(plan, vectors);
    if !phases.shared.insert(name.clone()) {
        return;
    }
    let b = phases.b;
    let arguments = [Ty::PTR, Ty::I64, Ty::PTR, Ty::PTR, Ty::I64, Ty::I64, Ty::I64];
    b.function(&name, &arguments, false, |a| {
        let call = Call {
            lhs: a[0],
            lhs_stride: a[1],
            rhs: a[2],
            sums: a[3],
            sum_stride: a[4],
            depth: a[5],
            adds: a[6],
        };
        call.body(b, plan, vectors as i64);
    });
}

impl<'c> Call<'c> {
    fn emit(&self, b: &Builder<'c>, plan: &Plan, vectors: u64) {
        let arguments = [
            self.lhs,
            self.lhs_stride,
            self.rhs,
            self.sums,
            self.sum_stride,
            self.depth,
            self.adds,
        ];
        b.call(&name(plan, vectors), &arguments);
    }

    fn body(&self, b: &Builder<'c>, plan: &Plan, vectors: i64) {
        let scalar = plan.scalar;
        let (lanes, rows) = (plan.lanes as i64, plan.tile_rows as i64);
        let vector = Ty::vector(scalar, plan.lanes as u32);
        let at = |base: V<'c>, offset: i64| b.byte_offset(base, offset * scalar.bytes() as i64);
        let row =
            |base: V<'c>, stride: V<'c>, i: i64| b.address(base, scalar, b.mul(stride, b.index(i)));
        let lhs: Vec<V<'c>> = (0..rows).map(|i| row(self.lhs, self.lhs_stride, i)).collect();
        let zeros = vec![b.float(vector, 0.0); (rows * vectors) as usize];
        let sums = b.for_carried(b.index(0), self.depth, UNROLL as i64, &zeros, |k, sums| {
            let mut sums = sums.to_vec();
            let panel = b.address(self.rhs, scalar, b.mul(k, b.index(vectors * lanes)));
            for step in 0..UNROLL as i64 {
                let columns: Vec<V<'c>> = (0..vectors)
                    .map(|v| b.load(vector, at(panel, (step * vectors + v) * lanes)))
                    .collect();
                for (i, lhs) in lhs.iter().enumerate() {
                    let factor = at(b.address(*lhs, scalar, k), step);
                    let factor = b.load(Ty::scalar(scalar), factor);
                    let factor = b.broadcast(factor, plan.lanes as u32);
                    for (v, column) in columns.iter().enumerate() {
                        let sum = &mut sums[i * vectors as usize + v];
                        *sum = b.fma(factor, *column, *sum);
                    }
                }
            }
            sums
        });
        let place = |n: usize| {
            let (i, v) = (n as i64 / vectors, n as i64 % vectors);
            at(row(self.sums, self.sum_stride, i), v * lanes)
        };
        let adds = b.cmp(Cmp::Ne, self.adds, b.index(0));
        b.if_else(
            adds,
            || {
                for (n, sum) in sums.iter().enumerate() {
                    let before = b.load(vector, place(n));
                    b.store(b.add(before, *sum), place(n));
                }
                vec![]
            },
            || {
                for (n, sum) in sums.iter().enumerate() {
                    b.store(*sum, place(n));
                }
                vec![]
            },
        );
    }
}
