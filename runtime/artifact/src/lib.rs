//! The artifact: what the compiler writes and the runtime runs.
//!
//! An [`Artifact`] holds a [`Manifest`] (signature, buffers, steps, report) and one
//! [code image](CodeImage) per CPU level. It is plain data: this crate executes nothing. The
//! compiler's stages use its types for what they have decided; the runtime knows nothing else of the
//! compiler.
//!
//! Invariants:
//! * equal artifacts are equal bytes ([`Artifact::write`] knows no clock, path or hash map);
//! * what [`Artifact::read`] returns has passed [`validate`]: every index is in range, every size
//!   fits, every buffer lies in its memory, so that a reader may index without checking again;
//! * reading a file, however hostile, needs at most the file's size and 64 MB of memory, and never
//!   panics. The hash tells damage, not intent: whoever runs an artifact trusts its author.

mod container;
mod error;
mod files;
pub mod manifest;
mod mesh;
mod panels;
mod validate;

pub use container::{Artifact, hex, sha256_hex};
pub use error::{ArtifactError, Finding};
pub use files::write_atomically;
pub use manifest::*;
pub use panels::Placement;
pub use validate::{LEVELS, validate};
