//! The level-1 language: einsum algebra as e-nodes, without placements.
//!
//! Products are n-ary sorted bags with an index set, so associativity and commutativity need no
//! rules. Every class knows its index set and dtype ([`Facts`]), and a union of two classes that
//! disagree on either is a compiler bug that [`Analysis::merge`] stops at once.

use crate::guard::holds_at_zero;
use crate::index::{IndexNumber, IndexSet};
use crate::table::Table;
use egg::{Analysis, DidMerge, EGraph, Id, Language};
use einmesh_ir::{BinaryOp, DType, LoopVarId, Reducer, UnaryOp, ValueId};
use std::fmt;

/// The e-graph of one block.
pub type Graph = EGraph<Node, Table>;

/// A real number as the bits of an f64, so that it can be compared, ordered and hashed.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Scalar(u64);

/// An elementwise function; its arguments broadcast over the union of their indices.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum MapFn {
    /// A function of one number, except negation of wide floats, which is a coefficient.
    Unary(UnaryOp),
    /// `1 / x`, of wide floats.
    Recip,
    /// A function of two numbers, except `+ - * /` of wide floats.
    Binary(BinaryOp),
    /// `Select(condition, then, otherwise)`.
    Select,
    /// A conversion.
    Cast(DType),
}

/// An e-node. *Wide floats* are f32 and f64; only their sums and products are algebra.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Node {
    /// A value that the block does not compute; its indices are its dims.
    Leaf(ValueId),
    /// A literal: its dtype and its bits (a float's f64 bits, an integer, 0 or 1).
    Const(DType, u64),
    /// The position of an index, as i32.
    Position(IndexNumber),
    /// The counter of an enclosing loop, as i32.
    LoopVar(LoopVarId),
    /// A load with computed, constant or diagonal subscripts: the template's number and the values
    /// it reads, each of which must exist in memory.
    Access(u32, Vec<Id>),
    /// `out[out…] = coefficient · Σ Π factors` over the factors' indices that are not in `out`.
    /// If `guarded`, the first child is a condition, and points where it is false are left out.
    /// An index of `out` that no factor has is broadcast.
    Ein {
        /// The indices of the result.
        out: IndexSet,
        /// What the sum is multiplied with.
        coefficient: Scalar,
        /// Whether the first child is a guard.
        guarded: bool,
        /// The guard, if any, then the factors, sorted.
        children: Vec<Id>,
    },
    /// The sum of at least two terms, sorted, broadcast over the union of their indices.
    Add(Vec<Id>),
    /// An elementwise function.
    Map(MapFn, Vec<Id>),
    /// A reduction other than a sum, over the indices that are not in `out`; guarded as in `Ein`.
    Reduce {
        /// How points combine.
        reducer: Reducer,
        /// The indices of the result.
        out: IndexSet,
        /// Whether the first child is a guard.
        guarded: bool,
        /// The guard, if any, and the reduced term.
        children: Vec<Id>,
    },
    /// The term with indices renamed simultaneously: pairs (from, to), sorted. Renaming costs
    /// nothing: a reader uses other subscripts.
    Rename(Vec<(IndexNumber, IndexNumber)>, [Id; 1]),
    /// An operation that is kept as it is: its number in the block, and the values it reads.
    Opaque(u32, Vec<Id>),
    /// The n-th value that an opaque operation defines.
    Result(u32, [Id; 1]),
    /// What the block must compute.
    Root(Vec<Id>),
}

/// What every term of a class has in common.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Facts {
    /// The indices the class depends on.
    pub indices: IndexSet,
    /// The type of its elements. Opaque operations with several results and roots have none.
    pub dtype: Option<DType>,
    /// Whether it can be computed without a reduction that its guard might leave nothing of: the maximum
    /// of nothing is infinite, and so is the reciprocal of its sum.
    pub full: bool,
}

impl Scalar {
    /// The number 1.
    pub const ONE: Scalar = Scalar(1f64.to_bits());

    /// A number; both zeros are the same.
    pub fn new(value: f64) -> Scalar {
        Scalar((value + 0.0).to_bits())
    }

    /// The number.
    pub fn value(self) -> f64 {
        f64::from_bits(self.0)
    }

    /// The product.
    pub fn times(self, other: Scalar) -> Scalar {
        Scalar::new(self.value() * other.value())
    }
}

impl fmt::Debug for Scalar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.value())
    }
}

/// Whether sums and products of this dtype are rewritten: narrower floats round at each step and
/// integers wrap, so their order is kept.
pub fn is_wide(dtype: DType) -> bool {
    matches!(dtype, DType::F32 | DType::F64)
}

/// Splits the children of a guardable node into the guard and the rest.
pub fn split_guard(guarded: bool, children: &[Id]) -> (Option<Id>, &[Id]) {
    match children {
        [guard, rest @ ..] if guarded => (Some(*guard), rest),
        _ => (None, children),
    }
}

impl Language for Node {
    type Discriminant = std::mem::Discriminant<Node>;

    fn discriminant(&self) -> Self::Discriminant {
        std::mem::discriminant(self)
    }

    fn matches(&self, other: &Self) -> bool {
        let blank = |n: &Node| n.clone().map_children(|_| Id::from(0));
        self.children().len() == other.children().len() && blank(self) == blank(other)
    }

