//! What the backward loop needs of the forward iterations: saved by the forward loop, or computed again.
//!
//! Saved are the states at the start of an iteration and the results of contractions with parameters;
//! everything elementwise is computed again, and so is a contraction of two activations that is larger than
//! both together, as the scores of attention are. `@remat` has the last word.

use crate::Ctx;
use crate::names::{Instead, reads, rename_loads, rename_whole, whole_reads};
use einmesh_ir::directive::Remat;
use einmesh_ir::*;
use std::collections::{BTreeMap, BTreeSet};

/// What a forward loop does in addition, so that its backward loop finds it.
#[derive(Default, Debug)]
pub struct Addition {
    /// At the end of an iteration.
    pub ops: Vec<Op>,
    /// Stacked over the iterations.
    pub collected: Vec<Collected>,
}

impl Ctx<'_> {
    /// Makes everything that the innermost block in the making, the body of a backward loop with the
    /// counter `var`, reads of the forward loop's body.
    pub fn residuals(&mut self, l: &Loop, var: LoopVarId) {
        let entries: BTreeSet<ValueId> = l.carried.iter().map(|c| c.entry).collect();
        let mut inside: BTreeSet<ValueId> = entries.clone();
        for op in &l.body.ops {
            inside.extend(op.defines());
            inside.extend(self.extra(op));
        }
        let mut needed = BTreeSet::new();
        reads(self.blocks.last().map_or(&[][..], |b| b), &mut needed);
        needed.retain(|v| inside.contains(v));
        let mut saved: BTreeSet<ValueId> = BTreeSet::new();
        let mut again: Vec<Op> = Vec::new();
        for op in l.body.ops.iter().rev() {
            let mut defined = op.defines();
            defined.extend(self.extra(op));
            defined.retain(|v| needed.contains(v));
            if defined.is_empty() {
                continue;
            }
            if self.is_saved(op, &inside, &l.body.ops) {
                saved.extend(defined);
                continue;
            }
            let mut more = BTreeSet::new();
            reads(std::slice::from_ref(op), &mut more);
            needed.extend(more.into_iter().filter(|v| inside.contains(v)));
            again.push(op.clone());
        }
        saved.extend(needed.intersection(&entries));
        again.reverse();

        let mut map: BTreeMap<ValueId, Instead> = BTreeMap::new();
        for value in &saved {
            let stack = self.save(l, *value, entries.contains(value));
            map.insert(*value, Instead::Stacked(stack, var));
        }
        let copies: BTreeMap<ValueId, ValueId> = again
            .iter()
            .flat_map(Op::defines)
            .map(|v| (v, self.like(v, self.program.values[v].dims.clone())))
            .collect();
        map.extend(copies.iter().map(|(from, to)| (*from, Instead::Value(*to))));
        for op in &mut again {
            match op {
                Op::Compute(c) => c.out = copies[&c.out],
                Op::Argsort(a) => a.out = copies[&a.out],
                // Loops are saved, and collectives come later.
                Op::Loop(_) | Op::Collective(_) => {}
            }
        }
        again.extend(self.blocks.pop().unwrap_or_default());
        let mut ops = again;
        // What is read as a whole must be a value.
        let mut whole = BTreeSet::new();
        whole_reads(&ops, &mut whole);
        self.blocks.push(Vec::new());
        let mut values: BTreeMap<ValueId, ValueId> = copies;
        for value in whole {
            if let Some(Instead::Stacked(stack, _)) = map.get(&value) {
                let slice = self.slice(value, *stack, 0, var);
                values.insert(value, slice);
            }
        }
        rename_loads(&mut ops, &map);
        rename_whole(&mut ops, &values);
        if let Some(block) = self.blocks.last_mut() {
            block.extend(ops);
        }
    }

    /// The values that a loop of the forward computation defines in addition.
    fn extra(&self, op: &Op) -> Vec<ValueId> {
        match op {
            Op::Loop(l) => {
                let addition = self.additions.get(&l.var);
                addition.into_iter().flat_map(|a| a.collected.iter().map(|c| c.result)).collect()
            }
            _ => Vec::new(),
        }
    }

    /// Whether an operation's results are saved rather than computed again.
    fn is_saved(&self, op: &Op, inside: &BTreeSet<ValueId>, body: &[Op]) -> bool {
        match op {
            Op::Loop(_) | Op::Argsort(_) => true,
            Op::Collective(_) => false,
            Op::Compute(c) => {
                if let Some(kept) = self.asked(c.out, body) {
                    return kept;
                }
                let float = |v: &ValueId| self.program.values[*v].dtype.is_float();
                let operands: Vec<ValueId> = c.loaded().into_iter().filter(float).collect();
                let contracts = c.reducer == Reducer::Sum && operands.len() >= 2;
                let activations = operands.iter().all(|v| inside.contains(v));
                let size: u64 = operands.iter().map(|v| self.program.elements(*v)).sum();
                contracts && !(activations && self.program.elements(c.out) > size)
            }
        }
    }

    /// Whether `@remat` has a value kept, if it says anything about it. A function's result belongs to its
    /// caller: computing it again would repeat the communication that completes it.
    fn asked(&self, value: ValueId, body: &[Op]) -> Option<bool> {
        let Value { name, origin, .. } = &self.program.values[value];
        let within = |r: &&Remat| origin.scope.contains(&r.function);
        if self.remat.iter().filter(within).any(|r| r.keep.contains(name)) {
            return Some(true);
        }
        let mut within = self.remat.iter().filter(within);
        within.any(|r| !self.makes_result(value, &r.function, body)).then_some(false)
    }

    /// Whether a value is read outside of a function, or only elementwise on the way there, as a product is to
    /// which the function adds a bias.
    fn makes_result(&self, value: ValueId, function: &String, body: &[Op]) -> bool {
        let outside = |v: &ValueId| !self.program.values[*v].origin.scope.contains(function);
        let mut seen = BTreeSet::new();
        let mut waiting = vec![value];
        while let Some(value) = waiting.pop() {
            if !seen.insert(value) {
                continue;
            }
            for op in body {
                let mut read = BTreeSet::new();
                reads(std::slice::from_ref(op), &mut read);
                if !read.contains(&value) {
                    continue;
                }
                if op.defines().iter().any(outside) {
                    return true;
                }
                if let Op::Compute(c) = op
                    && c.reducer == Reducer::None
                {
                    waiting.push(c.out);
                }
            }
        }
        false
    }

    /// Has the forward loop stack a value of its body.
    fn save(&mut self, l: &Loop, value: ValueId, is_entry: bool) -> ValueId {
        let known = self.additions.get(&l.var).and_then(|a| {
            let of = self.saved.get(&value)?;
            a.collected.iter().find(|c| c.result == *of)
        });
        if let Some(known) = known {
            return known.result;
        }
        if let Some(stack) = stacked_before(l, value) {
            return stack;
        }
        let dim = self.program.loop_vars[l.var].dim;
        let own = self.program.values[value].dims.clone();
        let mut each = value;
        if is_entry || own.contains(&dim) {
            let dims = self.distinct(&own, &[dim]);
            each = self.like(value, dims);
            self.blocks.push(Vec::new());
            self.copied(value, each);
            let ops = self.blocks.pop().unwrap_or_default();
            self.additions.entry(l.var).or_default().ops.extend(ops);
        }
        let mut dims = vec![dim];
        dims.extend(&self.program.values[each].dims);
        let result = self.like(value, dims);
        let addition = self.additions.entry(l.var).or_default();
        addition.collected.push(Collected { value: each, result, position: 0 });
        self.saved.insert(value, result);
        result
    }
}

/// The stack of a value that a loop makes already: another gradient needs it, or the program itself.
fn stacked_before(l: &Loop, value: ValueId) -> Option<ValueId> {
    let is_copy = |of: ValueId| {
        l.body.ops.iter().any(|op| match op {
            Op::Compute(c) => {
                let whole =
                    Expr::load(value, c.free_indices().map(Expr::Index).collect::<Vec<_>>());
                let plain = c.reducer == Reducer::None && c.guard.is_none() && c.store.is_none();
                c.out == of && plain && c.body == whole
            }
            _ => false,
        })
    };
    let stacks = l.collected.iter().filter(|c| c.position == 0);
    let mut stacks = stacks.filter(|c| c.value == value || is_copy(c.value));
    stacks.next().map(|c| c.result)
}
