//! Element types.

use std::fmt;

/// The type of one element.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum DType {
    /// IEEE binary64.
    F64,
    /// IEEE binary32.
    F32,
    /// bfloat16: the upper half of an [`DType::F32`].
    Bf16,
    /// IEEE binary16.
    F16,
    /// Signed 64-bit integer; arithmetic wraps.
    I64,
    /// Signed 32-bit integer; arithmetic wraps.
    I32,
    /// A truth value, one byte.
    Bool,
    /// The key of a counter-based random number generator, eight bytes.
    Key,
}

impl DType {
    /// All element types.
    pub const ALL: [DType; 8] = [
        DType::F64,
        DType::F32,
        DType::Bf16,
        DType::F16,
        DType::I64,
        DType::I32,
        DType::Bool,
        DType::Key,
    ];

    /// Bytes of one element in memory.
    pub fn bytes(self) -> u64 {
        match self {
            DType::F64 | DType::I64 | DType::Key => 8,
            DType::F32 | DType::I32 => 4,
            DType::Bf16 | DType::F16 => 2,
            DType::Bool => 1,
        }
    }

    /// Whether elements are floating-point numbers.
    pub fn is_float(self) -> bool {
        matches!(self, DType::F64 | DType::F32 | DType::Bf16 | DType::F16)
    }

    /// Whether elements are integers.
    pub fn is_int(self) -> bool {
        matches!(self, DType::I64 | DType::I32)
    }

    /// The type in which sums of this type are accumulated: at least f32 for floats.
    pub fn accumulator(self) -> DType {
        match self {
            DType::Bf16 | DType::F16 => DType::F32,
            other => other,
        }
    }

    /// The name used in source and text form.
    pub fn name(self) -> &'static str {
        match self {
            DType::F64 => "f64",
            DType::F32 => "f32",
            DType::Bf16 => "bf16",
            DType::F16 => "f16",
            DType::I64 => "i64",
            DType::I32 => "i32",
            DType::Bool => "bool",
            DType::Key => "rng",
        }
    }

    /// The inverse of [`DType::name`].
    pub fn from_name(name: &str) -> Option<DType> {
        DType::ALL.into_iter().find(|d| d.name() == name)
    }
}

impl fmt::Display for DType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
