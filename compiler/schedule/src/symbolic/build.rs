//! From a program with symbolic dims to its launches.

use super::{Array, Extent, Launch, Order, Place, SymbolicGraph, SymbolicKernel, Unsupported};
use crate::build::{self, Number};
use crate::fuse::{self, Unit};
use crate::inline;
use crate::kernel::Kernel;
use crate::usage::Usage;
use einmesh_ir::{
    BinaryOp, Comprehension, DType, DimId, Expr, Id, Index, Literal, LoopVar, LoopVarId, Op,
    Origin, Program, Reducer, Value, ValueId,
};
use std::collections::{BTreeMap, BTreeSet};

/// Schedules a program whose symbolic dims have these names; a role without a number of its own has its dim's.
pub fn symbolic(program: &Program, symbols: &[String]) -> Result<SymbolicGraph, Unsupported> {
    let extents = Extents::of(program, symbols)?;
    straight(program)?;
    let mut program = program.clone();
    extents.mark(&mut program);
    launch_numbers(&mut program, &extents);
    own_outputs(&mut program);
    inline::inline(&mut program);
    let mut ctx = Ctx::new(&program, &extents);
    for unit in fuse::fuse_open(&program, &Usage::of(&program), &program.body) {
        ctx.launch(&unit);
    }
    Ok(SymbolicGraph { orders: vec![ctx.order], ..ctx.graph })
}

/// The extents of a program's dims, and the numbers that stand for symbols while kernels are built.
struct Extents {
    symbols: Vec<String>,
    of_dim: BTreeMap<DimId, Extent>,
    /// A number for each symbol that no dim has as its extent: what has it can be told.
    marks: Vec<u64>,
}

impl Extents {
    fn of(program: &Program, symbols: &[String]) -> Result<Extents, Unsupported> {
        let mut of_dim = BTreeMap::new();
        for (id, dim) in program.dims.iter() {
            let symbol = |id: &DimId| symbols.iter().position(|s| *s == program.dims[*id].name);
            let roles = std::iter::successors(Some(id), |d| program.dims[*d].role_of);
            let found = roles.take(program.dims.len()).find_map(|d| symbol(&d));
            let extent = match (dim.symbolic, found) {
                (false, _) => Extent::Fixed(dim.extent),
                (true, Some(symbol)) => Extent::Symbol(symbol as u32),
                (true, None) => {
                    let what = format!("a dim `{}` that no number is given for", dim.name);
                    return Err(Unsupported { what, origin: Origin::default() });
                }
            };
            of_dim.insert(id, extent);
        }
        let known: BTreeSet<u64> =
            program.dims.values().filter(|d| !d.symbolic).map(|d| d.extent).collect();
        let marks = (97..).filter(|mark| !known.contains(mark)).take(symbols.len()).collect();
        Ok(Extents { symbols: symbols.to_vec(), of_dim, marks })
    }

    /// Gives dims their marks.
    fn mark(&self, program: &mut Program) {
        for (id, extent) in &self.of_dim {
            if let Extent::Symbol(symbol) = extent {
                program.dims[*id].extent = self.marks[*symbol as usize];
            }
        }
    }

    /// What a kernel's extent stands for.
    fn read(&self, extent: u64) -> Extent {
        match self.marks.iter().position(|mark| *mark == extent) {
            Some(symbol) => Extent::Symbol(symbol as u32),
            None => Extent::Fixed(extent),
        }
    }

    fn of_value(&self, program: &Program, value: ValueId) -> Vec<Extent> {
        program.values[value].dims.iter().map(|d| self.of_dim[d]).collect()
    }

    /// The roles that must not be larger than their dims.
    fn within(&self, program: &Program) -> Vec<(Extent, Extent)> {
        let mut all: Vec<(Extent, Extent)> = Vec::new();
        for (id, dim) in program.dims.iter() {
            let Some(of) = dim.role_of else { continue };
            let pair = (self.of_dim[&id], self.of_dim[&of]);
            let known = |e| matches!(e, Extent::Fixed(_));
            if pair.0 != pair.1 && !(known(pair.0) && known(pair.1)) && !all.contains(&pair) {
                all.push(pair);
            }
        }
        all
    }
}

