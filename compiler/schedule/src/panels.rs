//! Weights in panels: parameters whose readers are matrix products lie in memory as those read them.
//!
//! A parameter `w[…, k, n]` that products sum over `k` becomes `w'[…, n / 32, k, n mod 32]`, and every load of
//! it changes accordingly, so that the program means the same. Whoever binds the parameter puts its elements
//! there once; a matrix kernel then finds its panels ready instead of copying them at every call.
//!
//! This is for parameters (leaves of records) that a program only reads: what it updates keeps its order.

use crate::contraction::Product;
use crate::fuse::{self, Unit};
use crate::inline::clamp;
use crate::usage::Usage;
use einmesh_artifact::Panels;
use einmesh_ir::{
    BinaryOp, Block, Bounds, Comprehension, DType, Dim, Expr, IndexId, Load, Op, Program, ValueId,
};
use std::collections::BTreeMap;

/// Columns of a panel: two vectors of f32 with AVX-512, four with AVX2.
const WIDTH: u64 = 32;

/// How many times more the program's products must compute than a parameter's other readers read: those get
/// slower. All products count, so that programs of one model agree: reading a prompt and making a step.
const PAYS: u128 = 256;

/// Gives parameters their panels, in the order of the inputs.
pub fn pack(program: &mut Program) -> Vec<Option<Panels>> {
    let mut readings = Readings { program, of: BTreeMap::new(), work: 0 };
    for input in &program.inputs {
        let parameter = !input.records.is_empty() && !input.donated;
        let dtype = program.values[input.value].dtype;
        if parameter && matches!(dtype, DType::F32 | DType::F64 | DType::Bf16) {
            readings.of.insert(input.value, Reading::default());
        }
    }
    let usage = Usage::of(program);
    readings.block(&usage, &program.body, 1);
    for output in &program.outputs {
        readings.of.remove(&output.value);
    }
    let work = readings.work;
    let chosen: BTreeMap<ValueId, Panels> =
        readings.of.into_iter().filter_map(|(value, r)| Some((value, r.panels(work)?))).collect();
    let mut body = std::mem::take(&mut program.body);
    rewrite(program, &chosen, &mut body);
    program.body = body;
    for (value, panels) in &chosen {
        change_dims(program, *value, panels);
    }
    program.inputs.iter().map(|input| chosen.get(&input.value).cloned()).collect()
}

/// Who reads a parameter.
#[derive(Default)]
struct Reading {
    /// What all products so far agree on.
    panels: Option<Panels>,
    /// Points at which anything else reads.
    elsewhere: u128,
    /// Whether it has to stay as it is.
    refused: bool,
}

impl Reading {
    fn panels(self, work: u128) -> Option<Panels> {
        let pays = self.elsewhere.saturating_mul(PAYS) <= work;
        self.panels.filter(|_| pays && !self.refused)
    }
}

struct Readings<'a> {
    program: &'a Program,
    of: BTreeMap<ValueId, Reading>,
    /// Multiplications and additions of all products.
    work: u128,
}

