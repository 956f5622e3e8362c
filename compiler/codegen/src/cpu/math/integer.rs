//! Integer functions with results for every operand.

use crate::build::{Builder, Cmp, V};

/// The quotient rounded down and the remainder with the divisor's sign; both 0 where the divisor is 0,
/// and wrapping where the quotient overflows.
pub fn floor_div<'c>(b: &Builder<'c>, x: V<'c>, y: V<'c>) -> (V<'c>, V<'c>) {
    let zero = b.int(x.ty, 0);
    let one = b.int(x.ty, 1);
    let by_zero = b.cmp(Cmp::Eq, y, zero);
    let by_minus_one = b.cmp(Cmp::Eq, y, b.int(x.ty, -1));
    let awkward = b.or(by_zero, by_minus_one);
    let divisor = b.select(awkward, one, y);
    let quotient = b.div(x, divisor);
    let rest = b.sub(x, b.mul(quotient, divisor));
    let inexact = b.cmp(Cmp::Ne, rest, zero);
    let opposed = b.cmp(Cmp::Lt, b.xor(rest, divisor), zero);
    let adjust = b.and(inexact, opposed);
    let floor = b.select(adjust, b.sub(quotient, one), quotient);
    let remainder = b.select(adjust, b.add(rest, divisor), rest);
    let floor = b.select(by_minus_one, b.sub(zero, x), floor);
    let floor = b.select(by_zero, zero, floor);
    // Dividing by 1 in the awkward cases left a remainder of 0, as it should be.
    (floor, remainder)
}

/// The wrapping power; a negative exponent truncates the reciprocal.
pub fn int_pow<'c>(b: &Builder<'c>, x: V<'c>, y: V<'c>) -> V<'c> {
    let (zero, one) = (b.int(x.ty, 0), b.int(x.ty, 1));
    let bits = i64::from(x.ty.scalar.bits());
    let carried = [one, x, y];
    let result = b.for_carried(b.index(0), b.index(bits - 1), 1, &carried, |_, state| {
        let (product, square, rest) = (state[0], state[1], state[2]);
        let odd = b.cmp(Cmp::Ne, b.and(rest, one), zero);
        let product = b.select(odd, b.mul(product, square), product);
        vec![product, b.mul(square, square), b.shr(rest, 1)]
    });
    // Of a negative exponent the low bits alone give the right power of 1 and −1.
    let minus_one = b.int(x.ty, -1);
    let unit = b.or(b.cmp(Cmp::Eq, x, one), b.cmp(Cmp::Eq, x, minus_one));
    let vanishes = b.and(b.cmp(Cmp::Lt, y, zero), b.not(unit));
    b.select(vanishes, zero, result[0])
}
