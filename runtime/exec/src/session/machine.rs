//! The devices and their memory.

use super::progress::Progress;
use crate::error::RunError;
use crate::memory::{Offsets, Region, aligned};
use crate::module::Module;
use einmesh_artifact::{Manifest, Storage, Tensor};
use std::collections::BTreeMap;

/// Everything a run needs. Shared between the session and the threads that run.
pub(super) struct Machine {
    pub(super) module: Module,
    pub(super) devices: Vec<Device>,
    /// Each buffer's size in bytes.
    pub(super) sizes: Vec<u64>,
    pub(super) threads: usize,
    pub(super) progress: Progress,
    /// For each input, its different shards.
    pub(super) shards: Vec<Vec<Shard>>,
    workspace_stride: u64,
    workspaces: Region,
    scratch_stride: u64,
    scratch: Region,
    /// Own the memory that `devices` and `shards` point to.
    _arenas: Region,
    _tensors: Region,
}

/// A virtual device.
pub(super) struct Device {
    /// Its coordinate on each mesh axis.
    pub(super) coordinates: Vec<u64>,
    /// The memory each buffer has before any swap.
    pub(super) home: Vec<*mut u8>,
}

/// Memory of a part of an input, of one device or, if it is only read, of all that hold the same part.
pub(super) struct Shard {
    pub(super) memory: *mut u8,
    /// The coordinates of one of the devices that hold it.
    pub(super) coordinates: Vec<u64>,
}

// SAFETY: the pointers lead into regions that the machine owns and that never move. Who reads and
// writes them when is the protocol of `README.md`: outside of a run only the session does, through
// `&mut Session` for writes; during a run, tasks write disjoint memory, and the end of each parallel
// region (rayon's join) orders it before the next.
unsafe impl Send for Machine {}
// SAFETY: as above.
unsafe impl Sync for Machine {}

impl Machine {
    /// Lays out and allocates the memory of all devices.
    pub(super) fn new(module: Module, threads: usize) -> Result<Machine, RunError> {
        let manifest = module.manifest.clone();
        refuse_too_large(&manifest)?;
        let ranks = 0..manifest.devices();
        let coordinates: Vec<Vec<u64>> = ranks.map(|r| manifest.coordinates(r)).collect();
        let arena_stride = aligned(manifest.arena_bytes);
        let arena_bytes = arena_stride.saturating_mul(manifest.devices());
        let arenas = Region::new(arena_bytes, "the devices' arenas")?;

        let plan = plan_tensors(&manifest, &coordinates);
        let tensors = Region::new(plan.bytes, "inputs and outputs")?;
        let devices = coordinates.iter().enumerate().map(|(rank, coordinates)| {
            let arena = arena_stride * rank as u64;
            let home = manifest.buffers.iter().map(|buffer| match buffer.storage {
                Storage::Arena(offset) => arenas.at(arena + offset),
                Storage::Input(i) => tensors.at(plan.inputs[i as usize][rank]),
                Storage::Output(i) => tensors.at(plan.outputs[i as usize][rank]),
            });
            Device { home: home.collect(), coordinates: coordinates.clone() }
        });
        let devices: Vec<Device> = devices.collect();
        let shards = plan.inputs.iter().map(|offsets| {
            // Devices with the same offset share the shard; the map drops all but one.
            let distinct: BTreeMap<u64, usize> =
                offsets.iter().enumerate().map(|(rank, o)| (*o, rank)).collect();
            let shards = distinct.into_iter().map(|(offset, rank)| Shard {
                memory: tensors.at(offset),
                coordinates: coordinates[rank].clone(),
            });
            shards.collect()
        });
        let shards: Vec<Vec<Shard>> = shards.collect();

        let phases = || module.kernels.iter().flatten();
        let workspace = phases().map(|p| p.workspace_bytes).max().unwrap_or(0);
        let scratch = phases().map(|p| p.scratch_bytes).max().unwrap_or(0);
        let (workspace_stride, scratch_stride) = (aligned(workspace), aligned(scratch));
        let workspace_bytes = workspace_stride.saturating_mul(manifest.devices());
        let scratch_bytes = scratch_stride.saturating_mul(threads as u64);
        Ok(Machine {
            sizes: manifest.buffers.iter().map(|b| b.bytes().unwrap_or(0)).collect(),
            workspaces: Region::new(workspace_bytes, "the kernels' workspaces")?,
            scratch: Region::new(scratch_bytes, "the threads' scratch memory")?,
            workspace_stride,
            scratch_stride,
            module,
            devices,
            threads,
            progress: Progress::default(),
            shards,
            _arenas: arenas,
            _tensors: tensors,
        })
    }

