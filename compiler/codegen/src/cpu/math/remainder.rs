//! The remainder of floats with the divisor's sign, exact for any quotient.

use super::copysign;
use crate::build::{Builder, Cmp, Scalar, V};

/// `x − y ⌊x / y⌋`.
///
/// Long division: each round subtracts a multiple of |y| with few significant bits, so that the product
/// and the difference are exact, and which leaves at most 2⁻⁹ (f32) or 2⁻²⁰ (f64) of the rest.
pub fn float_rem<'c>(b: &Builder<'c>, x: V<'c>, y: V<'c>) -> V<'c> {
    let (rounds, int, mask) = match x.ty.scalar {
        Scalar::F64 => (106, Scalar::I64, !((1i64 << 31) - 1)),
        _ => (32, Scalar::I32, !((1i64 << 14) - 1)),
    };
    let abs = |v| b.intrinsic("llvm.intr.fabs", v);
    let zero = b.float(x.ty, 0.0);
    let divisor = abs(y);
    let largest = match x.ty.scalar {
        Scalar::F64 => f64::MAX,
        _ => f64::from(f32::MAX),
    };
    let rest = b.for_carried(b.index(0), b.index(rounds), 1, &[abs(x)], |_, state| {
        let rest = state[0];
        // The quotient may overflow: then the largest number is still a valid multiplier.
        let quotient = super::clamp(b, b.div(rest, divisor), 0.0, largest);
        let bits = b.and(b.bitcast(quotient, int), b.int(quotient.ty.with(int), mask));
        let few = b.bitcast(bits, x.ty.scalar);
        // Where the rounded quotient is a little too large, the rest turns negative by less than a unit
        // of it: one step back.
        let less = b.fma(b.neg(few), divisor, rest);
        let back = b.add(less, divisor);
        let done = b.cmp(Cmp::Lt, rest, divisor);
        let less = b.select(b.cmp(Cmp::Lt, less, zero), back, less);
        vec![b.select(done, rest, less)]
    })[0];
    let signed = copysign(b, rest, x);
    let nonzero = b.cmp(Cmp::Ne, signed, zero);
    let opposed = b.cmp(
        Cmp::Ne,
        b.zext(b.cmp(Cmp::Lt, signed, zero), Scalar::I32),
        b.zext(b.cmp(Cmp::Lt, y, zero), Scalar::I32),
    );
    let result = b.select(b.and(nonzero, opposed), b.add(signed, y), signed);
    // By 0, and of infinity, there is none; by infinity the dividend is its own, if the signs agree.
    let infinity = b.float(x.ty, f64::INFINITY);
    let undefined = b.or(b.cmp(Cmp::Eq, y, zero), b.cmp(Cmp::Eq, abs(x), infinity));
    let unordered = b.cmp(Cmp::Unordered, x, y);
    b.select(b.or(undefined, unordered), b.float(x.ty, f64::NAN), result)
}
