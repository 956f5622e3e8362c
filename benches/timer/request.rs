//! What may be asked.

use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::PathBuf;

/// A line of stdin.
#[derive(Deserialize)]
#[serde(tag = "op", rename_all = "snake_case")]
pub enum Request {
    /// Compile a program and bind its inputs.
    Prepare(Box<Build>),
    /// Run it again and again.
    Time {
        /// For so long.
        budget_s: f64,
    },
    /// Write the results of the last run.
    Write {
        /// To this safetensors file.
        path: PathBuf,
    },
    /// Read memory again and again.
    Bandwidth {
        /// With so many threads.
        threads: usize,
        /// So much of it.
        bytes: usize,
        /// For so long.
        budget_s: f64,
    },
}

/// A program, how it is compiled, and its inputs.
#[derive(Clone, Deserialize)]
pub struct Build {
    /// Its source.
    #[serde(flatten)]
    pub source: Source,
    /// The entry.
    #[serde(default)]
    pub entry: String,
    /// `-D NAME=VALUE`.
    #[serde(default)]
    pub define: BTreeMap<String, String>,
    /// `--mesh AXIS=N`.
    #[serde(default)]
    pub mesh: Vec<(String, u64)>,
    /// `--shard AXIS=DIM+DIM`.
    #[serde(default)]
    pub shard: Vec<(String, Vec<String>)>,
    /// `--params`.
    #[serde(default)]
    pub params: Option<PathBuf>,
    /// `--inputs`.
    #[serde(default)]
    pub inputs: Vec<PathBuf>,
    /// Inputs by position instead of files: the reproducible uniform numbers in ±½ of these seeds.
    #[serde(default)]
    pub seeds: Vec<u32>,
    /// Threads that compute.
    #[serde(default)]
    pub threads: usize,
    /// Whether code is for the CPU level of this machine only, as a just-in-time compiler's is.
    #[serde(default)]
    pub native: bool,
    /// Whether compiling is what is timed.
    #[serde(default)]
    pub compile_only: bool,
}

/// Where the program comes from.
#[derive(Clone, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// A file.
    File(PathBuf),
    /// Its text.
    Text(String),
    /// An einsum of f32 arrays of these shapes.
    Einsum {
        /// The einsum.
        expression: String,
        /// The operands' shapes.
        shapes: Vec<Vec<u64>>,
    },
}
