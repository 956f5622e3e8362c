//! Sums of products of two arrays that lie across each other, like the trace of a matrix product: one is read along
//! one index of the sum, the other along another. Squares of vectors of the one are transposed in registers, so
//! that no lane is read alone.

use crate::build::{Cmp, Scalar, Ty, V};
use crate::cpu::cost;
use crate::cpu::env::{Binding, Env};
use crate::cpu::gemm::transpose;
use crate::cpu::reduce::Reduction;
use crate::cpu::value::register;
use einmesh_ir::{BinaryOp, Bounds, Expr, IndexId, Load, Reducer};
use einmesh_schedule::kernel::{Kernel, Stage};

/// Independent accumulators.
const ACCUMULATORS: usize = 4;

/// A sum of such products.
pub struct Crossed<'s> {
    /// The factor that is read along `lane`.
    straight: &'s Expr,
    /// The factor that is read along `across`.
    turned: &'s Expr,
    lane: IndexId,
    across: IndexId,
    /// All other indices of the sum.
    others: Vec<IndexId>,
    lanes: u32,
    scalar: Scalar,
}

impl<'s> Crossed<'s> {
    /// How a stage's sum, with lanes along one of its indices, is of that kind; `None` if it is not.
    pub fn of(
        kernel: &Kernel,
        stage: &'s Stage,
        reduction: &Reduction,
        (lane, lanes): (IndexId, u32),
    ) -> Option<Crossed<'s>> {
        let Expr::Binary(BinaryOp::Mul, x, y) = &stage.body else {
            return None;
        };
        let scalar = register(reduction.dtype);
        let sums = stage.reducer == Reducer::Sum && stage.guard.is_none();
        if !sums || !matches!(scalar, Scalar::F32 | Scalar::F64) {
            return None;
        }
        let load = |factor: &'s Expr| -> Option<&'s Load> {
            match factor {
                Expr::Load(load)
                    if kernel.values[load.value.0 as usize].dtype == reduction.dtype =>
                {
                    (load.bounds == Bounds::Proven).then_some(load)
                }
                _ => None,
            }
        };
        let (left, right) = (load(x)?, load(y)?);
        let stride = |load: &Load, i: IndexId| cost::stride(kernel, load.value, &load.subs, i);
        let long = |i: &IndexId| kernel.indices[i.0 as usize].extent >= u64::from(lanes);
        let (straight, turned) = match (stride(left, lane)?, stride(right, lane)?) {
            (1, 0 | 1) | (0, 1) => return None,
            (1, _) => ((x, left), (y, right)),
            (_, 1) => ((y, right), (x, left)),
            _ => return None,
        };
        let across = stage.reduced.iter().copied().find(|i| {
            *i != lane
                && long(i)
                && stride(turned.1, *i) == Some(1)
                && stride(straight.1, *i).is_some()
        })?;
        let others = stage.reduced.iter().copied().filter(|i| *i != lane && *i != across);
        long(&lane).then(|| Crossed {
            straight: straight.0,
            turned: turned.0,
            lane,
            across,
            others: others.collect(),
            lanes,
            scalar,
        })
    }

    /// The sum at a point, with the indices of the sum still unbound.
    pub fn sum<'c>(&self, env: &Env<'c, '_>, reduction: &Reduction) -> Vec<V<'c>> {
        let b = env.b;
        let zero = b.float(Ty::vector(self.scalar, self.lanes), 0.0);
        let sums = self.outer(env, &self.others, &[zero; ACCUMULATORS]);
        let [first, second, third, fourth] = sums[..] else {
            unreachable!("there are {ACCUMULATORS} accumulators");
        };
        let halves = (b.add(first, second), b.add(third, fourth));
        reduction.across(b, &[b.add(halves.0, halves.1)])
    }

    fn outer<'c>(&self, env: &Env<'c, '_>, others: &[IndexId], sums: &[V<'c>]) -> Vec<V<'c>> {
        let b = env.b;
        let Some((index, rest)) = others.split_first() else {
            return self.matrix(env, sums);
        };
        let end = b.index(env.extent(*index) as i64);
        b.for_carried(b.index(0), end, 1, sums, |at, sums| {
            self.outer(&env.with(*index, Binding::Uniform(at)), rest, sums)
        })
    }

    /// All squares: first those of whole vectors.
    fn matrix<'c>(&self, env: &Env<'c, '_>, sums: &[V<'c>]) -> Vec<V<'c>> {
        let b = env.b;
        let step = i64::from(self.lanes);
        let size = |i: IndexId| env.extent(i) as i64;
        let number = |v: i64| b.index(v);
        let (rows, columns) = (size(self.across), size(self.lane));
        let (even_rows, even_columns) = (rows / step * step, columns / step * step);
        let row = |at: V<'c>, end: i64, masked: bool, sums: &[V<'c>]| {
            b.for_carried(number(0), number(end), step, sums, |first, sums| {
                self.square(env, (at, first), masked, sums)
            })
        };
        let sums = b.for_carried(number(0), number(even_rows), step, sums, |at, sums| {
            let sums = row(at, even_columns, false, sums);
            match even_columns < columns {
                true => self.square(env, (at, number(even_columns)), true, &sums),
                false => sums,
            }
        });
        match even_rows < rows {
            true => row(number(even_rows), columns, true, &sums),
            false => sums,
        }
    }

    /// Adds the products of a square from a position of `across` and one of `lane` on. Masked, what is behind the end
    /// of either counts 0 in both factors.
    fn square<'c>(
        &self,
        env: &Env<'c, '_>,
        (across, lane): (V<'c>, V<'c>),
        masked: bool,
        sums: &[V<'c>],
    ) -> Vec<V<'c>> {
        let b = env.b;
        // Vectors along `wide`, at as many positions of `deep`.
        let rows = |factor: &Expr, wide: (IndexId, V<'c>), deep: (IndexId, V<'c>)| -> Vec<V<'c>> {
            let left =
                |(index, first): (IndexId, V<'c>)| b.sub(b.index(env.extent(index) as i64), first);
            let row = |n: i64| {
                let at = b.add(deep.1, b.index(n));
                let last = b.index(env.extent(deep.0) as i64 - 1);
                let place = |at| {
                    let mut env = env.with(wide.0, Binding::Lanes(wide.1));
                    env.lanes = Some(self.lanes);
                    env.with(deep.0, Binding::Uniform(at))
                };
                if !masked {
                    return b.broadcast(place(at).eval(factor).v, self.lanes);
                }
                let there = b.cmp(Cmp::Le, at, last);
                let env = place(b.smin(at, last));
                let mask = env.first_lanes(b.select(there, left(wide), b.index(0)));
                b.broadcast(env.masked(mask).eval(factor).v, self.lanes)
            };
            (0..i64::from(self.lanes)).map(row).collect()
        };
        let turned = rows(self.turned, (self.across, across), (self.lane, lane));
        let turned = transpose(b, turned);
        let straight = rows(self.straight, (self.lane, lane), (self.across, across));
        let mut sums = sums.to_vec();
        for (n, (x, y)) in straight.into_iter().zip(turned).enumerate() {
            let sum = &mut sums[n % ACCUMULATORS];
            *sum = b.fma(x, y, *sum);
        }
        sums
    }
}
