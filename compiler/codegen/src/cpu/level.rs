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

/// The register tile of a matrix product's micro-kernel.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Tile {
    /// The most rows of accumulators.
    pub rows: u32,
    /// Vectors in a row.
    pub vectors: u32,
}

impl Level {
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

    /// 14×2 vectors of accumulators fit the 32 registers of AVX-512, 6×2 the 16 of AVX2 (a larger tile
    /// spills and is several times slower).
    pub fn tile(self) -> Tile {
        match self {
            Level::X86_64V3 => Tile { rows: 6, vectors: 2 },
            Level::X86_64V4 | Level::X86_64V4Amx => Tile { rows: 14, vectors: 2 },
        }
    }
}
