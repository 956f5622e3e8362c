//! Reading checkpoints.

use super::directory::check_format;
use super::{AVERAGE, MANIFEST, MODEL, STATE, Saved};
use crate::error::TrainError;
use crate::state::{Kind, Leaf, Roles};
use einmesh_artifact::{Manifest, hex};
use einmesh_exec::Session;
use einmesh_exec::tensors::{self, SafeTensors, Value};
use sha2::{Digest, Sha256};
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;

/// How much of a checkpoint is bound at the same time.
const PART: usize = 256 << 20;

/// A checkpoint whose files are all there, with the bytes they had when they were written.
pub struct Loaded {
    /// What the run had come to.
    pub saved: Saved,
    model: SafeTensors,
    /// Those written before there was a file of its own have the average in the state.
    average: Option<SafeTensors>,
    state: SafeTensors,
}

impl Loaded {
    /// Opens the directory of one checkpoint.
    pub fn open(path: &Path) -> Result<Loaded, TrainError> {
        let manifest = path.join(MANIFEST);
        let text = fs::read_to_string(&manifest).map_err(TrainError::io(&manifest))?;
        let saved: Saved = serde_json::from_str(&text)
            .map_err(|why| TrainError::file(&manifest, format!("it is damaged: {why}")))?;
        check_format(path, saved.format)?;
        for file in &saved.files {
            let path = path.join(&file.name);
            let (bytes, sha256) = hash(&path).map_err(TrainError::io(&path))?;
            if (bytes, &sha256) != (file.bytes, &file.sha256) {
                return Err(TrainError::file(
                    &path,
                    format!(
                        "it is damaged: {bytes} bytes with hash {sha256}, written were {} with {}",
                        file.bytes, file.sha256
                    ),
                ));
            }
        }
        let open = |name: &str| SafeTensors::open(&path.join(name));
        let average = saved.files.iter().any(|file| file.name == AVERAGE);
        let average = average.then(|| open(AVERAGE)).transpose()?;
        Ok(Loaded { average, model: open(MODEL)?, state: open(STATE)?, saved })
    }

    /// Gives a session the state. The mesh and the placement may be others than those that saved it.
    pub fn bind(&self, session: &mut Session, roles: &Roles) -> Result<Vec<String>, TrainError> {
        let own_file = |kind: Kind| kind == Kind::Average && self.average.is_some();
        let (average, others): (Vec<&Leaf>, Vec<&Leaf>) =
            roles.state.iter().partition(|leaf| own_file(leaf.kind));
        let mut notes = Vec::new();
        for (named, leaves) in [(Some(&self.model), others), (self.average.as_ref(), average)] {
            let inputs = leaves.iter().map(|leaf| {
                let mut input = session.manifest().inputs[leaf.input].clone();
                if leaf.kind == Kind::Model || own_file(leaf.kind) {
                    input.tensor = leaf.tensor.clone().unwrap_or(input.tensor);
                }
                input
            });
            let some = Manifest { inputs: inputs.collect(), ..Manifest::default() };
            let files = std::slice::from_ref(&self.state);
            let bindings = tensors::bind(&some, named, files)?;
            let inputs = leaves.iter().map(|leaf| leaf.input);
            let values: Vec<(usize, &Value)> = inputs.zip(&bindings.values).collect();
            for some in parts(&values) {
                session.bind_all(some)?;
                // What has been copied need not be in memory twice.
                named.into_iter().for_each(SafeTensors::release);
                self.state.release();
            }
            notes.extend(bindings.notes);
        }
        Ok(notes)
    }
}

/// Cuts values into parts of about [`PART`] bytes, one value at least.
fn parts<'a, 'v>(
    values: &'a [(usize, &'v Value<'v>)],
) -> impl Iterator<Item = &'a [(usize, &'v Value<'v>)]> {
    let mut bytes = 0;
    values.chunk_by(move |(_, value), _| {
        bytes += value.pieces.iter().map(|piece| piece.len()).sum::<usize>();
        let together = bytes < PART;
        if !together {
            bytes = 0;
        }
        together
    })
}

fn hash(path: &Path) -> io::Result<(u64, String)> {
    let mut file = File::open(path)?;
    let (mut hash, mut bytes) = (Sha256::new(), 0);
    let mut buffer = vec![0; 1 << 20];
    loop {
        match file.read(&mut buffer)? {
            0 => break,
            n => {
                hash.update(&buffer[..n]);
                bytes += n as u64;
            }
        }
    }
    Ok((bytes, hex(&hash.finalize())))
}
