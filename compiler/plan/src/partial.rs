//! Delayed reduction: partial sums stay partial through operations that are linear in them.
//!
//! `y = a·b + c·d` with both products partial over an axis is reduced once, as `y`, instead of
//! twice. A value is held partial only if all its readers can be computed on partial operands;
//! readers that share such operands are decided together, and only if that moves no more bytes
//! than reducing each operand would.

use crate::linear::{is_linear, keeps_precision};
use crate::settle::{Axis, Choice, State};
use einmesh_ir::{Block, Comprehension, Op, Reducer, ValueId};
use std::collections::{BTreeMap, BTreeSet};

/// Decides which values are held partial over the axis.
pub(crate) fn delay(axis: &mut Axis) {
    let program = axis.program;
    let mut comprehensions = BTreeMap::new();
    collect(&program.body, &mut comprehensions);
    let rules = axis.rules;
    let writer: BTreeMap<ValueId, usize> = rules
        .all
        .iter()
        .enumerate()
        .map(|(number, rule)| (rule.out.value, number))
        .collect();
    let mut ctx = Ctx {
        axis,
        comprehensions,
        writer,
        delayed: BTreeSet::new(),
    };
    for number in 0..rules.all.len() {
        if let Some(bundle) = ctx.bundle(number)
            && ctx.saves(&bundle)
        {
            ctx.apply(bundle);
        }
    }
}

/// Operations that must be computed on partial operands together, and those operands.
struct Bundle {
    rules: BTreeSet<usize>,
    operands: BTreeSet<ValueId>,
}

struct Ctx<'a, 'b> {
    axis: &'a mut Axis<'b>,
    comprehensions: BTreeMap<ValueId, &'b Comprehension>,
    writer: BTreeMap<ValueId, usize>,
    /// Operations computed on partial operands.
    delayed: BTreeSet<usize>,
}

fn collect<'a>(block: &'a Block, found: &mut BTreeMap<ValueId, &'a Comprehension>) {
    for op in &block.ops {
        match op {
            Op::Compute(c) => {
                found.insert(c.out, c);
            }
            Op::Loop(l) => collect(&l.body, found),
            Op::Argsort(_) | Op::Collective(_) => {}
        }
    }
}

impl Ctx<'_, '_> {
    /// The operation and all that have to be delayed with it, or `None` if some cannot be.
    fn bundle(&self, number: usize) -> Option<Bundle> {
        let mut bundle = Bundle {
            rules: BTreeSet::new(),
            operands: BTreeSet::new(),
        };
        let mut waiting = vec![number];
        while let Some(number) = waiting.pop() {
            if !bundle.rules.insert(number) {
                continue;
            }
            for operand in self.partial_operands(number)? {
                if bundle.operands.insert(operand) {
                    waiting.extend(self.readers(operand));
                }
            }
        }
        Some(bundle)
    }

    /// The operands that an operation would take partial; `None` if it cannot.
    fn partial_operands(&self, number: usize) -> Option<BTreeSet<ValueId>> {
        let rule = &self.axis.rules.all[number];
        if self.delayed.contains(&number) {
            return None;
        }
        match self.axis.choices[number] {
            Choice::Whole => {}
            // Split for the sake of its result only: it can be computed whole and scattered.
            Choice::Index(index) if !rule.indices[index].reduced => {}
            Choice::Index(_) | Choice::Lookup(_) => return None,
        }
        let reads = rule.reads.iter().map(|operand| operand.value);
        let operands: BTreeSet<ValueId> = reads.filter(|v| self.can_be_held(*v)).collect();
        let comprehension = self.comprehensions.get(&rule.out.value)?;
        (!operands.is_empty() && is_linear(self.axis.program, comprehension, &operands))
            .then_some(operands)
    }

    fn dtype(&self, value: ValueId) -> einmesh_ir::DType {
        self.axis.program.values[value].dtype
    }

    fn readers(&self, value: ValueId) -> impl Iterator<Item = usize> + '_ {
        let rules = self.axis.rules;
        let around = rules.touching(self.axis.groups.group(value));
        around.filter(move |n| rules.all[*n].reads.iter().any(|read| read.value == value))
    }

    /// Whether a value is computed as partial sums and nothing fixes how it is held.
    fn can_be_held(&self, value: ValueId) -> bool {
        let Some(writer) = self.writer.get(&value) else {
            return false;
        };
        let rule = &self.axis.rules.all[*writer];
        let partial = self.delayed.contains(writer)
            || match self.axis.choices[*writer] {
                Choice::Index(index) => rule.indices[index].reduced && rule.reducer == Reducer::Sum,
                Choice::Whole | Choice::Lookup(_) => false,
            };
        let group = self.axis.groups.group(value);
        let free = match &self.axis.states[group] {
            State::Open => true,
            State::Closed => false,
            State::Split(split) => split.asked.is_none(),
        };
        partial
            && free
            && keeps_precision(self.dtype(value))
            && self.axis.groups.members(group).len() == 1
            && self
                .axis
                .program
                .outputs
                .iter()
                .all(|output| output.value != value)
    }

    /// Whether reducing the results moves no more bytes than reducing the operands.
    fn saves(&self, bundle: &Bundle) -> bool {
        let operands = bundle.operands.iter().map(|v| self.reduced(self.writer[v]));
        let now: u64 = operands.sum();
        let later = bundle.rules.iter().map(|number| {
            let rule = &self.axis.rules.all[*number];
            let whole = rule
                .reads
                .iter()
                .filter(|read| !bundle.operands.contains(&read.value));
            let gathered: u64 = whole
                .filter(|read| self.axis.position(read.value).is_some())
                .map(|read| self.axis.gather_bytes(read) * rule.trips)
                .sum();
            self.reduced(*number) + gathered
        });
        later.sum::<u64>() <= now
    }

    /// The bytes for reducing the result of an operation, loops counted.
    fn reduced(&self, number: usize) -> u64 {
        let rule = &self.axis.rules.all[number];
        let scatter = self.axis.position(rule.out.value).is_some();
        let bytes = self.axis.touched_bytes(&rule.out);
        self.axis.reduce_bytes(bytes, scatter) * rule.trips
    }

    fn apply(&mut self, bundle: Bundle) {
        for operand in &bundle.operands {
            let group = self.axis.groups.group(*operand);
            self.axis.states[group] = State::Open;
            self.axis.partial.insert(*operand);
        }
        for number in &bundle.rules {
            let rule = &self.axis.rules.all[*number];
            self.axis.choices[*number] = Choice::Whole;
            let cause = rule
                .reads
                .iter()
                .find(|read| bundle.operands.contains(&read.value));
            let cause = cause
                .and_then(|read| self.axis.reasons.get(&read.value))
                .cloned();
            self.axis
                .reasons
                .extend(cause.map(|reason| (rule.out.value, reason)));
        }
        self.delayed.extend(bundle.rules);
    }
}
