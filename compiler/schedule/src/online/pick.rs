//! Products of which single elements are read besides their rows, as cross-entropy does: the elements are computed
//! again, one sum each, so that the product need not be stored for their sake.

use super::each_block;
use crate::contraction;
use crate::inline::{clamp, in_range_everywhere, position};
use crate::usage::{Usage, distinct_indices};
use einmesh_ir::{
    Arena, BinaryOp, Block, Bounds, Comprehension, Expr, Id, Index, IndexId, Load, Op, Program,
    Reducer, ValueId,
};

/// Computes elements again wherever that lets the rows of a product be reduced as it is computed.
pub fn separate(program: &mut Program) {
    each_block(program, block);
}

fn block(program: &mut Program, usage: &Usage, block: &mut Block) {
    let products: Vec<ValueId> = block.ops.iter().filter_map(|op| product(program, op)).collect();
    for value in products {
        let reads = |op: &&Op| matches!(op, Op::Compute(c) if c.loaded().contains(&value));
        let uses = usage.get(value);
        let only_here =
            uses.other == 0 && uses.comprehensions == block.ops.iter().filter(reads).count();
        let picks = |op: &Op| matches!(op, Op::Compute(c) if picks(c, value).is_some());
        if !only_here || !block.ops.iter().any(picks) {
            continue;
        }
        let mut trial = program.clone();
        let Some(ops) = separated(&mut trial, &block.ops, value) else { continue };
        trial.body = Block { ops };
        let found = super::find(&trial, &Usage::of(&trial), &trial.body.ops);
        if found.iter().any(|online| online.sum.out == value) {
            block.ops = trial.body.ops;
            program.values = trial.values;
        }
    }
}

fn product(program: &Program, op: &Op) -> Option<ValueId> {
    let Op::Compute(c) = op else { return None };
    contraction::classify(program, c).map(|_| c.out)
}

/// The first load of single elements of a value, and the dim along which they are picked; `None` if any load is of
/// another kind.
fn picks(c: &Comprehension, value: ValueId) -> Option<(&Load, usize)> {
    let mut found: Option<(&Load, usize)> = None;
    for load in c.exprs().flat_map(Expr::loads).filter(|l| l.value == value) {
        let mut picked = load.subs.iter().enumerate().filter(|(_, s)| !matches!(s, Expr::Index(_)));
        let (at, _) = picked.next()?;
        let mut rest = load.clone();
        rest.subs.remove(at);
        if picked.next().is_some() || distinct_indices(&rest).is_none() {
            return None;
        }
        match found {
            Some((first, _)) if first != load => return None,
            _ => found = Some((load, at)),
        }
    }
    found
}

/// The block with elements computed again for each comprehension that picks them.
fn separated(program: &mut Program, ops: &[Op], value: ValueId) -> Option<Vec<Op>> {
    let sum = ops.iter().find_map(|op| match op {
        Op::Compute(c) if c.out == value => Some(c),
        _ => None,
    })?;
    let mut all = Vec::with_capacity(ops.len() + 1);
    for op in ops {
        let Op::Compute(reader) = op else {
            all.push(op.clone());
            continue;
        };
        let Some((load, at)) = picks(reader, value) else {
            all.push(op.clone());
            continue;
        };
        let load = load.clone();
        let element = element(program, sum, reader, &load, at)?;
        let mut subs = load.subs.clone();
        let sub = subs.remove(at);
        let extent = program.extents(value)[at];
        let number = Expr::load(element.out, subs);
        let number = match &load.bounds {
            Bounds::Else(default) => {
                let zero = position(program.dtype_of(&sub), 0);
                let end = position(program.dtype_of(&sub), extent as i64);
                let low = Expr::binary(BinaryOp::Le, zero, sub.clone());
                let inside = Expr::binary(BinaryOp::And, low, Expr::binary(BinaryOp::Lt, sub, end));
                Expr::select(inside, number, (**default).clone())
            }
            Bounds::Proven | Bounds::Clamp => number,
        };
        all.push(Op::Compute(element));
        let mut reader = reader.clone();
        for expr in reader.exprs_mut() {
            let taken = std::mem::replace(expr, crate::inline::zero(einmesh_ir::DType::Bool));
            *expr = taken.map(&mut |e| match e {
                Expr::Load(l) if l == load => number.clone(),
                other => other,
            });
        }
        all.push(Op::Compute(reader));
    }
    Some(all)
}

/// The sum at the elements that a load picks along the dim `at`: its other free indices stay.
fn element(
    program: &mut Program,
    sum: &Comprehension,
    reader: &Comprehension,
    load: &Load,
    at: usize,
) -> Option<Comprehension> {
    let gone = IndexId::from_index(at);
    let kept = |i: IndexId| if i > gone { IndexId::from_index(i.index() - 1) } else { i };
    // The reader's indices are the sum's where the load says so.
    let mut known = true;
    let sub = load.subs[at].clone();
    if !in_range_everywhere(std::iter::once(&sub)) || reader.store.is_some() {
        return None;
    }
    let sub = sub.map(&mut |e| match e {
        Expr::Index(i) => {
            let place = load.subs.iter().position(|s| *s == Expr::Index(i));
            match place {
                Some(place) => Expr::Index(kept(IndexId::from_index(place))),
                None => {
                    known = false;
                    Expr::Index(i)
                }
            }
        }
        other => other,
    });
    let extent = program.extents(sum.out)[at];
    let dims = program.values[sum.out].dims.clone();
    // A subrange of the product's points is no row of it.
    let whole = load.subs.iter().zip(&dims).all(|(s, dim)| match s {
        Expr::Index(i) => program.dims[reader.indices[*i].dim].extent == program.dims[*dim].extent,
        _ => true,
    });
    if !known || !whole {
        return None;
    }
    let sub = match load.bounds {
        Bounds::Proven => sub,
        Bounds::Clamp | Bounds::Else(_) => clamp(program, sub, extent),
    };
    let moved = |e: &Expr| {
        e.clone().map(&mut |e| match e {
            Expr::Index(i) if i == gone => sub.clone(),
            Expr::Index(i) => Expr::Index(kept(i)),
            other => other,
        })
    };
    let indices: Arena<IndexId, Index> =
        sum.indices.iter().filter(|(i, _)| *i != gone).map(|(_, index)| index.clone()).collect();
    let mut of = program.values[sum.out].clone();
    of.dims.remove(at);
    let out = program.values.push(of);
    Some(Comprehension {
        out,
        indices,
        free: sum.free - 1,
        reducer: Reducer::Sum,
        guard: sum.guard.as_ref().map(moved),
        body: moved(&sum.body),
        store: None,
    })
}
