//! Storing an input's elements in panels.

use crate::tensors::{ElementType, convert};
use einmesh_artifact::{Placement, Tensor};

/// Elements that are converted at a time: they fit the L1 cache.
const CHUNK: usize = 4096;

/// Writes runs of a shard's elements, given in row-major order, to where they are in panels.
pub(super) struct Writer {
    /// The shard's extents.
    extents: Vec<u64>,
    placement: Placement,
    /// The types of what is given and of what is stored.
    types: (ElementType, ElementType),
    /// Converted elements.
    chunk: Vec<u8>,
}

impl Writer {
    /// A writer for an input; `None` if it is row-major.
    pub(super) fn new(tensor: &Tensor, from: ElementType) -> Option<Writer> {
        let extents: Vec<u64> = tensor.dims.iter().map(|d| d.local).collect();
        let placement = tensor.panels.as_ref()?.placement(&extents)?;
        let types = (from, ElementType::of(tensor.dtype));
        Some(Writer { extents, placement, types, chunk: Vec::new() })
    }

    /// Writes the elements from `first` on, in row-major order, into the shard's memory.
    pub(super) fn write(
        &mut self,
        first: usize,
        source: &[u8],
        memory: &mut [u8],
    ) -> Result<(), String> {
        let (from, to) = self.types;
        let (from_width, width) = (from.bytes() as usize, to.bytes() as usize);
        let mut at = first;
        for part in source.chunks(CHUNK * from_width) {
            let count = part.len() / from_width;
            let mut chunk = std::mem::take(&mut self.chunk);
            chunk.resize(count * width, 0);
            convert(from, to, part, &mut chunk)?;
            match width {
                8 => self.scatter::<8>(at, &chunk, memory),
                4 => self.scatter::<4>(at, &chunk, memory),
                2 => self.scatter::<2>(at, &chunk, memory),
                _ => self.scatter::<1>(at, &chunk, memory),
            }
            self.chunk = chunk;
            at += count;
        }
        Ok(())
    }

    fn scatter<const WIDTH: usize>(&self, first: usize, source: &[u8], memory: &mut [u8]) {
        let (source, _) = source.as_chunks::<WIDTH>();
        let (memory, _) = memory.as_chunks_mut::<WIDTH>();
        let Some((last, outer)) = self.extents.split_last() else {
            return memory[..source.len()].copy_from_slice(source);
        };
        let step = self.placement.step(outer.len());
        let mut done = 0;
        while done < source.len() {
            // The elements up to the end of the last dim differ in its position only.
            let element = (first + done) as u64;
            let count = (source.len() - done).min((last - element % last) as usize);
            let mut parts = self.placement.parts(element);
            let mut row = &source[done..done + count];
            while let Some(element) = row.first() {
                let offset = self.placement.offset(parts) as usize;
                let run = match step {
                    [0, 1, 0] => row.len().min(self.placement.run(parts[1]) as usize),
                    _ => 1,
                };
                match run {
                    1 => memory[offset] = *element,
                    _ => memory[offset..offset + run].copy_from_slice(&row[..run]),
                }
                row = &row[run..];
                for (part, step) in parts.iter_mut().zip(step) {
                    *part += step * run as u64;
                }
            }
            done += count;
        }
    }
}
