//! All devices of a mesh, executing one program in lock step.

use crate::Precision;
use crate::collective;
use crate::error::EvalError;
use crate::exec::{Escape, Values};
use crate::kernel::{self, Kernel};
use crate::tensor::{Data, Tensor};
use einmesh_ir::{
    Arena, Argsort, Block, Collected, DType, Loop, LoopVarId, Mesh, Op, Program, Rank, ValueId,
};
use std::collections::BTreeMap;
use std::rc::Rc;

/// Values may have this many elements: 16 GiB. Larger ones are refused instead of exhausting memory.
const MAX_ELEMENTS: u64 = 1 << 31;

/// The devices and what they hold.
pub struct Machine<'p> {
    program: &'p Program,
    mesh: &'p Mesh,
    precision: Precision,
    /// One per rank.
    devices: Vec<Device>,
    /// The current iteration of every loop.
    counters: Arena<LoopVarId, i64>,
    /// Compiled comprehensions, by their outputs.
    kernels: BTreeMap<ValueId, Kernel>,
}

struct Device {
    values: Values,
    coordinates: Vec<i64>,
}

impl<'p> Machine<'p> {
    /// Devices that hold nothing yet; the program has been verified.
    pub fn new(program: &'p Program, mesh: &'p Mesh, precision: Precision) -> Machine<'p> {
        let device = |rank| Device {
            values: program.values.ids().map(|_| None).collect(),
            coordinates: mesh.coordinates(Rank(rank)).into_iter().map(|c| c as i64).collect(),
        };
        Machine {
            program,
            mesh,
            precision,
            devices: (0..mesh.devices()).map(device).collect(),
            counters: program.loop_vars.ids().map(|_| 0).collect(),
            kernels: BTreeMap::new(),
        }
    }

    /// The number of devices.
    pub fn devices(&self) -> usize {
        self.devices.len()
    }

    /// The devices' arrangement.
    pub fn mesh(&self) -> &'p Mesh {
        self.mesh
    }

    /// Assigns a value on a device.
    pub fn set(&mut self, rank: usize, value: ValueId, tensor: Rc<Tensor>) {
        self.devices[rank].values[value] = Some(tensor);
    }

    /// A value that is assigned on a device.
    pub fn get(&self, rank: usize, value: ValueId) -> &Rc<Tensor> {
        self.devices[rank].values[value].as_ref().expect("verified: assigned before it is read")
    }

    /// Executes the whole program.
    pub fn run(&mut self) -> Result<(), EvalError> {
        let program = self.program;
        for value in program.values.ids() {
            let elements = program.elements(value);
            if elements > MAX_ELEMENTS {
                let value = program.name_of(value);
                return Err(EvalError::TooLarge { value, elements });
            }
        }
        self.block(&program.body)
    }

    fn block(&mut self, block: &'p Block) -> Result<(), EvalError> {
        for op in &block.ops {
            match op {
                Op::Compute(c) => {
                    let (program, mesh, precision) = (self.program, self.mesh, self.precision);
                    let compiled = || kernel::compile(program, mesh, precision, c);
                    let kernel = self.kernels.entry(c.out).or_insert_with(compiled);
                    let mut outside: Vec<i64> = self.counters.values().copied().collect();
                    let counters = outside.len();
                    for device in &mut self.devices {
                        outside.truncate(counters);
                        outside.extend(&device.coordinates);
                        let result = kernel.run(&device.values, &outside);
                        let tensor = result.map_err(|e| escaped(program, c.out, e))?;
                        device.values[c.out] = Some(Rc::new(tensor));
                    }
                }
                Op::Loop(l) => self.repeat(l)?,
                Op::Argsort(sort) => {
                    for rank in 0..self.devices.len() {
                        let sorted = argsort(self.get(rank, sort.input), sort);
                        self.set(rank, sort.out, Rc::new(sorted));
                    }
                }
                Op::Collective(c) => collective::run(self, c, self.precision),
            }
        }
        Ok(())
    }

    fn repeat(&mut self, l: &'p Loop) -> Result<(), EvalError> {
        let program = self.program;
        let extent = program.dims[program.loop_vars[l.var].dim].extent;
        for rank in 0..self.devices.len() {
            for carried in &l.carried {
                let init = self.get(rank, carried.init).clone();
                self.set(rank, carried.entry, init);
            }
            for collected in &l.collected {
                let shape: Vec<usize> =
                    program.extents(collected.result).into_iter().map(|n| n as usize).collect();
                let dtype = program.values[collected.result].dtype;
                self.set(rank, collected.result, Rc::new(Tensor::zeros(dtype, &shape)));
            }
        }
        for iteration in 0..extent {
            if !self.goes_on(l)? {
                break;
            }
            let counter = if l.reversed { extent - 1 - iteration } else { iteration };
            self.counters[l.var] = counter as i64;
            self.block(&l.body)?;
            for device in &mut self.devices {
                for collected in &l.collected {
                    collect(&mut device.values, collected, counter as usize);
                }
                // All exits are read before any entry is replaced: states may be exchanged.
                let exits: Vec<_> =
                    l.carried.iter().map(|c| device.values[c.exit].clone()).collect();
                for (carried, exit) in l.carried.iter().zip(exits) {
                    device.values[carried.entry] = exit;
                }
            }
        }
        for device in &mut self.devices {
            for carried in &l.carried {
                device.values[carried.result] = device.values[carried.entry].clone();
            }
        }
        Ok(())
    }
}

