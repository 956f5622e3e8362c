//! One device: an arena of bytes, inputs, outputs, and the steps.

use crate::lift;
use einmesh_artifact::{DType as Stored, Int, Step, Storage};
use einmesh_interp::Tensor;
use einmesh_ir::DType;
use einmesh_schedule::KernelGraph;

/// Memory that nothing has written yet: a NaN in every float type, a strange integer.
const POISON: u8 = 0xFF;

/// When an iteration does what is done ahead for the next one: before all its own steps or after them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum When {
    First,
    Last,
}

/// Runs a schedule.
pub fn run(graph: &KernelGraph, inputs: &[Tensor]) -> Vec<Tensor> {
    run_ahead(graph, inputs, When::First)
}

/// Runs a schedule whose loops do things ahead.
pub fn run_ahead(graph: &KernelGraph, inputs: &[Tensor], ahead: When) -> Vec<Tensor> {
    let mut machine = Machine {
        graph,
        arena: vec![POISON; graph.arena_bytes as usize],
        inputs: inputs.iter().zip(&graph.inputs).map(|(x, of)| bound(x, of)).collect(),
        outputs: graph.outputs.iter().map(|o| vec![POISON; size(graph, o.buffer)]).collect(),
        table: (0..graph.buffers.len()).collect(),
        counters: vec![0; graph.loops as usize],
        ahead,
    };
    machine.steps(&graph.steps);
    graph.outputs.iter().map(|o| machine.read(o.buffer)).collect()
}

/// An input's memory.
fn bound(value: &Tensor, of: &einmesh_artifact::Tensor) -> Vec<u8> {
    let bytes = value.to_bytes();
    let Some(panels) = &of.panels else {
        return bytes;
    };
    let local: Vec<u64> = of.dims.iter().map(|d| d.local).collect();
    let width = of.dtype.bytes() as usize;
    let elements: u64 = panels.extents(&local).expect("small").iter().product();
    let placement = panels.placement(&local).expect("small");
    let mut memory = vec![0; elements as usize * width];
    for (number, element) in bytes.chunks(width).enumerate() {
        let offset = placement.offset(placement.parts(number as u64)) as usize * width;
        memory[offset..offset + width].copy_from_slice(element);
    }
    memory
}

fn size(graph: &KernelGraph, buffer: u32) -> usize {
    graph.buffers[buffer as usize].bytes().expect("small") as usize
}

struct Machine<'a> {
    graph: &'a KernelGraph,
    arena: Vec<u8>,
    inputs: Vec<Vec<u8>>,
    outputs: Vec<Vec<u8>>,
    /// Which buffer's memory each buffer has now.
    table: Vec<usize>,
    counters: Vec<i64>,
    ahead: When,
}

impl Machine<'_> {
    fn steps(&mut self, steps: &[Step]) {
        for step in steps {
            self.step(step);
        }
    }

    fn step(&mut self, step: &Step) {
        match step {
            Step::Launch { kernel, operands, ints } => {
                let kernel = &self.graph.kernels[*kernel as usize];
                let before: Vec<Tensor> = operands.iter().map(|b| self.read(*b)).collect();
                let ints: Vec<i64> = ints
                    .iter()
                    .map(|int| match int {
                        Int::Counter(n) => self.counters[*n as usize],
                        Int::Coord(_) => 0,
                    })
                    .collect();
                let after = lift::launch(kernel, &before, &ints);
                for ((buffer, before), after) in operands.iter().zip(&before).zip(&after) {
                    if !same(before, after) {
                        self.write(*buffer, &after.to_bytes());
                    }
                }
            }
            Step::Loop { counter, extent, reversed, condition, ahead, steps } => {
                let last = *extent as i64 - 1;
                let position = |n: i64| if *reversed { last - n } else { n };
                let counter = *counter as usize;
                if *extent > 0 {
                    self.counters[counter] = position(0);
                    self.steps(&ahead.steps);
                }
                for n in 0..*extent as i64 {
                    if condition.is_some_and(|c| self.bytes(c) == [0]) {
                        break;
                    }
                    for (next, now) in &ahead.handed {
                        self.table.swap(*next as usize, *now as usize);
                    }
                    // What is done ahead may run at any time during the iteration before.
                    let early = |machine: &mut Self| {
                        machine.counters[counter] = position(n + 1);
                        machine.steps(&ahead.steps);
                    };
                    if n < last && self.ahead == When::First {
                        early(self);
                    }
                    self.counters[counter] = position(n);
                    self.steps(steps);
                    if n < last && self.ahead == When::Last {
                        early(self);
                    }
                }
            }
            Step::Copy { from, to } => {
                let bytes = self.bytes(*from).to_vec();
                self.write(*to, &bytes);
            }
            Step::Swap { a, b } => self.table.swap(*a as usize, *b as usize),
            // A group of one: what each device gets is what it gave.
            Step::Collective { input, output, .. } => {
                let bytes = self.bytes(*input).to_vec();
                self.write(*output, &bytes);
            }
        }
    }

    fn bytes(&self, buffer: u32) -> &[u8] {
        let size = size(self.graph, buffer);
        let held = &self.graph.buffers[self.table[buffer as usize]];
        match held.storage {
            Storage::Arena(offset) => &self.arena[offset as usize..][..size],
            Storage::Input(n) => &self.inputs[n as usize][..size],
            Storage::Output(n) => &self.outputs[n as usize][..size],
        }
    }

    fn write(&mut self, buffer: u32, bytes: &[u8]) {
        let held = &self.graph.buffers[self.table[buffer as usize]];
        let memory = match held.storage {
            Storage::Arena(offset) => &mut self.arena[offset as usize..],
            Storage::Input(n) => &mut self.inputs[n as usize][..],
            Storage::Output(n) => &mut self.outputs[n as usize][..],
        };
        memory[..bytes.len()].copy_from_slice(bytes);
    }

    fn read(&self, buffer: u32) -> Tensor {
        let of = &self.graph.buffers[buffer as usize];
        let shape: Vec<usize> = of.extents.iter().map(|e| *e as usize).collect();
        Tensor::from_bytes(dtype(of.dtype), &shape, self.bytes(buffer)).expect("sizes agree")
    }
}

/// Bitwise equality, so that a NaN equals itself.
fn same(a: &Tensor, b: &Tensor) -> bool {
    a.to_bytes() == b.to_bytes()
}

fn dtype(stored: Stored) -> DType {
    match stored {
        Stored::F64 => DType::F64,
        Stored::F32 => DType::F32,
        Stored::Bf16 => DType::Bf16,
        Stored::F16 => DType::F16,
        Stored::I64 => DType::I64,
        Stored::I32 => DType::I32,
        Stored::Bool => DType::Bool,
        Stored::Rng => DType::Key,
    }
}
