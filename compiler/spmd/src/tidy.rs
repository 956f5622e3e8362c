//! Simplified local expressions, and no operation without a use.
//!
//! Positions, masks and tests are simplified as far as extents decide them. A value that is brought
//! to its planned placement though all its readers take it in another leaves dead steps.

use einmesh_ir::affine::Scope;
use einmesh_ir::simplify::simplify_within;
use einmesh_ir::{Block, Comprehension, Expr, Literal, Op, SpmdProgram, ValueId};
use std::collections::BTreeSet;

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

/// Drops the operations on which no result depends.
pub(crate) fn drop_dead(spmd: &mut SpmdProgram) {
    let mut live = spmd.program.outputs.iter().map(|o| o.value).collect();
    drop_dead_in(&mut spmd.program.body, &mut live);
}

/// Drops what `live` does not need, and adds what is left reads.
fn drop_dead_in(block: &mut Block, live: &mut BTreeSet<ValueId>) {
    let mut kept: Vec<Op> = Vec::with_capacity(block.ops.len());
    for mut op in std::mem::take(&mut block.ops).into_iter().rev() {
        if !op.defines().iter().any(|v| live.contains(v)) {
            continue;
        }
        match &mut op {
            Op::Compute(c) => live.extend(c.reads()),
            Op::Argsort(a) => live.extend([a.input]),
            Op::Collective(c) => live.extend([c.input]),
            Op::Loop(l) => {
                l.collected.retain(|c| live.contains(&c.result));
                // A state that is read only to compute itself stays, for simplicity.
                live.extend(l.carried.iter().flat_map(|c| [c.init, c.exit]));
                live.extend(l.collected.iter().map(|c| c.value));
                drop_dead_in(&mut l.body, live);
            }
        }
        kept.push(op);
    }
    kept.reverse();
    block.ops = kept;
}
