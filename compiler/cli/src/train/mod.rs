//! `einmesh train`: compiles a training step and runs it on text.
//!
//! [`options`] is the command line, with a file of options ([`config`]); [`program`] finds the step or makes one of
//! a loss; this file compiles it and puts the run together; [`run`] is the run itself.

pub mod config;
pub mod options;
mod program;
mod run;
mod vocabulary;

use crate::args::{CompileOptions, Placement};
use crate::commands::{Stop, compiled_with, levels_here, plan, plural, print, tuning};
use crate::generate::Vocabulary;
use crate::terminal::Terminal;
use einmesh_artifact::Artifact;
use einmesh_driver::{Goal, Request, Source};
use einmesh_exec::tensors::{self, SafeTensors, Value};
use einmesh_exec::{Module, Options, Results, Session};
use einmesh_train::checkpoint::{Directory, Loaded};
use einmesh_train::data::Source as Text;
use einmesh_train::{Bytes, Dataset, Encoder, TrainError, Trainer};
use options::Train;
use program::Program;
use run::{Feed, Run};
use std::path::PathBuf;

/// The part of a text that is kept for validation, unless another is given.
const VALIDATION: f64 = 0.05;

/// Compiles a step, trains with it, and tells how it went.
pub fn train(options: &Train, terminal: &Terminal) -> Result<(), Stop> {
    let (session, modules) = einmesh_driver::read(&Source::File(options.file.clone()));
    let modules = modules.map_err(|failure| {
        terminal.report(&session, Some(&failure));
        Stop::Reported
    })?;
    let program = program::program(options, &session.sources, &modules)?;
    if options.dry_run {
        let (request, compile) = request(options, &program, &program.step, Goal::Plan)?;
        let (session, products) = compiled_with(request, &compile, |_| (), terminal)?;
        return plan::show(&session, &products, options.json);
    }
    let directory =
        options.checkpoint.as_deref().map(Directory::open).transpose().map_err(failed)?;
    let checkpoint = newest(options, directory.as_ref())?;
    let step = compile(options, &program, &program.step, Role::Step, terminal)?;

    let mut settings = Options { profile: options.profile, ..Options::default() };
    if let Some(threads) = options.threads {
        settings.threads = threads as usize;
    }
    let module =
        |artifact: &Artifact| Module::load(artifact).map_err(|e| Stop::Failed(e.to_string()));
    let mut trainer = Trainer::new(module(&step.artifact)?, settings).map_err(failed)?;
    let feed = feed(options, &mut trainer, step.vocabulary)?;
    if let (Feed::Text(_), Some(entry)) = (&feed, validated(options, &program)) {
        let entry = compile(options, &program, entry, Role::Validation, terminal)?;
        trainer.validate_with(module(&entry.artifact)?).map_err(failed)?;
    }
    match &checkpoint {
        Some(checkpoint) => {
            for note in trainer.resume(checkpoint).map_err(failed)? {
                eprintln!("note: {note}");
            }
        }
        None => {
            let state = state(options, &program, settings, terminal)?;
            trainer.start(state).map_err(failed)?;
        }
    }
    let peak = einmesh_train::peak_flops(settings.threads);
    let outcome = Run { options, trainer, feed, directory, settings, flops: step.flops, peak }
        .go(checkpoint.map(|c| c.saved))?;
    match options.json {
        true => print(&format!("{outcome}\n")),
        false => Ok(()),
    }
}

fn failed(error: TrainError) -> Stop {
    Stop::Failed(error.to_string())
}

/// The entry for validation, if it is wanted.
fn validated<'p>(options: &Train, program: &'p Program) -> Option<&'p str> {
    options.validate_every.and(program.validate.as_deref())
}

/// The checkpoint to go on from. A new run does not write over another's checkpoints.
fn newest(options: &Train, directory: Option<&Directory>) -> Result<Option<Loaded>, Stop> {
    let Some(directory) = directory else {
        return Ok(None);
    };
    if !options.resume {
        return match directory.steps().map_err(failed)?.first() {
            None => Ok(None),
            Some(step) => Err(Stop::Failed(format!(
                "`{}` has a checkpoint of step {step} already\n\
                 help: go on from it with `--resume`, or give another `--checkpoint`",
                directory.path().display()
            ))),
        };
    }
    let (newest, damaged) = directory.newest().map_err(failed)?;
    let lost = newest.is_none() && !damaged.is_empty();
    for error in damaged {
        eprintln!("warning: {error}");
    }
    match lost {
        true => Err(Stop::Failed(format!(
            "no checkpoint of `{}` is whole\nhelp: begin anew in another directory",
            directory.path().display()
        ))),
        false => Ok(newest),
    }
}

/// An entry's compilation, with the options for it.
fn request(
    options: &Train,
    program: &Program,
    entry: &str,
    goal: Goal,
) -> Result<(Request, CompileOptions), Stop> {
    let mut request = Request::new(program.source.clone(), entry);
    request.goal = goal;
    request.levels = levels_here()?;
    let mut compile = options.compile.clone();
    if let Some(path) = &compile.tuning {
        request.tuning = tuning(path, goal)?;
    }
    if options.loss.is_some() {
        // The step's plans are made of the one that was chosen.
        compile.placement.plan = None;
    }
    Ok((request, compile))
}

/// A compiled entry.
struct Entry {
    artifact: Artifact,
    /// The floating-point operations of one run on all devices.
    flops: f64,
    /// How many different tokens it can read.
    vocabulary: Option<u64>,
}

/// What an entry is for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Role {
    /// What is run again and again: `--emit` and `--time-passes` are about it.
    Step,
    /// Placed as the step is.
    Validation,
    /// For one device.
    State,
}

