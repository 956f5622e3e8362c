//! Points computed again: where others read the scores and weights of a softmax besides its own rows, as its gradient
//! does, they get copies that are computed from the same factors and the rows' finished numbers. Neither the softmax nor
//! what the copies are summed to then needs the points in memory: the first is a match of [`super`], the second one
//! of [`crate::sweep`].

use super::{Match, delta, each_block, oriented};
use crate::contraction::{self, Product};
use crate::fuse::reads;
use crate::sweep;
use crate::usage::Usage;
use einmesh_ir::{Block, Comprehension, DType, Expr, Op, Program, ValueId};
use std::collections::{BTreeMap, BTreeSet};

/// Computes points again wherever that lets both the softmax and its readers do without an array of them.
pub fn recompute(program: &mut Program) {
    each_block(program, block);
}

fn block(program: &mut Program, usage: &Usage, block: &mut Block) {
    let computed = block.ops.iter().filter_map(|op| match op {
        Op::Compute(c) => contraction::classify(program, c).map(|_| c.out),
        _ => None,
    });
    for value in computed.collect::<Vec<_>>() {
        if let Some(trial) = again(program, usage, &block.ops, value) {
            program.values = trial.values;
            block.ops = trial.body.ops;
        }
    }
}

/// The program with the block as its body, in which the points of a product are computed again.
fn again(program: &Program, usage: &Usage, ops: &[Op], value: ValueId) -> Option<Program> {
    let position = ops.iter().position(|op| defines(op, value))?;
    let Op::Compute(sum) = &ops[position] else { return None };
    let product = contraction::classify(program, sum)?;
    let (softmax, others) = Match::shared(program, ops, position, sum, &product)?;
    let full: Vec<ValueId> =
        softmax.known.iter().filter(|(_, k)| k.has_all_points()).map(|(v, _)| *v).collect();
    if others.is_empty() || full.iter().any(|v| usage.find(*v).is_none_or(|uses| uses.other > 0)) {
        return None;
    }
    let mut trial = program.clone();
    let copies: BTreeMap<ValueId, ValueId> =
        full.iter().map(|v| (*v, trial.values.push(program.values[*v].clone()))).collect();
    let last = softmax.members.iter().max().copied()?;
    let mut list: Vec<Op> = ops[..=last].to_vec();
    let mut copied: Vec<Op> = softmax
        .members
        .iter()
        .filter_map(|at| match &ops[*at] {
            Op::Compute(c) if full.contains(&c.out) => {
                Some(Op::Compute(Comprehension { out: copies[&c.out], ..renamed(c, &copies) }))
            }
            _ => None,
        })
        .collect();
    let mut rest: Vec<Op> = Vec::new();
    for (at, op) in ops.iter().enumerate() {
        if at > last && others.contains(&at) {
            // As late as possible: the softmax is over by then.
            rest.append(&mut copied);
        }
        let kept = |list: &mut Vec<Op>, rest: &mut Vec<Op>, op: Op| match at > last {
            true => rest.push(op),
            false => list[at] = op,
        };
        match op {
            Op::Compute(c) if others.contains(&at) => {
                match delta::rewrite(&softmax, &product, &mut trial, ops, c) {
                    Some(delta) => {
                        list.extend(delta.context.map(Op::Compute));
                        rest.push(Op::Compute(delta.sum));
                        kept(&mut list, &mut rest, Op::Compute(delta.result));
                    }
                    None => kept(&mut list, &mut rest, Op::Compute(renamed(c, &copies))),
                }
            }
            _ if others.contains(&at) => return None,
            op if at > last => rest.push(op.clone()),
            _ => {}
        }
    }
    list.extend(copied);
    list.extend(rest);
    let mut list = sorted(list)?;
    // What only others have read is not computed for the softmax any more.
    loop {
        let read: BTreeSet<ValueId> = list.iter().flat_map(reads).collect();
        let before = list.len();
        list.retain(|op| !full.iter().any(|v| defines(op, *v) && !read.contains(v)));
        if list.len() == before {
            break;
        }
    }
    trial.body = Block { ops: list };
    let own = Usage::of(&trial);
    let softmax = super::find(&trial, &own, &trial.body.ops);
    let softmax = softmax.into_iter().find(|online| online.sum.out == value)?;
    let members = |positions: &[usize], ops: &[Op]| -> BTreeSet<ValueId> {
        positions.iter().flat_map(|at| ops[*at].defines()).collect()
    };
    let first = members(&softmax.members, &trial.body.ops);
    trial.body.ops = gathered(&trial.body.ops, &first)?;
    let at = trial.body.ops.iter().position(|op| defines(op, copies[&value]))?;
    let sums = sweep::at(&trial, &own, &trial.body.ops, at)?;
    let stored = |v: ValueId| usage.find(v).is_some_and(|uses| uses.other > 0);
    if sums.points.iter().any(|p| stored(p.local)) {
        return None;
    }
    let second = members(&sums.members, &trial.body.ops);
    trial.body.ops = gathered(&trial.body.ops, &second)?;
    let at = trial.body.ops.iter().position(|op| defines(op, copies[&value]))?;
    let both = super::find(&trial, &own, &trial.body.ops).iter().any(|o| o.sum.out == value)
        && sweep::find(&trial, &own, &trial.body.ops).iter().any(|s| s.members.contains(&at));
    both.then_some(trial)
}

