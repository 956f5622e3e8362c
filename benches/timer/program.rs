//! A compiled program with its inputs bound, ready to run.

use crate::request::{Build, Source};
use einmesh_artifact::{Artifact, DType};
use einmesh_driver::{Failure, Products, Request};
use einmesh_exec::tensors::{ElementType, SafeTensors, Tensor, bind, write_safetensors};
use einmesh_exec::{Module, Options, Session, cpu_runs};
use einmesh_models::generator::uniform;
use einmesh_syntax::einsum::Einsum;
use serde_json::{Value, json};
use std::path::Path;

/// What is timed.
pub enum Program {
    /// Its runs.
    Bound(Box<Session>),
    /// Its compilation, from source text to machine code.
    Source(Box<Build>),
}

impl Program {
    /// Compiles and binds. The answer says how long compiling took, and what memory a device needs.
    pub fn new(build: &Build) -> Result<(Program, Value), String> {
        if build.compile_only {
            return Ok((Program::Source(Box::new(build.clone())), json!({})));
        }
        let started = std::time::Instant::now();
        let products = compiled(build)?;
        let compile_ms = started.elapsed().as_secs_f64() * 1e3;
        let artifact = products.artifact.ok_or("there is no artifact")?;
        let manifest = &artifact.manifest;
        let answer = json!({
            "compile_ms": compile_ms,
            "peak_bytes": manifest.report.peak_bytes_per_device,
            "arena_bytes": manifest.arena_bytes,
            "workspace_bytes": workspace_bytes(&artifact),
            "kernels": manifest.kernels.len(),
            "input_bytes": manifest.inputs.iter()
                .map(|i| manifest.buffers[i.buffer as usize].bytes().unwrap_or(0)).sum::<u64>(),
        });
        let session = bound(build, &artifact)?;
        Ok((Program::Bound(Box::new(session)), answer))
    }

    /// Runs it once.
    pub fn run(&mut self) -> Result<(), String> {
        match self {
            Program::Bound(session) => session.run().map_err(|error| error.to_string()),
            Program::Source(build) => compiled(build).map(drop),
        }
    }

    /// Writes the results of the last run.
    pub fn write(&self, path: &Path) -> Result<(), String> {
        let Program::Bound(session) = self else {
            return Err("a compilation has no results to write".to_owned());
        };
        let outputs = session.manifest().outputs.iter().enumerate();
        let outputs = outputs.map(|(i, o)| Ok((o.path.clone(), session.output(i)?)));
        let outputs: Result<Vec<(String, Tensor)>, einmesh_exec::RunError> = outputs.collect();
        let outputs = outputs.map_err(|error| error.to_string())?;
        write_safetensors(path, &outputs).map_err(|error| error.to_string())
    }
}

/// The largest workspace of a kernel at the level that this machine runs.
fn workspace_bytes(artifact: &Artifact) -> u64 {
    let images = artifact.manifest.images.iter();
    let chosen = images.enumerate().find(|(_, image)| cpu_runs(&image.level));
    let Some((image, _)) = chosen else { return 0 };
    let phases = artifact.manifest.kernels.iter().flat_map(|kernel| &kernel.phases[image]);
    phases.map(|phase| phase.workspace_bytes).max().unwrap_or(0)
}

/// Compiles a program.
pub fn compiled(build: &Build) -> Result<Products, String> {
    let mut request = match &build.source {
        Source::File(path) => {
            Request::new(einmesh_driver::Source::File(path.clone()), &build.entry)
        }
        Source::Text(text) => Request::new(source_text(text.clone()), &build.entry),
        Source::Einsum { expression, shapes } => {
            let einsum = Einsum::parse(expression)?;
            let text = einsum.program(&einsum.extents(shapes)?, "f32");
            Request::new(source_text(text), "einsum")
        }
    };
    for (name, value) in &build.define {
        if !request.options.define(name, value) {
            return Err(format!("`-D {name}={value}`: that is no value"));
        }
    }
    if !build.mesh.is_empty() {
        request.options.overrides.mesh = Some(build.mesh.clone());
        request.options.overrides.shard = Some(build.shard.clone());
    }
    if build.native {
        let best = request.levels.iter().copied().find(|level| cpu_runs(level.name()));
        request.levels = best.map_or_else(Vec::new, einmesh_driver::Level::chain);
    }
    request.verify = false;
    let (session, result) = einmesh_driver::compile(&request);
    result.map_err(|failure| match failure {
        Failure::Diagnosed => {
            einmesh_diagnostics::render_all(&session.diagnostics, &session.sources, false)
        }
        Failure::Unreadable { path, why } => format!("cannot read `{path}`: {why}"),
        Failure::Bug(bug) => bug.to_string(),
    })
}

fn source_text(text: String) -> einmesh_driver::Source {
    einmesh_driver::Source::Text { name: "bench".to_owned(), text }
}

/// A session with every input bound.
fn bound(build: &Build, artifact: &Artifact) -> Result<Session, String> {
    let mut options = Options::default();
    if build.threads > 0 {
        options.threads = build.threads;
    }
    let told = |error: &dyn std::fmt::Display| error.to_string();
    let module = Module::load(artifact).map_err(|e| told(&e))?;
    let mut session = Session::new(module, options).map_err(|e| told(&e))?;
    if !build.seeds.is_empty() {
        for (i, (input, seed)) in artifact.manifest.inputs.iter().zip(&build.seeds).enumerate() {
            let tensor = generated(&input.shape(), input.dtype, *seed)?;
            session.bind(i, &tensor.value()).map_err(|e| told(&e))?;
        }
        return Ok(session);
    }
    let open = |path: &Path| SafeTensors::open(path).map_err(|e| told(&e));
    let params = build.params.as_deref().map(open).transpose()?;
    let inputs: Result<Vec<SafeTensors>, String> = build.inputs.iter().map(|p| open(p)).collect();
    let inputs = inputs?;
    let bindings = bind(&artifact.manifest, params.as_ref(), &inputs).map_err(|e| told(&e))?;
    for (i, value) in bindings.values.iter().enumerate() {
        session.bind(i, value).map_err(|e| told(&e))?;
    }
    Ok(session)
}

/// The reproducible numbers of a seed, in ±½.
fn generated(shape: &[u64], dtype: DType, seed: u32) -> Result<Tensor, String> {
    if !matches!(dtype, DType::F32 | DType::F64 | DType::Bf16 | DType::F16) {
        return Err("an input without a file must be of floats".to_owned());
    }
    let count = shape.iter().product::<u64>() as usize;
    let bytes = uniform(count, seed, 1.0).iter().flat_map(|x| x.to_le_bytes()).collect();
    Ok(Tensor { dtype: ElementType::of(DType::F32), shape: shape.to_vec(), bytes })
}
