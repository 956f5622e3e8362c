//! Sine and cosine: reduction by quarter turns, then polynomials (fdlibm's kernels).

use super::polynomial;
use crate::build::{Builder, Cmp, Scalar, V};

/// π/2 in three parts of 33 bits, and the rest.
const QUARTER: [f64; 4] = [
    1.570_796_326_734_125_614_17e0,
    6.077_100_506_303_965_976_60e-11,
    2.022_266_248_711_166_455_80e-21,
    8.478_427_660_368_899_569_97e-32,
];
const SIN: [f64; 6] = [
    -1.666_666_666_666_663_243_48e-1,
    8.333_333_333_322_489_461_24e-3,
    -1.984_126_982_985_794_931_34e-4,
    2.755_731_370_707_006_767_89e-6,
    -2.505_076_025_340_686_341_95e-8,
    1.589_690_995_211_550_102_21e-10,
];
const COS: [f64; 6] = [
    4.166_666_666_666_660_190_37e-2,
    -1.388_888_888_887_410_957_49e-3,
    2.480_158_728_947_672_941_78e-5,
    -2.755_731_435_139_066_330_35e-7,
    2.087_572_321_298_174_827_90e-9,
    -1.135_964_755_778_819_482_65e-11,
];

/// sin x.
pub fn sin<'c>(b: &Builder<'c>, x: V<'c>) -> V<'c> {
    let result = rotated(b, x, 0);
    // −0 stays −0.
    b.select(b.cmp(Cmp::Eq, x, b.float(x.ty, 0.0)), x, result)
}

/// cos x.
pub fn cos<'c>(b: &Builder<'c>, x: V<'c>) -> V<'c> {
    rotated(b, x, 1)
}

/// sin(x + turns · π/2). In f64 also for f32, whose reduced argument then needs no second part.
fn rotated<'c>(b: &Builder<'c>, x: V<'c>, turns: i64) -> V<'c> {
    let wide = b.convert(x, Scalar::F64);
    let ty = wide.ty;
    let constant = |value: f64| b.float(ty, value);
    let n = b.intrinsic("llvm.intr.roundeven", b.mul(wide, constant(std::f64::consts::FRAC_2_PI)));
    // Products with a part of 33 bits are exact for n below 2²⁰, and fused beyond.
    let r = b.fma(n, constant(-QUARTER[0]), wide);
    let w = b.mul(n, constant(QUARTER[1]));
    let high = b.sub(r, w);
    let lost = b.sub(b.sub(r, high), w);
    let lost = b.add(lost, b.fma(n, constant(-QUARTER[1]), w));
    let lost = b.fma(n, constant(-QUARTER[2]), lost);
    let lost = b.fma(n, constant(-QUARTER[3]), lost);
    // Beyond the range that the reduction is made for, at least the results stay within ±1.
    let y = super::clamp(b, b.add(high, lost), -0.8, 0.8);
    let low = super::clamp(b, b.add(b.sub(high, y), lost), -1e-9, 1e-9);
    let z = b.mul(y, y);
    let cube = b.mul(z, y);
    // y + y³ P(z), and what the low part adds to it: low · cos y.
    let half = b.mul(z, constant(0.5));
    let correction = b.fma(b.neg(low), half, low);
    let sine = b.add(y, b.fma(cube, polynomial(b, z, &SIN), correction));
    let one = constant(1.0);
    let rough = b.sub(one, half);
    let rest = b.sub(b.sub(one, rough), half);
    let tail = b.fma(b.mul(z, z), polynomial(b, z, &COS), b.mul(b.neg(y), low));
    let cosine = b.add(rough, b.add(rest, tail));
    // n modulo 4, exactly, as a float that fits an integer.
    let quarter = b.intrinsic("llvm.intr.floor", b.mul(n, constant(0.25)));
    let turn = b.fma(quarter, constant(-4.0), n);
    let turn = b.to_int_saturating(turn, Scalar::I32);
    let turn = b.add(turn, b.int(turn.ty, turns));
    let bit = |mask: i64| {
        let part = b.and(turn, b.int(turn.ty, mask));
        b.cmp(Cmp::Ne, part, b.int(turn.ty, 0))
    };
    let chosen = b.select(bit(1), cosine, sine);
    let signed = b.select(bit(2), b.neg(chosen), chosen);
    let finite = b.cmp(Cmp::Lt, b.intrinsic("llvm.intr.fabs", wide), constant(f64::INFINITY));
    let result = b.select(finite, signed, constant(f64::NAN));
    b.convert(result, x.ty.scalar)
}
