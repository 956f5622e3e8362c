//! The error function. f64: fdlibm's `erf`, four intervals, computed side by side and selected. f32: two
//! intervals with minimax polynomials (N. Juffa, 2016), within 1 ulp.

use super::{copysign, exp, polynomial};
use crate::build::{Builder, Cmp, Scalar, V};

/// (erf x − x) / x in powers of x², for |x| ≤ 475/512.
const NEAR_F32: [f64; 6] = [
    1.283_791_66e-1,
    -3.761_253_36e-1,
    1.128_199_25e-1,
    -2.676_813_49e-2,
    4.991_194_23e-3,
    -5.967_617_03e-4,
];
/// (ln(1 − erf x) + x) / x in powers of x, for x > 475/512.
const FAR_F32: [f64; 7] = [
    -1.287_175_12e-1,
    -6.348_466_87e-1,
    -1.067_778_77e-1,
    2.425_462_19e-2,
    -3.883_964_38e-3,
    3.831_971_26e-4,
    -1.728_534_70e-5,
];
/// Where the two meet.
const MEETING_F32: f64 = 475.0 / 512.0;

const ERX: f64 = 8.450_629_115_104_675_292_97e-1;
const PP: [f64; 5] = [
    1.283_791_670_955_125_585_61e-1,
    -3.250_421_072_470_014_993_70e-1,
    -2.848_174_957_559_851_047_66e-2,
    -5.770_270_296_489_441_591_57e-3,
    -2.376_301_665_665_016_260_84e-5,
];
const QQ: [f64; 6] = [
    1.0,
    3.979_172_239_591_553_528_19e-1,
    6.502_224_998_876_729_444_85e-2,
    5.081_306_281_875_765_627_76e-3,
    1.324_947_380_043_216_445_26e-4,
    -3.960_228_278_775_368_123_20e-6,
];
const PA: [f64; 7] = [
    -2.362_118_560_752_659_440_77e-3,
    4.148_561_186_837_483_316_66e-1,
    -3.722_078_760_357_013_238_47e-1,
    3.183_466_199_011_617_536_74e-1,
    -1.108_946_942_823_966_774_76e-1,
    3.547_830_432_561_823_593_71e-2,
    -2.166_375_594_868_790_843_00e-3,
];
const QA: [f64; 7] = [
    1.0,
    1.064_208_804_008_442_282_86e-1,
    5.403_979_177_021_710_489_37e-1,
    7.182_865_441_419_626_628_68e-2,
    1.261_712_198_087_616_421_12e-1,
    1.363_708_391_202_905_073_62e-2,
    1.198_449_984_679_910_741_70e-2,
];
const RA: [f64; 8] = [
    -9.864_944_034_847_148_227_05e-3,
    -6.938_585_727_071_817_643_72e-1,
    -1.055_862_622_532_329_098_14e1,
    -6.237_533_245_032_600_603_96e1,
    -1.623_966_694_625_734_703_55e2,
    -1.846_050_929_067_110_359_94e2,
    -8.128_743_550_630_659_342_46e1,
    -9.814_329_344_169_145_485_92e0,
];
const SA: [f64; 9] = [
    1.0,
    1.965_127_166_743_925_712_92e1,
    1.376_577_541_435_190_426_00e2,
    4.345_658_774_752_292_288_21e2,
    6.453_872_717_332_678_803_36e2,
    4.290_081_400_275_678_333_86e2,
    1.086_350_055_417_794_351_34e2,
    6.570_249_770_319_281_701_35e0,
    -6.042_441_521_485_809_874_38e-2,
];
const RB: [f64; 7] = [
    -9.864_942_924_700_099_285_97e-3,
    -7.992_832_376_805_230_065_74e-1,
    -1.775_795_491_775_475_198_89e1,
    -1.606_363_848_558_219_160_62e2,
    -6.375_664_433_683_896_277_22e2,
    -1.025_095_131_611_077_249_54e3,
    -4.835_191_916_086_513_970_19e2,
];
const SB: [f64; 8] = [
    1.0,
    3.033_806_074_348_245_829_24e1,
    3.257_925_129_965_739_188_26e2,
    1.536_729_586_084_436_959_94e3,
    3.199_858_219_508_595_539_08e3,
    2.553_050_406_433_164_425_83e3,
    4.745_285_412_069_553_672_15e2,
    -2.244_095_244_658_581_833_62e1,
];

/// erf x.
pub fn erf<'c>(b: &Builder<'c>, x: V<'c>) -> V<'c> {
    match x.ty.scalar {
        Scalar::F64 => erf_f64(b, x),
        _ => erf_f32(b, x),
    }
}

fn erf_f32<'c>(b: &Builder<'c>, x: V<'c>) -> V<'c> {
    let t = b.intrinsic("llvm.intr.fabs", x);
    let near = b.fma(polynomial(b, b.mul(x, x), &NEAR_F32), x, x);
    // 1 from 4 on; clamped, so that nothing overflows.
    let t_far = super::clamp(b, t, 0.0, 5.0);
    let exponent = b.fma(polynomial(b, t_far, &FAR_F32), t_far, b.neg(t_far));
    let far = b.sub(b.float(x.ty, 1.0), exp(b, exponent));
    let is_far = b.cmp(Cmp::Gt, t, b.float(x.ty, MEETING_F32));
    b.select(is_far, copysign(b, far, x), near)
}

fn erf_f64<'c>(b: &Builder<'c>, x: V<'c>) -> V<'c> {
    let ty = x.ty;
    let a = b.intrinsic("llvm.intr.fabs", x);
    let below = |limit: f64| b.cmp(Cmp::Lt, a, b.float(ty, limit));
    let ratio = |at: V<'c>, p: &[f64], q: &[f64]| b.div(polynomial(b, at, p), polynomial(b, at, q));
    // |x| < 0.84375
    let near = b.fma(a, ratio(b.mul(a, a), &PP, &QQ), a);
    // |x| < 1.25
    let middle = b.add(ratio(b.sub(a, b.float(ty, 1.0)), &PA, &QA), b.float(ty, ERX));
    // Beyond: 1 − e^(−x² − 0.5625 + R/S) / |x|. The subtracted number is below 0.08, which makes up for
    // the rounding of x².
    let far_a = super::clamp(b, a, 1.0, 6.5);
    let s = b.div(b.float(ty, 1.0), b.mul(far_a, far_a));
    let exponent = b.select(below(1.0 / 0.35), ratio(s, &RA, &SA), ratio(s, &RB, &SB));
    let exponent = b.sub(exponent, b.fma(far_a, far_a, b.float(ty, 0.5625)));
    let far = b.sub(b.float(ty, 1.0), b.div(exp(b, exponent), far_a));
    let beyond = b.select(below(1.25), middle, far);
    let result = b.select(below(0.84375), near, beyond);
    let result = copysign(b, result, x);
    b.select(b.is_nan(x), x, result)
}
