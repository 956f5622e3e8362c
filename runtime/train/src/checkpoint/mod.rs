//! Checkpoints: everything a run needs to go on.
//!
//! A run's directory holds one directory per checkpoint, `step-00000100`, in which are
//!
//! * `model.safetensors`: the parameters under the names that models have in checkpoints, one tensor a layer;
//! * `average.safetensors`, if the state has a field `ema`: the average of the parameters, under the same names;
//! * `state.safetensors`: the rest of the state under its paths, `s.m.wte`;
//! * `manifest.json`: the step, the position in the data, and the other files' sizes and hashes ([`Saved`]).
//!
//! A checkpoint is written into a directory with a name of its own: files first, each synced to the disk, the
//! manifest last; that directory is synced, renamed, and the run's directory synced. So a
//! `step-…` directory is whole, at whatever moment the process or the machine stops. Should a disk have lost bytes
//! later, the hashes tell, and the checkpoint before it is taken. The newest two are kept.

mod directory;
mod load;
mod save;

pub use directory::Directory;
pub use load::Loaded;
pub use save::save;

use crate::data::Position;
use serde::{Deserialize, Serialize};

/// The version of the format that is read and written.
pub const FORMAT: u32 = 1;
/// How many checkpoints a run keeps.
pub const KEPT: usize = 2;

/// The name of the file with the parameters.
pub const MODEL: &str = "model.safetensors";
/// The name of the file with the average of the parameters.
pub const AVERAGE: &str = "average.safetensors";
/// The name of the file with the rest of the state.
pub const STATE: &str = "state.safetensors";
/// The name of the file that says what the others are.
pub const MANIFEST: &str = "manifest.json";

/// What a run has come to: the content of `manifest.json`.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Saved {
    /// [`FORMAT`].
    pub format: u32,
    /// Steps done.
    pub step: u64,
    /// The seed of the data's order and of random numbers.
    pub seed: u64,
    /// Where the data goes on.
    pub position: Position,
    /// The sources, each with the hash of its tokens; none if every step had the same batch.
    pub sources: Vec<SavedSource>,
    /// Tokens of a row.
    pub length: u64,
    /// Rows taken by each step.
    pub rows: u64,
    /// The proportions of the sources, if they were given.
    pub mix: Option<Vec<f64>>,
    /// The part of each source that is kept for validation.
    pub validation: f64,
    /// The files beside this one.
    pub files: Vec<SavedFile>,
}

/// A source of a run.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SavedSource {
    /// Its path as it was given.
    pub name: String,
    /// The hash of its text and encoding.
    pub digest: String,
}

/// A file of a checkpoint.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SavedFile {
    /// Its name.
    pub name: String,
    /// Its size.
    pub bytes: u64,
    /// The SHA-256 of its bytes, in hexadecimal.
    pub sha256: String,
}
