//! Scheduling: from a device's program to kernels, an order, and a static memory plan.
//!
//! The passes, in order: elementwise work is substituted into its readers ([`inline`]), reductions over matrix products
//! get the form in which they need no array of points ([`online`]), what is costly and depends on few indices gets values
//! of its own ([`hoist`]), comprehensions are grouped into kernels ([`online`], [`sweep`], [`fuse`], [`siblings`], [`build`]),
//! operations get an order ([`order`]), results go where they are wanted ([`place`]), gathers are moved an iteration ahead
//! ([`ahead`]), values get memory ([`memory`]), and all of it becomes the manifest's steps ([`steps`]).
//!
//! Nothing here knows the target: a [`Kernel`] says what is computed on which memory,
//! `einmesh-codegen` decides how. Nothing here knows placements: extents are local already.

mod ahead;
mod build;
mod contraction;
mod fuse;
mod hoist;
mod inline;
pub mod kernel;
mod memory;
mod online;
mod order;
mod packing;
mod panels;
mod place;
mod siblings;
mod steps;
mod sweep;
pub mod symbolic;
mod text;
mod usage;

#[cfg(test)]
mod tests;

use einmesh_artifact::{Buffer, Step, Tensor};
use einmesh_ir::{MeshAxisId, SpmdProgram};
use kernel::Kernel;

pub use steps::stored;
pub use symbolic::symbolic;

/// What a device does: kernels, and the steps that launch them on buffers.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct KernelGraph {
    /// Distinct kernels; steps name them by position. Layers and repeated shapes share kernels.
    pub kernels: Vec<Kernel>,
    /// As in the manifest.
    pub buffers: Vec<Buffer>,
    /// As in the manifest.
    pub arena_bytes: u64,
    /// The most bytes of the arena that are in use at once: no arena of these steps can be smaller.
    pub arena_bound: u64,
    /// As in the manifest.
    pub loops: u32,
    /// As in the manifest.
    pub steps: Vec<Step>,
    /// As in the manifest.
    pub inputs: Vec<Tensor>,
    /// As in the manifest.
    pub outputs: Vec<Tensor>,
    /// As in the manifest's report.
    pub peak_bytes: u64,
}

/// What can be chosen.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Options {
    /// Mesh axes over which loops gather one iteration ahead, if what they gather is memory that they only read.
    pub prefetch: Vec<MeshAxisId>,
}

/// Schedules what one device runs.
pub fn schedule(spmd: &SpmdProgram, options: &Options) -> KernelGraph {
    let mut program = spmd.program.clone();
    inline::inline(&mut program);
    online::separate(&mut program);
    online::recompute(&mut program);
    online::reuse(&mut program);
    hoist::hoist(&mut program);
    let panels = panels::pack(&mut program);
    let order = order::order(&mut program, &options.prefetch);
    let memory = memory::plan(&program, &order);
    steps::assemble(spmd, &program, order, &memory, panels)
}