impl Readings<'_> {
    /// Notes what a block reads that is run so many times.
    fn block(&mut self, usage: &Usage, block: &Block, times: u128) {
        let mut products: BTreeMap<ValueId, (Product, Comprehension)> = BTreeMap::new();
        let mut others: Vec<ValueId> = Vec::new();
        for unit in fuse::fuse(self.program, usage, block) {
            match unit {
                Unit::Products(multiplies) => {
                    for found in multiplies {
                        others.extend(found.epilogue.iter().map(|c| c.out));
                        let stored = found.writer().clone();
                        products.insert(found.sum.out, (found.product, stored));
                    }
                }
                Unit::Nest { members, .. } => others.extend(members.iter().map(|c| c.out)),
                Unit::Online(_) | Unit::Sweep(_) | Unit::Other(_) => {}
            }
        }
        for op in &block.ops {
            match op {
                Op::Compute(c) => match products.get(&c.out) {
                    Some((product, stored)) => {
                        self.work += 2 * times * self.points(c);
                        self.product(c, product, stored);
                    }
                    None => self.other(c, times, others.contains(&c.out)),
                },
                Op::Loop(l) => {
                    for carried in &l.carried {
                        self.refuse(carried.init);
                        self.refuse(carried.exit);
                    }
                    l.collected.iter().for_each(|c| self.refuse(c.value));
                    let trips = self.program.dims[self.program.loop_vars[l.var].dim].extent;
                    self.block(usage, &l.body, times * u128::from(trips));
                }
                Op::Argsort(sort) => self.refuse(sort.input),
                Op::Collective(c) => self.refuse(c.input),
            }
        }
    }

    fn refuse(&mut self, value: ValueId) {
        if let Some(reading) = self.of.get_mut(&value) {
            reading.refused = true;
        }
    }

    fn points(&self, c: &Comprehension) -> u128 {
        let extents = c.indices.values().map(|i| self.program.dims[i.dim].extent);
        extents.map(u128::from).product()
    }

    /// Notes what a matrix product reads.
    fn product(&mut self, c: &Comprehension, product: &Product, stored: &Comprehension) {
        let sides = [(&product.lhs, &product.m), (&product.rhs, &product.n)];
        let mut seen: Vec<ValueId> = Vec::new();
        for (factor, across) in sides {
            let Some(load) = plain(self.program, factor) else {
                continue;
            };
            let panels = self.panels(c, load, across, &product.k);
            let last = stored.free_indices().last().map(|i| stored.indices[i].dim);
            let contiguous = across.last().map(|i| c.indices[*i].dim) == last;
            let Some(reading) = self.of.get_mut(&load.value) else {
                continue;
            };
            seen.push(load.value);
            let agrees = reading.panels.is_none() || reading.panels == panels;
            if panels.is_none() || !contiguous || !agrees || c.guard.is_some() {
                reading.refused = true;
            }
            reading.panels = panels;
        }
        // A second load, in a coefficient or in the other factor, is not one of a whole matrix.
        for load in c.exprs().flat_map(Expr::loads) {
            let plain_loads =
                sides.iter().filter(|(f, _)| plain(self.program, f) == Some(load)).count();
            if !seen.contains(&load.value) || plain_loads == 0 {
                self.refuse(load.value);
            }
        }
    }

    /// Notes what anything else reads; only `elementwise` readers can read panels.
    fn other(&mut self, c: &Comprehension, times: u128, elementwise: bool) {
        let points = times * self.points(c);
        if let Some(store) = &c.store {
            self.refuse(store.base);
        }
        for load in c.exprs().flat_map(Expr::loads) {
            if let Some(reading) = self.of.get_mut(&load.value) {
                reading.elsewhere += points;
                reading.refused |= !elementwise || matches!(load.bounds, Bounds::Else(_));
            }
        }
    }

    /// The panels of a factor with these columns and depths, if each dim is one of them or neither.
    fn panels(
        &self,
        c: &Comprehension,
        load: &Load,
        across: &[IndexId],
        along: &[IndexId],
    ) -> Option<Panels> {
        let extents = self.program.extents(load.value);
        let mut panels = Panels { across: vec![], along: vec![], width: WIDTH };
        let (mut columns, mut depths) = (Vec::new(), Vec::new());
        for (position, sub) in load.subs.iter().enumerate() {
            match sub {
                Expr::Index(i) => {
                    if self.program.dims[c.indices[*i].dim].extent != extents[position] {
                        return None;
                    }
                    let (dims, indices) = match (across.contains(i), along.contains(i)) {
                        (true, _) => (&mut panels.across, &mut columns),
                        (_, true) => (&mut panels.along, &mut depths),
                        _ => return None,
                    };
                    dims.push(position as u32);
                    indices.push(*i);
                }
                sub if c.indices.ids().any(|i| sub.mentions(i)) => return None,
                _ => {}
            }
        }
        depths.sort();
        let mut all_depths = along.to_vec();
        all_depths.sort();
        let count: u64 = panels.across.iter().map(|d| extents[*d as usize]).product();
        let fits = i32::try_from(extents.iter().product::<u64>()).is_ok();
        (columns == across && depths == all_depths && count >= WIDTH && fits).then_some(panels)
    }
}

