//! Packing of pairs: as [`crate::cpu::gemm::pack`], with two depths in the place of one.
//!
//! A pair holds the factor of the even depth in its low half. Depths beyond the end are 0.

use super::{LANES, Plan, panels};
use crate::build::{Builder, Cmp, Scalar, Ty, V};
use crate::cpu::env::{Env, Flat};
use crate::cpu::gemm::pack::{Pack, hoist_across, plain};
use crate::cpu::gemm::{contiguous, transpose};
use crate::cpu::value::{from_memory, memory};
use einmesh_ir::{DType, Expr};

/// An operand that is packed as pairs.
pub struct Pairs<'c, 'e> {
    /// Its numbers, as f32.
    numbers: Pack<'c, 'e>,
    /// Whether they are still to be rounded to bf16.
    rounds: bool,
    /// Whether the last pair has one factor only.
    odd: bool,
    /// Whether all vectors along the depth are whole.
    whole_deep: bool,
    /// If the operand lies in panels of whole vectors: the first of the last columns that are there.
    last: Option<u64>,
}

impl<'c, 'e> Pairs<'c, 'e> {
    /// The pairs of an operand of bf16.
    pub fn of(plan: &Plan, pack: Pack<'c, 'e>, env: &Env<'c, '_>) -> Pairs<'c, 'e> {
        let odd = !plan.depth.is_multiple_of(2);
        let whole_deep = plan.depth.is_multiple_of(2 * LANES);
        match pack.operand {
            Expr::Cast(DType::Bf16, inner) if env.dtype_of(inner) == DType::F32 => {
                let numbers = Pack { operand: inner, ..pack };
                Pairs { numbers, rounds: true, odd, whole_deep, last: None }
            }
            _ => {
                let lies = panels(env.kernel, pack.operand, pack.across, pack.along)
                    .filter(|lies| lies.along == pack.along);
                let last = lies.map(|l| pack.total.next_multiple_of(l.width) - LANES);
                Pairs { numbers: pack, rounds: false, odd, whole_deep, last }
            }
        }
    }

    /// How many pairs there are.
    fn count(&self, b: &Builder<'c>) -> V<'c> {
        b.udiv(b.add(self.numbers.depths, b.index(1)), b.index(2))
    }

    /// The upper halves of 16 numbers.
    fn halves(&self, b: &Builder<'c>, numbers: V<'c>) -> V<'c> {
        match self.rounds {
            true => {
                let ty = Ty::vector(Scalar::Bf16, LANES as u32);
                let name = "llvm.x86.avx512bf16.cvtneps2bf16.512";
                b.bitcast(b.call_intrinsic(name, &[numbers], ty), Scalar::I16)
            }
            false => b.convert(b.shr(b.bitcast(numbers, Scalar::I32), 16), Scalar::I16),
        }
    }

    /// The numbers at one position across, at 16 depths from one on; 0 beyond the end.
    fn numbers_deep(&self, env: &Env<'c, '_>, across: V<'c>, offset: V<'c>) -> V<'c> {
        let (b, pack) = (env.b, &self.numbers);
        let across = b.smin(across, b.index(pack.total as i64 - 1));
        let env = env.with_flat(Flat::of(env, pack.across, across, None));
        let first = b.add(pack.depth, offset);
        let env = env.with_flat(Flat::of(&env, pack.along, first, Some(LANES)));
        let left = (!self.whole_deep).then(|| b.sub(pack.depths, offset));
        pack.value(env, LANES, left)
    }

    /// The numbers at one depth, at 16 positions across from one on; 0 beyond the end.
    fn numbers_wide(
        &self,
        env: &Env<'c, '_>,
        across: V<'c>,
        offset: V<'c>,
        aligned: bool,
    ) -> V<'c> {
        let (b, pack) = (env.b, &self.numbers);
        let depth = b.add(pack.depth, offset);
        let env = env.with_flat(Flat::of(env, pack.along, depth, None));
        if let Some(last) = self.last.filter(|_| aligned) {
            // The last panel has all its columns; those that are none of the operand's are never used.
            let across = b.smin(across, b.index(last as i64));
            let place = env.with_flat(Flat::of(&env, pack.across, across, None));
            let raw = Ty::vector(memory(DType::Bf16), LANES as u32);
            return from_memory(b, b.load(raw, place.operand(pack.operand)), DType::Bf16);
        }
        let flat = Flat { aligned, ..Flat::of(&env, pack.across, across, Some(LANES)) };
        let env = env.with_flat(flat);
        let whole = aligned && pack.total.is_multiple_of(LANES);
        let left = (!whole).then(|| b.sub(b.index(pack.total as i64), across));
        pack.value(env, LANES, left)
    }

    /// 16 pairs that follow each other, from a pair on, at one position across.
    fn deep(&self, env: &Env<'c, '_>, across: V<'c>, pair: V<'c>) -> V<'c> {
        let b = env.b;
        let first = b.mul(pair, b.index(2));
        let read = |from: V<'c>| {
            let numbers = self.numbers_deep(env, across, from);
            self.halves(b, b.broadcast(numbers, LANES as u32))
        };
        let (low, high) = (read(first), read(b.add(first, b.index(LANES as i64))));
        let lanes: Vec<i64> = (0..2 * LANES as i64).collect();
        let all = b.shuffle(low, high, &lanes);
        b.regroup(all, Ty::vector(Scalar::I32, LANES as u32))
    }

    /// One pair at 16 positions across.
    fn wide(&self, env: &Env<'c, '_>, across: V<'c>, pair: V<'c>, aligned: bool) -> V<'c> {
        let b = env.b;
        let read = |depth: V<'c>| {
            let numbers = self.numbers_wide(env, across, depth, aligned);
            b.broadcast(numbers, LANES as u32)
        };
        let even = b.mul(pair, b.index(2));
        let mut odd = b.add(even, b.index(1));
        let low = read(even);
        let high = match self.odd {
            false => read(odd),
            true => {
                let inside = b.cmp(Cmp::Lt, odd, self.numbers.depths);
                odd = b.smin(odd, b.sub(self.numbers.depths, b.index(1)));
                let number = read(odd);
                b.select(b.broadcast(inside, LANES as u32), number, b.float(number.ty, 0.0))
            }
        };
        match self.rounds {
            true => {
                let word = |v: V<'c>| b.zext(self.halves(b, v), Scalar::I32);
                b.or(word(low), b.shl(word(high), 16))
            }
            // The lower halves of bf16 numbers held as f32 are 0.
            false => b.or(b.shr(b.bitcast(low, Scalar::I32), 16), b.bitcast(high, Scalar::I32)),
        }
    }
}

