//! The CPU levels and what code generation chooses by them.

use crate::build::Scalar;
use crate::pipeline::Machine;

/// A named set of x86-64 features that code is generated for; the runtime picks by CPUID.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Level {
    /// AVX2, FMA, F16C.
    X86_64V3,
    /// AVX-512 F, BW, CD, DQ, VL.
    X86_64V4,
    /// The above with AVX-512 BF16 and AMX tiles.
    X86_64V4Amx,
}

impl Level {
    /// All there are.
    pub const ALL: [Level; 3] = [Level::X86_64V3, Level::X86_64V4, Level::X86_64V4Amx];

    /// The name in the artifact.
    pub fn name(self) -> &'static str {
        match self {
            Level::X86_64V3 => "x86-64-v3",
            Level::X86_64V4 => "x86-64-v4",
            Level::X86_64V4Amx => "x86-64-v4-amx",
        }
    }

    /// What LLVM is told. LLVM's tuning for v4 avoids 512-bit registers, which the kernels are made for.
    pub fn machine(self) -> Machine {
        match self {
            Level::X86_64V3 => Machine { cpu: c"x86-64-v3", features: c"" },
            Level::X86_64V4 => Machine { cpu: c"x86-64-v4", features: c"-prefer-256-bit" },
            Level::X86_64V4Amx => Machine { cpu: c"sapphirerapids", features: c"-prefer-256-bit" },
        }
    }

    /// Bytes of a vector register.
    pub fn vector_bytes(self) -> u32 {
        match self {
            Level::X86_64V3 => 32,
            Level::X86_64V4 | Level::X86_64V4Amx => 64,
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
            Level::X86_64V4 | Level::X86_64V4Amx => 32,
        }
    }
}
