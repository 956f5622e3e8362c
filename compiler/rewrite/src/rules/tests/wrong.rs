//! Rules with a mistake each, and the rule whose instances must show it.

use crate::build::{add, ein, guarded_ein, indices, map, reduce, rename, scale};
use crate::index::IndexSet;
use crate::lang::{Graph, MapFn, Node, Scalar};
use crate::options::Limits;
use crate::rules::add::{sums, terms};
use crate::rules::ein::{Ein, without};
use crate::rules::map::arguments;
use egg::Id;
use einmesh_ir::{BinaryOp, DType, Reducer, UnaryOp};

type Apply = fn(&mut Graph, &Limits, &Node) -> Vec<Id>;

/// (the right rule, the mistake, the wrong rule)
#[rustfmt::skip]
pub(super) const RULES: &[(&str, &str, Apply)] = &[
    ("flatten-product", "captures an inner index", |g, _, n| flatten(g, n, Mistake::Capture)),
    ("flatten-product", "forgets the inner coefficient", |g, _, n| flatten(g, n, Mistake::Coefficient)),
    ("flatten-product", "forgets the inner guard", |g, _, n| flatten(g, n, Mistake::Guard)),
    ("flatten-product", "sums an inner broadcast once", |g, _, n| flatten(g, n, Mistake::Broadcast)),
    ("flatten-product", "divides nothing by nothing", |g, _, n| flatten(g, n, Mistake::Infinite)),
    ("split-product", "sums what the other half needs", |g, _, n| split(g, n, Mistake::Capture)),
    ("split-product", "forgets the coefficient", |g, _, n| split(g, n, Mistake::Coefficient)),
    ("split-product", "forgets the guard", |g, _, n| split(g, n, Mistake::Guard)),
    ("coefficient-out", "forgets the coefficient", |g, _, n| coefficient_lost(g, n)),
    ("hoist-from-guard", "hoists from a guard that excludes all", |g, _, n| hoist(g, n, false)),
    ("hoist-from-guard", "hoists what is summed", |g, _, n| hoist(g, n, true)),
    ("unguard", "drops any guard", |g, _, n| unguard(g, n)),
    ("unguard", "multiplies zero by the infinite", |g, _, n| unguard_masked(g, n)),
    ("common-factor", "sums what the factor needs", |g, _, n| common_factor(g, n, Mistake::Capture)),
    ("common-factor", "forgets the coefficients", |g, _, n| common_factor(g, n, Mistake::Coefficient)),
    ("common-factor", "forgets the guard", |g, _, n| common_factor(g, n, Mistake::Guard)),
    ("common-coefficient", "takes one term's coefficient", |g, _, n| one_coefficient(g, n)),
    ("like-terms", "multiplies coefficients", |g, _, n| like_terms(g, n)),
    ("constant-term", "drops constants", |g, _, n| drop_constants(g, n)),
    ("constant-factor", "drops the constant", |g, _, n| drop_constant_factor(g, n)),
    ("distribute", "does not repeat a term", |g, _, n| distribute(g, n)),
    ("rename-product", "renames into a summed index", |g, _, n| rename_product(g, n)),
    ("rename-sum", "renames one term only", |g, _, n| rename_sum(g, n)),
    ("rename-twice", "drops the inner renaming", |g, _, n| rename_twice(g, n)),
    ("power-product", "x³ = x·x", |g, _, n| power(g, n)),
    ("reciprocal", "1/√x = √x", |g, _, n| reciprocal(g, n)),
    ("reciprocal-product", "(1/a)·(1/b) = 1/a·b", |g, _, n| reciprocal_product(g, n)),
    ("log-of-exp", "log exp x = exp x", |_, _, n| log_exp(n)),
    ("same-arguments", "select(c, a, b) = a", |_, _, n| select_first(n)),
    ("twice", "|x| = x", |_, _, n| absolute(n)),
    ("conversion", "wide → narrow → wide", |g, _, n| narrow(g, n)),
    ("merge-reductions", "the largest of the smallest", |g, _, n| merge(g, n)),
    ("max-of-multiple", "ignores the sign", |g, _, n| scaled(g, n)),
    ("max-of-shifted", "moves what is reduced", |g, _, n| shifted(g, n)),
    ("max-of-monotone", "takes any function for growing", |g, _, n| monotone(g, n)),
    ("log-sum-exp", "forgets the logarithm's shift", |g, _, n| log_sum_exp(g, n)),
    ("online-softmax", "forgets the divisor", |g, _, n| softmax(g, n)),
];

