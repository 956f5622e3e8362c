//! Codes E02xx–E05xx: what lowering says of a program.
//!
//! A test of `einmesh-lower` compiles every example: the first block of an explanation gives its code,
//! the second gives no diagnostic.

mod dims;
mod names;
mod statements;
mod types;

pub use dims::*;
pub use names::*;
pub use statements::*;
pub use types::*;

use super::Explanation;

/// The explanations of this stage's codes.
pub const ALL: [&[Explanation]; 4] = [names::ALL, dims::ALL, types::ALL, statements::ALL];
