//! Fusion of elementwise work into its readers: substitution of one body into another's loads.
//!
//! A producer without reduction disappears into its reader when that costs no work: it has one
//! reader, which evaluates each of its elements once, or its body is so cheap that evaluating it
//! again is better than memory.

use crate::contraction;
use crate::usage::{Usage, distinct_indices};
use einmesh_ir::{
    BinaryOp, Block, Bounds, Comprehension, DType, Expr, Literal, Load, Op, Program, Reducer,
    UnaryOp, ValueId,
};
use std::collections::BTreeMap;

/// Substitutes elementwise producers into their readers, block by block.
pub fn inline(program: &mut Program) {
    loop {
        let usage = Usage::of(program);
        let mut body = std::mem::take(&mut program.body);
        let changed = block(program, &usage, &mut body);
        program.body = body;
        if !changed {
            return;
        }
    }
}

/// One sweep over a block: marks producers, substitutes them in the block's readers, drops them.
fn block(program: &Program, usage: &Usage, block: &mut Block) -> bool {
    let mut changed = false;
    let mut producers: BTreeMap<ValueId, Comprehension> = BTreeMap::new();
    let mut kept: Vec<Op> = Vec::with_capacity(block.ops.len());
    let before = block.ops.clone();
    let readers = readers_in(&before);
    for mut op in std::mem::take(&mut block.ops) {
        match &mut op {
            Op::Compute(c) => {
                for value in c.loaded() {
                    if let Some(producer) = producers.get(&value) {
                        substitute(program, c, producer);
                        changed = true;
                    }
                }
                if disappears(program, usage, &readers, c) {
                    producers.insert(c.out, c.clone());
                    continue;
                }
            }
            Op::Loop(l) => changed |= self::block(program, usage, &mut l.body),
            Op::Argsort(_) | Op::Collective(_) => {}
        }
        kept.push(op);
    }
    block.ops = kept;
    changed
}

/// The comprehensions among a block's operations that read each value.
fn readers_in(ops: &[Op]) -> BTreeMap<ValueId, Vec<&Comprehension>> {
    let mut readers: BTreeMap<ValueId, Vec<&Comprehension>> = BTreeMap::new();
    for op in ops {
        if let Op::Compute(c) = op {
            for value in c.loaded() {
                readers.entry(value).or_default().push(c);
            }
        }
    }
    readers
}

fn disappears(
    program: &Program,
    usage: &Usage,
    readers: &BTreeMap<ValueId, Vec<&Comprehension>>,
    producer: &Comprehension,
) -> bool {
    let uses = usage.get(producer.out);
    let here = readers.get(&producer.out).map_or(&[][..], Vec::as_slice);
    // A reader inside of an inner loop would evaluate the producer in every iteration.
    let all_here = uses.other == 0 && uses.comprehensions == here.len() && !here.is_empty();
    if producer.reducer != Reducer::None || producer.store.is_some() || !all_here {
        return false;
    }
    // Where its guard is false, or a reader's load is out of range, the producer is not evaluated. As a
    // selection it would be, and its own loads must then be in range all the same.
    // Confined to an extent that is not known, a subscript cannot be written as an expression.
    let clamped = |l: &Load| l.value == producer.out && l.bounds == Bounds::Clamp;
    if reads_with_default(here, producer.out)
        || program.is_symbolic(producer.out)
            && here.iter().flat_map(|r| r.exprs()).flat_map(Expr::loads).any(clamped)
        || (producer.guard.is_some() && !in_range_everywhere(producer.exprs()))
    {
        return false;
    }
    let copy = is_copy(&producer.body) && producer.guard.is_none();
    here.iter().all(|reader| {
        let once = here.len() == 1 && reads_once(program, reader, producer.out);
        let in_contraction = contraction::classify(program, reader).is_some();
        let cheap = producer.guard.is_none() && is_cheap(&producer.body);
        let sized = |v: ValueId| program.elements(v);
        match (copy, in_contraction) {
            // Packing reads through any strides: a copy costs nothing.
            (true, _) => true,
            (false, true) => false,
            (false, false) => once || (cheap && sized(producer.out) >= sized(reader.out)),
        }
    })
}

/// Whether some reader has another number outside of `value`'s extents.
fn reads_with_default(readers: &[&Comprehension], value: ValueId) -> bool {
    let mut loads = readers.iter().flat_map(|r| r.exprs().flat_map(Expr::loads));
    loads.any(|l| l.value == value && matches!(l.bounds, Bounds::Else(_)))
}

