//! One run of the compiler: its sources, diagnostics, timings and dumps.

use crate::request::Request;
use crate::stage::Stage;
use einmesh_diagnostics::{Diagnostics, SourceMap};
use std::collections::BTreeMap;
use std::fmt;
use std::time::{Duration, Instant};

/// What a compilation leaves besides its products.
#[derive(Debug, Default)]
pub struct Session {
    /// The files read.
    pub sources: SourceMap,
    /// What there is to say about them.
    pub diagnostics: Diagnostics,
    /// How long each stage took, in order.
    pub timings: Vec<(Stage, Duration)>,
    /// The text of the stages that were asked for.
    pub dumps: BTreeMap<Stage, String>,
}

/// Why there are no products.
#[derive(Debug)]
pub enum Failure {
    /// The user's mistakes: see [`Session::diagnostics`].
    Diagnosed,
    /// A file could not be read.
    Unreadable {
        /// The file.
        path: String,
        /// Why.
        why: String,
    },
    /// A mistake of ours.
    Bug(CompilerBug),
}

/// A broken invariant of the compiler.
#[derive(Clone, Debug)]
pub struct CompilerBug {
    /// The stage that broke it.
    pub stage: Stage,
    /// What is wrong.
    pub findings: Vec<String>,
}

impl fmt::Display for CompilerBug {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "internal compiler error: stage `{}` broke an invariant", self.stage)?;
        for finding in &self.findings {
            writeln!(f, "  - {finding}")?;
        }
        write!(
            f,
            "this is a bug in Einmesh, not in your program; please report it with the command"
        )
    }
}

/// What the wrapper needs of a stage's output.
pub trait Inspect {
    /// Everything that is wrong with it; only bugs of the compiler.
    fn violations(&self) -> Vec<String> {
        Vec::new()
    }
    /// Its text, for `--emit`.
    fn dump(&self) -> String;
}

impl Session {
    /// A session that only has something to say.
    pub fn of(sources: SourceMap, diagnostics: Diagnostics) -> Session {
        Session { sources, diagnostics, ..Session::default() }
    }

    /// Runs a stage: times it, keeps its diagnostics, verifies and dumps its output.
    pub fn step<T: Inspect>(
        &mut self,
        request: &Request,
        stage: Stage,
        run: impl FnOnce(&mut Session) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let start = Instant::now();
        let result = run(self);
        self.timings.push((stage, start.elapsed()));
        let output = result?;
        if request.verify {
            let findings = output.violations();
            if !findings.is_empty() {
                return Err(Failure::Bug(CompilerBug { stage, findings }));
            }
        }
        if request.emit.contains(&stage) {
            self.dumps.insert(stage, output.dump());
        }
        if self.diagnostics.has_errors() { Err(Failure::Diagnosed) } else { Ok(output) }
    }
}
