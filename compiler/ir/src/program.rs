//! Programs: dims, values, operations, blocks.

use crate::arena::Arena;
use crate::define_id;
use crate::dtype::DType;
use crate::expr::{Expr, IndexId};
use crate::spmd::Collective;
use einmesh_diagnostics::Span;
use std::sync::Arc;

define_id!(
    /// A named logical dimension.
    DimId,
    "d"
);
define_id!(
    /// A value: the result of one operation, an input, or a loop's state.
    ValueId,
    "%"
);
define_id!(
    /// The counter of a loop.
    LoopVarId,
    "l"
);

/// One entry function, ready to compile.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Program {
    /// The entry's name.
    pub name: String,
    /// The dims that values and indices range over.
    pub dims: Arena<DimId, Dim>,
    /// Every value of the program, in no particular order.
    pub values: Arena<ValueId, Value>,
    /// Every loop counter.
    pub loop_vars: Arena<LoopVarId, LoopVar>,
    /// The entry's arguments, records flattened into leaves.
    pub inputs: Vec<Input>,
    /// The operations.
    pub body: Block,
    /// The entry's results, `inout` arguments last.
    pub outputs: Vec<Output>,
}

/// A named logical dimension with its extent.
#[derive(Clone, PartialEq, Debug)]
pub struct Dim {
    /// The name in the source; a literal extent has its digits as name.
    pub name: String,
    /// The number of positions.
    pub extent: u64,
    /// For `dim U: T`, the dim whose role or subrange this is.
    pub role_of: Option<DimId>,
    /// Whether the number of positions is known only when the program runs. `extent` is then an example to weigh
    /// costs by, from which nothing may be concluded: there may be any number, also none.
    pub symbolic: bool,
}

/// What is known of a value.
#[derive(Clone, PartialEq, Debug)]
pub struct Value {
    /// The source name it was bound to, or a name derived from it. Not unique.
    pub name: String,
    /// The type of its elements.
    pub dtype: DType,
    /// Its shape, outermost dim first, product axes as their components.
    pub dims: Vec<DimId>,
    /// Where it comes from.
    pub origin: Origin,
}

/// Where an operation comes from.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Origin {
    /// The statement or expression.
    pub span: Option<Span>,
    /// The names of the functions it was inlined from, outermost first: `["block", "attention"]`.
    pub scope: Arc<[String]>,
}

/// An argument of the entry: one leaf tensor.
#[derive(Clone, PartialEq, Debug)]
pub struct Input {
    /// The value that holds it.
    pub value: ValueId,
    /// The argument's path, e.g. `p.h.attn.c_attn.weight`.
    pub path: String,
    /// The tensor's name in a checkpoint, with one `{}` per stacked dim, e.g. `h.{}.ln_1.bias`; the
    /// stacked dims are the value's first dims. For arguments that are not records, the path.
    pub tensor: String,
    /// The record type that holds the leaf and those around it, innermost first, e.g.
    /// `["Norm", "Block", "Params"]`; empty for plain arguments.
    pub records: Vec<String>,
    /// How many of the value's dims (after the stacked ones) each axis of the tensor has.
    pub axes: Vec<usize>,
    /// Whether the argument is `inout`: its memory is donated to the output of the same path.
    pub donated: bool,
}

/// A result of the entry: one leaf tensor.
#[derive(Clone, PartialEq, Debug)]
pub struct Output {
    /// The value that holds it.
    pub value: ValueId,
    /// The result's path: `logits`, `out` for a single unnamed result, `s.p.wte` for a leaf of an
    /// `inout` argument.
    pub path: String,
    /// As in [`Input::tensor`].
    pub tensor: String,
    /// As in [`Input::axes`].
    pub axes: Vec<usize>,
}

/// A loop's counter.
#[derive(Clone, PartialEq, Debug)]
pub struct LoopVar {
    /// The name in the source.
    pub name: String,
    /// The dim it runs over.
    pub dim: DimId,
}

/// A list of operations, executed in order.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Block {
    /// The operations.
    pub ops: Vec<Op>,
}

