//! The run command, shared by `einmesh-run` and `einmesh run`: [`run`] does the work, [`present`]
//! tells the user.

pub mod profile;
mod table;

pub use table::table;

use crate::error::RunError;
use crate::module::Module;
use crate::session::{Options, Session, StepTime};
use crate::tensors::{
    self, BindingError, FileError, SafeTensors, Tensor, Value, write_safetensors,
};
use einmesh_artifact::{Artifact, ArtifactError, Manifest};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// What to run an artifact on.
#[derive(clap::Args, Clone, Debug, Default)]
pub struct RunOptions {
    /// A checkpoint for the entry's record argument; GPT-2 files of Hugging Face load as they are
    #[arg(long, value_name = "CKPT.safetensors")]
    pub params: Option<PathBuf>,
    /// Tensors for the other arguments, by their names; may be given several times
    #[arg(long, value_name = "IN.safetensors")]
    pub inputs: Vec<PathBuf>,
    /// Write the results here, by their names; without it a table is printed
    #[arg(long, value_name = "OUT.safetensors")]
    pub outputs: Option<PathBuf>,
    /// Threads that compute; the results do not depend on it [default: the CPUs]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=4096))]
    pub threads: Option<u32>,
    /// Run this many times, each on the same inputs, and time each
    #[arg(long, value_name = "R", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    pub repeat: u32,
    /// Give up when a run makes no progress for this long [default: 300]
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..))]
    pub timeout: Option<u64>,
    /// Show how long each kernel, copy and collective takes
    #[arg(long)]
    pub profile: bool,
    /// Print one JSON object: collectives, peak_bytes_per_device, run_ms, with --profile also profile
    #[arg(long)]
    pub json: bool,
}

/// What a run gave.
#[derive(Debug, Default)]
pub struct Outcome {
    /// The results by name.
    pub outputs: Vec<(String, Tensor)>,
    /// The milliseconds of each repetition.
    pub run_ms: Vec<f64>,
    /// The times by step, if they were asked for.
    pub profile: Option<Vec<StepTime>>,
    /// What the user should know.
    pub notes: Vec<String>,
    /// What it ran on, in a few words: `4 devices, 2 threads, x86-64-v4`.
    pub machine: String,
}

