//! Accumulators: one per free point of a group.

use crate::Precision;
use crate::code::Reg;
use crate::code::Registers;
use crate::scalar;
use einmesh_ir::{DType, Reducer, integer};

/// How the points of a group go into accumulators.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Lanes {
    /// The lane index is free: lane i goes into accumulator i.
    Apart,
    /// The lane index is reduced: all lanes go into accumulator 0, in order.
    Together,
}

/// The state of a reduction for each free point of a group.
#[derive(Clone, Debug)]
pub struct Accumulators {
    reducer: Reducer,
    /// The body's dtype.
    dtype: DType,
    /// What floats are rounded to at each step; `F64` is none.
    round: DType,
    floats: Vec<f64>,
    ints: Vec<i64>,
    /// Σ exp relative to the maximum in `floats`, for LogSumExp.
    sums: Vec<f64>,
    /// Where the extreme is, for ArgMax and ArgMin.
    positions: Vec<i64>,
    /// Whether any point went in.
    pub seen: Vec<bool>,
}

/// The results of a group.
pub enum Results<'a> {
    /// Of a float body.
    Floats(&'a [f64]),
    /// Of all others, and positions.
    Ints(&'a [i64]),
}

impl Accumulators {
    /// Accumulators of numbers of `dtype`.
    pub fn new(reducer: Reducer, dtype: DType, precision: Precision) -> Accumulators {
        let round = match precision {
            Precision::Program if dtype.is_float() => dtype.accumulator(),
            _ => DType::F64,
        };
        let (floats, ints, sums, positions) = Default::default();
        Accumulators { reducer, dtype, round, floats, ints, sums, positions, seen: Vec::new() }
    }

    /// Starts `n` reductions.
    pub fn start(&mut self, n: usize) {
        fn reset<T: Clone>(all: &mut Vec<T>, n: usize, to: T) {
            all.clear();
            all.resize(n, to);
        }
        let identity = identity(self.reducer, self.dtype);
        reset(&mut self.seen, n, false);
        reset(&mut self.floats, n, identity.0);
        reset(&mut self.ints, n, identity.1);
        reset(&mut self.sums, n, 0.0);
        reset(&mut self.positions, n, 0);
    }

    /// Puts in the `n` numbers of a register, where `mask` is not 0; `position` is that of the reduced
    /// index at lane 0.
    pub fn accept(
        &mut self,
        registers: &Registers,
        body: Reg,
        n: usize,
        mask: Option<&[i64]>,
        lanes: Lanes,
        position: i64,
    ) {
        if mask.is_none() && self.accept_all(registers, body, n, lanes) {
            return;
        }
        for lane in (0..n).filter(|lane| mask.is_none_or(|m| m[*lane] != 0)) {
            let (at, position) = match lanes {
                Lanes::Apart => (lane, position),
                Lanes::Together => (0, position + lane as i64),
            };
            if body.float {
                self.put_float(at, registers.float(body, n)[lane], position);
            } else {
                self.put_int(at, registers.int(body, n)[lane], position);
            }
            self.seen[at] = true;
        }
    }

    /// The commonest cases without decisions per lane; returns whether it was one.
    fn accept_all(&mut self, registers: &Registers, body: Reg, n: usize, lanes: Lanes) -> bool {
        if !body.float {
            return false;
        }
        let numbers = registers.float(body, n);
        match (self.reducer, lanes, self.round) {
            (Reducer::None, Lanes::Apart, _) => self.floats.copy_from_slice(numbers),
            (Reducer::Sum, Lanes::Apart, DType::F32) => {
                for (sum, x) in self.floats.iter_mut().zip(numbers) {
                    *sum = f64::from((*sum + x) as f32);
                }
            }
            (Reducer::Sum, Lanes::Apart, _) => {
                for (sum, x) in self.floats.iter_mut().zip(numbers) {
                    *sum += x;
                }
            }
            (Reducer::Sum, Lanes::Together, DType::F32) => {
                let round = |sum: f64, x: &f64| f64::from((sum + x) as f32);
                self.floats[0] = numbers.iter().fold(self.floats[0], round);
            }
            (Reducer::Sum, Lanes::Together, _) => {
                self.floats[0] = numbers.iter().fold(self.floats[0], |sum, x| sum + x);
            }
            _ => return false,
        }
        match lanes {
            Lanes::Apart => self.seen.fill(true),
            Lanes::Together => self.seen[0] = true,
        }
        true
    }

    fn put_float(&mut self, at: usize, x: f64, position: i64) {
        let best = self.floats[at];
        match self.reducer {
            Reducer::ArgMax | Reducer::ArgMin => {
                let better = match self.reducer {
                    Reducer::ArgMax => x > best,
                    _ => x < best,
                };
                if !self.seen[at] || (!best.is_nan() && (better || x.is_nan())) {
                    self.floats[at] = x;
                    self.positions[at] = position;
                }
            }
            Reducer::LogSumExp => self.put_exponent(at, x),
            reducer => self.floats[at] = self.round.round(combine_floats(reducer, best, x)),
        }
    }

    /// One step of the online form: the sum is kept relative to the maximum so far.
    fn put_exponent(&mut self, at: usize, x: f64) {
        let round = |y: f64| self.round.round(y);
        let max = self.floats[at];
        if max.is_nan() || x == f64::NEG_INFINITY {
            return;
        }
        if x.is_nan() || x > max {
            // For the first number the old maximum is −∞ and the factor 0.
            let scaled = round(self.sums[at] * round((max - x).exp()));
            self.sums[at] = round(scaled + 1.0);
            self.floats[at] = x;
        } else {
            // Written so that ∞ − ∞ does not occur.
            let term = if x == max { 1.0 } else { round((x - max).exp()) };
            self.sums[at] = round(self.sums[at] + term);
        }
    }

    fn put_int(&mut self, at: usize, x: i64, position: i64) {
        let best = self.ints[at];
        match self.reducer {
            Reducer::ArgMax | Reducer::ArgMin => {
                let better = match self.reducer {
                    Reducer::ArgMax => x > best,
                    _ => x < best,
                };
                if !self.seen[at] || better {
                    self.ints[at] = x;
                    self.positions[at] = position;
                }
            }
            reducer => self.ints[at] = combine_ints(reducer, self.dtype, best, x),
        }
    }

    /// The results of the group, not yet rounded to the output's dtype.
    pub fn finish(&mut self) -> Results<'_> {
        match self.reducer {
            Reducer::ArgMax | Reducer::ArgMin => Results::Ints(&self.positions),
            Reducer::LogSumExp => {
                for (max, sum) in self.floats.iter_mut().zip(&self.sums) {
                    if *sum > 0.0 {
                        *max = self.round.round(*max + self.round.round(sum.ln()));
                    }
                }
                Results::Floats(&self.floats)
            }
            _ if self.dtype.is_float() => Results::Floats(&self.floats),
            _ => Results::Ints(&self.ints),
        }
    }

    /// One finished result, as the float or the integer that it is.
    pub fn result(&self, lane: usize) -> (f64, i64) {
        match self.reducer {
            Reducer::ArgMax | Reducer::ArgMin => (0.0, self.positions[lane]),
            _ => (self.floats[lane], self.ints[lane]),
        }
    }
}