/// An operation.
#[derive(Clone, PartialEq, Debug)]
pub enum Op {
    /// The one computing operation.
    Compute(Comprehension),
    /// Repetition over a dim.
    Loop(Loop),
    /// A stable sort's permutation.
    Argsort(Argsort),
    /// Communication between devices. Only in partitioned programs.
    Collective(Collective),
}

/// `out[subs…] = ⊕ over the reduced indices | guard of body`.
///
/// The free indices are those in `store`, or, without a store, the first
/// `dims(out).len()` indices, in the order of the output's dims. All others are reduced.
#[derive(Clone, PartialEq, Debug)]
pub struct Comprehension {
    /// The value it assigns.
    pub out: ValueId,
    /// The index space. Free indices first.
    pub indices: Arena<IndexId, Index>,
    /// How many of `indices` are free; the rest are reduced.
    pub free: usize,
    /// How reduced points combine; [`Reducer::None`] iff all indices are free.
    pub reducer: Reducer,
    /// Points where this is false are not evaluated. A free point without any evaluated point gets
    /// the reducer's identity (0 without a reducer), or for stores keeps the base's element.
    pub guard: Option<Expr>,
    /// The number computed at each point. Its dtype is the output's, except that sums accumulate in
    /// the body's dtype (at least f32 for floats) and round once to the output's.
    pub body: Expr,
    /// For stores into an existing array; `None` writes each free point once.
    pub store: Option<Store>,
}

/// A write into a copy of an existing array, at computed places.
///
/// Points whose subscripts are out of range are dropped. Unless `combine` is [`Reducer::None`]
/// (where the places are provably distinct), points that share a place are combined with it, in index order
/// and in the accumulator's dtype, and rounded once.
#[derive(Clone, PartialEq, Debug)]
pub struct Store {
    /// The array before; of the output's type.
    pub base: ValueId,
    /// One integer expression per dim of the output.
    pub subs: Vec<Expr>,
    /// How a point combines with what is there.
    pub combine: Reducer,
}

/// One index of a comprehension.
#[derive(Clone, PartialEq, Debug)]
pub struct Index {
    /// The name in the source.
    pub name: String,
    /// The dim it ranges over.
    pub dim: DimId,
}

/// How points are combined: a commutative monoid (in exact arithmetic).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Reducer {
    /// Nothing is combined: each point has a place of its own.
    None,
    /// Addition; identity 0.
    Sum,
    /// Multiplication; identity 1.
    Prod,
    /// The largest, +0 above −0; identity −∞ or the smallest integer; NaN wins.
    Max,
    /// The smallest, −0 below +0; identity +∞ or the largest integer; NaN wins.
    Min,
    /// Disjunction; identity false.
    Any,
    /// Conjunction; identity true.
    All,
    /// The position (of the single reduced index) of the largest; ties go to the lowest. The first
    /// NaN wins. Identity 0.
    ArgMax,
    /// The position of the smallest; as [`Reducer::ArgMax`].
    ArgMin,
    /// log Σ exp, computed online with a running maximum (Milakov and Gimelshein 2018); identity −∞.
    LogSumExp,
}

/// Repetition of a block over a dim, or until a condition ends it.
#[derive(Clone, PartialEq, Debug)]
pub struct Loop {
    /// The counter, from 0 (or from the last position down to 0 if `reversed`).
    pub var: LoopVarId,
    /// Whether the counter runs downwards.
    pub reversed: bool,
    /// The entry of a carried truth value that is looked at before each iteration: once it is false, the
    /// loop ends, and the states keep what they are. The same on all devices. Such a loop collects nothing.
    pub condition: Option<ValueId>,
    /// State passed from iteration to iteration.
    pub carried: Vec<Carried>,
    /// Values stacked over the iterations.
    pub collected: Vec<Collected>,
    /// One iteration. May use values of enclosing blocks.
    pub body: Block,
}

