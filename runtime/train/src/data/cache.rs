//! Encoded texts, kept from run to run.

use crate::error::TrainError;
use einmesh_artifact::write_atomically;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// The file of what has this digest; `write` fills it if it is not there yet. Two runs that fill it at the same
/// time write the same, and a run that dies leaves none.
pub fn find_or_write(
    directory: &Path,
    digest: &str,
    write: impl FnOnce(&mut dyn Write) -> Result<(), TrainError>,
) -> Result<PathBuf, TrainError> {
    let path = directory.join(format!("{digest}.tokens"));
    if path.exists() {
        return Ok(path);
    }
    fs::create_dir_all(directory).map_err(TrainError::io(directory))?;
    let mut refused = None;
    let written = write_atomically(&path, |out| {
        write(out).map_err(|error| {
            refused = Some(error);
            io::Error::other("the text was refused")
        })
    });
    match (refused, written) {
        (Some(error), _) => Err(error),
        (None, Err(error)) => Err(TrainError::io(&path)(error)),
        (None, Ok(())) => Ok(path),
    }
}
