//! Planning: from decorators to a placement for every value.
//!
//! [`Plan`] is a side table over a program, which it leaves as it is; `einmesh_spmd::partition`
//! makes it real. The sharding rules are derived from subscripts, never written per operation.

use einmesh_ir::{Arena, Mesh, MeshAxisId, Sharding, ValueId};
use std::collections::BTreeMap;

/// Where everything is.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Plan {
    /// The devices.
    pub mesh: Mesh,
    /// How each value is held between operations. A value may be held partial; then every reader
    /// either is linear in it or gets it reduced.
    pub shardings: Arena<ValueId, Sharding>,
    /// For each comprehension, named by its output: the mesh axes that split each of its indices,
    /// in the order of [`einmesh_ir::Comprehension::indices`], major to minor. An axis occurs at
    /// most once in a comprehension. A split free index splits the output; a split reduced index
    /// leaves it partial until the partitioner reduces it to the output's sharding.
    pub loops: BTreeMap<ValueId, Vec<Vec<MeshAxisId>>>,
    /// Why a mesh axis splits a value (or the loops that compute it).
    pub reasons: BTreeMap<(ValueId, MeshAxisId), Reason>,
}

/// Why a value is split.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub struct Reason {
    /// The name of the dim that is split.
    pub dim: String,
    /// The decorator that asked for it, as written.
    pub decorator: String,
}
