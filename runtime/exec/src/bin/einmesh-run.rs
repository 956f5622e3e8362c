//! Runs artifacts. Contains no compiler.

use clap::Parser;
use einmesh_artifact::Artifact;
use einmesh_exec::command::{self, CommandError, RunOptions};
use std::io::IsTerminal;
use std::path::PathBuf;
use std::process::ExitCode;

/// Run a program that `einmesh build` has compiled.
///
/// The devices of the program's mesh are virtual: they share this process, its threads and its
/// memory. The artifact's hash is checked, but its code runs with your rights: run only what you
/// trust.
#[derive(Parser)]
#[command(name = "einmesh-run", version, max_term_width = 100, after_help = EXAMPLES)]
struct Arguments {
    /// The artifact
    #[arg(value_name = "OUT.einpkg")]
    artifact: PathBuf,
    /// The entry; an artifact has one, so this only checks that it is the one you mean
    #[arg(long, value_name = "E")]
    entry: Option<String>,
    #[command(flatten)]
    options: RunOptions,
}

const EXAMPLES: &str = "Examples:
  einmesh-run gpt2.einpkg --params model.safetensors --inputs batch.safetensors
  einmesh-run gpt2.einpkg --params model.safetensors --inputs batch.safetensors \\
      --outputs logits.safetensors --repeat 5
  einmesh-run mlp.einpkg --inputs x.safetensors --json | jq .run_ms

Environment: EINMESH_CPU=x86-64-v3|x86-64-v4|x86-64-v4-bf16|x86-64-v4-amx uses no code beyond that level.

Exit codes: 0 success, 1 the artifact, an input or the run is at fault, 2 wrong usage.";

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let colored = std::io::stderr().is_terminal()
                && std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty());
            let label = if colored { "\x1b[1;31merror\x1b[0m" } else { "error" };
            eprintln!("{label}: {error}");
            ExitCode::from(1)
        }
    }
}

fn run(arguments: &Arguments) -> Result<(), CommandError> {
    let artifact = Artifact::read_file(&arguments.artifact)?;
    command::check_entry(&artifact.manifest, arguments.entry.as_deref())?;
    let outcome = command::run(&artifact, &arguments.options)?;
    let options = &arguments.options;
    command::present(&artifact.manifest, &outcome, options, serde_json::Map::new())
}
