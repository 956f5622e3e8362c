//! Sharding rules, read off the subscripts.
//!
//! A [`Rule`] says for each dim of each value an operation touches which of its indices runs along
//! it. This is all that propagation, the choice of splits and the cost of moving operands need;
//! nothing here depends on what the body computes.

use crate::cost::{product, work};
use crate::groups::Groups;
use einmesh_ir::affine::Affine;
use einmesh_ir::{Argsort, Block, Comprehension, Expr, Id, IndexId, Op, Program, Reducer, ValueId};
use std::collections::BTreeSet;

/// How an operation subscripts one dim of a value.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Sub {
    /// By this index alone, and both have the same extent: their blocks coincide.
    Index(usize),
    /// By a form in these indices: a halo, or a subrange of the dim.
    Affine(Vec<usize>),
    /// By a loaded integer.
    Gather,
    /// By a constant or a loop's counter: one position.
    Fixed,
}

/// A value as an operation touches it.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Operand {
    /// The value.
    pub(crate) value: ValueId,
    /// One per dim.
    pub(crate) subs: Vec<Sub>,
    /// The operation's indices that occur in the subscripts, inside gathers too.
    pub(crate) indices: Vec<usize>,
}

/// One index of an operation.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct RuleIndex {
    /// Its number of positions.
    pub(crate) extent: u64,
    /// The name of its dim.
    pub(crate) dim: String,
    /// Whether devices that divide its positions have partial results.
    pub(crate) reduced: bool,
    /// Whether devices may divide its positions among them.
    pub(crate) splittable: bool,
}

/// The sharding rule of one operation.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Rule {
    /// What it computes.
    pub(crate) out: Operand,
    /// What it reads, each distinct load once.
    pub(crate) reads: Vec<Operand>,
    /// Its index space.
    pub(crate) indices: Vec<RuleIndex>,
    /// How partial results combine.
    pub(crate) reducer: Reducer,
    /// How often it runs: the product of the extents of the loops around it.
    pub(crate) trips: u64,
    /// The arithmetic operations of all its points.
    pub(crate) flops: u64,
    /// Whether it is a comprehension, which the plan splits, or an `argsort`, which follows its
    /// operands.
    pub(crate) is_comprehension: bool,
}

/// The rules of a program, in program order.
pub(crate) struct Rules {
    /// One per operation.
    pub(crate) all: Vec<Rule>,
    /// For each group, the rules that touch one of its values.
    touching: Vec<BTreeSet<usize>>,
    /// Slots that are subscripted by a constant or a loop's counter somewhere: splitting them would
    /// leave most devices without work, so propagation does not.
    fixed: BTreeSet<usize>,
}

impl Rules {
    /// Extracts the rules of a program.
    pub(crate) fn of(program: &Program, groups: &Groups) -> Rules {
        let mut all = Vec::new();
        extract(program, &program.body, 1, &mut all);
        let mut touching = vec![BTreeSet::new(); groups.len()];
        let mut fixed = BTreeSet::new();
        for (number, rule) in all.iter().enumerate() {
            for operand in rule.operands() {
                touching[groups.group(operand.value)].insert(number);
                for (position, sub) in operand.subs.iter().enumerate() {
                    if *sub == Sub::Fixed {
                        fixed.insert(groups.slot(operand.value, position));
                    }
                }
            }
        }
        Rules { all, touching, fixed }
    }

    /// The rules that touch a group, in program order.
    pub(crate) fn touching(&self, group: usize) -> impl Iterator<Item = usize> + '_ {
        self.touching[group].iter().copied()
    }

    /// Whether the slot is subscripted by a constant or a loop's counter.
    pub(crate) fn is_fixed(&self, slot: usize) -> bool {
        self.fixed.contains(&slot)
    }
}

impl Rule {
    /// What it reads, then what it writes.
    pub(crate) fn operands(&self) -> impl Iterator<Item = &Operand> {
        self.reads.iter().chain(std::iter::once(&self.out))
    }
}

impl Operand {
    /// The dims that run along an index.
    pub(crate) fn along(&self, index: usize) -> impl Iterator<Item = usize> + '_ {
        let subs = self.subs.iter().enumerate();
        subs.filter(move |(_, sub)| **sub == Sub::Index(index)).map(|(position, _)| position)
    }
}

