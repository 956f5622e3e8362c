//! A thin layer over melior's operation builder: values that know their type, and one method per
//! instruction that kernels are made of.
//!
//! Everything is built in MLIR's LLVM dialect, loops and branches as blocks, so that a module is translated as it
//! is: conversions from higher dialects took a sixth of the time of code generation. What is structured here
//! are this side's methods (`control.rs`).
//!
//! Arithmetic works on scalars and vectors alike; a scalar that meets a vector is broadcast. Types
//! are tracked on this side ([`Ty`]), so that no query crosses into MLIR while building.

mod arith;
mod control;
mod memory;

pub use arith::Cmp;

use melior::Context;
use melior::ir::attribute::{FloatAttribute, IntegerAttribute};
use melior::ir::operation::{OperationBuilder, OperationRef};
use melior::ir::r#type::IntegerType;
use melior::ir::{
    Attribute, AttributeLike, Block, BlockLike, BlockRef, Identifier, Location, Module, Region,
    Type, TypeLike, Value,
};
use std::cell::Cell;

/// The type of one lane.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs)]
pub enum Scalar {
    F64,
    F32,
    F16,
    Bf16,
    I64,
    I32,
    I16,
    I8,
    I1,
    Ptr,
}

/// A machine type: a scalar, or a vector of `lanes` scalars.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Ty {
    /// The type of one lane.
    pub scalar: Scalar,
    /// The number of lanes; `None` for a scalar.
    pub lanes: Option<u32>,
}

/// A value in the function being built.
#[derive(Clone, Copy)]
pub struct V<'c> {
    raw: Value<'c, 'c>,
    /// Its type.
    pub ty: Ty,
}

/// Appends operations to a block of a module.
pub struct Builder<'c> {
    context: &'c Context,
    location: Location<'c>,
    module: BlockRef<'c, 'c>,
    block: Cell<BlockRef<'c, 'c>>,
    operations: Cell<usize>,
}

impl Scalar {
    /// Bytes in memory.
    pub fn bytes(self) -> u64 {
        match self {
            Scalar::F64 | Scalar::I64 | Scalar::Ptr => 8,
            Scalar::F32 | Scalar::I32 => 4,
            Scalar::F16 | Scalar::Bf16 | Scalar::I16 => 2,
            Scalar::I8 | Scalar::I1 => 1,
        }
    }

    /// Bits of the number.
    pub fn bits(self) -> u32 {
        match self {
            Scalar::I1 => 1,
            other => other.bytes() as u32 * 8,
        }
    }

    /// Whether it is a floating-point number.
    pub fn is_float(self) -> bool {
        matches!(self, Scalar::F64 | Scalar::F32 | Scalar::F16 | Scalar::Bf16)
    }
}

impl Ty {
    /// A scalar.
    pub const fn scalar(scalar: Scalar) -> Ty {
        Ty { scalar, lanes: None }
    }

    /// A vector.
    pub const fn vector(scalar: Scalar, lanes: u32) -> Ty {
        Ty { scalar, lanes: Some(lanes) }
    }

    /// The same shape with other lanes.
    pub fn with(self, scalar: Scalar) -> Ty {
        Ty { scalar, ..self }
    }

    /// The address type.
    pub const PTR: Ty = Ty::scalar(Scalar::Ptr);
    /// The type of counters and offsets.
    pub const I64: Ty = Ty::scalar(Scalar::I64);
}

