//! Elementwise functions.

use super::ein::{Ein, without};
use crate::build::{ein, float_constant, guarded_ein, indices, is_algebra, map, scale};
use crate::lang::{Graph, MapFn, Node, Scalar};
use crate::options::Limits;
use egg::Id;
use einmesh_ir::{BinaryOp, DType, UnaryOp};

/// Every way in which a class is a function of something, with the function's arguments.
fn maps(graph: &Graph, class: Id) -> Vec<(MapFn, Vec<Id>)> {
    let canonical = |args: &Vec<Id>| args.iter().map(|a| graph.find(*a)).collect();
    graph[class]
        .nodes
        .iter()
        .filter_map(|n| match n {
            Node::Map(f, args) => Some((*f, canonical(args))),
            _ => None,
        })
        .collect()
}

/// The arguments of every way in which a class is this function.
pub(super) fn arguments(graph: &Graph, class: Id, f: MapFn) -> Vec<Id> {
    maps(graph, class).into_iter().filter(|(g, _)| *g == f).map(|(_, args)| args[0]).collect()
}

/// Powers with the exponents 2 and 3 are products.
pub(super) fn power_product(graph: &mut Graph, _: &Limits, node: &Node) -> Vec<Id> {
    let Some((base, exponent)) = power(graph, node) else {
        return vec![];
    };
    let out = graph[base].data.indices;
    match exponent {
        2.0 => vec![ein(graph, out, Scalar::ONE, &[base, base])],
        3.0 => vec![ein(graph, out, Scalar::ONE, &[base, base, base])],
        _ => vec![],
    }
}

/// Powers with the exponents ½, −½, −1 and 1 are roots, reciprocals and the base.
pub(super) fn power_root(graph: &mut Graph, _: &Limits, node: &Node) -> Vec<Id> {
    let Some((base, exponent)) = power(graph, node) else {
        return vec![];
    };
    let f = match exponent {
        0.5 => MapFn::Unary(UnaryOp::Sqrt),
        -0.5 => MapFn::Unary(UnaryOp::Rsqrt),
        -1.0 => MapFn::Recip,
        1.0 => return vec![base],
        _ => return vec![],
    };
    vec![map(graph, f, &[base])]
}

/// The base and the constant exponent of a power of wide floats.
fn power(graph: &Graph, node: &Node) -> Option<(Id, f64)> {
    match node {
        Node::Map(MapFn::Binary(BinaryOp::Pow), args) if is_algebra(graph, args[0]) => {
            Some((graph.find(args[0]), float_constant(graph, args[1])?))
        }
        _ => None,
    }
}

/// Reciprocals of roots, reciprocals and exponentials.
pub(super) fn reciprocal(graph: &mut Graph, _: &Limits, node: &Node) -> Vec<Id> {
    let Node::Map(MapFn::Recip, args) = node else {
        return vec![];
    };
    let mut found = Vec::new();
    for (f, inner) in maps(graph, args[0]) {
        match f {
            MapFn::Recip => found.push(inner[0]),
            MapFn::Unary(UnaryOp::Sqrt) => {
                found.push(map(graph, MapFn::Unary(UnaryOp::Rsqrt), &inner));
            }
            MapFn::Unary(UnaryOp::Rsqrt) => {
                found.push(map(graph, MapFn::Unary(UnaryOp::Sqrt), &inner));
            }
            MapFn::Unary(UnaryOp::Exp) => {
                let negated = scale(graph, Scalar::new(-1.0), inner[0]);
                found.push(map(graph, MapFn::Unary(UnaryOp::Exp), &[negated]));
            }
            _ => {}
        }
    }
    found
}

/// Two divisions of a product are one by the divisors' product.
pub(super) fn reciprocal_product(graph: &mut Graph, limits: &Limits, node: &Node) -> Vec<Id> {
    let Some(e) = Ein::of(graph, node) else {
        return vec![];
    };
    let mut found = Vec::new();
    for i in 0..e.bag.len() {
        for j in i + 1..e.bag.len() {
            for a in arguments(graph, e.bag[i], MapFn::Recip) {
                for b in arguments(graph, e.bag[j], MapFn::Recip) {
                    if limits.reached(graph) {
                        return found;
                    }
                    let out = indices(graph, &[a, b]);
                    let divisor = ein(graph, out, Scalar::ONE, &[a, b]);
                    let both = map(graph, MapFn::Recip, &[divisor]);
                    let factors = [without(&without(&e.bag, j), i), vec![both]].concat();
                    found.push(guarded_ein(graph, e.out, e.coefficient, e.guard, &factors));
                }
            }
        }
    }
    found
}

