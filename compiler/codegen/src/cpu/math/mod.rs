//! Elementary functions of our own, for scalars and vectors of f32 and f64: generated code calls no
//! mathematical library.
//!
//! Errors are measured against the `libm` crate in `tests/suite/math.rs`: f32 within 2 ulp, f64 within 4 ulp.
//! NaN, infinities, signed zeros and denormal numbers (in and out) are those of C's functions. Sine and
//! cosine of f64 keep their accuracy up to |x| = 2²⁸; beyond, they are within ±1.
//!
//! `tests/suite/exhaustive.rs` tries every number of f32. The largest errors it found, alike at the levels x86-64-v3
//! and x86-64-v4, in units of the last place:
//!
//! | sin | cos | log | log1p | exp | expm1 | erf | tanh | sqrt | rsqrt |
//! |---|---|---|---|---|---|---|---|---|---|
//! | 0.500 | 0.500 | 0.840 | 0.840 | 1.010 | 1.443 | 1.028 | 1.498 | 0.500 | 1.490 |

// Constants are written as they were published, with more digits than a float has.
#![allow(clippy::excessive_precision)]

mod erf;
mod exp;
mod integer;
mod log;
mod pow;
mod remainder;
mod trig;

pub use erf::erf;
pub use exp::{exp, exp_weight, expm1, tanh};
pub use integer::{floor_div, int_pow};
pub use log::{log, log1p};
pub use pow::{pow, simple_pow};
pub use remainder::float_rem;
pub use trig::{cos, sin};

use crate::build::{Builder, Cmp, Scalar, Ty, V};

/// The larger of two numbers; NaN if either is.
pub fn max<'c>(b: &Builder<'c>, x: V<'c>, y: V<'c>) -> V<'c> {
    extreme(b, Cmp::Gt, x, y)
}

/// The smaller of two numbers; NaN if either is.
pub fn min<'c>(b: &Builder<'c>, x: V<'c>, y: V<'c>) -> V<'c> {
    extreme(b, Cmp::Lt, x, y)
}

/// The comparison alone gives `y` if either is NaN, which is right unless only `x` is.
fn extreme<'c>(b: &Builder<'c>, how: Cmp, x: V<'c>, y: V<'c>) -> V<'c> {
    let (x, y) = b.unify(x, y);
    match (x.ty.scalar.is_float(), how) {
        (false, Cmp::Gt) => b.smax(x, y),
        (false, _) => b.smin(x, y),
        (true, _) => {
            let chosen = b.select(b.cmp(how, x, y), x, y);
            b.select(b.is_nan(x), x, chosen)
        }
    }
}

/// The integer type of the same size.
fn bits_of(scalar: Scalar) -> Scalar {
    match scalar {
        Scalar::F64 => Scalar::I64,
        _ => Scalar::I32,
    }
}

/// `coefficients[0] + x · (coefficients[1] + x · (…))`.
fn polynomial<'c>(b: &Builder<'c>, x: V<'c>, coefficients: &[f64]) -> V<'c> {
    let (last, rest) = coefficients.split_last().expect("a polynomial has coefficients");
    let start = b.float(x.ty, *last);
    rest.iter().rev().fold(start, |sum, c| b.fma(sum, x, b.float(x.ty, *c)))
}

/// The number with the sign of `sign`.
fn copysign<'c>(b: &Builder<'c>, magnitude: V<'c>, sign: V<'c>) -> V<'c> {
    let int = bits_of(sign.ty.scalar);
    let mask = b.shl(b.int(sign.ty.with(int), 1), i64::from(int.bits()) - 1);
    let sign_bit = b.and(b.bitcast(sign, int), mask);
    let bits = b.or(b.bitcast(b.intrinsic("llvm.intr.fabs", magnitude), int), sign_bit);
    b.bitcast(bits, sign.ty.scalar)
}

/// Confines `x` between two constants; NaN stays NaN.
fn clamp<'c>(b: &Builder<'c>, x: V<'c>, low: f64, high: f64) -> V<'c> {
    let (low, high) = (b.float(x.ty, low), b.float(x.ty, high));
    let x = b.select(b.cmp(Cmp::Gt, x, high), high, x);
    b.select(b.cmp(Cmp::Lt, x, low), low, x)
}

/// The nearest whole number, as a float and as an integer. `x` must be far below 2²² (f32) or 2⁵¹ (f64);
/// for NaN the integer is arbitrary.
fn nearest<'c>(b: &Builder<'c>, x: V<'c>) -> (V<'c>, V<'c>) {
    // Adding 1.5 · 2ⁿ shifts the fraction out of the significand and leaves the integer in its bits.
    let magic = match x.ty.scalar {
        Scalar::F64 => 1.5 * (1u64 << 52) as f64,
        _ => 1.5 * (1u64 << 23) as f64,
    };
    let magic = b.float(x.ty, magic);
    let shifted = b.add(x, magic);
    let int = bits_of(x.ty.scalar);
    let whole = b.sub(b.bitcast(shifted, int), b.bitcast(magic, int));
    (b.sub(shifted, magic), whole)
}

/// 2ⁿ for n in the range of normal exponents.
fn power_of_two<'c>(b: &Builder<'c>, n: V<'c>, scalar: Scalar) -> V<'c> {
    let (bias, shift) = match scalar {
        Scalar::F64 => (1023, 52),
        _ => (127, 23),
    };
    b.bitcast(b.shl(b.add(n, b.int(n.ty, bias)), shift), scalar)
}

/// Sixteen numbers of f32: vectors that only levels with AVX-512 have.
const ZMM: Ty = Ty::vector(Scalar::F32, 16);

/// `x · 2ⁿ`, rounded once into the denormal numbers and overflowing to infinity, for |n| below twice
/// the largest exponent; n as a float and as an integer.
fn scale<'c>(b: &Builder<'c>, x: V<'c>, (float, n): (V<'c>, V<'c>)) -> V<'c> {
    if x.ty == ZMM {
        let all = b.int(Ty::scalar(Scalar::I16), -1);
        let rounding = b.int(Ty::scalar(Scalar::I32), 4);
        let operands = [x, float, x, all, rounding];
        return b.call_intrinsic("llvm.x86.avx512.mask.scalef.ps.512", &operands, x.ty);
    }
    let half = b.sar(n, 1);
    let rest = b.sub(n, half);
    let scalar = x.ty.scalar;
    b.mul(b.mul(x, power_of_two(b, half, scalar)), power_of_two(b, rest, scalar))
}