/// Compiles an entry.
fn compile(
    options: &Train,
    program: &Program,
    entry: &str,
    role: Role,
    terminal: &Terminal,
) -> Result<Entry, Stop> {
    let (request, mut compile) = request(options, program, entry, Goal::Build)?;
    if role != Role::Step {
        compile.emit.clear();
        compile.time_passes = false;
    }
    if role == Role::State {
        compile.placement = Placement::one_device();
    }
    let placed_as = (role == Role::Validation).then(|| program.step.clone());
    let (_, products) =
        compiled_with(request, &compile, |options| options.plan_of = placed_as, terminal)?;
    let tables = ["tokens", "targets"].map(|name| vocabulary::least_table(&products.lowered, name));
    Ok(Entry {
        flops: products.contraction_flops(),
        vocabulary: tables.into_iter().flatten().min(),
        artifact: products.artifact.expect("the goal was an artifact"),
    })
}

/// What the step's other arguments are.
fn feed(options: &Train, trainer: &mut Trainer, vocabulary: Option<u64>) -> Result<Feed, Stop> {
    if let Some(path) = &options.batch {
        let file = SafeTensors::open(path).map_err(|e| Stop::Failed(e.to_string()))?;
        for note in trainer.fix_batch(&file).map_err(failed)? {
            eprintln!("note: {note}");
        }
        return Ok(Feed::Fixed);
    }
    let rows = trainer.rows().map_err(failed)?;
    let tokenizer;
    let encoder: &dyn Encoder = match options.tokenizer.as_str() {
        "bytes" => &Bytes,
        name => {
            tokenizer = Vocabulary::open(name).map_err(Stop::Failed)?;
            &tokenizer
        }
    };
    let cache = cache();
    let open = |path: &PathBuf| Text::open(path, encoder, &cache).map_err(failed);
    let texts = options.data.iter().map(open).collect::<Result<Vec<Text>, Stop>>()?;
    if let Some(most) = vocabulary.filter(|most| *most < encoder.size()) {
        within(&texts, most)?;
    }
    let part = match (options.validation, options.validate_every) {
        (Some(part), _) if !(0.0..1.0).contains(&part) => {
            return Err(Stop::Usage(format!("`--validation {part}` is not from 0 to below 1")));
        }
        (Some(part), _) => part,
        (None, Some(_)) => VALIDATION,
        (None, None) => 0.0,
    };
    Dataset::new(texts, options.mix.as_deref(), rows.length, part, options.seed)
        .map(Feed::Text)
        .map_err(failed)
}

/// Checks that a model of so many tokens can read texts whose tokenizer has more.
fn within(texts: &[Text], most: u64) -> Result<(), Stop> {
    let Some((text, token)) = texts.iter().find_map(|t| Some((t, t.tokens.first_beyond(most)?)))
    else {
        return Ok(());
    };
    Err(Stop::Failed(format!(
        "{} has the token {token}, but the model has only {most}: 0 to {}\n\
         help: compile it for the tokenizer's vocabulary with `-D`, or use the tokenizer that belongs to the model",
        text.name,
        most - 1
    )))
}

/// Where encoded texts are kept.
fn cache() -> PathBuf {
    let home = std::env::var_os("XDG_CACHE_HOME")
        .map(PathBuf::from)
        .or_else(|| std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache")));
    home.unwrap_or_else(std::env::temp_dir).join("einmesh/tokens")
}

/// The state that a new run starts from, made on one device: the numbers do not depend on the mesh.
fn state(
    options: &Train,
    program: &Program,
    settings: Options,
    terminal: &Terminal,
) -> Result<Results, Stop> {
    let given = !options.params.is_empty();
    let entry = if given { &program.start } else { &program.init };
    let Some(entry) = entry else {
        return Err(Stop::Failed(match given {
            true => "nothing makes a state of `--params`\nhelp: export `init(p: Params) -> (s: State)`, or name one with `--init`".to_owned(),
            false => "nothing makes a state\nhelp: pass `--params`, or export `init(r: rng) -> (s: State)`".to_owned(),
        }));
    };
    let failed = |why: &dyn std::fmt::Display| Stop::Failed(why.to_string());
    let Entry { artifact, .. } = compile(options, program, entry, Role::State, terminal)?;
    let module = Module::load(&artifact).map_err(|e| failed(&e))?;
    let mut session = Session::new(module, settings).map_err(|e| failed(&e))?;
    match given {
        true => {
            let params = SafeTensors::open_all(&options.params).map_err(|e| failed(&e))?;
            let bound = tensors::bind(&artifact.manifest, Some(&params), &[]);
            let bound = bound.map_err(|e| failed(&e))?;
            for note in bound.notes {
                eprintln!("note: {note}");
            }
            let numbered: Vec<(usize, &Value)> = bound.values.iter().enumerate().collect();
            session.bind_all(&numbered).map_err(|e| failed(&e))?;
        }
        false => {
            let seed = options.seed.to_le_bytes();
            let seed = Value { dtype: tensors::ElementType::U64, pieces: vec![&seed] };
            session.bind(0, &seed).map_err(|e| failed(&e))?;
        }
    }
    session.run().map_err(|e| failed(&e))?;
    Ok(session.finish())
}

impl Encoder for Vocabulary {
    fn encode(&self, text: &str) -> Result<Vec<u32>, String> {
        self.encode_plain(text)
    }

    fn end(&self) -> Option<u32> {
        self.ends().first().copied()
    }

    fn size(&self) -> u64 {
        self.len() as u64
    }

    fn identity(&self) -> String {
        self.fingerprint()
    }
}

/// How long and on what a run was, for people.
fn machine(devices: u64, threads: usize) -> String {
    format!("{}, {}", plural(devices, "device"), plural(threads as u64, "thread"))
}
