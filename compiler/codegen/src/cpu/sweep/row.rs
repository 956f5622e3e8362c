//! The points of a row of a block: weights from products.

use super::drive::Ctx;
use crate::build::{Cmp, Scalar, V};
use crate::cpu::block::round_up;
use crate::cpu::env::{Env, Flat, Source};
use crate::cpu::value::{Val, cast};
use einmesh_ir::ValueId;

impl<'c> Ctx<'c, '_> {
    /// Evaluates the points `block + from .. block + to` of a row: its products become weights, 0 where the row has
    /// no point, up to the end of the last vector.
    pub fn row(
        &self,
        env: &Env<'c, '_>,
        (first_row, of_block): (V<'c>, V<'c>),
        block: V<'c>,
        (from, to): (V<'c>, V<'c>),
    ) {
        let (b, plan) = (env.b, self.plan);
        let mut env = plan.rows_of(self.sweep).at(env, b.add(first_row, of_block));
        env.lanes = Some(plan.vectors.lanes as u32);
        let products = self.sweep.products.iter().map(|p| p.acc);
        let locals: Vec<ValueId> =
            products.chain(self.sweep.points.iter().map(|p| p.local)).collect();
        let points = self.sweep.points.iter().map(|p| &p.value);
        for expr in points.chain(self.conditions.points.iter().copied()) {
            env.hoist(expr, &[self.sweep.n], &locals, self.sweep.guard.is_some());
        }
        let low = self.bounds.get(&env, self.bounds.low, of_block);
        let high = self.bounds.get(&env, self.bounds.high, of_block);
        let end = round_up(b, to, plan.vectors.lanes);
        let line = Line {
            env: &env,
            block,
            row: b.mul(of_block, b.index(plan.weight_stride() as i64)),
            low,
            high,
            from,
            end,
        };
        if self.sweep.guard.is_none() && plan.keys.is_multiple_of(plan.vectors.lanes) {
            return self.points(&line, false);
        }
        if !self.conditions.points.is_empty() {
            return self.points(&line, true);
        }
        let inside = b.cmp(Cmp::Le, low, b.add(block, from));
        let whole = b.and(inside, b.cmp(Cmp::Ge, high, b.add(block, end)));
        let masked = |masked: bool| {
            self.points(&line, masked);
            vec![]
        };
        b.if_else(whole, || masked(false), || masked(true));
    }

    fn points(&self, line: &Line<'c, '_, '_>, masked: bool) {
        let (b, plan) = (line.env.b, self.plan);
        let wide = self.sweep.accumulator;
        let vector = plan.vectors.ty();
        b.for_each(line.from, line.end, plan.vectors.lanes as i64, |at| {
            let first = b.add(line.block, at);
            let flat = Flat::of(line.env, &[self.sweep.n], first, Some(plan.vectors.lanes));
            let mut env = line.env.with_flat(flat);
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
                env = env.masked(points);
                mask = Some(points);
            }
            let place = |n: usize| {
                b.address(self.arrays.blocks[n], plan.vectors.scalar, b.add(line.row, at))
            };
            for (n, product) in self.sweep.products.iter().enumerate() {
                let v = b.load(vector, place(n));
                env.sources[product.acc.0 as usize] = Source::Register(Val { v, dtype: wide });
            }
            for point in &self.sweep.points {
                let value = cast(b, env.eval(&point.value), wide).v;
                let v = b.broadcast(value, plan.vectors.lanes as u32);
                env.sources[point.local.0 as usize] = Source::Register(Val { v, dtype: wide });
            }
            for (n, weight) in self.layout.weights.iter().enumerate() {
                let Source::Register(Val { v, .. }) = env.sources[weight.0 as usize] else {
                    continue;
                };
                let v = match mask {
                    Some(mask) => b.select(mask, v, b.float(vector, 0.0)),
                    None => v,
                };
                b.store(v, place(n));
            }
        });
    }
}

/// A row's part of a block.
struct Line<'c, 'e, 'k> {
    env: &'e Env<'c, 'k>,
    /// The block's first key.
    block: V<'c>,
    /// The row's first element in each of the blocks.
    row: V<'c>,
    /// The row's range of keys.
    low: V<'c>,
    high: V<'c>,
    /// The vectors at hand, relative to the block.
    from: V<'c>,
    end: V<'c>,
}
