//! What the command line says about a build, and what lowering returns.

use crate::signature::Signature;
use einmesh_ir::{DType, Directives, Program};
use std::collections::{BTreeMap, BTreeSet};

/// What to compile, and what replaces the files' own declarations.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// The exported function to compile.
    pub entry: String,
    /// `-D B=4`: extents of dims. Also the values of integer constants of that name.
    pub dims: BTreeMap<String, u64>,
    /// The dims, among those above, whose extents are known only when the program runs: see [`einmesh_ir::Dim::symbolic`].
    pub symbolic: BTreeSet<String>,
    /// `-D W=f64`: the dtypes that `type` names stand for.
    pub types: BTreeMap<String, DType>,
    /// `-D eps=1e-6`: values of `const`s, and of the entry's parameters that have a default.
    pub consts: BTreeMap<String, Constant>,
    /// `--plan NAME`. Without it, an entry with exactly one plan has that one, others have none.
    pub plan: Option<String>,
    /// An entry whose plans, without their budgets, are there for one that has none itself: they are placed alike.
    pub plan_of: Option<String>,
    /// What replaces the plan's decorators.
    pub overrides: Overrides,
}

/// A constant given on the command line.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Constant {
    /// `3`
    Int(i64),
    /// `1e-5`
    Float(f64),
    /// `true`
    Bool(bool),
}

impl std::fmt::Display for Constant {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Constant::Int(value) => value.fmt(f),
            // With its point: `4.0` is no extent.
            Constant::Float(value) => write!(f, "{value:?}"),
            Constant::Bool(value) => value.fmt(f),
        }
    }
}

/// `--mesh`, `--shard`, `--fsdp`, `--precision`: each, when present, replaces the plan's decorators of
/// that name; an empty one clears them.
#[derive(Clone, Debug, Default)]
pub struct Overrides {
    /// Mesh axes and their sizes, major to minor.
    pub mesh: Option<Vec<(String, u64)>>,
    /// Mesh axes and the dims that each splits, in order of precedence.
    pub shard: Option<Vec<(String, Vec<String>)>>,
    /// Mesh axes and the record types whose leaves each splits.
    pub fsdp: Option<Vec<(String, String)>>,
    /// Whether the parameters of `fsdp` are gathered ahead, if that is said.
    pub prefetch: Option<bool>,
    /// The dtype of contractions' operands; `Some(None)` clears it.
    pub precision: Option<Option<DType>>,
}

/// An entry, ready for the next stage.
#[derive(Clone, Debug, Default)]
pub struct Lowered {
    /// The program.
    pub program: Program,
    /// What the plan and the command line ask for.
    pub directives: Directives,
    /// The entry's types as they are declared.
    pub signature: Signature,
}

impl Options {
    /// Adds what `-D name=value` says: an extent or an integer, a dtype, or a constant. Returns whether
    /// the value is any of these.
    pub fn define(&mut self, name: &str, value: &str) -> bool {
        if let Ok(extent) = value.parse::<u64>() {
            self.dims.insert(name.to_owned(), extent);
        } else if let Some(dtype) = DType::from_name(value) {
            self.types.insert(name.to_owned(), dtype);
        } else {
            let constant = match (value, value.parse::<i64>(), value.parse::<f64>()) {
                ("true", ..) => Constant::Bool(true),
                ("false", ..) => Constant::Bool(false),
                (_, Ok(int), _) => Constant::Int(int),
                (_, _, Ok(float)) => Constant::Float(float),
                _ => return false,
            };
            self.consts.insert(name.to_owned(), constant);
        }
        true
    }
}
