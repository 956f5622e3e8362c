//! How many different tokens a step can read.
//!
//! A gather clamps what is outside its table, so that a token beyond the vocabulary would silently be another one.

use einmesh_ir::{Block, Expr, Load, Op, Program, ValueId};

/// The least extent of the axes that an argument's numbers are positions in; `None` if it is used in no such way.
pub fn least_table(program: &Program, argument: &str) -> Option<u64> {
    let input = program.inputs.iter().find(|i| i.path == argument)?.value;
    let mut least = None;
    in_block(program, &program.body, input, &mut least);
    least
}

fn in_block(program: &Program, block: &Block, tokens: ValueId, least: &mut Option<u64>) {
    for op in &block.ops {
        match op {
            Op::Compute(c) => {
                for load in c.exprs().flat_map(Expr::loads) {
                    in_load(program, load, tokens, least);
                }
            }
            Op::Loop(l) => in_block(program, &l.body, tokens, least),
            Op::Argsort(_) | Op::Collective(_) => {}
        }
    }
}

fn in_load(program: &Program, load: &Load, tokens: ValueId, least: &mut Option<u64>) {
    for (sub, extent) in load.subs.iter().zip(program.extents(load.value)) {
        if is_token(sub, tokens) {
            *least = Some(least.map_or(extent, |l| l.min(extent)));
        }
    }
}

fn is_token(sub: &Expr, tokens: ValueId) -> bool {
    match sub {
        Expr::Load(load) => load.value == tokens,
        Expr::Cast(_, inner) => is_token(inner, tokens),
        _ => false,
    }
}
