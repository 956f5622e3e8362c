//! Integer arithmetic as programs define it: total, and wrapping at the dtype's width.

use crate::dtype::DType;
use crate::expr::BinaryOp;

/// The number that the dtype's width keeps of `value`.
pub fn wrap(dtype: DType, value: i64) -> i64 {
    match dtype {
        DType::I32 => i64::from(value as i32),
        _ => value,
    }
}

/// The smallest number of an integer dtype.
pub fn min_value(dtype: DType) -> i64 {
    match dtype {
        DType::I32 => i64::from(i32::MIN),
        _ => i64::MIN,
    }
}

/// The largest number of an integer dtype.
pub fn max_value(dtype: DType) -> i64 {
    match dtype {
        DType::I32 => i64::from(i32::MAX),
        _ => i64::MAX,
    }
}

/// The quotient rounded down; 0 where `b` is 0.
pub fn floor_div(a: i64, b: i64) -> i64 {
    if b == 0 {
        return 0;
    }
    let quotient = a.wrapping_div(b);
    let inexact = a.wrapping_rem(b) != 0;
    quotient - i64::from(inexact && (a < 0) != (b < 0))
}

/// What [`floor_div`] leaves, with the sign of `b`; 0 where `b` is 0.
pub fn floor_rem(a: i64, b: i64) -> i64 {
    if b == 0 {
        return 0;
    }
    let rest = a.wrapping_rem(b);
    if rest != 0 && (rest < 0) != (b < 0) { rest + b } else { rest }
}

/// The wrapping power; a negative exponent truncates the reciprocal, so that all but 1 and −1 give 0.
pub fn pow(base: i64, exponent: i64) -> i64 {
    if exponent < 0 {
        return match base {
            1 => 1,
            -1 if exponent % 2 == 0 => 1,
            -1 => -1,
            _ => 0,
        };
    }
    let (mut result, mut square, mut rest) = (1_i64, base, exponent);
    while rest > 0 {
        if rest & 1 == 1 {
            result = result.wrapping_mul(square);
        }
        square = square.wrapping_mul(square);
        rest >>= 1;
    }
    result
}

/// An arithmetic operation on two numbers of an integer dtype, wrapped to it; `None` for operations that
/// are not integer arithmetic.
pub fn arithmetic(op: BinaryOp, dtype: DType, a: i64, b: i64) -> Option<i64> {
    let exact = match op {
        BinaryOp::Add => a.wrapping_add(b),
        BinaryOp::Sub => a.wrapping_sub(b),
        BinaryOp::Mul => a.wrapping_mul(b),
        BinaryOp::FloorDiv => floor_div(a, b),
        BinaryOp::Rem => floor_rem(a, b),
        BinaryOp::Pow => pow(a, b),
        BinaryOp::Min => a.min(b),
        BinaryOp::Max => a.max(b),
        _ => return None,
    };
    Some(wrap(dtype, exact))
}

/// A comparison; `None` for other operations.
pub fn compare<T: PartialOrd>(op: BinaryOp, a: T, b: T) -> Option<bool> {
    Some(match op {
        BinaryOp::Eq => a == b,
        BinaryOp::Ne => a != b,
        BinaryOp::Lt => a < b,
        BinaryOp::Le => a <= b,
        BinaryOp::Gt => a > b,
        BinaryOp::Ge => a >= b,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn division_rounds_down_and_is_total() {
        assert_eq!(floor_div(7, 2), 3);
        assert_eq!(floor_div(-7, 2), -4);
        assert_eq!(floor_div(7, -2), -4);
        assert_eq!(floor_div(-7, -2), 3);
        assert_eq!(floor_div(-8, 2), -4);
        assert_eq!(floor_div(5, 0), 0);
        assert_eq!(floor_div(i64::MIN, -1), i64::MIN);
        assert_eq!(floor_rem(7, 3), 1);
        assert_eq!(floor_rem(-7, 3), 2);
        assert_eq!(floor_rem(7, -3), -2);
        assert_eq!(floor_rem(-6, 3), 0);
        assert_eq!(floor_rem(5, 0), 0);
        assert_eq!(floor_rem(i64::MIN, -1), 0);
    }

    #[test]
    fn arithmetic_wraps_at_the_width() {
        let max = i64::from(i32::MAX);
        let min = i64::from(i32::MIN);
        assert_eq!(arithmetic(BinaryOp::Add, DType::I32, max, 1), Some(min));
        assert_eq!(arithmetic(BinaryOp::Add, DType::I64, max, 1), Some(max + 1));
        assert_eq!(arithmetic(BinaryOp::FloorDiv, DType::I32, min, -1), Some(min));
        assert_eq!(arithmetic(BinaryOp::Mul, DType::I64, i64::MAX, 2), Some(-2));
        assert_eq!(arithmetic(BinaryOp::Lt, DType::I64, 1, 2), None);
    }

    #[test]
    fn powers_of_negative_exponents_truncate() {
        assert_eq!(pow(3, 4), 81);
        assert_eq!(pow(-2, 3), -8);
        assert_eq!(pow(0, 0), 1);
        assert_eq!(pow(2, -1), 0);
        assert_eq!(pow(0, -1), 0);
        assert_eq!(pow(-1, -3), -1);
        assert_eq!(pow(-1, -4), 1);
        assert_eq!(pow(2, 64), 0);
    }
}
