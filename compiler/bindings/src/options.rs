//! What is to be compiled.

use einmesh_driver::{Level, Tuning};
use std::path::PathBuf;

/// A file with what is decided for it, each thing as the command line takes it.
#[derive(Clone, Debug)]
pub struct Options {
    /// The `.ein` file.
    pub file: PathBuf,
    /// `B = 4`, `W = bf16`, `eps = 1e-6`.
    pub definitions: Vec<(String, String)>,
    /// Mesh axes and their extents, major to minor, in place of the plans'.
    pub mesh: Option<Vec<(String, u64)>>,
    /// Mesh axes and the dims that each splits, in place of the plans'.
    pub shard: Option<Vec<(String, Vec<String>)>>,
    /// The plan by which all entries are placed.
    pub plan: Option<String>,
    /// The entries; all exported functions if there are none.
    pub entries: Vec<String>,
    /// The CPU levels to generate code for.
    pub levels: Vec<Level>,
    /// The sizes that code is generated with.
    pub tuning: Tuning,
}

impl Options {
    /// All entries of a file as it is, for all CPU levels.
    pub fn new(file: impl Into<PathBuf>) -> Options {
        Options {
            file: file.into(),
            definitions: Vec::new(),
            mesh: None,
            shard: None,
            plan: None,
            entries: Vec::new(),
            levels: Level::ALL.to_vec(),
            tuning: Tuning::default(),
        }
    }
}
