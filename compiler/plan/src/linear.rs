//! Whether a body is linear in values that are held partial.
//!
//! If every additive term of a body contains exactly one partial factor, the body of the sums is
//! the sum of the bodies, and the sum may be taken after it. One term without a partial factor
//! would be added once per device.

use einmesh_ir::{
    BinaryOp, Bounds, Comprehension, DType, Expr, Literal, Program, Reducer, UnaryOp, ValueId,
};
use std::collections::BTreeSet;

/// How an expression depends on the partial values.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    /// Not at all.
    Free,
    /// It is the constant 0, which is linear in anything.
    Zero,
    /// Each additive term has one partial factor.
    Linear,
    /// In some other way.
    Mixed,
}

/// Whether a comprehension may be computed on partial operands, its result then being partial.
/// `partial` are those of its operands that are held partial; at least one must be read.
pub(crate) fn is_linear(program: &Program, c: &Comprehension, partial: &BTreeSet<ValueId>) -> bool {
    let unread = |e: &Expr| e.loads().iter().all(|load| !partial.contains(&load.value));
    let dtype = program.values[c.out].dtype;
    c.store.is_none()
        && matches!(c.reducer, Reducer::None | Reducer::Sum)
        && keeps_precision(dtype)
        && program.dtype_of(&c.body) == dtype
        && c.guard.as_ref().is_none_or(unread)
        && Terms { program, partial }.kind(&c.body) == Kind::Linear
}

/// Whether partial results of this dtype may be added up later without losing digits: nothing is
/// rounded to fewer bits than sums are accumulated in.
pub(crate) fn keeps_precision(dtype: DType) -> bool {
    matches!(dtype, DType::F64 | DType::F32 | DType::I64 | DType::I32)
}

struct Terms<'a> {
    program: &'a Program,
    partial: &'a BTreeSet<ValueId>,
}

impl Terms<'_> {
    fn kind(&self, e: &Expr) -> Kind {
        use Kind::{Free, Linear, Mixed, Zero};
        match e {
            Expr::Literal(Literal::Float(_, 0.0) | Literal::Int(_, 0)) => Zero,
            Expr::Literal(_) | Expr::Index(_) | Expr::LoopVar(_) | Expr::Coord(_) => Free,
            Expr::Load(load) => {
                if load.subs.iter().any(|sub| self.dependent(sub)) {
                    return Mixed;
                }
                let otherwise = match &load.bounds {
                    Bounds::Else(default) => self.kind(default),
                    Bounds::Proven | Bounds::Clamp => Zero,
                };
                let read = if self.partial.contains(&load.value) {
                    Linear
                } else {
                    Free
                };
                sum(read, otherwise)
            }
            Expr::Unary(UnaryOp::Neg, a) => self.kind(a),
            Expr::Cast(to, a) => match self.kind(a) {
                // Any other conversion rounds, or wraps, before the sum is complete.
                Linear if (self.program.dtype_of(a), *to) != (DType::F32, DType::F64) => Mixed,
                other => other,
            },
            Expr::Binary(BinaryOp::Add | BinaryOp::Sub, a, b) => sum(self.kind(a), self.kind(b)),
            Expr::Binary(BinaryOp::Mul, a, b) => match (self.kind(a), self.kind(b)) {
                (Mixed, _) | (_, Mixed) | (Linear, Linear) => Mixed,
                (Linear, _) | (_, Linear) => Linear,
                (Zero, _) | (_, Zero) => Zero,
                (Free, Free) => Free,
            },
            Expr::Binary(BinaryOp::Div, a, b) => match (self.kind(a), self.kind(b)) {
                (Linear, Free) => Linear,
                (Free | Zero, Free | Zero) => Free,
                _ => Mixed,
            },
            Expr::Select(condition, a, b) => match self.kind(condition) {
                Free | Zero => sum(self.kind(a), self.kind(b)),
                Linear | Mixed => Mixed,
            },
            Expr::Unary(..) | Expr::Binary(..) => match self.dependent(e) {
                true => Mixed,
                false => Free,
            },
        }
    }

    fn dependent(&self, e: &Expr) -> bool {
        e.loads()
            .iter()
            .any(|load| self.partial.contains(&load.value))
    }
}

/// The kind of a sum, or of a choice between two.
fn sum(a: Kind, b: Kind) -> Kind {
    use Kind::{Free, Linear, Mixed, Zero};
    match (a, b) {
        (Zero, other) | (other, Zero) => other,
        (Free, Free) => Free,
        (Linear, Linear) => Linear,
        _ => Mixed,
    }
}
