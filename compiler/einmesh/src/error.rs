//! What can go wrong at run time.

use einmesh_artifact::ArtifactError;
use einmesh_exec::RunError;
use einmesh_exec::embedded::{CallError, Mismatch};
use einmesh_exec::tensors::{BindingError, FileError};

/// Why something could not be done. The message names what it is about, what was expected and what was given.
///
/// ```
/// use einmesh::{Error, Tensor};
///
/// let error = Tensor::from_vec([2, 3], vec![1.0_f32; 5]).unwrap_err();
/// assert_eq!(error.to_string(), "the shape [2, 3] has 6 elements, but 5 are given");
/// assert!(matches!(error, Error::Length { expected: 6, got: 5, .. }));
/// ```
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// There are more or fewer elements than the shape has.
    #[error("the shape {shape:?} has {expected} elements, but {got} are given")]
    Length {
        /// The shape.
        shape: Vec<usize>,
        /// Its elements.
        expected: usize,
        /// The elements given.
        got: usize,
    },
    /// A tensor is larger than an address space, or than the memory that is left.
    #[error("a tensor of shape {shape:?} does not fit into memory")]
    TooLarge {
        /// The shape.
        shape: Vec<usize>,
    },
    /// An argument has another shape than the program was compiled for.
    #[error("`{argument}` has the shape {got:?}, but `{entry}` is compiled for {expected}")]
    Shape {
        /// The function.
        entry: String,
        /// The argument, or the field of one: `p.h.ln_1.bias`.
        argument: String,
        /// The shape, with the dims' names: `[V = 8192, D = 256]`.
        expected: String,
        /// The shape it has.
        got: Vec<usize>,
    },
    /// An argument has another element type.
    #[error("`{argument}` has elements of type {got}, but {expected} is expected")]
    DType {
        /// The argument.
        argument: String,
        /// The element type it must have.
        expected: String,
        /// The element type it has.
        got: String,
    },
    /// There is nothing of this name.
    #[error("there is no {what} `{name}`: there are {known}")]
    Unknown {
        /// What kind of thing.
        what: &'static str,
        /// The name.
        name: String,
        /// What there is.
        known: String,
    },
    /// The operands of an einsum do not fit each other, or its extents.
    #[error(transparent)]
    Operands(#[from] Mismatch),
    /// A file could not be read or written, or does not have what is expected of it.
    #[error(transparent)]
    File(#[from] FileError),
    /// A checkpoint does not have what a program takes.
    #[error(transparent)]
    Binding(#[from] BindingError),
    /// An artifact is damaged, or is of another version.
    #[error(transparent)]
    Artifact(#[from] ArtifactError),
    /// A program could not be loaded or run.
    #[error(transparent)]
    Run(#[from] RunError),
}

impl From<CallError> for Error {
    fn from(error: CallError) -> Error {
        match error {
            CallError::Mismatch(mismatch) => Error::Operands(mismatch),
            CallError::Cpu(error) => Error::Run(error),
        }
    }
}
