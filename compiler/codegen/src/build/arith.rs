//! Arithmetic, comparisons, conversions and lane movement.

use super::{Builder, Scalar, Ty, V};
use melior::ir::attribute::{IntegerAttribute, StringAttribute};
use melior::ir::r#type::IntegerType;
use melior::ir::{Attribute, attribute::DenseI32ArrayAttribute};

/// How two numbers compare; integers are signed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs)]
pub enum Cmp {
    Eq,
    Ne,
    Lt,
    Le,
    Gt,
    Ge,
    /// Either is NaN.
    Unordered,
    /// Less, as unsigned integers.
    Below,
}

impl<'c> Builder<'c> {
    /// Both operands with the lanes of the wider one.
    pub fn unify(&self, a: V<'c>, b: V<'c>) -> (V<'c>, V<'c>) {
        match (a.ty.lanes, b.ty.lanes) {
            (None, Some(lanes)) => (self.broadcast(a, lanes), b),
            (Some(lanes), None) => (a, self.broadcast(b, lanes)),
            _ => (a, b),
        }
    }

    /// A scalar in every lane; a vector is returned as it is.
    pub fn broadcast(&self, a: V<'c>, lanes: u32) -> V<'c> {
        match a.ty.lanes {
            Some(_) => a,
            None => {
                let ty = Ty::vector(a.ty.scalar, lanes);
                let nothing = self.op("llvm.mlir.poison", &[], ty);
                let first = self.op("llvm.insertelement", &[nothing, a, self.index(0)], ty);
                self.shuffle(first, nothing, &vec![0; lanes as usize])
            }
        }
    }

    /// `a` with the lanes of `ty`, if that is a vector.
    pub fn like(&self, a: V<'c>, ty: Ty) -> V<'c> {
        match ty.lanes {
            Some(lanes) => self.broadcast(a, lanes),
            None => a,
        }
    }

    fn same(&self, float: &str, int: &str, a: V<'c>, b: V<'c>) -> V<'c> {
        let (a, b) = self.unify(a, b);
        debug_assert_eq!(a.ty, b.ty, "{float} / {int}");
        let name = if a.ty.scalar.is_float() { float } else { int };
        self.op(name, &[a, b], a.ty)
    }

    /// The sum.
    pub fn add(&self, a: V<'c>, b: V<'c>) -> V<'c> {
        self.same("llvm.fadd", "llvm.add", a, b)
    }

