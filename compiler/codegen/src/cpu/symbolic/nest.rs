//! Everything that is no matrix product: a loop nest over extents in registers.
//!
//! Outer indices are the tiles; of a stage that is alone free ones are, too, the one along the lanes in chunks. The other
//! free indices, and reductions, are inside. Lanes run along the innermost free index, or along a reduced one if that is
//! how the operands lie. The order in which points are combined depends on extents only.

use super::place::{Binding, Open, Place, Source};
use super::shape::Shape;
use super::tiles::{self, Split};
use crate::build::{Scalar, Ty, V};
use crate::cpu::block::round_down;
use crate::cpu::cost::{self, Lane};
use crate::cpu::env::{Extents, dtype_of};
use crate::cpu::level::Level;
use crate::cpu::nest::guard::conjuncts;
use crate::cpu::reduce::Reduction;
use crate::cpu::value::{Val, cast, register};
use einmesh_ir::{BinaryOp, Expr, IndexId, Reducer, ValueId};
use einmesh_schedule::kernel::{Contraction, Nest, Stage};

/// Positions along the lanes in a tile.
const CHUNK: u64 = 2048;
/// Vectors that are computed side by side, to hide the latency of their operations.
const UNROLL: u32 = 4;
/// Bodies that cost less are unrolled.
const CHEAP: f64 = 24.0;

/// A nest, as it is emitted.
pub struct Plan<'s> {
    /// The indices that are tiles, one position each.
    outer: Vec<IndexId>,
    stages: Vec<Loops<'s>>,
    /// How points are shared out: of the outer indices, and of the lanes of a stage that is alone.
    pub tiles: Vec<Split>,
}

/// The loops of a stage.
struct Loops<'s> {
    stage: &'s Stage,
    /// Free indices inside of the outer ones, but for the one along the lanes.
    inner: Vec<IndexId>,
    /// The index along the lanes, and whether it is reduced.
    lane: Option<(IndexId, bool)>,
    lanes: u32,
    unroll: u32,
    conditions: Vec<&'s Expr>,
    reduction: Reduction,
    /// What is stored instead of the reduction, an expression of it.
    finish: Option<(ValueId, &'s Expr)>,
}

/// A sum of products as a stage.
pub fn sum_of_products(shape: &Shape, c: &Contraction) -> Stage {
    let factor = |e: &Expr| match dtype_of(&shape.kernel, e) == c.accumulator {
        true => e.clone(),
        false => Expr::cast(c.accumulator, e.clone()),
    };
    let all = [&c.batch[..], &c.m, &c.n].concat();
    let place = |index: &IndexId| c.target.subs.iter().position(|s| *s == Expr::Index(*index));
    let mut free = all;
    free.sort_by_key(place);
    Stage {
        free,
        reduced: c.k.clone(),
        reducer: Reducer::Sum,
        guard: None,
        body: Expr::binary(BinaryOp::Mul, factor(&c.lhs), factor(&c.rhs)),
        target: c.target.clone(),
    }
}

/// How a nest is computed at a level. Instead of its last stage's result, what `finish` makes of it is stored, if there is
/// that.
pub fn plan<'s>(
    shape: &Shape,
    (outer, stages): (&[IndexId], &'s [Stage]),
    finish: Option<(ValueId, &'s Expr)>,
    level: Level,
) -> Plan<'s> {
    let loops = |stage: &'s Stage, free: &[IndexId]| Loops::of(shape, (stage, free), finish, level);
    let (outer, stages, chunk) = match stages {
        [alone] => {
            let mut alone = loops(alone, &[outer, &alone.free].concat());
            let chunk = alone.free_lane();
            (std::mem::take(&mut alone.inner), vec![alone], chunk)
        }
        several => {
            let each = several.iter().map(|stage| loops(stage, &stage.free));
            (outer.to_vec(), each.collect(), None)
        }
    };
    let split = |index: IndexId, block| Split { size: shape.size(index).clone(), block };
    let tiles = outer.iter().map(|i| split(*i, 1)).chain(chunk.map(|i| split(i, CHUNK))).collect();
    Plan { outer, stages, tiles }
}