    fn children(&self) -> &[Id] {
        match self {
            Node::Leaf(_) | Node::Const(..) | Node::Position(_) | Node::LoopVar(_) => &[],
            Node::Ein { children, .. } | Node::Reduce { children, .. } => children,
            Node::Access(_, c)
            | Node::Add(c)
            | Node::Map(_, c)
            | Node::Opaque(_, c)
            | Node::Root(c) => c,
            Node::Rename(_, c) | Node::Result(_, c) => c,
        }
    }

    fn children_mut(&mut self) -> &mut [Id] {
        match self {
            Node::Leaf(_) | Node::Const(..) | Node::Position(_) | Node::LoopVar(_) => &mut [],
            Node::Ein { children, .. } | Node::Reduce { children, .. } => children,
            Node::Access(_, c)
            | Node::Add(c)
            | Node::Map(_, c)
            | Node::Opaque(_, c)
            | Node::Root(c) => c,
            Node::Rename(_, c) | Node::Result(_, c) => c,
        }
    }
}

impl Analysis<Node> for Table {
    type Data = Facts;

    fn make(graph: &mut Graph, node: &Node, _id: Id) -> Facts {
        facts(graph, node)
    }

    fn merge(&mut self, a: &mut Facts, b: Facts) -> DidMerge {
        let full = a.full || b.full;
        let changed = DidMerge(a.full != full, b.full != full);
        *a = Facts { full, ..*a };
        assert_eq!(*a, Facts { full, ..b }, "a rewrite rule united terms of different types");
        changed
    }
}

/// The facts of a node whose children are in the graph.
fn facts(graph: &Graph, node: &Node) -> Facts {
    let (indices, dtype) = kind(graph, node);
    let table = &graph.analysis;
    let full = match node {
        Node::Leaf(value) => !table.hollow.contains(value),
        // What it computes is not seen here.
        Node::Opaque(op, _) => table.results_full(*op),
        _ => node.children().iter().all(|c| graph[*c].data.full) && !may_be_empty(graph, node),
    };
    Facts { indices, dtype, full }
}

/// Whether a guard might leave nothing of a reduction.
fn may_be_empty(graph: &Graph, node: &Node) -> bool {
    let (Node::Ein { out, guarded, children, .. } | Node::Reduce { out, guarded, children, .. }) =
        node
    else {
        return false;
    };
    let inside =
        children.iter().fold(IndexSet::EMPTY, |all, c| all | graph[*c].data.indices) - *out;
    match split_guard(*guarded, children).0 {
        Some(guard) => inside != IndexSet::EMPTY && !holds_at_zero(graph, guard, inside),
        None => false,
    }
}

/// The indices and the type of a node's elements.
fn kind(graph: &Graph, node: &Node) -> (IndexSet, Option<DType>) {
    let union = |ids: &[Id]| ids.iter().fold(IndexSet::EMPTY, |s, c| s | graph[*c].data.indices);
    let dtype = |id: Id| graph[id].data.dtype;
    let table = &graph.analysis;
    match node {
        Node::Leaf(value) => (table.axes(*value).collect(), Some(table.dtype(*value))),
        Node::Const(dtype, _) => (IndexSet::EMPTY, Some(*dtype)),
        Node::Position(i) => (IndexSet::single(*i), Some(DType::I32)),
        Node::LoopVar(_) => (IndexSet::EMPTY, Some(DType::I32)),
        Node::Access(template, _) => {
            let template = &table.templates[*template as usize];
            (template.indices, Some(template.dtype))
        }
        Node::Ein { out, children, .. } | Node::Reduce { out, children, .. } => {
            (*out, children.last().and_then(|c| dtype(*c)))
        }
        Node::Add(terms) => (union(terms), dtype(terms[0])),
        Node::Map(f, args) => (union(args), f.dtype(args.iter().map(|a| dtype(*a)))),
        Node::Rename(map, [child]) => {
            let renamed = graph[*child].data.indices.renamed(map);
            (renamed.expect("a renaming keeps indices apart"), dtype(*child))
        }
        Node::Opaque(op, _) => match table.opaque_result(*op, 0) {
            Some(value) if table.results(*op) == 1 => {
                (table.axes(value).collect(), Some(table.dtype(value)))
            }
            _ => (IndexSet::EMPTY, None),
        },
        Node::Result(n, [child]) => {
            let op = graph[*child].nodes.iter().find_map(|node| match node {
                Node::Opaque(op, _) => Some(*op),
                _ => None,
            });
            let value = op.and_then(|op| table.opaque_result(op, *n));
            let value = value.expect("a result belongs to an operation that defines it");
            (table.axes(value).collect(), Some(table.dtype(value)))
        }
        Node::Root(_) => (IndexSet::EMPTY, None),
    }
}

impl MapFn {
    /// The result's dtype from the arguments'.
    fn dtype(self, mut args: impl Iterator<Item = Option<DType>>) -> Option<DType> {
        match self {
            MapFn::Unary(UnaryOp::Not | UnaryOp::IsFinite) => Some(DType::Bool),
            MapFn::Binary(op) if op.is_comparison() => Some(DType::Bool),
            MapFn::Binary(BinaryOp::Uniform) => Some(DType::F32),
            MapFn::Cast(dtype) => Some(dtype),
            MapFn::Select => args.nth(1)?,
            _ => args.next()?,
        }
    }
}
