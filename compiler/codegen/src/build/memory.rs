//! Addresses, loads and stores.

use super::{Builder, Scalar, Ty, V};
use melior::ir::Attribute;
use melior::ir::attribute::{DenseI32ArrayAttribute, IntegerAttribute, TypeAttribute};
use melior::ir::r#type::IntegerType;

impl<'c> Builder<'c> {
    /// The address `offset` elements of type `element` after `base`; a vector of offsets gives a
    /// vector of addresses.
    pub fn address(&self, base: V<'c>, element: Scalar, offset: V<'c>) -> V<'c> {
        // Truth values are bytes in memory, as far as addresses are concerned.
        let element = match element {
            Scalar::I1 => Scalar::I8,
            other => other,
        };
        let dynamic = DenseI32ArrayAttribute::new(self.context, &[i32::MIN]).into();
        let ty = TypeAttribute::new(self.mlir(Ty::scalar(element))).into();
        self.op_with(
            "llvm.getelementptr",
            &[base, offset],
            offset.ty.with(Scalar::Ptr),
            &[("rawConstantIndices", dynamic), ("elem_type", ty)],
        )
    }

    /// The address a constant number of bytes after `base`.
    pub fn byte_offset(&self, base: V<'c>, bytes: i64) -> V<'c> {
        match bytes {
            0 => base,
            _ => self.address(base, Scalar::I8, self.index(bytes)),
        }
    }

    fn alignment(&self, scalar: Scalar) -> Attribute<'c> {
        let i64_type = IntegerType::new(self.context, 64).into();
        IntegerAttribute::new(i64_type, scalar.bytes() as i64).into()
    }

    /// Reads a scalar, or consecutive scalars as a vector.
    pub fn load(&self, ty: Ty, address: V<'c>) -> V<'c> {
        let alignment = self.alignment(ty.scalar);
        self.op_with("llvm.load", &[address], ty, &[("alignment", alignment)])
    }

    /// Writes a scalar, or a vector as consecutive scalars.
    pub fn store(&self, value: V<'c>, address: V<'c>) {
        let alignment = self.alignment(value.ty.scalar);
        let attributes = [("alignment", alignment)];
        self.append("llvm.store", &[value, address], &[], &attributes, vec![]);
    }

    /// Reads consecutive scalars where `mask` holds; the other lanes are 0 and not read.
    pub fn masked_load(&self, ty: Ty, address: V<'c>, mask: V<'c>) -> V<'c> {
        let zero = self.number(ty, 0.0);
        let alignment = self.i32_attribute(ty.scalar.bytes() as i64);
        let operands = [address, mask, zero];
        let attributes = [("alignment", alignment)];
        self.op_with("llvm.intr.masked.load", &operands, ty, &attributes)
    }

    /// Writes the lanes where `mask` holds to consecutive places.
    pub fn masked_store(&self, value: V<'c>, address: V<'c>, mask: V<'c>) {
        let alignment = self.i32_attribute(value.ty.scalar.bytes() as i64);
        let operands = [value, address, mask];
        let attributes = [("alignment", alignment)];
        self.append("llvm.intr.masked.store", &operands, &[], &attributes, vec![]);
    }

    /// Asks for a line of memory that will be read soon. The address may be anything.
    pub fn prefetch(&self, address: V<'c>) {
        // For reading, to be kept in all caches, data.
        let attributes = [("rw", 0), ("hint", 3), ("cache", 1)];
        let attributes = attributes.map(|(name, value)| (name, self.i32_attribute(value)));
        self.append("llvm.intr.prefetch", &[address], &[], &attributes, vec![]);
    }

    /// Reads each lane from its own address where `mask` holds; the other lanes are 0 and not read.
    pub fn gather(&self, ty: Ty, addresses: V<'c>, mask: V<'c>) -> V<'c> {
        let zero = self.number(ty, 0.0);
        let alignment = self.i32_attribute(ty.scalar.bytes() as i64);
        let operands = [addresses, mask, zero];
        let attributes = [("alignment", alignment)];
        self.op_with("llvm.intr.masked.gather", &operands, ty, &attributes)
    }

    /// Writes each lane where `mask` holds to its own address, in the order of lanes.
    pub fn scatter(&self, value: V<'c>, addresses: V<'c>, mask: V<'c>) {
        let alignment = self.i32_attribute(value.ty.scalar.bytes() as i64);
        let operands = [value, addresses, mask];
        let attributes = [("alignment", alignment)];
        self.append("llvm.intr.masked.scatter", &operands, &[], &attributes, vec![]);
    }
}
