//! Functions of numbers, as programs define them.

use einmesh_ir::{BinaryOp, DType, UnaryOp};

/// The larger; NaN if either is, and +0 above −0.
pub fn max(a: f64, b: f64) -> f64 {
    if a.is_nan() || b.is_nan() {
        f64::NAN
    } else if a > b || (a == b && a.is_sign_positive()) {
        a
    } else {
        b
    }
}

/// The smaller; NaN if either is, and −0 below +0.
pub fn min(a: f64, b: f64) -> f64 {
    -max(-a, -b)
}

/// The remainder with the divisor's sign.
pub fn rem(a: f64, b: f64) -> f64 {
    let rest = a % b;
    if rest != 0.0 && (rest < 0.0) != (b < 0.0) { rest + b } else { rest }
}

/// The function of a float that gives a float; `None` for the others.
pub fn float_unary(op: UnaryOp) -> Option<fn(f64) -> f64> {
    Some(match op {
        UnaryOp::Neg => |x| -x,
        UnaryOp::Abs => f64::abs,
        UnaryOp::Exp => f64::exp,
        UnaryOp::Log => f64::ln,
        UnaryOp::Log1p => f64::ln_1p,
        UnaryOp::Expm1 => f64::exp_m1,
        UnaryOp::Sqrt => f64::sqrt,
        UnaryOp::Rsqrt => |x| 1.0 / x.sqrt(),
        UnaryOp::Sin => f64::sin,
        UnaryOp::Cos => f64::cos,
        UnaryOp::Tanh => f64::tanh,
        UnaryOp::Erf => libm::erf,
        UnaryOp::Floor => f64::floor,
        UnaryOp::Ceil => f64::ceil,
        UnaryOp::Round => f64::round_ties_even,
        UnaryOp::Not | UnaryOp::IsFinite => return None,
    })
}

/// The function of two floats that gives a float; `None` for the others.
pub fn float_binary(op: BinaryOp) -> Option<fn(f64, f64) -> f64> {
    Some(match op {
        BinaryOp::Add => |a, b| a + b,
        BinaryOp::Sub => |a, b| a - b,
        BinaryOp::Mul => |a, b| a * b,
        BinaryOp::Div => |a, b| a / b,
        BinaryOp::Rem => rem,
        BinaryOp::Pow => f64::powf,
        BinaryOp::Min => min,
        BinaryOp::Max => max,
        _ => return None,
    })
}

/// The integer nearest to zero's side of `x`, saturated to the dtype; 0 for NaN.
pub fn to_int(dtype: DType, x: f64) -> i64 {
    match dtype {
        DType::I32 => i64::from(x as i32),
        DType::Bool => i64::from(x != 0.0),
        _ => x as i64,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn extremes_propagate_nan_and_order_zeros() {
        assert!(max(1.0, f64::NAN).is_nan() && min(f64::NAN, 1.0).is_nan());
        assert!(max(-0.0, 0.0).is_sign_positive() && max(0.0, -0.0).is_sign_positive());
        assert!(min(-0.0, 0.0).is_sign_negative() && min(0.0, -0.0).is_sign_negative());
        assert_eq!((max(1.0, 2.0), min(1.0, 2.0)), (2.0, 1.0));
    }

    #[test]
    fn remainders_have_the_divisors_sign() {
        assert_eq!(rem(-1.5, 1.0), 0.5);
        assert_eq!(rem(1.5, -1.0), -0.5);
        assert_eq!(rem(4.0, 2.0), 0.0);
        assert!(rem(1.0, 0.0).is_nan());
    }

    #[test]
    fn conversions_truncate_and_saturate() {
        assert_eq!(to_int(DType::I32, -2.9), -2);
        assert_eq!(to_int(DType::I32, 1e10), i64::from(i32::MAX));
        assert_eq!(to_int(DType::I64, f64::NEG_INFINITY), i64::MIN);
        assert_eq!(to_int(DType::I32, f64::NAN), 0);
        assert_eq!(to_int(DType::Bool, f64::NAN), 1);
    }

    #[test]
    fn known_function_values() {
        let f = |op| float_unary(op).unwrap();
        assert!((f(UnaryOp::Erf)(0.5) - 0.520_499_877_813_046_5).abs() < 1e-15);
        assert_eq!(f(UnaryOp::Rsqrt)(4.0), 0.5);
        assert_eq!(f(UnaryOp::Round)(2.5), 2.0);
        assert_eq!(f(UnaryOp::Log1p)(1e-20), 1e-20);
    }
}
