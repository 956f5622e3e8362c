//! `@precision(compute: bf16)`: the operands of contractions are rounded to the dtype, and their
//! products accumulated in at least f32. The one decorator that changes numbers.

use einmesh_ir::{BinaryOp, Block, DType, Expr, Op, Program, Reducer};

/// Rounds the operands of every contraction: a sum over a product of loads.
pub(crate) fn apply(program: &mut Program, dtype: DType) {
    let mut body = std::mem::take(&mut program.body);
    apply_block(&mut body, program, dtype);
    program.body = body;
}

fn apply_block(block: &mut Block, program: &Program, dtype: DType) {
    for op in &mut block.ops {
        match op {
            Op::Compute(c) if c.reducer == Reducer::Sum => {
                let mut operands = 0;
                count(&c.body, &mut operands);
                if operands >= 2 {
                    let body = std::mem::replace(&mut c.body, Expr::int(0));
                    c.body = rounded(body, program, dtype);
                }
            }
            Op::Loop(l) => apply_block(&mut l.body, program, dtype),
            _ => {}
        }
    }
}

/// Counts the loads among a product's factors.
fn count(e: &Expr, operands: &mut usize) {
    match e {
        Expr::Binary(BinaryOp::Mul, a, b) => {
            count(a, operands);
            count(b, operands);
        }
        Expr::Load(_) => *operands += 1,
        Expr::Cast(_, a) if matches!(**a, Expr::Load(_)) => *operands += 1,
        _ => {}
    }
}

/// The product with each loaded factor rounded.
fn rounded(e: Expr, program: &Program, dtype: DType) -> Expr {
    match e {
        Expr::Binary(BinaryOp::Mul, a, b) => {
            Expr::binary(BinaryOp::Mul, rounded(*a, program, dtype), rounded(*b, program, dtype))
        }
        Expr::Load(_) | Expr::Cast(..) => {
            let own = program.dtype_of(&e);
            let load = match &e {
                Expr::Cast(_, inner) => matches!(**inner, Expr::Load(_)),
                _ => true,
            };
            if !load || !own.is_float() || own.bytes() <= dtype.bytes() {
                return e;
            }
            Expr::cast(own, Expr::cast(dtype, e))
        }
        other => other,
    }
}