/// Whether every load is in range at every point of the index space, whatever the guard says.
pub fn in_range_everywhere<'a>(exprs: impl Iterator<Item = &'a Expr>) -> bool {
    exprs.flat_map(Expr::loads).all(|load| {
        let plain = |sub: &Expr| {
            matches!(sub, Expr::Index(_) | Expr::LoopVar(_) | Expr::Coord(_) | Expr::Literal(_))
        };
        load.bounds != Bounds::Proven || load.subs.iter().all(plain)
    })
}

/// Whether a reader evaluates each element of `value` at most once: one load, whose subscripts are
/// distinct indices, and no other index in the reader.
fn reads_once(program: &Program, reader: &Comprehension, value: ValueId) -> bool {
    let loads: Vec<&Load> =
        reader.exprs().flat_map(Expr::loads).filter(|l| l.value == value).collect();
    let [load] = loads.as_slice() else {
        return false;
    };
    let Some(seen) = distinct_indices(load) else {
        return false;
    };
    let others = reader.indices.iter().filter(|(i, _)| !seen.contains(i));
    others.map(|(_, index)| program.dims[index.dim].extent).product::<u64>() == 1
}

/// A load, perhaps converted: nothing is computed.
fn is_copy(body: &Expr) -> bool {
    match body {
        Expr::Load(load) => load.bounds == Bounds::Proven,
        Expr::Cast(_, inner) => is_copy(inner),
        _ => false,
    }
}

/// At most a few additions and multiplications.
fn is_cheap(body: &Expr) -> bool {
    let mut cost = 0;
    body.walk(&mut |e| {
        cost += match e {
            Expr::Unary(UnaryOp::Neg | UnaryOp::Not | UnaryOp::Abs, _) => 1,
            Expr::Unary(..) => 100,
            Expr::Binary(BinaryOp::Pow, ..) => 100,
            Expr::Binary(..) | Expr::Select(..) => 1,
            Expr::Load(load) if load.bounds != Bounds::Proven => 100,
            _ => 0,
        }
    });
    cost <= 4
}

/// Replaces every load of the producer in `reader` by the producer's body.
pub fn substitute(program: &Program, reader: &mut Comprehension, producer: &Comprehension) {
    let dtype = program.values[producer.out].dtype;
    for expr in reader.exprs_mut() {
        let taken = std::mem::replace(expr, Expr::Literal(Literal::Bool(false)));
        *expr = taken.map(&mut |e| match e {
            Expr::Load(load) if load.value == producer.out => {
                expand(program, load, producer, dtype)
            }
            other => other,
        });
    }
}

/// The producer's element at a load's subscripts.
fn expand(program: &Program, load: Load, producer: &Comprehension, dtype: DType) -> Expr {
    let subs: Vec<Expr> = match load.bounds {
        Bounds::Clamp => {
            let extents = program.extents(producer.out);
            load.subs.iter().zip(extents).map(|(s, n)| clamp(program, s.clone(), n)).collect()
        }
        Bounds::Proven | Bounds::Else(_) => load.subs.clone(),
    };
    // Indices are i32, and the producer may compute with them: a wider subscript becomes one.
    let index = |sub: Expr| match program.dtype_of(&sub) {
        DType::I32 => sub,
        _ => Expr::cast(DType::I32, sub),
    };
    let subs: Vec<Expr> = subs.into_iter().map(index).collect();
    let at = |e: &Expr| {
        e.clone().map(&mut |e| match e {
            Expr::Index(i) => subs[i.0 as usize].clone(),
            other => other,
        })
    };
    let body = at(&producer.body);
    let guarded = match &producer.guard {
        Some(guard) => Expr::select(at(guard), body, zero(dtype)),
        None => body,
    };
    // Within an expression half precision is computed in f32: the rounding that assigning the value
    // did must be said.
    match dtype {
        DType::Bf16 | DType::F16 => Expr::cast(dtype, guarded),
        _ => guarded,
    }
}

/// A subscript confined to an extent.
pub fn clamp(program: &Program, sub: Expr, extent: u64) -> Expr {
    let of = program.dtype_of(&sub);
    let (last, first) = (position(of, extent as i64 - 1), position(of, 0));
    Expr::binary(BinaryOp::Max, Expr::binary(BinaryOp::Min, sub, last), first)
}

/// A constant to compare a subscript with, of the subscript's dtype.
pub fn position(dtype: DType, value: i64) -> Expr {
    Expr::Literal(Literal::Int(dtype, value))
}

/// The zero of a dtype.
pub fn zero(dtype: DType) -> Expr {
    Expr::Literal(match dtype {
        DType::Bool => Literal::Bool(false),
        d if d.is_float() => Literal::Float(d, 0.0),
        d => Literal::Int(d, 0),
    })
}
