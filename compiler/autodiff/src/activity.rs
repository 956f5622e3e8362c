//! Which values matter: those that depend on a leaf, and among them those that the scalar depends on.

use crate::scalar::differentiable;
use einmesh_ir::{Block, Comprehension, Loop, Op, Program, Reducer, ValueId};
use std::collections::BTreeSet;

/// The values that a comprehension's result depends on differentiably.
pub fn sources(program: &Program, c: &Comprehension) -> Vec<ValueId> {
    let jumps =
        matches!(c.reducer, Reducer::ArgMax | Reducer::ArgMin | Reducer::Any | Reducer::All);
    let mut all: Vec<ValueId> = Vec::new();
    if jumps || !program.values[c.out].dtype.is_float() {
        return all;
    }
    differentiable(program, &c.body, &mut |load| all.push(load.value));
    all.extend(c.store.as_ref().map(|s| s.base));
    all
}

/// Adds to `active` what operations make of active values, except for values that are `cut`.
pub fn spread(
    program: &Program,
    ops: &[Op],
    cut: &dyn Fn(ValueId) -> bool,
    active: &mut BTreeSet<ValueId>,
) {
    for op in ops {
        match op {
            Op::Compute(c) => {
                let reached = sources(program, c).iter().any(|v| active.contains(v));
                if reached && !cut(c.out) {
                    active.insert(c.out);
                }
            }
            Op::Loop(l) => spread_loop(program, l, cut, active),
            // Positions are integers; devices come later.
            Op::Argsort(_) | Op::Collective(_) => {}
        }
    }
}

fn spread_loop(
    program: &Program,
    l: &Loop,
    cut: &dyn Fn(ValueId) -> bool,
    active: &mut BTreeSet<ValueId>,
) {
    let float = |v: ValueId| program.values[v].dtype.is_float();
    loop {
        let before = active.len();
        for c in l.carried.iter().filter(|c| float(c.entry)) {
            if active.contains(&c.init) || active.contains(&c.exit) {
                active.insert(c.entry);
            }
        }
        spread(program, &l.body.ops, cut, active);
        if active.len() == before {
            break;
        }
    }
    for c in &l.carried {
        if (active.contains(&c.entry) || active.contains(&c.exit)) && !cut(c.result) {
            active.insert(c.result);
        }
    }
    for c in &l.collected {
        if active.contains(&c.value) && !cut(c.result) {
            active.insert(c.result);
        }
    }
}

/// Adds to `needed` the active values that needed ones depend on, going backwards through a block.
pub fn reach(
    program: &Program,
    block: &Block,
    active: &BTreeSet<ValueId>,
    needed: &mut BTreeSet<ValueId>,
) {
    for op in block.ops.iter().rev() {
        match op {
            Op::Compute(c) if needed.contains(&c.out) && active.contains(&c.out) => {
                let all = sources(program, c);
                needed.extend(all.into_iter().filter(|v| active.contains(v)));
            }
            Op::Loop(l) => reach_loop(program, l, active, needed),
            _ => {}
        }
    }
}

/// As [`reach`], for a loop whose needed results are known.
pub fn reach_loop(
    program: &Program,
    l: &Loop,
    active: &BTreeSet<ValueId>,
    needed: &mut BTreeSet<ValueId>,
) {
    for c in &l.collected {
        if needed.contains(&c.result) && active.contains(&c.value) {
            needed.insert(c.value);
        }
    }
    loop {
        let before = needed.len();
        for c in &l.carried {
            if !active.contains(&c.entry) {
                continue;
            }
            if needed.contains(&c.result) || needed.contains(&c.entry) {
                needed.insert(c.entry);
                if active.contains(&c.exit) {
                    needed.insert(c.exit);
                }
                if active.contains(&c.init) {
                    needed.insert(c.init);
                }
            }
        }
        reach(program, &l.body, active, needed);
        if needed.len() == before {
            break;
        }
    }
}
