//! The logarithm (fdlibm's `log`, without branches).

use super::bits_of;
use crate::build::{Builder, Cmp, Scalar, V};

const LN2_F32: (f64, f64) = (6.931_381_225_6e-1, 9.058_000_614_5e-6);
const LN2_F64: (f64, f64) = (6.931_471_803_691_238_164_90e-1, 1.908_214_929_270_587_700_02e-10);
/// (ln(1+f) − 2s) / s with s = f / (2+f), as a polynomial in s², without its constant term.
const LG_F32: [f64; 4] = [0.666_666_626_93, 0.400_009_721_52, 0.284_987_866_88, 0.242_790_788_41];
const LG_F64: [f64; 7] = [
    6.666_666_666_666_735_130e-1,
    3.999_999_999_940_941_908e-1,
    2.857_142_874_366_239_149e-1,
    2.222_219_843_214_978_396e-1,
    1.818_357_216_161_805_012e-1,
    1.531_383_769_920_937_332e-1,
    1.479_819_860_511_658_591e-1,
];

/// `x = m · 2ᵉ` with m between √½ and √2, for positive finite x; e is a float.
pub fn split<'c>(b: &Builder<'c>, x: V<'c>) -> (V<'c>, V<'c>) {
    let scalar = x.ty.scalar;
    let int = bits_of(scalar);
    let (least, up, down, significand, bias, root) = match scalar {
        Scalar::F64 => (
            f64::MIN_POSITIVE,
            (1u64 << 54) as f64,
            54,
            52,
            1023i64,
            std::f64::consts::FRAC_1_SQRT_2.to_bits() as i64,
        ),
        _ => (
            f64::from(f32::MIN_POSITIVE),
            33_554_432.0,
            25,
            23,
            127,
            i64::from(std::f32::consts::FRAC_1_SQRT_2.to_bits()),
        ),
    };
    let denormal = b.cmp(Cmp::Lt, x, b.float(x.ty, least));
    let scaled = b.select(denormal, b.mul(x, b.float(x.ty, up)), x);
    let correction = b.select(denormal, b.float(x.ty, -f64::from(down)), b.float(x.ty, 0.0));
    let bits = b.bitcast(scaled, int);
    let one = bias << significand;
    let moved = b.add(bits, b.int(bits.ty, one - root));
    let exponent = b.sub(b.sar(moved, significand), b.int(bits.ty, bias));
    let mantissa = b.and(moved, b.int(bits.ty, (1i64 << significand) - 1));
    let m = b.bitcast(b.add(mantissa, b.int(bits.ty, root)), scalar);
    (m, b.add(b.convert(exponent, scalar), correction))
}

/// The natural logarithm.
pub fn log<'c>(b: &Builder<'c>, x: V<'c>) -> V<'c> {
    log_plus(b, x, None)
}

/// ln x, plus a small correction.
fn log_plus<'c>(b: &Builder<'c>, x: V<'c>, correction: Option<V<'c>>) -> V<'c> {
    let wide = x.ty.scalar == Scalar::F64;
    let (m, e) = split(b, x);
    let f = b.sub(m, b.float(x.ty, 1.0));
    let s = b.div(f, b.add(f, b.float(x.ty, 2.0)));
    let z = b.mul(s, s);
    let coefficients: &[f64] = if wide { &LG_F64 } else { &LG_F32 };
    let r = b.mul(z, super::polynomial(b, z, coefficients));
    let half_square = b.mul(b.mul(f, f), b.float(x.ty, 0.5));
    let (high, low) = if wide { LN2_F64 } else { LN2_F32 };
    let mut tail = b.mul(e, b.float(x.ty, low));
    if let Some(correction) = correction {
        tail = b.add(tail, correction);
    }
    let tail = b.fma(s, b.add(half_square, r), tail);
    let near = b.add(b.sub(tail, half_square), f);
    let result = b.fma(e, b.float(x.ty, high), near);
    let constant = |value: f64| b.float(x.ty, value);
    // +∞ and NaN are their own logarithms.
    let finite = b.cmp(Cmp::Lt, x, constant(f64::INFINITY));
    let result = b.select(finite, result, x);
    let zero = b.cmp(Cmp::Eq, x, constant(0.0));
    let result = b.select(zero, constant(f64::NEG_INFINITY), result);
    let negative = b.cmp(Cmp::Lt, x, constant(0.0));
    b.select(negative, constant(f64::NAN), result)
}

/// ln(1 + x), accurate near 0: with u = 1 + x rounded, ln u plus what the rounding lost, over u.
pub fn log1p<'c>(b: &Builder<'c>, x: V<'c>) -> V<'c> {
    let one = b.float(x.ty, 1.0);
    let u = b.add(x, one);
    let large = b.cmp(Cmp::Gt, x, one);
    let lost = b.select(large, b.sub(one, b.sub(u, x)), b.sub(x, b.sub(u, one)));
    let correction = b.div(lost, u);
    let usable = b.cmp(Cmp::Lt, b.intrinsic("llvm.intr.fabs", correction), one);
    let correction = b.select(usable, correction, b.float(x.ty, 0.0));
    let result = log_plus(b, u, Some(correction));
    // Below the last bit of 1 nothing is left of x in u; it also keeps −0.
    let tiny = b.cmp(Cmp::Eq, u, one);
    b.select(tiny, x, result)
}
