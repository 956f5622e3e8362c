//! `einmesh check`

use super::Stop;
use crate::terminal::Terminal;
use std::path::PathBuf;

/// Checks every file; reports all mistakes of all of them.
pub fn check(files: &[PathBuf], terminal: &Terminal) -> Result<(), Stop> {
    let mut failed = false;
    for file in files {
        let (session, failure) = einmesh_driver::check(file);
        terminal.report(&session, failure.as_ref());
        failed |= failure.is_some();
    }
    if failed { Err(Stop::Reported) } else { Ok(()) }
}
