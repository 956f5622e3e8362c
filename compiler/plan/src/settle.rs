//! The placement on one mesh axis: which slot of each group it splits, and which index of each
//! operation.

use crate::Reason;
use crate::cost::{product, total, wire_bytes};
use crate::groups::Groups;
use crate::rules::{Operand, Rule, Rules, Sub};
use einmesh_ir::{CollectiveKind, Id, MeshAxisId, Program, Reducer, ValueId};
use std::collections::{BTreeMap, BTreeSet};

/// What is known of a group and an axis.
#[derive(Clone, PartialEq, Debug)]
pub(crate) enum State {
    /// Nothing: propagation may split it.
    Open,
    /// The axis must not split it.
    Closed,
    /// The axis splits this slot.
    Split(Split),
}

/// A split slot.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Split {
    pub(crate) slot: usize,
    /// For a request: which decorator, and which place in its list of dims.
    pub(crate) asked: Option<(usize, usize)>,
    /// The decorator it comes from, as written.
    pub(crate) decorator: String,
}

/// How the devices of an axis divide an operation.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Choice {
    /// Each does all of it.
    Whole,
    /// By the positions of an index.
    Index(usize),
    /// By the positions of a table that are looked up: each adds what it has of the table read by
    /// this operand.
    Lookup(usize),
}

/// The placement on one axis while it is worked out.
pub(crate) struct Axis<'a> {
    pub(crate) program: &'a Program,
    pub(crate) groups: &'a Groups,
    pub(crate) rules: &'a Rules,
    /// The axis.
    pub(crate) id: MeshAxisId,
    /// Its number of devices, at least 2.
    pub(crate) size: u64,
    /// One per group.
    pub(crate) states: Vec<State>,
    /// One per rule.
    pub(crate) choices: Vec<Choice>,
    /// Values held partial.
    pub(crate) partial: BTreeSet<ValueId>,
    /// For each value, on how many devices earlier axes spread it.
    pub(crate) spread: Vec<u64>,
    /// Why rules are divided, named by their outputs.
    pub(crate) reasons: BTreeMap<ValueId, Reason>,
}

/// A way to divide an operation, with what speaks for it.
struct Candidate {
    choice: Choice,
    /// How many of the values it leaves in place are split by request.
    requests: usize,
    /// The first place in a decorator's list of dims that asks for it.
    listed: Option<(usize, usize)>,
    decorator: String,
}