fn extract(program: &Program, block: &Block, trips: u64, rules: &mut Vec<Rule>) {
    for op in &block.ops {
        match op {
            Op::Compute(c) => rules.push(comprehension(program, c, trips)),
            Op::Argsort(a) => rules.push(argsort(program, a, trips)),
            Op::Loop(l) => {
                let extent = program.dims[program.loop_vars[l.var].dim].extent;
                extract(program, &l.body, trips.saturating_mul(extent), rules);
            }
            Op::Collective(_) => {}
        }
    }
}

fn comprehension(program: &Program, c: &Comprehension, trips: u64) -> Rule {
    let subs: Vec<Expr> = match &c.store {
        Some(store) => store.subs.clone(),
        None => c.free_indices().map(Expr::Index).collect(),
    };
    let out = operand(program, c, c.out, &subs);
    let mut reads: Vec<Operand> = Vec::new();
    for load in c.exprs().flat_map(Expr::loads) {
        let read = operand(program, c, load.value, &load.subs);
        if !reads.contains(&read) {
            reads.push(read);
        }
    }
    if let Some(store) = &c.store {
        reads.push(Operand { value: store.base, ..out.clone() });
    }
    let reducer = c.store.as_ref().map_or(c.reducer, |store| store.combine);
    let indices = c.indices.iter().map(|(id, index)| {
        let dim = &program.dims[index.dim];
        let owned = out.along(id.index()).next().is_some();
        // Whether partial results of devices that divide the index combine to the whole. Points
        // that are overwritten do not, nor points that are first reduced in another way.
        let combines = match c.store {
            None => true,
            Some(_) => matches!(c.reducer, Reducer::None) || c.reducer == reducer,
        };
        let combines = combines && reducer != Reducer::None;
        let splittable = dim.extent > 1 && (owned || combines);
        RuleIndex { extent: dim.extent, dim: dim.name.clone(), reduced: !owned, splittable }
    });
    let indices = indices.collect();
    Rule {
        out,
        reads,
        indices,
        reducer,
        trips,
        flops: work(program, c).flops,
        is_comprehension: true,
    }
}

fn argsort(program: &Program, a: &Argsort, trips: u64) -> Rule {
    let dims = &program.values[a.out].dims;
    let subs: Vec<Sub> = (0..dims.len()).map(Sub::Index).collect();
    let indices: Vec<usize> = (0..dims.len()).collect();
    let touched = |value| Operand { value, subs: subs.clone(), indices: indices.clone() };
    let index = |(position, dim): (usize, &einmesh_ir::DimId)| {
        let dim = &program.dims[*dim];
        let splittable = position != a.position && dim.extent > 1;
        RuleIndex { extent: dim.extent, dim: dim.name.clone(), reduced: false, splittable }
    };
    Rule {
        out: touched(a.out),
        reads: vec![touched(a.input)],
        indices: dims.iter().enumerate().map(index).collect(),
        reducer: Reducer::None,
        trips,
        flops: product(program.extents(a.out)),
        is_comprehension: false,
    }
}

fn operand(program: &Program, c: &Comprehension, value: ValueId, subs: &[Expr]) -> Operand {
    let dims = program.values[value].dims.iter();
    let kinds = subs.iter().zip(dims).map(|(sub, dim)| {
        if !sub.loads().is_empty() {
            return Sub::Gather;
        }
        if let Some(index) = Affine::of(sub).and_then(|form| form.as_index())
            && program.dims[c.indices[index].dim].extent == program.dims[*dim].extent
        {
            return Sub::Index(index.index());
        }
        match mentioned(c, sub) {
            none if none.is_empty() => Sub::Fixed,
            some => Sub::Affine(some),
        }
    });
    let kinds = kinds.collect();
    let all: BTreeSet<usize> = subs.iter().flat_map(|sub| mentioned(c, sub)).collect();
    Operand { value, subs: kinds, indices: all.into_iter().collect() }
}

fn mentioned(c: &Comprehension, e: &Expr) -> Vec<usize> {
    c.indices.ids().filter(|i: &IndexId| e.mentions(*i)).map(|i| i.index()).collect()
}
