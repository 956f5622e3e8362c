//! The memory of inputs, which several sessions may share.

use crate::error::RunError;
use crate::memory::{Offsets, Region};
use einmesh_artifact::{Manifest, Tensor};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};

/// The memory of one input on all devices.
pub(super) struct Input {
    memory: Region,
    /// The bytes of all devices.
    bytes: u64,
    /// Where each device's shard begins.
    offsets: Vec<u64>,
    /// Whether a run updates it: then every device has memory of its own.
    updated: bool,
    /// Whether it has a value.
    bound: AtomicBool,
}

impl Input {
    /// Allocates an input's memory, zeroed.
    pub(super) fn new(
        manifest: &Manifest,
        tensor: &Tensor,
        coordinates: &[Vec<u64>],
        updated: bool,
    ) -> Result<Input, RunError> {
        let (offsets, bytes) = place(manifest, tensor, coordinates, updated);
        let memory = Region::new(bytes, "inputs and outputs")?;
        Ok(Input { memory, bytes, offsets, updated, bound: AtomicBool::new(false) })
    }

    /// Whether a program that updates the input, or only reads it, can work on this memory.
    pub(super) fn serves(&self, updates: bool) -> bool {
        self.updated || !updates
    }

    /// The memory of a device.
    pub(super) fn at(&self, rank: usize) -> *mut u8 {
        self.memory.at(self.offsets[rank])
    }

    /// One device for each different shard.
    pub(super) fn holders(&self) -> Vec<usize> {
        // Devices with the same offset share the shard; the map drops all but one.
        let ranks = self.offsets.iter().enumerate().map(|(rank, offset)| (*offset, rank));
        let distinct: BTreeMap<u64, usize> = ranks.collect();
        distinct.into_values().collect()
    }

    /// Whether it has a value.
    pub(super) fn is_bound(&self) -> bool {
        self.bound.load(Ordering::Relaxed)
    }

    /// Gives its memory back to the system. It has no value from now on.
    ///
    /// # Safety
    ///
    /// Nothing may read or write the memory meanwhile, or have a reference into it.
    pub(super) unsafe fn release(&self) {
        self.bound.store(false, Ordering::Relaxed);
        // SAFETY: the caller vouches for the whole memory.
        unsafe { self.memory.release(self.memory.at(0), self.bytes as usize) };
    }

    /// It has a value from now on.
    pub(super) fn set_bound(&self) {
        self.bound.store(true, Ordering::Relaxed);
    }
}

/// Where each device's shard of an input begins, and the bytes of all.
fn place(
    manifest: &Manifest,
    tensor: &Tensor,
    coordinates: &[Vec<u64>],
    updated: bool,
) -> (Vec<u64>, u64) {
    let mut offsets = Offsets::default();
    let bytes = manifest.buffers[tensor.buffer as usize].bytes().unwrap_or(0);
    // Devices that hold the same blocks share their memory, unless they write it.
    let mut shared: BTreeMap<Vec<u64>, u64> = BTreeMap::new();
    let offset_of = |(rank, coordinates): (usize, &Vec<u64>)| {
        let mut key: Vec<u64> =
            tensor.dims.iter().map(|d| manifest.block(d, coordinates)).collect();
        if updated {
            key.push(rank as u64);
        }
        *shared.entry(key).or_insert_with(|| offsets.reserve(bytes))
    };
    let each = coordinates.iter().enumerate().map(offset_of).collect();
    (each, offsets.total())
}

#[cfg(test)]
mod tests {
    use super::*;
    use einmesh_artifact::{Buffer, DType, DimLayout, MeshAxis, Storage};

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
            panels: None,
        };
        let manifest = Manifest {
            mesh: vec![axis("data"), axis("tensor")],
            buffers: vec![Buffer {
                name: "x".to_owned(),
                dtype: DType::F32,
                extents: vec![20],
                storage: Storage::Input(0),
            }],
            ..Manifest::default()
        };
        let coordinates: Vec<Vec<u64>> = (0..4).map(|r| manifest.coordinates(r)).collect();
        // 80 bytes take two lines of 64.
        let read = place(&manifest, &input, &coordinates, false);
        assert_eq!(read, (vec![0, 128, 0, 128], 256));
        let updated = place(&manifest, &input, &coordinates, true);
        assert_eq!(updated, (vec![0, 128, 256, 384], 512));
    }
}
