//! Few rows, as a decode step has: keys and values are read once, where they lie, since packing them would cost more
//! than the products. A score is a sum along the lanes; the sums of as many keys as there are lanes are folded into
//! one vector. Weighted values are added key by key.

use super::packed::Packed;
use super::{Plan, UNROLL};
use crate::build::{Builder, Ty, V};
use crate::cpu::block::{Operand, lanewise, round_down, round_up};
use crate::cpu::env::{Env, Flat};
use crate::cpu::gemm::contiguous;
use einmesh_schedule::kernel::{Context, Kernel, Online};

/// So many rows are few: folding a row's sums costs a quarter of what packing a key of 64 numbers does.
const MOST_ROWS: u64 = 4;
/// Vectors of a key, at most: the loop over them is unrolled.
const MOST_VECTORS: u64 = 8;
/// Weighted sums that are held in registers.
const ACCUMULATORS: u64 = 16;

/// Whether a kernel's rows are few, and its keys' and values' numbers side by side.
pub fn suits(kernel: &Kernel, online: &Online, plan: &Plan) -> bool {
    let beside = |operand, group| contiguous(kernel, operand, group);
    plan.rows == plan.tile_rows
        && plan.rows <= MOST_ROWS
        && plan.depth <= MOST_VECTORS * plan.vectors.lanes
        && beside(&online.rhs, &online.k)
        && online.context.as_ref().is_some_and(|c| beside(&c.value, &c.v))
}

impl<'c> Packed<'c, '_> {
    /// The scores of all rows with the keys `block + from .. block + to`, whole vectors. Keys beyond the last repeat
    /// it.
    pub fn scores_in_place(
        &self,
        env: &Env<'c, '_>,
        online: &Online,
        block: V<'c>,
        (from, to): (V<'c>, V<'c>),
    ) {
        let (b, plan) = (env.b, self.plan);
        let number = |v: u64| b.index(v as i64);
        let vector = plan.vectors.ty();
        let (rows, columns) = (&[online.n], &online.k);
        let keys = Operand { expr: &online.rhs, rows, columns, vectors: plan.vectors };
        let depths = || (0..plan.depth).step_by(plan.vectors.lanes as usize);
        b.for_each(
            from,
            round_up(b, to, plan.vectors.lanes),
            plan.vectors.lanes as i64,
            |column| {
                let mut sums: Vec<Vec<V<'c>>> = vec![vec![]; plan.rows as usize];
                for n in 0..plan.vectors.lanes {
                    let env = keys.at_row(env, b.add(b.add(block, column), number(n)));
                    let key: Vec<V<'c>> = depths().map(|d| keys.along(&env, number(d))).collect();
                    for (row, sums) in sums.iter_mut().enumerate() {
                        let row = row as u64 * plan.lhs_stride();
                        let products = depths().zip(&key);
                        sums.push(products.fold(b.float(vector, 0.0), |sum, (d, key)| {
                            let query = b.address(self.lhs, plan.vectors.scalar, number(row + d));
                            b.fma(b.load(vector, query), *key, sum)
                        }));
                    }
                }
                for (row, sums) in sums.into_iter().enumerate() {
                    let offset = b.add(number(row as u64 * plan.score_stride()), column);
                    b.store(folded(b, sums), b.address(self.scores, plan.vectors.scalar, offset));
                }
            },
        );
    }

    /// Adds the exponentials `from .. to` times their values to all rows' sums.
    pub fn context_in_place(
        &self,
        env: &Env<'c, '_>,
        (online, context): (&Online, &Context),
        sums: V<'c>,
        block: V<'c>,
        (from, to): (V<'c>, V<'c>),
    ) {
        let (b, plan) = (env.b, self.plan);
        let number = |v: u64| b.index(v as i64);
        let vector = plan.vectors.ty();
        let whole = plan.columns.is_multiple_of(plan.vectors.lanes);
        let columns: Vec<u64> = (0..plan.columns).step_by(plan.vectors.lanes as usize).collect();
        let even = b.add(from, round_down(b, b.sub(to, from), UNROLL));
        for columns in columns.chunks((ACCUMULATORS / plan.rows.max(1)).max(1) as usize) {
            let places: Vec<V<'c>> = (0..plan.rows)
                .flat_map(|row| columns.iter().map(move |c| row * plan.sum_stride() + c))
                .map(|offset| b.address(sums, plan.vectors.scalar, number(offset)))
                .collect();
            let add = |key: V<'c>, sums: &[V<'c>]| -> Vec<V<'c>> {
                let env = env.with_flat(Flat::of(env, &[online.n], b.add(block, key), None));
                let value = |column: &u64| {
                    let flat =
                        Flat::of(&env, &context.v, number(*column), Some(plan.vectors.lanes));
                    let count = (!whole).then(|| number(plan.columns - column));
                    lanewise(&env, plan.vectors, flat, count, &context.value)
                };
                let values: Vec<V<'c>> = columns.iter().map(value).collect();
                let rows = sums.chunks(columns.len()).enumerate();
                let row = |(row, sums): (usize, &[V<'c>])| -> Vec<V<'c>> {
                    let weight = b.add(number(row as u64 * plan.score_stride()), key);
                    let weight = b.address(self.scores, plan.vectors.scalar, weight);
                    let weight = b.load(Ty::scalar(plan.vectors.scalar), weight);
                    let weight = b.broadcast(weight, plan.vectors.lanes as u32);
                    sums.iter().zip(&values).map(|(s, v)| b.fma(weight, *v, *s)).collect()
                };
                rows.flat_map(row).collect()
            };
            let before: Vec<V<'c>> = places.iter().map(|place| b.load(vector, *place)).collect();
            let sums = b.for_carried(from, even, UNROLL as i64, &before, |key, sums| {
                let keys = (0..UNROLL).map(|n| b.add(key, number(n)));
                keys.fold(sums.to_vec(), |sums, key| add(key, &sums))
            });
            let sums = b.for_carried(even, to, 1, &sums, add);
            for (sum, place) in sums.into_iter().zip(places) {
                b.store(sum, place);
            }
        }
    }
}

/// The sums of vectors, as many as lanes, in the lanes of one: neighbours are folded into each other, each time half
/// as many vectors of twice as many sums.
fn folded<'c>(b: &Builder<'c>, mut sums: Vec<V<'c>>) -> V<'c> {
    let lanes = sums.len();
    let mut width = lanes;
    while width > 1 {
        // Each stretch of `width` lanes belongs to one sum; its halves are added.
        let half = width / 2;
        let lower: Vec<i64> =
            (0..2 * lanes).filter(|lane| lane % width < half).map(|lane| lane as i64).collect();
        let upper: Vec<i64> = lower.iter().map(|lane| lane + half as i64).collect();
        let pair = |pair: &[V<'c>]| {
            let part = |lanes: &[i64]| b.shuffle(pair[0], pair[1], lanes);
            b.add(part(&lower), part(&upper))
        };
        sums = sums.chunks(2).map(pair).collect();
        width = half;
    }
    sums[0]
}
