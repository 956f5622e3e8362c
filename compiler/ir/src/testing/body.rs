//! Scalar expressions over a growing index space.

use super::block::{Gen, Known};
use crate::arena::Arena;
use crate::dtype::DType;
use crate::expr::*;
use crate::program::*;

/// The indices of a comprehension under construction.
#[derive(Clone, Debug, Default)]
pub(super) struct Space {
    pub indices: Arena<IndexId, Index>,
    pub points: u64,
}

/// A float expression and what is known of its value.
#[derive(Clone, Debug)]
pub(super) struct Number {
    pub expr: Expr,
    pub exact: bool,
    pub bound: f64,
}

impl Space {
    pub fn new() -> Space {
        Space { indices: Arena::new(), points: 1 }
    }
}

impl Gen<'_> {
    /// The index over a dim, a new one if there is none and the space may grow.
    pub fn index(&mut self, space: &mut Space, dim: DimId) -> Option<IndexId> {
        if let Some((found, _)) = space.indices.iter().find(|(_, i)| i.dim == dim) {
            return Some(found);
        }
        let extent = self.extent(dim);
        if space.points * extent > self.options.max_points {
            return None;
        }
        space.points *= extent;
        let name = self.program.dims[dim].name.to_lowercase();
        let name =
            if name.starts_with(|c: char| c.is_ascii_digit()) { "r".to_owned() } else { name };
        Some(space.indices.push(Index { name, dim }))
    }

    /// A subscript that is in range.
    fn subscript(&mut self, space: &mut Space, dim: DimId) -> Expr {
        let extent = self.extent(dim);
        for var in self.loops.clone() {
            let loop_dim = self.program.loop_vars[var].dim;
            let likely = if loop_dim == dim { 60 } else { 5 };
            if self.extent(loop_dim) <= extent && self.random.chance(likely) {
                return Expr::LoopVar(var);
            }
        }
        let constant = Expr::int(self.random.below(extent) as i64);
        let shorter: Vec<IndexId> = space
            .indices
            .iter()
            .filter(|(_, i)| self.extent(i.dim) <= extent)
            .map(|(id, _)| id)
            .collect();
        match self.random.below(20) {
            0 => constant,
            1 if !shorter.is_empty() => Expr::Index(self.random.pick(&shorter)),
            _ => self.index(space, dim).map_or(constant, Expr::Index),
        }
    }

    /// An integer subscript that may be out of range.
    pub fn wild_subscript(&mut self, space: &mut Space, dim: DimId) -> Expr {
        let plain = self.subscript(space, dim);
        let ints: Vec<Known> = self.known.iter().filter(|k| k.dtype.is_int()).cloned().collect();
        match self.random.below(6) {
            0 | 1 if self.options.gathers && !ints.is_empty() => {
                let value = self.random.pick(&ints);
                self.plain_load(space, &value)
            }
            2 | 3 => {
                let offset = self.random.between(-2, 2);
                Expr::binary(BinaryOp::Add, plain, Expr::int(offset))
            }
            4 => {
                let twice = Expr::binary(BinaryOp::Mul, Expr::int(2), plain);
                let other = self.random.pick(&[DimId(7), DimId(5)]);
                let other = self.subscript(space, other);
                Expr::binary(BinaryOp::Add, twice, other)
            }
            _ => plain,
        }
    }

    fn plain_load(&mut self, space: &mut Space, known: &Known) -> Expr {
        let dims = known.dims.clone();
        let subs: Vec<Expr> = dims.into_iter().map(|d| self.subscript(space, d)).collect();
        Expr::load(known.value, subs)
    }

    /// A load of a value, in range, with a default, or clamped.
    fn load(&mut self, space: &mut Space, known: &Known, default: Expr) -> Expr {
        let wild = (self.options.affine || self.options.gathers) && self.random.chance(15);
        if !wild || known.dims.is_empty() {
            return self.plain_load(space, known);
        }
        let dims = known.dims.clone();
        let subs: Vec<Expr> = dims.into_iter().map(|d| self.wild_subscript(space, d)).collect();
        let clamp = !self.options.affine || (self.options.gathers && self.random.chance(30));
        let bounds = if clamp { Bounds::Clamp } else { Bounds::Else(Box::new(default)) };
        Expr::Load(Load { value: known.value, subs, bounds })
    }

    /// The number kept between −limit and limit.
    pub fn clamp(&self, number: Number, dtype: DType, limit: f64) -> Number {
        if number.bound <= limit {
            return number;
        }
        // A power of two is a number of every dtype.
        let edge = limit.log2().floor().exp2();
        let low = Expr::float(dtype, -edge);
        let high = Expr::float(dtype, edge);
        let below = Expr::binary(BinaryOp::Min, number.expr, high);
        let expr = Expr::binary(BinaryOp::Max, below, low);
        Number { expr, bound: edge, ..number }
    }

    /// A load of some float value, converted to `dtype`.
    pub fn float_load(&mut self, space: &mut Space, dtype: DType, limit: f64) -> Number {
        let floats: Vec<Known> =
            self.known.iter().filter(|k| k.dtype.is_float()).cloned().collect();
        // There always is one: the first input.
        let known = self.random.pick(&floats);
        let default = self.random.between(-2, 2) as f64;
        let default = Expr::float(known.dtype, default);
        let expr = self.load(space, &known, default);
        let number = Number { expr, exact: known.exact, bound: known.bound.max(2.0) };
        // Narrowing must not lose bits of exact numbers, nor overflow.
        let limit = limit.min(self.limit(dtype));
        let number = self.clamp(number, known.dtype, limit);
        match known.dtype == dtype {
            true => number,
            false => Number { expr: Expr::cast(dtype, number.expr), ..number },
        }
    }

    /// A float expression of at most `limit`.
    pub fn float(&mut self, space: &mut Space, dtype: DType, depth: u64, limit: f64) -> Number {
        let exact = |expr, bound| Number { expr, exact: true, bound };
        if depth == 0 || self.random.chance(20) {
            return match self.random.below(10) {
                0 => {
                    let value = self.random.between(-3, 3) as f64;
                    let number = exact(Expr::float(dtype, value), 3.0);
                    self.clamp(number, dtype, limit)
                }
                1 if !space.indices.is_empty() => {
                    let ids: Vec<IndexId> = space.indices.ids().collect();
                    let id = self.random.pick(&ids);
                    let bound = self.extent(space.indices[id].dim) as f64;
                    let number = exact(Expr::cast(dtype, Expr::Index(id)), bound);
                    self.clamp(number, dtype, limit)
                }
                _ => self.float_load(space, dtype, limit),
            };
        }
        let number = match self.random.below(10) {
            0 => {
                let condition = self.mask(space, 1);
                let a = self.float(space, dtype, depth - 1, limit);
                let b = self.float(space, dtype, depth - 1, limit);
                let expr = Expr::select(condition, a.expr, b.expr);
                Number { expr, exact: a.exact && b.exact, bound: a.bound.max(b.bound) }
            }
            1 | 2 => self.unary(space, dtype, depth, limit),
            3 if !self.is_exact() => self.quotient(space, dtype, depth, limit),
            _ => self.binary(space, dtype, depth, limit),
        };
        self.clamp(number, dtype, limit)
    }

    fn binary(&mut self, space: &mut Space, dtype: DType, depth: u64, limit: f64) -> Number {
        use BinaryOp::*;
        let op = self.random.pick(&[Add, Sub, Mul, Mul, Min, Max]);
        // A product of exact numbers must be a number of the dtype before it is clamped.
        let most = if op == Mul { self.limit(dtype).sqrt() } else { self.limit(dtype) / 2.0 };
        let a = self.float(space, dtype, depth - 1, limit.min(most));
        let b = self.float(space, dtype, depth - 1, limit.min(most));
        let bound = match op {
            Mul => a.bound * b.bound,
            Add | Sub => a.bound + b.bound,
            _ => a.bound.max(b.bound),
        };
        let exact = a.exact && b.exact;
        Number { expr: Expr::binary(op, a.expr, b.expr), exact, bound }
    }

    fn unary(&mut self, space: &mut Space, dtype: DType, depth: u64, limit: f64) -> Number {
        use UnaryOp::*;
        let a = self.float(space, dtype, depth - 1, limit);
        if self.is_exact() || (a.exact && self.random.chance(50)) {
            let steps = [Neg, Abs, Floor, Ceil, Round];
            let op = match a.exact {
                true => self.random.pick(&steps),
                false => Neg,
            };
            return Number { expr: Expr::unary(op, a.expr), ..a };
        }
        let one = || Expr::float(dtype, 1.0);
        let at_least_one = |x: Expr| Expr::binary(BinaryOp::Add, Expr::unary(Abs, x), one());
        let op =
            self.random.pick(&[Neg, Abs, Exp, Expm1, Log, Log1p, Sqrt, Rsqrt, Sin, Cos, Tanh, Erf]);
        let (argument, bound) = match op {
            // e³ is about 20.
            Exp | Expm1 => (Expr::binary(BinaryOp::Min, a.expr, Expr::float(dtype, 3.0)), 21.0),
            Log | Sqrt | Rsqrt => (at_least_one(a.expr), a.bound + 1.0),
            Log1p => (Expr::unary(Abs, a.expr), a.bound),
            Sin | Cos | Tanh | Erf => (self.clamp(a, dtype, 8.0).expr, 1.0),
            _ => (a.expr, a.bound),
        };
        Number { expr: Expr::unary(op, argument), exact: false, bound }
    }

    /// A quotient or power that is far from its poles.
    fn quotient(&mut self, space: &mut Space, dtype: DType, depth: u64, limit: f64) -> Number {
        let a = self.float(space, dtype, depth - 1, limit.min(16.0));
        let b = self.float(space, dtype, depth - 1, limit.min(16.0));
        let one = || Expr::float(dtype, 1.0);
        let positive = |x| Expr::binary(BinaryOp::Add, Expr::unary(UnaryOp::Abs, x), one());
        if self.random.chance(70) {
            let expr = Expr::binary(BinaryOp::Div, a.expr, positive(b.expr));
            return Number { expr, exact: false, bound: a.bound };
        }
        let exponent = self.random.pick(&[-1.0, 0.5, 1.5, 2.0]);
        let expr = Expr::binary(BinaryOp::Pow, positive(a.expr), Expr::float(dtype, exponent));
        Number { expr, exact: false, bound: (a.bound + 1.0).powi(2) }
    }

    /// A condition.
    pub fn mask(&mut self, space: &mut Space, depth: u64) -> Expr {
        use BinaryOp::*;
        let comparison = self.random.pick(&[Lt, Le, Gt, Ge, Eq, Ne]);
        match self.random.below(8) {
            0 if depth > 0 => {
                let op = self.random.pick(&[And, Or]);
                let a = self.mask(space, depth - 1);
                let b = self.mask(space, depth - 1);
                Expr::binary(op, a, b)
            }
            1 if depth > 0 => {
                let inner = self.mask(space, depth - 1);
                Expr::unary(UnaryOp::Not, inner)
            }
            2 => {
                let a = self.float_load(space, DType::F32, 64.0);
                match a.exact {
                    true => Expr::binary(comparison, a.expr, Expr::float(DType::F32, 0.0)),
                    false => Expr::unary(UnaryOp::IsFinite, a.expr),
                }
            }
            3 | 4 => {
                let masks: Vec<Known> =
                    self.known.iter().filter(|k| k.dtype == DType::Bool).cloned().collect();
                let known = self.random.pick(&masks);
                self.load(space, &known, Expr::Literal(Literal::Bool(false)))
            }
            5 => {
                let a = self.int(space, DType::I32, 1);
                let b = self.int(space, DType::I32, 1);
                Expr::binary(comparison, a, b)
            }
            _ => self.affine_condition(space),
        }
    }

    /// A comparison of affine forms, as causal masks are.
    pub fn affine_condition(&mut self, space: &mut Space) -> Expr {
        use BinaryOp::*;
        let op = self.random.pick(&[Lt, Le, Gt, Ge, Ne]);
        let ids: Vec<IndexId> = space.indices.ids().collect();
        let offset = Expr::int(self.random.between(-2, 3));
        if ids.is_empty() {
            let (yes, no) = (Literal::Bool(true), Literal::Bool(false));
            return Expr::Literal(if self.random.chance(80) { yes } else { no });
        }
        let left = Expr::Index(self.random.pick(&ids));
        let right = match self.random.chance(60) {
            true => Expr::binary(Add, Expr::Index(self.random.pick(&ids)), offset),
            false => Expr::int(self.random.between(0, self.options.max_extent as i64)),
        };
        Expr::binary(op, left, right)
    }

    /// An integer expression; arithmetic may wrap.
    pub fn int(&mut self, space: &mut Space, dtype: DType, depth: u64) -> Expr {
        use BinaryOp::*;
        let typed = |expr, is: DType| {
            if is == dtype { expr } else { Expr::cast(dtype, expr) }
        };
        if depth > 0 && self.random.chance(60) {
            let op = self.random.pick(&[Add, Sub, Mul, FloorDiv, Rem, Min, Max]);
            let a = self.int(space, dtype, depth - 1);
            let b = self.int(space, dtype, depth - 1);
            return match self.random.below(8) {
                0 => Expr::unary(UnaryOp::Neg, a),
                1 => Expr::unary(UnaryOp::Abs, a),
                2 => Expr::select(self.mask(space, 0), a, b),
                _ => Expr::binary(op, a, b),
            };
        }
        let ints: Vec<Known> = self.known.iter().filter(|k| k.dtype.is_int()).cloned().collect();
        let ids: Vec<IndexId> = space.indices.ids().collect();
        match self.random.below(6) {
            0 => Expr::Literal(Literal::Int(dtype, self.random.between(-5, 5))),
            1 | 2 if !ids.is_empty() => typed(Expr::Index(self.random.pick(&ids)), DType::I32),
            3 => {
                let number = self.float_load(space, DType::F32, 1024.0);
                match number.exact {
                    true => Expr::cast(dtype, number.expr),
                    false => Expr::Literal(Literal::Int(dtype, 2)),
                }
            }
            _ => {
                let known = self.random.pick(&ints);
                let default = Expr::Literal(Literal::Int(known.dtype, 1));
                let loaded = self.load(space, &known, default);
                typed(loaded, known.dtype)
            }
        }
    }
}