impl Plan<'_> {
    /// Computes tiles.
    pub fn emit<'c>(&self, place: &Place<'c, '_>, begin: V<'c>, end: V<'c>) {
        let b = place.b;
        tiles::each(b, &place.ints, &self.tiles, (begin, end), |firsts| {
            let mut place = place.clone();
            for (index, first) in self.outer.iter().zip(firsts) {
                place.bindings[index.0 as usize] = Binding::Uniform(*first);
            }
            // The first position of a chunk, if lanes are tiles.
            let low = firsts.get(self.outer.len());
            for stage in &self.stages {
                stage.emit(&place, &stage.inner, low.copied());
            }
        });
    }
}

type State<'c> = Vec<V<'c>>;

impl<'s> Loops<'s> {
    /// How a stage is computed that walks these free indices.
    fn of(
        shape: &Shape,
        (stage, free): (&'s Stage, &[IndexId]),
        finish: Option<(ValueId, &'s Expr)>,
        level: Level,
    ) -> Loops<'s> {
        let kernel = &shape.kernel;
        let nest = Nest { outer: vec![], serial: false, stages: vec![stage.clone()] };
        let lanes = crate::cpu::nest::lanes(kernel, &nest, level);
        let dtype = dtype_of(kernel, &stage.body);
        let accumulator = match stage.reducer {
            Reducer::Sum | Reducer::Prod | Reducer::LogSumExp => dtype.accumulator(),
            _ => dtype,
        };
        let price = |index: Option<IndexId>| {
            let extent = |i: IndexId| kernel.indices[i.0 as usize].extent;
            cost::stage(kernel, stage, index.map(|i| Lane::new(i, extent(i), lanes)))
        };
        // An index of one position has nothing to lay along the lanes.
        let varies = |i: &IndexId| shape.size(*i).known() != Some(1);
        let last = free.iter().rev().copied().find(varies);
        let reduced = stage.reduced.iter().rev().copied().filter(varies).map(|i| (i, true));
        let choices = last.map(|i| (i, false)).into_iter().chain(reduced);
        let best = choices.map(|(i, reduced)| (price(Some(i)), i, reduced));
        let best = best.reduce(|a, b| if b.0 < a.0 { b } else { a });
        let lane = best.map(|(_, index, reduced)| (index, reduced));
        let inner = free.iter().copied().filter(|i| lane != Some((*i, false))).collect();
        let cheap = cost::expression(kernel, &stage.body, None) <= CHEAP;
        let repeats = match lane {
            Some((_, true)) => stage.reducer != Reducer::LogSumExp,
            _ => stage.reducer != Reducer::None,
        };
        let unroll = if cheap && repeats { UNROLL } else { 1 };
        let conditions = conjuncts(stage.guard.as_ref());
        let reduction = Reduction { reducer: stage.reducer, dtype: accumulator };
        Loops { stage, inner, lane, lanes, unroll, conditions, reduction, finish }
    }

    /// The index along the lanes, if it is free.
    fn free_lane(&self) -> Option<IndexId> {
        self.lane.filter(|(_, reduced)| !reduced).map(|(index, _)| index)
    }

    /// Walks some free indices, and the lanes: those of a chunk if its first position is given.
    fn emit<'c>(&self, place: &Place<'c, '_>, inner: &[IndexId], low: Option<V<'c>>) {
        let b = place.b;
        if let Some((index, rest)) = inner.split_first() {
            return b.for_each(b.index(0), place.extent(*index), 1, |at| {
                self.emit(&place.with(*index, Binding::Uniform(at)), rest, low);
            });
        }
        let Some(index) = self.free_lane() else { return self.points(std::slice::from_ref(place)) };
        let end = place.extent(index);
        let range = low.map(|low| (low, b.smin(b.add(low, b.index(CHUNK as i64)), end)));
        self.free_lanes(place.clone(), index, range.unwrap_or_else(|| (b.index(0), end)));
    }

    /// Moves what does not depend on `inner` out of loops over it.
    fn hoist(&self, place: &mut Place<'_, '_>, inner: &[IndexId]) {
        if self.conditions.is_empty() {
            place.hoist(&self.stage.body, inner, &[], false);
        }
    }

