//! Sums over the points of matrix products that are never stored.

use super::Target;
use einmesh_ir::{DType, Expr, IndexId, ValueId};

/// Sums that numbers at the points of matrix products weigh, while no point is ever stored: the gradients of attention,
/// whose weights are computed again from queries and keys (Dao et al. 2022).
///
/// At each point of `batch`, `m` and `n` where `guard` holds there are first the finished `products`, then the `points`,
/// each computed from what stands before it. Each of `sums` is, with its `weight` one of the points,
///
/// * of a row, at each point of batch, m and v: `Σ over n of weight(batch, m, n) · value(batch, n, v)`;
/// * of a column, at each point of batch, n and v: `Σ over m of weight(batch, m, n) · value(batch, m, v)`.
///
/// Points that the guard excludes take no part, but for one liberty: where their `value` is not finite, the sum may be
/// NaN, as it is if they are given a weight of 0.
#[derive(Clone, PartialEq, Debug)]
pub struct Sweep {
    /// Indices of all factors and results.
    pub batch: Vec<IndexId>,
    /// The rows.
    pub m: Vec<IndexId>,
    /// The columns.
    pub n: IndexId,
    /// The type of products and sums. The locals below have it, and no extents.
    pub accumulator: DType,
    /// The products; one at least.
    pub products: Vec<Factors>,
    /// Points where this is false are excluded.
    pub guard: Option<Expr>,
    /// Numbers of a point.
    pub points: Vec<Point>,
    /// What is summed.
    pub sums: Vec<PointSum>,
}

/// `acc(batch, m, n) = Σ over k of lhs(batch, m, k) · rhs(batch, n, k)`.
#[derive(Clone, PartialEq, Debug)]
pub struct Factors {
    /// Indices of both factors.
    pub k: Vec<IndexId>,
    /// The factor of rows.
    pub lhs: Expr,
    /// The factor of columns.
    pub rhs: Expr,
    /// The local that stands for it.
    pub acc: ValueId,
}

/// A number of each point.
#[derive(Clone, PartialEq, Debug)]
pub struct Point {
    /// The local that stands for it.
    pub local: ValueId,
    /// An expression of the indices, the products and earlier numbers.
    pub value: Expr,
}

/// A result of [`Sweep`].
#[derive(Clone, PartialEq, Debug)]
pub struct PointSum {
    /// Whether it is summed over the rows, for each column, rather than over the columns, for each row.
    pub of_columns: bool,
    /// One of the points.
    pub weight: ValueId,
    /// Indices of `value` and of the result.
    pub v: Vec<IndexId>,
    /// What is weighed.
    pub value: Expr,
    /// The local that stands for the finished sum in `result`.
    pub acc: ValueId,
    /// What is stored.
    pub result: Expr,
    /// Where it is stored; every point once.
    pub target: Target,
}

impl Sweep {
    /// Every expression, those of targets included.
    pub(super) fn exprs_mut(&mut self) -> Vec<&mut Expr> {
        let factors = self.products.iter_mut().flat_map(|p| [&mut p.lhs, &mut p.rhs]);
        let points = self.points.iter_mut().map(|p| &mut p.value);
        let sums = self.sums.iter_mut().flat_map(|s| {
            let own = [&mut s.value, &mut s.result].into_iter();
            own.chain(&mut s.target.subs)
        });
        factors.chain(&mut self.guard).chain(points).chain(sums).collect()
    }

    /// The locals, where they are named outside of expressions.
    pub(super) fn named_mut(&mut self) -> Vec<&mut ValueId> {
        let products = self.products.iter_mut().map(|p| &mut p.acc);
        let points = self.points.iter_mut().map(|p| &mut p.local);
        let sums = self.sums.iter_mut().flat_map(|s| [&mut s.weight, &mut s.acc]);
        products.chain(points).chain(sums).collect()
    }
}
