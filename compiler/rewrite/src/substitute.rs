//! Renaming the values that operations read, and putting operations in order.

use einmesh_ir::{Expr, Op, ValueId};
use std::collections::{BTreeMap, BTreeSet};

/// The operation with the values that it reads replaced; what it defines stays.
pub(crate) fn substitute(mut op: Op, map: &BTreeMap<ValueId, ValueId>) -> Op {
    let swap = |v: &mut ValueId| *v = map.get(v).copied().unwrap_or(*v);
    match &mut op {
        Op::Compute(c) => {
            for expr in c.exprs_mut() {
                let old = std::mem::replace(expr, Expr::int(0));
                *expr = old.map(&mut |mut e| {
                    if let Expr::Load(load) = &mut e {
                        swap(&mut load.value);
                    }
                    e
                });
            }
            if let Some(store) = &mut c.store {
                swap(&mut store.base);
            }
        }
        Op::Loop(l) => {
            for c in &mut l.carried {
                swap(&mut c.init);
                swap(&mut c.exit);
            }
            l.collected.iter_mut().for_each(|c| swap(&mut c.value));
            let ops = std::mem::take(&mut l.body.ops);
            l.body.ops = ops.into_iter().map(|op| substitute(op, map)).collect();
        }
        Op::Argsort(a) => swap(&mut a.input),
        Op::Collective(c) => swap(&mut c.input),
    }
    op
}

/// The operations in the order of the original block as far as they were in it, each new one just
/// before the first that reads it.
pub(crate) fn in_order(ops: Vec<Op>, original: &[Op]) -> Vec<Op> {
    let mut defined_by = BTreeMap::new();
    for (n, op) in ops.iter().enumerate() {
        for value in op.defines() {
            defined_by.insert(value, n);
        }
    }
    let known = original.iter().flat_map(|op| op.defines());
    let first: Vec<usize> = known.filter_map(|v| defined_by.get(&v).copied()).collect();
    let reads: Vec<Vec<usize>> = ops
        .iter()
        .map(|op| {
            crate::encode::reads(op).iter().filter_map(|v| defined_by.get(v).copied()).collect()
        })
        .collect();
    let mut order = Vec::new();
    let mut seen = BTreeSet::new();
    for n in first.into_iter().chain(0..ops.len()) {
        // A stack of operations whose operands are being placed.
        let mut stack = vec![(n, 0usize)];
        while let Some((op, at)) = stack.pop() {
            if at == 0 && !seen.insert(op) {
                continue;
            }
            match reads[op].get(at) {
                Some(read) => {
                    stack.push((op, at + 1));
                    if !seen.contains(read) {
                        stack.push((*read, 0));
                    }
                }
                None => order.push(op),
            }
        }
    }
    let mut slots: Vec<Option<Op>> = ops.into_iter().map(Some).collect();
    order.into_iter().filter_map(|n| slots[n].take()).collect()
}
