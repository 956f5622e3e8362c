//! Constants.

use super::ein::Ein;
use crate::build::{add, constant, float_constant, guarded_ein, is_algebra};
use crate::lang::{Graph, MapFn, Node, Scalar};
use crate::options::Limits;
use egg::Id;
use einmesh_ir::UnaryOp;

/// Constant factors join the coefficient; a product of nothing else is a constant.
pub(super) fn factors(graph: &mut Graph, _: &Limits, node: &Node) -> Vec<Id> {
    let Some(e) = Ein::of(graph, node) else {
        return vec![];
    };
    let mut coefficient = e.coefficient;
    let mut rest = Vec::new();
    for factor in &e.bag {
        match float_constant(graph, *factor) {
            Some(value) => coefficient = coefficient.times(Scalar::new(value)),
            None => rest.push(*factor),
        }
    }
    if rest.len() == e.bag.len() || e.guard.is_some() {
        vec![]
    } else if !rest.is_empty() {
        vec![guarded_ein(graph, e.out, coefficient, None, &rest)]
    } else if e.out.is_empty() {
        vec![constant_like(graph, e.bag[0], coefficient.value())]
    } else {
        vec![]
    }
}

/// Constant terms are one; zero is none.
pub(super) fn terms(graph: &mut Graph, _: &Limits, node: &Node) -> Vec<Id> {
    let Some(terms) = super::add::terms(graph, node) else {
        return vec![];
    };
    let constants: Vec<f64> = terms.iter().filter_map(|t| float_constant(graph, *t)).collect();
    let sum: f64 = constants.iter().sum();
    if constants.is_empty() || constants.len() == 1 && sum != 0.0 {
        return vec![];
    }
    let mut rest: Vec<Id> =
        terms.iter().copied().filter(|t| float_constant(graph, *t).is_none()).collect();
    if sum != 0.0 || rest.is_empty() {
        rest.push(constant_like(graph, terms[0], sum));
    }
    vec![add(graph, &rest)]
}

/// Roots, reciprocals and absolute values of constants.
pub(super) fn functions(graph: &mut Graph, _: &Limits, node: &Node) -> Vec<Id> {
    let Node::Map(f, args) = node else {
        return vec![];
    };
    let [arg] = args[..] else { return vec![] };
    if !is_algebra(graph, arg) {
        return vec![];
    }
    let Some(x) = float_constant(graph, arg) else {
        return vec![];
    };
    let y = match f {
        MapFn::Recip => 1.0 / x,
        MapFn::Unary(UnaryOp::Sqrt) => x.sqrt(),
        MapFn::Unary(UnaryOp::Rsqrt) => 1.0 / x.sqrt(),
        MapFn::Unary(UnaryOp::Abs) => x.abs(),
        _ => return vec![],
    };
    if y.is_finite() { vec![constant_like(graph, arg, y)] } else { vec![] }
}

/// A constant of the dtype of a term.
fn constant_like(graph: &mut Graph, term: Id, value: f64) -> Id {
    let dtype = graph[term].data.dtype.expect("a term has a dtype");
    constant(graph, dtype, value)
}