fn defines(op: &Op, value: ValueId) -> bool {
    matches!(op, Op::Compute(c) if c.out == value)
}

/// A comprehension that reads copies.
fn renamed(c: &Comprehension, copies: &BTreeMap<ValueId, ValueId>) -> Comprehension {
    let mut c = c.clone();
    for expr in c.exprs_mut() {
        let taken = std::mem::replace(expr, crate::inline::zero(DType::Bool));
        *expr = taken.map(&mut |e| match e {
            Expr::Load(mut load) => {
                load.value = copies.get(&load.value).copied().unwrap_or(load.value);
                Expr::Load(load)
            }
            other => other,
        });
    }
    c
}

/// The operations in an order in which everything is there when it is read: theirs, as far as possible.
fn sorted(ops: Vec<Op>) -> Option<Vec<Op>> {
    let mut missing: BTreeSet<ValueId> = ops.iter().flat_map(Op::defines).collect();
    let mut waiting: Vec<Option<Op>> = ops.into_iter().map(Some).collect();
    let mut order = Vec::with_capacity(waiting.len());
    while order.len() < waiting.len() {
        let ready = |op: &Option<Op>| {
            op.as_ref().is_some_and(|op| !reads(op).iter().any(|v| missing.contains(v)))
        };
        let at = waiting.iter().position(ready)?;
        let op = waiting[at].take()?;
        op.defines().iter().for_each(|v| {
            missing.remove(v);
        });
        order.push(op);
    }
    Some(order)
}

/// The operations with some of them side by side: others in between that read their results come after them.
fn gathered(ops: &[Op], members: &BTreeSet<ValueId>) -> Option<Vec<Op>> {
    let is_member = |op: &&Op| op.defines().iter().any(|v| members.contains(v));
    let first = ops.iter().position(|op| is_member(&op))?;
    let last = ops.iter().rposition(|op| is_member(&op))?;
    let mut all = ops[..first].to_vec();
    let (mut own, mut after): (Vec<Op>, Vec<Op>) = (vec![], vec![]);
    let mut later: BTreeSet<ValueId> = BTreeSet::new();
    for op in &ops[first..=last] {
        let read = reads(op);
        let follows = read.iter().any(|v| later.contains(v));
        match is_member(&op) {
            true if follows => return None,
            true => own.push(op.clone()),
            false if follows || read.iter().any(|v| members.contains(v)) => {
                later.extend(op.defines());
                after.push(op.clone());
            }
            false => all.push(op.clone()),
        }
    }
    all.extend(own);
    all.extend(after);
    all.extend_from_slice(&ops[last + 1..]);
    Some(all)
}

impl<'a> Match<'a> {
    /// The softmax over the rows of a product, with the positions of the other operations that read its points.
    fn shared(
        program: &'a Program,
        ops: &[Op],
        position: usize,
        sum: &'a Comprehension,
        product: &Product,
    ) -> Option<(Match<'a>, Vec<usize>)> {
        let mut this = Match::new(program, position, sum, product)?;
        let mut others = Vec::new();
        for (at, op) in ops.iter().enumerate().skip(position + 1) {
            let full = |v: &ValueId| this.known.get(v).is_some_and(|k| k.has_all_points());
            if !reads(op).iter().any(full) {
                continue;
            }
            let before = this.clone();
            match op {
                Op::Compute(c) if this.member(c).is_some() && this.is_sound(product) => {
                    this.members.push(at);
                }
                _ => {
                    this = before;
                    others.push(at);
                }
            }
        }
        this.rows.is_some().then_some((this, others))
    }

    /// Whether what is weighed is the same for all rows.
    fn is_sound(&self, product: &Product) -> bool {
        let (Some(value), Some(rows)) = (&self.value, &self.rows) else { return true };
        let product = oriented(product.clone(), rows.n);
        product.is_some_and(|p| !p.m.iter().any(|i| value.mentions(*i)))
    }
}
