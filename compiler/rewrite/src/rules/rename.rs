//! Renaming indices, which is how transposes and roles of a dim appear: moved towards the leaves,
//! so that terms on both sides of a renaming meet.

use super::ein::Ein;
use crate::build::{add, guarded_ein, map, reduce, rename};
use crate::index::{IndexNumber, IndexSet};
use crate::lang::{Graph, Node, split_guard};
use crate::options::Limits;
use egg::Id;

type Pairs = [(IndexNumber, IndexNumber)];

/// The pairs and the renamed class of a renaming.
fn renaming(node: &Node) -> Option<(&Pairs, Id)> {
    match node {
        Node::Rename(pairs, [child]) => Some((pairs, *child)),
        _ => None,
    }
}

/// The class renamed, unless two of its indices would become one.
fn renamed(graph: &mut Graph, pairs: &Pairs, term: Id) -> Option<Id> {
    let set = graph[term].data.indices;
    let own: Vec<_> = pairs.iter().copied().filter(|(f, _)| set.contains(*f)).collect();
    set.renamed(&own)?;
    Some(rename(graph, &own, term))
}

fn all_renamed(graph: &mut Graph, pairs: &Pairs, terms: &[Id]) -> Option<Vec<Id>> {
    terms.iter().map(|t| renamed(graph, pairs, *t)).collect()
}

/// The indices that pairs rename to.
fn targets(pairs: &Pairs) -> IndexSet {
    pairs.iter().map(|(_, t)| *t).collect()
}

/// Two renamings are one.
pub(super) fn merge(graph: &mut Graph, limits: &Limits, node: &Node) -> Vec<Id> {
    let Some((outer, child)) = renaming(node) else {
        return vec![];
    };
    let mut found = Vec::new();
    for inner in graph[child].nodes.clone() {
        if limits.reached(graph) {
            return found;
        }
        let Some((pairs, base)) = renaming(&inner) else {
            continue;
        };
        let apply = |i: IndexNumber| outer.iter().find(|(f, _)| *f == i).map_or(i, |(_, t)| *t);
        let set = graph[base].data.indices;
        let first = |i: IndexNumber| pairs.iter().find(|(f, _)| *f == i).map_or(i, |(_, t)| *t);
        let both: Vec<_> = set.iter().map(|i| (i, apply(first(i)))).collect();
        found.push(rename(graph, &both, base));
    }
    found
}

/// A renamed sum of products is that of renamed factors, if no summed index is a target.
pub(super) fn of_product(graph: &mut Graph, limits: &Limits, node: &Node) -> Vec<Id> {
    let Some((pairs, child)) = renaming(node) else {
        return vec![];
    };
    let mut found = Vec::new();
    for e in Ein::all(graph, child) {
        if limits.reached(graph) {
            return found;
        }
        let inside = crate::build::indices(graph, &e.bag) | e.guard_indices(graph);
        let Some(out) = e.out.renamed(pairs) else {
            continue;
        };
        if !(inside - e.out).is_disjoint(targets(pairs)) {
            continue;
        }
        let guards: Vec<Id> = e.guard.into_iter().collect();
        let Some(guards) = all_renamed(graph, pairs, &guards) else {
            continue;
        };
        let Some(bag) = all_renamed(graph, pairs, &e.bag) else {
            continue;
        };
        found.push(guarded_ein(graph, out, e.coefficient, guards.first().copied(), &bag));
    }
    found
}

/// A renamed sum of terms is that of renamed terms.
pub(super) fn of_sum(graph: &mut Graph, limits: &Limits, node: &Node) -> Vec<Id> {
    let Some((pairs, child)) = renaming(node) else {
        return vec![];
    };
    let mut found = Vec::new();
    for terms in super::add::sums(graph, child) {
        if limits.reached(graph) {
            return found;
        }
        if let Some(terms) = all_renamed(graph, pairs, &terms) {
            found.push(add(graph, &terms));
        }
    }
    found
}

/// A renamed function is that of renamed arguments; a renamed position is another index's.
pub(super) fn of_map(graph: &mut Graph, limits: &Limits, node: &Node) -> Vec<Id> {
    let Some((pairs, child)) = renaming(node) else {
        return vec![];
    };
    let mut found = Vec::new();
    for inner in graph[child].nodes.clone() {
        if limits.reached(graph) {
            return found;
        }
        match inner {
            Node::Map(f, args) => {
                if let Some(args) = all_renamed(graph, pairs, &args) {
                    found.push(map(graph, f, &args));
                }
            }
            Node::Position(i) => {
                let to = pairs.iter().find(|(f, _)| *f == i).map_or(i, |(_, t)| *t);
                found.push(graph.add(Node::Position(to)));
            }
            _ => {}
        }
    }
    found
}

/// A renamed reduction is that of the renamed term, if no reduced index is a target.
pub(super) fn of_reduction(graph: &mut Graph, limits: &Limits, node: &Node) -> Vec<Id> {
    let Some((pairs, child)) = renaming(node) else {
        return vec![];
    };
    let mut found = Vec::new();
    for inner in graph[child].nodes.clone() {
        if limits.reached(graph) {
            return found;
        }
        let Node::Reduce { reducer, out, guarded, children } = &inner else {
            continue;
        };
        let inside = crate::build::indices(graph, children);
        let Some(to) = out.renamed(pairs) else {
            continue;
        };
        if !(inside - *out).is_disjoint(targets(pairs)) {
            continue;
        }
        let Some(children) = all_renamed(graph, pairs, children) else {
            continue;
        };
        let (guard, term) = split_guard(*guarded, &children);
        found.push(reduce(graph, *reducer, to, guard, term[0]));
    }
    found
}
