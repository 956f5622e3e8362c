//! The program around the comprehensions: dims, inputs, blocks, loops, outputs.

use super::{Fill, GenerateOptions, InputSpec, Mode, Random};
use crate::arena::Id;
use crate::dtype::DType;
use crate::program::*;

/// A value that may be read, and what is known of its numbers.
#[derive(Clone, Debug)]
pub(super) struct Known {
    pub value: ValueId,
    pub dtype: DType,
    pub dims: Vec<DimId>,
    /// Whether floats are whole numbers that every precision computes alike.
    pub exact: bool,
    /// The largest absolute value, possibly infinite. Not tracked for integers.
    pub bound: f64,
}

pub(super) struct Gen<'o> {
    pub random: Random,
    pub options: &'o GenerateOptions,
    pub program: Program,
    pub known: Vec<Known>,
    pub ops: Vec<Op>,
    pub loops: Vec<LoopVarId>,
    specs: Vec<InputSpec>,
}

impl<'o> Gen<'o> {
    pub fn new(seed: u64, options: &'o GenerateOptions) -> Gen<'o> {
        let program = Program { name: format!("random_{seed}"), ..Program::default() };
        let (known, ops, loops, specs) = Default::default();
        Gen { random: Random::new(seed), options, program, known, ops, loops, specs }
    }

    pub fn extent(&self, dim: DimId) -> u64 {
        self.program.dims[dim].extent
    }

    pub fn is_exact(&self) -> bool {
        self.options.mode == Mode::Exact
    }

    /// The largest absolute value that floats of a dtype are kept to.
    pub fn limit(&self, dtype: DType) -> f64 {
        match dtype {
            // Integers up to here are numbers of the dtype.
            DType::Bf16 => 256.0,
            DType::F16 => 2048.0,
            // Partial sums stay exact in f32, with some room.
            _ => 4_194_304.0,
        }
    }

    pub fn dims(&mut self) {
        let max = self.options.max_extent;
        for name in ["B", "T", "D", "H", "K", "L"] {
            // Extents of 1 are where broadcasting and slicing go wrong.
            let extent = if self.random.chance(12) { 1 } else { 1 + self.random.below(max) };
            let dim = Dim { name: name.to_owned(), extent, role_of: None, symbolic: false };
            self.program.dims.push(dim);
        }
        let role_of = Some(DimId(1));
        let extent = self.extent(DimId(1));
        self.program.dims.push(Dim { name: "U".to_owned(), extent, role_of, symbolic: false });
        let extent = 1 + self.random.below(3);
        self.program.dims.push(Dim {
            name: extent.to_string(),
            extent,
            role_of: None,
            symbolic: false,
        });
    }

    /// Up to `most` distinct dims that together have not too many elements.
    pub fn some_dims(&mut self, most: u64) -> Vec<DimId> {
        let mut dims: Vec<DimId> = self.program.dims.ids().collect();
        self.random.shuffle(&mut dims);
        dims.truncate(self.random.below(most + 1) as usize);
        let mut elements = 1;
        let (limit, all) = (self.options.max_points, &self.program.dims);
        dims.retain(|dim| {
            let fits = elements * all[*dim].extent <= limit;
            elements *= if fits { all[*dim].extent } else { 1 };
            fits
        });
        dims
    }

    pub fn float_dtype(&mut self) -> DType {
        match self.random.below(10) {
            0 if self.options.halves => DType::Bf16,
            1 if self.options.halves => DType::F16,
            2 if self.options.wide => DType::F64,
            _ => DType::F32,
        }
    }

    pub fn int_dtype(&mut self) -> DType {
        if self.options.wide && self.random.chance(20) { DType::I64 } else { DType::I32 }
    }

    pub fn inputs(&mut self) {
        for n in 0..4 {
            let dtype = if n == 0 { DType::F32 } else { self.float_dtype() };
            let whole = self.is_exact() || self.random.chance(25);
            let fill = if whole { Fill::Whole { low: -4, high: 4 } } else { Fill::Unit };
            let dims = self.some_dims(4);
            self.input("x", dtype, dims, fill);
        }
        let dims = self.some_dims(3);
        let dtype = self.int_dtype();
        // Subscripts, some of them out of range.
        let high = self.options.max_extent as i64 + 1;
        self.input("n", dtype, dims, Fill::Whole { low: -2, high });
        let dims = self.some_dims(3);
        self.input("keep", DType::Bool, dims, Fill::Whole { low: 0, high: 1 });
        self.input("go", DType::Bool, Vec::new(), Fill::Whole { low: 0, high: 1 });
        if self.options.random {
            self.input("seed", DType::Key, Vec::new(), Fill::Whole { low: 0, high: 1 << 40 });
        }
    }

    fn input(&mut self, name: &str, dtype: DType, dims: Vec<DimId>, fill: Fill) {
        let value = self.value(name, dtype, &dims);
        let path = format!("{name}{}", value.index());
        self.program.values[value].name = path.clone();
        self.program.inputs.push(Input {
            value,
            tensor: path.clone(),
            path,
            records: Vec::new(),
            axes: vec![1; dims.len()],
            donated: false,
        });
        let shape = dims.iter().map(|d| self.extent(*d)).collect();
        self.specs.push(InputSpec { dtype, shape, fill });
        let exact = fill != Fill::Unit;
        let bound = if exact { 4.0 } else { 1.0 };
        self.known.push(Known { value, dtype, dims, exact, bound });
    }

    pub fn value(&mut self, name: &str, dtype: DType, dims: &[DimId]) -> ValueId {
        let (name, dims, origin) = (name.to_owned(), dims.to_vec(), Origin::default());
        self.program.values.push(Value { name, dtype, dims, origin })
    }

    /// Appends one operation.
    pub fn operation(&mut self) {
        // A kind that does not apply here, for lack of a suitable value, leaves no trace.
        for _ in 0..20 {
            let done = match self.random.below(21) {
                0..=4 => self.contraction(),
                5..=8 => self.reduction(),
                9..=12 => self.elementwise(),
                13 | 14 => self.options.stores && self.store(),
                15 | 16 => self.options.loops && self.loops.is_empty() && self.repetition(),
                17 => self.options.sorts && self.sort(),
                18 => self.options.random && self.noise(),
                19 => self.attention() || self.siblings(),
                _ => self.conversion(),
            };
            if done {
                return;
            }
        }
    }

    fn sort(&mut self) -> bool {
        let fits = |k: &&Known| {
            let number = k.dtype.is_int() || (k.dtype.is_float() && k.exact);
            number && !k.dims.is_empty()
        };
        let candidates: Vec<Known> = self.known.iter().filter(fits).cloned().collect();
        if candidates.is_empty() {
            return false;
        }
        let input = self.random.pick(&candidates);
        let position = self.random.below(input.dims.len() as u64) as usize;
        let out = self.value("order", DType::I32, &input.dims);
        self.ops.push(Op::Argsort(Argsort { out, input: input.value, position }));
        let (dtype, dims) = (DType::I32, input.dims);
        self.known.push(Known { value: out, dtype, dims, exact: true, bound: 0.0 });
        true
    }

    /// A loop over a small dim: one to two states, some operations, up to two collected values.
    fn repetition(&mut self) -> bool {
        let dim = self.random.pick(&[DimId(5), DimId(0), DimId(7)]);
        let starts = |k: &&Known| match k.dtype.is_float() {
            true => k.bound <= self.limit(k.dtype) / 4.0,
            false => k.dtype.is_int(),
        };
        let candidates: Vec<Known> = self.known.iter().filter(starts).cloned().collect();
        if candidates.is_empty() {
            return false;
        }
        let name = if self.random.chance(50) { "l" } else { "step" }.to_owned();
        let var = self.program.loop_vars.push(LoopVar { name, dim });
        let outside = self.known.len();
        let before = std::mem::take(&mut self.ops);
        self.loops.push(var);

        let mut states = Vec::new();
        for _ in 0..1 + self.random.below(2) {
            let init = self.random.pick(&candidates);
            let entry = self.value("state", init.dtype, &init.dims);
            // The state is kept within the bound it may start from.
            let (bound, exact) = (init.bound.max(64.0), self.is_exact());
            let state = Known { value: entry, bound, exact, ..init.clone() };
            self.known.push(state.clone());
            states.push((init.value, state));
        }
        for _ in 0..1 + self.random.below(3) {
            self.operation();
        }
        let ends = self.random.chance(30).then(|| self.truth());
        let carried: Vec<(ValueId, Known, ValueId)> = states
            .into_iter()
            .map(|(init, state)| {
                let exit = self.update(&state);
                (init, state, exit)
            })
            .collect();
        let collectable = |k: &Known| k.dtype != DType::Key && !k.dims.contains(&dim);
        let candidates: Vec<Known> =
            self.known[outside..].iter().filter(|k| collectable(k)).cloned().collect();
        let mut collected = Vec::new();
        let none = candidates.is_empty() || ends.is_some();
        for _ in 0..if none { 0 } else { self.random.below(3) } {
            collected.push(self.random.pick(&candidates));
        }

        self.loops.pop();
        self.known.truncate(outside);
        let body = Block { ops: std::mem::replace(&mut self.ops, before) };
        let reversed = self.random.chance(30);
        let mut op =
            Loop { var, reversed, condition: None, carried: vec![], collected: vec![], body };
        if let Some(exit) = ends {
            let single = |k: &&Known| k.dtype == DType::Bool && k.dims.is_empty();
            let singles: Vec<ValueId> = self.known.iter().filter(single).map(|k| k.value).collect();
            let init = self.random.pick(&singles);
            let [entry, result] = ["going", "going"].map(|n| self.value(n, DType::Bool, &[]));
            op.carried.push(Carried { init, entry, exit, result });
            op.condition = Some(entry);
            let (dtype, dims) = (DType::Bool, Vec::new());
            self.known.push(Known { value: result, dtype, dims, exact: true, bound: 1.0 });
        }
        for (init, state, exit) in carried {
            let result = self.value("state", state.dtype, &state.dims);
            op.carried.push(Carried { init, entry: state.value, exit, result });
            self.known.push(Known { value: result, ..state });
        }
        for known in collected {
            let position = self.random.below(known.dims.len() as u64 + 1) as usize;
            let mut dims = known.dims.clone();
            dims.insert(position, dim);
            let result = self.value("all", known.dtype, &dims);
            op.collected.push(Collected { value: known.value, result, position });
            self.known.push(Known { value: result, dims, ..known });
        }
        self.ops.push(Op::Loop(op));
        true
    }

    /// Makes outputs of the values that nothing reads, so that no operation goes unobserved.
    pub fn finish(mut self) -> (Program, Vec<InputSpec>) {
        let mut read = Vec::new();
        reads(&self.ops, &mut read);
        let inputs = self.program.inputs.len();
        let unread: Vec<&Known> = self
            .known
            .iter()
            .skip(inputs)
            .filter(|k| !read.contains(&k.value) && k.dtype != DType::Key)
            .collect();
        for known in unread {
            let path = format!("out{}", known.value.index());
            self.program.outputs.push(Output {
                value: known.value,
                tensor: path.clone(),
                path,
                axes: vec![1; known.dims.len()],
            });
        }
        if self.options.donations {
            self.new_states();
        }
        self.program.body = Block { ops: self.ops };
        (self.program, self.specs)
    }
}

/// The values that operations read from the blocks around.
fn reads(ops: &[Op], all: &mut Vec<ValueId>) {
    for op in ops {
        match op {
            Op::Compute(c) => all.extend(c.reads()),
            Op::Argsort(sort) => all.push(sort.input),
            Op::Collective(c) => all.push(c.input),
            Op::Loop(l) => {
                all.extend(l.carried.iter().flat_map(|c| [c.init, c.exit]));
                all.extend(l.collected.iter().map(|c| c.value));
                reads(&l.body.ops, all);
            }
        }
    }
}
