//! A saturated e-graph as plain arrays, for extraction.

use crate::build::normalised;
use crate::index::{IndexNumber, IndexSet};
use crate::lang::{Facts, MapFn, Node, split_guard};
use crate::options::Options;
use crate::saturate::{Saturated, class_ids};
use crate::table::Table;
use egg::Language;
use einmesh_ir::{Reducer, ValueId};
use std::cell::RefCell;
use std::collections::BTreeMap;

/// One node per class: a position in [`Class::nodes`].
pub(crate) type Choice = Vec<usize>;

/// The classes of a block, in id order; children of nodes are positions in this list.
pub(crate) struct View<'a> {
    pub table: &'a Table,
    pub classes: Vec<Class>,
    pub root: usize,
    /// The extent of each index on one device.
    pub extents: Vec<u64>,
    /// The classes whose nodes were asked for, while [`View::traced`] runs.
    asked: RefCell<Option<Vec<usize>>>,
}

pub(crate) struct Class {
    pub facts: Facts,
    pub nodes: Vec<Node>,
    /// The values of the program that this class is and that the block computes.
    pub names: Vec<ValueId>,
    /// The node that the program as given uses, if it has this class.
    pub given: Option<usize>,
}

/// A renaming on the way from a reader to what it reads: `map[i]` is the reader's index.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Substitution(Vec<(IndexNumber, IndexNumber)>);

impl Substitution {
    pub const IDENTITY: Substitution = Substitution(Vec::new());

    pub fn apply(&self, index: IndexNumber) -> IndexNumber {
        self.0.iter().find(|(f, _)| *f == index).map_or(index, |(_, t)| *t)
    }

    pub fn apply_set(&self, set: IndexSet) -> IndexSet {
        if self.0.is_empty() { set } else { set.iter().map(|i| self.apply(i)).collect() }
    }

    /// First `pairs`, then `self`.
    pub fn after(&self, pairs: &[(IndexNumber, IndexNumber)]) -> Substitution {
        let mut all: Vec<_> = pairs.iter().map(|(f, t)| (*f, self.apply(*t))).collect();
        all.extend(self.0.iter().filter(|(f, _)| !pairs.iter().any(|(g, _)| g == f)));
        Substitution(all)
    }
}

/// How a node combines the points of its index space.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Shape {
    /// Not computed: a leaf, a constant, a renaming or a load.
    Transparent,
    /// One number per point.
    Elementwise,
    /// Points are combined by the reducer.
    Reduction(Reducer),
    /// An operation kept as it is, or one of its results.
    Kept,
}