    /// The difference.
    pub fn sub(&self, a: V<'c>, b: V<'c>) -> V<'c> {
        self.same("llvm.fsub", "llvm.sub", a, b)
    }

    /// The product.
    pub fn mul(&self, a: V<'c>, b: V<'c>) -> V<'c> {
        self.same("llvm.fmul", "llvm.mul", a, b)
    }

    /// The quotient of floats, or of signed integers (rounded to zero; the divisor must not be 0, nor
    /// may the quotient overflow).
    pub fn div(&self, a: V<'c>, b: V<'c>) -> V<'c> {
        self.same("llvm.fdiv", "llvm.sdiv", a, b)
    }

    /// The remainder of non-negative integers by a positive one.
    pub fn urem(&self, a: V<'c>, b: V<'c>) -> V<'c> {
        self.same("llvm.frem", "llvm.urem", a, b)
    }

    /// The quotient of non-negative integers by a positive one.
    pub fn udiv(&self, a: V<'c>, b: V<'c>) -> V<'c> {
        self.same("llvm.fdiv", "llvm.udiv", a, b)
    }

    /// The remainder of signed integers with the dividend's sign.
    pub fn srem(&self, a: V<'c>, b: V<'c>) -> V<'c> {
        self.same("llvm.frem", "llvm.srem", a, b)
    }

    /// The smaller of two signed integers.
    pub fn smin(&self, a: V<'c>, b: V<'c>) -> V<'c> {
        self.same("llvm.intr.minnum", "llvm.intr.smin", a, b)
    }

    /// The larger of two signed integers.
    pub fn smax(&self, a: V<'c>, b: V<'c>) -> V<'c> {
        self.same("llvm.intr.maxnum", "llvm.intr.smax", a, b)
    }

    /// Bitwise and.
    pub fn and(&self, a: V<'c>, b: V<'c>) -> V<'c> {
        self.same("", "llvm.and", a, b)
    }

    /// Bitwise or.
    pub fn or(&self, a: V<'c>, b: V<'c>) -> V<'c> {
        self.same("", "llvm.or", a, b)
    }

    /// Bitwise exclusive or.
    pub fn xor(&self, a: V<'c>, b: V<'c>) -> V<'c> {
        self.same("", "llvm.xor", a, b)
    }

    /// Shift to the left.
    pub fn shl(&self, a: V<'c>, bits: i64) -> V<'c> {
        self.same("", "llvm.shl", a, self.int(a.ty, bits))
    }

    /// Shift to the right that fills with zeros.
    pub fn shr(&self, a: V<'c>, bits: i64) -> V<'c> {
        self.same("", "llvm.lshr", a, self.int(a.ty, bits))
    }

    /// Shift to the right that repeats the sign.
    pub fn sar(&self, a: V<'c>, bits: i64) -> V<'c> {
        self.same("", "llvm.ashr", a, self.int(a.ty, bits))
    }

    /// Shift to the left by as many bits as each lane says, fewer than there are.
    pub fn shl_by(&self, a: V<'c>, bits: V<'c>) -> V<'c> {
        self.same("", "llvm.shl", a, bits)
    }

    /// Shift to the right by as many bits as each lane says, fewer than there are; fills with zeros.
    pub fn shr_by(&self, a: V<'c>, bits: V<'c>) -> V<'c> {
        self.same("", "llvm.lshr", a, bits)
    }

    /// Whether a truth value holds in any lane.
    pub fn any(&self, a: V<'c>) -> V<'c> {
        match a.ty.lanes {
            Some(_) => self.call_intrinsic("llvm.vector.reduce.or", &[a], Ty::scalar(Scalar::I1)),
            None => a,
        }
    }

    /// Logical negation of truth values.
    pub fn not(&self, a: V<'c>) -> V<'c> {
        self.xor(a, self.int(a.ty, 1))
    }

    /// The negation.
    pub fn neg(&self, a: V<'c>) -> V<'c> {
        match a.ty.scalar.is_float() {
            true => self.op("llvm.fneg", &[a], a.ty),
            false => self.sub(self.int(a.ty, 0), a),
        }
    }

    /// `a · b + c` of floats, rounded once.
    pub fn fma(&self, a: V<'c>, b: V<'c>, c: V<'c>) -> V<'c> {
        let (a, b) = self.unify(a, b);
        let (a, c) = self.unify(a, c);
        let b = self.like(b, a.ty);
        self.op("llvm.intr.fma", &[a, b, c], a.ty)
    }

    /// An intrinsic of LLVM with one operand and a result of the same type: `llvm.intr.fabs` ….
    pub fn intrinsic(&self, name: &str, a: V<'c>) -> V<'c> {
        self.op(name, &[a], a.ty)
    }

    /// An intrinsic of LLVM by its own name, overloaded on the result.
    pub fn call_intrinsic(&self, name: &str, operands: &[V<'c>], result: Ty) -> V<'c> {
        self.intrinsic_call(name, operands, &[result])[0]
    }

    /// As [`Builder::call_intrinsic`], of one without a result.
    pub fn run_intrinsic(&self, name: &str, operands: &[V<'c>]) {
        self.intrinsic_call(name, operands, &[]);
    }

    fn intrinsic_call(&self, name: &str, operands: &[V<'c>], results: &[Ty]) -> Vec<V<'c>> {
        let count = operands.len();
        let segments = self.attribute(&format!("array<i32: {count}, 0>"));
        let bundles = self.attribute("array<i32>");
        let name = StringAttribute::new(self.context, name).into();
        let attributes =
            [("intrin", name), ("operandSegmentSizes", segments), ("op_bundle_sizes", bundles)];
        self.append("llvm.call_intrinsic", operands, results, &attributes, vec![])
    }

    /// A comparison: true or false in each lane.
    pub fn cmp(&self, how: Cmp, a: V<'c>, b: V<'c>) -> V<'c> {
        let (a, b) = self.unify(a, b);
        debug_assert_eq!(a.ty, b.ty);
        // The numbers of LLVM's predicates.
        let (name, predicate) = match a.ty.scalar.is_float() {
            true => {
                let predicate = match how {
                    Cmp::Eq => 1,
                    Cmp::Gt => 2,
                    Cmp::Ge => 3,
                    Cmp::Lt | Cmp::Below => 4,
                    Cmp::Le => 5,
                    Cmp::Ne => 13,
                    Cmp::Unordered => 14,
                };
                ("llvm.fcmp", predicate)
            }
            false => {
                let predicate = match how {
                    Cmp::Eq => 0,
                    Cmp::Ne => 1,
                    Cmp::Lt => 2,
                    Cmp::Le => 3,
                    Cmp::Gt => 4,
                    Cmp::Ge => 5,
                    Cmp::Below => 6,
                    Cmp::Unordered => unreachable!("integers are ordered"),
                };
                ("llvm.icmp", predicate)
            }
        };
        let i64_type = IntegerType::new(self.context, 64).into();
        let predicate: Attribute<'c> = IntegerAttribute::new(i64_type, predicate).into();
        self.op_with(name, &[a, b], a.ty.with(Scalar::I1), &[("predicate", predicate)])
    }

    /// Whether a float is NaN.
    pub fn is_nan(&self, a: V<'c>) -> V<'c> {
        self.cmp(Cmp::Unordered, a, a)
    }

    /// `then` where `condition` holds, `otherwise` elsewhere.
    pub fn select(&self, condition: V<'c>, then: V<'c>, otherwise: V<'c>) -> V<'c> {
        let (then, otherwise) = self.unify(then, otherwise);
        let (condition, then) = match condition.ty.lanes {
            Some(lanes) => (condition, self.broadcast(then, lanes)),
            None => (condition, then),
        };
        let otherwise = self.like(otherwise, then.ty);
        self.op("llvm.select", &[condition, then, otherwise], then.ty)
    }

    /// The same bits as another type of the same size.
    pub fn bitcast(&self, a: V<'c>, scalar: Scalar) -> V<'c> {
        self.op("llvm.bitcast", &[a], a.ty.with(scalar))
    }

    /// The same bits as a vector of other, narrower or wider lanes.
    pub fn regroup(&self, a: V<'c>, ty: Ty) -> V<'c> {
        self.op("llvm.bitcast", &[a], ty)
    }

    /// Conversion of numbers: integers sign-extend or wrap, floats round to nearest even, integers
    /// convert to floats as signed. (Float to integer is [`Builder::to_int_saturating`].)
    pub fn convert(&self, a: V<'c>, to: Scalar) -> V<'c> {
        let from = a.ty.scalar;
        let name = match (from.is_float(), to.is_float()) {
            _ if from == to => return a,
            (true, true) if from.bytes() < to.bytes() => "llvm.fpext",
            (true, true) => "llvm.fptrunc",
            (false, true) => "llvm.sitofp",
            (false, false) if from.bits() < to.bits() => "llvm.sext",
            (false, false) => "llvm.trunc",
            (true, false) => unreachable!("floats become integers by to_int_saturating"),
        };
        self.op(name, &[a], a.ty.with(to))
    }

    /// An integer extended with zeros.
    pub fn zext(&self, a: V<'c>, to: Scalar) -> V<'c> {
        match a.ty.scalar == to {
            true => a,
            false => self.op("llvm.zext", &[a], a.ty.with(to)),
        }
    }

    /// A float truncated to an integer; what is out of range saturates, NaN gives 0.
    pub fn to_int_saturating(&self, a: V<'c>, to: Scalar) -> V<'c> {
        self.call_intrinsic("llvm.fptosi.sat", &[a], a.ty.with(to))
    }

    /// The float truncated to an integer; it must be in range.
    pub fn to_int(&self, a: V<'c>, to: Scalar) -> V<'c> {
        self.op("llvm.fptosi", &[a], a.ty.with(to))
    }

    /// The unsigned integer as a float.
    pub fn unsigned_to_float(&self, a: V<'c>, to: Scalar) -> V<'c> {
        self.op("llvm.uitofp", &[a], a.ty.with(to))
    }

    /// Lanes chosen from two vectors of one type; `lanes[i] ≥ n` chooses from `b`.
    pub fn shuffle(&self, a: V<'c>, b: V<'c>, lanes: &[i64]) -> V<'c> {
        let chosen: Vec<i32> = lanes.iter().map(|lane| *lane as i32).collect();
        let mask = DenseI32ArrayAttribute::new(self.context, &chosen).into();
        let ty = Ty::vector(a.ty.scalar, lanes.len() as u32);
        self.op_with("llvm.shufflevector", &[a, b], ty, &[("mask", mask)])
    }

    /// One lane of a vector.
    pub fn extract(&self, a: V<'c>, lane: u32) -> V<'c> {
        let position = self.index(i64::from(lane));
        self.op("llvm.extractelement", &[a, position], Ty::scalar(a.ty.scalar))
    }
}
