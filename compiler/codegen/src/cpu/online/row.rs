//! A row of a block: scores from products, the running maximum, exponentials, the running sum.

use super::drive::Ctx;
use crate::build::{Builder, Cmp, Scalar, Ty, V};
use crate::cpu::block::round_up;
use crate::cpu::env::{Env, Flat, Source};
use crate::cpu::math;
use crate::cpu::reduce::{Reduction, shift};
use crate::cpu::value::{Val, cast};
use einmesh_ir::Reducer;

impl<'c> Ctx<'c, '_> {
    /// Takes the keys `block + from .. block + to` into a row's state. Its products become exponentials, 0 where
    /// the row has no point, up to the end of the last vector.
    pub fn row(
        &self,
        env: &Env<'c, '_>,
        state: V<'c>,
        (first_row, top, row): (V<'c>, V<'c>, V<'c>),
        block: V<'c>,
        (from, to): (V<'c>, V<'c>),
    ) {
        let b = env.b;
        let plan = self.plan;
        let of_chunk = b.add(top, row);
        let mut env = plan.rows_of(self.online).at(env, b.add(first_row, of_chunk));
        env.lanes = Some(plan.vectors.lanes as u32);
        let (n, acc) = (self.online.n, self.online.acc);
        let guarded = self.online.guard.is_some();
        env.hoist(&self.online.score, &[n], &[acc], guarded);
        for condition in &self.conditions.points {
            env.hoist(condition, &[n], &[acc], guarded);
        }
        let low = self.bounds.get(&env, self.bounds.low, of_chunk);
        let high = self.bounds.get(&env, self.bounds.high, of_chunk);
        let end = round_up(b, to, plan.vectors.lanes);
        let scores = b.mul(row, b.index(plan.score_stride() as i64));
        let scores = b.address(self.packed.scores, plan.vectors.scalar, scores);
        let line = Line { env: &env, block, scores, low, high, from, end };
        let state = State::at(self, &env, state, of_chunk);

        let largest = match self.always_whole() {
            true => self.largest(&line, false),
            false => {
                let inside = b.cmp(Cmp::Le, low, b.add(block, from));
                let whole = b.and(inside, b.cmp(Cmp::Ge, high, b.add(block, end)));
                let whole = match self.conditions.points.is_empty() {
                    true => whole,
                    false => b.int(Ty::scalar(Scalar::I1), 0),
                };
                b.if_else(whole, || self.largest(&line, false), || self.largest(&line, true))
            }
        };
        let scalar = Ty::scalar(plan.vectors.scalar);
        let across = |reducer: Reducer, v: V<'c>| {
            Reduction { reducer, dtype: self.online.accumulator }.across(b, &[v])[0]
        };
        if !self.conditions.points.is_empty() {
            let before = b.load(scalar, state.seen);
            b.store(b.smax(before, across(Reducer::Max, largest[1])), state.seen);
        }
        // NaN is not seen here: it makes the total NaN, which tells.
        let before = b.load(scalar, state.top);
        let now = highest(b, largest[0]);
        let grows = b.cmp(Cmp::Gt, now, before);
        let most = b.select(grows, now, before);
        let relative = shift(b, most);
        let zero = b.float(plan.vectors.ty(), 0.0);
        let sum = b.for_carried(from, end, plan.vectors.lanes as i64, &[zero], |at, sum| {
            let place = b.address(scores, plan.vectors.scalar, at);
            let exponential = math::exp_weight(b, b.sub(b.load(zero.ty, place), relative));
            if plan.columns > 0 {
                b.store(exponential, place);
            }
            vec![b.add(sum[0], exponential)]
        });
        let sum = across(Reducer::Sum, sum[0]);
        b.if_true(grows, || {
            let factor = math::exp(b, b.sub(before, relative));
            b.store(most, state.top);
            b.store(b.mul(b.load(scalar, state.total), factor), state.total);
            if plan.columns > 0 {
                b.for_each(
                    b.index(0),
                    b.index(plan.sum_stride() as i64),
                    plan.vectors.lanes as i64,
                    |at| {
                        let place = b.address(state.sums, plan.vectors.scalar, at);
                        b.store(b.mul(b.load(zero.ty, place), factor), place);
                    },
                );
            }
        });
        b.store(b.add(b.load(scalar, state.total), sum), state.total);
    }

    /// Whether every key of every block is a point of every row.
    fn always_whole(&self) -> bool {
        self.online.guard.is_none() && self.plan.keys.is_multiple_of(self.plan.vectors.lanes)
    }

    /// Evaluates a row's scores in place, −∞ where there is no point; returns the largest per lane, and, where
    /// points are looked at one by one, 1 for the lanes that have any.
    fn largest(&self, line: &Line<'c, '_, '_>, masked: bool) -> Vec<V<'c>> {
        let plan = self.plan;
        let b = line.env.b;
        let vector = plan.vectors.ty();
        let lowest = b.float(vector, f64::NEG_INFINITY);
        let notes = !self.conditions.points.is_empty();
        let mut initial = vec![lowest];
        if notes {
            initial.push(b.float(vector, 0.0));
        }
        b.for_carried(line.from, line.end, plan.vectors.lanes as i64, &initial, |at, carried| {
            let place = b.address(line.scores, plan.vectors.scalar, at);
            let first = b.add(line.block, at);
            let mut env = line.env.with_flat(Flat::of(
                line.env,
                &[self.online.n],
                first,
                Some(plan.vectors.lanes),
            ));
            let mut mask = None;
            if masked {
                let from_low = b.convert(b.sub(line.low, first), Scalar::I32);
                let to_high = b.convert(b.sub(line.high, first), Scalar::I32);
                let lane = env.step(Scalar::I32);
                let within = b.and(b.cmp(Cmp::Ge, lane, from_low), b.cmp(Cmp::Lt, lane, to_high));
                env = env.masked(within);
                let mut points = within;
                for condition in &self.conditions.points {
                    let holds = env.eval(condition).v;
                    points = b.and(points, b.like(holds, points.ty));
                }
                if notes {
                    env = env.masked(points);
                }
                mask = Some(points);
            }
            let product = Val { v: b.load(vector, place), dtype: self.online.accumulator };
            env.sources[self.online.acc.0 as usize] = Source::Register(product);
            let score = cast(b, env.eval(&self.online.score), self.online.accumulator).v;
            let mut score = b.broadcast(score, plan.vectors.lanes as u32);
            if let Some(mask) = mask {
                score = b.select(mask, score, lowest);
            }
            b.store(score, place);
            let mut next = vec![b.select(b.cmp(Cmp::Gt, score, carried[0]), score, carried[0])];
            if let (true, Some(mask)) = (notes, mask) {
                next.push(b.select(mask, b.float(vector, 1.0), carried[1]));
            } else if notes {
                next.push(b.float(vector, 1.0));
            }
            next
        })
    }
}

