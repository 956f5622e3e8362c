//! The gradients of attention, in forms that differentiation and rewriting give them.

use super::attention::{K, Scope, T, U, V};
use super::block::Gen;
use crate::dtype::DType;
use crate::expr::*;
use crate::program::*;

/// The attention that is differentiated.
pub(super) struct Attention {
    /// Dims of all factors.
    pub batch: Vec<DimId>,
    /// Dims of queries and results only, besides T.
    pub group: Vec<DimId>,
    /// Dims of the softmax's rows.
    pub rows: Vec<DimId>,
    /// Dims of scores and weights.
    pub all: Vec<DimId>,
    /// Of the softmax, over `all`.
    pub guard: Option<Expr>,
    /// Normalised.
    pub weight: ValueId,
    /// Queries over T, batch, group, K.
    pub q: ValueId,
    /// Keys over batch, U, K.
    pub key: ValueId,
    /// Values over batch, U, V.
    pub val: ValueId,
    /// The type of those three.
    pub dtype: DType,
}

impl Gen<'_> {
    /// The gradients by scores' factors and by values, of a result's gradient `d` over T, batch, group, V.
    pub(super) fn attention_gradient(&mut self, a: &Attention) {
        let dims = |parts: &[&[DimId]]| parts.concat();
        let of = |last: DimId| dims(&[&[T], &a.batch, &a.group, &[last]]);
        let column = |last: DimId| dims(&[&a.batch, &[U, last]]);
        let wide = |e: Expr| if a.dtype == DType::F32 { e } else { Expr::cast(DType::F32, e) };
        let mul = |a: Expr, b: Expr| Expr::binary(BinaryOp::Mul, a, b);
        let d = self.tensor(&of(V), DType::F32);

        let order = dims(&[&a.all, &[V]]);
        let scope = Scope(&order);
        let body = mul(scope.load(d, &of(V)), wide(scope.load(a.val, &column(V))));
        let d_a = self.member("d_a", &a.all, &[V], Reducer::Sum, None, body);
        let scope = Scope(&a.all);
        let weight = scope.load(a.weight, &a.all);
        let by_weight = scope.load(d_a, &a.all);
        let minus = self.random.chance(50);
        let mut sum = mul(by_weight.clone(), weight.clone());
        if minus {
            sum = mul(sum, Expr::float(DType::F32, -1.0));
        }
        let guard = || a.guard.clone();
        let delta = self.member("delta", &a.rows, &[U], Reducer::Sum, guard(), sum);
        let op = if minus { BinaryOp::Add } else { BinaryOp::Sub };
        let body = mul(weight, Expr::binary(op, by_weight, scope.load(delta, &a.rows)));
        let d_s = self.member("d_s", &a.all, &[], Reducer::None, guard(), body);

        let rows = dims(&[&[T], &a.group]);
        let sums = [
            ("d_q", of(K), vec![U], d_s, (a.key, column(K), a.dtype), 0.5),
            ("d_key", column(K), rows.clone(), d_s, (a.q, of(K), a.dtype), 0.5),
            ("d_val", column(V), rows, a.weight, (d, of(V), DType::F32), 1.0),
        ];
        for (name, out, summed, weight, (value, value_dims, dtype), scale) in sums {
            // Not all of them are always asked for.
            if self.random.chance(15) {
                continue;
            }
            let order = dims(&[&out, &summed]);
            let scope = Scope(&order);
            let number = scope.load(value, &value_dims);
            let number = if dtype == DType::F32 { number } else { Expr::cast(DType::F32, number) };
            let body = mul(scope.load(weight, &a.all), number);
            let body = mul(body, Expr::float(DType::F32, scale));
            self.member(name, &out, &summed, Reducer::Sum, None, body);
        }
    }
}
