//! The devices and their memory.

use super::gang::Gang;
use super::inputs::Input;
use super::progress::Progress;
use crate::error::RunError;
use crate::memory::{Offsets, Region, aligned};
use crate::module::Module;
use einmesh_artifact::{Manifest, Step, Storage, Tensor};
use std::sync::Arc;

/// Everything a run needs. Shared between the session and the threads that run.
pub(super) struct Machine {
    pub(super) module: Module,
    pub(super) devices: Vec<Device>,
    /// Each buffer's size in bytes.
    pub(super) sizes: Vec<u64>,
    pub(super) threads: usize,
    /// The threads of the run under way.
    pub(super) gang: Gang,
    pub(super) progress: Progress,
    /// For each input, its different shards.
    pub(super) shards: Vec<Vec<Shard>>,
    workspace_stride: u64,
    workspaces: Region,
    /// The same for what is done ahead, beside launches that have the ones above.
    ahead_stride: u64,
    ahead_workspaces: Region,
    scratch_stride: u64,
    scratch: Region,
    /// The inputs. With the next two, they own the memory that `devices` and `shards` point to.
    pub(super) inputs: Vec<Arc<Input>>,
    _arenas: Region,
    /// The memory of outputs that have their own.
    pub(super) outputs: Region,
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

// SAFETY: the pointers lead into regions that the machine owns, some of them with other machines, and
// that never move. Who reads and writes them when is the protocol of `README.md`: only the session
// whose turn it is does; during a run, tasks write disjoint memory, and the end of each parallel
// region orders it before the next (`gang.rs`).
unsafe impl Send for Machine {}
// SAFETY: as above.
unsafe impl Sync for Machine {}

impl Machine {
    /// Lays out and allocates the memory of all devices. Inputs that `beside` has too are shared.
    pub(super) fn new(
        module: Module,
        threads: usize,
        beside: Option<&Machine>,
    ) -> Result<Machine, RunError> {
        let manifest = module.manifest.clone();
        refuse_too_large(&manifest)?;
        let ranks = 0..manifest.devices();
        let coordinates: Vec<Vec<u64>> = ranks.map(|r| manifest.coordinates(r)).collect();
        let arena_stride = aligned(manifest.arena_bytes);
        let arena_bytes = arena_stride.saturating_mul(manifest.devices());
        let arenas = Region::new(arena_bytes, "the devices' arenas")?;

        let new_values = manifest.new_values();
        let inputs = manifest.inputs.iter().zip(&new_values).map(|(tensor, new_value)| {
            let updated = new_value.is_some();
            match beside.and_then(|other| other.input_for(tensor, updated)) {
                Some(shared) => Ok(shared),
                None => Input::new(&manifest, tensor, &coordinates, updated).map(Arc::new),
            }
        });
        let inputs: Vec<Arc<Input>> = inputs.collect::<Result<_, RunError>>()?;
        let (places, output_bytes) = place_outputs(&manifest);
        let outputs = Region::new(output_bytes, "inputs and outputs")?;
        let devices = coordinates.iter().enumerate().map(|(rank, coordinates)| {
            let arena = arena_stride * rank as u64;
            let home = manifest.buffers.iter().map(|buffer| match buffer.storage {
                Storage::Arena(offset) => arenas.at(arena + offset),
                Storage::Input(i) => inputs[i as usize].at(rank),
                Storage::Output(i) => outputs.at(places[i as usize][rank]),
            });
            Device { home: home.collect(), coordinates: coordinates.clone() }
        });
        let devices: Vec<Device> = devices.collect();
        let shards = inputs.iter().map(|input| {
            let shards = input.holders().into_iter().map(|rank| Shard {
                memory: input.at(rank),
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
        let ahead = kernels_ahead(&manifest.steps);
        let ahead = ahead.iter().flat_map(|kernel| &module.kernels[*kernel as usize]);
        let ahead_stride = aligned(ahead.map(|p| p.workspace_bytes).max().unwrap_or(0));
        let ahead_bytes = ahead_stride.saturating_mul(manifest.devices());
        let scratch_bytes = scratch_stride.saturating_mul(threads as u64);
        Ok(Machine {
            sizes: manifest.buffers.iter().map(|b| b.bytes().unwrap_or(0)).collect(),
            workspaces: Region::new(workspace_bytes, "the kernels' workspaces")?,
            scratch: Region::new(scratch_bytes, "the threads' scratch memory")?,
            workspace_stride,
            ahead_workspaces: Region::new(ahead_bytes, "the kernels' workspaces")?,
            ahead_stride,
            scratch_stride,
            module,
            devices,
            threads,
            gang: Gang::new(threads),
            progress: Progress::default(),
            shards,
            inputs,
            _arenas: arenas,
            outputs,
        })
    }

    pub(super) fn manifest(&self) -> &Manifest {
        &self.module.manifest
    }

    /// The memory of the input of this path and layout, for a program that updates it or only reads it.
    fn input_for(&self, tensor: &Tensor, updates: bool) -> Option<Arc<Input>> {
        let mut own = self.manifest().inputs.iter();
        let at = own.position(|i| i.path == tensor.path && i.same_layout(tensor))?;
        self.inputs[at].serves(updates).then(|| Arc::clone(&self.inputs[at]))
    }

    /// Every buffer has its own memory.
    pub(super) fn initial_slots(&self) -> Vec<u32> {
        (0..self.sizes.len() as u32).collect()
    }

    /// The workspace of a device, for launches in turn or for those ahead.
    pub(super) fn workspace(&self, device: usize, ahead: bool) -> *mut u8 {
        match ahead {
            false => self.workspaces.at(self.workspace_stride * device as u64),
            true => self.ahead_workspaces.at(self.ahead_stride * device as u64),
        }
    }

    /// The scratch memory of a thread.
    pub(super) fn scratch(&self, thread: usize) -> *mut u8 {
        self.scratch.at(self.scratch_stride * thread as u64)
    }

    /// A number that moves as long as a run makes progress.
    pub(super) fn ticks(&self) -> u64 {
        self.progress.ticks().wrapping_add(self.gang.done())
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

/// The kernels that loops launch ahead.
fn kernels_ahead(steps: &[Step]) -> Vec<u32> {
    let each = steps.iter().flat_map(|step| match step {
        Step::Loop { ahead, steps, .. } => {
            let launched = ahead.steps.iter().filter_map(|step| match step {
                Step::Launch { kernel, .. } => Some(*kernel),
                _ => None,
            });
            launched.chain(kernels_ahead(steps)).collect()
        }
        _ => Vec::new(),
    });
    each.collect()
}

/// Where each output begins on each device, if it has memory of its own, and the bytes of all.
fn place_outputs(manifest: &Manifest) -> (Vec<Vec<u64>>, u64) {
    let mut offsets = Offsets::default();
    let outputs = manifest.outputs.iter().enumerate().map(|(i, output)| {
        let buffer = &manifest.buffers[output.buffer as usize];
        let own = buffer.storage == Storage::Output(i as u32);
        let size = if own { buffer.bytes().unwrap_or(0) } else { 0 };
        (0..manifest.devices()).map(|_| offsets.reserve(size)).collect()
    });
    (outputs.collect(), offsets.total())
}