#[derive(Clone, Copy, PartialEq)]
enum Mistake {
    Capture,
    Coefficient,
    Guard,
    Broadcast,
    Infinite,
}

fn flatten(g: &mut Graph, node: &Node, mistake: Mistake) -> Vec<Id> {
    let Some(outer) = Ein::of(g, node) else {
        return vec![];
    };
    let mut found = vec![];
    for (at, factor) in outer.bag.iter().enumerate() {
        let rest = without(&outer.bag, at);
        let outside = outer.out | indices(g, &rest) | outer.guard_indices(g);
        let finite = rest.iter().all(|f| g[*f].data.full);
        for inner in Ein::all(g, *factor) {
            let inside = indices(g, &inner.bag) | inner.guard_indices(g);
            let (summed, broadcast) = (inside - inner.out, inner.out - inside);
            let captured = !summed.is_disjoint(outside);
            let repeated = !broadcast.is_subset(outside);
            if captured && mistake != Mistake::Capture || repeated && mistake != Mistake::Broadcast
            {
                continue;
            }
            let k = match mistake {
                Mistake::Coefficient => outer.coefficient,
                _ => outer.coefficient.times(inner.coefficient),
            };
            let guard = match mistake {
                Mistake::Guard => outer.guard,
                _ if inner.guard.is_some() && outer.guard.is_some() => continue,
                _ if inner.guard.is_some() && !finite && mistake != Mistake::Infinite => continue,
                _ => outer.guard.or(inner.guard),
            };
            found.push(guarded_ein(g, outer.out, k, guard, &[rest.clone(), inner.bag].concat()));
        }
    }
    found
}

fn split(g: &mut Graph, node: &Node, mistake: Mistake) -> Vec<Id> {
    let Some(e) = Ein::of(g, node) else {
        return vec![];
    };
    let (left, right) = (e.bag[..1].to_vec(), e.bag[1..].to_vec());
    if right.is_empty() {
        return vec![];
    }
    let keep = e.out | e.guard_indices(g);
    let (li, ri) = (indices(g, &left), indices(g, &right));
    let left_out = if mistake == Mistake::Capture { li & keep } else { li & (keep | ri) };
    let (l, r) =
        (ein(g, left_out, Scalar::ONE, &left), ein(g, ri & (keep | li), Scalar::ONE, &right));
    let k = if mistake == Mistake::Coefficient { Scalar::ONE } else { e.coefficient };
    let guard = if mistake == Mistake::Guard { None } else { e.guard };
    vec![guarded_ein(g, e.out, k, guard, &[l, r])]
}

fn coefficient_lost(g: &mut Graph, node: &Node) -> Vec<Id> {
    let Some(e) = Ein::of(g, node) else {
        return vec![];
    };
    let mut found = vec![];
    for (at, factor) in e.bag.iter().enumerate() {
        for inner in Ein::all(g, *factor) {
            let plain = guarded_ein(g, inner.out, Scalar::ONE, inner.guard, &inner.bag);
            let bag = [without(&e.bag, at), vec![plain]].concat();
            found.push(guarded_ein(g, e.out, e.coefficient, e.guard, &bag));
        }
    }
    found
}

fn hoist(g: &mut Graph, node: &Node, any: bool) -> Vec<Id> {
    let Some(e) = Ein::of(g, node) else {
        return vec![];
    };
    if e.bag.len() < 2 || e.guard.is_none() {
        return vec![];
    }
    let summed = (indices(g, &e.bag) | e.guard_indices(g)) - e.out;
    let mut found = vec![];
    for (at, factor) in e.bag.iter().enumerate() {
        if any || g[*factor].data.indices.is_disjoint(summed) {
            let rest = without(&e.bag, at);
            let out = (indices(g, &rest) | e.guard_indices(g)) - summed;
            let sum = guarded_ein(g, out, Scalar::ONE, e.guard, &rest);
            found.push(guarded_ein(g, e.out, e.coefficient, None, &[*factor, sum]));
        }
    }
    found
}

