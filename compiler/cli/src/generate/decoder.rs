//! A model that decodes: two compiled entries on the same parameters and the same cache.

use einmesh_artifact::{Artifact, DType, Manifest};
use einmesh_exec::tensors::{self, ElementType, SafeTensors, Value};
use einmesh_exec::{Module, Options, Session};
use std::path::Path;

/// The entry that reads a prompt.
pub const PREFILL: &str = "prefill";
/// The entry that reads one more token.
pub const STEP: &str = "decode_step";
/// What a model must export to generate.
pub const CONTRACT: &str = "a model that generates exports\n  \
     prefill(p, inout cache, tokens: i32[B,T], len: i32[B]) -> (logits: f32[B,V])\n  \
     decode_step(p, inout cache, tok: i32[B], pos: i32[B]) -> (logits: f32[B,V])";

/// A model with its parameters and a cache of what it has read.
pub struct Decoder {
    /// Reads the prompt; gone with its memory after that.
    prefill: Option<Session>,
    step: Session,
    /// The next position.
    position: usize,
}

impl Decoder {
    /// Loads both entries and the parameters; notes are what the user should know.
    pub fn new(
        prefill: &Artifact,
        step: &Artifact,
        params: &SafeTensors,
        options: Options,
    ) -> Result<(Decoder, Vec<String>), String> {
        let said = |e: &dyn std::fmt::Display| e.to_string();
        check(&prefill.manifest, &["tokens", "len"])?;
        check(&step.manifest, &["tok", "pos"])?;
        let module = |artifact| Module::load(artifact).map_err(|e| said(&e));
        let mut first = Session::new(module(prefill)?, options).map_err(|e| said(&e))?;
        let notes = bind_parameters(&mut first, params)?;
        for cache in caches(first.manifest()) {
            first.clear(cache).map_err(|e| said(&e))?;
        }
        let mut second = first.beside(module(step)?).map_err(|e| said(&e))?;
        // Their placement can differ from entry to entry, and then so does their memory.
        bind_parameters(&mut second, params)?;
        for cache in caches(second.manifest()) {
            if !second.is_bound(cache) {
                let path = &second.manifest().inputs[cache].path;
                return Err(format!(
                    "`{path}` is not the same in `{PREFILL}` and in `{STEP}`, in type, extents or placement\n\
                     help: give `--shard`, which is for both"
                ));
            }
        }
        Ok((Decoder { prefill: Some(first), step: second, position: 0 }, notes))
    }

    /// Reads the prompt, whose length the entry was compiled for; the logits of what follows.
    pub fn read(&mut self, tokens: &[u32]) -> Result<Vec<f32>, String> {
        let Some(mut session) = self.prefill.take() else {
            return Err("the prompt was read already".to_owned());
        };
        set(&mut session, "tokens", tokens)?;
        set(&mut session, "len", &[tokens.len() as u32])?;
        session.run().map_err(|e| e.to_string())?;
        self.position = tokens.len();
        logits(&session)
    }

    /// Reads one more token; the logits of what follows.
    pub fn next(&mut self, token: u32) -> Result<Vec<f32>, String> {
        set(&mut self.step, "tok", &[token])?;
        set(&mut self.step, "pos", &[self.position as u32])?;
        self.step.run().map_err(|e| e.to_string())?;
        self.position += 1;
        logits(&self.step)
    }
}

/// Whether an entry is as [`CONTRACT`] says.
fn check(manifest: &Manifest, inputs: &[&str]) -> Result<(), String> {
    let entry = &manifest.entry;
    for path in inputs {
        let found = manifest.inputs.iter().find(|i| i.path == *path);
        if found.is_none_or(|i| i.dtype != DType::I32) {
            return Err(format!("`{entry}` has no argument `{path}` of i32\nhelp: {CONTRACT}"));
        }
    }
    if caches(manifest).is_empty() {
        return Err(format!("`{entry}` has no `inout` argument\nhelp: {CONTRACT}"));
    }
    let logits = manifest.outputs.iter().find(|o| o.path == "logits");
    if logits.is_none_or(|o| o.dtype != DType::F32) {
        return Err(format!("`{entry}` has no result `logits` of f32\nhelp: {CONTRACT}"));
    }
    Ok(())
}

/// The inputs that a run updates.
fn caches(manifest: &Manifest) -> Vec<usize> {
    let updated = manifest.new_values();
    (0..manifest.inputs.len()).filter(|i| updated[*i].is_some()).collect()
}

/// Binds the leaves of records that are not updated and have no value yet.
fn bind_parameters(session: &mut Session, params: &SafeTensors) -> Result<Vec<String>, String> {
    let updated = session.manifest().new_values();
    let inputs = session.manifest().inputs.iter().enumerate();
    let wanted = inputs.filter(|(i, input)| {
        input.path.contains('.') && updated[*i].is_none() && !session.is_bound(*i)
    });
    let (numbers, leaves): (Vec<usize>, Vec<_>) = wanted.map(|(i, t)| (i, t.clone())).unzip();
    if leaves.is_empty() {
        return Ok(Vec::new());
    }
    let some = Manifest { inputs: leaves, ..Manifest::default() };
    let bindings = tensors::bind(&some, Some(params), &[]).map_err(|e| e.to_string())?;
    let values: Vec<(usize, &Value)> = numbers.into_iter().zip(&bindings.values).collect();
    session.bind_all(&values).map_err(|e| e.to_string())?;
    Ok(bindings.notes)
}

fn set(session: &mut Session, path: &str, numbers: &[u32]) -> Result<(), String> {
    let bytes: Vec<u8> = numbers.iter().flat_map(|n| n.to_le_bytes()).collect();
    let found = session.manifest().inputs.iter().position(|i| i.path == path);
    let input = found.ok_or_else(|| format!("there is no argument `{path}`"))?;
    let value = Value { dtype: ElementType::I32, pieces: vec![&bytes] };
    session.bind(input, &value).map_err(|e| e.to_string())
}

fn logits(session: &Session) -> Result<Vec<f32>, String> {
    let outputs = &session.manifest().outputs;
    let found = outputs.iter().position(|o| o.path == "logits");
    let output = found.ok_or("there is no result `logits`")?;
    let bytes = session.output(output).map_err(|e| e.to_string())?.bytes;
    Ok(bytes.as_chunks::<4>().0.iter().map(|b| f32::from_le_bytes(*b)).collect())
}

/// The tokens that an entry's logits are of.
pub fn vocabulary(artifact: &Artifact) -> u64 {
    let logits = artifact.manifest.outputs.iter().find(|o| o.path == "logits");
    logits.and_then(|o| o.dims.last()).map_or(0, |dim| dim.global)
}

/// The file beside a model's that decodes with it: `gpt2_decode.ein` for `gpt2.ein`.
pub fn sibling(model: &Path) -> std::path::PathBuf {
    let stem = model.file_stem().unwrap_or_default().to_string_lossy();
    model.with_file_name(format!("{stem}_decode.ein"))
}
