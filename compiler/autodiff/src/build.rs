//! Expressions of adjoints, written as short as they can be: factors of 1 are left out, literals are
//! gathered at the end of a product, so that a product of two loads stays `load * load`.

use einmesh_ir::{BinaryOp, DType, Expr, Literal, UnaryOp};

/// A constant, rounded to its dtype.
pub fn literal(dtype: DType, value: f64) -> Expr {
    Expr::float(dtype, dtype.round(value))
}

/// The factors of a product that are not literal, if there are any, and the product of those that are.
fn split(e: Expr) -> (Option<Expr>, f64) {
    match e {
        Expr::Literal(Literal::Float(_, x)) => (None, x),
        Expr::Unary(UnaryOp::Neg, a) => {
            let (core, x) = split(*a);
            (core, -x)
        }
        Expr::Binary(BinaryOp::Mul, a, b) => match (*a, *b) {
            (a, Expr::Literal(Literal::Float(_, x))) => {
                let (core, y) = split(a);
                (core, x * y)
            }
            (a, b) => (Some(Expr::binary(BinaryOp::Mul, a, b)), 1.0),
        },
        other => (Some(other), 1.0),
    }
}

fn scaled(dtype: DType, core: Option<Expr>, factor: f64) -> Expr {
    match core {
        None => literal(dtype, factor),
        Some(core) if factor == 1.0 => core,
        Some(core) => Expr::binary(BinaryOp::Mul, core, literal(dtype, factor)),
    }
}

/// The product of two floats of a dtype.
pub fn mul(dtype: DType, a: Expr, b: Expr) -> Expr {
    let ((a, x), (b, y)) = (split(a), split(b));
    let core = match (a, b) {
        (Some(a), Some(b)) => Some(Expr::binary(BinaryOp::Mul, a, b)),
        (a, b) => a.or(b),
    };
    scaled(dtype, core, x * y)
}

/// A float times a number.
pub fn times(dtype: DType, a: Expr, factor: f64) -> Expr {
    mul(dtype, a, literal(dtype, factor))
}

/// The quotient of two floats of a dtype.
pub fn div(dtype: DType, a: Expr, b: Expr) -> Expr {
    let (a, x) = split(a);
    match (a, x) {
        (Some(a), x) => scaled(dtype, Some(Expr::binary(BinaryOp::Div, a, b)), x),
        (None, x) => Expr::binary(BinaryOp::Div, literal(dtype, x), b),
    }
}

/// The sum of two floats of a dtype.
pub fn add(dtype: DType, a: Expr, b: Expr) -> Expr {
    let minus = |e: &Expr| match e {
        Expr::Binary(BinaryOp::Mul, _, x) => matches!(**x, Expr::Literal(Literal::Float(_, -1.0))),
        _ => false,
    };
    if minus(&b) {
        let (core, _) = split(b);
        return Expr::binary(BinaryOp::Sub, a, scaled(dtype, core, 1.0));
    }
    Expr::binary(BinaryOp::Add, a, b)
}

/// The value where a condition holds, and 0 elsewhere, whatever the value is there.
pub fn only_if(dtype: DType, condition: Option<Expr>, value: Expr) -> Expr {
    match condition {
        None => value,
        Some(condition) => Expr::select(condition, value, Expr::float(dtype, 0.0)),
    }
}

/// The conjunction of conditions; `None` is true.
pub fn both(a: Option<Expr>, b: Option<Expr>) -> Option<Expr> {
    match (a, b) {
        (Some(a), Some(b)) if a == b => Some(a),
        (Some(a), Some(b)) => Some(Expr::binary(BinaryOp::And, a, b)),
        (a, b) => a.or(b),
    }
}

/// A comparison.
pub fn compare(op: BinaryOp, a: Expr, b: Expr) -> Expr {
    Expr::binary(op, a, b)
}

/// An integer constant of a dtype.
pub fn integer(dtype: DType, value: i64) -> Expr {
    Expr::Literal(Literal::Int(dtype, value))
}

/// Whether an integer expression is at least 0 and below an extent.
pub fn within(dtype: DType, e: Expr, extent: u64) -> Expr {
    let extent = i64::try_from(extent).unwrap_or(i64::MAX);
    let low = compare(BinaryOp::Ge, e.clone(), integer(dtype, 0));
    let high = compare(BinaryOp::Lt, e, integer(dtype, extent));
    Expr::binary(BinaryOp::And, low, high)
}

/// An integer expression, moved into the range of an extent as gathers do.
pub fn clamped(dtype: DType, e: Expr, extent: u64) -> Expr {
    let last = i64::try_from(extent).unwrap_or(i64::MAX) - 1;
    let low = Expr::binary(BinaryOp::Max, e, integer(dtype, 0));
    Expr::binary(BinaryOp::Min, low, integer(dtype, last.max(0)))
}
