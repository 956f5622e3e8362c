//! Partitioning: a program and its plan become the one program that every device runs.
//!
//! [`partition`] turns global extents into those of blocks, and puts in the collectives that the
//! plan's placements imply. `README.md` has the protocol: placements, reshard order, masking, and
//! why the result cannot deadlock.
//!
//! Invariants:
//! * for every well-formed plan (see [`check`]) the partitioned program computes what the whole one
//!   does, bit for bit where arithmetic is exact;
//! * what lies in the padding of a block is never read into a result;
//! * all devices execute the same sequence of collectives ([`verify_collectives`]).
//!
//! What this crate must not know: costs of machines beyond the bytes that move, targets, files, and
//! what the operations are called in the source.

mod argmax;
pub mod budget;
mod check;
mod compute;
mod context;
mod grid;
mod halo;
mod layers;
mod linear;
mod logsumexp;
mod lookup;
mod loops;
mod merge;
mod nest;
mod normal;
mod operand;
mod path;
pub mod report;
mod reshard;
mod store;
mod tidy;
mod uniform;
mod verify;

pub use budget::check_budgets;
pub use check::check;
pub use report::{CollectiveRow, collectives};
pub use verify::verify_collectives;

use context::{Ctx, Version};
use einmesh_ir::{Block, Layout, Program, Sharding, SpmdProgram};
use einmesh_plan::Plan;

/// The program that every device runs under a well-formed plan: one for which [`check`] finds
/// nothing.
pub fn partition(program: &Program, plan: &Plan) -> SpmdProgram {
    let plan = normal::normalize(program, plan);
    let plan = merge::add_before_reducing(program, plan);
    let mut ctx = Ctx::new(program, plan);
    let inputs = ctx.inputs(program);
    ctx.block(&program.body);
    let outputs = ctx.outputs(program);
    let frame = ctx.frames.pop().expect("the entry's block");
    ctx.local.body = Block { ops: frame.ops };
    let mut spmd = SpmdProgram { program: ctx.local, mesh: ctx.grid.mesh, inputs, outputs };
    tidy::simplify(&mut spmd);
    merge::share(&mut spmd);
    tidy::drop_dead(&mut spmd);
    spmd
}

impl Ctx {
    /// Defines the arguments, each held as planned.
    fn inputs(&mut self, program: &Program) -> Vec<Layout> {
        let mut layouts = Vec::with_capacity(program.inputs.len());
        for (at, input) in program.inputs.iter().enumerate() {
            let sharding = self.held(input.value).clone();
            let dims = self.local_dims(&program.values[input.value].dims, &sharding.spec);
            let dtype = program.values[input.value].dtype;
            let local = self.local_value(input.value, dtype, dims);
            self.local.inputs[at].value = local;
            layouts.push(self.layout(input.value, &sharding));
            self.define(input.value, sharding, local);
        }
        layouts
    }

    /// Brings the results to where they leave: complete, and a donated argument's result just as
    /// the argument came.
    fn outputs(&mut self, program: &Program) -> Vec<Layout> {
        let mut layouts = Vec::with_capacity(program.outputs.len());
        for (at, output) in program.outputs.iter().enumerate() {
            self.reader = output.value;
            let donated = program.inputs.iter().find(|i| i.donated && i.path == output.path);
            let like = donated.map_or(output.value, |input| input.value);
            let sharding = Sharding { partial: Vec::new(), ..self.held(like).clone() };
            let local = self.reshard(output.value, &sharding);
            self.local.outputs[at].value = local;
            layouts.push(self.layout(output.value, &sharding));
            debug_assert!(self.versions(output.value).contains(&Version { sharding, local }));
        }
        layouts
    }
}
