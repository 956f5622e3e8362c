//! The artifact: what the compiler writes and the runtime runs.
//!
//! An artifact holds a [`Manifest`] (signature, buffers, steps, report) and one [code image](CodeImage)
//! per CPU level. It is plain data: this crate executes nothing and allocates no more than the file's
//! size. The compiler's stages use its types for what they have decided; the runtime knows
//! nothing else of the compiler.

pub mod manifest;

pub use manifest::*;
