//! The manifest's steps: actions on values become steps on buffers.

use crate::KernelGraph;
use crate::build::Number;
use crate::memory::{Memory, Place};
use crate::order::{Action, Order};
use einmesh_artifact as artifact;
use einmesh_artifact::{Buffer, Int, Panels, Step, Storage, Tensor};
use einmesh_ir::{
    Collective, CollectiveKind, DType, Id, Layout, LoopVarId, Program, Reducer, SpmdProgram,
    ValueId,
};

/// Puts the parts together.
pub fn assemble(
    spmd: &SpmdProgram,
    program: &Program,
    order: Order,
    memory: &Memory,
    panels: Vec<Option<Panels>>,
) -> KernelGraph {
    let mut ctx = Ctx { program, memory, buffers: Vec::new(), buffer_of: Vec::new() };
    ctx.number_buffers();
    let mut steps = ctx.steps(&order.actions);
    let layouts = spmd.inputs.iter().zip(panels);
    let tensors = spmd.program.inputs.iter().zip(layouts).enumerate();
    let inputs: Vec<Tensor> = tensors
        .map(|(position, (input, (layout, panels)))| Tensor {
            path: input.path.clone(),
            tensor: input.tensor.clone(),
            dtype: stored(program.values[input.value].dtype),
            dims: dims(&spmd.program, input.value, layout),
            axes: input.axes.iter().map(|n| *n as u32).collect(),
            buffer: ctx.input_buffer(position, input.value),
            donor: None,
            panels,
        })
        .collect();
    let mut outputs = Vec::new();
    for (position, (output, layout)) in spmd.program.outputs.iter().zip(&spmd.outputs).enumerate() {
        let held = ctx.buffer(output.value);
        let (buffer, donor) = match ctx.buffers[held as usize].storage {
            Storage::Output(o) if o as usize == position => (held, None),
            Storage::Input(i) if is_donor(&inputs[i as usize], &output.path, spmd, i) => {
                (held, Some(i))
            }
            _ => {
                let copy = ctx.output_buffer(position, output.value);
                steps.push(Step::Copy { from: held, to: copy });
                (copy, None)
            }
        };
        outputs.push(Tensor {
            path: output.path.clone(),
            tensor: output.tensor.clone(),
            dtype: stored(program.values[output.value].dtype),
            dims: dims(program, output.value, layout),
            axes: output.axes.iter().map(|n| *n as u32).collect(),
            buffer,
            donor,
            panels: None,
        });
    }
    let bytes = |b: &Buffer| b.bytes().expect("extents of a verified program do not overflow");
    let outside = ctx.buffers.iter().filter(|b| !matches!(b.storage, Storage::Arena(_)));
    let peak_bytes = memory.arena_bytes + outside.map(bytes).sum::<u64>();
    KernelGraph {
        kernels: order.kernels,
        arena_bytes: memory.arena_bytes,
        arena_bound: memory.arena_bound,
        loops: program.loop_vars.len() as u32,
        steps,
        inputs,
        outputs,
        peak_bytes,
        buffers: ctx.buffers,
    }
}

fn is_donor(input: &Tensor, output_path: &str, spmd: &SpmdProgram, position: u32) -> bool {
    input.path == output_path && spmd.program.inputs[position as usize].donated
}

struct Ctx<'a> {
    program: &'a Program,
    memory: &'a Memory,
    buffers: Vec<Buffer>,
    /// The buffer of each class.
    buffer_of: Vec<Option<u32>>,
}

