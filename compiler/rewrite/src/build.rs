//! Adding terms in normal form: bags sorted, trivial nodes left out.

use crate::index::{IndexNumber, IndexSet};
use crate::lang::{Graph, MapFn, Node, Scalar, is_wide, split_guard};
use egg::{Id, Language};
use einmesh_ir::{DType, Literal, Reducer};

/// The union of the classes' index sets.
pub fn indices(graph: &Graph, ids: &[Id]) -> IndexSet {
    ids.iter().fold(IndexSet::EMPTY, |set, id| set | graph[*id].data.indices)
}

/// Whether the class is a wide float, on which the algebra works.
pub fn is_algebra(graph: &Graph, id: Id) -> bool {
    graph[id].data.dtype.is_some_and(is_wide)
}

/// The classes, canonical and sorted.
pub fn bag(graph: &Graph, ids: &[Id]) -> Vec<Id> {
    let mut bag: Vec<Id> = ids.iter().map(|id| graph.find(*id)).collect();
    bag.sort();
    bag
}

/// An unguarded einsum; the factor itself where nothing is computed.
pub fn ein(graph: &mut Graph, out: IndexSet, coefficient: Scalar, factors: &[Id]) -> Id {
    guarded_ein(graph, out, coefficient, None, factors)
}

/// An einsum; the factor itself where nothing is computed.
pub fn guarded_ein(
    graph: &mut Graph,
    out: IndexSet,
    coefficient: Scalar,
    guard: Option<Id>,
    factors: &[Id],
) -> Id {
    let factors = bag(graph, factors);
    let trivial = guard.is_none() && coefficient == Scalar::ONE && factors.len() == 1;
    if trivial && graph[factors[0]].data.indices == out {
        return factors[0];
    }
    let guard = guard.map(|g| graph.find(g));
    let children = guard.into_iter().chain(factors).collect();
    graph.add(Node::Ein { out, coefficient, guarded: guard.is_some(), children })
}

/// The sum of the terms; a single term is itself.
pub fn add(graph: &mut Graph, terms: &[Id]) -> Id {
    let terms = bag(graph, terms);
    if terms.len() == 1 { terms[0] } else { graph.add(Node::Add(terms)) }
}

/// `coefficient · term`.
pub fn scale(graph: &mut Graph, coefficient: Scalar, term: Id) -> Id {
    let out = graph[term].data.indices;
    ein(graph, out, coefficient, &[term])
}

/// An elementwise function.
pub fn map(graph: &mut Graph, f: MapFn, args: &[Id]) -> Id {
    let args = args.iter().map(|a| graph.find(*a)).collect();
    graph.add(Node::Map(f, args))
}

/// A reduction other than a sum; the term itself where nothing is reduced or guarded.
pub fn reduce(
    graph: &mut Graph,
    reducer: Reducer,
    out: IndexSet,
    guard: Option<Id>,
    term: Id,
) -> Id {
    if guard.is_none() && graph[term].data.indices == out {
        return graph.find(term);
    }
    let children = guard.into_iter().chain([term]).map(|c| graph.find(c)).collect();
    graph.add(Node::Reduce { reducer, out, guarded: guard.is_some(), children })
}

/// The term with indices renamed; pairs that rename nothing are dropped.
pub fn rename(graph: &mut Graph, pairs: &[(IndexNumber, IndexNumber)], term: Id) -> Id {
    let set = graph[term].data.indices;
    let mut pairs: Vec<_> =
        pairs.iter().copied().filter(|(f, t)| f != t && set.contains(*f)).collect();
    pairs.sort_unstable();
    if pairs.is_empty() { term } else { graph.add(Node::Rename(pairs, [graph.find(term)])) }
}

/// A floating-point constant: the nearest number of its type.
pub fn constant(graph: &mut Graph, dtype: DType, value: f64) -> Id {
    graph.add(literal_node(rounded(dtype, value)))
}

/// The floating-point literal that is nearest to a number.
pub fn rounded(dtype: DType, value: f64) -> Literal {
    Literal::Float(dtype, dtype.round(value))
}

/// The node of a literal.
pub fn literal_node(literal: Literal) -> Node {
    let bits = match literal {
        Literal::Float(_, v) => v.to_bits(),
        Literal::Int(_, v) => v as u64,
        Literal::Bool(v) => u64::from(v),
    };
    Node::Const(literal.dtype(), bits)
}

/// The literal of a constant node.
pub fn literal(dtype: DType, bits: u64) -> Literal {
    match dtype {
        DType::Bool => Literal::Bool(bits != 0),
        d if d.is_float() => Literal::Float(d, f64::from_bits(bits)),
        d => Literal::Int(d, bits as i64),
    }
}

/// The floating-point constant that a class is, if it is one.
pub fn float_constant(graph: &Graph, id: Id) -> Option<f64> {
    graph[id].nodes.iter().find_map(|n| match n {
        Node::Const(dtype, bits) if dtype.is_float() => Some(f64::from_bits(*bits)),
        _ => None,
    })
}

/// The node in normal form: children canonical, bags sorted.
pub fn normalised(graph: &Graph, node: &Node) -> Node {
    let mut node = node.clone().map_children(|c| graph.find(c));
    match &mut node {
        Node::Add(terms) => terms.sort(),
        Node::Ein { guarded, children, .. } => {
            let first = split_guard(*guarded, children).0.iter().len();
            children[first..].sort();
        }
        _ => {}
    }
    node
}
