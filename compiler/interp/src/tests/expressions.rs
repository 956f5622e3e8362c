//! Scalar expressions.

use super::*;
use einmesh_ir::{Literal, UnaryOp, rng};

const NAN: f64 = f64::NAN;
const INF: f64 = f64::INFINITY;

/// `f` of each number.
fn unary(dtype: DType, x: &[f64], f: impl FnOnce(Expr) -> Expr) -> Vec<f64> {
    let mut c = Case::new();
    let i = c.dim("I", x.len() as u64);
    let x = c.floats(dtype, &[i], x);
    c.compute(dtype, &[i], &[], Reducer::None, |ix| f(load(x, ix)));
    c.floats_out()
}

fn ints(dtype: DType, a: &[i64], b: &[i64], op: BinaryOp) -> Vec<i64> {
    let mut c = Case::new();
    let i = c.dim("I", a.len() as u64);
    let (a, b) = (c.ints(dtype, &[i], a), c.ints(dtype, &[i], b));
    c.compute(dtype, &[i], &[], Reducer::None, |ix| binary(op, load(a, ix), load(b, ix)));
    c.ints_out()
}

#[test]
fn functions_of_one_float() {
    let f = |op, x: &[f64]| unary(DType::F64, x, |x| Expr::unary(op, x));
    same(&f(UnaryOp::Neg, &[1.0, -0.0]), &[-1.0, 0.0]);
    same(&f(UnaryOp::Abs, &[-1.5, -0.0, NAN]), &[1.5, 0.0, NAN]);
    same(&f(UnaryOp::Sqrt, &[9.0, -1.0]), &[3.0, NAN]);
    same(&f(UnaryOp::Rsqrt, &[4.0, 0.0]), &[0.5, INF]);
    same(&f(UnaryOp::Floor, &[-1.5, 1.5]), &[-2.0, 1.0]);
    same(&f(UnaryOp::Ceil, &[-1.5, 1.5]), &[-1.0, 2.0]);
    same(&f(UnaryOp::Round, &[0.5, 1.5, -2.5]), &[0.0, 2.0, -2.0]);
    same(&f(UnaryOp::Log, &[0.0, 1.0]), &[-INF, 0.0]);
    same(&f(UnaryOp::Exp, &[0.0, -INF]), &[1.0, 0.0]);
    same(&f(UnaryOp::Expm1, &[1e-20]), &[1e-20]);
    same(&f(UnaryOp::Log1p, &[1e-20]), &[1e-20]);
    same(&f(UnaryOp::Tanh, &[INF]), &[1.0]);
    same(&f(UnaryOp::Sin, &[0.0]), &[0.0]);
    same(&f(UnaryOp::Cos, &[0.0]), &[1.0]);
    same(&f(UnaryOp::Erf, &[INF, 0.0]), &[1.0, 0.0]);
}

#[test]
fn f32_arithmetic_is_rounded_at_every_step() {
    // 2^24 + 1 + 1: each addition is lost in f32.
    let f = |x: Expr| {
        let one = || Expr::float(DType::F32, 1.0);
        binary(BinaryOp::Add, binary(BinaryOp::Add, x, one()), one())
    };
    same(&unary(DType::F32, &[16_777_216.0], f), &[16_777_216.0]);
    let mut c = Case::new();
    let x = c.floats(DType::F32, &[], &[16_777_216.0]);
    c.compute(DType::F32, &[], &[], Reducer::None, |_| f(load(x, &[])));
    same(c.run(Precision::F64)[0].floats(), &[16_777_218.0]);
}

#[test]
fn half_precision_is_computed_in_f32() {
    // 256 + 1 is no number of bf16, but (256 + 1) - 256 is 1 in f32.
    let through = |x: Expr, round: bool| {
        let c = |x| Expr::float(DType::Bf16, x);
        let sum = binary(BinaryOp::Add, x, c(1.0));
        let sum = if round { Expr::cast(DType::Bf16, sum) } else { sum };
        binary(BinaryOp::Sub, sum, c(256.0))
    };
    same(&unary(DType::Bf16, &[256.0], |x| through(x, false)), &[1.0]);
    same(&unary(DType::Bf16, &[256.0], |x| through(x, true)), &[0.0]);
    // Assignment rounds.
    let next = |x| binary(BinaryOp::Add, x, Expr::float(DType::Bf16, 1.0));
    same(&unary(DType::Bf16, &[256.0], next), &[256.0]);
}

#[test]
fn integers_wrap_and_divide_down() {
    let max = i64::from(i32::MAX);
    let min = i64::from(i32::MIN);
    assert_eq!(ints(DType::I32, &[max, 3], &[1, 4], BinaryOp::Add), [min, 7]);
    assert_eq!(ints(DType::I64, &[max], &[1], BinaryOp::Add), [max + 1]);
    assert_eq!(ints(DType::I32, &[1 << 20], &[1 << 20], BinaryOp::Mul), [0]);
    assert_eq!(
        ints(DType::I32, &[-7, 7, 7, min], &[2, -2, 0, -1], BinaryOp::FloorDiv),
        [-4, -4, 0, min]
    );
    assert_eq!(ints(DType::I32, &[-7, 7, 7, min], &[3, -3, 0, -1], BinaryOp::Rem), [2, -2, 0, 0]);
    assert_eq!(ints(DType::I32, &[3, 2, -1], &[4, -1, -3], BinaryOp::Pow), [81, 0, -1]);
    assert_eq!(ints(DType::I32, &[3, -2], &[4, -5], BinaryOp::Max), [4, -2]);
}