/// Why a run failed.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)]
pub enum CommandError {
    #[error(transparent)]
    Artifact(#[from] ArtifactError),
    #[error(transparent)]
    File(#[from] FileError),
    #[error(transparent)]
    Binding(#[from] BindingError),
    #[error(transparent)]
    Run(#[from] RunError),
    #[error(
        "the artifact's entry is `{has}`, not `{asked}`\nhelp: leave `--entry` out, or build `{asked}`"
    )]
    Entry { asked: String, has: String },
    #[error("cannot write {}: {source}", path.display())]
    Write { path: PathBuf, source: io::Error },
}

/// Refuses an artifact of another entry than the one asked for.
pub fn check_entry(manifest: &Manifest, entry: Option<&str>) -> Result<(), CommandError> {
    match entry {
        Some(asked) if asked != manifest.entry => {
            Err(CommandError::Entry { asked: asked.to_owned(), has: manifest.entry.clone() })
        }
        _ => Ok(()),
    }
}

/// Loads the inputs, runs the artifact, collects the results.
pub fn run(artifact: &Artifact, options: &RunOptions) -> Result<Outcome, CommandError> {
    let params = options.params.as_deref().map(SafeTensors::open).transpose()?;
    let inputs = options.inputs.iter().map(|path| SafeTensors::open(path));
    let inputs: Vec<SafeTensors> = inputs.collect::<Result<_, FileError>>()?;
    let bindings = tensors::bind(&artifact.manifest, params.as_ref(), &inputs)?;

    let mut settings = Options { profile: options.profile, ..Options::default() };
    if let Some(seconds) = options.timeout {
        settings.watchdog = Duration::from_secs(seconds);
    }
    if let Some(threads) = options.threads {
        settings.threads = threads as usize;
    }
    let module = Module::load(artifact)?;
    let level = module.level().to_owned();
    let mut session = Session::new(module, settings)?;
    let numbered: Vec<(usize, &Value)> = bindings.values.iter().enumerate().collect();
    session.bind_all(&numbered)?;
    let new_values = artifact.manifest.new_values();
    let mut run_ms: Vec<f64> = Vec::new();
    for repetition in 0..options.repeat {
        // A run has updated the `inout` inputs; every repetition starts from the same ones.
        let updated = new_values.iter().zip(&bindings.values).enumerate();
        for (input, (new_value, value)) in updated {
            if repetition > 0 && new_value.is_some() {
                session.bind(input, value)?;
            }
        }
        let start = Instant::now();
        session.run()?;
        run_ms.push(start.elapsed().as_secs_f64() * 1e3);
    }
    let names = artifact.manifest.outputs.iter().map(|o| o.path.clone());
    let outputs = names.enumerate().map(|(i, name)| Ok((name, session.output(i)?)));
    let plural = |n: u64, what: &str| format!("{n} {what}{}", if n == 1 { "" } else { "s" });
    Ok(Outcome {
        outputs: outputs.collect::<Result<_, RunError>>()?,
        run_ms,
        profile: options.profile.then(|| session.profile()),
        notes: bindings.notes,
        machine: format!(
            "{}, {}, {level}",
            plural(artifact.manifest.devices(), "device"),
            plural(settings.threads as u64, "thread")
        ),
    })
}

/// Writes the results to the file asked for, or prints them: data on stdout, the rest on stderr.
/// `extra` is what the caller adds to the JSON object.
pub fn present(
    manifest: &Manifest,
    outcome: &Outcome,
    options: &RunOptions,
    extra: serde_json::Map<String, serde_json::Value>,
) -> Result<(), CommandError> {
    for note in &outcome.notes {
        eprintln!("note: {note}");
    }
    if let Some(path) = &options.outputs {
        write_outputs(path, &outcome.outputs)?;
    }
    if !options.json {
        eprintln!("{}", summary(manifest, outcome));
        if let Some(profile) = &outcome.profile {
            eprint!("{}", profile::table(profile, outcome.run_ms.len()));
        }
        if let Some(path) = &options.outputs {
            let names: Vec<&str> = outcome.outputs.iter().map(|(n, _)| n.as_str()).collect();
            eprintln!("wrote {} to {}", names.join(", "), path.display());
        }
    }
    let text = match (options.json, &options.outputs) {
        (true, _) => format!("{}\n", json(manifest, outcome, extra)),
        (false, None) => table(&outcome.outputs),
        (false, Some(_)) => String::new(),
    };
    let mut stdout = io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        // Whoever reads has seen enough: `… | head`.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        result => result.map_err(|source| CommandError::Write {
            path: PathBuf::from("the standard output"),
            source,
        }),
    }
}

fn write_outputs(path: &Path, outputs: &[(String, Tensor)]) -> Result<(), CommandError> {
    write_safetensors(path, outputs)
        .map_err(|source| CommandError::Write { path: path.to_owned(), source })
}

/// The object that `--json` prints.
pub fn json(
    manifest: &Manifest,
    outcome: &Outcome,
    extra: serde_json::Map<String, serde_json::Value>,
) -> serde_json::Value {
    let mut object = extra;
    object.insert("entry".to_owned(), manifest.entry.clone().into());
    object.insert("collectives".to_owned(), serde_json::json!(manifest.report.collectives));
    object.insert("peak_bytes_per_device".to_owned(), manifest.report.peak_bytes_per_device.into());
    object.insert("run_ms".to_owned(), outcome.run_ms.clone().into());
    if let Some(profile) = &outcome.profile {
        object.insert("profile".to_owned(), profile::json(profile, outcome.run_ms.len()));
    }
    object.into()
}

/// One line for people.
fn summary(manifest: &Manifest, outcome: &Outcome) -> String {
    let best = outcome.run_ms.iter().copied().fold(f64::INFINITY, f64::min);
    let time = match outcome.run_ms.len() {
        1 => format!("{best:.2} ms"),
        n => format!("{n} runs, the fastest {best:.2} ms"),
    };
    let memory = bytes(manifest.report.peak_bytes_per_device);
    format!("{}: {time} on {}; {memory} per device", manifest.entry, outcome.machine)
}

/// A number of bytes with a unit.
pub fn bytes(n: u64) -> String {
    let units = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];
    let mut value = n as f64;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < units.len() {
        value /= 1024.0;
        unit += 1;
    }
    if unit == 0 { format!("{n} B") } else { format!("{value:.1} {}", units[unit]) }
}
