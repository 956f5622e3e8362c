//! What only makes new parameters is computed where they are stored: each device updates its own
//! parts, and sums that are gradients are scattered to their owners instead of reduced everywhere
//! (ZeRO; Rajbhandari et al. 2020).
//!
//! Going backward through the program, an operation that every device of the axis does in full and
//! whose result is stored in parts is divided likewise. A value that is read by such operations, or
//! by sums that can be divided with them (the norm of the gradients), is then stored in parts
//! itself. What anything else reads stays whole: it would have to be gathered again.

use crate::groups::Groups;
use crate::requests::Requests;
use crate::rules::{Rule, Rules, Sub};
use crate::{Plan, Reason};
use einmesh_ir::{MeshAxisId, Program, Reducer, ValueId};
use std::collections::BTreeSet;

/// Divides what only makes values that the axis stores in parts; `decorator` is why it does.
pub(super) fn divide(
    program: &Program,
    groups: &Groups,
    rules: &Rules,
    requests: &Requests,
    plan: &mut Plan,
    (axis, decorator): (MeshAxisId, &str),
) {
    let size = plan.mesh.axes[axis].size;
    let mut kept: BTreeSet<usize> = program.inputs.iter().map(|i| groups.group(i.value)).collect();
    kept.extend(program.outputs.iter().map(|o| groups.group(o.value)));
    let mut owners = Owners { program, groups, rules, requests, plan, axis, size, decorator, kept };
    for number in (0..rules.all.len()).rev() {
        let rule = &rules.all[number];
        let group = groups.group(rule.out.value);
        for slot in owners.wanted(group) {
            if let Some(sums) = owners.sums_with(group, slot) {
                owners.hold(group, slot);
                sums.into_iter().for_each(|(sum, index)| owners.split(&rules.all[sum], index));
                break;
            }
        }
        if owners.is_undivided(rule)
            && let Some(position) = owners.position(rule.out.value)
            && let Sub::Index(index) = rule.out.subs[position]
            && rule.indices[index].splittable
        {
            owners.split(rule, index);
        }
    }
}

struct Owners<'a> {
    program: &'a Program,
    groups: &'a Groups,
    rules: &'a Rules,
    requests: &'a Requests,
    plan: &'a mut Plan,
    axis: MeshAxisId,
    size: u64,
    decorator: &'a str,
    /// The groups of arguments and results, which are held as they were asked for.
    kept: BTreeSet<usize>,
}