/// What no point at all gives, as a float and as an integer of the dtype.
fn identity(reducer: Reducer, dtype: DType) -> (f64, i64) {
    match reducer {
        Reducer::Prod => (1.0, 1),
        Reducer::Max => (f64::NEG_INFINITY, integer::min_value(dtype)),
        Reducer::Min => (f64::INFINITY, integer::max_value(dtype)),
        Reducer::All => (0.0, 1),
        Reducer::LogSumExp => (f64::NEG_INFINITY, 0),
        Reducer::None | Reducer::Sum | Reducer::Any | Reducer::ArgMax | Reducer::ArgMin => (0.0, 0),
    }
}

/// Combines two floats; without a reducer the second replaces the first.
pub fn combine_floats(reducer: Reducer, a: f64, b: f64) -> f64 {
    match reducer {
        Reducer::Sum => a + b,
        Reducer::Prod => a * b,
        Reducer::Max => scalar::max(a, b),
        Reducer::Min => scalar::min(a, b),
        _ => b,
    }
}

/// Combines two integers of a dtype; without a reducer the second replaces the first.
pub fn combine_ints(reducer: Reducer, dtype: DType, a: i64, b: i64) -> i64 {
    match reducer {
        Reducer::Sum => integer::wrap(dtype, a.wrapping_add(b)),
        Reducer::Prod => integer::wrap(dtype, a.wrapping_mul(b)),
        Reducer::Max => a.max(b),
        Reducer::Min => a.min(b),
        Reducer::Any => a | b,
        Reducer::All => a & b,
        _ => b,
    }
}