/// A state of a loop. All four values have the same type.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Carried {
    /// Before the first iteration; of an enclosing block.
    pub init: ValueId,
    /// At the start of an iteration; defined by the loop.
    pub entry: ValueId,
    /// At the end of an iteration; of the body.
    pub exit: ValueId,
    /// After the last iteration; defined by the loop in the enclosing block.
    pub result: ValueId,
}

/// A value collected over a loop: each iteration's stands at its counter's position, also if the loop
/// is reversed.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Collected {
    /// One iteration's value; of the body.
    pub value: ValueId,
    /// All of them; has the loop's dim inserted at `position`.
    pub result: ValueId,
    /// Where the loop's dim stands in the result's dims.
    pub position: usize,
}

/// `out[…, n, …]` is the position along `dim` of the n-th smallest element of `input`: stable,
/// ascending, NaN last.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Argsort {
    /// The permutation, [`DType::I32`], of the input's shape.
    pub out: ValueId,
    /// What is sorted.
    pub input: ValueId,
    /// The position of the sorted dim in the input's dims.
    pub position: usize,
}

impl Comprehension {
    /// The free indices, in order.
    pub fn free_indices(&self) -> impl Iterator<Item = IndexId> + use<> {
        (0..self.free as u32).map(IndexId)
    }

    /// The reduced indices, in order.
    pub fn reduced_indices(&self) -> impl Iterator<Item = IndexId> + use<> {
        (self.free as u32..self.indices.len() as u32).map(IndexId)
    }

    /// Whether an index is reduced.
    pub fn is_reduced(&self, index: IndexId) -> bool {
        index.0 as usize >= self.free
    }

    /// Every expression of the operation: the body, the guard, the store's subscripts.
    pub fn exprs(&self) -> impl Iterator<Item = &Expr> {
        let subs = self.store.iter().flat_map(|s| s.subs.iter());
        std::iter::once(&self.body).chain(&self.guard).chain(subs)
    }

    /// As [`Comprehension::exprs`], mutably.
    pub fn exprs_mut(&mut self) -> impl Iterator<Item = &mut Expr> {
        let subs = self.store.iter_mut().flat_map(|s| s.subs.iter_mut());
        std::iter::once(&mut self.body).chain(&mut self.guard).chain(subs)
    }

    /// The values loaded, in order of first use, without repetition. A store's base is not loaded.
    pub fn loaded(&self) -> Vec<ValueId> {
        let mut all: Vec<ValueId> = Vec::new();
        for load in self.exprs().flat_map(|e| e.loads()) {
            if !all.contains(&load.value) {
                all.push(load.value);
            }
        }
        all
    }

    /// The values read: those loaded, and the store's base last.
    pub fn reads(&self) -> Vec<ValueId> {
        let mut all = self.loaded();
        if let Some(store) = &self.store
            && !all.contains(&store.base)
        {
            all.push(store.base);
        }
        all
    }
}

impl Op {
    /// The values it defines in the block it stands in.
    pub fn defines(&self) -> Vec<ValueId> {
        match self {
            Op::Compute(c) => vec![c.out],
            Op::Loop(l) => {
                let carried = l.carried.iter().map(|c| c.result);
                carried.chain(l.collected.iter().map(|c| c.result)).collect()
            }
            Op::Argsort(a) => vec![a.out],
            Op::Collective(c) => vec![c.out],
        }
    }
}

impl Program {
    /// Whether some extent of a value is known only when the program runs.
    pub fn is_symbolic(&self, value: ValueId) -> bool {
        self.values[value].dims.iter().any(|d| self.dims[*d].symbolic)
    }

    /// The extents of a value's dims.
    pub fn extents(&self, value: ValueId) -> Vec<u64> {
        self.values[value].dims.iter().map(|d| self.dims[*d].extent).collect()
    }

    /// The number of elements of a value, at most what 64 bits hold.
    pub fn elements(&self, value: ValueId) -> u64 {
        self.extents(value).into_iter().fold(1, u64::saturating_mul)
    }

    /// The bytes of a value in memory, at most what 64 bits hold.
    pub fn bytes(&self, value: ValueId) -> u64 {
        self.elements(value).saturating_mul(self.values[value].dtype.bytes())
    }
}
