//! Between whole tensors and the devices' shards.

use super::machine::Machine;
use super::panels;
use crate::tensors::{ElementType, Tensor, Value, convert};
use einmesh_artifact::{self as artifact, Manifest};

/// Cuts a whole tensor into the shards of an input; positions beyond the whole become zero.
pub(super) fn cut(machine: &Machine, input: usize, value: &Value) -> Result<(), String> {
    let manifest = machine.manifest();
    let tensor = &manifest.inputs[input];
    let elements: u64 = tensor.dims.iter().map(|d| d.global).product();
    let expected = elements.checked_mul(value.dtype.bytes()).map(u128::from);
    let given = value.pieces.iter().map(|p| p.len() as u128).sum::<u128>();
    let each = value.pieces.first().map_or(0, |p| p.len());
    let to = ElementType::of(tensor.dtype);
    let (from_width, to_width) = (value.dtype.bytes() as usize, to.bytes() as usize);
    let equal = value.pieces.iter().all(|p| p.len() == each);
    if expected != Some(given) || !equal || !each.is_multiple_of(from_width) {
        let dtype = value.dtype;
        return Err(format!("it has {elements} elements, but {given} bytes of {dtype} are given"));
    }
    let bytes = machine.sizes[tensor.buffer as usize] as usize;
    for shard in &machine.shards[input] {
        let runs = Runs::new(manifest, tensor, &shard.coordinates);
        // SAFETY: the shard's memory has the buffer's size, and it is this session's turn: nothing
        // runs, and nobody else has a reference into it.
        let memory = unsafe { std::slice::from_raw_parts_mut(shard.memory, bytes) };
        let mut panels = panels::Writer::new(tensor, value.dtype);
        if runs.padded || panels.is_some() {
            memory.fill(0);
        }
        runs.for_each(|whole, local, count| {
            let mut done = 0;
            while done < count {
                let at = (whole + done) * from_width;
                let piece = &value.pieces[at / each];
                let within = at % each;
                let n = (count - done).min((each - within) / from_width);
                let source = &piece[within..within + n * from_width];
                match &mut panels {
                    Some(panels) => panels.write(local + done, source, memory)?,
                    None => {
                        let begin = (local + done) * to_width;
                        let target = &mut memory[begin..begin + n * to_width];
                        convert(value.dtype, to, source, target)?;
                    }
                }
                done += n;
            }
            Ok(())
        })?;
    }
    Ok(())
}

/// Sets an input to zeros.
pub(super) fn clear(machine: &Machine, input: usize) {
    let tensor = &machine.manifest().inputs[input];
    let bytes = machine.sizes[tensor.buffer as usize] as usize;
    for shard in &machine.shards[input] {
        // SAFETY: the shard's memory has the buffer's size, and it is this session's turn.
        unsafe { shard.memory.write_bytes(0, bytes) };
    }
}

/// Puts an output together from the devices' shards.
pub(super) fn assemble(machine: &Machine, output: usize, slots: &[u32]) -> Tensor {
    let tensor = &machine.manifest().outputs[output];
    let mut whole = vec![0; whole_bytes(tensor)];
    assemble_into(machine, output, slots, &mut whole);
    Tensor { dtype: ElementType::of(tensor.dtype), shape: tensor.whole_shape(), bytes: whole }
}

/// The bytes of a whole tensor.
pub(super) fn whole_bytes(tensor: &artifact::Tensor) -> usize {
    let elements: u64 = tensor.dims.iter().map(|d| d.global).product();
    elements as usize * tensor.dtype.bytes() as usize
}

/// Puts an output together in memory of its size.
pub(super) fn assemble_into(machine: &Machine, output: usize, slots: &[u32], whole: &mut [u8]) {
    let manifest = machine.manifest();
    let tensor = &manifest.outputs[output];
    let width = tensor.dtype.bytes() as usize;
    let splits = |axis: usize| tensor.dims.iter().any(|d| d.axes.contains(&(axis as u32)));
    for device in &machine.devices {
        // Devices that differ on other axes hold the same: the first one's is taken.
        let first = device.coordinates.iter().enumerate().all(|(axis, c)| *c == 0 || splits(axis));
        if !first {
            continue;
        }
        let memory = device.home[slots[tensor.buffer as usize] as usize];
        let bytes = machine.sizes[tensor.buffer as usize] as usize;
        // SAFETY: the memory has the buffer's size, and nothing runs that could write it.
        let memory = unsafe { std::slice::from_raw_parts(memory, bytes) };
        let runs = Runs::new(manifest, tensor, &device.coordinates);
        let copied = runs.for_each(|at, local, count| {
            let source = &memory[local * width..(local + count) * width];
            whole[at * width..(at + count) * width].copy_from_slice(source);
            Ok(())
        });
        debug_assert!(copied.is_ok(), "copying bytes cannot fail");
    }
}

/// The contiguous runs of elements that a device's shard shares with the whole tensor.
struct Runs {
    /// The dims that are walked: extent within both, stride in the whole, stride in the shard.
    dims: Vec<[usize; 3]>,
    /// Where the shard begins in the whole.
    start: usize,
    /// The elements of a run.
    length: usize,
    /// Whether the shard has positions beyond the whole.
    padded: bool,
}

impl Runs {
    fn new(manifest: &Manifest, tensor: &artifact::Tensor, coordinates: &[u64]) -> Runs {
        let mut runs = Runs {
            dims: Vec::with_capacity(tensor.dims.len()),
            start: 0,
            length: 1,
            padded: false,
        };
        let (mut whole_stride, mut local_stride) = (1, 1);
        // From the innermost dim outwards, whole dims join the run; so does the first that is not.
        let mut joining = true;
        for dim in tensor.dims.iter().rev() {
            let begin = manifest.block(dim, coordinates).saturating_mul(dim.local);
            let valid = dim.global.saturating_sub(begin).min(dim.local) as usize;
            let (global, local) = (dim.global as usize, dim.local as usize);
            runs.padded |= valid < local;
            // An empty shard has no run, wherever it begins.
            runs.start += begin.min(dim.global) as usize * whole_stride;
            if joining {
                runs.length *= valid;
                joining = valid == global && valid == local;
            } else {
                runs.dims.push([valid, whole_stride, local_stride]);
            }
            whole_stride *= global;
            local_stride *= local;
        }
        runs.dims.reverse();
        runs
    }

    /// Calls `copy(offset in the whole, offset in the shard, elements)` for every run.
    fn for_each(
        &self,
        mut copy: impl FnMut(usize, usize, usize) -> Result<(), String>,
    ) -> Result<(), String> {
        if self.length == 0 || self.dims.iter().any(|[extent, ..]| *extent == 0) {
            return Ok(());
        }
        let mut at = vec![0; self.dims.len()];
        loop {
            let offset = |which: usize| -> usize {
                let terms = at.iter().zip(&self.dims);
                terms.map(|(i, dim): (&usize, &[usize; 3])| i * dim[which]).sum()
            };
            copy(self.start + offset(1), offset(2), self.length)?;
            // Counts on, the last dim fastest.
            let mut dim = self.dims.len();
            loop {
                if dim == 0 {
                    return Ok(());
                }
                dim -= 1;
                at[dim] += 1;
                if at[dim] < self.dims[dim][0] {
                    break;
                }
                at[dim] = 0;
            }
        }
    }
}
