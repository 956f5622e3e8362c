//! Applying the rules until nothing new is found.

use crate::build::normalised;
use crate::encode::{Encoded, encode};
use crate::lang::{Graph, Node};
use crate::options::{Numerics, Options};
use crate::rules::{RULES, Rule};
use egg::{Id, Language};
use einmesh_ir::{Block, Program, ValueId};
use std::collections::{BTreeMap, BTreeSet};

/// A block's e-graph after saturation, for extraction here and for the planner's joint search.
///
/// To read it: every class of [`Saturated::graph`] has its index set and dtype as
/// `graph[class].data`; its nodes are the ways to compute it; `graph.analysis` is the [`Table`]
/// that index numbers, templates and kept operations refer to. [`Saturated::root`] is the class of
/// the [`Node::Root`] whose children are, in order, the values asked for. [`Saturated::classes`]
/// gives the class of every value of the program that the block reads or defines, so that a
/// placement asked for a value is one asked for a class. Iterate classes in id order.
///
/// [`Table`]: crate::Table
pub struct Saturated {
    /// The e-graph, rebuilt; its analysis holds the table.
    pub graph: Graph,
    /// The class that holds what the block must compute.
    pub root: Id,
    /// The class of every value that the block reads or defines.
    pub classes: BTreeMap<ValueId, Id>,
    /// The classes that the program as given consists of, each with the node that it uses.
    pub given: BTreeMap<Id, Node>,
    /// How many rounds were made.
    pub iterations: usize,
    /// Whether the last round found nothing new (otherwise a limit ended it).
    pub saturated: bool,
    /// How often each rule found something new, by name.
    pub fired: BTreeMap<&'static str, u64>,
}

/// Encodes a block that must compute `roots` and applies the rules that `options` allows; `None`
/// for blocks that are left alone (more than 64 indices, dims without positions, collectives).
pub fn saturate(
    program: &Program,
    block: &Block,
    roots: &[ValueId],
    options: &Options,
) -> Option<Saturated> {
    let algebra = options.numerics == Numerics::Reassociate;
    let Encoded { graph, classes, root } = encode(program, block, roots, algebra)?;
    let rules: Vec<&Rule> = RULES.iter().filter(|r| options.allows(r)).collect();
    Some(run(graph, classes, root, &rules, options))
}

/// Applies the rules to a graph, in id order.
pub(crate) fn run(
    graph: Graph,
    classes: BTreeMap<ValueId, Id>,
    root: Id,
    rules: &[&Rule],
    options: &Options,
) -> Saturated {
    let given = class_ids(&graph).into_iter().map(|id| (id, graph[id].nodes[0].clone())).collect();
    let mut s = Saturated {
        graph,
        root,
        classes,
        given,
        iterations: 0,
        saturated: false,
        fired: BTreeMap::new(),
    };
    let mut seen = BTreeSet::new();
    while s.iterations < options.limits.iterations && !s.saturated {
        s.iterations += 1;
        let incremental = !seen.is_empty();
        if !round(&mut s, rules, options, &mut seen) {
            break;
        }
        if s.saturated && incremental {
            // Some rules look further than their children: only a round over everything counts.
            s.saturated = false;
            seen.clear();
        }
    }
    let graph = &s.graph;
    s.root = graph.find(s.root);
    s.classes.values_mut().for_each(|c| *c = graph.find(*c));
    let given = std::mem::take(&mut s.given);
    for (id, node) in given {
        let node = normalised(graph, &node);
        s.given.entry(graph.find(id)).or_insert(node);
    }
    s
}

/// One round over all nodes; false if the node limit ended it, at once.
///
/// A rule's outcome depends on a node and its children's nodes. `seen` holds the nodes together
/// with the sizes of their children, so that unchanged neighbourhoods are not tried again.
fn round(
    s: &mut Saturated,
    rules: &[&Rule],
    options: &Options,
    seen: &mut BTreeSet<(Node, Vec<usize>)>,
) -> bool {
    let mut changed = false;
    for id in class_ids(&s.graph) {
        let class = s.graph.find(id);
        for node in s.graph[class].nodes.clone() {
            let normal = normalised(&s.graph, &node);
            let sizes: Vec<usize> =
                normal.children().iter().map(|c| s.graph[*c].nodes.len()).collect();
            if !seen.insert((normal.clone(), sizes)) {
                continue;
            }
            if normal != node {
                let added = s.graph.add(normal.clone());
                changed |= s.graph.union(id, added);
            }
            for rule in rules {
                let before = s.graph.total_size();
                for equal in (rule.apply)(&mut s.graph, &options.limits, &normal) {
                    let new = s.graph.union(id, equal);
                    if new {
                        *s.fired.entry(rule.name).or_default() += 1;
                    }
                    changed |= new;
                }
                changed |= s.graph.total_size() != before;
                if options.limits.reached(&s.graph) {
                    s.graph.rebuild();
                    return false;
                }
            }
        }
    }
    s.graph.rebuild();
    s.saturated = !changed;
    true
}

/// The classes in id order.
pub(crate) fn class_ids(graph: &Graph) -> Vec<Id> {
    let mut ids: Vec<Id> = graph.classes().map(|c| c.id).collect();
    ids.sort();
    ids
}
