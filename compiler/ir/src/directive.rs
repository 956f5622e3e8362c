//! What a plan block and the command line ask for, names resolved.

use crate::dtype::DType;
use crate::program::{DimId, ValueId};
use einmesh_diagnostics::Span;

/// The decorators that apply to a program. They place; only `precision` changes numbers.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Directives {
    /// The plan's name, if one was chosen.
    pub plan: Option<String>,
    /// `@mesh`: names and sizes, major to minor. Empty is one device.
    pub mesh: Vec<(String, u64)>,
    /// Where `@mesh` stands.
    pub mesh_span: Option<Span>,
    /// `@shard(axis: Dims)`, in order of precedence.
    pub shard: Vec<ShardDims>,
    /// `@shard(value: [Dim: axis])`.
    pub shard_values: Vec<ShardValue>,
    /// `@fsdp(axis: Record)`.
    pub fsdp: Vec<Fsdp>,
    /// `@remat(function, keep: …)`.
    pub remat: Vec<Remat>,
    /// `@expect(…)`.
    pub expect: Vec<Expect>,
    /// `@precision(compute: …)`.
    pub precision: Option<(DType, Option<Span>)>,
}

/// In each value, the first of `dims` that is present takes the axis.
#[derive(Clone, PartialEq, Debug)]
pub struct ShardDims {
    /// The mesh axis.
    pub axis: String,
    /// The logical dims, with the span of each name.
    pub dims: Vec<(DimId, Option<Span>)>,
    /// Whether dims that the axis does not divide are padded (the default) or an error.
    pub pad: bool,
    /// The decorator as written.
    pub text: String,
    /// Where it stands; `None` for the command line.
    pub span: Option<Span>,
}

/// A placement of one value.
#[derive(Clone, PartialEq, Debug)]
pub struct ShardValue {
    /// The values of that name (one per inlined copy).
    pub values: Vec<ValueId>,
    /// The dims that are split, and the axes that split each.
    pub dims: Vec<(DimId, Vec<String>)>,
    /// Whether propagation may split other dims (`..`).
    pub open: bool,
    /// The decorator as written.
    pub text: String,
    /// Where it stands.
    pub span: Option<Span>,
}

/// Every leaf of a record type splits on its first free divisible dim.
#[derive(Clone, PartialEq, Debug)]
pub struct Fsdp {
    /// The mesh axis.
    pub axis: String,
    /// The record type.
    pub record: String,
    /// Whether loops gather the next iteration's leaves during the one before.
    pub prefetch: bool,
    /// The decorator as written.
    pub text: String,
    /// Where it stands.
    pub span: Option<Span>,
}

impl Fsdp {
    /// Whether loops gather ahead if nothing is said.
    pub const PREFETCH: bool = true;
}

/// Values of these functions are recomputed in the backward pass.
#[derive(Clone, PartialEq, Debug)]
pub struct Remat {
    /// The function's name.
    pub function: String,
    /// The names of values that are kept.
    pub keep: Vec<String>,
    /// Where it stands.
    pub span: Option<Span>,
}

/// A budget that fails the build when it is exceeded: `quantity relation limit`.
#[derive(Clone, PartialEq, Debug)]
pub struct Expect {
    /// What is counted.
    pub quantity: Quantity,
    /// `<=`, `<`, `==`, `>=` or `>`.
    pub relation: crate::expr::BinaryOp,
    /// The limit, evaluated.
    pub limit: u64,
    /// The expectation as written.
    pub text: String,
    /// Where it stands.
    pub span: Option<Span>,
}

/// A measurable property of a plan, per device and call.
#[derive(Clone, PartialEq, Debug)]
pub enum Quantity {
    /// How often collectives of a kind are executed, loops counted.
    Count {
        /// `all_reduce`, `all_gather`, `reduce_scatter`, `all_to_all` or `collective_permute`.
        op: String,
        /// Only those over this mesh axis.
        axis: Option<String>,
    },
    /// Bytes that one device sends, with ring algorithms.
    WireBytes {
        /// Only those over this mesh axis.
        axis: Option<String>,
    },
    /// The most bytes held at once.
    PeakMemory,
}