fn unguard(g: &mut Graph, node: &Node) -> Vec<Id> {
    match Ein::of(g, node) {
        Some(e) if e.out.is_subset(indices(g, &e.bag)) => {
            vec![ein(g, e.out, e.coefficient, &e.bag)]
        }
        _ => vec![],
    }
}

fn unguard_masked(g: &mut Graph, node: &Node) -> Vec<Id> {
    let Some(e) = Ein::of(g, node) else { return vec![] };
    let masked = |f: &Id| {
        let alike = |x: &Ein| x.guard == e.guard && e.guard_indices(g).is_subset(x.out);
        Ein::all(g, *f).iter().any(alike)
    };
    let drops = e.guard.is_some() && e.bag.iter().any(masked);
    if drops { vec![ein(g, e.out, e.coefficient, &e.bag)] } else { vec![] }
}

fn common_factor(g: &mut Graph, node: &Node, mistake: Mistake) -> Vec<Id> {
    let Some(terms) = terms(g, node) else {
        return vec![];
    };
    let mut found = vec![];
    for x in Ein::all(g, terms[0]) {
        for y in Ein::all(g, terms[1]) {
            let shared = x.bag.iter().position(|f| y.bag.contains(f));
            let Some(at) = shared else { continue };
            let f = x.bag[at];
            let other = y.bag.iter().position(|h| *h == f).expect("shared");
            let (rx, ry) = (without(&x.bag, at), without(&y.bag, other));
            if rx.is_empty() || ry.is_empty() || terms.len() > 2 {
                continue;
            }
            let mut keep = x.out | x.guard_indices(g);
            if mistake != Mistake::Capture {
                keep = keep | g[f].data.indices;
            }
            let (ox, oy) = (indices(g, &rx) & keep, indices(g, &ry) & keep);
            if ox != oy {
                continue;
            }
            let one = Scalar::ONE;
            let (kx, ky) = match mistake {
                Mistake::Coefficient => (one, one),
                _ => (x.coefficient, y.coefficient),
            };
            let (cx, cy) = (ein(g, ox, kx, &rx), ein(g, oy, ky, &ry));
            let sum = add(g, &[cx, cy]);
            let guard = if mistake == Mistake::Guard { None } else { x.guard };
            found.push(guarded_ein(g, x.out, one, guard, &[f, sum]));
        }
    }
    found
}

fn one_coefficient(g: &mut Graph, node: &Node) -> Vec<Id> {
    let Some(terms) = terms(g, node) else {
        return vec![];
    };
    let mut found = vec![];
    for e in Ein::all(g, terms[0]) {
        let plain = guarded_ein(g, e.out, Scalar::ONE, e.guard, &e.bag);
        let sum = add(g, &[vec![plain], terms[1..].to_vec()].concat());
        found.push(scale(g, e.coefficient, sum));
    }
    found
}

fn like_terms(g: &mut Graph, node: &Node) -> Vec<Id> {
    let Some(terms) = terms(g, node) else {
        return vec![];
    };
    let pairs = (0..terms.len()).flat_map(|i| (i + 1..terms.len()).map(move |j| (i, j)));
    let mut found = vec![];
    for (i, j) in pairs {
        for x in Ein::all(g, terms[i]) {
            for y in Ein::all(g, terms[j]).iter().filter(|y| y.bag == x.bag && y.out == x.out) {
                let k = x.coefficient.times(y.coefficient);
                let both = guarded_ein(g, x.out, k, x.guard, &x.bag);
                found.push(add(g, &[without(&without(&terms, j), i), vec![both]].concat()));
            }
        }
    }
    found
}

fn drop_constants(g: &mut Graph, node: &Node) -> Vec<Id> {
    let Some(terms) = terms(g, node) else {
        return vec![];
    };
    let rest: Vec<Id> =
        terms.into_iter().filter(|t| crate::build::float_constant(g, *t).is_none()).collect();
    vec![add(g, &rest)]
}

