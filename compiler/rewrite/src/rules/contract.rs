//! The order of contraction of many factors, by dynamic programming over subsets.
//!
//! `split-product` finds every order of a small bag on its own, but prunes; this rule always puts
//! the order with the fewest operations into the graph. Bags beyond [`Limits::exact_order`] are
//! contracted greedily, the pair with the smallest cost first (Gray and Kourtis 2021).

use super::ein::Ein;
use crate::build::{ein, guarded_ein};
use crate::index::IndexSet;
use crate::lang::{Graph, Node, Scalar};
use crate::options::Limits;
use egg::Id;

/// A binary tree over the positions of a bag.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Tree {
    /// One factor.
    Factor(usize),
    /// The contraction of two trees.
    Pair(Box<Tree>, Box<Tree>),
}

/// Contracts a bag of three or more in its cheapest order.
pub(super) fn order(graph: &mut Graph, limits: &Limits, node: &Node) -> Vec<Id> {
    let Some(e) = Ein::of(graph, node) else {
        return vec![];
    };
    if e.bag.len() < 3 {
        return vec![];
    }
    let sets: Vec<IndexSet> = e.bag.iter().map(|f| graph[*f].data.indices).collect();
    let keep = e.out | e.guard_indices(graph);
    let points = |set| graph.analysis.points(set);
    let (_, tree) = best_order(&sets, keep, limits.exact_order, &points);
    let Tree::Pair(left, right) = tree else {
        return vec![];
    };
    let mut ctx = Ctx { graph, bag: &e.bag, sets: &sets };
    let (l, r) =
        (ctx.build(&left, &right.factors(), keep), ctx.build(&right, &left.factors(), keep));
    vec![guarded_ein(graph, e.out, e.coefficient, e.guard, &[l, r])]
}

struct Ctx<'a> {
    graph: &'a mut Graph,
    bag: &'a [Id],
    sets: &'a [IndexSet],
}

impl Ctx<'_> {
    /// The class of a subtree; the indices of `others` and `keep` outlive it.
    fn build(&mut self, tree: &Tree, others: &[usize], keep: IndexSet) -> Id {
        match tree {
            Tree::Factor(n) => {
                let own = self.sets[*n];
                let out = own & self.alive(others, keep);
                ein(self.graph, out, Scalar::ONE, &[self.bag[*n]])
            }
            Tree::Pair(a, b) => {
                let with = |t: &Tree| -> Vec<usize> {
                    others.iter().copied().chain(t.factors()).collect()
                };
                let (l, r) = (self.build(a, &with(b), keep), self.build(b, &with(a), keep));
                let both = self.graph[l].data.indices | self.graph[r].data.indices;
                let out = both & self.alive(others, keep);
                ein(self.graph, out, Scalar::ONE, &[l, r])
            }
        }
    }

    fn alive(&self, others: &[usize], keep: IndexSet) -> IndexSet {
        others.iter().fold(keep, |set, n| set | self.sets[*n])
    }
}

impl Tree {
    /// The factors in the tree.
    fn factors(&self) -> Vec<usize> {
        match self {
            Tree::Factor(n) => vec![*n],
            Tree::Pair(a, b) => [a.factors(), b.factors()].concat(),
        }
    }

    fn pair(a: Tree, b: Tree) -> Tree {
        Tree::Pair(Box::new(a), Box::new(b))
    }
}

/// The tree with the fewest operations, and how many: a pair costs its points, twice if it sums;
/// a factor with indices of its own is summed over them first.
pub(crate) fn best_order(
    sets: &[IndexSet],
    keep: IndexSet,
    exact: usize,
    points: &dyn Fn(IndexSet) -> u64,
) -> (u64, Tree) {
    if sets.len() <= exact {
        exact_order(sets, keep, points)
    } else {
        greedy_order(sets, keep, points)
    }
}

/// What a pair costs, and its result: indices that neither `keep` nor an outsider has are summed.
fn pair(
    a: IndexSet,
    b: IndexSet,
    alive: IndexSet,
    points: &dyn Fn(IndexSet) -> u64,
) -> (u64, IndexSet) {
    let both = a | b;
    let out = both & alive;
    (points(both).saturating_mul(if out == both { 1 } else { 2 }), out)
}

/// What it costs to sum a factor's indices that nothing else has.
fn alone(own: IndexSet, out: IndexSet, points: &dyn Fn(IndexSet) -> u64) -> u64 {
    if own == out { 0 } else { points(own) }
}

