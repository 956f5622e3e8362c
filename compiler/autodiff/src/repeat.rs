//! Loops backwards: one loop that runs the other way.

use crate::Ctx;
use crate::Refusal;
use crate::activity::reach_loop;
use crate::adjoint::Part;
use crate::names::rename_counter;
use einmesh_ir::*;
use std::collections::BTreeSet;

impl Ctx<'_> {
    /// Contributes to the adjoints of what a loop starts from and reads.
    pub fn repetition(&mut self, l: &Loop) -> Result<(), Refusal> {
        let results = l.carried.iter().map(|c| c.result);
        let results = results.chain(l.collected.iter().map(|c| c.result));
        let wanted = |v: &ValueId| {
            self.has_adjoint(*v) && self.active.contains(v) && !self.leaves.contains(v)
        };
        let mut needed: BTreeSet<ValueId> = results.filter(wanted).collect();
        if needed.is_empty() {
            return Ok(());
        }
        debug_assert_eq!(l.condition, None, "see `until`");
        let stacked: Vec<Collected> =
            l.collected.iter().filter(|c| needed.contains(&c.result)).copied().collect();
        let ends: BTreeSet<ValueId> = needed.clone();
        reach_loop(self.program, l, &self.active, &mut needed);
        let states: Vec<Carried> =
            l.carried.iter().filter(|c| needed.contains(&c.entry)).copied().collect();

        // In the block around: what the loop starts from.
        let mut inits: Vec<ValueId> = Vec::new();
        for c in &states {
            let adjoint =
                if ends.contains(&c.result) { self.adjoint(c.result) } else { self.zeros(c.entry) };
            inits.push(adjoint);
        }
        let stacks: Vec<ValueId> = stacked.iter().map(|c| self.adjoint(c.result)).collect();
        let outer = std::mem::take(&mut self.adjoints);
        self.blocks.push(Vec::new());

        let mut carried: Vec<Carried> = Vec::new();
        for (c, init) in states.iter().zip(inits) {
            let dims = self.program.values[c.entry].dims.clone();
            let entry = self.derived(c.entry, dims.clone());
            let result = self.derived(c.init, dims);
            carried.push(Carried { init, entry, exit: entry, result });
            if self.active.contains(&c.exit) {
                self.contribute(c.exit, Part::whole(entry));
            }
        }
        for (c, stack) in stacked.iter().zip(stacks) {
            if self.active.contains(&c.value) {
                let slice = self.slice(c.value, stack, c.position, l.var);
                self.contribute(c.value, Part::whole(slice));
            }
        }
        self.reverse(&l.body.ops)?;

        let mut own: BTreeSet<ValueId> = l.body.ops.iter().flat_map(Op::defines).collect();
        own.extend(l.carried.iter().map(|c| c.entry));
        for (c, state) in carried.iter_mut().zip(&states) {
            c.exit = if self.has_adjoint(state.entry) {
                self.adjoint(state.entry)
            } else {
                self.zeros(state.entry)
            };
        }
        let inner = std::mem::replace(&mut self.adjoints, outer);
        let var = self.backward_counter(l);
        let mut lift = Lift { forward: l.var, carried, collected: Vec::new(), parts: Vec::new() };
        for (value, parts) in inner {
            if !own.contains(&value) {
                self.lift(&mut lift, value, parts);
            }
        }
        let Lift { mut carried, mut collected, parts, .. } = lift;
        self.defined_inside(&mut carried, &mut collected);
        self.residuals(l, var);
        let mut ops = self.blocks.pop().unwrap_or_default();
        rename_counter(&mut ops, l.var, var);
        let body = Block { ops };
        let reversed = !l.reversed;
        for (c, state) in carried.iter().zip(&states) {
            if self.active.contains(&state.init) {
                self.contribute(state.init, Part::whole(c.result));
            }
        }
        self.push_op(Op::Loop(Loop { var, reversed, condition: None, carried, collected, body }));
        for (value, part) in parts {
            self.contribute(value, part);
        }
        Ok(())
    }

    /// One iteration's part of a stack.
    pub fn slice(
        &mut self,
        like: ValueId,
        stack: ValueId,
        position: usize,
        var: LoopVarId,
    ) -> ValueId {
        let dims = self.program.values[like].dims.clone();
        let out = self.derived(stack, dims.clone());
        let indices = self.indices_over(&dims);
        let mut subs: Vec<Expr> = indices.ids().map(Expr::Index).collect();
        subs.insert(position, Expr::LoopVar(var));
        let free = indices.len();
        let (body, reducer) = (Expr::load(stack, subs), Reducer::None);
        self.push(Comprehension { out, indices, free, reducer, guard: None, body, store: None });
        out
    }

    /// A counter over the dim of a loop.
    fn backward_counter(&mut self, l: &Loop) -> LoopVarId {
        let var = self.program.loop_vars[l.var].clone();
        self.program.loop_vars.push(var)
    }

    /// What an iteration contributes to the adjoint of a value around the loop: its slice at the counter,
    /// collected, or the sum over all iterations, carried.
    fn lift(&mut self, lift: &mut Lift, value: ValueId, parts: Vec<Part>) {
        let counter = Expr::LoopVar(lift.forward);
        let dim = self.program.loop_vars[lift.forward].dim;
        let dims = self.program.values[value].dims.clone();
        let fixed_in_all = |at: usize| -> Option<Expr> {
            let mut found: Option<Expr> = None;
            for part in &parts {
                let Part::Dense { fixed, .. } = part else { return None };
                let (_, e) = fixed.iter().find(|(f, _)| *f == at)?;
                if found.as_ref().is_some_and(|f| f != e) {
                    return None;
                }
                found = Some(e.clone());
            }
            found
        };
        let extent = |d: DimId| self.program.dims[d].extent;
        let common: Vec<(usize, Expr)> =
            (0..dims.len()).filter_map(|at| Some((at, fixed_in_all(at)?))).collect();
        let stacked = common
            .iter()
            .find(|(at, e)| *e == counter && extent(dims[*at]) == extent(dim))
            .map(|(at, _)| *at);
        // Positions that stay fixed outside of this loop.
        let outside = |e: &Expr| {
            let mut inner = false;
            e.walk(&mut |e| inner |= *e == counter);
            !inner
        };
        let stay: Vec<(usize, Expr)> = common.into_iter().filter(|(_, e)| outside(e)).collect();
        let removed: Vec<usize> = stay.iter().map(|(at, _)| *at).chain(stacked).collect();
        let kept: Vec<usize> = (0..dims.len()).filter(|at| !removed.contains(at)).collect();
        let kept_dims: Vec<DimId> = kept.iter().map(|at| dims[*at]).collect();
        let renumbered = |part: Part| match part {
            Part::Dense { value, fixed } => {
                let fixed = fixed
                    .into_iter()
                    .filter_map(|(at, e)| Some((kept.iter().position(|k| *k == at)?, e)));
                Part::Dense { value, fixed: fixed.collect() }
            }
            other => other,
        };
        let parts: Vec<Part> = parts.into_iter().map(renumbered).collect();
        if let Some(at) = stacked {
            let each = self.combined(value, &kept_dims, parts, None);
            let position = (0..at).filter(|p| kept.contains(p)).count();
            let own = self.program.values[each].dims.clone();
            // A value has no dim twice.
            let each = if own.contains(&dim) {
                let dims = self.distinct(&own, &[dim]);
                let copy = self.derived(value, dims);
                self.copied(each, copy);
                copy
            } else {
                each
            };
            let mut dims = self.program.values[each].dims.clone();
            dims.insert(position, dim);
            let result = self.derived(value, dims);
            lift.collected.push(Collected { value: each, result, position });
            lift.parts.push((value, Part::Dense { value: result, fixed: stay }));
            return;
        }
        let whole = self.derived(value, kept_dims.clone());
        let (entry, result) = (whole, self.derived(value, kept_dims.clone()));
        let exit = self.combined(value, &kept_dims, parts, Some(entry));
        // The accumulator starts in the block around.
        let inside = self.blocks.pop().unwrap_or_default();
        let init = self.zeros_over(value, &kept_dims);
        self.blocks.push(inside);
        lift.carried.push(Carried { init, entry, exit, result });
        lift.parts.push((value, Part::Dense { value: result, fixed: stay }));
    }

    /// What a loop carries and collects is defined by its body, each value once.
    fn defined_inside(&mut self, carried: &mut [Carried], collected: &mut [Collected]) {
        let ops = self.blocks.last().into_iter().flatten();
        let defined: BTreeSet<ValueId> = ops.flat_map(Op::defines).collect();
        let owned = |ctx: &mut Self, value: ValueId| {
            if defined.contains(&value) {
                return value;
            }
            let dims = ctx.program.values[value].dims.clone();
            let copy = ctx.like(value, dims);
            ctx.copied(value, copy);
            copy
        };
        for c in carried.iter_mut() {
            // The types of a state agree in their dims too.
            c.exit = owned(self, c.exit);
        }
        for c in collected.iter_mut() {
            c.value = owned(self, c.value);
        }
    }
}

/// What becomes of the contributions of a loop's iterations.
struct Lift {
    forward: LoopVarId,
    carried: Vec<Carried>,
    collected: Vec<Collected>,
    parts: Vec<(ValueId, Part)>,
}
