//! What is printed, and in which colours.

use crate::args::Color;
use einmesh_driver::{Failure, Session};
use std::io::IsTerminal;

/// Where people read.
#[derive(Clone, Copy, Debug)]
pub struct Terminal {
    color: bool,
}

impl Color {
    /// What it means where colours are refused, and on a terminal.
    fn on(self, refused: bool, terminal: bool) -> bool {
        match self {
            Color::Always => true,
            Color::Never => false,
            Color::Auto => terminal && !refused,
        }
    }
}

impl Terminal {
    /// Colours on stderr as asked for; `auto` heeds `NO_COLOR`.
    pub fn new(color: Color) -> Terminal {
        let refused = std::env::var_os("NO_COLOR").is_some_and(|v| !v.is_empty());
        Terminal { color: color.on(refused, std::io::stderr().is_terminal()) }
    }

    /// An error without a place in a source file.
    pub fn error(&self, message: &str) {
        let (on, off) = if self.color { ("\x1b[1;31m", "\x1b[0m") } else { ("", "") };
        eprintln!("{on}error{off}: {message}");
    }

    /// A session's diagnostics, and why it failed, if it did.
    pub fn report(&self, session: &Session, failure: Option<&Failure>) {
        if !session.diagnostics.is_empty() {
            let (all, sources) = (&session.diagnostics, &session.sources);
            eprintln!("{}", einmesh_diagnostics::render_all(all, sources, self.color));
        }
        match failure {
            Some(Failure::Diagnosed) | None => {}
            Some(Failure::Unreadable { path, why }) => {
                self.error(&format!("cannot read `{path}`: {why}"));
            }
            Some(Failure::Bug(bug)) => {
                let command: Vec<String> = std::env::args().collect();
                eprintln!("{bug}\n  {}", command.join(" "));
            }
        }
    }
}
