//! Expressions in the accumulator's precision: what is never stored need not be rounded to half.

use super::{Match, float};
use einmesh_ir::{DType, Expr, Literal, ValueId};

impl Match<'_> {
    /// A float expression of the program with all its numbers of the accumulator's dtype; `None` if it has
    /// others than those and half precision. Loads of the match's own values are left for translation.
    pub(super) fn widened(&self, expr: &Expr) -> Option<Expr> {
        let dtype = self.program.dtype_of(expr);
        if !dtype.is_float() || dtype.accumulator() != self.wide {
            return None;
        }
        let own = |value: ValueId| self.known.contains_key(&value);
        let plain = |e: &Expr| !e.loads().iter().any(|l| own(l.value));
        Some(match expr {
            Expr::Literal(Literal::Float(_, value)) => float(self.wide, *value),
            Expr::Load(load) if own(load.value) => expr.clone(),
            Expr::Unary(op, a) => Expr::unary(*op, self.widened(a)?),
            Expr::Binary(op, a, b) if self.program.dtype_of(a).is_float() => {
                Expr::binary(*op, self.widened(a)?, self.widened(b)?)
            }
            Expr::Select(condition, a, b) if plain(condition) => {
                Expr::select((**condition).clone(), self.widened(a)?, self.widened(b)?)
            }
            Expr::Cast(_, a) if self.program.dtype_of(a).is_float() => self.widened(a)?,
            other if !plain(other) => return None,
            Expr::Cast(_, a) => self.cast(a.as_ref().clone(), DType::Bool),
            other => self.cast(other.clone(), dtype),
        })
    }

    fn cast(&self, expr: Expr, from: DType) -> Expr {
        if from == self.wide { expr } else { Expr::cast(self.wide, expr) }
    }
}
