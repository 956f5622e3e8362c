//! Reverse-mode differentiation of einsum programs.
//!
//! [`gradients`] appends to a program under construction what computes the derivatives of a number by
//! some of its values. The derivative of a comprehension is a comprehension, that of a loop a loop that
//! runs the other way; so later stages never see a gradient, and a gradient can be differentiated again.
//!
//! Invariants:
//! * only what depends on a leaf and reaches the number gets an adjoint;
//! * an adjoint has the type of its value; sums accumulate as all sums do;
//! * layers stay a loop: a program with its gradient grows with distinct layers, not with depth;
//! * the same program gives the same gradient, operation by operation.
//!
//! What this crate must not know: syntax, placements, targets. Decision: `compiler/decisions/008-gradients-are-expanded.md`.

mod activity;
mod adjoint;
mod build;
mod compute;
mod names;
mod place;
mod repeat;
mod residual;
mod scalar;
mod store;
pub mod testing;
mod until;

use adjoint::{Adjoints, Part};
use einmesh_ir::directive::Remat;
use einmesh_ir::{Block, DimId, LoopVarId, Op, Program, ValueId};
use residual::Addition;
use std::collections::{BTreeMap, BTreeSet};

/// What is differentiated, and by what.
#[derive(Debug)]
pub struct Request<'r> {
    /// A number: a float value without dims.
    pub of: ValueId,
    /// What it is differentiated by: float values, each once. They are independent of each other: what one
    /// was computed from another does not count.
    pub by: &'r [ValueId],
    /// Values that count as constants although they were computed.
    pub stops: &'r BTreeSet<ValueId>,
    /// For each open block but the outermost, the entries of the loop that it is the body of.
    pub entries: &'r [Vec<ValueId>],
    /// What backward loops compute again instead of having the forward loop save it.
    pub remat: &'r [Remat],
}

/// Why there is no gradient.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Reason {
    /// The number depends on a state of a loop that is still open, and that may depend on a leaf outside of
    /// the loop through earlier iterations.
    Carried,
    /// The number depends on a store that multiplies.
    Store,
}

/// There is no gradient through a value.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Refusal {
    /// Why.
    pub reason: Reason,
    /// The value.
    pub value: ValueId,
}

/// Appends the derivatives to the last of `open`, the blocks in the making of `program`, outermost first;
/// loops in them may collect more afterwards. Gives one value per leaf, of the leaf's type.
///
/// The program's dims have their extents; its body is not looked at.
///
/// # Errors
/// If there is a construct that gradients do not pass. The blocks then compute what they did.
pub fn gradients<'p>(
    program: &'p mut Program,
    open: &mut [Block],
    request: &Request<'p>,
) -> Result<Vec<ValueId>, Refusal> {
    let leaves: BTreeSet<ValueId> = request.by.iter().copied().collect();
    let suspect = suspects(program, open, request);
    let (mut constant, mut active, mut ops);
    constant = BTreeSet::new();
    loop {
        ops = open.iter().flat_map(|b| b.ops.iter().cloned()).collect::<Vec<Op>>();
        active = leaves.union(&suspect).copied().collect::<BTreeSet<ValueId>>();
        let cut =
            |v: ValueId| leaves.contains(&v) || request.stops.contains(&v) || constant.contains(&v);
        activity::spread(program, &ops, &cut, &mut active);
        let mut needed = BTreeSet::from([request.of]);
        let block = Block { ops: ops.clone() };
        activity::reach(program, &block, &active, &mut needed);
        if let Some(value) = suspect.intersection(&needed).next() {
            return Err(Refusal { reason: Reason::Carried, value: *value });
        }
        needed.retain(|v| active.contains(v));
        let before = constant.len();
        open.iter_mut().for_each(|b| until::convert(program, b, &needed, &mut constant));
        if constant.len() == before {
            break;
        }
    }
    let mut ctx = Ctx {
        program,
        leaves,
        active,
        adjoints: Adjoints::new(),
        blocks: vec![Vec::new()],
        additions: BTreeMap::new(),
        saved: BTreeMap::new(),
        aliases: Vec::new(),
        remat: request.remat,
    };
    if ctx.active.contains(&request.of) {
        ctx.contribute(request.of, Part::Seed);
    }
    ctx.reverse(&ops)?;
    let result = request.by.iter().map(|leaf| ctx.adjoint(*leaf)).collect();
    let Ctx { mut blocks, additions, .. } = ctx;
    for block in open.iter_mut() {
        add(block, &additions);
    }
    if let (Some(block), Some(ops)) = (open.last_mut(), blocks.pop()) {
        block.ops.extend(ops);
    }
    Ok(result)
}

/// The states of open loops that may depend on a leaf through earlier iterations: those of loops inside of
/// which no leaf is defined.
fn suspects(program: &Program, open: &[Block], request: &Request<'_>) -> BTreeSet<ValueId> {
    let depth_of = |leaf: ValueId| {
        let entry = request.entries.iter().rposition(|e| e.contains(&leaf)).map(|d| d + 1);
        let defined =
            || open.iter().rposition(|b| b.ops.iter().any(|op| op.defines().contains(&leaf)));
        entry.or_else(defined).unwrap_or(0)
    };
    let outermost = request.by.iter().map(|leaf| depth_of(*leaf)).min().unwrap_or(0);
    let inside = request.entries.iter().skip(outermost).flatten().copied();
    inside.filter(|v| program.values[*v].dtype.is_float() && !request.by.contains(v)).collect()
}

/// Adds to loops, wherever they stand, what their backward loops ask for.
fn add(block: &mut Block, additions: &BTreeMap<LoopVarId, Addition>) {
    for op in &mut block.ops {
        if let Op::Loop(l) = op {
            add(&mut l.body, additions);
            if let Some(addition) = additions.get(&l.var) {
                l.body.ops.extend(addition.ops.iter().cloned());
                l.collected.extend(&addition.collected);
            }
        }
    }
}

/// The state of one differentiation.
struct Ctx<'p> {
    program: &'p mut Program,
    leaves: BTreeSet<ValueId>,
    active: BTreeSet<ValueId>,
    adjoints: Adjoints,
    /// The blocks in the making, innermost last.
    blocks: Vec<Vec<Op>>,
    additions: BTreeMap<LoopVarId, Addition>,
    /// The stacks of values that forward loops save.
    saved: BTreeMap<ValueId, ValueId>,
    /// Dims with their stand-ins, see [`Ctx::distinct`].
    aliases: Vec<(DimId, DimId)>,
    remat: &'p [Remat],
}

impl Ctx<'_> {
    /// Goes through operations backwards, from the adjoints of what they define to those of what they read.
    fn reverse(&mut self, ops: &[Op]) -> Result<(), Refusal> {
        for op in ops.iter().rev() {
            match op {
                Op::Compute(c) => self.comprehension(c)?,
                Op::Loop(l) => self.repetition(l)?,
                Op::Argsort(_) | Op::Collective(_) => {}
            }
        }
        Ok(())
    }

    /// Appends an operation to the innermost block in the making.
    fn push_op(&mut self, op: Op) {
        self.blocks.last_mut().expect("a block in the making").push(op);
    }
}
