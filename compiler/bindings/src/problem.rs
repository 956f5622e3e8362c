//! What keeps bindings from being made.

use std::fmt;

/// Why there are no bindings.
#[derive(Clone, Debug)]
pub struct Problem {
    /// What it is about.
    pub place: Place,
    /// The message, with what helps; diagnostics of the source with their excerpts.
    pub message: String,
}

/// Which of the options a problem is about.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Place {
    /// The file.
    File,
    /// One of the definitions.
    Definition(usize),
    /// The plan.
    Plan,
    /// One of the entries.
    Entry(usize),
}

impl Problem {
    pub(crate) fn new(place: Place, message: impl Into<String>) -> Problem {
        Problem { place, message: message.into() }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Problem {}
