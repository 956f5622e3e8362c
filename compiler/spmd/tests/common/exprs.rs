//! Random expressions whose values are small whole numbers.

use super::Rng;
use einmesh_ir::{
    Arena, BinaryOp, Bounds, DType, DimId, Expr, Index, IndexId, Literal, Load, LoopVarId, Program,
    UnaryOp, ValueId,
};
use std::collections::BTreeMap;

/// What a program under construction offers to expressions.
pub struct Scope {
    pub rng: Rng,
    pub program: Program,
    /// The values of each open block.
    pub values: Vec<Vec<ValueId>>,
    /// The counters of the open loops.
    pub vars: Vec<LoopVarId>,
    /// How large the elements of each value can be.
    pub bound: BTreeMap<ValueId, f64>,
}

/// No number may be larger, so that f32 is exact.
pub const LARGEST: f64 = 4_000_000.0;

pub fn literal(dtype: DType, value: i64) -> Expr {
    Expr::Literal(match dtype {
        DType::Bool => Literal::Bool(value != 0),
        _ if dtype.is_float() => Literal::Float(dtype, value as f64),
        _ => Literal::Int(dtype, value),
    })
}

impl Scope {
    pub fn extent(&self, dim: DimId) -> i64 {
        self.program.dims[dim].extent as i64
    }

    pub fn visible(&self, dtype: DType) -> Vec<ValueId> {
        let all = self.values.iter().flatten().copied();
        all.filter(|v| self.program.values[*v].dtype == dtype).collect()
    }

    /// An expression and a bound of its magnitude.
    pub fn expr(
        &mut self,
        dtype: DType,
        indices: &Arena<IndexId, Index>,
        depth: usize,
    ) -> (Expr, f64) {
        use BinaryOp::*;
        if dtype == DType::Bool {
            return (self.condition(indices, depth), 1.0);
        }
        if depth == 0 || self.rng.chance(25) {
            return self.leaf(dtype, indices);
        }
        let (a, x) = self.expr(dtype, indices, depth - 1);
        let (b, y) = self.expr(dtype, indices, depth - 1);
        let (expr, bound) = match self.rng.below(9) {
            0..3 => (Expr::binary(Add, a, b), x + y),
            3 => (Expr::binary(Sub, a, b), x + y),
            4..6 => (Expr::binary(Mul, a, b), x * y),
            6 => (Expr::binary(*self.rng.pick(&[Max, Min]), a, b), x.max(y)),
            7 => (Expr::unary(UnaryOp::Neg, a), x),
            _ => (Expr::select(self.condition(indices, depth - 1), a, b), x.max(y)),
        };
        self.bounded(dtype, expr, bound, LARGEST)
    }

    /// The expression, cut to small numbers if it may be larger than `limit`.
    pub fn bounded(&self, dtype: DType, expr: Expr, bound: f64, limit: f64) -> (Expr, f64) {
        if bound <= limit || !bound.is_finite() && limit == f64::INFINITY {
            return (expr, bound);
        }
        let low = Expr::binary(BinaryOp::Max, expr, literal(dtype, -7));
        (Expr::binary(BinaryOp::Min, low, literal(dtype, 7)), 7.0)
    }

    fn leaf(&mut self, dtype: DType, indices: &Arena<IndexId, Index>) -> (Expr, f64) {
        match self.rng.below(10) {
            0 => (literal(dtype, self.rng.range(-3, 3)), 3.0),
            1 if !indices.is_empty() => {
                let index = IndexId(self.rng.below(indices.len()) as u32);
                let number = Expr::Index(index);
                (if dtype == DType::I32 { number } else { Expr::cast(dtype, number) }, 16.0)
            }
            2 if !self.vars.is_empty() => {
                let var = Expr::LoopVar(*self.rng.pick(&self.vars));
                (if dtype == DType::I32 { var } else { Expr::cast(dtype, var) }, 16.0)
            }
            _ => {
                let values = self.visible(dtype);
                if values.is_empty() {
                    return (literal(dtype, 2), 2.0);
                }
                let value = *self.rng.pick(&values);
                (self.load(value, indices, 1), self.bound[&value].max(3.0))
            }
        }
    }

