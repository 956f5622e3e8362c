//! `einmesh fmt`

use super::{Stop, print};
use crate::terminal::Terminal;
use einmesh_diagnostics::{Diagnostics, SourceMap};
use std::io::Read;
use std::path::{Path, PathBuf};

/// Formats files in place, or, with `check`, lists those that are not formatted.
pub fn fmt(files: &[PathBuf], check: bool, terminal: &Terminal) -> Result<(), Stop> {
    let mut failed = false;
    for file in files {
        match one(file, check, terminal) {
            Ok(well) => failed |= !well,
            // The other files can be formatted all the same.
            Err(Stop::Failed(message)) => {
                terminal.error(&message);
                failed = true;
            }
            Err(stop) => return Err(stop),
        }
    }
    if failed { Err(Stop::Reported) } else { Ok(()) }
}

/// Formats a file; whether all is well.
fn one(file: &Path, check: bool, terminal: &Terminal) -> Result<bool, Stop> {
    let name = file.display().to_string();
    let stdin = name == "-";
    let text =
        read(file, stdin).map_err(|why| Stop::Failed(format!("cannot read `{name}`: {why}")))?;
    let formatted = match einmesh_syntax::format(&text) {
        Ok(formatted) => formatted,
        Err(found) => {
            let mut sources = SourceMap::new();
            sources.add(name, text);
            report(terminal, sources, found);
            return Ok(false);
        }
    };
    if check {
        if formatted != text {
            print(&format!("{name}\n"))?;
        }
        return Ok(formatted == text);
    }
    if stdin {
        print(&formatted)?;
    } else if formatted != text {
        let write = |w: &mut dyn std::io::Write| w.write_all(formatted.as_bytes());
        einmesh_artifact::write_atomically(file, write)
            .map_err(|why| Stop::Failed(format!("cannot write `{name}`: {why}")))?;
    }
    Ok(true)
}

fn read(file: &Path, stdin: bool) -> std::io::Result<String> {
    if !stdin {
        return std::fs::read_to_string(file);
    }
    let mut text = String::new();
    std::io::stdin().read_to_string(&mut text)?;
    Ok(text)
}

fn report(terminal: &Terminal, sources: SourceMap, found: Diagnostics) {
    let session = einmesh_driver::Session::of(sources, found);
    terminal.report(&session, Some(&einmesh_driver::Failure::Diagnosed));
}