/// Refuses what is not a sequence of comprehensions.
fn straight(program: &Program) -> Result<(), Unsupported> {
    let unsupported = |what: &str, value: Option<&ValueId>| {
        let origin = value.map_or(Origin::default(), |v| program.values[*v].origin.clone());
        Err(Unsupported { what: what.to_owned(), origin })
    };
    if let Some(input) = program.inputs.iter().find(|i| i.donated) {
        return unsupported("an `inout` argument", Some(&input.value));
    }
    for op in &program.body.ops {
        let defined = op.defines();
        match op {
            Op::Compute(c) if c.store.is_some() => {
                return unsupported("writing to computed places", defined.first());
            }
            Op::Compute(_) => {}
            Op::Loop(_) => return unsupported("a loop", defined.first()),
            Op::Argsort(_) => return unsupported("sorting", defined.first()),
            Op::Collective(_) => return unsupported("communication", defined.first()),
        }
    }
    Ok(())
}

/// Replaces counted extents, which is how a program has them as numbers, by numbers passed at launch.
fn launch_numbers(program: &mut Program, extents: &Extents) {
    // Every dim serves: numbers of launches are not confined to its extent, because it is symbolic.
    let symbolic = program.dims.iter().find(|(_, d)| d.symbolic).map(|(id, _)| id);
    let Some(dim) = symbolic else { return };
    program.loop_vars = extents
        .symbols
        .iter()
        .map(|name| LoopVar { name: format!("extent of {name}"), dim })
        .collect();
    let mut counts: BTreeMap<ValueId, Expr> = BTreeMap::new();
    for op in &program.body.ops {
        if let Op::Compute(c) = op
            && is_count(c)
        {
            let each = c.indices.values().map(|index| match extents.of_dim[&index.dim] {
                Extent::Fixed(extent) => Expr::int(extent as i64),
                Extent::Symbol(symbol) => Expr::LoopVar(LoopVarId(symbol)),
            });
            let number = each.reduce(|a, b| Expr::binary(BinaryOp::Mul, a, b));
            let number = number.unwrap_or_else(|| Expr::int(1));
            let dtype = program.values[c.out].dtype;
            counts.insert(
                c.out,
                if dtype == DType::I32 { number } else { Expr::cast(dtype, number) },
            );
        }
    }
    for op in &mut program.body.ops {
        let Op::Compute(c) = op else { continue };
        for expr in c.exprs_mut() {
            let taken = std::mem::replace(expr, Expr::int(0));
            *expr = taken.map(&mut |e| match e {
                Expr::Load(load) => counts.get(&load.value).cloned().unwrap_or(Expr::Load(load)),
                other => other,
            });
        }
    }
    let wanted: BTreeSet<ValueId> = program.outputs.iter().map(|o| o.value).collect();
    program
        .body
        .ops
        .retain(|op| op.defines().iter().any(|v| wanted.contains(v) || !counts.contains_key(v)));
}

/// Whether a comprehension counts the points of its indices.
fn is_count(c: &Comprehension) -> bool {
    let mut body = &c.body;
    while let Expr::Cast(dtype, inner) = body
        && dtype.is_int()
    {
        body = inner;
    }
    let one = matches!(body, Expr::Literal(Literal::Int(dtype, 1)) if dtype.is_int());
    one && c.free == 0 && c.reducer == Reducer::Sum && c.guard.is_none() && c.store.is_none()
}

/// Gives each output that is an argument, or another output as well, memory of its own.
fn own_outputs(program: &mut Program) {
    let mut taken: BTreeSet<ValueId> = program.inputs.iter().map(|i| i.value).collect();
    for n in 0..program.outputs.len() {
        let value = program.outputs[n].value;
        if taken.insert(value) {
            continue;
        }
        let of = program.values[value].clone();
        let named = of.dims.iter().map(|d| program.dims[*d].name.to_lowercase());
        let index = |(dim, name): (&DimId, String)| Index { name, dim: *dim };
        let indices: einmesh_ir::Arena<_, Index> = of.dims.iter().zip(named).map(index).collect();
        let body = Expr::load(value, indices.ids().map(Expr::Index));
        let free = of.dims.len();
        let out = program.values.push(Value { ..of });
        let reducer = Reducer::None;
        let copy = Comprehension { out, indices, free, reducer, guard: None, body, store: None };
        program.body.ops.push(Op::Compute(copy));
        program.outputs[n].value = out;
    }
}

