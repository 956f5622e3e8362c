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

/// The first 256 bits of 2/π.
const TWO_OVER_PI: [u64; 4] =
    [0xA2F9_836E_4E44_1529, 0xFC27_57D1_F534_DDC0, 0xDB62_9599_3C43_9041, 0xFE51_63AB_DEBB_C561];

/// Beyond this, numbers of f32 are reduced with the digits of 2/π that their exponent asks for.
const FAR: f64 = (1u64 << 22) as f64;

/// sin(x + turns · π/2). In f64 also for f32, whose reduced argument then needs no second part.
fn rotated<'c>(b: &Builder<'c>, x: V<'c>, turns: i64) -> V<'c> {
    let wide = b.convert(x, Scalar::F64);
    let (near, low, turn) = near(b, wide);
    let finite =
        b.cmp(Cmp::Lt, b.intrinsic("llvm.intr.fabs", wide), b.float(wide.ty, f64::INFINITY));
    let (high, low, turn) = match x.ty.scalar {
        Scalar::F32 => {
            let is_far = b.cmp(Cmp::Ge, b.intrinsic("llvm.intr.fabs", wide), b.float(wide.ty, FAR));
            // Rare: the work is only done if some lane asks for it.
            let parts = b.if_else(
                b.any(is_far),
                || {
                    let (angle, quarter) = far(b, x);
                    let no_low = b.select(is_far, b.float(low.ty, 0.0), low);
                    vec![b.select(is_far, angle, near), no_low, b.select(is_far, quarter, turn)]
                },
                || vec![near, low, turn],
            );
            (parts[0], parts[1], parts[2])
        }
        _ => (near, low, turn),
    };
    let result = from_quarter(b, high, low, b.add(turn, b.int(turn.ty, turns)));
    let result = b.select(finite, result, b.float(wide.ty, f64::NAN));
    b.convert(result, x.ty.scalar)
}

/// x − n · π/2 in two parts, and n modulo 2³², by subtraction (Cody & Waite).
fn near<'c>(b: &Builder<'c>, wide: V<'c>) -> (V<'c>, V<'c>, V<'c>) {
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
    // n modulo 4, exactly, as a float that fits an integer.
    let quarter = b.intrinsic("llvm.intr.floor", b.mul(n, constant(0.25)));
    let turn = b.fma(quarter, constant(-4.0), n);
    (y, low, b.to_int_saturating(turn, Scalar::I32))
}

/// x − n · π/2 and n modulo 4, for |x| from 2²⁰ on: the product with 2/π modulo 4 in 64 bits of integer
/// arithmetic, from the 96 bits of 2/π that matter (Payne & Hanek). Arbitrary for infinities and NaN.
///
/// x = m · 2ᵉ has a whole m below 2²⁴, and is never closer than about 2⁻²⁹ to a multiple of π/2: 62 bits
/// behind the point leave 2⁻³² of relative error.
fn far<'c>(b: &Builder<'c>, x: V<'c>) -> (V<'c>, V<'c>) {
    let bits = b.zext(b.bitcast(x, Scalar::I32), Scalar::I64);
    let ty = bits.ty;
    let constant = |value: i64| b.int(ty, value);
    let m = b.or(b.and(bits, constant((1 << 23) - 1)), constant(1 << 23));
    let exponent = b.and(b.shr(bits, 23), constant(255));
    // The digits, five zeros first: the bit at e + 3 has weight 2¹ after multiplication with 2ᵉ.
    let digit = |k: usize| {
        let before = if k == 0 { 0 } else { TWO_OVER_PI[k - 1] << 59 };
        constant((before | TWO_OVER_PI[k] >> 5) as i64)
    };
    // e = exponent − 150. Confined for those lanes that are not far at all.
    let start = b.smax(b.sub(exponent, constant(147)), constant(0));
    let skip = b.cmp(Cmp::Ge, start, constant(64));
    let shift = b.and(start, constant(63));
    let word = |k: usize| b.select(skip, digit(k + 1), digit(k));
    let window = |k: usize| {
        let rest = b.shr_by(b.shr(word(k + 1), 1), b.sub(constant(63), shift));
        b.or(b.shl_by(word(k), shift), rest)
    };
    let (first, second) = (window(0), window(1));
    let product = |part: V<'c>| b.mul(m, part);
    let top = b.shl(product(b.shr(first, 32)), 32);
    let middle = product(b.and(first, constant(0xFFFF_FFFF)));
    let bottom = b.shr(product(b.shr(second, 32)), 32);
    // In units of 2⁻⁶² quarter turns; whole turns overflow away.
    let turns = b.add(b.add(top, middle), bottom);
    let quarter = b.shr(b.add(turns, constant(1 << 61)), 62);
    let rest = b.sub(turns, b.shl(quarter, 62));
    let unit = std::f64::consts::FRAC_PI_2 / (1u64 << 62) as f64;
    let angle = b.mul(b.convert(rest, Scalar::F64), b.float(ty.with(Scalar::F64), unit));
    let negative = b.cmp(Cmp::Lt, x, b.float(x.ty, 0.0));
    let signed = |v: V<'c>| b.select(negative, b.neg(v), v);
    (signed(angle), signed(b.convert(quarter, Scalar::I32)))
}

/// sin(y + low + turn · π/2) for |y| at most a little above π/4.
fn from_quarter<'c>(b: &Builder<'c>, y: V<'c>, low: V<'c>, turn: V<'c>) -> V<'c> {
    let constant = |value: f64| b.float(y.ty, value);
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
    let bit = |mask: i64| {
        let part = b.and(turn, b.int(turn.ty, mask));
        b.cmp(Cmp::Ne, part, b.int(turn.ty, 0))
    };
    let chosen = b.select(bit(1), cosine, sine);
    b.select(bit(2), b.neg(chosen), chosen)
}
