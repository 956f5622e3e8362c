//! Choices that require one another.

use petgraph::Direction;
use petgraph::algo::maximum_flow::dinics;
use petgraph::graph::{DiGraph, NodeIndex};
use petgraph::visit::EdgeRef;
use std::collections::BTreeSet;

/// The set of items with the largest total weight that contains, with each item, all it requires:
/// a maximum-weight closure, found as a minimum cut (Picard 1976). Of several, the smallest.
///
/// `weights` has one weight per item; `(a, b)` in `requires` means that `a` requires `b`.
pub(crate) fn heaviest(weights: &[i64], requires: &[(usize, usize)]) -> BTreeSet<usize> {
    let mut network: DiGraph<(), u64> = DiGraph::new();
    let items: Vec<NodeIndex> = weights.iter().map(|_| network.add_node(())).collect();
    let (source, sink) = (network.add_node(()), network.add_node(()));
    // No cut of all gains is as expensive as one that breaks a requirement.
    let gains = weights.iter().filter(|w| **w > 0).map(|w| w.unsigned_abs());
    let unbreakable = gains.fold(1, u64::saturating_add);
    for (item, weight) in items.iter().zip(weights) {
        match weight {
            0 => {}
            1.. => {
                network.add_edge(source, *item, weight.unsigned_abs());
            }
            _ => {
                network.add_edge(*item, sink, weight.unsigned_abs());
            }
        }
    }
    for (a, b) in requires {
        network.add_edge(items[*a], items[*b], unbreakable);
    }
    let (_, flow) = dinics(&network, source, sink);

    // What the source still reaches is the smallest of the sides that a minimum cut leaves it.
    let mut reached: BTreeSet<NodeIndex> = BTreeSet::from([source]);
    let mut waiting = vec![source];
    while let Some(node) = waiting.pop() {
        let forward = network
            .edges_directed(node, Direction::Outgoing)
            .filter(|edge| flow[edge.id().index()] < *edge.weight())
            .map(|edge| edge.target());
        let backward = network
            .edges_directed(node, Direction::Incoming)
            .filter(|edge| flow[edge.id().index()] > 0)
            .map(|edge| edge.source());
        for next in forward.chain(backward) {
            if reached.insert(next) {
                waiting.push(next);
            }
        }
    }
    (0..items.len()).filter(|item| reached.contains(&items[*item])).collect()
}

#[cfg(test)]
mod tests {
    use super::heaviest;
    use std::collections::BTreeSet;

    fn set(items: &[usize]) -> BTreeSet<usize> {
        items.iter().copied().collect()
    }

    #[test]
    fn gains_have_to_pay_for_what_they_require() {
        // 0 and 1 together pay for 2; 3 does not pay for 4.
        let weights = [3, 3, -5, 2, -4];
        assert_eq!(heaviest(&weights, &[(0, 2), (1, 2), (3, 4)]), set(&[0, 1, 2]));
    }

    #[test]
    fn requirements_chain() {
        let requires = [(0, 1), (1, 2)];
        assert_eq!(heaviest(&[5, -1, -3], &requires), set(&[0, 1, 2]));
        assert_eq!(heaviest(&[5, -1, -4], &requires), set(&[]), "no gain is no reason");
        assert_eq!(heaviest(&[5, -1, -9], &requires), set(&[]));
    }

    /// Against all subsets of small random instances.
    #[test]
    fn no_subset_is_heavier() {
        let mut state = 1u64;
        let mut random = |n: u64| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 33) % n
        };
        for _ in 0..300 {
            let count = 2 + random(6) as usize;
            let weights: Vec<i64> = (0..count).map(|_| random(21) as i64 - 10).collect();
            let requires: Vec<(usize, usize)> = (0..random(8))
                .map(|_| (random(count as u64) as usize, random(count as u64) as usize))
                .filter(|(a, b)| a != b)
                .collect();
            let weight = |subset: &dyn Fn(usize) -> bool| -> i64 {
                (0..count).filter(|i| subset(*i)).map(|i| weights[i]).sum()
            };
            let closed = |subset: &dyn Fn(usize) -> bool| {
                requires.iter().all(|(a, b)| !subset(*a) || subset(*b))
            };
            let best = (0..1u32 << count)
                .filter(|bits| closed(&|i| bits >> i & 1 == 1))
                .map(|bits| weight(&|i| bits >> i & 1 == 1));
            let found = heaviest(&weights, &requires);
            assert!(closed(&|i| found.contains(&i)));
            assert_eq!(Some(weight(&|i| found.contains(&i))), best.max());
        }
    }
}
