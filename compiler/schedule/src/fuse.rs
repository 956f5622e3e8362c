//! Fusion into kernels: which comprehensions of a block run together.
//!
//! Four shapes are formed. Reductions over a matrix product that need not be stored take the whole of it
//! ([`online`]), and so do sums that its points weigh ([`sweep`]). A matrix product takes the elementwise work on its result as its epilogue. A
//! nest takes comprehensions that share outer indices and pass values along them: the passes of a
//! softmax or a layer norm over one row, or the elementwise steps of an optimizer ([`pointwise`]).
//!
//! A group runs where its last member stood. That is sound because a member joins only if nobody
//! outside reads the group's values before.

mod open;
mod pointwise;

use crate::contraction::{self, Product};
use crate::online::{self, Online};
use crate::sweep::{self, Sweep};
use crate::usage::{Usage, distinct_indices};
use einmesh_ir::{Block, Comprehension, DimId, Expr, Op, Program, Reducer, ValueId};
use std::collections::BTreeSet;

/// A row with more elements than this is not kept in scratch memory.
const MAX_LOCAL_ELEMENTS: u64 = 1 << 20;

/// Nests with fewer outer points than this only form where there is little work to distribute.
const MIN_OUTER_POINTS: u64 = 16;

/// Below this many points, running on one thread is as good.
const LITTLE_WORK: u64 = 1 << 16;

/// A block's operation after fusion.
#[derive(Debug)]
pub enum Unit {
    /// Matrix products, one unless [`siblings`](crate::siblings) found more that share its left factor.
    Products(Vec<Multiply>),
    /// Reductions over the rows of a matrix product.
    Online(Box<Online>),
    /// Sums over the points of matrix products.
    Sweep(Box<Sweep>),
    /// Comprehensions that share outer dims.
    Nest {
        /// The dims that all members have as free indices, in order; `None` if nothing asked for an
        /// inner dimension.
        outer: Option<Vec<DimId>>,
        /// The members, in order.
        members: Vec<Comprehension>,
    },
    /// Any other operation.
    Other(Op),
}

/// A matrix product, with the elementwise work on its result.
#[derive(Clone, Debug)]
pub struct Multiply {
    /// The sum of products.
    pub sum: Comprehension,
    /// How to read it as a product.
    pub product: Product,
    /// The elementwise reader of the sum.
    pub epilogue: Option<Comprehension>,
}

impl Multiply {
    /// What is stored.
    pub fn writer(&self) -> &Comprehension {
        self.epilogue.as_ref().unwrap_or(&self.sum)
    }
}

/// Groups a block's operations. Loops keep their bodies, to be fused in turn.
pub fn fuse(program: &Program, usage: &Usage, block: &Block) -> Vec<Unit> {
    let mut ctx = Ctx::new(program, usage, block);
    for found in online::find(program, usage, &block.ops) {
        ctx.take(&found.members.clone(), Unit::Online(Box::new(found)));
    }
    for found in sweep::find(program, usage, &block.ops) {
        ctx.take(&found.members.clone(), Unit::Sweep(Box::new(found)));
    }
    ctx.units()
}

/// Groups the operations of a block whose extents may be open: products with their epilogues, and nests.
pub fn fuse_open(program: &Program, usage: &Usage, block: &Block) -> Vec<Unit> {
    Ctx::new(program, usage, block).units()
}

struct Group {
    first: usize,
    last: usize,
    unit: Unit,
}

struct Ctx<'a> {
    program: &'a Program,
    usage: &'a Usage,
    ops: &'a [Op],
    /// The operations that are part of a group before they are placed.
    taken: BTreeSet<usize>,
    groups: Vec<Group>,
}