impl<'a> View<'a> {
    pub fn new(s: &'a Saturated, defined: &[ValueId], options: &Options) -> View<'a> {
        let graph = &s.graph;
        let ids = class_ids(graph);
        let position =
            |id: egg::Id| ids.binary_search(&graph.find(id)).expect("canonical classes are listed");
        let mut classes: Vec<Class> = Vec::with_capacity(ids.len());
        for (at, id) in ids.iter().enumerate() {
            let mut nodes: Vec<Node> =
                graph[*id].nodes.iter().map(|n| normalised(graph, n)).collect();
            nodes.sort();
            nodes.dedup();
            let given_node = s.given.get(id);
            // A node that needs its own class can never be computed.
            nodes.retain(|n| !n.children().contains(id));
            let given = given_node.and_then(|g| nodes.iter().position(|n| n == g));
            for node in &mut nodes {
                node.update_children(|c| egg::Id::from(position(c)));
            }
            debug_assert!(!nodes.is_empty(), "class {at} has a node");
            classes.push(Class { facts: graph[*id].data, nodes, names: vec![], given });
        }
        for value in defined {
            if let Some(id) = s.classes.get(value) {
                classes[position(*id)].names.push(*value);
            }
        }
        let table = &graph.analysis;
        let extents = table
            .indices
            .iter()
            .map(|i| i.extent.div_ceil(options.split.get(&i.dim).copied().unwrap_or(1).max(1)))
            .collect();
        View { table, classes, root: position(s.root), extents, asked: RefCell::new(None) }
    }

    /// The class of every value, as a position.
    pub fn positions(&self, s: &Saturated) -> BTreeMap<ValueId, usize> {
        let ids = class_ids(&s.graph);
        let position = |id: &egg::Id| ids.binary_search(id).expect("canonical classes are listed");
        s.classes.iter().map(|(value, id)| (*value, position(id))).collect()
    }

    pub fn points(&self, set: IndexSet) -> u64 {
        set.iter().fold(1u64, |n, i| n.saturating_mul(self.extents[i as usize]))
    }

    pub fn indices(&self, class: usize) -> IndexSet {
        self.classes[class].facts.indices
    }

    /// The indices that a node's children have.
    pub fn inner_indices(&self, node: &Node) -> IndexSet {
        node.children().iter().fold(IndexSet::EMPTY, |s, c| s | self.indices(usize::from(*c)))
    }

    pub fn shape(&self, node: &Node) -> Shape {
        match node {
            Node::Leaf(_)
            | Node::Const(..)
            | Node::Position(_)
            | Node::LoopVar(_)
            | Node::Access(..)
            | Node::Rename(..)
            | Node::Root(_) => Shape::Transparent,
            Node::Opaque(..) | Node::Result(..) => Shape::Kept,
            Node::Ein { out, .. } if self.inner_indices(node).is_subset(*out) => Shape::Elementwise,
            Node::Ein { .. } => Shape::Reduction(Reducer::Sum),
            Node::Reduce { reducer, .. } => Shape::Reduction(*reducer),
            Node::Add(_) | Node::Map(..) => Shape::Elementwise,
        }
    }

    /// The result of `run`, and the classes whose nodes it asked for; it must not trace itself.
    pub fn traced<T>(&self, run: impl FnOnce() -> T) -> (T, Vec<usize>) {
        self.asked.replace(Some(Vec::new()));
        let result = run();
        let mut asked = self.asked.take().unwrap_or_default();
        asked.sort_unstable();
        asked.dedup();
        (result, asked)
    }

    /// The node that a choice computes a class by.
    pub fn node(&self, choice: &Choice, class: usize) -> &Node {
        if let Some(asked) = self.asked.borrow_mut().as_mut() {
            asked.push(class);
        }
        &self.classes[class].nodes[choice[class]]
    }

    /// Follows renamings to what is read or computed, and how its indices are called there. Where a
    /// choice renames in a circle, the result is still a renaming.
    pub fn resolve(
        &self,
        choice: &Choice,
        class: usize,
        names: &Substitution,
    ) -> (usize, Substitution) {
        let (mut class, mut names) = (class, names.clone());
        for _ in 0..self.classes.len() {
            let Node::Rename(pairs, [child]) = self.node(choice, class) else {
                break;
            };
            names = names.after(pairs);
            class = usize::from(*child);
        }
        (class, names)
    }

    /// Where a kernel reads its terms: the guard and the arguments of the class's node. A sum that
    /// is rounded once is one kernel: the node is then the sum's, though the class is the cast.
    pub fn kernel_node(&self, choice: &Choice, class: usize) -> &Node {
        let node = self.node(choice, class);
        if let Node::Map(MapFn::Cast(to), args) = node
            && to.is_float()
        {
            let inner = usize::from(args[0]);
            let sum = self.node(choice, inner);
            let is_sum = self.shape(sum) == Shape::Reduction(Reducer::Sum);
            if is_sum && self.classes[inner].names.is_empty() {
                return sum;
            }
        }
        node
    }
}

/// The guard and the other children of a node, as positions.
pub(crate) fn parts(node: &Node) -> (Option<usize>, Vec<usize>) {
    let guarded =
        matches!(node, Node::Ein { guarded: true, .. } | Node::Reduce { guarded: true, .. });
    let (guard, rest) = split_guard(guarded, node.children());
    (guard.map(usize::from), rest.iter().map(|c| usize::from(*c)).collect())
}
