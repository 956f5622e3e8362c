//! Delayed reduction: partial sums stay partial through operations that commute with summing.
//!
//! `y = a·b + c·d` with both products partial over an axis is reduced once, as `y`, instead of
//! twice; gradients that a loop over microbatches adds up are reduced once, after it. A value can be held partial
//! only if all its readers are computed on partial operands, and
//! such a reader needs all its operands held so that can be. Which operations to delay is therefore
//! a question of [`closure`]: a value held partial saves the bytes of its reduction, an operation on
//! partial operands costs those of its result's, and each requires the others. The answer is the
//! set that saves most; where delaying saves nothing, sums are reduced where they arise.

mod units;

use crate::closure;
use crate::cost::total;
use crate::linear::is_linear;
use crate::settle::{Axis, Choice, State};
use einmesh_ir::{Block, Comprehension, Op, Reducer, ValueId};
use std::collections::{BTreeMap, BTreeSet};
use units::{Afterwards, Unit, units};

/// Decides which values are held partial over the axis. With `states`, loops may carry partial sums: each
/// device then has all of such a state, even where its sum would be stored in parts.
pub(crate) fn delay(axis: &mut Axis, states: bool) {
    let mut comprehensions = BTreeMap::new();
    collect(&axis.program.body, &mut comprehensions);
    let rules = axis.rules.all.iter().enumerate();
    let writer = rules.map(|(number, rule)| (rule.out.value, number)).collect();
    let (units, unit_of) = units(axis, &writer, states);
    let ctx = Ctx { axis, comprehensions, units, unit_of };
    let candidates = ctx.candidates();
    let (rules, operands) = ctx.choose(&candidates);
    apply(axis, &rules, &operands);
}

/// For each operation that can be computed on partial operands, those operands.
type Candidates = BTreeMap<usize, BTreeSet<ValueId>>;

struct Ctx<'a, 'b> {
    axis: &'a Axis<'b>,
    comprehensions: BTreeMap<ValueId, &'b Comprehension>,
    /// What can be held partial.
    units: Vec<Unit>,
    unit_of: BTreeMap<ValueId, usize>,
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
    /// The operations that can be delayed: first all whose placement allows it, then without those
    /// that turn out to have no operand to take partial, or not to commute, until all agree.
    fn candidates(&self) -> Candidates {
        let all = 0..self.axis.rules.all.len();
        let mut able: BTreeSet<usize> = all.filter(|number| self.is_movable(*number)).collect();
        loop {
            let held = self.held(&able);
            let operands = able.iter().map(|n| (*n, self.partial_operands(*n, &held)));
            let candidates: Candidates =
                operands.filter(|(n, operands)| self.commutes(*n, operands)).collect();
            if candidates.len() == able.len() {
                return candidates;
            }
            able = candidates.into_keys().collect();
        }
    }

    /// Whether no index of the operation has to be split over the axis. One that is split for the
    /// sake of its result only can be computed whole and scattered, if that is little work.
    fn is_movable(&self, number: usize) -> bool {
        let rule = &self.axis.rules.all[number];
        match self.axis.choices[number] {
            Choice::Whole => true,
            Choice::Index(_) => rule.indices.iter().all(|index| !index.reduced),
            Choice::Lookup(_) => false,
        }
    }

    /// The units that would be held partial if `able` were delayed.
    fn held(&self, able: &BTreeSet<usize>) -> BTreeSet<usize> {
        let alone = |unit: &Unit| {
            (able.contains(&unit.writer) || self.is_source(unit.writer))
                && self.readers(unit).all(|reader| able.contains(&reader))
        };
        let held = (0..self.units.len()).filter(|n| {
            let unit = &self.units[*n];
            alone(unit) && unit.with.is_none_or(|with| alone(&self.units[with]))
        });
        held.collect()
    }

    /// The operands that an operation would take partial with these units.
    fn partial_operands(&self, number: usize, held: &BTreeSet<usize>) -> BTreeSet<ValueId> {
        let reads = self.axis.rules.all[number].reads.iter().map(|operand| operand.value);
        let partial = |value: &ValueId| self.unit_of.get(value).is_some_and(|n| held.contains(n));
        reads.filter(partial).collect()
    }

    fn commutes(&self, number: usize, operands: &BTreeSet<ValueId>) -> bool {
        let out = self.axis.rules.all[number].out.value;
        let comprehension = self.comprehensions.get(&out);
        comprehension.is_some_and(|c| is_linear(self.axis.program, c, operands))
    }

    /// Whether an operation's own division over the axis leaves partial sums.
    fn is_source(&self, number: usize) -> bool {
        let rule = &self.axis.rules.all[number];
        match self.axis.choices[number] {
            Choice::Index(index) => rule.indices[index].reduced && rule.reducer == Reducer::Sum,
            Choice::Whole | Choice::Lookup(_) => false,
        }
    }

