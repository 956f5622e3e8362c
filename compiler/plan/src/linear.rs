//! Whether a body is linear in values that are held partial.
//!
//! If every additive term of a body contains exactly one partial factor, the body of the sums is
//! the sum of the bodies, and the sum may be taken after it. One term without a partial factor
//! would be added once per device.

use einmesh_ir::{
    BinaryOp, Bounds, Comprehension, DType, Expr, Literal, Reducer, UnaryOp, ValueId,
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
pub(crate) fn is_linear(c: &Comprehension, partial: &BTreeSet<ValueId>) -> bool {
    let unread = |e: &Expr| e.loads().iter().all(|load| !partial.contains(&load.value));
    c.store.is_none()
        && matches!(c.reducer, Reducer::None | Reducer::Sum)
        && c.guard.as_ref().is_none_or(unread)
        && kind(&c.body, partial) == Kind::Linear
}

/// Whether partial results of this dtype may be added up later without losing digits: nothing is
/// rounded to fewer bits than sums are accumulated in.
pub(crate) fn keeps_precision(dtype: DType) -> bool {
    matches!(dtype, DType::F64 | DType::F32 | DType::I64 | DType::I32)
}

fn kind(e: &Expr, partial: &BTreeSet<ValueId>) -> Kind {
    use Kind::{Free, Linear, Mixed, Zero};
    match e {
        Expr::Literal(Literal::Float(_, 0.0) | Literal::Int(_, 0)) => Zero,
        Expr::Literal(_) | Expr::Index(_) | Expr::LoopVar(_) | Expr::Coord(_) => Free,
        Expr::Load(load) => {
            if load.subs.iter().any(|sub| dependent(sub, partial)) {
                return Mixed;
            }
            let otherwise = match &load.bounds {
                Bounds::Else(default) => kind(default, partial),
                Bounds::Proven | Bounds::Clamp => Zero,
            };
            let read = if partial.contains(&load.value) {
                Linear
            } else {
                Free
            };
            sum(read, otherwise)
        }
        Expr::Unary(UnaryOp::Neg, a) => kind(a, partial),
        Expr::Cast(to, a) => match kind(a, partial) {
            Linear if !keeps_precision(*to) || !to.is_float() => Mixed,
            other => other,
        },
        Expr::Binary(BinaryOp::Add | BinaryOp::Sub, a, b) => {
            sum(kind(a, partial), kind(b, partial))
        }
        Expr::Binary(BinaryOp::Mul, a, b) => match (kind(a, partial), kind(b, partial)) {
            (Mixed, _) | (_, Mixed) | (Linear, Linear) => Mixed,
            (Linear, _) | (_, Linear) => Linear,
            (Zero, _) | (_, Zero) => Zero,
            (Free, Free) => Free,
        },
        Expr::Binary(BinaryOp::Div, a, b) => match (kind(a, partial), kind(b, partial)) {
            (Linear, Free) => Linear,
            (Free | Zero, Free | Zero) => Free,
            _ => Mixed,
        },
        Expr::Select(condition, a, b) => match kind(condition, partial) {
            Free | Zero => sum(kind(a, partial), kind(b, partial)),
            Linear | Mixed => Mixed,
        },
        Expr::Unary(..) | Expr::Binary(..) => match dependent(e, partial) {
            true => Mixed,
            false => Free,
        },
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

fn dependent(e: &Expr, partial: &BTreeSet<ValueId>) -> bool {
    e.loads().iter().any(|load| partial.contains(&load.value))
}
