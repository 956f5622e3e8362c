//! What goes wrong in here is never the user's fault.

use std::fmt;

/// A broken invariant of the compiler.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CompilerBug {
    /// What is wrong.
    pub message: String,
    /// What was being done, innermost first: the kernel, the level, the module's text.
    pub notes: Vec<String>,
}

impl CompilerBug {
    /// A bug with nothing known around it.
    pub fn new(message: impl Into<String>) -> CompilerBug {
        CompilerBug { message: message.into(), notes: Vec::new() }
    }

    /// Adds what was being done.
    pub fn note(mut self, note: impl Into<String>) -> CompilerBug {
        self.notes.push(note.into());
        self
    }
}

impl fmt::Display for CompilerBug {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "code generation: {}", self.message)?;
        for note in &self.notes {
            write!(f, "\n{note}")?;
        }
        Ok(())
    }
}

impl std::error::Error for CompilerBug {}