    fn readers<'u>(&'u self, unit: &'u Unit) -> impl Iterator<Item = usize> + 'u {
        let rules = self.axis.rules;
        unit.values.iter().flat_map(move |value| {
            let around = rules.touching(self.axis.groups.group(*value));
            around.filter(move |n| rules.all[*n].reads.iter().any(|read| read.value == *value))
        })
    }

    /// The operations to delay and the values to hold partial.
    fn choose(&self, candidates: &Candidates) -> (BTreeSet<usize>, BTreeSet<ValueId>) {
        let rules: Vec<usize> = candidates.keys().copied().collect();
        let mut units: BTreeSet<usize> =
            candidates.values().flatten().map(|value| self.unit_of[value]).collect();
        units.extend(units.clone().iter().filter_map(|n| self.units[*n].with));
        // Nothing on elements reads what a loop is entered with.
        let held = self.held(&rules.iter().copied().collect());
        let entered = |n: &usize| self.units[*n].with.is_some_and(|with| units.contains(&with));
        let entered: Vec<usize> = held.into_iter().filter(entered).collect();
        units.extend(entered);
        let units: Vec<usize> = units.into_iter().collect();
        let rule_at = |rule: usize| rules.binary_search(&rule).ok();
        let unit_at = |unit: usize| units.binary_search(&unit).ok().map(|n| rules.len() + n);

        let mut weights: Vec<i64> = Vec::with_capacity(rules.len() + units.len());
        let mut requires: Vec<(usize, usize)> = Vec::new();
        for (at, (rule, operands)) in candidates.iter().enumerate() {
            weights.push(-self.extra_bytes(*rule, operands));
            let units = operands.iter().filter_map(|v| unit_at(self.unit_of[v]));
            requires.extend(units.map(|unit| (at, unit)));
        }
        for (at, number) in units.iter().enumerate() {
            let (at, unit) = (rules.len() + at, &self.units[*number]);
            weights.push(self.saved_bytes(unit));
            requires.extend(self.readers(unit).filter_map(rule_at).map(|reader| (at, reader)));
            let writer = rule_at(unit.writer).filter(|_| !self.is_source(unit.writer));
            requires.extend(writer.map(|w| (at, w)));
            requires.extend(unit.with.and_then(unit_at).map(|with| (at, with)));
        }
        let chosen = closure::heaviest(&weights, &requires);
        let (delayed, held): (Vec<usize>, Vec<usize>) =
            chosen.into_iter().partition(|at| *at < rules.len());
        let held = held.into_iter().map(|at| &self.units[units[at - rules.len()]]);
        (
            delayed.into_iter().map(|at| rules[at]).collect(),
            held.flat_map(|unit| unit.values.iter().copied()).collect(),
        )
    }

    /// The bytes that are not moved if a unit is held partial.
    fn saved_bytes(&self, unit: &Unit) -> i64 {
        let each = self.reduced_bytes(unit.writer);
        let spared = if unit.spares { each } else { 0 };
        let once = |trips: u64| each / i64::try_from(trips.max(1)).unwrap_or(i64::MAX);
        match unit.afterwards {
            Afterwards::Nothing => spared,
            Afterwards::Reduced(trips) => spared - once(trips),
            Afterwards::Spared(trips) => spared + once(trips),
        }
    }

    /// The bytes for reducing the result of an operation, loops counted.
    fn reduced_bytes(&self, number: usize) -> i64 {
        let rule = &self.axis.rules.all[number];
        let scatter = self.axis.position(rule.out.value).is_some();
        let bytes = self.axis.touched_bytes(&rule.out);
        signed(self.axis.reduce_bytes(bytes, scatter).saturating_mul(rule.trips))
    }

    /// How many bytes more an operation moves on these partial operands than now: it reduces its
    /// result, and needs its other operands whole.
    fn extra_bytes(&self, number: usize, operands: &BTreeSet<ValueId>) -> i64 {
        let rule = &self.axis.rules.all[number];
        let others = rule.reads.iter().filter(|read| !operands.contains(&read.value));
        let split = others.filter(|read| self.axis.position(read.value).is_some());
        let gathered = total(split.map(|read| self.axis.gather_bytes(read)));
        let now = self.axis.moved_bytes(rule, self.axis.choices[number]);
        self.reduced_bytes(number) + signed(gathered.saturating_mul(rule.trips)) - signed(now)
    }
}

/// Byte counts stay far below the limit, where sums of a few could overflow.
fn signed(bytes: u64) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX).min(1 << 50)
}

fn apply(axis: &mut Axis, rules: &BTreeSet<usize>, operands: &BTreeSet<ValueId>) {
    for operand in operands {
        // The other values of a group that has several are not split: see `units`.
        let group = axis.groups.group(*operand);
        axis.states[group] = State::Open;
        axis.partial.insert(*operand);
    }
    for number in rules {
        let rule = &axis.rules.all[*number];
        axis.choices[*number] = Choice::Whole;
        let cause = rule.reads.iter().find(|read| operands.contains(&read.value));
        let cause = cause.and_then(|read| axis.reasons.get(&read.value)).cloned();
        axis.reasons.extend(cause.map(|reason| (rule.out.value, reason)));
    }
}