impl Machine<'_> {
    /// Whether a loop has another iteration, as far as its condition decides.
    fn goes_on(&self, l: &Loop) -> Result<bool, EvalError> {
        let Some(condition) = l.condition else {
            return Ok(true);
        };
        let holds = |rank: usize| match &self.get(rank, condition).data {
            Data::Int(x) => x[0] != 0,
            Data::Float(_) => unreachable!("verified: a truth value"),
        };
        let first = holds(0);
        match (1..self.devices.len()).find(|rank| holds(*rank) != first) {
            None => Ok(first),
            Some(rank) => Err(EvalError::Disagreement {
                path: self.program.name_of(condition),
                position: Vec::new(),
                ranks: [(0, first.to_string()), (rank as u64, (!first).to_string())],
            }),
        }
    }
}

/// Writes one iteration's value into its place among all of them.
fn collect(values: &mut Values, collected: &Collected, counter: usize) {
    let value = values[collected.value].clone().expect("verified: assigned in the body");
    let slot = values[collected.result].as_mut().expect("prepared before the loop");
    let result = Rc::make_mut(slot);
    let extent = result.shape[collected.position];
    let inner: usize = result.shape[collected.position + 1..].iter().product();
    match (&mut result.data, &value.data) {
        (Data::Float(to), Data::Float(from)) => interleave(to, from, extent, inner, counter),
        (Data::Int(to), Data::Int(from)) => interleave(to, from, extent, inner, counter),
        _ => unreachable!("verified: of the same dtype"),
    }
}

fn interleave<T: Copy>(to: &mut [T], from: &[T], extent: usize, inner: usize, counter: usize) {
    if inner == 0 {
        return;
    }
    let blocks = to.chunks_exact_mut(extent * inner).zip(from.chunks_exact(inner));
    for (to, from) in blocks {
        to[counter * inner..][..inner].copy_from_slice(from);
    }
}

/// The permutation that sorts each line along a dim: stable, ascending, NaN last.
fn argsort(input: &Tensor, sort: &Argsort) -> Tensor {
    let extent = input.shape[sort.position];
    let inner: usize = input.shape[sort.position + 1..].iter().product();
    let outer: usize = input.shape[..sort.position].iter().product();
    let mut order = vec![0_i64; input.len()];
    for line in 0..outer * inner {
        let start = line / inner * extent * inner + line % inner;
        let mut positions: Vec<usize> = (0..extent).collect();
        match &input.data {
            Data::Float(x) => {
                let key = |n: &usize| x[start + n * inner];
                positions.sort_by(|a, b| {
                    let (a, b) = (key(a), key(b));
                    // −0 and +0 are equal; NaN is above everything, and equal to itself.
                    a.partial_cmp(&b).unwrap_or_else(|| a.is_nan().cmp(&b.is_nan()))
                });
            }
            Data::Int(x) => positions.sort_by_key(|n| x[start + n * inner]),
        }
        for (n, position) in positions.into_iter().enumerate() {
            order[start + n * inner] = position as i64;
        }
    }
    Tensor { dtype: DType::I32, shape: input.shape.clone(), data: Data::Int(order) }
}

fn escaped(program: &Program, out: ValueId, escape: Escape) -> EvalError {
    EvalError::OutOfRange {
        out: program.name_of(out),
        value: program.name_of(escape.value),
        position: escape.position,
        subscript: escape.subscript,
        extent: escape.extent,
    }
}
