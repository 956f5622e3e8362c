//! Choosing one node per class: shared terms are paid once.
//!
//! Start from the program as given and from a greedy choice that carries the set of classes each
//! term needs; improve both by single changes until none helps; keep the better one. The order is
//! by class and node number throughout, so the result is reproducible, and the program as given is
//! among the candidates, so it is never worse under the model.

use crate::cost::{Device, Work, total};
use crate::kernels::{Needs, kernels};
use crate::lang::Node;
use crate::memo::Memo;
use crate::view::{Choice, View};
use egg::Language;
use einmesh_ir::ValueId;

/// A change of one class must save at least this fraction of the block's cost.
const WORTH: u64 = 500;

/// A choice and its cost in picoseconds.
pub(crate) struct Extracted {
    pub choice: Choice,
    pub cost: u64,
    /// The cost of the program as given.
    pub given: u64,
}

/// Chooses the cheapest program found; `None` if the program as given cannot be read back.
pub(crate) fn extract(
    view: &View,
    roots: &[ValueId],
    device: &Device,
    evaluations: usize,
) -> Option<Extracted> {
    let mut ctx = Ctx {
        view,
        roots,
        device,
        left: evaluations,
        needs: Memo::new(view),
        work: Memo::new(view),
    };
    let greedy = ctx.greedy();
    let given: Choice = (0..view.classes.len())
        .map(|c| ctx.forced(c).or(view.classes[c].given).unwrap_or(greedy[c]))
        .collect();
    let before = ctx.cost(&given)?;
    let mut best = (before, given);
    if view.classes.iter().any(|c| c.nodes.len() > 1) {
        let start = best.clone();
        ctx.improve(&mut best);
        if let Some(cost) = ctx.cost(&greedy) {
            let mut other = (cost, greedy);
            if other.0 < best.0.saturating_mul(2) {
                ctx.left = evaluations;
                ctx.improve(&mut other);
            }
            if other.0 < best.0 {
                best = other;
            }
        }
        ctx.left = evaluations;
        ctx.restore(&mut best, &start);
        if best.0 >= start.0 {
            best = start;
        }
    }
    Some(Extracted { choice: best.1, cost: best.0, given: before })
}

struct Ctx<'a> {
    view: &'a View<'a>,
    roots: &'a [ValueId],
    device: &'a Device,
    left: usize,
    /// What kernels read, and what they do.
    needs: Memo<Needs>,
    work: Memo<Work>,
}

impl Ctx<'_> {
    /// The cost of a choice; `None` if it needs a class to compute itself.
    fn cost(&mut self, choice: &Choice) -> Option<u64> {
        let kernels = kernels(self.view, choice, self.roots, &mut self.needs)?;
        Some(total(self.view, choice, &kernels, self.device, &mut self.work).0)
    }

    /// The node of a class that is free: an input or a constant is never computed.
    fn forced(&self, class: usize) -> Option<usize> {
        let free = |n: &Node| matches!(n, Node::Leaf(_) | Node::Const(..));
        self.view.classes[class].nodes.iter().position(free)
    }

    /// Bottom-up to a fixed point: the node whose needed classes cost least together.
    fn greedy(&self) -> Choice {
        let n = self.view.classes.len();
        let mut choice = vec![0; n];
        let mut sets: Vec<Option<(u64, Vec<u64>)>> = vec![None; n];
        let mut own = vec![0u64; n];
        loop {
            let mut changed = false;
            for class in 0..n {
                for (at, node) in self.view.classes[class].nodes.iter().enumerate() {
                    if self.forced(class).is_some_and(|f| f != at) {
                        continue;
                    }
                    let Some(mut set) = union(&sets, node, n) else {
                        continue;
                    };
                    if has(&set, class) {
                        continue;
                    }
                    insert(&mut set, class);
                    let local = self.local(class, node);
                    let others = (0..n).filter(|c| *c != class && has(&set, *c));
                    let cost = others.fold(local, |sum, c| sum.saturating_add(own[c]));
                    if sets[class].as_ref().is_none_or(|(best, _)| cost < *best) {
                        sets[class] = Some((cost, set));
                        choice[class] = at;
                        own[class] = local;
                        changed = true;
                    }
                }
            }
            if !changed {
                return choice;
            }
        }
    }

    /// The cost of a node apart from its children, as if each term were a kernel.
    fn local(&self, class: usize, node: &Node) -> u64 {
        crate::cost::local(self.view, class, node, self.device)
    }

    /// Changes one class at a time while that helps.
    fn improve(&mut self, best: &mut (u64, Choice)) {
        loop {
            let mut changed = false;
            for class in 0..self.view.classes.len() {
                if self.view.classes[class].nodes.len() < 2
                    || self.forced(class).is_some()
                    || !self.is_used(&best.1, class)
                {
                    continue;
                }
                for at in 0..self.view.classes[class].nodes.len() {
                    if at == best.1[class] {
                        continue;
                    }
                    if self.left == 0 {
                        return;
                    }
                    self.left -= 1;
                    let was = std::mem::replace(&mut best.1[class], at);
                    match self.cost(&best.1) {
                        Some(cost) if cost < best.0 => {
                            best.0 = cost;
                            changed = true;
                        }
                        _ => best.1[class] = was,
                    }
                }
            }
            if !changed {
                return;
            }
        }
    }

    /// Goes back to the given term of a class wherever that costs next to nothing: names and forms
    /// that later stages may look for are worth more than a rounding of the estimate.
    fn restore(&mut self, best: &mut (u64, Choice), given: &(u64, Choice)) {
        let worth = given.0 / WORTH;
        for class in (0..self.view.classes.len()).rev() {
            let (now, was) = (best.1[class], given.1[class]);
            if now == was || self.view.classes[class].given != Some(was) || self.left == 0 {
                continue;
            }
            if !self.is_used(&best.1, class) {
                continue;
            }
            self.left -= 1;
            best.1[class] = was;
            match self.cost(&best.1) {
                Some(cost) if cost <= best.0.saturating_add(worth) => best.0 = cost,
                _ => best.1[class] = now,
            }
        }
    }

    fn is_used(&self, choice: &Choice, class: usize) -> bool {
        let mut seen = vec![false; self.view.classes.len()];
        let mut todo = vec![self.view.root];
        while let Some(c) = todo.pop() {
            if c == class {
                return true;
            }
            if !std::mem::replace(&mut seen[c], true) {
                todo.extend(self.view.node(choice, c).children().iter().map(|x| usize::from(*x)));
            }
        }
        false
    }
}

/// The classes that the node's children need; `None` while one of them has no term yet.
fn union(sets: &[Option<(u64, Vec<u64>)>], node: &Node, n: usize) -> Option<Vec<u64>> {
    let mut all = vec![0u64; n.div_ceil(64)];
    for child in node.children() {
        let (_, set) = sets[usize::from(*child)].as_ref()?;
        all.iter_mut().zip(set).for_each(|(a, b)| *a |= b);
    }
    Some(all)
}

fn has(set: &[u64], class: usize) -> bool {
    set[class / 64] >> (class % 64) & 1 == 1
}

fn insert(set: &mut [u64], class: usize) {
    set[class / 64] |= 1 << (class % 64);
}
