//! Evaluation of the IR's expressions, for one point or for a point per lane.

use super::env::{Env, Source};
use super::math;
use super::value::{Val, cast, literal, register, round};
use crate::build::{Cmp, Scalar, Ty, V};
use einmesh_ir::{BinaryOp, Bounds, DType, Expr, Literal, Load, UnaryOp, rng};

impl<'c> Env<'c, '_> {
    /// The number that an expression has here.
    pub fn eval(&self, expr: &Expr) -> Val<'c> {
        if let Some((_, value)) = self.known.iter().find(|(e, _)| std::ptr::eq(*e, expr)) {
            return *value;
        }
        let b = self.b;
        match expr {
            Expr::Literal(number) => literal(b, *number),
            Expr::Index(index) => i32_value(self.position_i32(*index)),
            Expr::LoopVar(var) => i32_value(b.convert(self.ints[var.0 as usize], Scalar::I32)),
            // Kernels get coordinates as launch numbers.
            Expr::Coord(_) => i32_value(b.int(Ty::scalar(Scalar::I32), 0)),
            Expr::Load(load) => self.load(load),
            Expr::Unary(op, a) => self.unary(*op, self.eval(a)),
            Expr::Binary(BinaryOp::Pow, x, y) => {
                let base = self.eval(x);
                match simple_exponent(y).and_then(|y| math::simple_pow(b, base.v, y)) {
                    Some(power) => round(b, power, base.dtype),
                    None => self.binary(BinaryOp::Pow, base, self.eval(y)),
                }
            }
            Expr::Binary(op, x, y) => self.binary(*op, self.eval(x), self.eval(y)),
            Expr::Select(condition, then, otherwise) => {
                let condition = self.eval(condition);
                let (then, otherwise) = (self.eval(then), self.eval(otherwise));
                let (x, y) = b.unify(then.v, otherwise.v);
                Val { v: b.select(condition.v, x, y), dtype: then.dtype }
            }
            Expr::Cast(to, a) => cast(b, self.eval(a), *to),
        }
    }

    /// The value of an integer expression as i64.
    pub fn eval_i64(&self, expr: &Expr) -> V<'c> {
        let value = self.eval(expr);
        match value.dtype {
            DType::Bool => self.b.zext(value.v, Scalar::I64),
            _ => self.b.convert(value.v, Scalar::I64),
        }
    }

    /// A function of one number.
    pub fn unary(&self, op: UnaryOp, a: Val<'c>) -> Val<'c> {
        let b = self.b;
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
    pub fn binary(&self, op: BinaryOp, x: Val<'c>, y: Val<'c>) -> Val<'c> {
        use BinaryOp::*;
        let b = self.b;
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
            Fold => self.fold(u, v),
            Uniform => {
                let v = self.uniform(u, v);
                let dtype = DType::F32;
                return Val { v, dtype };
            }
        };
        match op {
            Min | Max => Val { v: result, dtype },
            _ => round(b, result, dtype),
        }
    }

    fn mix(&self, z: V<'c>) -> V<'c> {
        let b = self.b;
        let round = |z: V<'c>, shift: i64, factor: u64| {
            let mixed = b.xor(z, b.shr(z, shift));
            b.mul(mixed, b.int(z.ty, factor as i64))
        };
        let z = round(round(z, 30, rng::MIX_1), 27, rng::MIX_2);
        b.xor(z, b.shr(z, 31))
    }

    /// [`rng::fold`].
    fn fold(&self, key: V<'c>, x: V<'c>) -> V<'c> {
        let b = self.b;
        let step = b.int(key.ty, rng::STEP as i64);
        self.mix(b.add(self.mix(b.add(key, step)), b.mul(x, step)))
    }

    /// [`rng::uniform`].
    fn uniform(&self, key: V<'c>, position: V<'c>) -> V<'c> {
        let b = self.b;
        let counter = b.mul(position, b.int(position.ty, rng::STEP as i64));
        let key = self.mix(b.xor(key, b.int(key.ty, rng::DRAW as i64)));
        let bits = b.shr(self.mix(b.add(key, counter)), 40);
        let small = b.convert(b.convert(bits, Scalar::I32), Scalar::F32);
        b.mul(small, b.float(small.ty, 1.0 / 16_777_216.0))
    }

    /// Evaluates the largest parts of `expr` that mention none of `inner`, and remembers them. Done before
    /// a loop over `inner`, it moves them out of the loop. Nothing that reads `written` is moved, and nothing that
    /// is in range only where a guard holds (`guarded`): outside of the loop that is not known yet.
    pub fn hoist(
        &mut self,
        expr: &Expr,
        inner: &[einmesh_ir::IndexId],
        written: einmesh_ir::ValueId,
        guarded: bool,
    ) {
        let trivial =
            matches!(expr, Expr::Literal(_) | Expr::Index(_) | Expr::LoopVar(_) | Expr::Coord(_));
        if trivial || self.known.iter().any(|(e, _)| std::ptr::eq(*e, expr)) {
            return;
        }
        let moves = !inner.iter().any(|i| expr.mentions(*i))
            && !expr.loads().iter().any(|l| l.value == written)
            && (!guarded || self.reads_in_range(expr));
        if moves {
            let value = self.eval(expr);
            self.known.push((expr, value));
            return;
        }
        for child in expr.children() {
            self.hoist(child, inner, written, guarded);
        }
    }

    /// Whether an expression can be evaluated at every point of the kernel's indices, whatever guards say.
    pub fn reads_in_range(&self, expr: &Expr) -> bool {
        expr.loads().iter().all(|load| self.is_in_range(load))
    }

    fn is_in_range(&self, load: &Load) -> bool {
        let Source::Memory { extents, .. } = &self.sources[load.value.0 as usize] else {
            return true;
        };
        let fits = |sub: &Expr, extent: u64| match sub {
            // Counters and coordinates are the same at all points.
            Expr::Literal(_) | Expr::LoopVar(_) | Expr::Coord(_) => true,
            sub => self.affine(sub).and_then(|form| self.range(&form)).is_some_and(|range| {
                *range.start() >= 0 && u64::try_from(*range.end()).is_ok_and(|end| end < extent)
            }),
        };
        load.bounds != Bounds::Proven
            || load.subs.iter().zip(extents).all(|(sub, extent)| fits(sub, *extent))
    }
}

/// The exponent, if it is a constant float.
fn simple_exponent(exponent: &Expr) -> Option<f64> {
    match exponent {
        Expr::Literal(Literal::Float(_, value)) => Some(*value),
        _ => None,
    }
}

fn i32_value(v: V<'_>) -> Val<'_> {
    Val { v, dtype: DType::I32 }
}

/// The zero of a dtype.
pub fn zero<'c>(b: &crate::build::Builder<'c>, dtype: DType) -> Val<'c> {
    let v = b.number(Ty::scalar(register(dtype)), 0.0);
    Val { v, dtype }
}
