//! One stage: its loops, its lanes, its reduction and its store.

use super::Window;
use super::crossed::Crossed;
use super::guard::{conjuncts, narrow};
use crate::build::{Builder, Cmp, Scalar, Ty, V};
use crate::cpu::cost;
use crate::cpu::env::{Binding, Env, Extents, Known};
use crate::cpu::expr::zero;
use crate::cpu::reduce::Reduction;
use crate::cpu::value::{Val, cast, register};
use einmesh_ir::{BinaryOp, Expr, IndexId, Reducer};
use einmesh_schedule::kernel::Stage;

/// Bodies that cost less are repeated with independent accumulators.
const CHEAP: f64 = 24.0;
/// Independent accumulators of a reduction: what hides the latency of an addition.
const ACCUMULATORS: u32 = 4;
/// Vectors that a log-sum-exp takes in at once.
const BATCH: u64 = 8;

struct Ctx<'s> {
    stage: &'s Stage,
    lane: Option<IndexId>,
    lanes: u32,
    conditions: Vec<&'s Expr>,
    reduction: Reduction,
    /// Whether to note if any point was evaluated at all: a store keeps what is there if none was.
    notes: bool,
}

/// A running reduction: the reducer's state, and whether there was any point.
type State<'c> = Vec<V<'c>>;

/// Emits a stage. A window restricts its free lanes.
pub fn emit<'c>(
    env: &Env<'c, '_>,
    stage: &Stage,
    lane: Option<IndexId>,
    lanes: u32,
    window: Option<Window<'c>>,
) {
    let dtype = env.dtype_of(&stage.body);
    let accumulator = match stage.reducer {
        Reducer::Sum | Reducer::Prod | Reducer::LogSumExp => dtype.accumulator(),
        _ => dtype,
    };
    let reduces = stage.reducer != Reducer::None;
    let ctx = Ctx {
        stage,
        lane,
        lanes,
        conditions: conjuncts(stage.guard.as_ref()),
        reduction: Reduction { reducer: stage.reducer, dtype: accumulator },
        notes: reduces
            && stage.target.store
            && (stage.guard.is_some() || stage.reduced.iter().any(|i| env.extent(*i) == 0)),
    };
    let free: Vec<IndexId> = stage.free.iter().copied().filter(|i| Some(*i) != lane).collect();
    ctx.free_loops(env.clone(), &free, window);
}

