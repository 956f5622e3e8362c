//! What can be wrong with an artifact.

use crate::manifest::FORMAT;
use std::fmt;
use std::path::PathBuf;

/// Why an artifact was refused. Every message says what is wrong and what to do about it.
#[derive(Debug, thiserror::Error)]
pub enum ArtifactError {
    /// The file could not be opened or read.
    #[error("cannot read {}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// The file is something else.
    #[error(
        "this is not an Einmesh artifact: it does not start with the magic bytes \
         `EINPKG`\nhelp: pass a file written by `einmesh build … -o OUT.einpkg`"
    )]
    NotAnArtifact,
    /// The container was written by another version.
    #[error(
        "the artifact was built by {producer}, format {found}; this runtime reads format {FORMAT}\n\
         help: rebuild it with `einmesh build`, or run it with the `einmesh-run` of the same release"
    )]
    Version {
        /// The compiler's name and version, as the file states it.
        producer: String,
        /// The file's format.
        found: u32,
    },
    /// The file ends too early, or has sizes that contradict each other.
    #[error(
        "the artifact is cut short or its section table is wrong: {0}\nhelp: copy it again or rebuild it"
    )]
    Layout(String),
    /// The bytes are not those that were written.
    #[error(
        "the artifact is damaged: its SHA-256 is {found}, but it was written with {expected}\n\
         help: copy it again or rebuild it"
    )]
    Hash {
        /// What the file says.
        expected: String,
        /// What its bytes give.
        found: String,
    },
    /// The manifest is not JSON of the expected form.
    #[error("the artifact's manifest cannot be read: {0}\nhelp: rebuild it with `einmesh build`")]
    Manifest(String),
    /// The manifest contradicts itself.
    #[error("the artifact is malformed and was refused:\n{}help: rebuild it with `einmesh build`; \
             if it is refused again, this is a bug of the compiler that wrote it", list(.0))]
    Invalid(Vec<Finding>),
}

/// One contradiction in a manifest.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Finding {
    /// The part of the manifest, as a path: `steps[3].loop.steps[0]`.
    pub place: String,
    /// What is wrong with it.
    pub problem: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.problem)
    }
}

/// One finding a line.
fn list(findings: &[Finding]) -> String {
    findings.iter().map(|f| format!("  {f}\n")).collect()
}
