//! What a target of code generation is, to those above it.

use crate::error::CompilerBug;
use crate::pipeline::Wanted;
use crate::tuning::Tuning;
use einmesh_artifact::{CodeImage, Phase};
use einmesh_schedule::kernel::Kernel;
use std::time::Duration;

/// A kind of machine that kernels can be compiled for.
pub trait Target {
    /// Compiles every kernel, once per image of the target.
    fn emit(&self, kernels: &[Kernel], options: &Options) -> Result<Vec<Emission>, CompilerBug>;
}

/// How to compile.
#[derive(Clone, Debug)]
pub struct Options {
    /// The target.
    pub target: TargetKind,
    /// Threads that compile. Does not influence the result.
    pub threads: usize,
    /// The text forms to keep.
    pub wanted: Wanted,
    /// The sizes that code is generated with.
    pub tuning: Tuning,
}

/// The targets there are.
#[derive(Clone, Debug)]
pub enum TargetKind {
    /// x86-64 at these levels, most demanding first.
    Cpu(Vec<crate::cpu::Level>),
}

/// All kernels in one image.
#[derive(Debug)]
pub struct Emission {
    /// The phases of each kernel.
    pub phases: Vec<Vec<Phase>>,
    /// The image's description.
    pub image: CodeImage,
    /// The image's pages.
    pub bytes: Vec<u8>,
    /// The texts that were wanted.
    pub listings: Vec<Listing>,
    /// How long each step took.
    pub timings: Vec<Timing>,
}

/// A text form of an image.
#[derive(Clone, Debug)]
pub struct Listing {
    /// `mlir`, `llvm` or `asm`.
    pub form: &'static str,
    /// The image's level.
    pub level: &'static str,
    /// The text.
    pub text: String,
}

/// The time that a step took.
#[derive(Clone, Copy, Debug)]
pub struct Timing {
    /// The image's level.
    pub level: &'static str,
    /// The step.
    pub step: &'static str,
    /// How long.
    pub time: Duration,
}
