//! Einmesh's side of `make bench`: compiles a program, binds its inputs, and times runs inside of this
//! process, so that neither the start of a process nor files are in any number.
//!
//! One JSON object per line of stdin asks for something; one per line of stdout answers, with `error` if
//! it could not be done. `compare/workers.py` is the other end, `compare/peer.py` the same for the others.

mod clock;
mod program;
mod request;

use program::Program;
use request::Request;
use serde_json::{Value, json};
use std::io::Write;

fn main() {
    let mut program: Option<Program> = None;
    for line in std::io::stdin().lines() {
        let Ok(line) = line else { return };
        let answer = match answer(&mut program, &line) {
            Ok(answer) => answer,
            Err(why) => json!({ "error": why }),
        };
        let mut stdout = std::io::stdout().lock();
        if writeln!(stdout, "{answer}").and_then(|()| stdout.flush()).is_err() {
            return;
        }
    }
}

fn answer(program: &mut Option<Program>, line: &str) -> Result<Value, String> {
    let request: Request = serde_json::from_str(line).map_err(|why| why.to_string())?;
    match request {
        Request::Prepare(build) => {
            *program = None;
            let (prepared, answer) = Program::new(&build)?;
            *program = Some(prepared);
            Ok(answer)
        }
        Request::Time { budget_s } => {
            let program = program.as_mut().ok_or("nothing has been prepared")?;
            clock::time(budget_s, || program.run())
        }
        Request::Write { path } => {
            let program = program.as_ref().ok_or("nothing has been prepared")?;
            program.write(&path).map(|()| json!({}))
        }
        Request::Bandwidth { threads, bytes, budget_s } => {
            clock::read_bandwidth(threads, bytes, budget_s)
        }
    }
}
