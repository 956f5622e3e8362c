//! The remainder of floats with the divisor's sign, exact for any quotient.

use super::copysign;
use crate::build::{Builder, Cmp, Scalar, V};

/// `x − y ⌊x / y⌋`.
///
/// Long division: each round subtracts a whole multiple of the divisor with few significant bits, so that
/// the product and the difference are exact, and which leaves at most 2⁻⁸ (f32) or 2⁻²⁰ (f64) of the rest.
/// The quotient may exceed the largest number: the divisor is scaled up first, in two steps.
pub fn float_rem<'c>(b: &Builder<'c>, x: V<'c>, y: V<'c>) -> V<'c> {
    let abs = |v| b.intrinsic("llvm.intr.fabs", v);
    let zero = b.float(x.ty, 0.0);
    let (step, divisor) = match x.ty.scalar {
        Scalar::F64 => (2f64.powi(700), abs(y)),
        _ => (2f64.powi(92), abs(y)),
    };
    let scaled = b.mul(divisor, b.float(x.ty, step));
    let twice = b.mul(scaled, b.float(x.ty, step));
    let mut rest = abs(x);
    for divisor in [twice, scaled, divisor] {
        rest = reduce(b, rest, divisor);
    }
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

/// The rest of a division whose quotient is below 2⁹³ (f32) or 2⁷⁰¹ (f64); if the divisor has overflowed,
/// that is all of it.
fn reduce<'c>(b: &Builder<'c>, rest: V<'c>, divisor: V<'c>) -> V<'c> {
    let (rounds, int, mask, below_one) = match rest.ty.scalar {
        Scalar::F64 => (36, Scalar::I64, !((1i64 << 32) - 1), 1.0 - 2f64.powi(-50)),
        _ => (13, Scalar::I32, !((1i64 << 15) - 1), 1.0 - 2f64.powi(-22)),
    };
    let one = b.float(rest.ty, 1.0);
    b.for_carried(b.index(0), b.index(rounds), 1, &[rest], |_, state| {
        let rest = state[0];
        // The quotient is rounded: made a little smaller, it is never too large. While the rest is not
        // below the divisor, 1 is not either.
        let quotient = b.mul(b.div(rest, divisor), b.float(rest.ty, below_one));
        let bits = b.and(b.bitcast(quotient, int), b.int(quotient.ty.with(int), mask));
        let few = b.intrinsic("llvm.intr.floor", b.bitcast(bits, rest.ty.scalar));
        let few = b.select(b.cmp(Cmp::Lt, few, one), one, few);
        let less = b.fma(b.neg(few), divisor, rest);
        let done = b.cmp(Cmp::Lt, rest, divisor);
        vec![b.select(done, rest, less)]
    })[0]
}
