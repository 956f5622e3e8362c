//! The language's syntax: grammar, tree, parser and formatter.
//!
//! [`parse`] always returns a tree, with whatever could be read, and the diagnostics of the rest.
//! Nothing here knows what names mean; that is `einmesh-lower`'s.
//!
//! Invariants: a tree is at most [`MAX_TREE_DEPTH`] levels of expressions and [`MAX_NESTING`] levels
//! of blocks deep, so everything after may recurse over it; each span lies within its file's text.

pub mod ast;
mod build;
pub mod einsum;
mod explain;
mod format;
mod grammar;
mod lex;
mod limits;
mod parse;
mod recover;
mod split;

pub use build::MAX_TREE_DEPTH;
pub use format::{WIDTH, format};
pub use limits::{MAX_FILE_BYTES, MAX_ITEM_BYTES, MAX_NESTING};
pub use parse::parse;
