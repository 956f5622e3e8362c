//! Whole tensors: element types, conversion, files, and how files' tensors become a program's inputs.
//!
//! Files come from anywhere. Their headers are checked before anything in them is believed, and a
//! hostile one costs at most its size and 64 MB of memory, and never a panic.

mod binding;
mod convert;
mod element;
mod nearest;
pub mod npy;
mod safetensors;

pub use binding::{BindingError, Bindings, bind};
pub use convert::{convert, convertible, lossless};
#[cfg(feature = "command")]
pub(crate) use convert::{load_float, load_integer};
pub use element::ElementType;
pub use safetensors::{Header, SafeTensors, View, parse_header, write_safetensors};

use std::path::{Path, PathBuf};

/// A whole tensor in memory of its own, row-major, little endian.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Tensor {
    /// The element type.
    pub dtype: ElementType,
    /// The extents, outermost first.
    pub shape: Vec<u64>,
    /// The elements.
    pub bytes: Vec<u8>,
}

/// A whole tensor that lies elsewhere, as equal pieces along its first dims: a checkpoint keeps the
/// layers of a stacked tensor apart.
#[derive(Clone, Debug)]
pub struct Value<'a> {
    /// The element type.
    pub dtype: ElementType,
    /// The elements.
    pub pieces: Vec<&'a [u8]>,
}

impl Tensor {
    /// The tensor as a value to bind.
    pub fn value(&self) -> Value<'_> {
        Value { dtype: self.dtype, pieces: vec![&self.bytes] }
    }
}

/// Why a file of tensors was refused.
#[derive(Debug, thiserror::Error)]
#[error("{}: {problem}", path.display())]
pub struct FileError {
    /// The file.
    pub path: PathBuf,
    /// What is wrong, and what to do about it.
    pub problem: String,
}

impl FileError {
    fn new(path: &Path, problem: impl ToString) -> FileError {
        FileError { path: path.to_owned(), problem: problem.to_string() }
    }
}

/// The bytes that elements of this type and shape take; `None` if they exceed 2⁶⁴.
fn bytes_of(dtype: ElementType, shape: &[u64]) -> Option<u64> {
    let mut extents = shape.iter();
    extents.try_fold(dtype.bytes(), |n, extent| n.checked_mul(*extent))
}
