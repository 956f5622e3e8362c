//! Expressions in the accumulator's precision: what is never stored need not be rounded to half.

use super::{Match, float};
use einmesh_ir::{DType, Expr, Literal, Program, ValueId};

impl Match<'_> {
    /// As [`widened`], with the match's own values.
    pub(super) fn widened(&self, expr: &Expr) -> Option<Expr> {
        widened(self.program, self.wide, &|value| self.known.contains_key(&value), expr)
    }
}

/// A float expression of the program with all its numbers of the accumulator's dtype, `wide`; `None` if it has
/// others than those and half precision. Loads of a match's own values are left for translation.
pub fn widened(
    program: &Program,
    wide: DType,
    own: &impl Fn(ValueId) -> bool,
    expr: &Expr,
) -> Option<Expr> {
    let dtype = program.dtype_of(expr);
    if !dtype.is_float() || dtype.accumulator() != wide {
        return None;
    }
    let plain = |e: &Expr| !e.loads().iter().any(|l| own(l.value));
    let of = |e: &Expr| widened(program, wide, own, e);
    let cast = |e: Expr, from: DType| if from == wide { e } else { Expr::cast(wide, e) };
    Some(match expr {
        Expr::Literal(Literal::Float(_, value)) => float(wide, *value),
        Expr::Load(load) if own(load.value) => expr.clone(),
        Expr::Unary(op, a) => Expr::unary(*op, of(a)?),
        Expr::Binary(op, a, b) if program.dtype_of(a).is_float() => {
            Expr::binary(*op, of(a)?, of(b)?)
        }
        Expr::Select(condition, a, b) if plain(condition) => {
            Expr::select((**condition).clone(), of(a)?, of(b)?)
        }
        Expr::Cast(_, a) if program.dtype_of(a).is_float() => of(a)?,
        other if !plain(other) => return None,
        Expr::Cast(_, a) => cast(a.as_ref().clone(), DType::Bool),
        other => cast(other.clone(), dtype),
    })
}
