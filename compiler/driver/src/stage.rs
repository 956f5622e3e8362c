//! The stages and their names, the same in `--emit`, `--time-passes`, reports and test folders.

use std::fmt;

/// A stage of the compiler.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Stage {
    /// Source text to syntax trees.
    Parse,
    /// Syntax trees to a program.
    Lower,
    /// Algebra.
    Rewrite,
    /// Placements.
    Plan,
    /// Placements made real.
    Spmd,
    /// Kernels, order, memory.
    Schedule,
    /// Machine code.
    Codegen,
    /// The file.
    Artifact,
}

impl Stage {
    /// All stages, in order.
    pub const ALL: [Stage; 8] = [
        Stage::Parse,
        Stage::Lower,
        Stage::Rewrite,
        Stage::Plan,
        Stage::Spmd,
        Stage::Schedule,
        Stage::Codegen,
        Stage::Artifact,
    ];

    /// The name in options and reports.
    pub fn name(self) -> &'static str {
        match self {
            Stage::Parse => "parse",
            Stage::Lower => "lower",
            Stage::Rewrite => "rewrite",
            Stage::Plan => "plan",
            Stage::Spmd => "spmd",
            Stage::Schedule => "schedule",
            Stage::Codegen => "codegen",
            Stage::Artifact => "artifact",
        }
    }

    /// The stage of that name.
    pub fn from_name(name: &str) -> Option<Stage> {
        Stage::ALL.into_iter().find(|s| s.name() == name)
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