/// A factor that is a load, or that of a bf16 number which products take as it is. One that is converted otherwise
/// is copied for the product anyway.
fn plain<'e>(program: &Program, factor: &'e Expr) -> Option<&'e Load> {
    match factor {
        Expr::Load(load) if load.bounds == Bounds::Proven => Some(load),
        Expr::Cast(DType::F32, inner) => {
            plain(program, inner).filter(|load| program.values[load.value].dtype == DType::Bf16)
        }
        _ => None,
    }
}

/// Changes every load of a chosen value.
fn rewrite(program: &Program, chosen: &BTreeMap<ValueId, Panels>, block: &mut Block) {
    for op in &mut block.ops {
        match op {
            Op::Compute(c) => {
                for expr in c.exprs_mut() {
                    let taken = std::mem::replace(expr, Expr::int(0));
                    *expr = taken.map(&mut |e| match e {
                        Expr::Load(load) if chosen.contains_key(&load.value) => {
                            Expr::Load(moved(program, &chosen[&load.value], load))
                        }
                        other => other,
                    });
                }
            }
            Op::Loop(l) => rewrite(program, chosen, &mut l.body),
            Op::Argsort(_) | Op::Collective(_) => {}
        }
    }
}

/// The load of the same element from panels.
fn moved(program: &Program, panels: &Panels, load: Load) -> Load {
    let extents = program.extents(load.value);
    let at = |position: usize| {
        let sub = load.subs[position].clone();
        let sub = match load.bounds {
            Bounds::Clamp => clamp(program, sub, extents[position]),
            _ => sub,
        };
        match program.dtype_of(&sub) {
            DType::I32 => sub,
            _ => Expr::cast(DType::I32, sub),
        }
    };
    let flat = |dims: &[u32]| {
        let mut stride = 1;
        let mut sum: Option<Expr> = None;
        for dim in dims.iter().rev() {
            let position = *dim as usize;
            let term = match stride {
                1 => at(position),
                _ => Expr::binary(BinaryOp::Mul, at(position), Expr::int(stride)),
            };
            sum = Some(match sum {
                None => term,
                Some(inner) => Expr::binary(BinaryOp::Add, term, inner),
            });
            stride *= extents[position] as i64;
        }
        sum.unwrap_or(Expr::int(0))
    };
    let width = || Expr::int(panels.width as i64);
    let (column, depth) = (flat(&panels.across), flat(&panels.along));
    let mut subs: Vec<Expr> = panels.outer(extents.len()).map(at).collect();
    subs.push(Expr::binary(BinaryOp::FloorDiv, column.clone(), width()));
    subs.push(depth);
    subs.push(Expr::binary(BinaryOp::Rem, column, width()));
    Load { value: load.value, subs, bounds: Bounds::Proven }
}

/// Gives a value the dims of its memory.
fn change_dims(program: &mut Program, value: ValueId, panels: &Panels) {
    let dims = program.values[value].dims.clone();
    let extents = program.extents(value);
    let memory = panels.extents(&extents).expect("it was seen to have fewer than 2³¹ elements");
    let mut new: Vec<_> = panels.outer(dims.len()).map(|d| dims[d]).collect();
    let name = |group: &[u32]| {
        let names = group.iter().map(|d| program.dims[dims[*d as usize]].name.as_str());
        names.collect::<Vec<&str>>().join(".")
    };
    let (columns, depths) = (name(&panels.across), name(&panels.along));
    let names =
        [format!("{columns}/{}", panels.width), depths, format!("{columns}%{}", panels.width)];
    for (name, extent) in names.into_iter().zip(&memory[new.len()..]) {
        new.push(program.dims.push(Dim { name, extent: *extent, role_of: None, symbolic: false }));
    }
    debug_assert_eq!(new.len(), memory.len());
    program.values[value].dims = new;
}
