//! Scalar expressions: what a comprehension computes for one point of its index space.

use crate::define_id;
use crate::dtype::DType;
use crate::mesh::MeshAxisId;
use crate::program::{LoopVarId, ValueId};

define_id!(
    /// An index of the enclosing comprehension.
    IndexId,
    "i"
);

/// A scalar expression over indices and loads.
///
/// Types follow the operands: both operands of an arithmetic operation have the same dtype (lowering
/// inserts the casts), comparisons and logic give [`DType::Bool`], and the numbers that are
/// subscripts ([`Expr::Index`], [`Expr::LoopVar`], [`Expr::Coord`]) are [`DType::I32`].
///
/// Expressions of f16 and bf16 are computed in f32; they are rounded by a [`Expr::Cast`] to these types
/// and where a value is assigned.
#[derive(Clone, PartialEq, Debug)]
pub enum Expr {
    /// A constant.
    Literal(Literal),
    /// The position of an index, from 0.
    Index(IndexId),
    /// The current iteration of an enclosing loop.
    LoopVar(LoopVarId),
    /// This device's coordinate on a mesh axis. Only in partitioned programs.
    Coord(MeshAxisId),
    /// An element of a value.
    Load(Load),
    /// A function of one number.
    Unary(UnaryOp, Box<Expr>),
    /// A function of two numbers.
    Binary(BinaryOp, Box<Expr>, Box<Expr>),
    /// `Select(condition, then, otherwise)`; the branch not taken has no effect on the result, not
    /// even when it is NaN. Both branches' loads must be in range.
    Select(Box<Expr>, Box<Expr>, Box<Expr>),
    /// Conversion, rounding to nearest even; float to integer truncates and saturates, NaN is 0; integers
    /// wrap; a truth value is 0 or 1, and a number is true unless it is 0.
    Cast(DType, Box<Expr>),
}

/// `value[subs…]`, one subscript per dim of the value.
#[derive(Clone, PartialEq, Debug)]
pub struct Load {
    /// The value read.
    pub value: ValueId,
    /// One integer expression per dim, outermost first.
    pub subs: Vec<Expr>,
    /// What happens outside the value's extents.
    pub bounds: Bounds,
}

/// What a load outside of its value's extents gives.
#[derive(Clone, PartialEq, Debug)]
pub enum Bounds {
    /// The subscripts are proven to be in range.
    Proven,
    /// Each subscript is clamped to its extent (a gather by loaded integers).
    Clamp,
    /// Any subscript out of range gives this expression instead; the element is not read.
    Else(Box<Expr>),
}

/// A constant, already rounded to its dtype.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Literal {
    /// A floating-point constant of the given float dtype.
    Float(DType, f64),
    /// An integer constant of the given integer dtype, or a [`DType::Key`] as its bits.
    Int(DType, i64),
    /// A truth value.
    Bool(bool),
}

/// Functions of one number.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[allow(missing_docs)]
pub enum UnaryOp {
    Neg,
    Not,
    Abs,
    Exp,
    Log,
    Log1p,
    Expm1,
    Sqrt,
    Rsqrt,
    Sin,
    Cos,
    Tanh,
    Erf,
    Floor,
    Ceil,
    /// To the nearest whole number, halves to the even one.
    Round,
    IsFinite,
}

/// Functions of two numbers.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[allow(missing_docs)]
pub enum BinaryOp {
    Add,
    Sub,
    Mul,
    /// Division of floats.
    Div,
    /// Integer division that rounds down. By 0 it gives 0; the smallest number by −1 wraps.
    FloorDiv,
    /// Remainder with the divisor's sign, of integers (0 where the divisor is 0) or of floats.
    Rem,
    /// Power. Of integers it wraps, and a negative exponent truncates the reciprocal (1 and −1 have
    /// one, all others give 0).
    Pow,
    /// The smaller; NaN if either is.
    Min,
    /// The larger; NaN if either is.
    Max,
    Eq,
    Ne,
    Lt,
    Le,
    Gt,
    Ge,
    And,
    Or,
    /// `key, i64 → key`: derives an independent key.
    Fold,
    /// `key, i64 → f32` in `[0, 1)`: the random number of `key` at a logical position.
    Uniform,
}

