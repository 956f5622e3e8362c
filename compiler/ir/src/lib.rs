//! The intermediate representation that every compiler stage reads or writes.
//!
//! A [`Program`] is one entry function after names are resolved, functions inlined and records
//! flattened into their leaves. It has one computing operation, the einsum [`Comprehension`]
//!
//! ```text
//! out[i…] = ⊕ over j… | guard of body(load₀[e₀…], load₁[e₁…], …)
//! ```
//!
//! and beside it loops, `argsort` and, after partitioning, [`Collective`]s.
//!
//! Invariants, checked by [`verify`](verify::verify):
//! * every value is assigned once, before its uses, in the block that defines it or an enclosing one;
//! * a value's type never names the same [`Dim`] twice, and product axes are stored as their
//!   components (`[D,(3,H,K)]` is the four dims `D 3 H K`, row-major);
//! * every extent is a known number, unless its dim is symbolic ([`Dim::symbolic`]);
//! * the number of operations grows with distinct layers, never with depth: layers stay a [`Loop`].
//!
//! What this crate must not know: syntax trees, placements' costs, targets, files.

pub mod affine;
pub mod arena;
pub mod builder;
pub mod directive;
pub mod dtype;
pub mod expr;
pub mod integer;
pub mod mesh;
pub mod program;
pub mod rng;
pub mod simplify;
pub mod spmd;
pub mod testing;
pub mod text;
pub mod typing;
pub mod verify;

pub use affine::{Affine, Atom, Scope};
pub use arena::{Arena, Id};
pub use builder::Builder;
pub use directive::Directives;
pub use dtype::DType;
pub use expr::{BinaryOp, Bounds, Expr, IndexId, Literal, Load, UnaryOp};
pub use mesh::{Mesh, MeshAxis, MeshAxisId, PartitionSpec, Rank, Sharding};
pub use program::{
    Argsort, Block, Carried, Collected, Comprehension, Dim, DimId, Index, Input, Loop, LoopVar,
    LoopVarId, Op, Origin, Output, Program, Reducer, Store, Value, ValueId,
};
pub use simplify::{simplify, simplify_comprehension, simplify_within};
pub use spmd::{Collective, CollectiveKind, DimLayout, Layout, SpmdProgram};
pub use verify::{Violation, verify, verify_spmd};
