//! Constants: numbers as written, rounding to a dtype, and arithmetic when compiling.

use crate::values::{Array, Elem};
use einmesh_ir::{BinaryOp, DType, Expr, Literal, UnaryOp};

/// A constant rounded to a dtype.
pub(crate) fn literal_as(literal: Literal, dtype: DType) -> Option<Expr> {
    let round = |v: f64| dtype.round(v);
    Some(Expr::Literal(match literal {
        Literal::Float(_, v) if dtype.is_float() => Literal::Float(dtype, round(v)),
        Literal::Int(_, v) if dtype.is_float() => Literal::Float(dtype, round(v as f64)),
        Literal::Int(_, v) if dtype == DType::I64 => Literal::Int(dtype, v),
        Literal::Int(_, v) if dtype == DType::I32 => {
            Literal::Int(dtype, i64::from(i32::try_from(v).ok()?))
        }
        Literal::Bool(v) if dtype == DType::Bool => Literal::Bool(v),
        _ => return None,
    }))
}

/// Arithmetic of weak constants, which is exact for integers and in f64 otherwise, and of truth values.
pub(crate) fn fold(op: BinaryOp, a: &Array, b: &Array) -> Option<Array> {
    use BinaryOp::*;
    if let (Some(Literal::Bool(x)), Some(Literal::Bool(y))) = (a.literal(), b.literal()) {
        let value = match op {
            And => x && y,
            Or => x || y,
            Eq => x == y,
            Ne => x != y,
            _ => return None,
        };
        return Some(Array::strong(DType::Bool, Expr::Literal(Literal::Bool(value))));
    }
    let weak = |x: &Array| matches!(x.elem, Elem::WeakInt | Elem::WeakFloat);
    if !weak(a) || !weak(b) {
        return None;
    }
    let (x, y) = (a.literal()?, b.literal()?);
    if let (Literal::Int(_, x), Literal::Int(_, y)) = (x, y) {
        let value = match op {
            Add => x.checked_add(y),
            Sub => x.checked_sub(y),
            Mul => x.checked_mul(y),
            Div if y != 0 && x % y == 0 => Some(x / y),
            FloorDiv if y != 0 => Some(einmesh_ir::integer::floor_div(x, y)),
            Rem if y != 0 => Some(einmesh_ir::integer::floor_rem(x, y)),
            Pow if (0..63).contains(&y) => x.checked_pow(y as u32),
            Min => Some(x.min(y)),
            Max => Some(x.max(y)),
            _ => None,
        };
        if let Some(value) = value {
            return Some(Array::weak_int(value));
        }
        if let Some(value) = einmesh_ir::integer::compare(op, x, y) {
            return Some(Array::strong(DType::Bool, Expr::Literal(Literal::Bool(value))));
        }
    }
    let number = |l: Literal| match l {
        Literal::Int(_, v) => Some(v as f64),
        Literal::Float(_, v) => Some(v),
        Literal::Bool(_) => None,
    };
    let (x, y) = (number(x)?, number(y)?);
    if let Some(value) = einmesh_ir::integer::compare(op, x, y) {
        return Some(Array::strong(DType::Bool, Expr::Literal(Literal::Bool(value))));
    }
    Some(Array::weak_float(match op {
        Add => x + y,
        Sub => x - y,
        Mul => x * y,
        Div => x / y,
        Rem => x - y * (x / y).floor(),
        Pow => x.powf(y),
        Min => x.min(y),
        Max => x.max(y),
        _ => return None,
    }))
}

pub(crate) fn fold_unary(op: UnaryOp, a: &Array) -> Option<Array> {
    use UnaryOp::*;
    match (op, a.elem, a.literal()?) {
        (Not, _, Literal::Bool(v)) => {
            Some(Array::strong(DType::Bool, Expr::Literal(Literal::Bool(!v))))
        }
        (Neg, Elem::WeakInt, Literal::Int(_, v)) => v.checked_neg().map(Array::weak_int),
        (Abs, Elem::WeakInt, Literal::Int(_, v)) => v.checked_abs().map(Array::weak_int),
        (_, Elem::WeakInt | Elem::WeakFloat, literal) => {
            let x = match literal {
                Literal::Int(_, v) => v as f64,
                Literal::Float(_, v) => v,
                Literal::Bool(_) => return None,
            };
            Some(Array::weak_float(match op {
                Neg => -x,
                Abs => x.abs(),
                Exp => x.exp(),
                Log => x.ln(),
                Log1p => x.ln_1p(),
                Expm1 => x.exp_m1(),
                Sqrt => x.sqrt(),
                Rsqrt => x.sqrt().recip(),
                Sin => x.sin(),
                Cos => x.cos(),
                Tanh => x.tanh(),
                Floor => x.floor(),
                Ceil => x.ceil(),
                Round => x.round_ties_even(),
                _ => return None,
            }))
        }
        _ => None,
    }
}

/// Parses a number as written, with `KiB`, `MiB` and `GiB`.
pub(crate) fn number(text: &str) -> Option<Array> {
    let units = [("KiB", 1_i64 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30)];
    for (unit, factor) in units {
        if let Some(digits) = text.strip_suffix(unit) {
            if let Ok(count) = digits.parse::<i64>() {
                return count.checked_mul(factor).map(Array::weak_int);
            }
            let bytes = digits.parse::<f64>().ok()? * factor as f64;
            return Some(Array::weak_int(bytes as i64));
        }
    }
    match text.parse::<i64>() {
        Ok(value) => Some(Array::weak_int(value)),
        Err(_) => text.parse::<f64>().ok().map(Array::weak_float),
    }
}
