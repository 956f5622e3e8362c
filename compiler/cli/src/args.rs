//! The command line.

use crate::overrides::{Definition, FsdpList, MeshList, Precision, ShardList};
use crate::train::options::Train;
use clap::{Args as ClapArgs, Parser, Subcommand, ValueEnum};
use einmesh_driver::Stage;
use std::path::PathBuf;

/// Write the array program once, decorate it, let the compiler distribute it.
#[derive(Parser, Debug)]
#[command(name = "einmesh", version, max_term_width = 100, subcommand_required = true)]
#[command(
    after_help = "Start with: einmesh plan models/gpt2.ein --entry forward -D B=4 -D T=128 --mesh data=2,tensor=2"
)]
pub struct Args {
    /// When to use colours.
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto")]
    pub color: Color,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// When to use colours.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum Color {
    /// On a terminal, unless NO_COLOR is set.
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// The subcommands.
#[derive(Subcommand, Debug)]
pub enum Command {
    /// Check programs: names, dims, types, the Einstein rule.
    Check {
        /// The files.
        #[arg(required = true, value_name = "FILE")]
        files: Vec<PathBuf>,
    },
    /// Format programs in place.
    Fmt {
        /// Change nothing; exit with 1 if a file is not formatted.
        #[arg(long)]
        check: bool,
        /// The files; `-` reads stdin and writes stdout.
        #[arg(required = true, value_name = "FILE")]
        files: Vec<PathBuf>,
    },
    /// Explain a diagnostic's code, e.g. E0301; without one, list all.
    Explain {
        /// The code.
        code: Option<String>,
    },
    /// Show where every value is, what is communicated and why, and how much memory a device needs.
    Plan {
        /// What to compile.
        #[command(flatten)]
        compile: Compile,
        /// Print one JSON object.
        #[arg(long)]
        json: bool,
    },
    /// Compile an entry to an artifact that `einmesh-run` runs.
    Build {
        /// What to compile.
        #[command(flatten)]
        compile: Compile,
        /// What to generate code for.
        #[arg(long, value_name = "TARGET", default_value = "cpu")]
        target: Target,
        /// The artifact to write.
        #[arg(short, long, value_name = "OUT.einpkg")]
        output: PathBuf,
        /// Print one JSON object.
        #[arg(long)]
        json: bool,
    },
    /// Compile an entry, or open an artifact, and run it.
    Run(Box<Run>),
    /// Train on text: compile a step, or make one of a loss, run it, and save what it learns.
    ///
    /// `--config RUN.toml` stands for options from a file: `steps = 1000`, `data = ["a.txt"]`, `[define] B = 8`.
    /// Progress goes to stderr. Ctrl-C saves and stops.
    #[command(args_override_self = true)]
    Train(Box<Train>),
    /// Generate text with a model that decodes, such as models/gpt2.ein.
    ///
    /// MODEL, or MODEL_decode.ein beside it, exports `prefill` and `decode_step` as models/gpt2_decode.ein
    /// does, with the dims B, T and S for rows, prompt and cache. Extents that are not given come from
    /// the checkpoint's shapes; S is as large as needed. Generation ends at the text's end or after
    /// `--max-tokens`. Text goes to stdout as it comes, all else to stderr.
    Generate(Box<Generate>),
    /// Compute one einsum of NumPy files: "b i j, b j k -> b i k" or "bij,bjk->bik".
    ///
    /// As in NumPy, an index that is missing on the right of `->` is summed. For `--shard`, the dim of an
    /// index is its name in capitals: `--mesh data=2 --shard data=B`.
    Einsum(Einsum),
    /// Measure on this machine which sizes make code fast, and write them to a table for `--tuning`.
    ///
    /// Leave the machine alone meanwhile. A table changes how fast code is, not what it computes, and the
    /// same table gives the same code on any machine.
    Tune(Tune),
    /// Print a completion script for a shell.
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },
}

/// What to compile, and how it is placed.
#[derive(ClapArgs, Clone, Debug)]
pub struct Compile {
    /// The program.
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// The exported function to compile.
    #[arg(long, value_name = "ENTRY")]
    pub entry: String,
    /// How it is built.
    #[command(flatten)]
    pub options: CompileOptions,
}

/// Arguments of `tune`.
#[derive(ClapArgs, Clone, Debug)]
pub struct Tune {
    /// Write the table here instead of to stdout.
    #[arg(short, long, value_name = "TABLE.json")]
    pub output: Option<PathBuf>,
    /// Stop after about so many seconds.
    #[arg(long, value_name = "N", default_value_t = 120, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub seconds: u64,
    /// Threads that compute; one is measured best, and sizes for one serve many.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=4096))]
    pub threads: u32,
}

/// Options of every subcommand that compiles.
#[derive(ClapArgs, Clone, Debug, Default)]
pub struct CompileOptions {
    /// Set a dim's extent, a type or a constant: B=4, W=bf16, eps=1e-6.
    #[arg(short = 'D', value_name = "NAME=VALUE")]
    pub define: Vec<Definition>,
    /// Placement.
    #[command(flatten)]
    pub placement: Placement,
    /// Generate code with the sizes of a table of `einmesh tune`; without one, with the built-in sizes.
    #[arg(long, value_name = "TABLE.json")]
    pub tuning: Option<PathBuf>,
    /// Write a stage's output to a file, or to stdout: parse, lower, rewrite, plan, spmd, schedule, codegen, artifact.
    #[arg(long, value_name = "STAGE[=PATH]", value_parser = parse_emit)]
    pub emit: Vec<(Stage, Option<PathBuf>)>,
    /// Print how long each stage took.
    #[arg(long)]
    pub time_passes: bool,
}

