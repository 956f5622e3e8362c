//! What a compilation gives.

use einmesh_artifact::Artifact;
pub use einmesh_artifact::CollectiveRow;
use einmesh_ir::{Program, SpmdProgram};
use einmesh_plan::Plan;
use einmesh_schedule::KernelGraph;

/// The outputs of the stages, as far as the goal asked for them.
#[derive(Debug)]
pub struct Products {
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