/// The logarithm of an exponential is its argument.
pub(super) fn log_exp(graph: &mut Graph, _: &Limits, node: &Node) -> Vec<Id> {
    match node {
        Node::Map(MapFn::Unary(UnaryOp::Log), args) if is_algebra(graph, args[0]) => {
            arguments(graph, args[0], MapFn::Unary(UnaryOp::Exp))
        }
        _ => vec![],
    }
}

/// The exponential of a logarithm is the number itself, where it is positive by construction: a sum
/// of products of exponentials.
pub(super) fn exp_log(graph: &mut Graph, _: &Limits, node: &Node) -> Vec<Id> {
    let exp = MapFn::Unary(UnaryOp::Exp);
    match node {
        Node::Map(f, args) if *f == exp && is_algebra(graph, args[0]) => {
            let inner = arguments(graph, args[0], MapFn::Unary(UnaryOp::Log));
            let positive = |x: &Id| {
                let is_exp = |graph: &Graph, c: Id| !arguments(graph, c, exp).is_empty();
                is_exp(graph, *x)
                    || Ein::all(graph, *x).iter().any(|e| {
                        e.coefficient.value() > 0.0 && e.bag.iter().all(|f| is_exp(graph, *f))
                    })
            };
            inner.into_iter().filter(positive).collect()
        }
        _ => vec![],
    }
}

/// A sign, an absolute value or a truth value inside the same function disappears.
pub(super) fn twice(graph: &mut Graph, _: &Limits, node: &Node) -> Vec<Id> {
    let Node::Map(f @ MapFn::Unary(op), args) = node else {
        return vec![];
    };
    match op {
        UnaryOp::Neg | UnaryOp::Not => arguments(graph, args[0], *f),
        UnaryOp::Abs | UnaryOp::Floor | UnaryOp::Ceil | UnaryOp::Round => {
            let again = !arguments(graph, args[0], *f).is_empty();
            if again { vec![args[0]] } else { vec![] }
        }
        _ => vec![],
    }
}

/// Choices between equal things.
pub(super) fn same_arguments(graph: &mut Graph, _: &Limits, node: &Node) -> Vec<Id> {
    let Node::Map(f, args) = node else {
        return vec![];
    };
    let same = |a: usize, b: usize| graph.find(args[a]) == graph.find(args[b]);
    match f {
        MapFn::Select if same(1, 2) => {
            let covers = graph[args[0]].data.indices.is_subset(graph[args[1]].data.indices);
            if covers { vec![args[1]] } else { vec![] }
        }
        MapFn::Binary(BinaryOp::Max | BinaryOp::Min | BinaryOp::And | BinaryOp::Or)
            if same(0, 1) =>
        {
            vec![args[0]]
        }
        _ => vec![],
    }
}

/// A conversion to the same type, or to a wider one and back, does nothing.
pub(super) fn cast(graph: &mut Graph, _: &Limits, node: &Node) -> Vec<Id> {
    let Node::Map(MapFn::Cast(to), args) = node else {
        return vec![];
    };
    if graph[args[0]].data.dtype == Some(*to) {
        return vec![args[0]];
    }
    let mut found = Vec::new();
    for (f, inner) in maps(graph, args[0]) {
        if let MapFn::Cast(through) = f
            && graph[inner[0]].data.dtype == Some(*to)
            && holds_all(through, *to)
        {
            found.push(inner[0]);
        }
    }
    found
}

/// Whether every number of `from` is one of `wide`.
fn holds_all(wide: DType, from: DType) -> bool {
    use DType::*;
    matches!((wide, from), (F64, F32 | Bf16 | F16 | I32) | (F32, Bf16 | F16) | (I64, I32))
}