/// A row's part of a block.
struct Line<'c, 'e, 'k> {
    env: &'e Env<'c, 'k>,
    /// The block's first key.
    block: V<'c>,
    /// The row's scores.
    scores: V<'c>,
    /// The row's range of keys.
    low: V<'c>,
    high: V<'c>,
    /// The vectors at hand, relative to the block.
    from: V<'c>,
    end: V<'c>,
}

/// Where a row's state is.
struct State<'c> {
    top: V<'c>,
    total: V<'c>,
    seen: V<'c>,
    sums: V<'c>,
}

impl<'c> State<'c> {
    fn at(ctx: &Ctx<'c, '_>, env: &Env<'c, '_>, state: V<'c>, row: V<'c>) -> State<'c> {
        let b = env.b;
        let at = |array: u64, offset: V<'c>| {
            b.address(b.byte_offset(state, array as i64), ctx.plan.vectors.scalar, offset)
        };
        State {
            top: at(ctx.layout.top, row),
            total: at(ctx.layout.total, row),
            seen: at(ctx.layout.seen, row),
            sums: at(ctx.layout.sums, b.mul(row, b.index(ctx.plan.sum_stride() as i64))),
        }
    }
}

/// The largest lane; none is NaN.
fn highest<'c>(b: &Builder<'c>, mut v: V<'c>) -> V<'c> {
    let mut width = v.ty.lanes.unwrap_or(1);
    while width > 1 {
        let half = width / 2;
        let part = |from: u32| {
            let lanes: Vec<i64> = (from..from + half).map(i64::from).collect();
            b.shuffle(v, v, &lanes)
        };
        let (low, high) = (part(0), part(half));
        v = b.select(b.cmp(Cmp::Gt, low, high), low, high);
        width = half;
    }
    b.extract(v, 0)
}
