//! Simplified local expressions: positions, masks and tests that the extents decide.

use einmesh_ir::affine::Scope;
use einmesh_ir::simplify::simplify_within;
use einmesh_ir::{Block, Comprehension, Expr, Literal, Op, SpmdProgram};

/// Simplifies every comprehension of a partitioned program, and drops guards that hold everywhere.
pub(crate) fn simplify(spmd: &mut SpmdProgram) {
    let mut body = std::mem::take(&mut spmd.program.body);
    block(spmd, &mut body);
    spmd.program.body = body;
}

fn block(spmd: &SpmdProgram, block: &mut Block) {
    for op in &mut block.ops {
        match op {
            Op::Compute(c) => comprehension(spmd, c),
            Op::Loop(l) => self::block(spmd, &mut l.body),
            Op::Argsort(_) | Op::Collective(_) => {}
        }
    }
}

fn comprehension(spmd: &SpmdProgram, c: &mut Comprehension) {
    let before = c.clone();
    let scope = Scope::new(&spmd.program, &before).with_mesh(&spmd.mesh);
    let truth = Expr::Literal(Literal::Bool(true));
    for expr in c.exprs_mut() {
        let taken = std::mem::replace(expr, truth.clone());
        *expr = simplify_within(&spmd.program, &scope, taken);
    }
    match &c.guard {
        Some(guard) if *guard == truth => c.guard = None,
        // What keeps loads in range must stay to be seen.
        Some(Expr::Literal(_)) => c.guard = before.guard,
        _ => {}
    }
}
