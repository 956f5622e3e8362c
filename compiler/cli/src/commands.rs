//! The subcommands, one file each.

mod build;
mod check;
mod einsum;
mod explain;
mod fmt;
pub mod plan;
mod run;
mod tune;

use crate::args::{Args, Command, CompileOptions};
use crate::generate;
use crate::terminal::Terminal;
use crate::train;
use clap::CommandFactory;
use einmesh_driver::{Goal, Level, Products, Request, Session, Source, Stage, Tuning, compile};
use std::io::{ErrorKind, Write};
use std::path::Path;

/// Why a command did not succeed.
#[derive(Debug)]
pub enum Stop {
    /// Diagnostics were printed.
    Reported,
    /// Something failed; this is the message.
    Failed(String),
    /// The command line is wrong.
    Usage(String),
}

/// Runs a subcommand.
pub fn execute(command: &Command, terminal: &Terminal) -> Result<(), Stop> {
    match command {
        Command::Check { files } => check::check(files, terminal),
        Command::Fmt { check, files } => fmt::fmt(files, *check, terminal),
        Command::Explain { code } => explain::explain(code.as_deref()),
        Command::Plan { compile, json } => plan::plan(compile, *json, terminal),
        Command::Build { compile, target, output, json } => {
            build::build(compile, *target, output, *json, terminal)
        }
        Command::Run(run) => run::run(run, terminal),
        Command::Train(options) => train::train(options, terminal),
        Command::Generate(options) => generate::generate(options, terminal),
        Command::Einsum(einsum) => einsum::einsum(einsum, terminal),
        Command::Tune(arguments) => tune::tune(arguments),
        Command::Completions { shell } => {
            let mut command = Args::command();
            let mut script = Vec::new();
            clap_complete::generate(*shell, &mut command, "einmesh", &mut script);
            print(&String::from_utf8_lossy(&script))
        }
    }
}

/// Compiles as far as `goal` for some CPU levels, and prints diagnostics, dumps and timings.
fn compiled(
    source: Source,
    entry: &str,
    options: &CompileOptions,
    goal: Goal,
    levels: Vec<Level>,
    terminal: &Terminal,
) -> Result<(Session, Products), Stop> {
    let mut request = Request::new(source, entry);
    request.levels = levels;
    if let Some(path) = &options.tuning {
        request.tuning = tuning(path, goal)?;
    }
    request.goal = goal;
    compiled_with(request, options, |_| (), terminal)
}

/// Compiles a request with the command line's options, and what `adjust` makes of those of lowering.
pub fn compiled_with(
    mut request: Request,
    options: &CompileOptions,
    adjust: impl FnOnce(&mut einmesh_lower::Options),
    terminal: &Terminal,
) -> Result<(Session, Products), Stop> {
    check_emit(options, request.goal)?;
    request.emit = options.emit.iter().map(|(stage, _)| *stage).collect();
    request.options.plan.clone_from(&options.placement.plan);
    request.options.overrides = options.placement.overrides();
    for definition in &options.define {
        definition.apply(&mut request.options);
    }
    adjust(&mut request.options);
    let (session, result) = compile(&request);
    terminal.report(&session, result.as_ref().err());
    for (stage, path) in &options.emit {
        let Some(text) = session.dumps.get(stage) else {
            continue;
        };
        match path {
            None => print(&format!("{text}\n"))?,
            Some(path) => std::fs::write(path, text)
                .map_err(|why| Stop::Failed(format!("cannot write `{}`: {why}", path.display())))?,
        }
    }
    if options.time_passes {
        print_timings(&session);
    }
    match result {
        Ok(products) => Ok((session, products)),
        Err(_) => Err(Stop::Reported),
    }
}

/// The levels to generate code for when this machine runs it at once: the one that it will choose, and
/// those that one adds to, so that the code is the same as of an artifact for all machines.
pub fn levels_here() -> Result<Vec<Level>, Stop> {
    let best = einmesh_exec::cpu_level().map_err(|e| Stop::Failed(e.to_string()))?;
    let level = Level::ALL.into_iter().find(|level| Some(level.name()) == best);
    // No code runs on this machine: loading it says why.
    Ok(level.map_or_else(|| Level::ALL.to_vec(), Level::chain))
}

/// Reads a table of `einmesh tune`.
pub fn tuning(path: &Path, goal: Goal) -> Result<Tuning, Stop> {
    if goal < Goal::Build {
        let message = "`--tuning` has no effect: this command generates no code; leave it out";
        return Err(Stop::Usage(message.to_owned()));
    }
    let name = path.display();
    let text = std::fs::read_to_string(path)
        .map_err(|why| Stop::Failed(format!("cannot read `{name}`: {why}")))?;
    Tuning::parse(&text).map_err(|why| Stop::Failed(format!("cannot use `{name}`: {why}")))
}

/// Refuses to emit stages that are not run: the option would be ignored.
fn check_emit(options: &CompileOptions, goal: Goal) -> Result<(), Stop> {
    let last = match goal {
        Goal::Interpret => Stage::Spmd,
        Goal::Plan => Stage::Schedule,
        Goal::Build => Stage::Artifact,
    };
    match options.emit.iter().find(|(stage, _)| *stage > last) {
        None => Ok(()),
        Some((stage, _)) => Err(Stop::Usage(format!(
            "`--emit={stage}` has no effect: this command ends with the stage `{last}`; give it to `einmesh build`"
        ))),
    }
}

/// `1 device`, `4 devices`.
pub fn plural(n: u64, noun: &str) -> String {
    format!("{n} {noun}{}", if n == 1 { "" } else { "s" })
}

/// Writes data to stdout. Whoever reads it may stop early: `… | head`.
pub fn print(text: &str) -> Result<(), Stop> {
    let mut stdout = std::io::stdout().lock();
    let written = stdout.write_all(text.as_bytes());
    match written.and_then(|()| stdout.flush()) {
        Err(why) if why.kind() != ErrorKind::BrokenPipe => {
            Err(Stop::Failed(format!("cannot write to stdout: {why}")))
        }
        _ => Ok(()),
    }
}

fn print_timings(session: &Session) {
    let mut total = 0.0;
    for (stage, time) in &session.timings {
        let ms = time.as_secs_f64() * 1e3;
        total += ms;
        eprintln!("{:>10} {ms:>9.2} ms", stage.name());
    }
    eprintln!("{:>10} {total:>9.2} ms", "total");
}

/// Milliseconds by stage, for `--json`.
fn stages_ms(session: &Session) -> serde_json::Value {
    let stages = session.timings.iter();
    let pairs = stages.map(|(stage, time)| {
        let ms = serde_json::json!(time.as_secs_f64() * 1e3);
        (stage.name().to_owned(), ms)
    });
    serde_json::Value::Object(pairs.collect())
}