    pub(super) fn manifest(&self) -> &Manifest {
        &self.module.manifest
    }

    /// Every buffer has its own memory.
    pub(super) fn initial_slots(&self) -> Vec<u32> {
        (0..self.sizes.len() as u32).collect()
    }

    /// The workspace of a device.
    pub(super) fn workspace(&self, device: usize) -> *mut u8 {
        self.workspaces.at(self.workspace_stride * device as u64)
    }

    /// The scratch memory of a thread.
    pub(super) fn scratch(&self, thread: usize) -> *mut u8 {
        self.scratch.at(self.scratch_stride * thread as u64)
    }

    /// The operation under way and its place, for messages.
    pub(super) fn whereabouts(&self) -> (String, String) {
        self.progress.describe(self.manifest())
    }
}

/// Keeps the tables of one entry per device and buffer below 32 MB.
fn refuse_too_large(manifest: &Manifest) -> Result<(), RunError> {
    const MOST: u64 = 1 << 20;
    let tensors = manifest.inputs.len() + manifest.outputs.len();
    let each = (manifest.buffers.len() + tensors).max(16);
    let devices = manifest.devices();
    match devices.saturating_mul(each as u64) <= MOST {
        true => Ok(()),
        false => Err(RunError::Devices { devices, buffers: manifest.buffers.len() }),
    }
}

/// Where inputs and outputs lie: `inputs[i][rank]` is an offset, as is `outputs[i][rank]`.
struct TensorPlan {
    inputs: Vec<Vec<u64>>,
    outputs: Vec<Vec<u64>>,
    bytes: u64,
}

fn plan_tensors(manifest: &Manifest, coordinates: &[Vec<u64>]) -> TensorPlan {
    let mut offsets = Offsets::default();
    let new_values = manifest.new_values();
    let bytes = |tensor: &Tensor| {
        let buffer = &manifest.buffers[tensor.buffer as usize];
        buffer.bytes().unwrap_or(0)
    };
    let inputs = manifest.inputs.iter().enumerate().map(|(i, input)| {
        // Devices that hold the same blocks share their memory, unless they write it.
        let mut shared: BTreeMap<Vec<u64>, u64> = BTreeMap::new();
        let offset_of = |(rank, coordinates): (usize, &Vec<u64>)| {
            let dims = input.dims.iter();
            let mut key: Vec<u64> = dims.map(|d| manifest.block(d, coordinates)).collect();
            if new_values[i].is_some() {
                key.push(rank as u64);
            }
            *shared.entry(key).or_insert_with(|| offsets.reserve(bytes(input)))
        };
        coordinates.iter().enumerate().map(offset_of).collect()
    });
    let inputs: Vec<Vec<u64>> = inputs.collect();
    let outputs = manifest.outputs.iter().enumerate().map(|(i, output)| {
        let own = manifest.buffers[output.buffer as usize].storage == Storage::Output(i as u32);
        let size = if own { bytes(output) } else { 0 };
        coordinates.iter().map(|_| offsets.reserve(size)).collect()
    });
    let outputs: Vec<Vec<u64>> = outputs.collect();
    TensorPlan { inputs, outputs, bytes: offsets.total() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use einmesh_artifact::{Buffer, DType, DimLayout, MeshAxis};

    #[test]
    fn devices_share_equal_blocks_unless_they_write_them() {
        let axis = |name: &str| MeshAxis { name: name.to_owned(), size: 2 };
        let input = Tensor {
            path: "x".to_owned(),
            tensor: "x".to_owned(),
            dtype: DType::F32,
            dims: vec![DimLayout { name: "N".to_owned(), global: 40, local: 20, axes: vec![1] }],
            axes: vec![1],
            buffer: 0,
            donor: None,
        };
        let mut manifest = Manifest {
            mesh: vec![axis("data"), axis("tensor")],
            inputs: vec![input.clone()],
            buffers: vec![Buffer {
                name: "x".to_owned(),
                dtype: DType::F32,
                extents: vec![20],
                storage: Storage::Input(0),
            }],
            ..Manifest::default()
        };
        let coordinates: Vec<Vec<u64>> = (0..4).map(|r| manifest.coordinates(r)).collect();
        let plan = plan_tensors(&manifest, &coordinates);
        // 80 bytes take two lines of 64.
        assert_eq!(plan.inputs, [[0, 128, 0, 128]]);
        assert_eq!(plan.bytes, 256);

        manifest.outputs = vec![Tensor { donor: Some(0), ..input }];
        let plan = plan_tensors(&manifest, &coordinates);
        assert_eq!(plan.inputs, [[0, 128, 256, 384]]);
        assert_eq!(plan.bytes, 512);
    }
}
