//! Scheduling: from a device's program to kernels, an order, and a static memory plan.
//!
//! Nothing here knows the target: a [`Kernel`](kernel::Kernel) says what is computed on which memory,
//! `einmesh-codegen` decides how.

pub mod kernel;

use einmesh_artifact::{Buffer, Step, Tensor};
use kernel::Kernel;

/// What a device does: kernels, and the steps that launch them on buffers.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct KernelGraph {
    /// Distinct kernels; steps name them by position. Layers and repeated shapes share kernels.
    pub kernels: Vec<Kernel>,
    /// As in the manifest.
    pub buffers: Vec<Buffer>,
    /// As in the manifest.
    pub arena_bytes: u64,
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
