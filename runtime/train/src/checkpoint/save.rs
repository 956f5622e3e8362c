//! Writing checkpoints.

use super::{AVERAGE, Directory, MANIFEST, MODEL, STATE, Saved, SavedFile};
use crate::error::TrainError;
use crate::state::{Kind, Leaf, Roles};
use einmesh_artifact::{hex, write_atomically};
use einmesh_exec::Session;
use einmesh_exec::tensors::{ElementType, Header, Tensor};
use sha2::{Digest, Sha256};
use std::io::{self, Write};
use std::path::Path;

/// Saves a session's state, as its last run left it, and what the run has come to.
pub fn save(
    directory: &Directory,
    session: &Session,
    roles: &Roles,
    saved: &Saved,
) -> Result<(), TrainError> {
    let unfinished = directory.unfinished(saved.step)?;
    let mut files = Vec::new();
    for (name, kind) in [(MODEL, Kind::Model), (AVERAGE, Kind::Average), (STATE, Kind::Other)] {
        let leaves: Vec<&Leaf> = roles.state.iter().filter(|leaf| leaf.kind == kind).collect();
        if kind != Kind::Average || !leaves.is_empty() {
            files.push(write_tensors(&unfinished.join(name), name, session, &leaves)?);
        }
    }
    let saved = Saved { files, ..saved.clone() };
    let manifest = unfinished.join(MANIFEST);
    let text = serde_json::to_string_pretty(&saved).expect("a manifest is plain data");
    write_atomically(&manifest, |file| writeln!(file, "{text}"))
        .map_err(TrainError::io(&manifest))?;
    directory.publish(&unfinished, saved.step)
}

/// One tensor of a file, and which part of which leaf it is.
struct Part<'a> {
    leaf: &'a Leaf,
    /// Its number among the leaf's stacked tensors.
    number: usize,
    /// How many these are.
    of: usize,
}

/// Writes leaves to a file, one whole leaf in memory at a time.
fn write_tensors(
    path: &Path,
    name: &str,
    session: &Session,
    leaves: &[&Leaf],
) -> Result<SavedFile, TrainError> {
    let mut header = Header::default();
    let mut parts: Vec<Part> = Vec::new();
    for leaf in leaves {
        let output = &session.manifest().outputs[leaf.output];
        let dtype = ElementType::of(output.dtype);
        match &leaf.tensor {
            None => {
                header.push(output.path.clone(), dtype, output.whole_shape());
                parts.push(Part { leaf, number: 0, of: 1 });
            }
            Some(tensor) => {
                let names = output.stacked_names(tensor);
                let of = names.len();
                for (number, name) in names.into_iter().enumerate() {
                    header.push(name, dtype, output.checkpoint_shape());
                    parts.push(Part { leaf, number, of });
                }
            }
        }
    }
    let mut hashed = (Sha256::new(), 0_u64);
    let mut refused = None;
    let written = write_atomically(path, |file| {
        let mut file = Hashing { file, hashed: &mut hashed };
        let mut held: Option<(usize, Tensor)> = None;
        header.write(&mut file, |i, file| {
            let Part { leaf, number, of } = parts[i];
            if held.as_ref().is_none_or(|(output, _)| *output != leaf.output) {
                match session.output(leaf.output) {
                    Ok(tensor) => held = Some((leaf.output, tensor)),
                    Err(error) => {
                        refused = Some(error);
                        return Err(io::Error::other("the state cannot be read"));
                    }
                }
            }
            let (_, tensor) = held.as_ref().expect("it was read above");
            let size = tensor.bytes.len() / of;
            file.write_all(&tensor.bytes[number * size..(number + 1) * size])
        })
    });
    if let Some(error) = refused {
        return Err(error.into());
    }
    written.map_err(TrainError::io(path))?;
    let (hash, bytes) = hashed;
    Ok(SavedFile { name: name.to_owned(), bytes, sha256: hex(&hash.finalize()) })
}

/// Hashes and counts what goes through it.
struct Hashing<'a> {
    file: &'a mut dyn Write,
    hashed: &'a mut (Sha256, u64),
}

impl Write for Hashing<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.hashed.0.update(&bytes[..written]);
        self.hashed.1 += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}