fn exact_order(sets: &[IndexSet], keep: IndexSet, points: &dyn Fn(IndexSet) -> u64) -> (u64, Tree) {
    let n = sets.len();
    let full = (1usize << n) - 1;
    let alive = |mask: usize| -> IndexSet {
        (0..n).filter(|i| mask >> i & 1 == 0).fold(keep, |s, i| s | sets[i])
    };
    let result: Vec<IndexSet> = (0..=full)
        .map(|m| {
            (0..n).filter(|i| m >> i & 1 == 1).fold(IndexSet::EMPTY, |s, i| s | sets[i]) & alive(m)
        })
        .collect();
    let mut best = vec![(u64::MAX, 0usize); full + 1];
    for mask in 1..=full {
        if mask.is_power_of_two() {
            best[mask] = (alone(sets[mask.trailing_zeros() as usize], result[mask], points), 0);
            continue;
        }
        let mut left = (mask - 1) & mask;
        while left > 0 {
            let right = mask & !left;
            if left > right {
                let (cost, _) = pair(result[left], result[right], alive(mask), points);
                let cost = cost.saturating_add(best[left].0).saturating_add(best[right].0);
                if cost < best[mask].0 {
                    best[mask] = (cost, left);
                }
            }
            left = (left - 1) & mask;
        }
    }
    (best[full].0, exact_tree(&best, full))
}

fn exact_tree(best: &[(u64, usize)], mask: usize) -> Tree {
    if mask.is_power_of_two() {
        return Tree::Factor(mask.trailing_zeros() as usize);
    }
    let left = best[mask].1;
    Tree::pair(exact_tree(best, left), exact_tree(best, mask & !left))
}

fn greedy_order(
    sets: &[IndexSet],
    keep: IndexSet,
    points: &dyn Fn(IndexSet) -> u64,
) -> (u64, Tree) {
    let mut total = 0u64;
    let mut live: Vec<(IndexSet, Tree)> = Vec::new();
    for (n, own) in sets.iter().enumerate() {
        let others = (0..sets.len()).filter(|k| *k != n);
        let out = *own & others.fold(keep, |s, k| s | sets[k]);
        total = total.saturating_add(alone(*own, out, points));
        live.push((out, Tree::Factor(n)));
    }
    while live.len() > 1 {
        let mut best: Option<((u64, u64), usize, usize, IndexSet)> = None;
        for i in 0..live.len() {
            for j in i + 1..live.len() {
                let others = (0..live.len()).filter(|k| *k != i && *k != j);
                let alive = others.fold(keep, |s, k| s | live[k].0);
                let (cost, out) = pair(live[i].0, live[j].0, alive, points);
                let key = (cost, points(out));
                if best.as_ref().is_none_or(|(k, ..)| key < *k) {
                    best = Some((key, i, j, out));
                }
            }
        }
        let Some(((cost, _), i, j, out)) = best else {
            break;
        };
        total = total.saturating_add(cost);
        let (_, right) = live.remove(j);
        let (_, left) = live.remove(i);
        live.push((out, Tree::pair(left, right)));
    }
    let tree = live.pop().map_or(Tree::Factor(0), |(_, tree)| tree);
    (total, tree)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The fewest operations by trying every order of pairs.
    fn brute_force(live: &[IndexSet], keep: IndexSet, points: &dyn Fn(IndexSet) -> u64) -> u64 {
        if live.len() == 1 {
            return 0;
        }
        let mut best = u64::MAX;
        for i in 0..live.len() {
            for j in i + 1..live.len() {
                let mut rest: Vec<IndexSet> =
                    (0..live.len()).filter(|k| *k != i && *k != j).map(|k| live[k]).collect();
                let alive = rest.iter().fold(keep, |s, x| s | *x);
                let (cost, out) = pair(live[i], live[j], alive, points);
                rest.push(out);
                best = best.min(cost + brute_force(&rest, keep, points));
            }
        }
        best
    }

    #[test]
    fn exact_order_is_optimal_and_greedy_is_no_better() {
        let mut state = 7u64;
        let mut next = |n: u64| {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            (state >> 33) % n
        };
        for _ in 0..200 {
            let extents: Vec<u64> = (0..7).map(|_| 1 + next(30)).collect();
            let points = |s: IndexSet| s.iter().map(|i| extents[i as usize]).product::<u64>();
            let n = 3 + next(3) as usize;
            let sets: Vec<IndexSet> =
                (0..n).map(|_| (0..1 + next(3)).map(|_| next(7) as u8).collect()).collect();
            let all = sets.iter().fold(IndexSet::EMPTY, |a, s| a | *s);
            let keep: IndexSet = all.iter().filter(|_| next(3) == 0).collect();
            let reduced: Vec<IndexSet> = (0..n)
                .map(|i| {
                    let others = (0..n).filter(|k| *k != i);
                    sets[i] & others.fold(keep, |s, k| s | sets[k])
                })
                .collect();
            let first: u64 = (0..n).map(|i| alone(sets[i], reduced[i], &points)).sum();
            let best = first + brute_force(&reduced, keep, &points);
            assert_eq!(best_order(&sets, keep, 10, &points).0, best);
            assert!(best_order(&sets, keep, 0, &points).0 >= best);
        }
    }
}