impl Literal {
    /// The constant's type.
    pub fn dtype(self) -> DType {
        match self {
            Literal::Float(d, _) | Literal::Int(d, _) => d,
            Literal::Bool(_) => DType::Bool,
        }
    }
}

impl BinaryOp {
    /// Whether the result is a truth value.
    pub fn is_comparison(self) -> bool {
        use BinaryOp::*;
        matches!(self, Eq | Ne | Lt | Le | Gt | Ge)
    }
}

#[allow(missing_docs)]
impl Expr {
    /// An [`DType::I32`] constant.
    pub fn int(value: i64) -> Expr {
        Expr::Literal(Literal::Int(DType::I32, value))
    }
    /// A floating-point constant.
    pub fn float(dtype: DType, value: f64) -> Expr {
        Expr::Literal(Literal::Float(dtype, value))
    }
    /// A load that is proven to be in range.
    pub fn load(value: ValueId, subs: impl IntoIterator<Item = Expr>) -> Expr {
        Expr::Load(Load { value, subs: subs.into_iter().collect(), bounds: Bounds::Proven })
    }
    pub fn unary(op: UnaryOp, a: Expr) -> Expr {
        Expr::Unary(op, Box::new(a))
    }
    pub fn binary(op: BinaryOp, a: Expr, b: Expr) -> Expr {
        Expr::Binary(op, Box::new(a), Box::new(b))
    }
    pub fn select(condition: Expr, then: Expr, otherwise: Expr) -> Expr {
        Expr::Select(Box::new(condition), Box::new(then), Box::new(otherwise))
    }
    pub fn cast(dtype: DType, a: Expr) -> Expr {
        Expr::Cast(dtype, Box::new(a))
    }

    /// The direct subexpressions, subscripts and defaults of loads included.
    pub fn children(&self) -> Vec<&Expr> {
        match self {
            Expr::Literal(_) | Expr::Index(_) | Expr::LoopVar(_) | Expr::Coord(_) => vec![],
            Expr::Load(load) => {
                let mut all: Vec<&Expr> = load.subs.iter().collect();
                if let Bounds::Else(default) = &load.bounds {
                    all.push(default);
                }
                all
            }
            Expr::Unary(_, a) | Expr::Cast(_, a) => vec![a],
            Expr::Binary(_, a, b) => vec![a, b],
            Expr::Select(c, a, b) => vec![c, a, b],
        }
    }

    /// The direct subexpressions, mutably, in the order of [`Expr::children`].
    pub fn children_mut(&mut self) -> Vec<&mut Expr> {
        match self {
            Expr::Literal(_) | Expr::Index(_) | Expr::LoopVar(_) | Expr::Coord(_) => vec![],
            Expr::Load(load) => {
                let mut all: Vec<&mut Expr> = load.subs.iter_mut().collect();
                if let Bounds::Else(default) = &mut load.bounds {
                    all.push(default);
                }
                all
            }
            Expr::Unary(_, a) | Expr::Cast(_, a) => vec![a],
            Expr::Binary(_, a, b) => vec![a, b],
            Expr::Select(c, a, b) => vec![c, a, b],
        }
    }

    /// Calls `visit` on this expression and everything in it, parents first.
    pub fn walk<'a>(&'a self, visit: &mut impl FnMut(&'a Expr)) {
        visit(self);
        for child in self.children() {
            child.walk(visit);
        }
    }

    /// Rebuilds the expression bottom-up: `rewrite` gets each node after its children.
    pub fn map(mut self, rewrite: &mut impl FnMut(Expr) -> Expr) -> Expr {
        for child in self.children_mut() {
            let taken = std::mem::replace(child, Expr::Literal(Literal::Bool(false)));
            *child = taken.map(rewrite);
        }
        rewrite(self)
    }

    /// All loads in the expression, those inside subscripts included, outermost first.
    pub fn loads(&self) -> Vec<&Load> {
        let mut found = Vec::new();
        self.walk(&mut |e| {
            if let Expr::Load(load) = e {
                found.push(load);
            }
        });
        found
    }

    /// Whether `index` occurs anywhere in the expression.
    pub fn mentions(&self, index: IndexId) -> bool {
        let mut found = false;
        self.walk(&mut |e| found |= *e == Expr::Index(index));
        found
    }
}
