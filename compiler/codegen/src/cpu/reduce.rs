//! Reducers: their state while running, in one place or per lane.

use super::env::Env;
use super::math;
use super::value::{Val, cast, register, round};
use crate::build::{Builder, Cmp, Scalar, Ty, V};
use einmesh_ir::{DType, Reducer};

/// A reducer of numbers of a dtype.
#[derive(Clone, Copy)]
pub struct Reduction {
    /// How points combine.
    pub reducer: Reducer,
    /// The accumulator's type.
    pub dtype: DType,
}

impl Reduction {
    /// The state before any point.
    pub fn identity<'c>(&self, b: &Builder<'c>, lanes: Option<u32>) -> Vec<V<'c>> {
        let scalar = register(self.dtype);
        let ty = Ty { scalar, lanes };
        let lowest = || match (scalar.is_float(), scalar) {
            (true, _) => b.float(ty, f64::NEG_INFINITY),
            (false, Scalar::I32) => b.int(ty, i64::from(i32::MIN)),
            (false, _) => b.int(ty, i64::MIN),
        };
        let highest = || match (scalar.is_float(), scalar) {
            (true, _) => b.float(ty, f64::INFINITY),
            (false, Scalar::I32) => b.int(ty, i64::from(i32::MAX)),
            (false, _) => b.int(ty, i64::MAX),
        };
        let nowhere = || b.int(ty.with(Scalar::I32), i64::from(i32::MAX));
        match self.reducer {
            Reducer::None | Reducer::Sum => vec![b.number(ty, 0.0)],
            Reducer::Prod => vec![b.number(ty, 1.0)],
            Reducer::Max => vec![lowest()],
            Reducer::Min => vec![highest()],
            Reducer::Any => vec![b.int(ty, 0)],
            Reducer::All => vec![b.int(ty, 1)],
            Reducer::ArgMax => vec![lowest(), nowhere()],
            Reducer::ArgMin => vec![highest(), nowhere()],
            Reducer::LogSumExp => vec![lowest(), b.number(ty, 0.0)],
        }
    }

    /// The state of a single point; `position` is that of the reduced index, i32.
    pub fn point<'c>(&self, b: &Builder<'c>, value: V<'c>, position: V<'c>) -> Vec<V<'c>> {
        match self.reducer {
            Reducer::ArgMax | Reducer::ArgMin => vec![value, b.like(position, value.ty)],
            Reducer::LogSumExp => vec![value, b.number(value.ty, 1.0)],
            _ => vec![value],
        }
    }

    /// The state after both.
    pub fn merge<'c>(&self, b: &Builder<'c>, x: &[V<'c>], y: &[V<'c>]) -> Vec<V<'c>> {
        let rounded = |v| vec![round(b, v, self.dtype).v];
        match self.reducer {
            Reducer::None | Reducer::Sum => rounded(b.add(x[0], y[0])),
            Reducer::Prod => rounded(b.mul(x[0], y[0])),
            Reducer::Max => vec![math::max(b, y[0], x[0])],
            Reducer::Min => vec![math::min(b, y[0], x[0])],
            Reducer::Any => vec![b.or(x[0], y[0])],
            Reducer::All => vec![b.and(x[0], y[0])],
            Reducer::ArgMax => better(b, Cmp::Gt, x, y),
            Reducer::ArgMin => better(b, Cmp::Lt, x, y),
            Reducer::LogSumExp => {
                let most = math::max(b, y[0], x[0]);
                let shift = shift(b, most);
                let part = |s: &[V<'c>]| b.mul(s[1], math::exp(b, b.sub(s[0], shift)));
                vec![most, b.add(part(x), part(y))]
            }
        }
    }

    /// The state of a log-sum-exp after several more points: their largest is found first, so that the
    /// running sum is scaled once for all of them.
    pub fn absorb<'c>(&self, b: &Builder<'c>, state: &[V<'c>], values: &[V<'c>]) -> Vec<V<'c>> {
        debug_assert_eq!(self.reducer, Reducer::LogSumExp);
        // NaN may get lost here: the sum keeps it.
        let larger = |x, y| b.select(b.cmp(Cmp::Gt, y, x), y, x);
        let most = values.iter().fold(state[0], |most, value| larger(most, *value));
        let shift = shift(b, most);
        let power = |x: V<'c>| math::exp(b, b.sub(x, shift));
        let before = b.mul(state[1], power(state[0]));
        let powers = values.iter().map(|value| power(*value));
        let added = powers.reduce(|x, y| b.add(x, y));
        vec![most, added.map_or(before, |added| b.add(before, added))]
    }

    /// Adds the product of two numbers to a running sum, rounding once.
    pub fn fused<'c>(&self, b: &Builder<'c>, state: &[V<'c>], x: V<'c>, y: V<'c>) -> Vec<V<'c>> {
        vec![b.fma(x, y, state[0])]
    }

    /// The state of all lanes together, by halves: always in the same order.
    pub fn across<'c>(&self, b: &Builder<'c>, state: &[V<'c>]) -> Vec<V<'c>> {
        let mut state = state.to_vec();
        let mut width = state[0].ty.lanes.unwrap_or(1);
        while width > 1 {
            let half = width / 2;
            let part = |from: u32| -> Vec<V<'c>> {
                let lanes: Vec<i64> = (from..from + half).map(i64::from).collect();
                state.iter().map(|v| b.shuffle(*v, *v, &lanes)).collect()
            };
            state = self.merge(b, &part(0), &part(half));
            width = half;
        }
        match state[0].ty.lanes {
            Some(_) => state.iter().map(|v| b.extract(*v, 0)).collect(),
            None => state,
        }
    }

    /// The result.
    pub fn finish<'c>(&self, b: &Builder<'c>, state: &[V<'c>]) -> Val<'c> {
        match self.reducer {
            Reducer::ArgMax | Reducer::ArgMin => {
                let nowhere = b.int(state[1].ty, i64::from(i32::MAX));
                let none = b.cmp(Cmp::Eq, state[1], nowhere);
                Val { v: b.select(none, b.int(state[1].ty, 0), state[1]), dtype: DType::I32 }
            }
            Reducer::LogSumExp => {
                let sum = b.add(shift(b, state[0]), math::log(b, state[1]));
                round(b, sum, self.dtype)
            }
            _ => Val { v: state[0], dtype: self.dtype },
        }
    }
}

/// What exponents are taken relative to: the running maximum, if it is finite.
pub fn shift<'c>(b: &Builder<'c>, most: V<'c>) -> V<'c> {
    let infinity = b.float(most.ty, f64::INFINITY);
    let finite = b.cmp(Cmp::Lt, b.intrinsic("llvm.intr.fabs", most), infinity);
    b.select(finite, most, b.float(most.ty, 0.0))
}

/// The better of two (number, position): NaN beats numbers, lower positions win ties.
fn better<'c>(b: &Builder<'c>, how: Cmp, x: &[V<'c>], y: &[V<'c>]) -> Vec<V<'c>> {
    let earlier = b.cmp(Cmp::Lt, y[1], x[1]);
    let mut wins = b.or(b.cmp(how, y[0], x[0]), b.and(b.cmp(Cmp::Eq, y[0], x[0]), earlier));
    if x[0].ty.scalar.is_float() {
        let (nan_x, nan_y) = (b.is_nan(x[0]), b.is_nan(y[0]));
        let by_nan = b.and(nan_y, b.or(b.not(nan_x), earlier));
        wins = b.or(wins, by_nan);
    }
    vec![b.select(wins, y[0], x[0]), b.select(wins, y[1], x[1])]
}

/// What is stored where `there` is and `value` comes: of `value`'s dtype.
pub fn combine<'c>(env: &Env<'c, '_>, reducer: Reducer, there: Val<'c>, value: Val<'c>) -> Val<'c> {
    let b = env.b;
    let there = cast(b, there, value.dtype);
    let reduction = Reduction { reducer, dtype: value.dtype };
    let (x, y) = b.unify(there.v, value.v);
    let position = b.int(Ty::scalar(Scalar::I32), 0);
    let states = [x, y].map(|v| reduction.point(b, v, position));
    reduction.finish(b, &reduction.merge(b, &states[0], &states[1]))
}
