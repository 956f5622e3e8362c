//! Sums of terms.

use super::ein::{Ein, without};
use crate::build::{add, bag, guarded_ein, indices};
use crate::lang::{Graph, Node, Scalar};
use crate::options::Limits;
use egg::Id;
use std::collections::BTreeSet;

/// The terms of a sum, canonical and sorted.
pub(super) fn terms(graph: &Graph, node: &Node) -> Option<Vec<Id>> {
    match node {
        Node::Add(terms) => Some(bag(graph, terms)),
        _ => None,
    }
}

/// Every way in which a class is a sum.
pub(super) fn sums(graph: &Graph, class: Id) -> Vec<Vec<Id>> {
    graph[class].nodes.iter().filter_map(|n| terms(graph, n)).collect()
}

/// Opens a term that is itself a sum.
pub(super) fn flatten(graph: &mut Graph, limits: &Limits, node: &Node) -> Vec<Id> {
    let Some(outer) = terms(graph, node) else {
        return vec![];
    };
    let mut found = Vec::new();
    for (at, term) in outer.iter().enumerate() {
        for inner in sums(graph, *term) {
            if limits.reached(graph) {
                return found;
            }
            if outer.len() + inner.len() - 1 <= limits.terms {
                let all = [without(&outer, at), inner].concat();
                found.push(add(graph, &all));
            }
        }
    }
    found
}

/// Takes a factor out of two terms, each summed over the same indices.
///
/// What is left of each term first sums the indices that neither the factor, the result nor the
/// guard has. Rests of different indices are not added: their sum would be larger than either.
pub(super) fn common_factor(graph: &mut Graph, limits: &Limits, node: &Node) -> Vec<Id> {
    let Some(terms) = terms(graph, node) else {
        return vec![];
    };
    let mut found = Vec::new();
    for i in 0..terms.len() {
        for j in i + 1..terms.len() {
            let out = graph[terms[i]].data.indices;
            if out != graph[terms[j]].data.indices {
                continue;
            }
            for sum in factored(graph, limits, terms[i], terms[j]) {
                let others = without(&without(&terms, j), i);
                found.push(add(graph, &[others, vec![sum]].concat()));
            }
        }
    }
    found
}

/// The ways to write `a + b` as a product with the sum of what is left.
fn factored(graph: &mut Graph, limits: &Limits, a: Id, b: Id) -> Vec<Id> {
    let mut found = Vec::new();
    let (left, right) = (Ein::all(graph, a), Ein::all(graph, b));
    for x in &left {
        for y in right.iter().filter(|y| y.guard == x.guard) {
            let shared: BTreeSet<Id> = x.bag.iter().copied().collect();
            for f in shared.into_iter().filter(|f| y.bag.contains(f)) {
                if x.bag.len() < 2 || y.bag.len() < 2 {
                    continue;
                }
                if limits.reached(graph) {
                    return found;
                }
                let keep = x.out | x.guard_indices(graph) | graph[f].data.indices;
                let rest = |e: &Ein| {
                    let at = e.bag.iter().position(|g| *g == f);
                    without(&e.bag, at.expect("the factor is shared"))
                };
                let (rx, ry) = (rest(x), rest(y));
                let (ox, oy) = (indices(graph, &rx) & keep, indices(graph, &ry) & keep);
                if ox == oy {
                    let cx = guarded_ein(graph, ox, x.coefficient, None, &rx);
                    let cy = guarded_ein(graph, oy, y.coefficient, None, &ry);
                    let sum = add(graph, &[cx, cy]);
                    found.push(guarded_ein(graph, x.out, Scalar::ONE, x.guard, &[f, sum]));
                }
            }
        }
    }
    found
}

/// Takes out a coefficient that all terms have.
pub(super) fn common_coefficient(graph: &mut Graph, limits: &Limits, node: &Node) -> Vec<Id> {
    let Some(terms) = terms(graph, node) else {
        return vec![];
    };
    let mut found = Vec::new();
    for first in Ein::all(graph, terms[0]) {
        let k = first.coefficient;
        if k == Scalar::ONE {
            continue;
        }
        if limits.reached(graph) {
            return found;
        }
        let same =
            |graph: &Graph, t: &Id| Ein::all(graph, *t).into_iter().find(|e| e.coefficient == k);
        let all: Option<Vec<Ein>> = terms.iter().map(|t| same(graph, t)).collect();
        let Some(all) = all else { continue };
        let rests: Vec<Id> =
            all.iter().map(|e| guarded_ein(graph, e.out, Scalar::ONE, e.guard, &e.bag)).collect();
        let sum = add(graph, &rests);
        let out = graph[sum].data.indices;
        found.push(guarded_ein(graph, out, k, None, &[sum]));
    }
    found
}

/// Adds the coefficients of two terms with the same factors. Terms that cancel are left alone: they
/// may be infinite.
pub(super) fn like_terms(graph: &mut Graph, limits: &Limits, node: &Node) -> Vec<Id> {
    let Some(terms) = terms(graph, node) else {
        return vec![];
    };
    let mut found = Vec::new();
    for i in 0..terms.len() {
        for j in i + 1..terms.len() {
            let scaled = |graph: &Graph, t: Id| {
                let mut all = Ein::all(graph, t);
                let (out, coefficient) = (graph[t].data.indices, Scalar::ONE);
                all.push(Ein { out, coefficient, guard: None, bag: vec![t] });
                all
            };
            let (left, right) = (scaled(graph, terms[i]), scaled(graph, terms[j]));
            for x in &left {
                let like = |y: &&Ein| (y.out, y.guard, &y.bag) == (x.out, x.guard, &x.bag);
                for y in right.iter().filter(like) {
                    if limits.reached(graph) {
                        return found;
                    }
                    let k = x.coefficient.value() + y.coefficient.value();
                    if k != 0.0 {
                        let both = guarded_ein(graph, x.out, Scalar::new(k), x.guard, &x.bag);
                        let others = without(&without(&terms, j), i);
                        found.push(add(graph, &[others, vec![both]].concat()));
                    }
                }
            }
        }
    }
    found
}

/// Multiplies out a sum among the factors. A term without one of the summed indices is repeated.
pub(super) fn distribute(graph: &mut Graph, limits: &Limits, node: &Node) -> Vec<Id> {
    let Some(e) = Ein::of(graph, node) else {
        return vec![];
    };
    if e.guard.is_some() {
        return vec![];
    }
    let all = indices(graph, &e.bag);
    let mut found = Vec::new();
    for (at, factor) in e.bag.iter().enumerate() {
        let rest = without(&e.bag, at);
        for sum in sums(graph, *factor) {
            if limits.reached(graph) {
                return found;
            }
            let products: Vec<Id> = sum
                .iter()
                .map(|term| {
                    let bag = [rest.clone(), vec![*term]].concat();
                    let missing = all - e.out - indices(graph, &bag);
                    let times = Scalar::new(graph.analysis.points(missing) as f64);
                    guarded_ein(graph, e.out, e.coefficient.times(times), None, &bag)
                })
                .collect();
            found.push(add(graph, &products));
        }
    }
    found
}
