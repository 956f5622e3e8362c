//! What a caller asks of the compiler.

use crate::stage::Stage;
use einmesh_codegen::{Level, Tuning};
use einmesh_lower::Options;
use std::collections::BTreeSet;
use std::path::PathBuf;

/// The program's text.
#[derive(Clone, Debug)]
pub enum Source {
    /// A file.
    File(PathBuf),
    /// A text without a file, and the name that diagnostics show.
    Text {
        /// The name.
        name: String,
        /// The text.
        text: String,
    },
}

/// One compilation.
#[derive(Clone, Debug)]
pub struct Request {
    /// The program.
    pub source: Source,
    /// The entry, the extents and the plan.
    pub options: Options,
    /// How far to go.
    pub goal: Goal,
    /// The CPU levels to generate code for.
    pub levels: Vec<Level>,
    /// The sizes that code is generated with.
    pub tuning: Tuning,
    /// The stages whose output is kept as text.
    pub emit: BTreeSet<Stage>,
    /// Whether every stage's output is verified. Always on in debug builds.
    pub verify: bool,
}

/// How far to go.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Goal {
    /// A partitioned program, for the interpreter.
    Interpret,
    /// A schedule: everything that is known without generating code.
    Plan,
    /// An artifact.
    Build,
}

impl Request {
    /// A build of an entry, for all CPU levels.
    pub fn new(source: Source, entry: &str) -> Request {
        Request {
            source,
            options: Options { entry: entry.to_owned(), ..Options::default() },
            goal: Goal::Build,
            levels: Level::ALL.to_vec(),
            tuning: Tuning::default(),
            emit: BTreeSet::new(),
            verify: cfg!(debug_assertions),
        }
    }
}
