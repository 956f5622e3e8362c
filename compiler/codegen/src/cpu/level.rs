//! The CPU levels and what code generation chooses by them.

use super::dot::Form;
use crate::build::Scalar;
use crate::pipeline::Machine;

/// A named set of x86-64 features that code is generated for; the runtime picks by CPUID.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Level {
    /// AVX2, FMA, F16C.
    X86_64V3,
    /// AVX-512 F, BW, CD, DQ, VL.
    X86_64V4,
    /// The above with AVX-512 BF16: dot products of pairs, and rounding to bf16.
    X86_64V4Bf16,
    /// The above with AMX tiles of bf16.
    X86_64V4Amx,
}

impl Level {
    /// All levels, most demanding first.
    pub const ALL: [Level; 4] =
        [Level::X86_64V4Amx, Level::X86_64V4Bf16, Level::X86_64V4, Level::X86_64V3];

    /// The level that this one adds something to that only some kernels profit from.
    pub fn base(self) -> Option<Level> {
        match self {
            Level::X86_64V4Amx => Some(Level::X86_64V4Bf16),
            Level::X86_64V4Bf16 => Some(Level::X86_64V4),
            Level::X86_64V4 | Level::X86_64V3 => None,
        }
    }

    /// The level and those that it adds something to: what an image of it is made of.
    pub fn chain(self) -> Vec<Level> {
        std::iter::successors(Some(self), |level| level.base()).collect()
    }

    /// The name in the artifact.
    pub fn name(self) -> &'static str {
        match self {
            Level::X86_64V3 => "x86-64-v3",
            Level::X86_64V4 => "x86-64-v4",
            Level::X86_64V4Bf16 => "x86-64-v4-bf16",
            Level::X86_64V4Amx => "x86-64-v4-amx",
        }
    }

    /// What LLVM is told. LLVM's tuning for v4 avoids 512-bit registers, which the kernels are made for.
    pub fn machine(self) -> Machine {
        match self {
            Level::X86_64V3 => Machine { cpu: c"x86-64-v3", features: c"" },
            Level::X86_64V4 => Machine { cpu: c"x86-64-v4", features: c"-prefer-256-bit" },
            Level::X86_64V4Bf16 => {
                Machine { cpu: c"x86-64-v4", features: c"-prefer-256-bit,+avx512bf16" }
            }
            Level::X86_64V4Amx => Machine {
                cpu: c"x86-64-v4",
                features: c"-prefer-256-bit,+avx512bf16,+amx-tile,+amx-bf16",
            },
        }
    }

    /// What the level has for products of bf16.
    pub fn products(self) -> Option<Form> {
        match self {
            Level::X86_64V4Amx => Some(Form::Tiles),
            Level::X86_64V4Bf16 => Some(Form::Dots),
            Level::X86_64V4 | Level::X86_64V3 => None,
        }
    }

    /// Bytes of a vector register.
    pub fn vector_bytes(self) -> u32 {
        match self {
            Level::X86_64V3 => 32,
            _ => 64,
        }
    }

    /// Lanes of a vector register.
    pub fn lanes(self, scalar: Scalar) -> u32 {
        self.vector_bytes() / scalar.bytes() as u32
    }

    /// Vector registers.
    pub fn registers(self) -> u64 {
        match self {
            Level::X86_64V3 => 16,
            _ => 32,
        }
    }
}
