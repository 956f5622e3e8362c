//! Rewriting: from a program to an equal one that is cheaper.
//!
//! Each straight-line block (the entry and every loop body, once however often it runs) becomes an
//! e-graph of einsum algebra, [`rules`] are applied until nothing new is found, and the cheapest
//! program under a [cost model](cost) is read back.
//!
//! ```text
//! Block ──encode──▶ e-graph ──saturate──▶ e-graph ──extract──▶ choice ──decode──▶ Block
//! ```
//!
//! Invariants:
//! * the result computes the same numbers up to the rounding that [`Numerics`] allows; values of
//!   integers and of floats narrower than f32 are computed as the program says;
//! * a block that nothing makes cheaper comes back unchanged, to the byte;
//! * values that the program names keep their ids, names and types as long as they are computed;
//! * the same input gives the same output: id order everywhere, limits are counts, costs integers.
//!
//! What this crate must not know: placements of values (the planner reads [`saturate`]'s e-graph
//! for that), targets beyond [`Device`]'s numbers, source text, files.

mod build;
pub mod cost;
mod decode;
mod encode;
mod extract;
mod guard;
mod hollow;
mod index;
mod kernels;
mod lang;
mod memo;
mod options;
mod report;
pub mod rules;
mod saturate;
mod substitute;
mod table;
#[cfg(test)]
mod testing;
mod view;

pub use cost::{Device, Work};
pub use index::{IndexInfo, IndexNumber, IndexSet, MAX_INDICES};
pub use lang::{Facts, Graph, MapFn, Node, Scalar};
pub use options::{Limits, Numerics, Options};
pub use report::{BlockReport, GraphReport, Report};
pub use saturate::{Saturated, saturate};
pub use table::{Table, Template};

use einmesh_ir::{Block, Op, Program, ValueId};

/// A program and what was done to it.
#[derive(Clone, PartialEq, Debug)]
pub struct Rewritten {
    /// An equal program.
    pub program: Program,
    /// What was done.
    pub report: Report,
}

/// Rewrites every block of a program.
pub fn rewrite(program: &Program, options: &Options) -> Rewritten {
    let mut ctx = Ctx { program: program.clone(), options, report: Report::default() };
    let roots: Vec<ValueId> = program.outputs.iter().map(|o| o.value).collect();
    let body = ctx.block("body", program.body.clone(), roots);
    ctx.program.body = body;
    Rewritten { program: ctx.program, report: ctx.report }
}

struct Ctx<'a> {
    program: Program,
    options: &'a Options,
    report: Report,
}

impl Ctx<'_> {
    /// Rewrites the loops inside a block, then the block.
    fn block(&mut self, name: &str, mut block: Block, mut roots: Vec<ValueId>) -> Block {
        for op in &mut block.ops {
            if let Op::Loop(l) = op {
                let name = self.program.loop_vars[l.var].name.clone();
                let carried = l.carried.iter().map(|c| c.exit);
                let roots = carried.chain(l.collected.iter().map(|c| c.value)).collect();
                l.body = self.block(&name, std::mem::take(&mut l.body), roots);
            }
        }
        roots.sort();
        roots.dedup();
        let mut report = BlockReport { name: name.to_owned(), ..BlockReport::default() };
        let result = self.rewritten(&block, &roots, &mut report);
        self.report.blocks.push(report);
        result.unwrap_or(block)
    }

    /// The cheaper block; `None` to keep the given one.
    fn rewritten(
        &mut self,
        block: &Block,
        roots: &[ValueId],
        report: &mut BlockReport,
    ) -> Option<Block> {
        let s = saturate(&self.program, block, roots, self.options)?;
        report.graph = Some(GraphReport {
            classes: s.graph.number_of_classes(),
            nodes: s.graph.total_number_of_nodes(),
            iterations: s.iterations,
            saturated: s.saturated,
            fired: s.fired.clone(),
        });
        let defined: Vec<ValueId> = block.ops.iter().flat_map(Op::defines).collect();
        let view = view::View::new(&s, &defined, self.options);
        let device = &self.options.device;
        let found = extract::extract(&view, roots, device, self.options.limits.evaluations)?;
        (report.before_ps, report.after_ps) = (found.given, found.cost);
        let mut memo = memo::Memo::new(&view);
        let kernels = kernels::kernels(&view, &found.choice, roots, &mut memo)?;
        let classes = view.positions(&s);
        let mut program = self.program.clone();
        let ops = decode::decode(
            &mut program,
            &view,
            &found.choice,
            &kernels,
            roots,
            &classes,
            &block.ops,
        );
        // Without a cheaper form the block stays as written, unless something in it was not needed.
        if found.cost >= found.given && ops.len() >= block.ops.len() {
            return None;
        }
        report.changed = true;
        self.program = program;
        Some(Block { ops })
    }
}
