//! Code generation: from kernels to machine code, through MLIR and LLVM.
//!
//! [`emit`] is all there is to call. A target ([`target::Target`]) builds an MLIR module per group of
//! kernels with [`build::Builder`], [`pipeline`] lowers it to an object file, and [`image`] lays the
//! objects out as the pages that the runtime maps.
//!
//! Invariants:
//! * every function computes tiles that are independent of each other; what a tile computes, and in
//!   which order, depends on the kernel only, so that results do not depend on the number of threads;
//! * generated code touches only its operands, its workspace and its scratch memory, allocates nothing,
//!   and calls nothing but `memcpy`, `memmove` and `memset`;
//! * the same kernels and options give the same bytes.
//!
//! This crate must not know programs, dims, meshes or plans, and nothing above it knows LLVM, nor which
//! target it compiles for.

pub mod build;
pub mod context;
pub mod cpu;
mod error;
pub mod image;
pub mod pipeline;
pub mod target;
pub mod tuning;

pub use cpu::Level;
pub use cpu::symbolic::{Blocks, Phase as SymbolicPhase, SymbolicEmitted, emit as emit_symbolic};
pub use error::CompilerBug;
pub use pipeline::Wanted;
pub use target::{Listing, Options, TargetKind, Timing};
pub use tuning::{Sizes, Tuning};

use einmesh_artifact::{CodeImage, Kernel};
use einmesh_schedule::KernelGraph;
use target::Target;

/// The machine code of a program.
#[derive(Debug, Default)]
pub struct Emitted {
    /// The kernels, in the graph's order.
    pub kernels: Vec<Kernel>,
    /// The images, most demanding level first.
    pub images: Vec<(CodeImage, Vec<u8>)>,
    /// The texts that were wanted.
    pub listings: Vec<Listing>,
    /// How long each step took, per image and module.
    pub timings: Vec<Timing>,
}

impl Default for Options {
    /// All levels, on two threads.
    fn default() -> Options {
        Options {
            target: TargetKind::Cpu(Level::ALL.to_vec()),
            threads: 2,
            wanted: Wanted::default(),
            tuning: Tuning::default(),
        }
    }
}

/// Compiles every kernel of a graph.
pub fn emit(graph: &KernelGraph, options: &Options) -> Result<Emitted, CompilerBug> {
    let target: Box<dyn Target> = match &options.target {
        TargetKind::Cpu(levels) => Box::new(cpu::Cpu { levels: levels.clone() }),
    };
    let mut emitted = Emitted::default();
    emitted.kernels.extend(
        graph.kernels.iter().map(|kernel| Kernel { name: kernel.name.clone(), phases: vec![] }),
    );
    for emission in target.emit(&graph.kernels, options)? {
        for (kernel, phases) in emitted.kernels.iter_mut().zip(emission.phases) {
            kernel.phases.push(phases);
        }
        emitted.images.push((emission.image, emission.bytes));
        emitted.listings.extend(emission.listings);
        emitted.timings.extend(emission.timings);
    }
    Ok(emitted)
}