impl<'a> Ctx<'a> {
    fn new(program: &'a Program, usage: &'a Usage, block: &'a Block) -> Ctx<'a> {
        Ctx { program, usage, ops: &block.ops, taken: BTreeSet::new(), groups: Vec::new() }
    }

    /// All groups, after those operations that are in none have been placed.
    fn units(mut self) -> Vec<Unit> {
        for position in 0..self.ops.len() {
            if !self.taken.contains(&position) {
                self.place(position);
            }
        }
        self.groups.sort_by_key(|g| g.last);
        self.groups.into_iter().map(|g| g.unit).collect()
    }

    /// Makes a group of a match, unless another has one of its members.
    fn take(&mut self, members: &[usize], unit: Unit) {
        let ends = members.first().zip(members.last());
        let Some((first, last)) = ends.filter(|_| !members.iter().any(|m| self.taken.contains(m)))
        else {
            return;
        };
        self.taken.extend(members);
        self.groups.push(Group { first: *first, last: *last, unit });
    }

    fn place(&mut self, position: usize) {
        let unit = match &self.ops[position] {
            Op::Compute(c) => {
                if let Some(product) = contraction::classify(self.program, c) {
                    Unit::Products(vec![Multiply { sum: c.clone(), product, epilogue: None }])
                } else if self.join_epilogue(position, c)
                    || self.join_nest(position, c)
                    || self.join_pointwise(position, c)
                {
                    return;
                } else {
                    let outer = (c.reducer != Reducer::None).then(|| self.free_dims(c));
                    Unit::Nest { outer, members: vec![c.clone()] }
                }
            }
            op => Unit::Other(op.clone()),
        };
        self.groups.push(Group { first: position, last: position, unit });
    }

    fn free_dims(&self, c: &Comprehension) -> Vec<DimId> {
        c.free_indices().map(|i| c.indices[i].dim).collect()
    }

    /// Makes an elementwise reader of a sum its epilogue.
    fn join_epilogue(&mut self, position: usize, c: &Comprehension) -> bool {
        let (program, usage) = (self.program, self.usage);
        for group in self.groups.iter_mut().rev() {
            let Unit::Products(products) = &mut group.unit else {
                continue;
            };
            let [Multiply { sum, epilogue: epilogue @ None, .. }] = &mut products[..] else {
                continue;
            };
            if is_epilogue(program, usage, c, sum.out) {
                *epilogue = Some(c.clone());
                group.last = position;
                return true;
            }
        }
        false
    }

    /// Adds a comprehension to a nest whose values it reads along the nest's outer dims.
    fn join_nest(&mut self, position: usize, c: &Comprehension) -> bool {
        if c.store.is_some() {
            return false;
        }
        for g in (0..self.groups.len()).rev() {
            let Some(outer) = self.shared_outer(&self.groups[g], c) else {
                continue;
            };
            if self.read_between(&self.groups[g], position) {
                continue;
            }
            let group = &mut self.groups[g];
            let Unit::Nest { outer: shared, members } = &mut group.unit else {
                continue;
            };
            *shared = outer;
            members.push(c.clone());
            group.last = position;
            return true;
        }
        false
    }

    /// The outer dims of a group after `c` joined it, if it can.
    fn shared_outer(&self, group: &Group, c: &Comprehension) -> Option<Option<Vec<DimId>>> {
        let Unit::Nest { outer, members } = &group.unit else {
            return None;
        };
        if members.iter().any(|m| m.store.is_some()) {
            return None;
        }
        let produced: Vec<ValueId> = members.iter().map(|m| m.out).collect();
        if !c.loaded().iter().any(|v| produced.contains(v)) {
            return None;
        }
        let free = self.free_dims(c);
        let dims = match outer {
            Some(dims) => dims.clone(),
            // Elementwise members only: the first reduction decides.
            None if c.reducer != Reducer::None => free.clone(),
            None => return None,
        };
        let members_fit = members.iter().all(|m| {
            let has = self.free_dims(m);
            dims.iter().all(|d| has.contains(d))
        });
        let fits = members_fit
            && dims.iter().all(|d| free.contains(d))
            && self.along(c, &produced, &dims)
            && members.iter().chain([c]).all(|m| self.fits_open(m, &dims))
            && members.iter().all(|m| self.along(m, &produced, &dims))
            && self.local_elements(c, &dims) <= MAX_LOCAL_ELEMENTS
            && members.iter().all(|m| self.local_elements(m, &dims) <= MAX_LOCAL_ELEMENTS)
            && self.keeps_parallelism(c, &dims);
        fits.then_some(Some(dims))
    }

    /// Whether `c` reads each of `produced` at its own point of the outer dims.
    fn along(&self, c: &Comprehension, produced: &[ValueId], outer: &[DimId]) -> bool {
        c.exprs().flat_map(Expr::loads).filter(|l| produced.contains(&l.value)).all(|load| {
            let dims = &self.program.values[load.value].dims;
            outer.iter().all(|d| {
                let own = c.free_indices().find(|i| c.indices[*i].dim == *d);
                let position = dims.iter().position(|x| x == d);
                match (own, position) {
                    (Some(own), Some(p)) => load.subs[p] == Expr::Index(own),
                    _ => false,
                }
            })
        })
    }

    fn points(&self, dims: &[DimId]) -> u64 {
        dims.iter().map(|d| self.program.dims[*d].extent).product()
    }

    fn local_elements(&self, c: &Comprehension, outer: &[DimId]) -> u64 {
        self.program.elements(c.out) / self.points(outer).max(1)
    }

    fn keeps_parallelism(&self, c: &Comprehension, outer: &[DimId]) -> bool {
        let all: u64 = c.indices.values().map(|i| self.program.dims[i.dim].extent).product();
        self.points(outer) >= MIN_OUTER_POINTS || all <= LITTLE_WORK
    }

    /// Whether an operation outside of the group, before `position`, reads the group's values.
    fn read_between(&self, group: &Group, position: usize) -> bool {
        let Unit::Nest { members, .. } = &group.unit else {
            return true;
        };
        let produced: Vec<ValueId> = members.iter().map(|m| m.out).collect();
        self.ops[group.first..position].iter().any(|op| {
            let member = matches!(op, Op::Compute(c) if produced.contains(&c.out));
            !member && reads(op).iter().any(|v| produced.contains(v))
        })
    }
}

/// Every value an operation reads, its inner blocks included.
pub fn reads(op: &Op) -> Vec<ValueId> {
    match op {
        Op::Compute(c) => c.reads(),
        Op::Loop(l) => {
            let carried = l.carried.iter().flat_map(|c| [c.init, c.exit]);
            let collected = l.collected.iter().map(|c| c.value);
            let inner = l.body.ops.iter().flat_map(reads);
            carried.chain(collected).chain(inner).collect()
        }
        Op::Argsort(a) => vec![a.input],
        Op::Collective(c) => vec![c.input],
    }
}

/// Whether `c` is elementwise work on a value that nobody else reads.
pub fn is_epilogue(program: &Program, usage: &Usage, c: &Comprehension, value: ValueId) -> bool {
    let elementwise = c.reducer == Reducer::None && c.store.is_none() && c.guard.is_none();
    let uses = usage.get(value);
    let only_reader = uses.comprehensions == 1 && uses.other == 0;
    elementwise && only_reader && reads_same_points(program, c, value)
}

/// Whether `c` has the points of `value` as its own, and reads it only there.
fn reads_same_points(program: &Program, c: &Comprehension, value: ValueId) -> bool {
    let loads: Vec<_> = c.exprs().flat_map(Expr::loads).filter(|l| l.value == value).collect();
    let Some(first) = loads.first() else {
        return false;
    };
    let Some(seen) = distinct_indices(first) else {
        return false;
    };
    let covers = seen.len() == c.indices.len();
    // A role or subrange reads fewer points than there are.
    let points = seen.iter().map(|i| program.dims[c.indices[*i].dim].extent);
    let whole = points.eq(program.extents(value));
    covers && whole && loads.iter().all(|l| l.subs == first.subs)
}
