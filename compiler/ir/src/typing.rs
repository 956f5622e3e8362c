//! Types of expressions: which dtype each has, and what is wrong with those that have none.

use crate::dtype::DType;
use crate::expr::{BinaryOp, Expr, UnaryOp};
use crate::program::Program;

impl Program {
    /// The dtype of a well-typed expression over this program's values.
    pub fn dtype_of(&self, expr: &Expr) -> DType {
        match expr {
            Expr::Literal(literal) => literal.dtype(),
            Expr::Index(_) | Expr::LoopVar(_) | Expr::Coord(_) => DType::I32,
            Expr::Load(load) => self.values[load.value].dtype,
            Expr::Unary(UnaryOp::Not | UnaryOp::IsFinite, _) => DType::Bool,
            Expr::Unary(_, a) => self.dtype_of(a),
            Expr::Binary(op, ..) if op.is_comparison() => DType::Bool,
            Expr::Binary(BinaryOp::And | BinaryOp::Or, ..) => DType::Bool,
            Expr::Binary(BinaryOp::Uniform, ..) => DType::F32,
            Expr::Binary(_, a, _) => self.dtype_of(a),
            Expr::Select(_, then, _) => self.dtype_of(then),
            Expr::Cast(dtype, _) => *dtype,
        }
    }
}

/// Whether a function of one number accepts this dtype.
pub fn accepts_unary(op: UnaryOp, a: DType) -> bool {
    match op {
        UnaryOp::Not => a == DType::Bool,
        UnaryOp::Neg | UnaryOp::Abs => a.is_float() || a.is_int(),
        _ => a.is_float(),
    }
}

/// Whether a function of two numbers accepts these dtypes.
pub fn accepts_binary(op: BinaryOp, a: DType, b: DType) -> bool {
    use BinaryOp::*;
    let number = a.is_float() || a.is_int();
    match op {
        Fold | Uniform => a == DType::Key && b == DType::I64,
        _ if a != b => false,
        Add | Sub | Mul | Pow | Min | Max | Rem => number,
        Div => a.is_float(),
        FloorDiv => a.is_int(),
        Eq | Ne => number || a == DType::Bool,
        Lt | Le | Gt | Ge => number,
        And | Or => a == DType::Bool,
    }
}

/// Whether elements of one dtype can be converted to another.
pub fn accepts_cast(to: DType, from: DType) -> bool {
    to == from || (to != DType::Key && from != DType::Key)
}
