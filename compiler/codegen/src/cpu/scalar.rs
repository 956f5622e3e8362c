//! The functions of one and two numbers, for one point or a point per lane.

use super::math;
use super::value::{Val, round};
use crate::build::{Builder, Cmp, Scalar, V};
use einmesh_ir::{BinaryOp, DType, UnaryOp, rng};

/// A function of one number.
pub fn unary<'c>(b: &Builder<'c>, op: UnaryOp, a: Val<'c>) -> Val<'c> {
    let (v, float) = (a.v, a.dtype.is_float());
    let result = match op {
        UnaryOp::Neg => b.neg(v),
        UnaryOp::Not => b.not(v),
        UnaryOp::Abs if float => b.intrinsic("llvm.intr.fabs", v),
        UnaryOp::Abs => b.smax(v, b.neg(v)),
        UnaryOp::Exp => math::exp(b, v),
        UnaryOp::Expm1 => math::expm1(b, v),
        UnaryOp::Log => math::log(b, v),
        UnaryOp::Log1p => math::log1p(b, v),
        UnaryOp::Sqrt => b.intrinsic("llvm.intr.sqrt", v),
        UnaryOp::Rsqrt => b.div(b.float(v.ty, 1.0), b.intrinsic("llvm.intr.sqrt", v)),
        UnaryOp::Sin => math::sin(b, v),
        UnaryOp::Cos => math::cos(b, v),
        UnaryOp::Tanh => math::tanh(b, v),
        UnaryOp::Erf => math::erf(b, v),
        UnaryOp::Floor => b.intrinsic("llvm.intr.floor", v),
        UnaryOp::Ceil => b.intrinsic("llvm.intr.ceil", v),
        UnaryOp::Round => b.intrinsic("llvm.intr.roundeven", v),
        UnaryOp::IsFinite => {
            let infinity = b.float(v.ty, f64::INFINITY);
            let v = b.cmp(Cmp::Lt, b.intrinsic("llvm.intr.fabs", v), infinity);
            let dtype = DType::Bool;
            return Val { v, dtype };
        }
    };
    match op {
        // These results are representable already.
        UnaryOp::Neg | UnaryOp::Not | UnaryOp::Abs => Val { v: result, ..a },
        _ => round(b, result, a.dtype),
    }
}

/// A function of two numbers.
pub fn binary<'c>(b: &Builder<'c>, op: BinaryOp, x: Val<'c>, y: Val<'c>) -> Val<'c> {
    use BinaryOp::*;
    let dtype = x.dtype;
    let (u, v) = b.unify(x.v, y.v);
    let truth = |v| Val { v, dtype: DType::Bool };
    let result = match op {
        Add => b.add(u, v),
        Sub => b.sub(u, v),
        Mul => b.mul(u, v),
        Div => b.div(u, v),
        FloorDiv => math::floor_div(b, u, v).0,
        Rem if dtype.is_float() => math::float_rem(b, u, v),
        Rem => math::floor_div(b, u, v).1,
        Pow if dtype.is_float() => math::pow(b, u, v),
        Pow => math::int_pow(b, u, v),
        Min => math::min(b, u, v),
        Max => math::max(b, u, v),
        Eq => return truth(b.cmp(Cmp::Eq, u, v)),
        Ne => return truth(b.cmp(Cmp::Ne, u, v)),
        Lt => return truth(b.cmp(Cmp::Lt, u, v)),
        Le => return truth(b.cmp(Cmp::Le, u, v)),
        Gt => return truth(b.cmp(Cmp::Gt, u, v)),
        Ge => return truth(b.cmp(Cmp::Ge, u, v)),
        And => return truth(b.and(u, v)),
        Or => return truth(b.or(u, v)),
        Fold => fold(b, u, v),
        Uniform => {
            let v = uniform(b, u, v);
            let dtype = DType::F32;
            return Val { v, dtype };
        }
    };
    match op {
        Min | Max => Val { v: result, dtype },
        _ => round(b, result, dtype),
    }
}

fn mix<'c>(b: &Builder<'c>, z: V<'c>) -> V<'c> {
    let round = |z: V<'c>, shift: i64, factor: u64| {
        let mixed = b.xor(z, b.shr(z, shift));
        b.mul(mixed, b.int(z.ty, factor as i64))
    };
    let z = round(round(z, 30, rng::MIX_1), 27, rng::MIX_2);
    b.xor(z, b.shr(z, 31))
}

/// [`rng::fold`].
fn fold<'c>(b: &Builder<'c>, key: V<'c>, x: V<'c>) -> V<'c> {
    let step = b.int(key.ty, rng::STEP as i64);
    mix(b, b.add(mix(b, b.add(key, step)), b.mul(x, step)))
}

/// [`rng::uniform`].
fn uniform<'c>(b: &Builder<'c>, key: V<'c>, position: V<'c>) -> V<'c> {
    let counter = b.mul(position, b.int(position.ty, rng::STEP as i64));
    let key = mix(b, b.xor(key, b.int(key.ty, rng::DRAW as i64)));
    let bits = b.shr(mix(b, b.add(key, counter)), 40);
    let small = b.convert(b.convert(bits, Scalar::I32), Scalar::F32);
    b.mul(small, b.float(small.ty, 1.0 / 16_777_216.0))
}
