//! Numbers of the IR in registers, and their way from and to memory.
//!
//! bf16 and f16 are held as f32 that are rounded already; truth values as bits, keys as 64-bit integers.

use crate::build::{Builder, Cmp, Scalar, Ty, V};
use einmesh_ir::{DType, Literal};

/// A number of the IR: one, or one per lane.
#[derive(Clone, Copy)]
pub struct Val<'c> {
    /// The register.
    pub v: V<'c>,
    /// Its type in the IR.
    pub dtype: DType,
}

/// The type a number has in a register.
pub fn register(dtype: DType) -> Scalar {
    match dtype {
        DType::F64 => Scalar::F64,
        DType::F32 | DType::Bf16 | DType::F16 => Scalar::F32,
        DType::I64 | DType::Key => Scalar::I64,
        DType::I32 => Scalar::I32,
        DType::Bool => Scalar::I1,
    }
}

/// The type a number has in memory.
pub fn memory(dtype: DType) -> Scalar {
    match dtype {
        DType::Bf16 => Scalar::I16,
        DType::F16 => Scalar::F16,
        DType::Bool => Scalar::I8,
        other => register(other),
    }
}

/// A constant.
pub fn literal<'c>(b: &Builder<'c>, literal: Literal) -> Val<'c> {
    let dtype = literal.dtype();
    let ty = Ty::scalar(register(dtype));
    let v = match literal {
        Literal::Float(_, value) => b.float(ty, value),
        Literal::Int(_, value) => b.int(ty, value),
        Literal::Bool(value) => b.int(ty, i64::from(value)),
    };
    Val { v, dtype }
}

/// What was read from memory, as a register.
pub fn from_memory<'c>(b: &Builder<'c>, raw: V<'c>, dtype: DType) -> V<'c> {
    match dtype {
        DType::Bf16 => {
            let bits = b.shl(b.zext(raw, Scalar::I32), 16);
            b.bitcast(bits, Scalar::F32)
        }
        DType::F16 => b.convert(raw, Scalar::F32),
        DType::Bool => b.cmp(Cmp::Ne, raw, b.int(raw.ty, 0)),
        _ => raw,
    }
}

/// A register as it is written to memory.
pub fn to_memory<'c>(b: &Builder<'c>, value: Val<'c>) -> V<'c> {
    match value.dtype {
        DType::Bf16 => {
            let bits = b.shr(b.bitcast(value.v, Scalar::I32), 16);
            b.convert(bits, Scalar::I16)
        }
        DType::F16 => b.convert(value.v, Scalar::F16),
        DType::Bool => b.zext(value.v, Scalar::I8),
        _ => value.v,
    }
}

/// An f32 result rounded to a dtype that is held as f32.
pub fn round<'c>(b: &Builder<'c>, v: V<'c>, dtype: DType) -> Val<'c> {
    let v = match dtype {
        DType::Bf16 => round_bf16(b, v),
        DType::F16 => b.convert(b.convert(v, Scalar::F16), Scalar::F32),
        _ => v,
    };
    Val { v, dtype }
}

/// To nearest even: adding just under half a unit, and one more if the last kept bit is odd. NaN would
/// be carried into infinity and is kept apart, quiet.
fn round_bf16<'c>(b: &Builder<'c>, v: V<'c>) -> V<'c> {
    let bits = b.bitcast(v, Scalar::I32);
    let odd = b.and(b.shr(bits, 16), b.int(bits.ty, 1));
    let rounded = b.add(b.add(bits, b.int(bits.ty, 0x7FFF)), odd);
    let quiet = b.or(bits, b.int(bits.ty, 0x0040_0000));
    let chosen = b.select(b.is_nan(v), quiet, rounded);
    b.bitcast(b.and(chosen, b.int(bits.ty, -65536)), Scalar::F32)
}

/// Conversion between dtypes, as [`einmesh_ir::Expr::Cast`] defines it.
pub fn cast<'c>(b: &Builder<'c>, a: Val<'c>, to: DType) -> Val<'c> {
    let from = a.dtype;
    let v = match (from, to) {
        _ if from == to => return a,
        (DType::Bool, _) if to.is_float() => b.unsigned_to_float(a.v, register(to)),
        (DType::Bool, _) => b.zext(a.v, register(to)),
        (_, DType::Bool) => b.cmp(Cmp::Ne, a.v, b.number(a.v.ty, 0.0)),
        _ if from.is_float() && to.is_int() => b.to_int_saturating(a.v, register(to)),
        (_, DType::Bf16 | DType::F16) if from.is_int() || from == DType::F64 => {
            return narrow(b, a.v, to);
        }
        _ if from.is_float() && to.is_float() && register(from) == register(to) => {
            return round(b, a.v, to);
        }
        _ => b.convert(a.v, register(to)),
    };
    Val { v, dtype: to }
}

/// From f64 or an integer to a 16-bit float with one rounding in effect: the step to f32 rounds to odd
/// (the last bit is set if anything was lost), after which rounding again is as good as rounding once
/// (Boldo and Melquiond 2008).
fn narrow<'c>(b: &Builder<'c>, v: V<'c>, to: DType) -> Val<'c> {
    let wide = match v.ty.scalar {
        Scalar::F64 => v,
        // An i64 beyond 2⁵³ may round here, but then to a number that no 16-bit float is near a
        // midpoint of, unless bits below 2⁻⁵³ of it decide: those are kept by the sticky bit.
        Scalar::I64 => int_to_f64_odd(b, v),
        _ => b.convert(v, Scalar::F64),
    };
    let near = b.convert(wide, Scalar::F32);
    let back = b.convert(near, Scalar::F64);
    let exact = b.cmp(Cmp::Eq, back, wide);
    let unordered = b.is_nan(wide);
    let keep = b.or(exact, unordered);
    // Towards zero, then sticky.
    let magnitude = |x: V<'c>| b.intrinsic("llvm.intr.fabs", x);
    let over = b.cmp(Cmp::Gt, magnitude(back), magnitude(wide));
    let bits = b.bitcast(near, Scalar::I32);
    let one = b.int(bits.ty, 1);
    let toward_zero = b.select(over, b.sub(bits, one), bits);
    let odd = b.or(toward_zero, one);
    let bits = b.select(keep, bits, odd);
    round(b, b.bitcast(bits, Scalar::F32), to)
}

fn int_to_f64_odd<'c>(b: &Builder<'c>, v: V<'c>) -> V<'c> {
    // The low 11 bits cannot all be kept: fold them into one sticky bit, where the number is large.
    let low = b.and(v, b.int(v.ty, 0x7FF));
    let sticky = b.zext(b.cmp(Cmp::Ne, low, b.int(v.ty, 0)), Scalar::I64);
    let folded = b.or(b.and(v, b.int(v.ty, !0x7FF)), b.shl(sticky, 10));
    let limit = 1i64 << 52;
    let small =
        b.and(b.cmp(Cmp::Lt, v, b.int(v.ty, limit)), b.cmp(Cmp::Gt, v, b.int(v.ty, -limit)));
    b.convert(b.select(small, v, folded), Scalar::F64)
}
