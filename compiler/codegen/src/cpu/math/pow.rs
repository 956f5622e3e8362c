//! The power of floats.

use super::exp::exp_sum;
use super::log::split;
use super::{copysign, log, polynomial};
use crate::build::{Builder, Cmp, Scalar, V};

/// xʸ, with C's special cases.
pub fn pow<'c>(b: &Builder<'c>, x: V<'c>, y: V<'c>) -> V<'c> {
    let ty = x.ty;
    let constant = |value: f64| b.float(ty, value);
    let magnitude = b.intrinsic("llvm.intr.fabs", x);
    let result = match ty.scalar {
        Scalar::F64 => positive_f64(b, magnitude, y),
        // f64 has bits to spare for the whole range of f32.
        _ => {
            let (wide_x, wide_y) = (b.convert(magnitude, Scalar::F64), b.convert(y, Scalar::F64));
            let power = super::exp(b, b.mul(wide_y, log(b, wide_x)));
            b.convert(power, ty.scalar)
        }
    };
    let floor = |v| b.intrinsic("llvm.intr.floor", v);
    let whole = b.cmp(Cmp::Eq, floor(y), y);
    let half = b.mul(y, constant(0.5));
    let odd = b.and(whole, b.cmp(Cmp::Ne, floor(half), half));
    // The sign bit, since −0 has one too.
    let negative = b.cmp(Cmp::Lt, copysign(b, constant(1.0), x), constant(0.0));
    let result = b.select(b.and(negative, odd), b.neg(result), result);
    // A negative number has a power only if the exponent is whole (infinities are); infinities of either
    // sign and −0 have all of them.
    let zero = b.cmp(Cmp::Eq, magnitude, constant(0.0));
    let infinite = b.cmp(Cmp::Eq, magnitude, constant(f64::INFINITY));
    let any_exponent = b.or(zero, infinite);
    let invalid = b.and(b.and(negative, b.not(whole)), b.not(any_exponent));
    let result = b.select(invalid, constant(f64::NAN), result);
    // (±1) to an infinite power is 1, like 1 to any power and anything to the power of 0, even if NaN.
    let one = constant(1.0);
    let infinite_y = b.cmp(Cmp::Eq, b.intrinsic("llvm.intr.fabs", y), constant(f64::INFINITY));
    let unit = b.or(b.cmp(Cmp::Eq, x, one), b.and(b.cmp(Cmp::Eq, magnitude, one), infinite_y));
    let unordered = b.cmp(Cmp::Unordered, x, y);
    let result = b.select(unordered, constant(f64::NAN), result);
    let always_one = b.or(unit, b.cmp(Cmp::Eq, y, constant(0.0)));
    b.select(always_one, one, result)
}

/// xʸ for the constant exponents that a few operations compute as well as [`pow`]; `None` for others.
pub fn simple_pow<'c>(b: &Builder<'c>, x: V<'c>, y: f64) -> Option<V<'c>> {
    let one = || b.float(x.ty, 1.0);
    let square = || b.mul(x, x);
    Some(if y == 1.0 {
        x
    } else if y == 2.0 {
        square()
    } else if y == 3.0 {
        b.mul(square(), x)
    } else if y == 4.0 {
        b.mul(square(), square())
    } else if y == -1.0 {
        b.div(one(), x)
    } else if y == 0.5 {
        // Unlike the root, the power of −0 is 0 and that of −∞ is ∞.
        let positive = b.add(x, b.float(x.ty, 0.0));
        let root = b.intrinsic("llvm.intr.sqrt", positive);
        let infinite = b.cmp(Cmp::Eq, x, b.float(x.ty, f64::NEG_INFINITY));
        b.select(infinite, b.float(x.ty, f64::INFINITY), root)
    } else {
        return None;
    })
}

/// An unevaluated sum, the second much smaller than the first.
type Pair<'c> = (V<'c>, V<'c>);

fn product<'c>(b: &Builder<'c>, x: V<'c>, y: V<'c>) -> Pair<'c> {
    let high = b.mul(x, y);
    (high, b.fma(x, y, b.neg(high)))
}

fn fast_sum<'c>(b: &Builder<'c>, x: V<'c>, y: V<'c>) -> Pair<'c> {
    let high = b.add(x, y);
    (high, b.add(b.sub(x, high), y))
}

/// xʸ for x ≥ 0: e to the power of y ln x, with the logarithm to about 68 bits as a sum of two numbers.
fn positive_f64<'c>(b: &Builder<'c>, x: V<'c>, y: V<'c>) -> V<'c> {
    let ty = x.ty;
    let constant = |value: f64| b.float(ty, value);
    let (m, e) = split(b, x);
    // s = f / (2 + f); ln m = 2s + 2/3 s³ + 2/5 s⁵ + …
    let f = b.sub(m, constant(1.0));
    let d = fast_sum(b, constant(2.0), f);
    let s = b.div(f, d.0);
    let rest = b.fma(b.neg(s), d.0, f);
    let s_low = b.div(b.fma(b.neg(s), d.1, rest), d.0);
    let z = product(b, s, s);
    let z = (z.0, b.fma(b.add(s, s), s_low, z.1));
    let cube = product(b, z.0, s);
    let cube = (cube.0, b.fma(z.0, s_low, b.fma(z.1, s, cube.1)));
    let third = product(b, cube.0, constant(2.0 / 3.0));
    // 2/3 is not a number of f64: what is missing from it counts.
    let missing = 3.700_743_415_417_188_4e-17;
    let third_low = b.fma(cube.1, constant(2.0 / 3.0), b.fma(cube.0, constant(missing), third.1));
    let series: Vec<f64> = (2..14).map(|k| 2.0 / f64::from(2 * k + 1)).collect();
    let higher = b.mul(b.mul(cube.0, z.0), polynomial(b, z.0, &series));
    let two = constant(2.0);
    let (high, low) = fast_sum(b, b.mul(two, s), third.0);
    let low = b.add(low, b.add(b.fma(two, s_low, third_low), higher));
    // e ln 2, whose first part times e is exact.
    let scaled = b.mul(e, constant(6.931_471_803_691_238_164_9e-1));
    let scaled_low = b.mul(e, constant(1.908_214_929_270_587_700_02e-10));
    let sum = b.add(scaled, high);
    let bb = b.sub(sum, scaled);
    let error = b.add(b.sub(scaled, b.sub(sum, bb)), b.sub(high, bb));
    let (high, low) = fast_sum(b, sum, b.add(error, b.add(low, scaled_low)));
    let finite = b.cmp(Cmp::Lt, x, constant(f64::INFINITY));
    let zero = b.cmp(Cmp::Eq, x, constant(0.0));
    let special = b.or(zero, b.not(finite));
    let high = b.select(finite, high, constant(f64::INFINITY));
    let high = b.select(zero, constant(f64::NEG_INFINITY), high);
    let low = b.select(special, constant(0.0), low);
    let exponent = b.mul(y, high);
    let residue = b.fma(y, low, b.fma(y, high, b.neg(exponent)));
    // Where the exponent is out of range (or NaN), its second part is meaningless.
    let size = b.intrinsic("llvm.intr.fabs", exponent);
    let small = b.cmp(Cmp::Lt, size, constant(800.0));
    let residue = b.select(small, residue, constant(0.0));
    exp_sum(b, exponent, Some(residue))
}
