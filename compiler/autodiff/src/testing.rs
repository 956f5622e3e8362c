//! Gradients of random programs, for the tests of every stage.

use crate::{Request, gradients};
use einmesh_ir::*;
use std::collections::BTreeSet;

/// A program that also computes, by each of its float inputs, the derivative of a weighted sum of its float
/// results; `None` if there is no such derivative. The first of the new outputs is the sum.
pub fn with_gradients(program: &Program) -> Option<Program> {
    let mut program = program.clone();
    let mut open = vec![std::mem::take(&mut program.body)];
    let float = |program: &Program, v: ValueId| program.values[v].dtype.is_float();
    let results: Vec<ValueId> = program.outputs.iter().map(|o| o.value).collect();
    let mut sum: Option<ValueId> = None;
    for value in results {
        if !float(&program, value) {
            continue;
        }
        let part = weighted(&mut program, &mut open[0], value);
        sum = Some(match sum {
            None => part,
            Some(before) => {
                let body = Expr::binary(BinaryOp::Add, scalar(before), scalar(part));
                emit(&mut program, &mut open[0], "sum", DType::F64, body)
            }
        });
    }
    let of = sum?;
    let inputs: Vec<ValueId> = program.inputs.iter().map(|i| i.value).collect();
    let by: Vec<ValueId> = inputs.into_iter().filter(|v| float(&program, *v)).collect();
    let stops = BTreeSet::new();
    let request = Request { of, by: &by, stops: &stops, entries: &[], remat: &[] };
    let derivatives = gradients(&mut program, &mut open, &request).ok()?;
    program.body = open.pop()?;
    output(&mut program, of, "sum");
    for (at, value) in derivatives.into_iter().enumerate() {
        // Each result has memory of its own.
        let copy = copied(&mut program, value);
        output(&mut program, copy, &format!("gradient{at}"));
    }
    Some(program)
}

fn scalar(value: ValueId) -> Expr {
    Expr::load(value, [])
}

fn value(program: &mut Program, name: &str, dtype: DType, dims: Vec<DimId>) -> ValueId {
    let origin = Origin::default();
    program.values.push(Value { name: name.to_owned(), dtype, dims, origin })
}

fn emit(program: &mut Program, block: &mut Block, name: &str, dtype: DType, body: Expr) -> ValueId {
    let out = value(program, name, dtype, vec![]);
    let (indices, reducer) = (Arena::new(), Reducer::None);
    let c = Comprehension { out, indices, free: 0, reducer, guard: None, body, store: None };
    block.ops.push(Op::Compute(c));
    out
}

fn indices(dims: &[DimId]) -> Arena<IndexId, Index> {
    let names =
        dims.iter().enumerate().map(|(at, dim)| Index { name: format!("g{at}"), dim: *dim });
    names.collect()
}

/// The sum of a value's elements, each with a weight of −1, 0, 1 or 2.
fn weighted(program: &mut Program, block: &mut Block, of: ValueId) -> ValueId {
    let dims = program.values[of].dims.clone();
    let indices = indices(&dims);
    let ids: Vec<Expr> = indices.ids().map(Expr::Index).collect();
    let element = Expr::cast(DType::F64, Expr::load(of, ids.clone()));
    let position = ids.into_iter().fold(Expr::int(2), |sum, i| Expr::binary(BinaryOp::Add, sum, i));
    let weight = Expr::binary(BinaryOp::Rem, position, Expr::int(4));
    let weight = Expr::binary(BinaryOp::Sub, weight, Expr::int(1));
    let body = Expr::binary(BinaryOp::Mul, element, Expr::cast(DType::F64, weight));
    if dims.is_empty() {
        return emit(program, block, "part", DType::F64, body);
    }
    let out = value(program, "part", DType::F64, vec![]);
    let reducer = Reducer::Sum;
    let c = Comprehension { out, indices, free: 0, reducer, guard: None, body, store: None };
    block.ops.push(Op::Compute(c));
    out
}

fn copied(program: &mut Program, of: ValueId) -> ValueId {
    let Value { dtype, dims, .. } = program.values[of].clone();
    let indices = indices(&dims);
    let body = Expr::load(of, indices.ids().map(Expr::Index).collect::<Vec<_>>());
    let out = value(program, "gradient", dtype, dims);
    let (free, reducer) = (indices.len(), Reducer::None);
    let c = Comprehension { out, indices, free, reducer, guard: None, body, store: None };
    program.body.ops.push(Op::Compute(c));
    out
}

fn output(program: &mut Program, value: ValueId, path: &str) {
    let axes = vec![1; program.values[value].dims.len()];
    let (path, tensor) = (path.to_owned(), path.to_owned());
    program.outputs.push(Output { value, path, tensor, axes });
}

/// The program with every float in f64.
pub fn widened(program: &Program) -> Program {
    let mut program = program.clone();
    let wide = |dtype: DType| if dtype.is_float() { DType::F64 } else { dtype };
    for (_, value) in program.values.iter_mut() {
        value.dtype = wide(value.dtype);
    }
    fn block(b: &mut Block, wide: &dyn Fn(DType) -> DType) {
        for op in &mut b.ops {
            match op {
                Op::Compute(c) => {
                    for e in c.exprs_mut() {
                        let taken = std::mem::replace(e, Expr::int(0));
                        *e = taken.map(&mut |e| match e {
                            Expr::Literal(Literal::Float(_, x)) => Expr::float(DType::F64, x),
                            Expr::Cast(to, a) => Expr::Cast(wide(to), a),
                            other => other,
                        });
                    }
                }
                Op::Loop(l) => block(&mut l.body, wide),
                Op::Argsort(_) | Op::Collective(_) => {}
            }
        }
    }
    block(&mut program.body, &wide);
    program
}
