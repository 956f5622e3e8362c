//! Whole tensors: element types, conversion, files.

mod convert;
mod element;

pub use convert::{convert, convertible, lossless};
pub use element::ElementType;

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
        Value {
            dtype: self.dtype,
            pieces: vec![&self.bytes],
        }
    }
}
