//! Sums of products.

use crate::build::{bag, ein, guarded_ein, indices};
use crate::guard::holds_at_zero;
use crate::index::IndexSet;
use crate::lang::{Graph, Node, Scalar, split_guard};
use crate::options::Limits;
use egg::Id;

/// The parts of a [`Node::Ein`], children canonical.
pub(super) struct Ein {
    pub out: IndexSet,
    pub coefficient: Scalar,
    pub guard: Option<Id>,
    pub bag: Vec<Id>,
}

impl Ein {
    /// The node's parts, if it is an einsum.
    pub fn of(graph: &Graph, node: &Node) -> Option<Ein> {
        let Node::Ein { out, coefficient, guarded, children } = node else {
            return None;
        };
        let (guard, factors) = split_guard(*guarded, children);
        let guard = guard.map(|g| graph.find(g));
        Some(Ein { out: *out, coefficient: *coefficient, guard, bag: bag(graph, factors) })
    }

    /// The indices of the guard.
    pub fn guard_indices(&self, graph: &Graph) -> IndexSet {
        self.guard.map_or(IndexSet::EMPTY, |g| graph[g].data.indices)
    }

    /// The einsums that a class can be computed as.
    pub fn all(graph: &Graph, class: Id) -> Vec<Ein> {
        graph[class].nodes.iter().filter_map(|n| Ein::of(graph, n)).collect()
    }
}

/// The bag without its `at`-th factor.
pub(super) fn without(bag: &[Id], at: usize) -> Vec<Id> {
    let mut rest = bag.to_vec();
    rest.remove(at);
    rest
}

/// Opens a factor that is itself an einsum.
///
/// The inner sum's indices must not occur outside (no capture), an inner broadcast must not be
/// summed by the outer (it would count repetitions), and at most one of the two has a guard, or
/// both the same. A guard of the inner then also covers the other factors, which leaves out products
/// with an inner zero: they are zero, unless another factor rests on an empty sum and is not finite.
pub(super) fn flatten(graph: &mut Graph, limits: &Limits, node: &Node) -> Vec<Id> {
    let Some(outer) = Ein::of(graph, node) else {
        return vec![];
    };
    let mut found = Vec::new();
    for (at, factor) in outer.bag.iter().enumerate() {
        let rest = without(&outer.bag, at);
        let outside = outer.out | indices(graph, &rest) | outer.guard_indices(graph);
        let finite = rest.iter().all(|f| graph[*f].data.full);
        for inner in Ein::all(graph, *factor) {
            if limits.reached(graph) {
                return found;
            }
            let inside = indices(graph, &inner.bag) | inner.guard_indices(graph);
            let (summed, broadcast) = (inside - inner.out, inner.out - inside);
            let guard = match (outer.guard, inner.guard) {
                (Some(a), Some(b)) if a != b => continue,
                (None, Some(_)) if !finite => continue,
                (a, b) => a.or(b),
            };
            let fits = rest.len() + inner.bag.len() <= limits.bag;
            if fits && summed.is_disjoint(outside) && broadcast.is_subset(outside) {
                let factors: Vec<Id> = rest.iter().chain(&inner.bag).copied().collect();
                let coefficient = outer.coefficient.times(inner.coefficient);
                found.push(guarded_ein(graph, outer.out, coefficient, guard, &factors));
            }
        }
    }
    found
}

/// Splits a bag into two halves whose own indices are summed first.
///
/// Halves that are products of unrelated factors, and intermediates much larger than anything the
/// einsum touches, are not proposed. The guard stays outside and keeps its indices there.
pub(super) fn split(graph: &mut Graph, limits: &Limits, node: &Node) -> Vec<Id> {
    let Some(e) = Ein::of(graph, node) else {
        return vec![];
    };
    if e.bag.len() < 2 || e.bag.len() > limits.bag {
        return vec![];
    }
    let keep = e.out | e.guard_indices(graph);
    let sizes = e.bag.iter().map(|f| graph.analysis.points(graph[*f].data.indices));
    let largest = sizes.max().unwrap_or(1).max(graph.analysis.points(e.out));
    let allowed = largest.saturating_mul(limits.blow_up);
    let mut found = Vec::new();
    for mask in 0..1u32 << (e.bag.len() - 1) {
        // The first factor is in the left half, so that each split is seen once.
        let side = |left: bool| -> Vec<Id> {
            let on = |n: &usize| (*n == 0 || mask >> (n - 1) & 1 == 1) == left;
            (0..e.bag.len()).filter(on).map(|n| e.bag[n]).collect()
        };
        let (left, right) = (side(true), side(false));
        if right.is_empty() || !is_connected(graph, &left) || !is_connected(graph, &right) {
            continue;
        }
        let (li, ri) = (indices(graph, &left), indices(graph, &right));
        let (lo, ro) = (li & (keep | ri), ri & (keep | li));
        if (lo, ro) == (li, ri) && e.bag.len() == 2 {
            continue;
        }
        if e.bag.len() > 2 && [lo, ro].iter().any(|s| graph.analysis.points(*s) > allowed) {
            continue;
        }
        let one = Scalar::ONE;
        let (l, r) = (ein(graph, lo, one, &left), ein(graph, ro, one, &right));
        found.push(guarded_ein(graph, e.out, e.coefficient, e.guard, &[l, r]));
    }
    found
}