impl Owners<'_> {
    /// The dim of a value that the axis splits.
    fn position(&self, value: ValueId) -> Option<usize> {
        self.plan.shardings[value].spec.iter().position(|axes| axes.contains(&self.axis))
    }

    /// The index of a comprehension that the axis splits.
    fn index(&self, rule: &Rule) -> Option<usize> {
        let split = self.plan.loops.get(&rule.out.value)?;
        split.iter().position(|axes| axes.contains(&self.axis))
    }

    fn is_partial(&self, value: ValueId) -> bool {
        self.plan.shardings[value].partial.iter().any(|(axis, _)| *axis == self.axis)
    }

    /// Whether an operation runs on partial sums, so that its result is one.
    fn is_delayed(&self, rule: &Rule) -> bool {
        rule.reads.iter().any(|read| self.is_partial(read.value))
    }

    /// Whether every device of the axis does all of an operation that could be divided.
    fn is_undivided(&self, rule: &Rule) -> bool {
        rule.is_comprehension && self.index(rule).is_none() && !self.is_delayed(rule)
    }

    /// The slots of a group along which operations that are divided read it.
    fn wanted(&self, group: usize) -> BTreeSet<usize> {
        let rules = self.rules.touching(group).map(|number| &self.rules.all[number]);
        let mut slots = BTreeSet::new();
        for rule in rules {
            let Some(index) = self.index(rule) else { continue };
            for read in rule.reads.iter().filter(|read| self.groups.group(read.value) == group) {
                slots.extend(read.along(index).map(|p| self.groups.slot(read.value, p)));
            }
        }
        slots
    }

    /// Whether a group can be stored in parts along a slot without ever being gathered; then, the
    /// sums that have to be divided for it, with their indices.
    fn sums_with(&self, group: usize, slot: usize) -> Option<Vec<(usize, usize)>> {
        let unasked = self.requests.is_open(group, self.axis);
        if !unasked || self.kept.contains(&group) || self.groups.is_stacked(slot) {
            return None;
        }
        for member in self.groups.members(group) {
            let position = self.groups.position(*member, slot)?;
            let extent = self.program.extents(*member)[position];
            let sharding = &self.plan.shardings[*member];
            let free = sharding.spec[position].is_empty() && !sharding.splits(self.axis);
            if !free || self.is_partial(*member) || !extent.is_multiple_of(self.size) {
                return None;
            }
        }
        let mut sums = Vec::new();
        for number in self.rules.touching(group) {
            let rule = &self.rules.all[number];
            let fits = match self.groups.group(rule.out.value) == group {
                true => self.writes(rule, group, slot),
                false => self.reads(rule, group, slot, |index| sums.push((number, index))),
            };
            if !fits {
                return None;
            }
        }
        Some(sums)
    }

    /// Whether an operation can leave its result in parts: by being divided, or by scattering the
    /// sum that it is. What it reads of the group must be its own part.
    fn writes(&self, rule: &Rule, group: usize, slot: usize) -> bool {
        let mut own = rule.reads.iter().filter(|read| self.groups.group(read.value) == group);
        if !own.all(|read| read.subs == rule.out.subs) {
            return false;
        }
        let Some(index) = self.index(rule) else {
            let position = self.groups.position(rule.out.value, slot);
            return self.is_delayed(rule)
                || position.is_some_and(|p| match &rule.out.subs[p] {
                    Sub::Index(index) => rule.indices[*index].splittable,
                    // A store drops what lies outside of its part.
                    Sub::Gather | Sub::Affine(_) | Sub::Fixed => true,
                }) && rule.is_comprehension;
        };
        rule.indices[index].reduced && rule.reducer == Reducer::Sum
    }

    /// Whether an operation reads only its part of a group. A sum that does not yet is passed on.
    fn reads(&self, rule: &Rule, group: usize, slot: usize, sum: impl FnOnce(usize)) -> bool {
        let mut indices = BTreeSet::new();
        for read in rule.reads.iter().filter(|read| self.groups.group(read.value) == group) {
            match self.groups.position(read.value, slot).map(|p| &read.subs[p]) {
                Some(Sub::Index(index)) => indices.insert(*index),
                _ => return false,
            };
        }
        let (Some(index), 1) = (indices.pop_first(), indices.len() + 1) else {
            return false;
        };
        if self.index(rule) == Some(index) {
            return true;
        }
        let along = &rule.indices[index];
        // What is reduced must be little beside the group itself.
        let elements = |value: ValueId| self.program.extents(value).iter().product::<u64>();
        let part = self.groups.members(group).iter().map(|v| elements(*v)).min().unwrap_or(0);
        let small = elements(rule.out.value).saturating_mul(self.size) <= part;
        let can = along.reduced && along.splittable && small && rule.reducer == Reducer::Sum;
        let can = can && self.is_undivided(rule) && !self.is_partial(rule.out.value);
        if can {
            sum(index);
        }
        can
    }

    fn hold(&mut self, group: usize, slot: usize) {
        for member in self.groups.members(group) {
            let Some(position) = self.groups.position(*member, slot) else { continue };
            self.plan.shardings[*member].spec[position].push(self.axis);
            let dim = self.program.values[*member].dims[position];
            let dim = self.program.dims[dim].name.clone();
            let reason = Reason { dim, decorator: self.decorator.to_owned() };
            self.plan.reasons.entry((*member, self.axis)).or_insert(reason);
        }
    }

    fn split(&mut self, rule: &Rule, index: usize) {
        let Some(split) = self.plan.loops.get_mut(&rule.out.value) else { return };
        if split[index].is_empty() {
            split[index].push(self.axis);
            let dim = rule.indices[index].dim.clone();
            let reason = Reason { dim, decorator: self.decorator.to_owned() };
            self.plan.reasons.entry((rule.out.value, self.axis)).or_insert(reason);
        }
    }
}
