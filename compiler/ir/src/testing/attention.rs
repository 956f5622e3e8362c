//! Attention, in the forms that programs and rewriting give it: several comprehensions that a scheduler may run as one.

use super::block::{Gen, Known};
use super::body::Space;
use super::compute::Draft;
use super::gradient::Attention;
use crate::arena::Id;
use crate::dtype::DType;
use crate::expr::*;
use crate::program::*;

pub(super) const B: DimId = DimId(0);
pub(super) const T: DimId = DimId(1);
const R: DimId = DimId(2);
pub(super) const H: DimId = DimId(3);
pub(super) const K: DimId = DimId(4);
pub(super) const V: DimId = DimId(5);
pub(super) const U: DimId = DimId(6);

/// The dims of a comprehension, in the order of its indices.
pub(super) struct Scope<'d>(pub &'d [DimId]);

impl Scope<'_> {
    pub fn index(&self, dim: DimId) -> Expr {
        let at = self.0.iter().position(|d| *d == dim);
        Expr::Index(IndexId::from_index(at.expect("a dim of the comprehension")))
    }

    pub fn load(&self, value: ValueId, dims: &[DimId]) -> Expr {
        Expr::load(value, dims.iter().map(|d| self.index(*d)))
    }
}

impl Gen<'_> {
    /// Scores, a softmax under a guard, and what it weighs: `out[b,t,h,r,v]` of `q[b,t,h,r,k]`, `key[b,u,h,k]` and
    /// `val[b,u,h,v]`, some dims left out.
    pub fn attention(&mut self) -> bool {
        if self.is_exact() || !self.loops.is_empty() {
            return false;
        }
        let before = self.known.len();
        let mut some = |dims: &[DimId]| -> Vec<DimId> {
            dims.iter().copied().filter(|_| self.random.chance(60)).collect()
        };
        let (batch, group) = (some(&[B, H]), some(&[R]));
        let dims = |parts: &[&[DimId]]| parts.concat();
        let rows = dims(&[&batch, &group, &[T]]);
        let all = dims(&[&rows, &[U]]);
        if all.iter().chain(&[K, V]).map(|d| self.extent(*d)).product::<u64>() > 40_000 {
            return false;
        }
        let dtype =
            if self.options.halves && self.random.chance(30) { DType::Bf16 } else { DType::F32 };
        let q_dims = dims(&[&[T], &batch, &group, &[K]]);
        let k_dims = dims(&[&batch, &[U, K]]);
        let v_dims = dims(&[&batch, &[U, V]]);
        let q = self.tensor(&q_dims, dtype);
        let key = self.tensor(&k_dims, dtype);
        let val = self.tensor(&v_dims, dtype);

        let wide = |e: Expr| if dtype == DType::F32 { e } else { Expr::cast(DType::F32, e) };
        let mul = |a: Expr, b: Expr| Expr::binary(BinaryOp::Mul, a, b);
        let order = dims(&[&all, &[K]]);
        let scope = Scope(&order);
        let product = mul(wide(scope.load(q, &q_dims)), wide(scope.load(key, &k_dims)));
        let body = mul(product, Expr::float(DType::F32, 0.5));
        let mut score = self.member("s", &all, &[K], Reducer::Sum, None, body);
        let scope = Scope(&all);
        if self.random.chance(40) {
            let bias = self.tensor(&[T, U], DType::F32);
            let sum =
                Expr::binary(BinaryOp::Add, scope.load(score, &all), scope.load(bias, &[T, U]));
            score = self.member("z", &all, &[], Reducer::None, None, sum);
        }
        let guard = self.attention_guard(&scope);
        let point = || scope.load(score, &all);
        let shifted = |by: ValueId| {
            Expr::unary(UnaryOp::Exp, Expr::binary(BinaryOp::Sub, point(), scope.load(by, &rows)))
        };
        let form = self.random.below(3);
        let (weight, total) = if form == 0 {
            let lse = self.member("lse", &rows, &[U], Reducer::LogSumExp, guard.clone(), point());
            (self.member("p", &all, &[], Reducer::None, guard.clone(), shifted(lse)), None)
        } else {
            let top = self.member("top", &rows, &[U], Reducer::Max, guard.clone(), point());
            let e = self.member("e", &all, &[], Reducer::None, guard.clone(), shifted(top));
            let weight = scope.load(e, &all);
            let total =
                self.member("total", &rows, &[U], Reducer::Sum, guard.clone(), weight.clone());
            let normal = Expr::binary(BinaryOp::Div, weight, scope.load(total, &rows));
            match form {
                1 => (self.member("a", &all, &[], Reducer::None, guard.clone(), normal), None),
                _ => (e, Some(total)),
            }
        };
        let out = dims(&[&[T], &batch, &group, &[V]]);
        let order = dims(&[&out, &[U]]);
        let scope = Scope(&order);
        let body = mul(scope.load(weight, &all), wide(scope.load(val, &v_dims)));
        let mut context = self.member("context", &out, &[U], Reducer::Sum, None, body);
        if let Some(total) = total {
            let scope = Scope(&out);
            let sum = scope.load(context, &out);
            let normal = Expr::binary(BinaryOp::Div, sum, scope.load(total, &rows));
            context = self.member("out", &out, &[], Reducer::None, None, normal);
        }
        // Now and then something else reads what is between.
        if !self.random.chance(15) {
            self.known.truncate(before);
        }
        self.known.retain(|k| k.value != context);
        if total.is_none() && self.random.chance(40) {
            let between = self.known.len();
            self.attention_gradient(&Attention {
                batch,
                group,
                rows,
                all,
                guard: guard.clone(),
                weight,
                q,
                key,
                val,
                dtype,
            });
            let sums = ["d_q", "d_key", "d_val"];
            let own = self.known.split_off(between.min(self.known.len()));
            let name = |k: &Known| self.program.values[k.value].name.clone();
            let own: Vec<Known> =
                own.into_iter().filter(|k| sums.contains(&name(k).as_str())).collect();
            self.known.extend(own);
        }
        // An empty row divides by 0.
        let bound = if guard.is_none() { 2.0 } else { f64::INFINITY };
        let known = Known { value: context, dtype: DType::F32, dims: out, exact: false, bound };
        self.known.push(known);
        true
    }

    /// Causal, a window, by values, or none. The last three leave some rows nothing.
    fn attention_guard(&mut self, scope: &Scope<'_>) -> Option<Expr> {
        let (t, u) = (scope.index(T), scope.index(U));
        let causal = Expr::binary(BinaryOp::Le, u.clone(), t.clone());
        let before = Expr::binary(BinaryOp::Lt, u.clone(), t.clone());
        let and = |a: Expr, b: Expr| Expr::binary(BinaryOp::And, a, b);
        if !self.options.guards {
            return None;
        }
        match self.random.below(7) {
            0 => None,
            1 => {
                let far = Expr::binary(BinaryOp::Sub, t, u);
                Some(and(causal, Expr::binary(BinaryOp::Lt, far, Expr::int(2))))
            }
            2 | 3 => Some(causal),
            4 => {
                let starts = |k: &&Known| k.dtype == DType::I32 && (k.dims == [U] || k.dims == [T]);
                let start = self.known.iter().find(starts).cloned();
                let start = start.map_or(Expr::int(-1), |k| scope.load(k.value, &k.dims));
                Some(Expr::binary(BinaryOp::Le, u, Expr::binary(BinaryOp::Add, t, start)))
            }
            5 => Some(and(causal, self.attention_mask(scope).unwrap_or(before))),
            _ => Some(self.attention_mask(scope).unwrap_or(before)),
        }
    }

    /// Which keys or which rows to keep, by a truth value or the sign of an integer.
    fn attention_mask(&mut self, scope: &Scope<'_>) -> Option<Expr> {
        let masks = |k: &&Known| {
            let fits = k.dims.iter().all(|d| scope.0.contains(d));
            let tells = k.dims.contains(&U) || k.dims.contains(&T);
            fits && tells && matches!(k.dtype, DType::Bool | DType::I32)
        };
        let found: Vec<Known> = self.known.iter().filter(masks).cloned().collect();
        if found.is_empty() {
            return None;
        }
        let mask = self.random.pick(&found);
        let value = scope.load(mask.value, &mask.dims);
        Some(match mask.dtype {
            DType::Bool => value,
            _ => Expr::binary(BinaryOp::Lt, Expr::int(0), value),
        })
    }

    /// A value over these dims, of numbers up to 2.
    pub fn tensor(&mut self, dims: &[DimId], dtype: DType) -> ValueId {
        let mut space = Space::new();
        let free: Vec<IndexId> = dims
            .iter()
            .map(|dim| {
                let name = self.program.dims[*dim].name.to_lowercase();
                space.indices.push(Index { name, dim: *dim })
            })
            .collect();
        // No room for further indices, but for those of extent 1, which stay at 0.
        space.points = self.options.max_points + 1;
        let number = self.float_load(&mut space, dtype, 2.0);
        let exact = number.exact;
        let body = number.expr.map(&mut |e| match e {
            Expr::Index(i) if !free.contains(&i) => Expr::int(0),
            other => other,
        });
        let mut kept = Space::new();
        for id in &free {
            kept.indices.push(space.indices[*id].clone());
        }
        let reducer = Reducer::None;
        let draft = Draft { space: kept, body, guard: None, reducer, dtype, exact, bound: 2.0 };
        self.emit("tensor", draft, free)
    }

    /// A comprehension over these dims.
    pub(super) fn member(
        &mut self,
        name: &str,
        free: &[DimId],
        reduced: &[DimId],
        reducer: Reducer,
        guard: Option<Expr>,
        body: Expr,
    ) -> ValueId {
        let mut space = Space::new();
        for dim in free.iter().chain(reduced) {
            let name = self.program.dims[*dim].name.to_lowercase();
            space.indices.push(Index { name, dim: *dim });
        }
        let ids: Vec<IndexId> = (0..free.len()).map(IndexId::from_index).collect();
        let bound = f64::INFINITY;
        let draft = Draft { space, body, guard, reducer, dtype: DType::F32, exact: false, bound };
        self.emit(name, draft, ids)
    }
}