fn drop_constant_factor(g: &mut Graph, node: &Node) -> Vec<Id> {
    let Some(e) = Ein::of(g, node) else {
        return vec![];
    };
    let rest: Vec<Id> =
        e.bag.iter().copied().filter(|t| crate::build::float_constant(g, *t).is_none()).collect();
    if rest.is_empty() {
        vec![]
    } else {
        vec![guarded_ein(g, e.out, e.coefficient, e.guard, &rest)]
    }
}

fn distribute(g: &mut Graph, node: &Node) -> Vec<Id> {
    let Some(e) = Ein::of(g, node) else {
        return vec![];
    };
    let mut found = vec![];
    for (at, factor) in e.bag.iter().enumerate() {
        for sum in sums(g, *factor) {
            let bags = sum.iter().map(|t| [without(&e.bag, at), vec![*t]].concat());
            let products: Vec<Id> =
                bags.map(|bag| guarded_ein(g, e.out, e.coefficient, e.guard, &bag)).collect();
            found.push(add(g, &products));
        }
    }
    found
}

fn rename_product(g: &mut Graph, node: &Node) -> Vec<Id> {
    let Node::Rename(pairs, [child]) = node else {
        return vec![];
    };
    let mut found = vec![];
    for e in Ein::all(g, *child) {
        let fits = |g: &Graph, f: &Id| g[*f].data.indices.renamed(pairs).is_some();
        let out = e.out.renamed(pairs).expect("the class was renamed");
        if e.guard.is_none() && e.bag.iter().all(|f| fits(g, f)) {
            let bag: Vec<Id> = e.bag.iter().map(|f| rename(g, pairs, *f)).collect();
            found.push(ein(g, out, e.coefficient, &bag));
        }
    }
    found
}

fn rename_sum(g: &mut Graph, node: &Node) -> Vec<Id> {
    let Node::Rename(pairs, [child]) = node else {
        return vec![];
    };
    let mut found = vec![];
    for sum in sums(g, *child) {
        if g[sum[0]].data.indices.renamed(pairs).is_some() {
            let first = rename(g, pairs, sum[0]);
            found.push(add(g, &[vec![first], sum[1..].to_vec()].concat()));
        }
    }
    found
}

fn rename_twice(g: &mut Graph, node: &Node) -> Vec<Id> {
    let Node::Rename(pairs, [child]) = node else {
        return vec![];
    };
    let mut found = vec![];
    for inner in g[*child].nodes.clone() {
        if let Node::Rename(_, [base]) = inner
            && g[base].data.indices.renamed(pairs).is_some()
        {
            found.push(rename(g, pairs, base));
        }
    }
    found
}

fn power(g: &mut Graph, node: &Node) -> Vec<Id> {
    match node {
        Node::Map(MapFn::Binary(BinaryOp::Pow), args) => {
            let out = g[args[0]].data.indices;
            vec![ein(g, out, Scalar::ONE, &[args[0], args[0]])]
        }
        _ => vec![],
    }
}

fn reciprocal(g: &mut Graph, node: &Node) -> Vec<Id> {
    match node {
        Node::Map(MapFn::Recip, args) => {
            let sqrt = MapFn::Unary(UnaryOp::Sqrt);
            let inner = arguments(g, args[0], sqrt);
            inner.into_iter().map(|x| map(g, sqrt, &[x])).collect()
        }
        _ => vec![],
    }
}

fn reciprocal_product(g: &mut Graph, node: &Node) -> Vec<Id> {
    let Some(e) = Ein::of(g, node) else {
        return vec![];
    };
    let divisor = |i: usize| arguments(g, e.bag[i], MapFn::Recip).first().copied();
    let divisors: Vec<(usize, Id)> =
        (0..e.bag.len()).filter_map(|i| Some((i, divisor(i)?))).collect();
    match divisors[..] {
        [(_, a), (j, b)] => {
            let over = map(g, MapFn::Recip, &[a]);
            let mut bag = without(&e.bag, j);
            bag.retain(|f| arguments(g, *f, MapFn::Recip).is_empty());
            bag.extend([over, b]);
            vec![guarded_ein(g, e.out, e.coefficient, e.guard, &bag)]
        }
        _ => vec![],
    }
}