impl Axis<'_> {
    /// The slot that the axis splits in the group of a value.
    pub(crate) fn split(&self, value: ValueId) -> Option<&Split> {
        match &self.states[self.groups.group(value)] {
            State::Split(split) => Some(split),
            State::Open | State::Closed => None,
        }
    }

    /// The dim of a value that the axis splits.
    pub(crate) fn position(&self, value: ValueId) -> Option<usize> {
        self.split(value).and_then(|split| self.groups.position(value, split.slot))
    }

    /// The best way to divide an operation given the states so far, and the decorator behind it.
    ///
    /// An operation is divided whenever one of its values is: placements asked for by decorators
    /// are there to divide work. Among several ways, the one that leaves most requested splits in
    /// place wins, then the dim a decorator lists first, then the fewest bytes moved, then the
    /// fewest operations per device, padding included, then the first in program order.
    pub(crate) fn choose(&self, rule: &Rule) -> (Choice, String) {
        let candidates = self.candidates(rule);
        let lists: BTreeSet<usize> =
            candidates.iter().filter_map(|c| c.listed).map(|(request, _)| request).collect();
        let best = candidates.into_iter().min_by_key(|c| {
            let listed = c.listed.filter(|_| lists.len() == 1).map_or(0, |(_, place)| place);
            let moved = self.moved_bytes(rule, c.choice);
            let flops = self.flops_per_device(rule, c.choice);
            (usize::MAX - c.requests, listed, moved, flops, c.choice)
        });
        best.map_or((Choice::Whole, String::new()), |c| (c.choice, c.decorator))
    }

    /// The arithmetic operations of one device if an operation is divided in this way.
    fn flops_per_device(&self, rule: &Rule, choice: Choice) -> u64 {
        let Choice::Index(index) = choice else {
            return rule.flops;
        };
        let extent = rule.indices[index].extent.max(1);
        (rule.flops / extent).saturating_mul(extent.div_ceil(self.size))
    }

    fn candidates(&self, rule: &Rule) -> Vec<Candidate> {
        let mut found: Vec<Candidate> = Vec::new();
        let last = rule.reads.len();
        for (number, operand) in rule.operands().enumerate() {
            let Some(split) = self.split(operand.value) else {
                continue;
            };
            let Some(position) = self.groups.position(operand.value, split.slot) else {
                continue;
            };
            let choice = match &operand.subs[position] {
                Sub::Index(index) if rule.indices[*index].splittable => Choice::Index(*index),
                Sub::Gather if number < last && rule.is_comprehension => Choice::Lookup(number),
                _ => continue,
            };
            let requests = usize::from(split.asked.is_some());
            match found.iter_mut().find(|c| c.choice == choice) {
                Some(known) => {
                    known.requests += requests;
                    known.listed = match (known.listed, split.asked) {
                        (Some(a), Some(b)) => Some(a.min(b)),
                        (a, b) => a.or(b),
                    };
                }
                None => found.push(Candidate {
                    choice,
                    requests,
                    listed: split.asked,
                    decorator: split.decorator.clone(),
                }),
            }
        }
        found
    }

    /// The bytes each device sends over the axis for an operation divided in this way, loops
    /// counted.
    pub(crate) fn moved_bytes(&self, rule: &Rule, choice: Choice) -> u64 {
        let read = (0..rule.reads.len()).map(|n| self.gathered_bytes(rule, n, choice));
        let moved = total(read.chain([self.result_bytes(rule, choice)]));
        moved.saturating_mul(rule.trips)
    }

    /// The bytes each device sends, once, so that an operation divided in this way has its operand
    /// of this number.
    pub(crate) fn gathered_bytes(&self, rule: &Rule, number: usize, choice: Choice) -> u64 {
        let operand = &rule.reads[number];
        let Some(position) = self.position(operand.value) else {
            return 0;
        };
        let index = match choice {
            Choice::Index(index) => index,
            Choice::Lookup(table) if table == number => return 0,
            Choice::Whole | Choice::Lookup(_) => usize::MAX,
        };
        let bytes = self.touched_bytes(operand);
        match &operand.subs[position] {
            Sub::Index(i) if *i == index => 0,
            // A halo is small beside the block.
            Sub::Affine(indices) if indices.contains(&index) => 0,
            Sub::Gather => self.looked_up_bytes(rule, operand, index).min(self.all_gather(bytes)),
            _ if operand.along(index).next().is_some() => self.all_to_all(bytes),
            _ => self.gather_bytes(operand),
        }
    }

    /// The bytes for looking up in a table of which each device has a part, what it finds being
    /// added up before it is read.
    fn looked_up_bytes(&self, rule: &Rule, operand: &Operand, index: usize) -> u64 {
        let points = product(operand.indices.iter().map(|i| rule.indices[*i].extent));
        let bytes = points.saturating_mul(self.program.values[operand.value].dtype.bytes());
        let spread = self.spread[rule.out.value.index()];
        self.reduce_bytes(bytes.div_ceil(spread), operand.indices.contains(&index))
    }

    /// The bytes for bringing the result from where it is computed to where it is held.
    pub(crate) fn result_bytes(&self, rule: &Rule, choice: Choice) -> u64 {
        let out = &rule.out;
        let bytes = self.touched_bytes(out);
        let held = self.position(out.value);
        match choice {
            Choice::Whole => 0,
            Choice::Index(index) if !rule.indices[index].reduced => match held {
                Some(position) if out.subs[position] == Sub::Index(index) => 0,
                Some(_) => self.all_to_all(bytes),
                None if self.states[self.groups.group(out.value)] == State::Open => 0,
                None => self.all_gather(bytes),
            },
            Choice::Index(_) | Choice::Lookup(_) => self.reduce_bytes(bytes, held.is_some()),
        }
    }

    /// The bytes for combining partial results of this size.
    pub(crate) fn reduce_bytes(&self, bytes: u64, scatter: bool) -> u64 {
        let kind = match scatter {
            true => CollectiveKind::ReduceScatter { reducer: Reducer::Sum, position: 0 },
            false => CollectiveKind::AllReduce(Reducer::Sum),
        };
        wire_bytes(&kind, self.size, bytes)
    }

    /// The bytes for making a split operand whole.
    pub(crate) fn gather_bytes(&self, operand: &Operand) -> u64 {
        self.all_gather(self.touched_bytes(operand))
    }

    fn all_gather(&self, bytes: u64) -> u64 {
        wire_bytes(&CollectiveKind::AllGather { position: 0 }, self.size, bytes)
    }

    fn all_to_all(&self, bytes: u64) -> u64 {
        let kind = CollectiveKind::AllToAll { split: 0, concat: 0 };
        wire_bytes(&kind, self.size, bytes / self.size)
    }

    /// The bytes of the part of a value that an operation touches, on one device of the earlier
    /// axes.
    pub(crate) fn touched_bytes(&self, operand: &Operand) -> u64 {
        let extents = self.program.extents(operand.value);
        let touched = extents.iter().zip(&operand.subs).filter(|(_, sub)| **sub != Sub::Fixed);
        let elements = product(touched.map(|(extent, _)| *extent));
        let bytes = elements.saturating_mul(self.program.values[operand.value].dtype.bytes());
        bytes.div_ceil(self.spread[operand.value.index()])
    }
}
