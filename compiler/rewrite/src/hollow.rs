//! Which values may rest on a reduction of nothing: the maximum of nothing is infinite, and so is the
//! reciprocal of its count.
//!
//! A block's e-graph knows it of what the block computes. This is about what enters a block from outside:
//! values of enclosing blocks, states of loops, results of operations that are kept as they are.

use crate::guard::guard_holds_at_zero;
use einmesh_ir::{
    BinaryOp, Block, Bounds, Comprehension, Expr, Id, Load, Op, Program, Reducer, ValueId,
};
use std::collections::{BTreeMap, BTreeSet};

/// The values of a program that may be infinite or zero because a guard left nothing to reduce.
pub fn hollow(program: &Program) -> BTreeSet<ValueId> {
    let mut ctx = Ctx { program, found: BTreeMap::new() };
    ctx.block(&program.body);
    ctx.found.into_keys().collect()
}

struct Ctx<'a> {
    program: &'a Program,
    /// The hollow values so far, each with its reduction if it is hollow only where that one is empty.
    found: BTreeMap<ValueId, Option<&'a Comprehension>>,
}

impl<'a> Ctx<'a> {
    fn mark(&mut self, value: ValueId, reduction: Option<&'a Comprehension>) {
        // Where there are two reasons, neither alone excuses a reader.
        let known = self.found.get(&value);
        if known.is_none() || reduction.is_none() && known != Some(&None) {
            self.found.insert(value, reduction);
        }
    }

    fn block(&mut self, block: &'a Block) {
        for op in &block.ops {
            match op {
                Op::Compute(c) => self.compute(c),
                Op::Loop(l) => {
                    // What an iteration finds may reach the next one by a state.
                    loop {
                        for c in &l.carried {
                            if self.any(&[c.init, c.exit]) {
                                self.mark(c.entry, None);
                                self.mark(c.result, None);
                            }
                        }
                        self.block(&l.body);
                        let reached =
                            l.carried.iter().all(|c| !self.any(&[c.exit]) || self.any(&[c.entry]));
                        if reached {
                            break;
                        }
                    }
                    for c in &l.collected {
                        if self.any(&[c.value]) {
                            self.mark(c.result, None);
                        }
                    }
                }
                // Positions are finite, and no program has collectives yet.
                Op::Argsort(_) | Op::Collective(_) => {}
            }
        }
    }

    fn any(&self, values: &[ValueId]) -> bool {
        values.iter().any(|v| self.found.contains_key(v))
    }

    fn compute(&mut self, c: &'a Comprehension) {
        let excused = |load: &&Load| self.excused(c, load);
        let hollow = |load: &&Load| self.found.contains_key(&load.value);
        let inside = c.body.loads();
        let outside = c.exprs().filter(|e| !std::ptr::eq(*e, &c.body)).flat_map(Expr::loads);
        let reads = inside.iter().any(|load| hollow(load) && !excused(load))
            || outside.into_iter().any(|load| hollow(&load))
            || c.store.as_ref().is_some_and(|s| self.any(&[s.base]));
        if reads {
            self.mark(c.out, None);
        } else if self.may_be_empty(c) {
            // Places of a store are not the reduction's free indices.
            self.mark(c.out, c.store.is_none().then_some(c));
        }
    }

    fn may_be_empty(&self, c: &Comprehension) -> bool {
        if matches!(
            c.reducer,
            Reducer::None | Reducer::Any | Reducer::All | Reducer::ArgMax | Reducer::ArgMin
        ) {
            return false;
        }
        let mut reduced = c.indices.values().skip(c.free);
        reduced.any(|i| self.program.dims[i.dim].extent == 0)
            || c.guard.as_ref().is_some_and(|guard| !guard_holds_at_zero(c, guard))
    }

    /// Whether a load reads a reduction only where that has a point: the reader's own guard says that one
    /// of its points is there, as in every step of a guarded softmax.
    fn excused(&self, reader: &Comprehension, load: &Load) -> bool {
        let (Some(Some(reduction)), Some(guard)) = (self.found.get(&load.value), &reader.guard)
        else {
            return false;
        };
        let Some(wanted) = reduction.guard.as_ref().filter(|_| load.bounds == Bounds::Proven)
        else {
            return false;
        };
        let mut guards = Vec::new();
        conjuncts(guard, &mut guards);
        let mut places = load.subs.clone();
        found_among(&guards, wanted, (reduction, reader), &mut places)
    }
}

/// Whether a reduction's guard is one of the reader's, for some choice of the reader's indices for the reduced
/// ones. `places` are what the first indices of the reduction are for the reader.
fn found_among(
    guards: &[&Expr],
    wanted: &Expr,
    (reduction, reader): (&Comprehension, &Comprehension),
    places: &mut Vec<Expr>,
) -> bool {
    let Some(next) = reduction.indices.values().nth(places.len()) else {
        let wanted = wanted.clone().map(&mut |e| match e {
            Expr::Index(i) => places[i.index()].clone(),
            other => other,
        });
        return guards.contains(&&wanted);
    };
    reader.indices.iter().any(|(index, of)| {
        of.dim == next.dim && {
            places.push(Expr::Index(index));
            let found = found_among(guards, wanted, (reduction, reader), places);
            places.pop();
            found
        }
    })
}

/// The conditions that all hold where a guard does.
fn conjuncts<'e>(guard: &'e Expr, into: &mut Vec<&'e Expr>) {
    into.push(guard);
    if let Expr::Binary(BinaryOp::And, a, b) = guard {
        conjuncts(a, into);
        conjuncts(b, into);
    }
}