/// Packs rows of lhs: row-major, [`Plan::lhs_stride`] pairs apart. `count` is a multiple of the tile's rows.
pub fn lhs<'c>(env: &Env<'c, '_>, plan: &Plan, pairs: &Pairs<'c, '_>) {
    let b = env.b;
    let pack = &pairs.numbers;
    let zero = b.index(0);
    let lanes = LANES as i64;
    let store = |value: V<'c>, row: V<'c>, pair: V<'c>| {
        let offset = b.add(b.mul(row, b.index(plan.lhs_stride as i64)), pair);
        b.store(value, b.address(pack.into, Scalar::I32, offset));
    };
    let turned = !contiguous(env.kernel, pack.operand, pack.along)
        && contiguous(env.kernel, pack.operand, pack.across)
        && plain(env.kernel, pack.operand);
    let count = pairs.count(b);
    if !turned {
        b.for_each(zero, pack.count, 1, |row| {
            let mut env = env.clone();
            let across = b.add(pack.first, row);
            hoist_across(&mut env, pack, across);
            b.for_each(zero, count, lanes, |pair| {
                store(pairs.deep(&env, across, pair), row, pair);
            });
        });
        return;
    }
    // Squares of rows by pairs; the memory behind the last row takes what a square has too many.
    b.for_each(zero, pack.count, lanes, |row| {
        b.for_each(zero, count, lanes, |pair| {
            let last = b.sub(count, b.index(1));
            let vectors = (0..lanes)
                .map(|p| {
                    // Pairs beyond the end read the last one, and are cleared below.
                    let pair = b.smin(b.add(pair, b.index(p)), last);
                    pairs.wide(env, b.add(pack.first, row), pair, false)
                })
                .collect();
            let mut place = env.clone();
            place.lanes = Some(LANES as u32);
            let mask = place.first_lanes(b.sub(count, pair));
            for (r, vector) in transpose(b, vectors).into_iter().enumerate() {
                let cleared = b.select(mask, vector, b.int(vector.ty, 0));
                store(cleared, b.add(row, b.index(r as i64)), pair);
            }
        });
    });
}

/// Packs columns of rhs: panel after panel, each half of [`Plan::step`] pairs deep, pair by pair.
pub fn rhs<'c>(env: &Env<'c, '_>, plan: &Plan, pairs: &Pairs<'c, '_>) {
    let b = env.b;
    let pack = &pairs.numbers;
    let (lanes, panel) = (LANES as i64, plan.panel() as i64);
    let zero = b.index(0);
    let turned = !contiguous(env.kernel, pack.operand, pack.across)
        && contiguous(env.kernel, pack.operand, pack.along)
        && plain(env.kernel, pack.operand);
    let count = pairs.count(b);
    b.for_each(zero, pack.count, panel, |column| {
        let offset = b.mul(column, b.index(plan.step as i64 / 2));
        let base = b.address(pack.into, Scalar::I32, offset);
        let store = |value: V<'c>, pair: V<'c>, vector: i64| {
            let offset = b.add(b.mul(pair, b.index(panel)), b.index(vector * lanes));
            b.store(value, b.address(base, Scalar::I32, offset));
        };
        let at = |vector: i64| b.add(b.add(pack.first, column), b.index(vector * lanes));
        if turned {
            b.for_each(zero, count, lanes, |pair| {
                for vector in 0..plan.tile_vectors as i64 {
                    let rows = (0..lanes)
                        .map(|r| pairs.deep(env, b.add(at(vector), b.index(r)), pair))
                        .collect();
                    for (p, row) in transpose(b, rows).into_iter().enumerate() {
                        store(row, b.add(pair, b.index(p as i64)), vector);
                    }
                }
            });
            return;
        }
        b.for_each(zero, count, 1, |pair| {
            for vector in 0..plan.tile_vectors as i64 {
                store(pairs.wide(env, at(vector), pair, true), pair, vector);
            }
        });
        b.for_each(count, padded(b, plan, pack.depths), 1, |pair| {
            for vector in 0..plan.tile_vectors as i64 {
                store(b.int(Ty::vector(Scalar::I32, LANES as u32), 0), pair, vector);
            }
        });
    });
}

/// The pairs of a step as the micro-kernel sees them.
pub fn padded<'c>(b: &Builder<'c>, plan: &Plan, depths: V<'c>) -> V<'c> {
    let unit = plan.form.unit() as i64;
    let units = b.udiv(b.add(depths, b.index(2 * unit - 1)), b.index(2 * unit));
    b.mul(units, b.index(unit))
}