struct Ctx<'a> {
    program: &'a Program,
    usage: Usage,
    extents: &'a Extents,
    graph: SymbolicGraph,
    order: Order,
    places: BTreeMap<ValueId, Place>,
}

impl<'a> Ctx<'a> {
    fn new(program: &'a Program, extents: &'a Extents) -> Ctx<'a> {
        let array = |name: &str, value: ValueId| Array {
            name: name.to_owned(),
            dtype: program.values[value].dtype,
            extents: extents.of_value(program, value),
        };
        let graph = SymbolicGraph {
            symbols: extents.symbols.clone(),
            within: extents.within(program),
            inputs: program.inputs.iter().map(|i| array(&i.path, i.value)).collect(),
            outputs: program.outputs.iter().map(|o| array(&o.path, o.value)).collect(),
            ..SymbolicGraph::default()
        };
        let inputs = program.inputs.iter().enumerate();
        let inputs = inputs.map(|(n, i)| (i.value, Place::Input(n as u32)));
        let outputs = program.outputs.iter().enumerate();
        let outputs = outputs.map(|(n, o)| (o.value, Place::Output(n as u32)));
        let places = inputs.chain(outputs).collect();
        let order = Order::default();
        Ctx { program, usage: Usage::of(program), extents, graph, order, places }
    }

    fn launch(&mut self, unit: &Unit) {
        let launch = match unit {
            Unit::Products(products) => build::products(self.program, products),
            Unit::Nest { outer, members } => {
                build::nest(self.program, &self.usage, outer.as_deref(), members)
            }
            _ => unreachable!("a straight line has products and nests"),
        };
        let kernel = self.kernel(launch.kernel, &launch.ints);
        let same = |k: &SymbolicKernel| {
            k.kernel.computes_the_same(&kernel.kernel)
                && (&k.indices, &k.values) == (&kernel.indices, &kernel.values)
        };
        let number = self.graph.kernels.iter().position(same).unwrap_or_else(|| {
            self.graph.kernels.push(kernel);
            self.graph.kernels.len() - 1
        });
        let operands = launch.operands.iter().map(|v| self.place(*v)).collect();
        self.order.launches.push(Launch { kernel: number as u32, operands });
    }

    /// A kernel with its extents read off, and all symbols as its launch numbers.
    fn kernel(&self, mut kernel: Kernel, ints: &[Number]) -> SymbolicKernel {
        for expr in kernel.body.exprs_mut() {
            let taken = std::mem::replace(expr, Expr::int(0));
            *expr = taken.map(&mut |e| match e {
                Expr::LoopVar(slot) => match ints[slot.index()] {
                    Number::LoopVar(symbol) => Expr::LoopVar(symbol),
                    Number::Coord(_) => unreachable!("the program runs on one device"),
                },
                other => other,
            });
        }
        kernel.ints = self.extents.symbols.len() as u32;
        let read = |extent: &u64| self.extents.read(*extent);
        let indices = kernel.indices.iter().map(|i| read(&i.extent)).collect();
        let values = kernel.values.iter().map(|v| v.extents.iter().map(read).collect()).collect();
        SymbolicKernel { kernel, indices, values }
    }

    fn place(&mut self, value: ValueId) -> Place {
        if let Some(place) = self.places.get(&value) {
            return *place;
        }
        let of = &self.program.values[value];
        self.order.temporaries.push(Array {
            name: of.name.clone(),
            dtype: of.dtype,
            extents: self.extents.of_value(self.program, value),
        });
        let place = Place::Temporary(self.order.temporaries.len() as u32 - 1);
        self.places.insert(value, place);
        place
    }
}
