//! Evaluation of the IR's expressions, for one point or for a point per lane.

use super::env::{Env, Extents};
use super::math;
use super::scalar;
use super::value::{Val, cast, literal, register, round};
use crate::build::{Scalar, Ty, V};
use einmesh_ir::{BinaryOp, DType, Expr, IndexId, Literal, ValueId};

impl<'c, X: Extents<'c>> Env<'c, '_, X> {
    /// The number that an expression has here.
    pub fn eval(&self, expr: &Expr) -> Val<'c> {
        if let Some((_, value)) = self.known.iter().find(|(e, _)| std::ptr::eq(*e, expr)) {
            return *value;
        }
        let b = self.b;
        match expr {
            Expr::Literal(number) => literal(b, *number),
            Expr::Index(index) => i32_value(X::position_i32(self, *index)),
            Expr::LoopVar(var) => i32_value(b.convert(self.ints[var.0 as usize], Scalar::I32)),
            // Kernels get coordinates as launch numbers.
            Expr::Coord(_) => i32_value(b.int(Ty::scalar(Scalar::I32), 0)),
            Expr::Load(load) => X::load(self, load),
            Expr::Unary(op, a) => scalar::unary(b, *op, self.eval(a)),
            Expr::Binary(BinaryOp::Pow, x, y) => {
                let base = self.eval(x);
                match simple_exponent(y).and_then(|y| math::simple_pow(b, base.v, y)) {
                    Some(power) => round(b, power, base.dtype),
                    None => scalar::binary(b, BinaryOp::Pow, base, self.eval(y)),
                }
            }
            Expr::Binary(op, x, y) => scalar::binary(b, *op, self.eval(x), self.eval(y)),
            Expr::Select(condition, then, otherwise) => {
                let condition = self.eval(condition);
                let (then, otherwise) = (self.eval(then), self.eval(otherwise));
                let (x, y) = b.unify(then.v, otherwise.v);
                Val { v: b.select(condition.v, x, y), dtype: then.dtype }
            }
            Expr::Cast(to, a) => cast(b, self.eval(a), *to),
        }
    }

    /// The value of an integer expression as i64.
    pub fn eval_i64(&self, expr: &Expr) -> V<'c> {
        let value = self.eval(expr);
        match value.dtype {
            DType::Bool => self.b.zext(value.v, Scalar::I64),
            _ => self.b.convert(value.v, Scalar::I64),
        }
    }

    /// Evaluates the largest parts of `expr` that mention none of `inner`, and remembers them. Done before
    /// a loop over `inner`, it moves them out of the loop. Nothing that reads `written` is moved, and nothing that
    /// is in range only where a guard holds (`guarded`): outside of the loop that is not known yet.
    pub fn hoist(&mut self, expr: &Expr, inner: &[IndexId], written: &[ValueId], guarded: bool) {
        let trivial =
            matches!(expr, Expr::Literal(_) | Expr::Index(_) | Expr::LoopVar(_) | Expr::Coord(_));
        if trivial || self.known.iter().any(|(e, _)| std::ptr::eq(*e, expr)) {
            return;
        }
        let moves = !inner.iter().any(|i| expr.mentions(*i))
            && !expr.loads().iter().any(|l| written.contains(&l.value))
            && (!guarded || self.reads_in_range(expr));
        if moves {
            let value = self.eval(expr);
            self.known.push((expr, value));
            return;
        }
        for child in expr.children() {
            self.hoist(child, inner, written, guarded);
        }
    }

    /// Whether an expression can be evaluated at every point of the kernel's indices, whatever guards say.
    pub fn reads_in_range(&self, expr: &Expr) -> bool {
        expr.loads().iter().all(|load| X::is_in_range(self, load))
    }
}

/// The exponent, if it is a constant float.
pub fn simple_exponent(exponent: &Expr) -> Option<f64> {
    match exponent {
        Expr::Literal(Literal::Float(_, value)) => Some(*value),
        _ => None,
    }
}

fn i32_value(v: V<'_>) -> Val<'_> {
    Val { v, dtype: DType::I32 }
}

/// The zero of a dtype.
pub fn zero<'c>(b: &crate::build::Builder<'c>, dtype: DType) -> Val<'c> {
    let v = b.number(Ty::scalar(register(dtype)), 0.0);
    Val { v, dtype }
}
