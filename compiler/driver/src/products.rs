//! What a compilation gives.

use einmesh_artifact::Artifact;
pub use einmesh_artifact::CollectiveRow;
use einmesh_ir::{BinaryOp, Block, Comprehension, Expr, Op, Program, Reducer, SpmdProgram};
use einmesh_lower::Signature;
use einmesh_plan::Plan;
use einmesh_schedule::KernelGraph;

/// The outputs of the stages, as far as the goal asked for them.
#[derive(Debug)]
pub struct Products {
    /// The entry's types as they are declared.
    pub signature: Signature,
    /// The program as it was written.
    pub lowered: Program,
    /// The program after rewriting; the plan speaks of it.
    pub program: Program,
    /// Where everything is.
    pub plan: Plan,
    /// What every device runs.
    pub spmd: SpmdProgram,
    /// The communication in it.
    pub collectives: Vec<CollectiveRow>,
    /// The schedule, from [`Goal::Plan`](crate::Goal::Plan) on.
    pub graph: Option<KernelGraph>,
    /// The artifact, for [`Goal::Build`](crate::Goal::Build).
    pub artifact: Option<Artifact>,
}

impl Products {
    /// The floating-point operations of the contractions in one run on all devices, as the program is written: two
    /// for each point that is multiplied and added. This is what model FLOPs utilisation counts
    /// (Chowdhery et al. 2022, appendix B), with what a backward pass computes again.
    pub fn contraction_flops(&self) -> f64 {
        block_flops(&self.lowered, &self.lowered.body)
    }
}

fn block_flops(program: &Program, block: &Block) -> f64 {
    let each = block.ops.iter().map(|op| match op {
        Op::Compute(c) if is_contraction(c) => {
            let extents = c.indices.iter().map(|(_, index)| program.dims[index.dim].extent as f64);
            2.0 * extents.product::<f64>()
        }
        Op::Loop(l) => {
            let extent = program.dims[program.loop_vars[l.var].dim].extent as f64;
            extent * block_flops(program, &l.body)
        }
        _ => 0.0,
    });
    each.sum()
}

/// Whether a comprehension sums products.
fn is_contraction(c: &Comprehension) -> bool {
    c.reducer == Reducer::Sum
        && matches!(c.body, Expr::Binary(BinaryOp::Mul, ..))
        && c.body.loads().len() > 1
}
