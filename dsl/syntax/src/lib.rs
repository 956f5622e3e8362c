//! The language's syntax: grammar, tree, parser and formatter.
//!
//! [`parse`] always returns a tree, with whatever could be read, and the diagnostics of the rest.
//! Nothing here knows what names mean; that is `einmesh-lower`'s.

pub mod ast;
