//! Rust bindings: from a `.ein` file to compiled entries, and to a Rust module that calls them.
//!
//! [`compile`] compiles every exported function of a file, or those that are asked for; [`module`] writes the
//! module: records as structs of tensors, entries as functions, the dims' extents as constants. The macro
//! `program!` and build scripts are two ways to the same module; they differ in where the artifacts lie.
//!
//! Invariants:
//! * the same file and options give the same text;
//! * what the module says of a tensor (number of dims, element type, position) is what the artifact's manifest says;
//! * a name of the file is never a syntax error in Rust: keywords become raw identifiers.
//!
//! What this crate must not know: how stages work, rustc's macros, where files of a build lie.

mod compile;
mod definitions;
mod emit;
mod names;
mod options;
mod problem;
mod records;

pub use compile::{Compiled, Entry, compile, sources};
pub use emit::module;
pub use options::Options;
pub use problem::{Place, Problem};