    /// A range of points along the lanes.
    fn free_lanes<'c>(
        &self,
        mut place: Place<'c, '_>,
        index: IndexId,
        (low, high): (V<'c>, V<'c>),
    ) {
        let b = place.b;
        let mut inner = self.stage.reduced.clone();
        inner.push(index);
        self.hoist(&mut place, &inner);
        let step = i64::from(self.lanes);
        let block = u64::from(self.lanes * self.unroll);
        let middle = b.add(low, round_down(b, b.sub(high, low), block));
        b.for_each(low, middle, step * i64::from(self.unroll), |first| {
            let at = |u: i64| place.along(index, b.add(first, b.index(u * step)), self.lanes);
            let places: Vec<Place<'c, '_>> = (0..i64::from(self.unroll)).map(at).collect();
            self.points(&places);
        });
        b.for_each(middle, high, step, |first| {
            let place = place.along(index, first, self.lanes);
            let mask = place.first_lanes(b.sub(high, first));
            self.points(&[place.masked(mask)]);
        });
    }

    /// All free indices are bound: evaluates and writes a point, or a vector of points, at each of some places.
    fn points<'c>(&self, places: &[Place<'c, '_>]) {
        let b = places[0].b;
        match (self.stage.reducer, self.lane) {
            (Reducer::None, _) => places.iter().for_each(|place| self.plain(place)),
            (_, Some((index, true))) => {
                for place in places {
                    let state = self.reduce_lanes(place.clone(), index);
                    self.write(place, &state);
                }
            }
            _ => {
                let start = |p: &Place<'c, '_>| self.reduction.identity(b, p.lanes);
                let states = places.iter().map(start).collect();
                let states = self.reduce(places.to_vec(), &self.stage.reduced, states);
                for (place, state) in places.iter().zip(states) {
                    self.write(place, &state);
                }
            }
        }
    }

    /// Writes the result of a reduction, or what is made of it.
    fn write<'c>(&self, place: &Place<'c, '_>, state: &[V<'c>]) {
        let value = self.reduction.finish(place.b, state);
        let Some((acc, finish)) = self.finish else {
            return place.write(&self.stage.target, value);
        };
        let mut place = place.clone();
        place.sources[acc.0 as usize] = Source::Register(value);
        place.write(&self.stage.target, place.eval(finish));
    }

    /// One evaluation without reduction; where the guard is false the result is 0.
    fn plain<'c>(&self, place: &Place<'c, '_>) {
        let (b, target) = (place.b, &self.stage.target);
        let Some(condition) = self.condition(place) else {
            return place.write(target, place.eval(&self.stage.body));
        };
        let dtype = place.dtype_of(&self.stage.body);
        let nothing = b.number(Ty::scalar(register(dtype)), 0.0);
        if place.lanes.is_none() {
            let inside = || vec![place.eval(&self.stage.body).v];
            let v = b.if_else(condition, inside, || vec![nothing])[0];
            return place.write(target, Val { v, dtype });
        }
        let value = place.masked(condition).eval(&self.stage.body);
        let v = b.select(condition, value.v, nothing);
        place.write(target, Val { v, dtype });
    }

    /// Whether the guard holds; `None` without one. What is to the right of a condition may rely on it.
    fn condition<'c>(&self, place: &Place<'c, '_>) -> Option<V<'c>> {
        let b = place.b;
        let mut all: Option<V<'c>> = None;
        for condition in &self.conditions {
            all = Some(match (all, place.lanes) {
                (None, _) => place.eval(condition).v,
                (Some(before), None) => {
                    let no = || vec![b.int(Ty::scalar(Scalar::I1), 0)];
                    b.if_else(before, || vec![place.eval(condition).v], no)[0]
                }
                (Some(mask), Some(_)) => {
                    place.conjunction(all, place.masked(mask).eval(condition).v)
                }
            });
        }
        all
    }

    /// The states after the points of the reduced indices, at several places at once.
    fn reduce<'c>(
        &self,
        mut places: Vec<Place<'c, '_>>,
        reduced: &[IndexId],
        states: Vec<State<'c>>,
    ) -> Vec<State<'c>> {
        let b = places[0].b;
        let Some((index, rest)) = reduced.split_first() else {
            let steps = places.iter().zip(&states);
            return steps.map(|(place, state)| self.step(place, state)).collect();
        };
        places.iter_mut().for_each(|place| self.hoist(place, reduced));
        let width = states[0].len();
        let end = places[0].extent(*index);
        let states = b.for_carried(b.index(0), end, 1, &states.concat(), |at, carried| {
            let inner = places.iter().map(|p| p.with(*index, Binding::Uniform(at))).collect();
            let states = carried.chunks(width).map(<[V<'c>]>::to_vec).collect();
            self.reduce(inner, rest, states).concat()
        });
        states.chunks(width).map(<[V<'c>]>::to_vec).collect()
    }

    /// The state after all reduced points, with lanes along one of the indices: per lane and accumulator, then across.
    fn reduce_lanes<'c>(&self, place: Place<'c, '_>, lane: IndexId) -> State<'c> {
        let b = place.b;
        let others: Vec<IndexId> =
            self.stage.reduced.iter().copied().filter(|i| *i != lane).collect();
        let start = self.reduction.identity(b, Some(self.lanes));
        let width = start.len();
        let start = start.repeat(self.unroll as usize);
        let states = self.outer_loops(place, &others, lane, &start);
        let mut states: Vec<State<'c>> = states.chunks(width).map(<[V<'c>]>::to_vec).collect();
        while states.len() > 1 {
            let merged = states.chunks(2).map(|pair| match pair {
                [x, y] => self.reduction.merge(b, x, y),
                alone => alone[0].clone(),
            });
            states = merged.collect();
        }
        self.reduction.across(b, &states[0])
    }

    fn outer_loops<'c>(
        &self,
        mut place: Place<'c, '_>,
        others: &[IndexId],
        lane: IndexId,
        states: &[V<'c>],
    ) -> Vec<V<'c>> {
        let b = place.b;
        let mut inner = others.to_vec();
        inner.push(lane);
        self.hoist(&mut place, &inner);
        let Some((index, rest)) = others.split_first() else {
            return self.lane_loop(&place, lane, states);
        };
        b.for_carried(b.index(0), place.extent(*index), 1, states, |at, states| {
            self.outer_loops(place.with(*index, Binding::Uniform(at)), rest, lane, states)
        })
    }

    fn lane_loop<'c>(&self, place: &Place<'c, '_>, lane: IndexId, states: &[V<'c>]) -> Vec<V<'c>> {
        let b = place.b;
        let width = states.len() / self.unroll as usize;
        let step = i64::from(self.lanes);
        let block = step * i64::from(self.unroll);
        let end = place.extent(lane);
        let middle = round_down(b, end, block as u64);
        let states = b.for_carried(b.index(0), middle, block, states, |first, states| {
            let each = states.chunks(width).enumerate().flat_map(|(u, state)| {
                let first = b.add(first, b.index(u as i64 * step));
                self.step(&place.along(lane, first, self.lanes), state)
            });
            each.collect()
        });
        // What is left goes to the first accumulator, vector by vector.
        let (head, tail) = states.split_at(width);
        let head = b.for_carried(middle, end, step, head, |first, state| {
            let place = place.along(lane, first, self.lanes);
            let mask = place.first_lanes(b.sub(end, first));
            self.step(&place.masked(mask), state)
        });
        [head, tail.to_vec()].concat()
    }

    /// The state after the point that `place` is at, if the guard and the mask allow.
    fn step<'c>(&self, place: &Place<'c, '_>, state: &[V<'c>]) -> State<'c> {
        let b = place.b;
        let condition = self.condition(place);
        match (place.lanes, condition) {
            (None, Some(condition)) => {
                b.if_else(condition, || self.add(place, state), || state.to_vec())
            }
            (_, None) if place.mask.is_none() => self.add(place, state),
            _ => {
                let inside = condition.map_or_else(|| place.clone(), |c| place.masked(c));
                let next = self.add(&inside, state);
                let mask = inside.mask_or_all(inside.mask);
                next.iter().zip(state).map(|(next, now)| b.select(mask, *next, *now)).collect()
            }
        }
    }

    /// The state with the point that `place` is at.
    fn add<'c>(&self, place: &Place<'c, '_>, state: &[V<'c>]) -> State<'c> {
        let b = place.b;
        let (shape, body) = (state[0].ty, &self.stage.body);
        if let (Reducer::Sum, Expr::Binary(BinaryOp::Mul, x, y)) = (self.stage.reducer, body)
            && shape.scalar.is_float()
            && place.dtype_of(body) == self.reduction.dtype
        {
            let (x, y) = (place.eval(x).v, place.eval(y).v);
            return self.reduction.fused(b, state, b.like(x, shape), b.like(y, shape));
        }
        let value = cast(b, place.eval(body), self.reduction.dtype).v;
        let position = match self.stage.reduced.first() {
            Some(index) => Open::position_i32(place, *index),
            None => b.int(Ty::scalar(Scalar::I32), 0),
        };
        let point = self.reduction.point(b, b.like(value, shape), position);
        self.reduction.merge(b, state, &point)
    }
}
