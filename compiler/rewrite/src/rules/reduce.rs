//! Reductions other than sums.

use super::ein::{Ein, without};
use crate::build::{add, bag, guarded_ein, indices, is_algebra, map, reduce, scale};
use crate::index::IndexSet;
use crate::lang::{Graph, MapFn, Node, Scalar, split_guard};
use crate::options::Limits;
use egg::Id;
use einmesh_ir::{Reducer, UnaryOp};

/// The parts of a [`Node::Reduce`], children canonical.
struct Reduction {
    reducer: Reducer,
    out: IndexSet,
    guard: Option<Id>,
    term: Id,
}

impl Reduction {
    fn of(graph: &Graph, node: &Node) -> Option<Reduction> {
        let Node::Reduce { reducer, out, guarded, children } = node else {
            return None;
        };
        let (guard, term) = split_guard(*guarded, children);
        let guard = guard.map(|g| graph.find(g));
        Some(Reduction { reducer: *reducer, out: *out, guard, term: graph.find(term[0]) })
    }

    /// The indices that it reduces.
    fn reduced(&self, graph: &Graph) -> IndexSet {
        let guards: Vec<Id> = self.guard.into_iter().collect();
        (graph[self.term].data.indices | indices(graph, &guards)) - self.out
    }
}

/// A reduction of a reduction of the same kind is one, without capture.
pub(super) fn merge(graph: &mut Graph, limits: &Limits, node: &Node) -> Vec<Id> {
    let Some(outer) = Reduction::of(graph, node) else {
        return vec![];
    };
    let mut found = Vec::new();
    for inner in graph[outer.term].nodes.clone() {
        if limits.reached(graph) {
            return found;
        }
        let Some(inner) = Reduction::of(graph, &inner) else {
            continue;
        };
        let guards: Vec<Id> = outer.guard.into_iter().collect();
        let outside = outer.out | indices(graph, &guards);
        let apart = inner.reduced(graph).is_disjoint(outside);
        let one_guard = outer.guard.is_none() || inner.guard.is_none();
        if inner.reducer == outer.reducer && apart && one_guard {
            let guard = outer.guard.or(inner.guard);
            found.push(reduce(graph, outer.reducer, outer.out, guard, inner.term));
        }
    }
    found
}

/// A reduction over two indices is one after the other.
pub(super) fn split(graph: &mut Graph, _: &Limits, node: &Node) -> Vec<Id> {
    let Some(r) = Reduction::of(graph, node) else {
        return vec![];
    };
    let reduced = r.reduced(graph);
    if r.guard.is_some() || reduced.len() < 2 {
        return vec![];
    }
    reduced
        .iter()
        .map(|last| {
            let inner = reduce(graph, r.reducer, r.out | IndexSet::single(last), None, r.term);
            reduce(graph, r.reducer, r.out, None, inner)
        })
        .collect()
}

/// The largest multiple is the multiple of the largest, or of the smallest if it is negative.
pub(super) fn scaled(graph: &mut Graph, limits: &Limits, node: &Node) -> Vec<Id> {
    let Some(r) = Reduction::of(graph, node) else {
        return vec![];
    };
    let opposite = match r.reducer {
        Reducer::Max => Reducer::Min,
        Reducer::Min => Reducer::Max,
        _ => return vec![],
    };
    let mut found = Vec::new();
    for e in Ein::all(graph, r.term) {
        if limits.reached(graph) {
            return found;
        }
        let k = e.coefficient.value();
        if k != 1.0 && k != 0.0 {
            let plain = guarded_ein(graph, e.out, Scalar::ONE, e.guard, &e.bag);
            let reducer = if k > 0.0 { r.reducer } else { opposite };
            let extreme = reduce(graph, reducer, r.out, r.guard, plain);
            found.push(scale(graph, e.coefficient, extreme));
        }
    }
    found
}

/// A term without reduced indices moves out of a maximum, a minimum or a log-sum-exp of a sum.
pub(super) fn shifted(graph: &mut Graph, limits: &Limits, node: &Node) -> Vec<Id> {
    let Some(r) = Reduction::of(graph, node) else {
        return vec![];
    };
    if !matches!(r.reducer, Reducer::Max | Reducer::Min | Reducer::LogSumExp) {
        return vec![];
    }
    let reduced = r.reduced(graph);
    let mut found = Vec::new();
    for sum in super::add::sums(graph, r.term) {
        if limits.reached(graph) {
            return found;
        }
        for (at, term) in sum.iter().enumerate() {
            let rest = without(&sum, at);
            let rest_indices = indices(graph, &rest);
            let guards: Vec<Id> = r.guard.into_iter().collect();
            let covered = reduced.is_subset(rest_indices | indices(graph, &guards));
            if graph[*term].data.indices.is_disjoint(reduced) && covered {
                let rest = add(graph, &rest);
                let out = (rest_indices | indices(graph, &guards)) - reduced;
                let inner = reduce(graph, r.reducer, out, r.guard, rest);
                found.push(add(graph, &[*term, inner]));
            }
        }
    }
    found
}

/// The largest of a growing function, defined everywhere, is the function of the largest.
pub(super) fn monotone(graph: &mut Graph, _: &Limits, node: &Node) -> Vec<Id> {
    let Some(r) = Reduction::of(graph, node) else {
        return vec![];
    };
    if r.guard.is_some() || !matches!(r.reducer, Reducer::Max | Reducer::Min) {
        return vec![];
    }
    let mut found = Vec::new();
    for op in [UnaryOp::Exp, UnaryOp::Tanh, UnaryOp::Erf] {
        let f = MapFn::Unary(op);
        for arg in super::map::arguments(graph, r.term, f) {
            let inner = reduce(graph, r.reducer, r.out, None, arg);
            found.push(map(graph, f, &[inner]));
        }
    }
    found
}