#[test]
fn extremes_and_comparisons_with_nan() {
    let with_nan =
        |op| unary(DType::F64, &[1.0, NAN], |x| binary(op, x, Expr::float(DType::F64, 2.0)));
    same(&with_nan(BinaryOp::Max), &[2.0, NAN]);
    same(&with_nan(BinaryOp::Min), &[1.0, NAN]);
    let compared = |op| {
        unary(DType::F64, &[1.0, NAN], |x| {
            Expr::cast(DType::F64, binary(op, x, Expr::float(DType::F64, 2.0)))
        })
    };
    same(&compared(BinaryOp::Lt), &[1.0, 0.0]);
    same(&compared(BinaryOp::Ge), &[0.0, 0.0]);
    same(&compared(BinaryOp::Ne), &[1.0, 1.0]);
    same(&compared(BinaryOp::Eq), &[0.0, 0.0]);
    let finite = |x| Expr::cast(DType::F64, Expr::unary(UnaryOp::IsFinite, x));
    same(&unary(DType::F64, &[1.0, NAN, INF], finite), &[1.0, 0.0, 0.0]);
}

#[test]
fn the_branch_not_taken_does_not_contaminate() {
    let root = |x: Expr| {
        let zero = || Expr::float(DType::F64, 0.0);
        let positive = binary(BinaryOp::Gt, x.clone(), zero());
        Expr::select(positive, Expr::unary(UnaryOp::Sqrt, x), zero())
    };
    same(&unary(DType::F64, &[4.0, -1.0, NAN], root), &[2.0, 0.0, 0.0]);
}

#[test]
fn casts_truncate_saturate_and_round() {
    let to_int = |dtype, x: &[f64]| {
        let mut c = Case::new();
        let i = c.dim("I", x.len() as u64);
        let x = c.floats(DType::F64, &[i], x);
        c.compute(dtype, &[i], &[], Reducer::None, |ix| Expr::cast(dtype, load(x, ix)));
        c.ints_out()
    };
    let (min, max) = (i64::from(i32::MIN), i64::from(i32::MAX));
    assert_eq!(to_int(DType::I32, &[-2.9, 2.9, 1e12, -INF, NAN]), [-2, 2, max, min, 0]);
    assert_eq!(to_int(DType::Bool, &[0.0, -0.0, 0.1, NAN]), [0, 0, 1, 1]);

    let from_int = |dtype, x: i64| {
        let mut c = Case::new();
        let x = c.ints(DType::I64, &[], &[x]);
        c.compute(dtype, &[], &[], Reducer::None, |_| Expr::cast(dtype, load(x, &[])));
        c.run(Precision::Program).remove(0)
    };
    same(from_int(DType::F32, 16_777_217).floats(), &[16_777_216.0]);
    // Rounding to f64 on the way would end at the even neighbour.
    let tie = (1 << 60) + (1 << 36) + 1;
    same(from_int(DType::F32, tie).floats(), &[(1_i64 << 60) as f64 + 2f64.powi(37)]);
    assert_eq!(from_int(DType::I32, (1 << 32) + 5).ints(), [5]);
    assert_eq!(from_int(DType::Bool, 1 << 32).ints(), [1]);
}

#[test]
fn random_numbers_are_those_of_the_ir() {
    let mut c = Case::new();
    let i = c.dim("I", 3);
    let key = c.ints(DType::Key, &[], &[42]);
    c.compute(DType::F32, &[i], &[], Reducer::None, |ix| {
        let layer = Expr::Literal(Literal::Int(DType::I64, 7));
        let folded = binary(BinaryOp::Fold, load(key, &[]), layer);
        binary(BinaryOp::Uniform, folded, Expr::cast(DType::I64, ix[0].clone()))
    });
    let expected: Vec<f64> = (0..3).map(|i| f64::from(rng::uniform(rng::fold(42, 7), i))).collect();
    same(&c.floats_out(), &expected);
}

#[test]
fn constants_that_differ_only_in_sign_stay_apart() {
    let mut c = Case::new();
    let x = c.floats(DType::F64, &[], &[-0.0]);
    c.compute(DType::F64, &[], &[], Reducer::None, |_| {
        let [plus, minus] = [0.0, -0.0].map(|z| Expr::float(DType::F64, z));
        let kept = binary(BinaryOp::Add, load(x, &[]), minus);
        let lost = binary(BinaryOp::Add, load(x, &[]), plus);
        // 1/−0 + 1/0 is −∞ + ∞.
        let one = || Expr::float(DType::F64, 1.0);
        binary(
            BinaryOp::Add,
            binary(BinaryOp::Div, one(), kept),
            binary(BinaryOp::Div, one(), lost),
        )
    });
    same(&c.floats_out(), &[NAN]);
}
