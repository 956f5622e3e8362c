//! Loops that a condition ends, as loops over all positions: after the end the state stays as it is.
//!
//! How many iterations there were is not known where the backward loop is made, and its stacks have the extent of
//! the limit. So a `while` that a gradient passes becomes a loop over its limit whose states are chosen by the
//! condition. An iteration after the end computes on what the loop started from, not on what ended it: there
//! derivatives may be infinite, and 0 times infinity is no 0.

use crate::adjoint::indices_over;
use crate::names::{Instead, rename_loads, rename_whole};
use einmesh_ir::*;
use std::collections::{BTreeMap, BTreeSet};

/// Converts the loops of a block that compute something that is `needed`. Adds to `constant` the values that the
/// iterations after the end compute on.
pub fn convert(
    program: &mut Program,
    block: &mut Block,
    needed: &BTreeSet<ValueId>,
    constant: &mut BTreeSet<ValueId>,
) {
    let mut ops = Vec::with_capacity(block.ops.len());
    for mut op in std::mem::take(&mut block.ops) {
        if let Op::Loop(l) = &mut op {
            convert(program, &mut l.body, needed, constant);
            if let Some(condition) = l.condition
                && l.carried.iter().any(|state| needed.contains(&state.result))
            {
                l.condition = None;
                ops.extend(go_on(program, l, condition, constant));
            }
        }
        ops.push(op);
    }
    block.ops = ops;
}

/// Makes the loop keep its state once the condition does not hold; gives what has to stand before it.
fn go_on(
    program: &mut Program,
    l: &mut Loop,
    condition: ValueId,
    constant: &mut BTreeSet<ValueId>,
) -> Vec<Op> {
    let holds = || Expr::load(condition, Vec::new());
    let (mut before, mut first, mut last) = (Vec::new(), Vec::new(), Vec::new());
    let mut safe: BTreeMap<ValueId, ValueId> = BTreeMap::new();
    for state in l.carried.iter().filter(|state| state.entry != condition) {
        let start = like(program, state.init);
        before.push(elementwise(program, start, |at| at(state.init)));
        constant.insert(start);
        let chosen = like(program, state.entry);
        first.push(elementwise(program, chosen, |at| {
            Expr::select(holds(), at(state.entry), at(start))
        }));
        safe.insert(state.entry, chosen);
    }
    let instead = safe.iter().map(|(from, to)| (*from, Instead::Value(*to))).collect();
    rename_loads(&mut l.body.ops, &instead);
    rename_whole(&mut l.body.ops, &safe);
    for state in &mut l.carried {
        let (entry, exit) = (state.entry, state.exit);
        state.exit = like(program, exit);
        last.push(elementwise(program, state.exit, |at| match entry == condition {
            true => Expr::binary(BinaryOp::And, at(entry), at(exit)),
            false => Expr::select(holds(), at(exit), at(entry)),
        }));
    }
    let body = std::mem::take(&mut l.body.ops);
    l.body.ops = first.into_iter().chain(body).chain(last).collect();
    before
}

fn like(program: &mut Program, value: ValueId) -> ValueId {
    let info = program.values[value].clone();
    program.values.push(info)
}

/// The elements of a value, each made of the elements of others at its place.
fn elementwise(
    program: &Program,
    out: ValueId,
    body: impl FnOnce(&dyn Fn(ValueId) -> Expr) -> Expr,
) -> Op {
    let indices = indices_over(program, &program.values[out].dims);
    let subs: Vec<Expr> = indices.ids().map(Expr::Index).collect();
    let body = body(&|value| Expr::load(value, subs.clone()));
    let (free, reducer) = (indices.len(), Reducer::None);
    Op::Compute(Comprehension { out, indices, free, reducer, guard: None, body, store: None })
}