/// What replaces the plan's decorators.
#[derive(ClapArgs, Clone, Debug, Default)]
pub struct Placement {
    /// Use this plan of the file; without it, an entry's only plan.
    #[arg(long, value_name = "NAME")]
    pub plan: Option<String>,
    /// Replace @mesh: data=2,tensor=4 (`none` is one device).
    #[arg(long, value_name = "AXIS=N,…")]
    pub mesh: Option<MeshList>,
    /// Replace @shard: data=B,tensor=H+F+V (`none` clears).
    #[arg(long, value_name = "AXIS=DIM+DIM,…")]
    pub shard: Option<ShardList>,
    /// Replace @fsdp: data=Params, or data=Params,prefetch=false (`none` clears).
    #[arg(long, value_name = "AXIS=RECORD,…")]
    pub fsdp: Option<FsdpList>,
    /// Replace @precision: compute=bf16 (`none` clears).
    #[arg(long, value_name = "compute=DTYPE")]
    pub precision: Option<Precision>,
}

impl Placement {
    /// One device, whatever a plan says.
    pub fn one_device() -> Placement {
        let none = "none";
        Placement {
            plan: None,
            mesh: none.parse().ok(),
            shard: none.parse().ok(),
            fsdp: none.parse().ok(),
            precision: none.parse().ok(),
        }
    }
}

/// Arguments of `run`.
#[derive(ClapArgs, Clone, Debug)]
pub struct Run {
    /// A program (`.ein`) or an artifact (`.einpkg`).
    #[arg(value_name = "FILE|OUT.einpkg")]
    pub file: PathBuf,
    /// The exported function to run.
    #[arg(long, value_name = "ENTRY")]
    pub entry: Option<String>,
    /// How it is built, if it is a program.
    #[command(flatten)]
    pub options: CompileOptions,
    /// What runs it: generated code, or the reference interpreter.
    #[arg(long, value_name = "BACKEND", default_value = "cpu")]
    pub backend: Backend,
    /// How it is run; the same options as `einmesh-run`.
    #[command(flatten)]
    pub run: einmesh_exec::command::RunOptions,
}

/// Arguments of `generate`.
#[derive(ClapArgs, Clone, Debug)]
pub struct Generate {
    /// The model.
    #[arg(value_name = "MODEL.ein")]
    pub model: PathBuf,
    /// Its checkpoint; several files if it is in parts.
    #[arg(long, required = true, num_args = 1.., value_name = "CKPT.safetensors")]
    pub params: Vec<PathBuf>,
    /// A tokenizer.json of Hugging Face, or `bytes`: token n is byte n.
    #[arg(long, value_name = "tokenizer.json|bytes")]
    pub tokenizer: String,
    /// The text to go on from.
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    pub prompt: String,
    /// How many tokens to generate at most.
    #[arg(long, value_name = "N", default_value_t = 128, value_parser = clap::value_parser!(u32).range(1..))]
    pub max_tokens: u32,
    /// How far from the likeliest token to choose; 0 always takes the likeliest.
    #[arg(long, value_name = "X", default_value_t = 0.0)]
    pub temperature: f32,
    /// Choose among the K likeliest tokens.
    #[arg(long, value_name = "K", value_parser = clap::value_parser!(u32).range(1..))]
    pub top_k: Option<u32>,
    /// Choose among the fewest likeliest tokens that have the probability P together.
    #[arg(long, value_name = "P")]
    pub top_p: Option<f32>,
    /// What the random choices follow from; the same seed gives the same text [default: 0].
    #[arg(long, value_name = "S")]
    pub seed: Option<u64>,
    /// Threads that compute; the text does not depend on it [default: the CPUs].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=4096))]
    pub threads: Option<u32>,
    /// Print one JSON object at the end: text, tokens, times.
    #[arg(long)]
    pub json: bool,
    /// Set a dim's extent, a type or a constant: H=16, W=bf16, theta=10000.
    #[arg(short = 'D', value_name = "NAME=VALUE")]
    pub define: Vec<Definition>,
    /// Placement over virtual devices.
    #[command(flatten)]
    pub placement: Placement,
}

/// Arguments of `einsum`.
#[derive(ClapArgs, Clone, Debug)]
pub struct Einsum {
    /// The einsum.
    #[arg(value_name = "EXPR")]
    pub expression: String,
    /// One `.npy` file per operand.
    #[arg(required = true, value_name = "OPERAND.npy")]
    pub operands: Vec<PathBuf>,
    /// Write the result here instead of describing it on stdout.
    #[arg(short, long, value_name = "OUT.npy")]
    pub output: Option<PathBuf>,
    /// Threads that compute; the results do not depend on it [default: the CPUs].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=4096))]
    pub threads: Option<u32>,
    /// Run it this many times and report the times.
    #[arg(long, value_name = "R", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    pub repeat: u32,
    /// Print one JSON object about the run.
    #[arg(long)]
    pub json: bool,
    /// Placement over virtual devices.
    #[command(flatten)]
    pub placement: Placement,
}

/// What runs a program.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum Backend {
    /// Generated code on virtual CPU devices.
    Cpu,
    /// The reference interpreter, on as many simulated devices.
    Interp,
}

/// What code is generated for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum Target {
    /// x86-64 processors, the level chosen when it runs.
    Cpu,
}

fn parse_emit(text: &str) -> Result<(Stage, Option<PathBuf>), String> {
    let (name, path) = match text.split_once('=') {
        Some((name, path)) => (name, Some(PathBuf::from(path))),
        None => (text, None),
    };
    let names: Vec<&str> = Stage::ALL.iter().map(|s| s.name()).collect();
    let stage = Stage::from_name(name)
        .ok_or_else(|| format!("there is no stage `{name}`; there are {}", names.join(", ")))?;
    Ok((stage, path))
}
