//! What a partitioned program communicates, and why.

use einmesh_ir::{Block, Collective, CollectiveKind, Op, Origin, SpmdProgram};

/// One collective of a partitioned program.
#[derive(Clone, PartialEq, Debug)]
pub struct CollectiveRow {
    /// `all_reduce`, `all_gather`, `reduce_scatter`, `all_to_all` or `collective_permute`.
    pub op: &'static str,
    /// The names of the mesh axes.
    pub axes: Vec<String>,
    /// The number of devices that communicate with each other.
    pub group_size: u64,
    /// How often it is executed per call: the trip counts of the loops around it, multiplied.
    pub count: u64,
    /// The bytes of the operand on one device, per execution; for an all-gather, of the result.
    pub payload_bytes: u64,
    /// The bytes that one device sends per execution, with ring algorithms.
    pub wire_bytes: u64,
    /// The statement that needs it.
    pub origin: Origin,
    /// The name of the index or dim that is split.
    pub index: String,
    /// The decorator that split it.
    pub decorator: String,
}

impl CollectiveRow {
    /// The bytes that one device sends per call.
    pub fn total_wire_bytes(&self) -> u64 {
        self.count.saturating_mul(self.wire_bytes)
    }
}

/// The collectives of a partitioned program, in program order.
pub fn collectives(spmd: &SpmdProgram) -> Vec<CollectiveRow> {
    let mut report = Report { spmd, rows: Vec::new() };
    report.block(&spmd.program.body, 1);
    report.rows
}

/// The name of a kind of collective in reports and budgets.
pub fn op_name(kind: &CollectiveKind) -> &'static str {
    match kind {
        CollectiveKind::AllReduce(_) => "all_reduce",
        CollectiveKind::AllGather { .. } => "all_gather",
        CollectiveKind::ReduceScatter { .. } => "reduce_scatter",
        CollectiveKind::AllToAll { .. } => "all_to_all",
        CollectiveKind::CollectivePermute { .. } => "collective_permute",
    }
}

struct Report<'a> {
    spmd: &'a SpmdProgram,
    rows: Vec<CollectiveRow>,
}

impl Report<'_> {
    fn block(&mut self, block: &Block, times: u64) {
        let program = &self.spmd.program;
        for op in &block.ops {
            match op {
                Op::Loop(l) => {
                    let trips = program.dims[program.loop_vars[l.var].dim].extent;
                    self.block(&l.body, times.saturating_mul(trips));
                }
                Op::Collective(c) => self.collective(c, times),
                Op::Compute(_) | Op::Argsort(_) => {}
            }
        }
    }

    fn collective(&mut self, c: &Collective, count: u64) {
        let SpmdProgram { program, mesh, .. } = self.spmd;
        let moved = match c.kind {
            CollectiveKind::AllGather { .. } => c.out,
            _ => c.input,
        };
        let group_size = mesh.size_of(&c.axes);
        let payload_bytes = program.bytes(moved);
        self.rows.push(CollectiveRow {
            op: op_name(&c.kind),
            axes: c.axes.iter().map(|a| mesh.axes[*a].name.clone()).collect(),
            group_size,
            count,
            payload_bytes,
            wire_bytes: einmesh_plan::cost::wire_bytes(&c.kind, group_size, payload_bytes),
            origin: c.provenance.origin.clone(),
            index: c.provenance.index.clone(),
            decorator: c.provenance.decorator.clone(),
        });
    }
}
