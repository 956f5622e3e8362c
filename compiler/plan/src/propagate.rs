//! The fixed point: splits spread along subscripts, forward and backward.

use crate::Reason;
use crate::cost::total;
use crate::settle::{Axis, Choice, Split, State};
use einmesh_ir::ValueId;
use std::collections::{BTreeMap, BTreeSet};

/// A split proposed to an open group.
struct Proposal {
    split: Split,
    /// The bytes moved if it is accepted, by the operations around the group.
    moved: u64,
}

/// Spreads the splits that are there until nothing changes, then divides every operation.
///
/// Each round, every operation that saw a change proposes its best index to the open groups it
/// touches; each group takes the proposal with which the operations around it move the fewest
/// bytes, the earliest one among equals. What is decided stays, so this ends after at most as many
/// rounds as there are groups. Proposals travel one operation per round: the nearest request wins.
pub(crate) fn propagate(axis: &mut Axis) {
    let mut changed: BTreeSet<usize> = (0..axis.rules.all.len()).collect();
    while !changed.is_empty() {
        let proposals = propose(axis, &changed);
        changed.clear();
        for (group, split) in best_of(axis, proposals) {
            axis.states[group] = State::Split(split);
            changed.extend(axis.rules.touching(group));
        }
    }
    let rules = axis.rules;
    for (number, rule) in rules.all.iter().enumerate() {
        let (choice, decorator) = axis.choose(rule);
        axis.choices[number] = choice;
        let dim = match choice {
            Choice::Index(index) if rule.indices[index].reduced => rule.indices[index].dim.clone(),
            Choice::Lookup(table) => {
                let value = rule.reads[table].value;
                axis.position(value).map_or(String::new(), |p| dim_name(axis, value, p))
            }
            Choice::Index(_) | Choice::Whole => continue,
        };
        axis.reasons.insert(rule.out.value, Reason { dim, decorator });
    }
}

/// The name of a value's dim.
pub(crate) fn dim_name(axis: &Axis, value: ValueId, position: usize) -> String {
    axis.program.dims[axis.program.values[value].dims[position]].name.clone()
}

/// What the operations propose to open groups, in program order.
fn propose(axis: &Axis, rules: &BTreeSet<usize>) -> BTreeMap<usize, Vec<Split>> {
    let mut proposals: BTreeMap<usize, Vec<Split>> = BTreeMap::new();
    for rule in rules.iter().map(|number| &axis.rules.all[*number]) {
        let (Choice::Index(index), decorator) = axis.choose(rule) else {
            continue;
        };
        for operand in rule.operands() {
            let group = axis.groups.group(operand.value);
            if axis.states[group] != State::Open {
                continue;
            }
            let slots = operand.along(index).map(|p| axis.groups.slot(operand.value, p));
            let free = |slot: &usize| !axis.groups.is_stacked(*slot) && !axis.rules.is_fixed(*slot);
            let Some(slot) = slots.into_iter().find(free) else {
                continue;
            };
            let known = proposals.entry(group).or_default();
            if known.iter().all(|split| split.slot != slot) {
                known.push(Split { slot, asked: None, decorator: decorator.clone() });
            }
        }
    }
    proposals
}

/// The proposal that each group takes.
fn best_of(axis: &mut Axis, all: BTreeMap<usize, Vec<Split>>) -> Vec<(usize, Split)> {
    let mut taken = Vec::with_capacity(all.len());
    for (group, splits) in all {
        let alone = splits.len() == 1;
        let proposals = splits.into_iter().map(|split| {
            let moved = if alone { 0 } else { moved_around(axis, group, &split) };
            Proposal { split, moved }
        });
        // `min_by_key` keeps the first of equals.
        let best = proposals.min_by_key(|proposal| proposal.moved);
        taken.extend(best.map(|proposal| (group, proposal.split)));
    }
    taken
}

/// The bytes that the operations around a group move if it is split so.
fn moved_around(axis: &mut Axis, group: usize, split: &Split) -> u64 {
    axis.states[group] = State::Split(split.clone());
    let rules = axis.rules;
    let around = rules.touching(group).map(|number| {
        let rule = &rules.all[number];
        axis.moved_bytes(rule, axis.choose(rule).0)
    });
    let moved = total(around);
    axis.states[group] = State::Open;
    moved
}