impl<'c> Builder<'c> {
    /// A builder that appends to `module`.
    ///
    /// The module must not be changed by anything else while values of this builder are in use.
    pub fn new(context: &'c Context, module: &Module<'c>) -> Builder<'c> {
        // SAFETY: the block belongs to the module, which outlives the builder (its user keeps both in
        // one scope) and from which no operation is erased while building.
        let body = unsafe { BlockRef::from_raw(module.body().to_raw()) };
        Builder {
            context,
            location: Location::unknown(context),
            module: body,
            block: Cell::new(body),
            operations: Cell::new(0),
        }
    }

    /// How many operations have been appended.
    pub fn operations(&self) -> usize {
        self.operations.get()
    }

    /// The MLIR type.
    fn mlir(&self, ty: Ty) -> Type<'c> {
        let integer = |bits| IntegerType::new(self.context, bits).into();
        let scalar = match ty.scalar {
            Scalar::F64 => Type::float64(self.context),
            Scalar::F32 => Type::float32(self.context),
            Scalar::F16 => Type::float16(self.context),
            Scalar::Bf16 => Type::bfloat16(self.context),
            Scalar::I64 => integer(64),
            Scalar::I32 => integer(32),
            Scalar::I16 => integer(16),
            Scalar::I8 => integer(8),
            Scalar::I1 => integer(1),
            Scalar::Ptr => melior::dialect::llvm::r#type::pointer(self.context, 0),
        };
        match ty.lanes {
            None => scalar,
            Some(lanes) => Type::vector(&[u64::from(lanes)], scalar),
        }
    }

    fn attribute(&self, text: &str) -> Attribute<'c> {
        Attribute::parse(self.context, text)
            .expect("the attribute's text is a constant of this crate")
    }

    fn name(&self, name: &str) -> Identifier<'c> {
        Identifier::new(self.context, name)
    }

    fn i32_attribute(&self, value: i64) -> Attribute<'c> {
        IntegerAttribute::new(IntegerType::new(self.context, 32).into(), value).into()
    }

    /// An operation to be completed and appended.
    fn operation(
        &self,
        name: &str,
        operands: &[V<'c>],
        attributes: &[(&str, Attribute<'c>)],
    ) -> OperationBuilder<'c> {
        let operands: Vec<Value<'c, 'c>> = operands.iter().map(|v| v.raw).collect();
        let attributes: Vec<_> = attributes.iter().map(|(n, a)| (self.name(n), *a)).collect();
        let operation = OperationBuilder::new(name, self.location);
        operation.add_operands(&operands).add_attributes(&attributes)
    }

    fn push(&self, operation: OperationBuilder<'c>) -> OperationRef<'c, 'c> {
        let operation = operation.build().expect("building without type inference cannot fail");
        self.operations.set(self.operations.get() + 1);
        self.block.get().append_operation(operation)
    }

    /// Ends the current block.
    fn end(
        &self,
        name: &str,
        operands: &[V<'c>],
        attributes: &[(&str, Attribute<'c>)],
        targets: &[BlockRef<'c, 'c>],
    ) {
        let targets: Vec<&Block<'c>> = targets.iter().map(|t| &**t).collect();
        self.push(self.operation(name, operands, attributes).add_successors(&targets));
    }

    /// Appends an operation with any number of results.
    fn append(
        &self,
        name: &str,
        operands: &[V<'c>],
        results: &[Ty],
        attributes: &[(&str, Attribute<'c>)],
        regions: Vec<Region<'c>>,
    ) -> Vec<V<'c>> {
        let types: Vec<Type<'c>> = results.iter().map(|t| self.mlir(*t)).collect();
        let operation = self.operation(name, operands, attributes);
        let operation = self.push(operation.add_results(&types).add_regions_vec(regions));
        let result = |(i, ty): (usize, &Ty)| {
            // SAFETY: the operation was created with this many results and stays in the module.
            let raw = unsafe {
                Value::from_raw(mlir_sys::mlirOperationGetResult(operation.to_raw(), i as isize))
            };
            V { raw, ty: *ty }
        };
        results.iter().enumerate().map(result).collect()
    }

    /// Appends an operation with one result.
    fn op(&self, name: &str, operands: &[V<'c>], result: Ty) -> V<'c> {
        self.append(name, operands, &[result], &[], vec![])[0]
    }

    fn op_with(
        &self,
        name: &str,
        operands: &[V<'c>],
        result: Ty,
        attributes: &[(&str, Attribute<'c>)],
    ) -> V<'c> {
        self.append(name, operands, &[result], attributes, vec![])[0]
    }

    /// A floating-point constant, the same in all lanes.
    pub fn float(&self, ty: Ty, value: f64) -> V<'c> {
        let scalar = self.mlir(Ty::scalar(ty.scalar));
        self.constant(ty, FloatAttribute::new(self.context, scalar, value).into())
    }

    /// An integer constant, the same in all lanes.
    pub fn int(&self, ty: Ty, value: i64) -> V<'c> {
        let scalar = self.mlir(Ty::scalar(ty.scalar));
        // Attributes of narrow types insist on values that fit.
        let value = match ty.scalar {
            Scalar::I1 => value & 1,
            Scalar::I8 => i64::from(value as i8),
            Scalar::I16 => i64::from(value as i16),
            Scalar::I32 => i64::from(value as i32),
            _ => value,
        };
        self.constant(ty, IntegerAttribute::new(scalar, value).into())
    }

    /// A number, as a float or an integer.
    pub fn number(&self, ty: Ty, value: f64) -> V<'c> {
        match ty.scalar.is_float() {
            true => self.float(ty, value),
            false => self.int(ty, value as i64),
        }
    }

    /// An offset or counter.
    pub fn index(&self, value: i64) -> V<'c> {
        self.int(Ty::I64, value)
    }

    fn constant(&self, ty: Ty, element: Attribute<'c>) -> V<'c> {
        use melior::ir::attribute::DenseElementsAttribute;
        let value = match ty.lanes {
            None => element,
            Some(_) => {
                // SAFETY: the type is a ranked, static shape and the element has its element type.
                let raw = unsafe {
                    mlir_sys::mlirDenseElementsAttrSplatGet(
                        self.mlir(ty).to_raw(),
                        element.to_raw(),
                    )
                };
                let splat: Attribute<'c> = unsafe { Attribute::from_raw(raw) };
                DenseElementsAttribute::try_from(splat).expect("a splat is dense").into()
            }
        };
        self.op_with("llvm.mlir.constant", &[], ty, &[("value", value)])
    }

    /// The lanes 0, 1, 2, ….
    pub fn step(&self, ty: Ty) -> V<'c> {
        let lanes = ty.lanes.expect("only vectors have lanes");
        let numbers: Vec<String> = (0..lanes).map(|i| i.to_string()).collect();
        let text =
            format!("dense<[{}]> : vector<{lanes}xi{}>", numbers.join(","), ty.scalar.bits());
        self.op_with("llvm.mlir.constant", &[], ty, &[("value", self.attribute(&text))])
    }
}
