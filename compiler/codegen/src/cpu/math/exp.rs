//! The exponential and what follows from it.

use super::{clamp, copysign, nearest, polynomial, power_of_two, scale};
use crate::build::{Builder, Cmp, Scalar, V};

/// ln 2 in two parts: multiples of the first up to the largest exponent are exact.
const LN2_F32: (f64, f64) = (0.693_359_375, -2.121_944_400_546_905_8e-4);
const LN2_F64: (f64, f64) = (6.931_471_803_691_238_164_9e-1, 1.908_214_929_270_587_700_02e-10);

/// (eʳ − 1 − r) / r² for |r| ≤ ln 2 / 2: minimax for f32 (Cephes `expf`), Taylor for f64, whose first
/// omitted term is below 5e-18.
const TAIL_F32: [f64; 6] = [
    5.000_000_120_1e-1,
    1.666_666_545_9e-1,
    4.166_579_589_4e-2,
    8.333_452_e-3,
    1.398_199_950_7e-3,
    1.987_569_150_0e-4,
];
const TAIL_F64: [f64; 12] = [
    1.0 / 2.0,
    1.0 / 6.0,
    1.0 / 24.0,
    1.0 / 120.0,
    1.0 / 720.0,
    1.0 / 5_040.0,
    1.0 / 40_320.0,
    1.0 / 362_880.0,
    1.0 / 3_628_800.0,
    1.0 / 39_916_800.0,
    1.0 / 479_001_600.0,
    1.0 / 6_227_020_800.0,
];

/// A whole number as a float and as an integer.
type Whole<'c> = (V<'c>, V<'c>);

/// `x = n ln 2 + r`: returns n, r, and (eʳ − 1 − r) / r².
fn reduce<'c>(b: &Builder<'c>, x: V<'c>, low: Option<V<'c>>) -> (Whole<'c>, V<'c>, V<'c>) {
    let wide = x.ty.scalar == Scalar::F64;
    let (high_part, low_part) = if wide { LN2_F64 } else { LN2_F32 };
    let quotient = b.mul(x, b.float(x.ty, std::f64::consts::LOG2_E));
    let (n, whole) = nearest(b, quotient);
    let r = b.fma(n, b.float(x.ty, -high_part), x);
    let mut r = b.fma(n, b.float(x.ty, -low_part), r);
    if let Some(low) = low {
        r = b.add(r, low);
    }
    let tail = polynomial(b, r, if wide { &TAIL_F64 } else { &TAIL_F32 });
    ((n, whole), r, tail)
}

/// eˣ.
pub fn exp<'c>(b: &Builder<'c>, x: V<'c>) -> V<'c> {
    exp_sum(b, x, None)
}

/// e to the power `x + low`, where `low` is small.
pub fn exp_sum<'c>(b: &Builder<'c>, x: V<'c>, low: Option<V<'c>>) -> V<'c> {
    // Beyond these the result is 0 or infinite.
    let (least, most) = match x.ty.scalar {
        Scalar::F64 => (-746.0, 710.0),
        _ => (-104.0, 89.0),
    };
    let (n, r, tail) = reduce(b, clamp(b, x, least, most), low);
    let square = b.mul(r, r);
    let sum = b.fma(tail, square, r);
    scale(b, b.add(sum, b.float(x.ty, 1.0)), n)
}

/// eˣ for x up to 0, such as softmax takes it: within 2 ulp, but 0 where the result is below the normal numbers.
/// Above 0 it is right up to f32's 88, and stays finite beyond.
pub fn exp_weight<'c>(b: &Builder<'c>, x: V<'c>) -> V<'c> {
    if x.ty.scalar == Scalar::F64 {
        return exp(b, x);
    }
    let float = |value: f64| b.float(x.ty, value);
    let least = float(-87.3);
    let confined = clamp(b, x, -87.3, 88.0);
    // As in `nearest`, with the exponent's bias added on the way: the shifted number's low bits are the
    // exponent of the result.
    let magic = float(1.5 * f64::from(1u32 << 23) + 127.0);
    let shifted = b.fma(confined, float(std::f64::consts::LOG2_E), magic);
    let n = b.sub(shifted, magic);
    let (high_part, low_part) = LN2_F32;
    let r = b.fma(n, float(-high_part), confined);
    let r = b.fma(n, float(-low_part), r);
    let coefficients = [&[1.0, 1.0][..], &TAIL_F32].concat();
    let power = b.bitcast(b.shl(b.bitcast(shifted, Scalar::I32), 23), Scalar::F32);
    let result = b.mul(polynomial(b, r, &coefficients), power);
    b.select(b.cmp(Cmp::Lt, x, least), float(0.0), result)
}

/// eˣ − 1, accurate near 0.
pub fn expm1<'c>(b: &Builder<'c>, x: V<'c>) -> V<'c> {
    // Below the lower limit the result is −1.
    let (least, most) = match x.ty.scalar {
        Scalar::F64 => (-40.0, 710.0),
        _ => (-20.0, 89.0),
    };
    let result = expm1_within(b, clamp(b, x, least, most));
    // −0 stays −0.
    copysign(b, result, x)
}

/// The same between those limits; it may lose the sign of 0.
fn expm1_within<'c>(b: &Builder<'c>, x: V<'c>) -> V<'c> {
    let ((_, n), r, tail) = reduce(b, x, None);
    let square = b.mul(r, r);
    let small = b.fma(tail, square, r);
    // 2ⁿ(eʳ − 1) + (2ⁿ − 1), all halved: 2ⁿ itself may overflow.
    let one = b.int(n.ty, 1);
    let half = power_of_two(b, b.sub(n, one), x.ty.scalar);
    let rest = b.sub(half, b.float(x.ty, 0.5));
    let halved = b.fma(half, small, rest);
    b.add(halved, halved)
}

/// (tanh x − x) / x³ as a polynomial of x² for |x| < 0.625 (Cephes `tanhf`).
const TANH_F32: [f64; 5] = [
    -3.333_328_194_22e-1,
    1.333_144_220_36e-1,
    -5.373_971_555_31e-2,
    2.063_908_879_54e-2,
    -5.704_988_727_45e-3,
];

/// The hyperbolic tangent, t / (t + 2) with t = e²ˣ − 1. Near 0 the roundings of t and of t + 2 come to two
/// units in the last place of f32, which has a polynomial there.
pub fn tanh<'c>(b: &Builder<'c>, x: V<'c>) -> V<'c> {
    // Beyond these it is 1.
    let most = match x.ty.scalar {
        Scalar::F64 => 22.0,
        _ => 10.0,
    };
    let magnitude = clamp(b, b.intrinsic("llvm.intr.fabs", x), 0.0, most);
    let t = expm1_within(b, b.add(magnitude, magnitude));
    let mut result = b.div(t, b.add(t, b.float(x.ty, 2.0)));
    if x.ty.scalar != Scalar::F64 {
        let square = b.mul(magnitude, magnitude);
        let bend = b.mul(polynomial(b, square, &TANH_F32), square);
        let near = b.fma(bend, magnitude, magnitude);
        let small = b.cmp(Cmp::Lt, magnitude, b.float(x.ty, 0.625));
        result = b.select(small, near, result);
    }
    copysign(b, result, x)
}
