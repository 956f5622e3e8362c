//! Values that would be gathered again and again are gathered once, where they are made.
//!
//! A residual stream split over positions is gathered before each product with weights that are
//! split otherwise. The backward pass reads the same operand for the gradient of those weights, from
//! what the loop saved: split, it would be gathered a second time. Held whole, it takes the memory of
//! the whole instead. Values that a decorator places, and arguments, stay as they are.

use crate::cost::total;
use crate::settle::{Axis, State};
use einmesh_ir::ValueId;
use std::collections::{BTreeMap, BTreeSet};

/// Holds those groups whole over the axis that then move fewer bytes, operations being divided as
/// they are.
pub(crate) fn gather_once(axis: &mut Axis) {
    let inputs: BTreeSet<usize> =
        axis.program.inputs.iter().map(|input| axis.groups.group(input.value)).collect();
    for group in (0..axis.groups.len()).filter(|group| !inputs.contains(group)) {
        let State::Split(split) = &axis.states[group] else { continue };
        if split.asked.is_some() {
            continue;
        }
        let apart = moved(axis, group);
        let split = std::mem::replace(&mut axis.states[group], State::Closed);
        if moved(axis, group) >= apart {
            axis.states[group] = split;
        }
    }
}

/// The bytes that move for the values of a group: from where they are computed to where they are
/// held, and from there to their readers. What one block gathers it gathers once.
fn moved(axis: &Axis, group: usize) -> u64 {
    let mut written = Vec::new();
    let mut gathered: BTreeMap<(ValueId, u64), u64> = BTreeMap::new();
    for number in axis.rules.touching(group) {
        let (rule, choice) = (&axis.rules.all[number], axis.choices[number]);
        if axis.groups.group(rule.out.value) == group {
            written.push(axis.result_bytes(rule, choice).saturating_mul(rule.trips));
        }
        for (place, read) in rule.reads.iter().enumerate() {
            if axis.groups.group(read.value) == group {
                let bytes = axis.gathered_bytes(rule, place, choice).saturating_mul(rule.trips);
                let known = gathered.entry((read.value, rule.trips)).or_default();
                *known = bytes.max(*known);
            }
        }
    }
    total(written.into_iter().chain(gathered.into_values()))
}
