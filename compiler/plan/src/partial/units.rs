//! What can be held partial: values, and values that are one and the same in a loop.
//!
//! A loop that adds to its state can carry the state partial, so that it is reduced once, after the loop; what
//! it collects can be stacked partial. Either concerns several values, which make one *unit*.

use crate::linear::keeps_precision;
use crate::settle::{Axis, State};
use einmesh_ir::{Block, Op, Reducer, ValueId};
use std::collections::BTreeMap;

/// Values that are held partial together.
pub(super) struct Unit {
    /// The values.
    pub(super) values: Vec<ValueId>,
    /// The operation whose partial results they are.
    pub(super) writer: usize,
    /// The unit without which this one is nothing: the state that a loop is entered with, or leaves.
    pub(super) with: Option<usize>,
    /// Whether the operation's result need not be reduced. What a loop leaves is that of another unit.
    pub(super) spares: bool,
    /// How often a result is reduced instead, when all iterations are done.
    pub(super) afterwards: Afterwards,
}

/// What becomes of a loop's state that was carried partial.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Afterwards {
    /// It is no such state.
    Nothing,
    /// It is reduced after each run of the loop, of so many iterations.
    Reduced(u64),
    /// That is not done: what the loop leaves is held partial too.
    Spared(u64),
}

/// How something else than an operation on elements uses a value.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Role {
    /// A loop begins or ends an iteration with it.
    Carried,
    /// A loop collects it.
    Collected,
    /// Another use.
    Other,
}

/// Finds the units on an axis. With `states`, loops may carry partial sums.
pub(super) fn units(
    axis: &Axis,
    writer: &BTreeMap<ValueId, usize>,
    states: bool,
) -> (Vec<Unit>, BTreeMap<ValueId, usize>) {
    let mut finder = Finder { axis, writer, states, roles: BTreeMap::new(), units: Vec::new() };
    finder.uses(&axis.program.body);
    for output in &axis.program.outputs {
        finder.role(output.value, Role::Other);
    }
    finder.block(&axis.program.body);
    let numbered = finder.units.iter().enumerate();
    let of = numbered.flat_map(|(n, unit)| unit.values.iter().map(move |v| (*v, n))).collect();
    (finder.units, of)
}

struct Finder<'a, 'b> {
    axis: &'a Axis<'b>,
    writer: &'a BTreeMap<ValueId, usize>,
    states: bool,
    roles: BTreeMap<ValueId, Vec<Role>>,
    units: Vec<Unit>,
}

impl Finder<'_, '_> {
    fn role(&mut self, value: ValueId, role: Role) {
        self.roles.entry(value).or_default().push(role);
    }

    fn uses(&mut self, block: &Block) {
        for op in &block.ops {
            match op {
                Op::Compute(c) => {
                    if let Some(store) = &c.store {
                        self.role(store.base, Role::Other);
                        // Sums that are scattered, as gradients of embeddings are, are sums like others.
                        if store.combine != Reducer::Sum {
                            self.role(c.out, Role::Other);
                        }
                    }
                }
                Op::Loop(l) => {
                    for state in &l.carried {
                        self.role(state.init, Role::Carried);
                        self.role(state.exit, Role::Carried);
                    }
                    if let Some(condition) = l.condition {
                        self.role(condition, Role::Other);
                    }
                    for stack in &l.collected {
                        self.role(stack.value, Role::Collected);
                    }
                    self.uses(&l.body);
                }
                Op::Argsort(sort) => {
                    self.role(sort.input, Role::Other);
                    self.role(sort.out, Role::Other);
                }
                Op::Collective(_) => {}
            }
        }
    }

    /// Whether a value has these uses beside operations on elements, and nothing fixes how it is held. A value
    /// that is laid out like others must not be split at all.
    fn is_free(&self, value: ValueId, roles: &[Role]) -> bool {
        let Axis { program, groups, states, .. } = self.axis;
        let group = groups.group(value);
        let unasked = match &states[group] {
            State::Open => true,
            State::Closed => false,
            State::Split(split) => split.asked.is_none() && groups.members(group).len() == 1,
        };
        unasked
            && keeps_precision(program.values[value].dtype)
            && self.roles.get(&value).map_or(&[][..], Vec::as_slice) == roles
    }

    fn add(&mut self, values: &[ValueId], writer: usize, with: Option<usize>) -> usize {
        let (values, afterwards) = (values.to_vec(), Afterwards::Nothing);
        self.units.push(Unit { values, writer, with, spares: true, afterwards });
        self.units.len() - 1
    }

    fn block(&mut self, block: &Block) {
        for op in &block.ops {
            match op {
                Op::Compute(c) => {
                    if self.is_free(c.out, &[]) {
                        self.add(&[c.out], self.writer[&c.out], None);
                    }
                }
                Op::Loop(l) => {
                    let var = &self.axis.program.loop_vars[l.var];
                    let trips = self.axis.program.dims[var.dim].extent;
                    let states = if self.states { &l.carried[..] } else { &[] };
                    for state in states {
                        let carried = [state.entry, state.exit];
                        let Some(writer) = self.writer.get(&state.exit).copied() else { continue };
                        if !self.is_free(state.entry, &[])
                            || !self.is_free(state.exit, &[Role::Carried])
                        {
                            continue;
                        }
                        let unit = self.add(&carried, writer, None);
                        self.units[unit].afterwards = Afterwards::Reduced(trips);
                        if let Some(before) = self.writer.get(&state.init).copied()
                            && self.is_free(state.init, &[Role::Carried])
                        {
                            self.add(&[state.init], before, Some(unit));
                        }
                        if self.is_free(state.result, &[]) {
                            let after = self.add(&[state.result], writer, Some(unit));
                            self.units[after].spares = false;
                            self.units[after].afterwards = Afterwards::Spared(trips);
                        }
                    }
                    for stack in &l.collected {
                        if let Some(writer) = self.writer.get(&stack.value).copied()
                            && self.is_free(stack.value, &[Role::Collected])
                            && self.is_free(stack.result, &[])
                        {
                            self.add(&[stack.value, stack.result], writer, None);
                        }
                    }
                    self.block(&l.body);
                }
                Op::Argsort(_) | Op::Collective(_) => {}
            }
        }
    }
}
