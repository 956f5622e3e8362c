//! Blocks of matrix products in scratch memory: packed operands, and a micro-kernel that holds its part of the result
//! in registers. Kernels that compute a product block by block, to use it at once, are made of these.

mod bounds;
mod micro;
mod pack;

pub use bounds::{Bounds, Conditions, Rows};
pub use micro::{Call, Micro};
pub use pack::{Operand, lanewise};

use super::value::register;
use crate::build::{Builder, Scalar, Ty, V};
use crate::cpu::level::Level;
use einmesh_ir::DType;

/// The loop over the depth of a micro-kernel is unrolled so often.
pub const UNROLL: u64 = 4;

/// The vectors that blocks are computed with.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Vectors {
    /// The type of products and sums.
    pub dtype: DType,
    /// Its registers.
    pub scalar: Scalar,
    /// Lanes of a vector.
    pub lanes: u64,
}

impl Vectors {
    /// A level's vectors of a dtype.
    pub fn of(dtype: DType, level: Level) -> Vectors {
        let scalar = register(dtype);
        Vectors { dtype, scalar, lanes: u64::from(level.lanes(scalar)) }
    }

    /// The vector type.
    pub fn ty(&self) -> Ty {
        Ty::vector(self.scalar, self.lanes as u32)
    }
}

/// The least multiple of `unit` that is not smaller.
pub fn round_up<'c>(b: &Builder<'c>, value: V<'c>, unit: u64) -> V<'c> {
    let unit = b.index(unit as i64);
    b.mul(b.udiv(b.add(value, b.sub(unit, b.index(1))), unit), unit)
}

/// The largest multiple of `unit` that is not larger.
pub fn round_down<'c>(b: &Builder<'c>, value: V<'c>, unit: u64) -> V<'c> {
    let unit = b.index(unit as i64);
    b.mul(b.udiv(value, unit), unit)
}