    /// A load with subscripts of all kinds.
    pub fn load(&mut self, value: ValueId, indices: &Arena<IndexId, Index>, depth: usize) -> Expr {
        let dims = self.program.values[value].dims.clone();
        let dtype = self.program.values[value].dtype;
        let mut proven = true;
        let mut subs = Vec::new();
        for dim in dims {
            let (sub, safe) = self.subscript(dim, indices, depth);
            subs.push(sub);
            proven &= safe;
        }
        let bounds = match (proven, self.rng.below(3)) {
            (true, 0..2) => Bounds::Proven,
            (_, 0) => Bounds::Clamp,
            _ => {
                let others = self.visible(dtype);
                let default = match depth > 0 && self.rng.chance(20) && dtype != DType::Key {
                    true => {
                        let other = *self.rng.pick(&others);
                        self.bound.insert(value, self.bound[&value].max(self.bound[&other]));
                        self.load(other, indices, 0)
                    }
                    false => literal(dtype, self.rng.range(-2, 2)),
                };
                Bounds::Else(Box::new(default))
            }
        };
        Expr::Load(Load { value, subs, bounds })
    }

    /// A subscript for a dim, and whether it is surely in range.
    pub fn subscript(
        &mut self,
        dim: DimId,
        indices: &Arena<IndexId, Index>,
        depth: usize,
    ) -> (Expr, bool) {
        let extent = self.extent(dim);
        let same: Vec<IndexId> =
            indices.iter().filter(|(_, i)| i.dim == dim).map(|(id, _)| id).collect();
        if !same.is_empty() && self.rng.chance(70) {
            return (Expr::Index(*self.rng.pick(&same)), true);
        }
        let any: Vec<(IndexId, i64)> =
            indices.iter().map(|(id, i)| (id, self.extent(i.dim))).collect();
        match self.rng.below(8) {
            0..4 if !any.is_empty() => {
                let (index, count) = *self.rng.pick(&any);
                let stride = *self.rng.pick(&[1, 1, 1, 2, -1]);
                let offset = self.rng.range(-2, 2);
                let (mut low, mut high) = (offset, offset);
                let mut sum = Expr::Index(index);
                if stride != 1 {
                    sum = Expr::binary(BinaryOp::Mul, Expr::int(stride), sum);
                }
                low += (stride * (count - 1)).min(0);
                high += (stride * (count - 1)).max(0);
                if self.rng.chance(30) {
                    let (second, more) = *self.rng.pick(&any);
                    sum = Expr::binary(BinaryOp::Add, sum, Expr::Index(second));
                    high += more - 1;
                }
                if offset != 0 {
                    sum = Expr::binary(BinaryOp::Add, sum, Expr::int(offset));
                }
                (sum, low >= 0 && high < extent)
            }
            4 if !self.vars.is_empty() => {
                let var = *self.rng.pick(&self.vars);
                let trips = self.extent(self.program.loop_vars[var].dim);
                (Expr::LoopVar(var), trips <= extent)
            }
            5..7 if depth > 0 && !self.visible(DType::I32).is_empty() => {
                let value = *self.rng.pick(&self.visible(DType::I32));
                (self.load(value, indices, depth - 1), false)
            }
            _ => {
                let at = self.rng.range(0, extent - 1);
                (Expr::int(at), true)
            }
        }
    }

    /// A truth value.
    pub fn condition(&mut self, indices: &Arena<IndexId, Index>, depth: usize) -> Expr {
        use BinaryOp::*;
        let flags = self.visible(DType::Bool);
        if !flags.is_empty() && self.rng.chance(25) {
            let flag = *self.rng.pick(&flags);
            return self.load(flag, indices, 0);
        }
        if depth > 1 && self.rng.chance(20) {
            let (a, b) = (self.condition(indices, depth - 1), self.condition(indices, depth - 1));
            return Expr::binary(*self.rng.pick(&[And, Or]), a, b);
        }
        let dtype = *self.rng.pick(&[DType::I32, DType::I32, DType::F32]);
        let (a, _) = self.leaf(dtype, indices);
        let (b, _) = self.leaf(dtype, indices);
        Expr::binary(*self.rng.pick(&[Le, Lt, Ge, Ne]), a, b)
    }
}