/// Runs `body` for each position of an index, without a loop if there is only one.
fn for_index<'c, 'k>(
    env: &Env<'c, 'k>,
    index: IndexId,
    (low, high): Window<'c>,
    carried: &[V<'c>],
    body: impl FnOnce(Env<'c, 'k>, &[V<'c>]) -> Vec<V<'c>>,
) -> Vec<V<'c>> {
    env.b.for_carried(low, high, 1, carried, |at, carried| {
        body(env.with(index, Binding::Uniform(at)), carried)
    })
}

impl Ctx<'_> {
    fn free_loops<'c>(&self, env: Env<'c, '_>, free: &[IndexId], window: Option<Window<'c>>) {
        let Some((index, rest)) = free.split_first() else {
            return self.lanes(env, window);
        };
        let all = (env.b.index(0), env.b.index(env.extent(*index) as i64));
        // Points of a store that are excluded leave the memory alone: they need not be visited.
        let (range, _) = match self.stage.target.store {
            true => self.narrowed(&env, *index, all),
            false => (all, vec![]),
        };
        for_index(&env, *index, range, &[], |env, _| {
            self.free_loops(env, rest, window);
            vec![]
        });
    }

    /// The positions of an index that the conditions allow, and the conditions that were used.
    fn narrowed<'c>(
        &self,
        env: &Env<'c, '_>,
        index: IndexId,
        mut range: Window<'c>,
    ) -> (Window<'c>, Vec<*const Expr>) {
        let mut used = Vec::new();
        for condition in &self.conditions {
            if let Some(narrower) = narrow(env, condition, index, range) {
                range = narrower;
                used.push(std::ptr::from_ref(*condition));
            }
        }
        (range, used)
    }

    /// The free indices are bound, but for the one along the lanes, if that is free.
    fn lanes<'c>(&self, mut env: Env<'c, '_>, window: Option<Window<'c>>) {
        let b = env.b;
        let Some(lane) = self.lane.filter(|l| self.stage.free.contains(l)) else {
            return self.point(env, 1, &self.conditions);
        };
        let (low, high) = match window {
            Some(window) => window,
            None => (b.index(0), b.index(env.extent(lane) as i64)),
        };
        let mut inner = self.stage.reduced.clone();
        inner.push(lane);
        self.hoist(&mut env, &inner);
        let whole = window.is_none();
        if self.stage.reducer != Reducer::None {
            return self.lane_points(&env, lane, (low, high), whole, &self.conditions);
        }
        // Where the conditions amount to a range of lanes, only that is computed.
        let ((from, to), used) = self.narrowed(&env, lane, (low, high));
        if used.is_empty() {
            return self.lane_points(&env, lane, (low, high), whole, &self.conditions);
        }
        let from = b.smin(b.smax(from, low), high);
        let to = b.smax(b.smin(to, high), from);
        let left = without(&self.conditions, &used);
        self.lane_points(&env, lane, (from, to), false, &left);
        if !self.stage.target.store {
            self.clear(&env, lane, (low, from));
            self.clear(&env, lane, (to, high));
        }
    }

    /// The points in a range of the lanes' index; `whole` if that is its whole extent.
    fn lane_points<'c>(
        &self,
        env: &Env<'c, '_>,
        lane: IndexId,
        (low, high): Window<'c>,
        whole: bool,
        conditions: &[&Expr],
    ) {
        let b = env.b;
        let step = i64::from(self.lanes);
        let masked = |first: V<'c>| {
            let env = self.at_lanes(env, lane, first);
            let mask = env.first_lanes(b.sub(high, first));
            self.point(env.masked(mask), 1, conditions);
        };
        let extent = env.extent(lane);
        let cost = cost::expression(env.kernel, &self.stage.body, None);
        let reduces = !self.stage.reduced.is_empty();
        let unroll = match reduces && cost <= CHEAP {
            true => ACCUMULATORS.min((extent / u64::from(self.lanes)).max(1) as u32),
            false => 1,
        };
        let block = step * i64::from(unroll);
        let exact = whole && extent.is_multiple_of(block as u64);
        // Whole vectors (or blocks of them), then the rest; an expensive body is not repeated for it.
        if cost > 2.0 * CHEAP && !reduces && !exact {
            b.for_each(low, high, step, masked);
            return;
        }
        let count = b.sub(high, low);
        let even = b.mul(b.udiv(count, b.index(block)), b.index(block));
        let middle = b.add(low, even);
        b.for_each(low, middle, block, |first| {
            self.point(self.at_lanes(env, lane, first), unroll, conditions);
        });
        if !exact {
            b.for_each(middle, high, step, masked);
        }
    }

    /// Writes 0 to a range of points.
    fn clear<'c>(&self, env: &Env<'c, '_>, lane: IndexId, (low, high): Window<'c>) {
        let b = env.b;
        let nothing = zero(b, env.dtype_of(&self.stage.body));
        b.for_each(low, high, i64::from(self.lanes), |first| {
            let env = self.at_lanes(env, lane, first);
            let mask = env.first_lanes(b.sub(high, first));
            env.masked(mask).write(&self.stage.target, nothing);
        });
    }

    fn at_lanes<'c, 'k>(&self, env: &Env<'c, 'k>, lane: IndexId, first: V<'c>) -> Env<'c, 'k> {
        let mut env = env.with(lane, Binding::Lanes(first));
        env.lanes = Some(self.lanes);
        env
    }

    fn hoist(&self, env: &mut Env<'_, '_>, inner: &[IndexId]) {
        let guarded = !self.conditions.is_empty();
        for expr in std::iter::once(&self.stage.body).chain(self.conditions.iter().copied()) {
            env.hoist(expr, inner, &[self.stage.target.value], guarded);
        }
    }

    /// All free indices are bound: evaluates and writes one point, a point per lane, or (`unroll`) several
    /// vectors of them.
    fn point<'c>(&self, mut env: Env<'c, '_>, unroll: u32, conditions: &[&Expr]) {
        if self.stage.reducer == Reducer::None {
            return self.plain(&env, conditions);
        }
        let over_lanes = self.lane.is_some_and(|l| self.stage.reduced.contains(&l));
        if self.stage.reduced.is_empty() {
            // A reducer over nothing but the guard: one point at most.
            let state = self.step(&env, &self.start(env.b, env.lanes), &self.conditions);
            return self.finish(&env, &state);
        }
        if over_lanes {
            let state = self.reduce_lanes(&mut env);
            return self.finish(&env, &state);
        }
        let envs: Vec<Env<'c, '_>> =
            (0..i64::from(unroll)).map(|u| self.shifted(&env, u * i64::from(self.lanes))).collect();
        let states = self.reduce_free(&envs, &self.stage.reduced, self.conditions.clone());
        for (env, state) in envs.iter().zip(states) {
            self.finish(env, &state);
        }
    }

    /// The place some lanes further.
    fn shifted<'c, 'k>(&self, env: &Env<'c, 'k>, by: i64) -> Env<'c, 'k> {
        let Some(lane) = self.lane.filter(|_| by != 0) else {
            return env.clone();
        };
        match env.bindings[lane.0 as usize] {
            Binding::Lanes(first) => {
                env.with(lane, Binding::Lanes(env.b.add(first, env.b.index(by))))
            }
            _ => env.clone(),
        }
    }

    /// One evaluation without reduction.
    fn plain<'c>(&self, env: &Env<'c, '_>, conditions: &[&Expr]) {
        let b = env.b;
        let Some(condition) = self.condition(env, conditions) else {
            let value = env.eval(&self.stage.body);
            return env.write(&self.stage.target, value);
        };
        if env.lanes.is_none() {
            b.if_else(
                condition,
                || {
                    env.write(&self.stage.target, env.eval(&self.stage.body));
                    vec![]
                },
                || {
                    if !self.stage.target.store {
                        let dtype = env.dtype_of(&self.stage.body);
                        env.write(&self.stage.target, zero(b, dtype));
                    }
                    vec![]
                },
            );
            return;
        }
        let inside = env.masked(condition);
        let value = inside.eval(&self.stage.body);
        if self.stage.target.store {
            return inside.write(&self.stage.target, value);
        }
        let nothing = zero(b, value.dtype);
        let v = b.select(condition, value.v, nothing.v);
        env.write(&self.stage.target, Val { v, ..value });
    }

    /// Whether conditions hold; `None` if there are none.
    fn condition<'c>(&self, env: &Env<'c, '_>, conditions: &[&Expr]) -> Option<V<'c>> {
        let mut all: Option<V<'c>> = None;
        for condition in conditions {
            // What is to the right of a condition may rely on it.
            all = Some(match (all, env.lanes) {
                (Some(before), None) if !env.reads_in_range(condition) => {
                    let b = env.b;
                    let no = || vec![b.int(Ty::scalar(Scalar::I1), 0)];
                    b.if_else(before, || vec![env.eval(condition).v], no)[0]
                }
                (Some(mask), Some(_)) => env.conjunction(all, env.masked(mask).eval(condition).v),
                _ => env.conjunction(all, env.eval(condition).v),
            });
        }
        all
    }

    fn start<'c>(&self, b: &Builder<'c>, lanes: Option<u32>) -> State<'c> {
        let mut state = self.reduction.identity(b, lanes);
        if self.notes {
            let scalar = Scalar::I1;
            state.push(b.int(Ty { scalar, lanes }, 0));
        }
        state
    }

    fn merge<'c>(&self, b: &Builder<'c>, x: &[V<'c>], y: &[V<'c>]) -> State<'c> {
        let split = x.len() - usize::from(self.notes);
        let mut state = self.reduction.merge(b, &x[..split], &y[..split]);
        if self.notes {
            state.push(b.or(x[split], y[split]));
        }
        state
    }

    /// The state after the point that `env` is at, if the conditions and the mask allow.
    fn step<'c>(&self, env: &Env<'c, '_>, state: &[V<'c>], conditions: &[&Expr]) -> State<'c> {
        let b = env.b;
        let condition = self.condition(env, conditions);
        match (env.lanes, condition) {
            (None, Some(condition)) => {
                b.if_else(condition, || self.add(env, state), || state.to_vec())
            }
            (_, None) if env.mask.is_none() => self.add(env, state),
            _ => {
                let inside = match condition {
                    Some(condition) => env.masked(condition),
                    None => env.clone(),
                };
                let next = self.add(&inside, state);
                let mask = inside.mask_or_all(inside.mask);
                let kept = next.iter().zip(state);
                kept.map(|(next, before)| b.select(mask, *next, *before)).collect()
            }
        }
    }

    /// The state with the point that `env` is at, unconditionally.
    fn add<'c>(&self, env: &Env<'c, '_>, state: &[V<'c>]) -> State<'c> {
        let b = env.b;
        let shape = state[0].ty;
        if let (Reducer::Sum, Expr::Binary(BinaryOp::Mul, x, y)) =
            (self.stage.reducer, &self.stage.body)
            && shape.scalar.is_float()
            && env.dtype_of(&self.stage.body) == self.reduction.dtype
        {
            let (x, y) = (env.eval(x).v, env.eval(y).v);
            let mut next = self.reduction.fused(b, state, b.like(x, shape), b.like(y, shape));
            if self.notes {
                next.push(b.int(state[1].ty, 1));
            }
            return next;
        }
        let value = cast(b, env.eval(&self.stage.body), self.reduction.dtype).v;
        let position = match self.stage.reduced.first() {
            Some(index) => Known::position_i32(env, *index),
            None => b.int(Ty::scalar(Scalar::I32), 0),
        };
        let mut point = self.reduction.point(b, b.like(value, shape), position);
        if self.notes {
            point.push(b.int(shape.with(Scalar::I1), 1));
        }
        self.merge(b, state, &point)
    }

    /// Reduces over `reduced` at several places at once, none of which depends on the lanes being reduced.
    fn reduce_free<'c>(
        &self,
        envs: &[Env<'c, '_>],
        reduced: &[IndexId],
        conditions: Vec<&Expr>,
    ) -> Vec<State<'c>> {
        let b = envs[0].b;
        let states: Vec<State<'c>> = envs.iter().map(|e| self.start(b, e.lanes)).collect();
        self.reduce_free_from(envs, reduced, conditions, states)
    }

    fn reduce_free_from<'c>(
        &self,
        envs: &[Env<'c, '_>],
        reduced: &[IndexId],
        conditions: Vec<&Expr>,
        states: Vec<State<'c>>,
    ) -> Vec<State<'c>> {
        let Some((index, rest)) = reduced.split_first() else {
            let steps = envs.iter().zip(&states);
            return steps.map(|(env, state)| self.step(env, state, &conditions)).collect();
        };
        let b = envs[0].b;
        // The places differ in the lanes' positions only, on which no range depends.
        let mut envs = envs.to_vec();
        for env in &mut envs {
            self.hoist(env, reduced);
        }
        let all = (b.index(0), b.index(envs[0].extent(*index) as i64));
        let (range, used) = self.narrowed(&envs[0], *index, all);
        let left = without(&conditions, &used);
        let width = states[0].len();
        let flat: Vec<V<'c>> = states.into_iter().flatten().collect();
        let result = b.for_carried(range.0, range.1, 1, &flat, |at, carried| {
            let inner: Vec<Env<'c, '_>> =
                envs.iter().map(|e| e.with(*index, Binding::Uniform(at))).collect();
            let states = carried.chunks(width).map(<[V<'c>]>::to_vec).collect();
            self.reduce_free_from(&inner, rest, left, states).concat()
        });
        result.chunks(width).map(<[V<'c>]>::to_vec).collect()
    }

    /// Reduces with lanes along a reduced index: per lane and accumulator, then across.
    fn reduce_lanes<'c>(&self, env: &mut Env<'c, '_>) -> State<'c> {
        let b = env.b;
        let lane = self.lane.expect("the caller has seen it");
        let crossed = Crossed::of(env.kernel, self.stage, &self.reduction, (lane, self.lanes));
        if let Some(crossed) = crossed.filter(|_| !self.notes) {
            return crossed.sum(env, &self.reduction);
        }
        let others: Vec<IndexId> =
            self.stage.reduced.iter().copied().filter(|i| *i != lane).collect();
        let cost = cost::expression(env.kernel, &self.stage.body, None);
        let extent = env.extent(lane);
        let heavy = cost > CHEAP || self.stage.reducer == Reducer::LogSumExp;
        let unroll = match heavy {
            true => 1,
            false => ACCUMULATORS.min((extent / u64::from(self.lanes)).max(1) as u32),
        };
        let accumulators: Vec<State<'c>> =
            (0..unroll).map(|_| self.start(b, Some(self.lanes))).collect();
        let width = accumulators[0].len();
        let flat =
            self.loops_to_lanes(env, lane, &others, self.conditions.clone(), accumulators.concat());
        let mut states: Vec<State<'c>> = flat.chunks(width).map(<[V<'c>]>::to_vec).collect();
        while states.len() > 1 {
            let pairs = states.chunks(2);
            states = pairs
                .map(|pair| match pair {
                    [x, y] => self.merge(b, x, y),
                    alone => alone[0].clone(),
                })
                .collect();
        }
        let state = &states[0];
        let split = width - usize::from(self.notes);
        let mut across = self.reduction.across(b, &state[..split]);
        if self.notes {
            let any = Reduction { reducer: Reducer::Any, dtype: einmesh_ir::DType::Bool };
            across.extend(any.across(b, &state[split..]));
        }
        across
    }

    fn loops_to_lanes<'c>(
        &self,
        env: &mut Env<'c, '_>,
        lane: IndexId,
        others: &[IndexId],
        conditions: Vec<&Expr>,
        states: Vec<V<'c>>,
    ) -> Vec<V<'c>> {
        let b = env.b;
        let mut inner = others.to_vec();
        inner.push(lane);
        self.hoist(env, &inner);
        let index = others.first().copied().unwrap_or(lane);
        let all = (b.index(0), b.index(env.extent(index) as i64));
        let (range, used) = self.narrowed(env, index, all);
        let left = without(&conditions, &used);
        match others.split_first() {
            Some((index, rest)) => for_index(env, *index, range, &states, |mut env, carried| {
                self.loops_to_lanes(&mut env, lane, rest, left, carried.to_vec())
            }),
            None => self.lane_loop(env, lane, range, used.is_empty(), &left, states),
        }
    }

    fn lane_loop<'c>(
        &self,
        env: &Env<'c, '_>,
        lane: IndexId,
        (low, high): Window<'c>,
        full: bool,
        conditions: &[&Expr],
        states: Vec<V<'c>>,
    ) -> Vec<V<'c>> {
        let b = env.b;
        let width = self.start_len();
        let count = states.len() / width;
        let step = i64::from(self.lanes);
        let batch = self.batch(env.extent(lane));
        let block = step * batch.max(count as i64);
        let at = |first: V<'c>| self.at_lanes(env, lane, first);
        let size = b.smax(b.sub(high, low), b.index(0));
        let whole = b.mul(b.udiv(size, b.index(block)), b.index(block));
        let middle = b.add(low, whole);
        let states = b.for_carried(low, middle, block, &states, |first, carried| {
            if batch > 1 {
                let places = (0..batch).map(|u| at(b.add(first, b.index(u * step))));
                let values: Vec<V<'c>> =
                    places.map(|place| self.exponent(&place, conditions)).collect();
                return self.reduction.absorb(b, carried, &values);
            }
            let mut next = Vec::new();
            for (u, state) in carried.chunks(width).enumerate() {
                let place = at(b.add(first, b.index(u as i64 * step)));
                next.extend(self.step(&place, state, conditions));
            }
            next
        });
        if full && env.extent(lane).is_multiple_of(block as u64) {
            return states;
        }
        // What is left goes to the first accumulator, vector by vector.
        let (head, tail) = states.split_at(width);
        let head = b.for_carried(middle, high, step, head, |first, state| {
            let place = at(first);
            let mask = b.cmp(
                Cmp::Lt,
                place.step(Scalar::I32),
                b.convert(b.smin(b.sub(high, first), b.index(step)), Scalar::I32),
            );
            self.step(&place.masked(mask), state, conditions)
        });
        [head, tail.to_vec()].concat()
    }

    /// How many vectors a log-sum-exp takes in at once; 1 for other reducers.
    fn batch(&self, extent: u64) -> i64 {
        match self.stage.reducer == Reducer::LogSumExp && !self.notes {
            true => (extent / u64::from(self.lanes)).clamp(1, BATCH) as i64,
            false => 1,
        }
    }

    /// The number at each lane; −∞, which adds nothing to a log-sum-exp, where a condition excludes it.
    fn exponent<'c>(&self, env: &Env<'c, '_>, conditions: &[&Expr]) -> V<'c> {
        let b = env.b;
        let ty = Ty { scalar: register(self.reduction.dtype), lanes: env.lanes };
        let condition = self.condition(env, conditions);
        let inside = condition.map_or(env.clone(), |c| env.masked(c));
        let value = cast(b, inside.eval(&self.stage.body), self.reduction.dtype).v;
        match inside.mask {
            Some(mask) => b.select(mask, b.like(value, ty), b.float(ty, f64::NEG_INFINITY)),
            None => b.like(value, ty),
        }
    }

    fn start_len(&self) -> usize {
        let parts = match self.stage.reducer {
            Reducer::ArgMax | Reducer::ArgMin | Reducer::LogSumExp => 2,
            _ => 1,
        };
        parts + usize::from(self.notes)
    }

    /// Writes the result of a reduction.
    fn finish<'c>(&self, env: &Env<'c, '_>, state: &[V<'c>]) {
        let b = env.b;
        let split = state.len() - usize::from(self.notes);
        let value = self.reduction.finish(b, &state[..split]);
        if !self.notes {
            return env.write(&self.stage.target, value);
        }
        let any = state[split];
        match env.lanes {
            Some(_) => env.masked(any).write(&self.stage.target, value),
            None => b.if_true(any, || env.write(&self.stage.target, value)),
        }
    }
}

/// The conditions that have not been used.
fn without<'e>(conditions: &[&'e Expr], used: &[*const Expr]) -> Vec<&'e Expr> {
    let open = |c: &&&Expr| !used.contains(&std::ptr::from_ref(**c));
    conditions.iter().filter(open).copied().collect()
}
