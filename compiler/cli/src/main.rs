//! The `einmesh` command: check, format, explain, plan, build and run einsum programs, train them, and
//! generate text.
//!
//! Data goes to stdout, diagnostics to stderr. Exit codes: 0 for success, 1 for diagnostics or a failed
//! run, 2 for a wrong command line.

mod args;
mod commands;
mod generate;
mod interpreted;
mod overrides;
mod terminal;
mod train;

use clap::Parser;
use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments = match train::config::expand(std::env::args().collect()) {
        Ok(arguments) => arguments,
        Err(message) => {
            terminal::Terminal::new(args::Color::Auto).error(&message);
            return ExitCode::from(2);
        }
    };
    let args = args::Args::parse_from(arguments);
    let terminal = terminal::Terminal::new(args.color);
    match commands::execute(&args.command, &terminal) {
        Ok(()) => ExitCode::SUCCESS,
        Err(commands::Stop::Reported) => ExitCode::from(1),
        Err(commands::Stop::Failed(message)) => {
            terminal.error(&message);
            ExitCode::from(1)
        }
        Err(commands::Stop::Usage(message)) => {
            terminal.error(&message);
            ExitCode::from(2)
        }
    }
}