/// The terms of every way to write `class` as a sum, those without `reduced` indices left out.
fn stripped(graph: &mut Graph, class: Id, reduced: IndexSet) -> Vec<(Vec<Id>, Id)> {
    let mut found = Vec::new();
    for sum in super::add::sums(graph, class) {
        let (inside, outside): (Vec<Id>, Vec<Id>) =
            sum.iter().partition(|t| !graph[**t].data.indices.is_disjoint(reduced));
        if !outside.is_empty() && reduced.is_subset(indices(graph, &inside)) {
            let inside = add(graph, &inside);
            found.push((bag(graph, &outside), inside));
        }
    }
    found
}

/// The log of a sum of exponentials, with or without a shift that is added back.
pub(super) fn log_sum_exp(graph: &mut Graph, limits: &Limits, node: &Node) -> Vec<Id> {
    let mut found = Vec::new();
    match node {
        Node::Map(MapFn::Unary(UnaryOp::Log), args) if is_algebra(graph, args[0]) => {
            for (e, y) in sums_of_exp(graph, args[0]) {
                found.push(reduce(graph, Reducer::LogSumExp, e.out, e.guard, y));
            }
        }
        Node::Add(terms) => {
            let terms = bag(graph, terms);
            for (at, term) in terms.iter().enumerate() {
                for sum in super::map::arguments(graph, *term, MapFn::Unary(UnaryOp::Log)) {
                    for (e, y) in sums_of_exp(graph, sum) {
                        if limits.reached(graph) {
                            return found;
                        }
                        let rest = without(&terms, at);
                        found.extend(with_shift(graph, &rest, &e, y));
                    }
                }
            }
        }
        _ => {}
    }
    found
}

/// `m + log Σ exp(x − m)` without `m`: the rest of the sum must hold what is subtracted inside.
fn with_shift(graph: &mut Graph, rest: &[Id], e: &Ein, y: Id) -> Vec<Id> {
    let guards: Vec<Id> = e.guard.into_iter().collect();
    let reduced = (graph[y].data.indices | indices(graph, &guards)) - e.out;
    let mut found = Vec::new();
    for (shift, x) in stripped(graph, y, reduced) {
        let [shift] = shift[..] else { continue };
        for inner in Ein::all(graph, shift) {
            let negated = inner.coefficient.value() == -1.0 && inner.guard.is_none();
            let [m] = inner.bag[..] else { continue };
            let whole = graph[m].data.indices == inner.out;
            let Some(at) = rest.iter().position(|t| *t == m) else {
                continue;
            };
            let fits = e.out.is_subset(graph[x].data.indices | indices(graph, &guards));
            if negated && whole && fits {
                let lse = reduce(graph, Reducer::LogSumExp, e.out, e.guard, x);
                found.push(add(graph, &[without(rest, at), vec![lse]].concat()));
            }
        }
    }
    found
}

/// The ways in which a class is a plain sum of exponentials, with the exponent.
fn sums_of_exp(graph: &Graph, class: Id) -> Vec<(Ein, Id)> {
    let mut found = Vec::new();
    for e in Ein::all(graph, class) {
        let [exp] = e.bag[..] else { continue };
        let broadcast = !e.out.is_subset(graph[exp].data.indices | e.guard_indices(graph));
        if e.coefficient != Scalar::ONE || broadcast {
            continue;
        }
        for y in super::map::arguments(graph, exp, MapFn::Unary(UnaryOp::Exp)) {
            found.push((Ein { bag: e.bag.clone(), ..e }, y));
        }
    }
    found
}

/// An exponential over the sum of the same exponentials, with the online reduction.
pub(super) fn softmax(graph: &mut Graph, limits: &Limits, node: &Node) -> Vec<Id> {
    let Some(product) = Ein::of(graph, node) else {
        return vec![];
    };
    let mut found = Vec::new();
    for (at, divisor) in product.bag.iter().enumerate() {
        for sum in super::map::arguments(graph, *divisor, MapFn::Recip) {
            for (e, y) in sums_of_exp(graph, sum) {
                if limits.reached(graph) {
                    return found;
                }
                let rest = without(&product.bag, at);
                let Some(exp) = rest.iter().position(|f| *f == e.bag[0]) else {
                    continue;
                };
                let guards: Vec<Id> = e.guard.into_iter().collect();
                let reduced = (graph[y].data.indices | indices(graph, &guards)) - e.out;
                let mut exponents: Vec<Id> =
                    stripped(graph, y, reduced).into_iter().map(|(_, x)| x).collect();
                exponents.push(y);
                for x in exponents {
                    let covered = graph[x].data.indices | indices(graph, &guards);
                    if !e.out.is_subset(covered) || graph[x].data.indices != graph[y].data.indices {
                        continue;
                    }
                    let lse = reduce(graph, Reducer::LogSumExp, e.out, e.guard, x);
                    let negated = scale(graph, Scalar::new(-1.0), lse);
                    let shifted = add(graph, &[x, negated]);
                    let value = map(graph, MapFn::Unary(UnaryOp::Exp), &[shifted]);
                    let factors = [without(&rest, exp), vec![value]].concat();
                    let k = product.coefficient;
                    found.push(guarded_ein(graph, product.out, k, product.guard, &factors));
                }
            }
        }
    }
    found
}