/// Whether the factors hang together by shared indices.
fn is_connected(graph: &Graph, bag: &[Id]) -> bool {
    let mut seen = graph[bag[0]].data.indices;
    let mut left: Vec<IndexSet> = bag[1..].iter().map(|f| graph[*f].data.indices).collect();
    loop {
        let before = left.len();
        left.retain(|set| {
            let apart = set.is_disjoint(seen);
            if !apart {
                seen = seen | *set;
            }
            apart
        });
        if left.is_empty() {
            return true;
        }
        if left.len() == before {
            return false;
        }
    }
}

/// Takes the coefficient of a factor to the outside.
pub(super) fn coefficient_out(graph: &mut Graph, limits: &Limits, node: &Node) -> Vec<Id> {
    let Some(e) = Ein::of(graph, node) else {
        return vec![];
    };
    let mut found = Vec::new();
    for (at, factor) in e.bag.iter().enumerate() {
        for inner in Ein::all(graph, *factor) {
            let k = inner.coefficient;
            if limits.reached(graph) {
                return found;
            }
            if k != Scalar::ONE {
                let plain = guarded_ein(graph, inner.out, Scalar::ONE, inner.guard, &inner.bag);
                let factors = [without(&e.bag, at), vec![plain]].concat();
                let coefficient = e.coefficient.times(k);
                found.push(guarded_ein(graph, e.out, coefficient, e.guard, &factors));
            }
        }
    }
    found
}

/// Takes a factor without summed indices out of a guarded sum.
///
/// Where the guard excludes every point, the sum is 0 whatever the factor is; outside, the factor
/// would be evaluated, and a reciprocal of an empty sum is infinite. So the guard must be proven to
/// leave a point for each result.
pub(super) fn hoist(graph: &mut Graph, _: &Limits, node: &Node) -> Vec<Id> {
    let Some(e) = Ein::of(graph, node) else {
        return vec![];
    };
    let Some(guard) = e.guard else { return vec![] };
    let inside = indices(graph, &e.bag) | e.guard_indices(graph);
    let summed = inside - e.out;
    if e.bag.len() < 2 || summed.is_empty() || !holds_at_zero(graph, guard, summed) {
        return vec![];
    }
    let mut found = Vec::new();
    for (at, factor) in e.bag.iter().enumerate() {
        if graph[*factor].data.indices.is_disjoint(summed) {
            let rest = without(&e.bag, at);
            let out = (indices(graph, &rest) | e.guard_indices(graph)) - summed;
            let sum = guarded_ein(graph, out, Scalar::ONE, e.guard, &rest);
            found.push(guarded_ein(graph, e.out, e.coefficient, None, &[*factor, sum]));
        }
    }
    found
}

/// Leaves out a guard that a factor has itself: where it is false that factor is 0. So is the product, if
/// the others are finite there, which those that rest on an empty sum need not be.
pub(super) fn unguard(graph: &mut Graph, _: &Limits, node: &Node) -> Vec<Id> {
    let Some(e) = Ein::of(graph, node) else {
        return vec![];
    };
    let Some(guard) = e.guard else { return vec![] };
    let zero = |f: &Id| {
        let masked = |x: &Ein| {
            // A guard over summed indices leaves out terms, not results.
            x.guard == e.guard && graph[guard].data.indices.is_subset(x.out)
        };
        Ein::all(graph, *f).iter().any(masked)
    };
    let finite = |f: &Id| zero(f) || graph[*f].data.full;
    let fits = e.bag.iter().any(zero) && e.bag.iter().all(finite);
    if fits { vec![ein(graph, e.out, e.coefficient, &e.bag)] } else { vec![] }
}
