//! What a caller can choose.

use crate::cost::Device;
use crate::lang::Graph;
use einmesh_ir::DimId;
use std::collections::BTreeMap;

/// How the rewriter works. The default is what the compiler uses.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Which changes of rounding are allowed.
    pub numerics: Numerics,
    /// Whether products may be distributed over sums. It multiplies the size of the e-graph and can
    /// introduce cancellation (a variance as E[x²] − E[x]²), so it is off by default.
    pub distribute: bool,
    /// Bounds on the e-graph's growth.
    pub limits: Limits,
    /// The machine that costs are estimated for.
    pub device: Device,
    /// Over how many devices a dim is split; costs are those of one device. Absent dims are whole.
    pub split: BTreeMap<DimId, u64>,
}

/// Which changes of rounding are allowed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Numerics {
    /// Sums and products of f32 and f64 may be regrouped, as if they were real numbers. Nothing is
    /// moved across a rounding to a narrower type, and integers are left alone.
    #[default]
    Reassociate,
    /// Every value stays the same, bit for bit.
    Exact,
}

/// Bounds on the e-graph's growth: counts, never clocks, so that results are reproducible.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// The most factors of a product that flattening makes or splitting tries.
    pub bag: usize,
    /// The most terms of a sum that flattening makes.
    pub terms: usize,
    /// The most e-nodes of one block. Every rule looks at it before it adds another form, so that a
    /// graph ends within a few nodes of it.
    pub nodes: usize,
    /// The most rounds over a block.
    pub iterations: usize,
    /// Intermediates are at most this many times larger than the largest operand or result.
    pub blow_up: u64,
    /// The most factors whose contraction order is found exactly; more are ordered greedily.
    pub exact_order: usize,
    /// The most choices that extraction compares from each start.
    pub evaluations: usize,
}

impl Limits {
    /// Whether the graph has all the nodes that it may have.
    pub(crate) fn reached(&self, graph: &Graph) -> bool {
        graph.total_size() > self.nodes
    }
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            bag: 5,
            terms: 4,
            nodes: 2_000,
            iterations: 30,
            blow_up: 4,
            exact_order: 9,
            evaluations: 400,
        }
    }
}
