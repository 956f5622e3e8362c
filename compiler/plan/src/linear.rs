//! Whether a body commutes with summing its partial operands.
//!
//! If every additive term of a body contains at most one partial factor, and some term does, the
//! body may be computed on partial operands and its results summed instead; terms without a partial
//! factor are then counted on one device only, which the partitioner sees to.

use einmesh_ir::{
    BinaryOp, Bounds, Comprehension, DType, Expr, Program, Reducer, UnaryOp, ValueId,
};
use std::collections::BTreeSet;

/// How an expression depends on the partial values.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    /// Not at all.
    Free,
    /// Each additive term has at most one partial factor, and some have one.
    Linear,
    /// In some other way.
    Other,
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
        use Kind::{Free, Linear, Other};
        match e {
            Expr::Literal(_) | Expr::Index(_) | Expr::LoopVar(_) | Expr::Coord(_) => Free,
            Expr::Load(load) => {
                if load.subs.iter().any(|sub| self.dependent(sub)) {
                    return Other;
                }
                let read = match self.partial.contains(&load.value) {
                    true => Linear,
                    false => Free,
                };
                match &load.bounds {
                    Bounds::Else(default) => sum(read, self.kind(default)),
                    Bounds::Proven | Bounds::Clamp => read,
                }
            }
            Expr::Unary(UnaryOp::Neg, a) => self.kind(a),
            Expr::Cast(to, a) => match self.kind(a) {
                // Any other conversion rounds, or wraps, before the sum is complete.
                Linear if (self.program.dtype_of(a), *to) != (DType::F32, DType::F64) => Other,
                other => other,
            },
            Expr::Binary(op, a, b) => match (op, self.kind(a), self.kind(b)) {
                (_, Free, Free) => Free,
                (BinaryOp::Add | BinaryOp::Sub, a, b) => sum(a, b),
                (BinaryOp::Mul | BinaryOp::Div, Linear, Free) => Linear,
                (BinaryOp::Mul, Free, Linear) => Linear,
                _ => Other,
            },
            Expr::Select(condition, a, b) => match self.kind(condition) {
                Free => sum(self.kind(a), self.kind(b)),
                Linear | Other => Other,
            },
            Expr::Unary(_, a) => match self.kind(a) {
                Free => Free,
                Linear | Other => Other,
            },
        }
    }

    fn dependent(&self, e: &Expr) -> bool {
        e.loads().iter().any(|load| self.partial.contains(&load.value))
    }
}

/// The kind of a sum, or of a choice between two.
fn sum(a: Kind, b: Kind) -> Kind {
    use Kind::{Free, Linear, Other};
    match (a, b) {
        (Other, _) | (_, Other) => Other,
        (Linear, _) | (_, Linear) => Linear,
        (Free, Free) => Free,
    }
}