impl Ctx<'_> {
    /// One buffer per class, in the order of the values.
    fn number_buffers(&mut self) {
        self.buffer_of = vec![None; self.memory.places.len()];
        for value in self.program.values.ids() {
            let Some(class) = self.memory.class_of[value] else {
                continue;
            };
            if self.buffer_of[class].is_none() {
                let storage = match self.memory.places[class] {
                    Place::Arena(offset) => Storage::Arena(offset),
                    Place::Input(position) => Storage::Input(position as u32),
                    Place::Output(position) => Storage::Output(position as u32),
                };
                self.buffer_of[class] = Some(self.push(value, storage));
            }
        }
    }

    fn push(&mut self, value: ValueId, storage: Storage) -> u32 {
        let of = &self.program.values[value];
        self.buffers.push(Buffer {
            name: of.name.clone(),
            dtype: stored(of.dtype),
            extents: self.program.extents(value),
            storage,
        });
        self.buffers.len() as u32 - 1
    }

    fn buffer(&self, value: ValueId) -> u32 {
        let class = self.memory.class_of[value];
        let buffer = class.and_then(|class| self.buffer_of[class]);
        buffer.expect("every value an action names is in memory")
    }

    /// The buffer an input is bound to; inputs that nothing reads have one too.
    fn input_buffer(&mut self, position: usize, value: ValueId) -> u32 {
        let held = self.buffer(value);
        match self.buffers[held as usize].storage {
            Storage::Input(p) if p as usize == position => held,
            _ => self.push(value, Storage::Input(position as u32)),
        }
    }

    fn output_buffer(&mut self, position: usize, value: ValueId) -> u32 {
        self.push(value, Storage::Output(position as u32))
    }

    fn steps(&self, actions: &[Action]) -> Vec<Step> {
        actions.iter().filter_map(|action| self.step(action)).collect()
    }

    fn step(&self, action: &Action) -> Option<Step> {
        Some(match action {
            Action::Launch { kernel, operands, ints } => Step::Launch {
                kernel: *kernel as u32,
                operands: operands.iter().map(|v| self.buffer(*v)).collect(),
                ints: ints.iter().map(|n| int(*n)).collect(),
            },
            Action::Copy { from, to } => {
                let (from, to) = (self.buffer(*from), self.buffer(*to));
                if from == to {
                    return None;
                }
                Step::Copy { from, to }
            }
            Action::Advance { from, to } => {
                let (a, b) = (self.buffer(*from), self.buffer(*to));
                if a == b {
                    return None;
                }
                if self.memory.swaps.contains(&(*from, *to)) {
                    Step::Swap { a, b }
                } else {
                    Step::Copy { from: a, to: b }
                }
            }
            Action::Loop { var, reversed, condition, ahead, body, .. } => Step::Loop {
                counter: var.0,
                extent: self.trips(*var),
                reversed: *reversed,
                condition: condition.map(|c| self.buffer(c)),
                ahead: artifact::Ahead {
                    steps: self.steps(&ahead.actions),
                    handed: ahead
                        .handed
                        .iter()
                        .map(|(next, now)| (self.buffer(*next), self.buffer(*now)))
                        .collect(),
                },
                steps: self.steps(body),
            },
            Action::Collective(c) => self.collective(c),
        })
    }

    fn trips(&self, var: LoopVarId) -> u64 {
        self.program.dims[self.program.loop_vars[var].dim].extent
    }

    fn collective(&self, c: &Collective) -> Step {
        let kind = match &c.kind {
            CollectiveKind::AllReduce(r) => {
                artifact::Collective::AllReduce { reduction: reduction(*r) }
            }
            CollectiveKind::AllGather { position } => {
                artifact::Collective::AllGather { position: *position as u32 }
            }
            CollectiveKind::ReduceScatter { reducer, position } => {
                artifact::Collective::ReduceScatter {
                    reduction: reduction(*reducer),
                    position: *position as u32,
                }
            }
            CollectiveKind::AllToAll { split, concat } => {
                artifact::Collective::AllToAll { split: *split as u32, concat: *concat as u32 }
            }
            CollectiveKind::CollectivePermute { shift, wrap } => {
                artifact::Collective::CollectivePermute { shift: *shift, wrap: *wrap }
            }
        };
        Step::Collective {
            kind,
            axes: c.axes.iter().map(|a| a.0).collect(),
            input: self.buffer(c.input),
            output: self.buffer(c.out),
        }
    }
}

fn int(number: Number) -> Int {
    match number {
        Number::LoopVar(var) => Int::Counter(var.0),
        Number::Coord(axis) => Int::Coord(axis.0),
    }
}

fn reduction(reducer: Reducer) -> artifact::Reduction {
    use artifact::Reduction;
    match reducer {
        Reducer::Sum => Reduction::Sum,
        Reducer::Prod => Reduction::Prod,
        Reducer::Max => Reduction::Max,
        Reducer::Min => Reduction::Min,
        Reducer::Any => Reduction::Any,
        Reducer::All => Reduction::All,
        Reducer::LogSumExp => Reduction::LogSumExp,
        Reducer::None | Reducer::ArgMax | Reducer::ArgMin => {
            unreachable!("the verifier of partitioned programs refuses collectives of {reducer:?}")
        }
    }
}

/// The artifact's name of an element type.
pub fn stored(dtype: DType) -> artifact::DType {
    match dtype {
        DType::F64 => artifact::DType::F64,
        DType::F32 => artifact::DType::F32,
        DType::Bf16 => artifact::DType::Bf16,
        DType::F16 => artifact::DType::F16,
        DType::I64 => artifact::DType::I64,
        DType::I32 => artifact::DType::I32,
        DType::Bool => artifact::DType::Bool,
        DType::Key => artifact::DType::Rng,
    }
}

fn dims(program: &Program, value: ValueId, layout: &Layout) -> Vec<artifact::DimLayout> {
    let names = program.values[value].dims.iter().map(|d| program.dims[*d].name.clone());
    let layouts = names.zip(&layout.dims);
    layouts
        .map(|(name, layout)| artifact::DimLayout {
            name,
            global: layout.global,
            local: layout.local,
            axes: layout.axes.iter().map(|a| a.index() as u32).collect(),
        })
        .collect()
}