fn log_exp(node: &Node) -> Vec<Id> {
    match node {
        Node::Map(MapFn::Unary(UnaryOp::Log), args) => vec![args[0]],
        _ => vec![],
    }
}

fn select_first(node: &Node) -> Vec<Id> {
    match node {
        Node::Map(MapFn::Select, args) => vec![args[1]],
        _ => vec![],
    }
}

fn absolute(node: &Node) -> Vec<Id> {
    match node {
        Node::Map(MapFn::Unary(UnaryOp::Abs), args) => vec![args[0]],
        _ => vec![],
    }
}

fn narrow(g: &mut Graph, node: &Node) -> Vec<Id> {
    match node {
        Node::Map(MapFn::Cast(DType::F64), args) => arguments(g, args[0], MapFn::Cast(DType::F32)),
        _ => vec![],
    }
}

/// The parts of an unguarded reduction.
fn reduction(node: &Node) -> Option<(Reducer, IndexSet, Id)> {
    match node {
        Node::Reduce { reducer, out, guarded: false, children } => {
            Some((*reducer, *out, children[0]))
        }
        _ => None,
    }
}

fn merge(g: &mut Graph, node: &Node) -> Vec<Id> {
    let Some((reducer, out, term)) = reduction(node) else {
        return vec![];
    };
    let mut found = vec![];
    for inner in g[term].nodes.clone() {
        if let Some((_, _, x)) = reduction(&inner) {
            let opposite = if reducer == Reducer::Max { Reducer::Min } else { Reducer::Max };
            found.push(reduce(g, opposite, out, None, x));
        }
    }
    found
}

fn scaled(g: &mut Graph, node: &Node) -> Vec<Id> {
    let Some((reducer, out, term)) = reduction(node) else {
        return vec![];
    };
    let mut found = vec![];
    for e in Ein::all(g, term) {
        let plain = guarded_ein(g, e.out, Scalar::ONE, e.guard, &e.bag);
        let inner = reduce(g, reducer, out, None, plain);
        found.push(scale(g, e.coefficient, inner));
    }
    found
}

fn shifted(g: &mut Graph, node: &Node) -> Vec<Id> {
    let Some((reducer, out, term)) = reduction(node) else {
        return vec![];
    };
    let mut found = vec![];
    for sum in sums(g, term) {
        let parts: Vec<Id> = sum
            .iter()
            .map(|t| {
                let own = g[*t].data.indices;
                reduce(g, reducer, own & out, None, *t)
            })
            .collect();
        found.push(add(g, &parts));
    }
    found
}

fn monotone(g: &mut Graph, node: &Node) -> Vec<Id> {
    let Some((reducer, out, term)) = reduction(node) else {
        return vec![];
    };
    let cos = MapFn::Unary(UnaryOp::Cos);
    let inner = arguments(g, term, cos);
    inner
        .into_iter()
        .map(|x| {
            let extreme = reduce(g, reducer, out, None, x);
            map(g, cos, &[extreme])
        })
        .collect()
}

fn log_sum_exp(g: &mut Graph, node: &Node) -> Vec<Id> {
    let mut found = vec![];
    for term in terms(g, node).unwrap_or_default() {
        if !arguments(g, term, MapFn::Unary(UnaryOp::Log)).is_empty() {
            found.push(term);
        }
    }
    found
}

fn softmax(g: &mut Graph, node: &Node) -> Vec<Id> {
    let Some(e) = Ein::of(g, node) else {
        return vec![];
    };
    let divisor = |f: &Id| !arguments(g, *f, MapFn::Recip).is_empty();
    match e.bag.iter().position(divisor) {
        Some(at) if e.bag.len() > 1 => {
            let bag = without(&e.bag, at);
            vec![guarded_ein(g, e.out, e.coefficient, e.guard, &bag)]
        }
        _ => vec![],
    }
}
