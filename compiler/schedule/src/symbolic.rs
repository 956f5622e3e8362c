//! Schedules of straight-line programs some of whose extents are known only when they run: kernels that take
//! extents as numbers.
//!
//! [`symbolic`] makes them from a program with [symbolic dims](einmesh_ir::Dim::symbolic): elementwise work is
//! substituted into its readers and becomes the epilogue of matrix products, and the passes over a row are one launch, as
//! far as what they pass on needs no memory of unknown size. Nothing in the result depends on the extents that stand in for the symbols: a kernel is an ordinary one
//! whose extents are [`Extent`]s, and with numbers for its symbols ([`SymbolicKernel::at`]) it is that kernel.

mod build;
mod orders;
mod text;

use crate::kernel::Kernel;
use einmesh_ir::{DType, Origin};
use std::fmt;

pub use build::symbolic;

/// A symbol is at most this: positions are i32 numbers.
pub const MAX_EXTENT: u64 = i32::MAX as u64;

/// A number of positions.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Extent {
    /// Known.
    Fixed(u64),
    /// The number of a symbol of the graph: from 0 to [`MAX_EXTENT`].
    Symbol(u32),
}

impl Extent {
    /// The number, with the symbols' numbers.
    ///
    /// # Panics
    /// If there are fewer numbers than symbols.
    pub fn at(self, symbols: &[u64]) -> u64 {
        match self {
            Extent::Fixed(extent) => extent,
            Extent::Symbol(symbol) => symbols[symbol as usize],
        }
    }
}

/// What is launched, on which memory.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct SymbolicGraph {
    /// The names of the dims whose extents are numbers at run time, in the order that the caller asked for.
    pub symbols: Vec<String>,
    /// For every pair, the first is at most the second: a role has no more positions than its dim. Whoever runs the
    /// graph has to see to it.
    pub within: Vec<(Extent, Extent)>,
    /// The entry's arguments.
    pub inputs: Vec<Array>,
    /// The entry's results: all their elements are written.
    pub outputs: Vec<Array>,
    /// Distinct kernels.
    pub kernels: Vec<SymbolicKernel>,
    /// Ways to compute the results, at least one: which has the least to do may depend on the symbols' numbers.
    pub orders: Vec<Order>,
}

/// Launches that compute the results.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Order {
    /// Memory between launches.
    pub temporaries: Vec<Array>,
    /// What to run, one after the other.
    pub launches: Vec<Launch>,
}

/// A dense row-major array.
#[derive(Clone, PartialEq, Debug)]
pub struct Array {
    /// The path of an argument or result, or the name of a value.
    pub name: String,
    /// The type of its elements.
    pub dtype: DType,
    /// Outermost first.
    pub extents: Vec<Extent>,
}

/// A kernel on its operands.
#[derive(Clone, PartialEq, Debug)]
pub struct Launch {
    /// The kernel's position in the graph.
    pub kernel: u32,
    /// The operands, in the order of the kernel's values.
    pub operands: Vec<Place>,
}

/// An operand's memory.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Place {
    /// That of an argument, which is only read.
    Input(u32),
    /// That of a result.
    Output(u32),
    /// Memory between launches.
    Temporary(u32),
}

/// A kernel some of whose extents are numbers at launch.
#[derive(Clone, PartialEq, Debug)]
pub struct SymbolicKernel {
    /// The kernel, with examples of extents in the place of symbols. The numbers passed at launch are those of all
    /// symbols of the graph, in order: `Expr::LoopVar` n is symbol n. Its body is a nest, or a contraction;
    /// the extents of its locals are known.
    pub kernel: Kernel,
    /// The extents of its indices.
    pub indices: Vec<Extent>,
    /// The extents of its values.
    pub values: Vec<Vec<Extent>>,
}

impl SymbolicKernel {
    /// The extents of its index space; of several, those of the largest.
    pub fn space(&self) -> Vec<Extent> {
        self.kernel.space().iter().map(|index| self.indices[index.0 as usize]).collect()
    }

    /// The kernel with numbers for its symbols.
    ///
    /// # Panics
    /// If there are fewer numbers than symbols.
    pub fn at(&self, symbols: &[u64]) -> Kernel {
        let mut kernel = self.kernel.clone();
        for (index, extent) in kernel.indices.iter_mut().zip(&self.indices) {
            index.extent = extent.at(symbols);
        }
        for (value, extents) in kernel.values.iter_mut().zip(&self.values) {
            value.extents = extents.iter().map(|e| e.at(symbols)).collect();
        }
        kernel
    }
}

/// Why a program cannot be run without knowing its extents.
#[derive(Clone, PartialEq, Debug)]
pub struct Unsupported {
    /// What it is that needs them, such as "a loop".
    pub what: String,
    /// Where it stands.
    pub origin: Origin,
}

impl fmt::Display for Unsupported {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} is not possible while extents are known only when the program runs",
            self.what
        )
    }
}

impl std::error::Error for Unsupported {}
