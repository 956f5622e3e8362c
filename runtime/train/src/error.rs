//! What can go wrong around a step.

use einmesh_exec::RunError;
use einmesh_exec::tensors::{BindingError, FileError};
use std::io;
use std::path::{Path, PathBuf};

/// Why a training run cannot begin or go on.
#[derive(Debug, thiserror::Error)]
pub enum TrainError {
    /// A file or directory could not be read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file holds something else than it should.
    #[error("{}: {problem}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// What is wrong, and a way out.
        problem: String,
    },
    /// The texts, the entry and the options do not fit one another: what, and a way out.
    #[error("{0}")]
    Mismatch(String),
    /// A file of tensors was refused.
    #[error(transparent)]
    Tensors(#[from] FileError),
    /// A file's tensors are not the entry's.
    #[error(transparent)]
    Binding(#[from] BindingError),
    /// The step failed.
    #[error(transparent)]
    Run(#[from] RunError),
}

impl TrainError {
    /// An input or output error at a path.
    pub fn io(path: &Path) -> impl FnOnce(io::Error) -> TrainError + use<'_> {
        move |source| TrainError::Io { path: path.to_owned(), source }
    }

    /// A file's wrong content.
    pub fn file(path: &Path, problem: impl Into<String>) -> TrainError {
        TrainError::File { path: path.to_owned(), problem: problem.into() }
    }
}
