//! Values that must be laid out alike.
//!
//! A loop's state is handed over without communication, so its four values share one layout; so do
//! an array before and after a store, a donated argument and the result that takes its memory, and
//! a value collected by a loop and the stack of it. Such values form a *group*. The dims of a
//! group's values that correspond are one *slot*; an axis splits at most one slot of a group.

use einmesh_ir::{Block, Id, Op, Program, ValueId};
use petgraph::unionfind::UnionFind;
use std::collections::{BTreeMap, BTreeSet};

/// The groups and slots of a program. Groups are numbered in the order of their first values.
pub(crate) struct Groups {
    group: Vec<usize>,
    slots: Vec<Vec<usize>>,
    members: Vec<Vec<ValueId>>,
    stacked: BTreeSet<usize>,
    defined: BTreeSet<ValueId>,
}

impl Groups {
    /// Finds the groups of a program.
    pub(crate) fn of(program: &Program) -> Groups {
        let mut builder = Unions::new(program);
        builder.visit(&program.body);
        for output in &program.outputs {
            let input = program.inputs.iter().find(|i| i.donated && i.path == output.path);
            if let Some(input) = input {
                builder.tie(input.value, output.value);
            }
        }
        builder.finish()
    }

    /// The group of a value.
    pub(crate) fn group(&self, value: ValueId) -> usize {
        self.group[value.index()]
    }

    /// How many groups there are.
    pub(crate) fn len(&self) -> usize {
        self.members.len()
    }

    /// The values of a group, in order.
    pub(crate) fn members(&self, group: usize) -> &[ValueId] {
        &self.members[group]
    }

    /// The slot of a value's dim.
    pub(crate) fn slot(&self, value: ValueId, position: usize) -> usize {
        self.slots[value.index()][position]
    }

    /// The dim of a value that is this slot.
    pub(crate) fn position(&self, value: ValueId, slot: usize) -> Option<usize> {
        self.slots[value.index()].iter().position(|s| *s == slot)
    }

    /// Whether the program has the value: rewriting may have merged it into another.
    pub(crate) fn is_defined(&self, value: ValueId) -> bool {
        self.defined.contains(&value)
    }

    /// The values that the program has, in order.
    pub(crate) fn defined(&self) -> impl Iterator<Item = ValueId> + '_ {
        self.defined.iter().copied()
    }

    /// Whether the slot is the dim that a loop adds to a value it collects. It cannot be split: the
    /// loop's body has the value of one iteration, on all devices alike.
    pub(crate) fn is_stacked(&self, slot: usize) -> bool {
        self.stacked.contains(&slot)
    }
}

/// Union-find over values and over their dims.
struct Unions<'a> {
    program: &'a Program,
    values: UnionFind<usize>,
    slots: UnionFind<usize>,
    first_slot: Vec<usize>,
    stacked: BTreeSet<usize>,
    defined: BTreeSet<ValueId>,
}

impl Unions<'_> {
    fn new(program: &Program) -> Unions<'_> {
        let mut first_slot = Vec::with_capacity(program.values.len());
        let mut slots = 0;
        for value in program.values.values() {
            first_slot.push(slots);
            slots += value.dims.len();
        }
        Unions {
            program,
            values: UnionFind::new(program.values.len()),
            slots: UnionFind::new(slots),
            first_slot,
            stacked: BTreeSet::new(),
            defined: program.inputs.iter().map(|i| i.value).collect(),
        }
    }

    /// Makes two values of the same type one group.
    fn tie(&mut self, a: ValueId, b: ValueId) {
        let dims = self.program.values[a].dims.len();
        if dims != self.program.values[b].dims.len() {
            return;
        }
        self.values.union(a.index(), b.index());
        for position in 0..dims {
            let (a, b) = (self.first_slot[a.index()], self.first_slot[b.index()]);
            self.slots.union(a + position, b + position);
        }
    }

    fn visit(&mut self, block: &Block) {
        for op in &block.ops {
            self.defined.extend(op.defines());
            match op {
                Op::Compute(c) => {
                    if let Some(store) = &c.store {
                        self.tie(store.base, c.out);
                    }
                }
                Op::Loop(l) => {
                    for c in &l.carried {
                        self.defined.insert(c.entry);
                        self.tie(c.init, c.entry);
                        self.tie(c.init, c.exit);
                        self.tie(c.init, c.result);
                    }
                    for c in &l.collected {
                        self.values.union(c.value.index(), c.result.index());
                        let value = self.first_slot[c.value.index()];
                        let result = self.first_slot[c.result.index()];
                        for position in 0..self.program.values[c.value].dims.len() {
                            let shifted = position + usize::from(position >= c.position);
                            self.slots.union(value + position, result + shifted);
                        }
                        self.stacked.insert(result + c.position);
                    }
                    self.visit(&l.body);
                }
                Op::Argsort(_) | Op::Collective(_) => {}
            }
        }
    }

    fn finish(self) -> Groups {
        let mut group: Vec<usize> = Vec::with_capacity(self.program.values.len());
        let mut members: Vec<Vec<ValueId>> = Vec::new();
        let mut numbers: BTreeMap<usize, usize> = BTreeMap::new();
        for value in self.program.values.ids() {
            let number = *numbers.entry(self.values.find(value.index())).or_insert(members.len());
            if number == members.len() {
                members.push(Vec::new());
            }
            members[number].push(value);
            group.push(number);
        }
        let slots = self.program.values.iter().map(|(id, value)| {
            let first = self.first_slot[id.index()];
            (first..first + value.dims.len()).map(|slot| self.slots.find(slot)).collect()
        });
        let slots = slots.collect();
        let stacked = self.stacked.iter().map(|slot| self.slots.find(*slot)).collect();
        Groups { group, slots, members, stacked, defined: self.defined }
    }
}
