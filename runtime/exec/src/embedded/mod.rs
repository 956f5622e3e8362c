//! Einsums compiled into the program that calls them.
//!
//! `einsum!` puts the machine code into the program's text and a description of it, an [`Einsum`], into its
//! read-only data. Calling it checks shapes ([`shapes`]), then runs its steps on the caller's memory ([`call`]): no
//! artifact is read, no page is made executable, and no operand is copied.
//!
//! Invariants:
//! * [`Einsum::shapes_of`] accepts exactly the shapes that the code was made for, so that code which stays within
//!   them stays within the operands;
//! * results are bitwise equal for any number of threads, as everywhere: tiles are independent;
//! * memory that a call needs besides operands and result belongs to the calling thread, or to the thread that
//!   computes, and is kept for the next call.

mod call;
mod memory;
mod shapes;
#[cfg(test)]
mod tests;

pub use call::{CallError, MAX_OPERANDS, MAX_TEMPORARIES};
pub use shapes::{MAX_SYMBOLS, Mismatch, Shapes};

use std::sync::OnceLock;

/// An einsum's description, as the macro writes it.
#[derive(Debug)]
pub struct Einsum {
    /// What the user wrote, for messages.
    pub text: &'static str,
    /// The indices whose extents are known at a call only, in the order in which kernels get them.
    pub symbols: &'static [&'static str],
    /// The first of each pair is at most the second: a part of a dimension lies within it.
    pub within: &'static [(Extent, Extent)],
    /// The operands.
    pub operands: &'static [Operand],
    /// The result's extents, outermost first.
    pub result: &'static [Extent],
    /// The intermediate values of each order in which the result can be computed.
    pub temporaries: &'static [&'static [Temporary]],
    /// The code for each CPU level, most demanding first.
    pub code: &'static [Code],
    /// Which of `code` this CPU runs: found at the first call.
    pub chosen: Chosen,
}

/// An operand: an array that is only read, row-major and dense.
#[derive(Debug)]
pub struct Operand {
    /// What messages call it.
    pub name: &'static str,
    /// What each dimension is subscripted with, for messages.
    pub indices: &'static [&'static str],
    /// Its extents, outermost first.
    pub extents: &'static [Extent],
}

/// The number of positions along a dimension.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Extent {
    /// Known when it was compiled.
    Fixed(u64),
    /// One of [`Einsum::symbols`].
    Symbol(u32),
}

/// An intermediate value.
#[derive(Debug)]
pub struct Temporary {
    /// Bytes of one element.
    pub element: u64,
    /// Its extents.
    pub extents: &'static [Extent],
}

/// The code for one CPU level.
#[derive(Debug)]
pub struct Code {
    /// The level: one of [`einmesh_artifact::LEVELS`].
    pub level: &'static str,
    /// Where the machine code begins.
    pub image: Image,
    /// What is done, in each of the orders.
    pub orders: &'static [&'static [Step]],
    /// Bytes that all tiles of a launch share.
    pub workspace_bytes: u64,
    /// Bytes that each computing thread needs.
    pub scratch_bytes: u64,
}

/// The first byte of machine code.
#[derive(Clone, Copy, Debug)]
pub struct Image(pub *const u8);

// SAFETY: code is never written.
unsafe impl Sync for Image {}
// SAFETY: as above.
unsafe impl Send for Image {}

/// One launch of a kernel.
#[derive(Debug)]
pub struct Step {
    /// The kernel's phases, one after the other.
    pub phases: &'static [Phase],
    /// What it works on, in its order.
    pub operands: &'static [Place],
    /// The index space: its size decides whether threads share the work.
    pub points: &'static [Extent],
}

/// A function over tiles, as described at [`einmesh_artifact::Kernel`].
#[derive(Debug)]
pub struct Phase {
    /// Its first byte in the image.
    pub entry: u64,
    /// The number of tiles: the product of these.
    pub tiles: &'static [Blocks],
}

/// A number of blocks: the product of some extents, divided by the block and rounded up.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Blocks {
    /// The extents.
    pub extents: &'static [Extent],
    /// Positions of a block; at least 1.
    pub block: u64,
}

/// Memory that a step works on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Place {
    /// An operand.
    Operand(u32),
    /// The result.
    Result,
    /// An intermediate value.
    Temporary(u32),
}

/// Which code was chosen.
#[derive(Debug)]
pub struct Chosen(OnceLock<Option<usize>>);

impl Chosen {
    /// Not yet.
    #[allow(clippy::new_without_default)]
    pub const fn new() -> Chosen {
        Chosen(OnceLock::new())
    }
}
