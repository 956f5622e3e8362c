//! Element types of files.

use einmesh_artifact::DType;
use std::fmt;

/// The element types that checkpoints and arrays may have.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[allow(missing_docs)]
pub enum ElementType {
    F64,
    F32,
    Bf16,
    F16,
    I64,
    I32,
    I16,
    I8,
    U64,
    U32,
    U16,
    U8,
    Bool,
}

impl ElementType {
    /// All of them.
    pub const ALL: [ElementType; 13] = [
        ElementType::F64,
        ElementType::F32,
        ElementType::Bf16,
        ElementType::F16,
        ElementType::I64,
        ElementType::I32,
        ElementType::I16,
        ElementType::I8,
        ElementType::U64,
        ElementType::U32,
        ElementType::U16,
        ElementType::U8,
        ElementType::Bool,
    ];

    /// The type that a program's elements have in a file. A random key is its 64 bits.
    pub fn of(dtype: DType) -> ElementType {
        match dtype {
            DType::F64 => ElementType::F64,
            DType::F32 => ElementType::F32,
            DType::Bf16 => ElementType::Bf16,
            DType::F16 => ElementType::F16,
            DType::I64 => ElementType::I64,
            DType::I32 => ElementType::I32,
            DType::Bool => ElementType::Bool,
            DType::Rng => ElementType::U64,
        }
    }

    /// Bytes of one element.
    pub fn bytes(self) -> u64 {
        match self {
            ElementType::F64 | ElementType::I64 | ElementType::U64 => 8,
            ElementType::F32 | ElementType::I32 | ElementType::U32 => 4,
            ElementType::Bf16 | ElementType::F16 | ElementType::I16 | ElementType::U16 => 2,
            ElementType::I8 | ElementType::U8 | ElementType::Bool => 1,
        }
    }

    /// Whether elements are floating-point numbers.
    pub fn is_float(self) -> bool {
        matches!(self, ElementType::F64 | ElementType::F32 | ElementType::Bf16 | ElementType::F16)
    }

    /// The name in the language, or, for types the language lacks, in the same manner.
    pub fn name(self) -> &'static str {
        match self {
            ElementType::F64 => "f64",
            ElementType::F32 => "f32",
            ElementType::Bf16 => "bf16",
            ElementType::F16 => "f16",
            ElementType::I64 => "i64",
            ElementType::I32 => "i32",
            ElementType::I16 => "i16",
            ElementType::I8 => "i8",
            ElementType::U64 => "u64",
            ElementType::U32 => "u32",
            ElementType::U16 => "u16",
            ElementType::U8 => "u8",
            ElementType::Bool => "bool",
        }
    }

    /// The inverse of the upper-case names that safetensors uses.
    pub fn from_safetensors(name: &str) -> Option<ElementType> {
        ElementType::ALL.into_iter().find(|t| t.safetensors() == name)
    }

    /// The name in a safetensors header.
    pub fn safetensors(self) -> String {
        self.name().to_uppercase()
    }
}

impl fmt::Display for ElementType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
