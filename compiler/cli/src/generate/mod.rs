//! `einmesh generate`: text from a model that decodes, token by token.
//!
//! The model's two entries are compiled for the prompt's length and share parameters and cache in memory
//! ([`decoder`]); extents come from the checkpoint ([`extents`]), constants from the `config.json` beside it
//! ([`config`]); tokens are chosen here on the host ([`sampler`]) and become text as they come ([`vocabulary`]).

mod config;
mod decoder;
mod extents;
mod sampler;
mod vocabulary;

use crate::args::{CompileOptions, Generate};
use crate::commands::{Stop, compiled_with, levels_here, plural, print};
use crate::terminal::Terminal;
use config::Constants;
use decoder::{CONTRACT, Decoder, PREFILL, STEP};
use einmesh_artifact::Artifact;
use einmesh_driver::{Failure, Goal, Request, Source};
use einmesh_exec::Options;
use einmesh_exec::tensors::SafeTensors;
use einmesh_lower::Modules;
use extents::{Declared, Extents};
use sampler::Sampling;
use serde_json::json;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
pub use vocabulary::Vocabulary;

/// Compiles a model, reads the prompt and prints what follows.
pub fn generate(options: &Generate, terminal: &Terminal) -> Result<(), Stop> {
    let sampling = sampling(options)?;
    let (file, modules) = model(&options.model, terminal)?;
    let params = SafeTensors::open_all(&options.params).map_err(|e| Stop::Failed(e.to_string()))?;
    let vocabulary = Vocabulary::open(&options.tokenizer).map_err(Stop::Failed)?;
    let prompt = vocabulary.encode(&options.prompt).map_err(Stop::Failed)?;
    if prompt.is_empty() {
        let message = "the prompt has no tokens: the model needs one at least to go on from";
        return Err(Stop::Failed(message.to_owned()));
    }
    let constants = constants(options, &modules, &params)?;
    let extents = sizes(options, &modules, &params, &constants, prompt.len(), terminal)?;
    let compile = |entry: &str| -> Result<Artifact, Stop> {
        let mut request = Request::new(Source::File(file.clone()), entry);
        request.goal = Goal::Build;
        request.levels = levels_here()?;
        let compiled = CompileOptions {
            define: options.define.clone(),
            placement: options.placement.clone(),
            ..CompileOptions::default()
        };
        let adjust = |o: &mut einmesh_lower::Options| {
            o.dims.extend(extents.clone());
            o.consts.extend(constants.clone());
        };
        let (_, products) = compiled_with(request, &compiled, adjust, terminal)?;
        Ok(products.artifact.expect("the goal was an artifact"))
    };
    let start = Instant::now();
    let (prefill, step) = (compile(PREFILL)?, compile(STEP)?);
    let compile_time = start.elapsed();
    check_vocabulary(&step, &vocabulary, &options.tokenizer)?;

    let mut settings = Options::default();
    if let Some(threads) = options.threads {
        settings.threads = threads as usize;
    }
    let start = Instant::now();
    let (mut decoder, notes) =
        Decoder::new(&prefill, &step, &params, settings).map_err(Stop::Failed)?;
    drop(params);
    let load_time = start.elapsed();
    for note in notes {
        eprintln!("note: {note}");
    }
    let devices = step.manifest.devices();
    let mut writer = Writer { vocabulary: &vocabulary, streams: !options.json };
    let told = writer.run(&mut decoder, &prompt, options.max_tokens as usize, sampling)?;
    told.report(options, &prompt, [compile_time, load_time], devices, settings.threads)
}

/// How tokens are chosen, if the options fit one another.
fn sampling(options: &Generate) -> Result<Sampling, Stop> {
    let refuse = |message: String| Err(Stop::Usage(message));
    if !(options.temperature >= 0.0 && options.temperature.is_finite()) {
        return refuse(format!("`--temperature {}` is not 0 or above", options.temperature));
    }
    if let Some(p) = options.top_p.filter(|p| !(*p > 0.0 && *p <= 1.0)) {
        return refuse(format!("`--top-p {p}` is not above 0 and up to 1"));
    }
    let given = [
        ("--top-k", options.top_k.is_some()),
        ("--top-p", options.top_p.is_some()),
        ("--seed", options.seed.is_some()),
    ];
    if options.temperature == 0.0
        && let Some((name, _)) = given.iter().find(|(_, given)| *given)
    {
        return refuse(format!(
            "`{name}` has no effect where the likeliest token is taken; give `--temperature` too"
        ));
    }
    if options.placement.plan.is_some() {
        return refuse(format!(
            "`--plan` names a plan of one entry, but `{PREFILL}` and `{STEP}` are compiled; give \
             `--mesh` and `--shard`"
        ));
    }
    Ok(Sampling {
        temperature: options.temperature,
        top_k: options.top_k.map(|k| k as usize),
        top_p: options.top_p.unwrap_or(1.0),
        seed: options.seed.unwrap_or(0),
    })
}

/// The file that has both entries: the model's own, or `NAME_decode.ein` beside it.
fn model(file: &Path, terminal: &Terminal) -> Result<(PathBuf, Modules), Stop> {
    let modules = read(file, terminal)?;
    if decodes(&modules) {
        return Ok((file.to_owned(), modules));
    }
    let sibling = decoder::sibling(file);
    if sibling.exists() {
        let modules = read(&sibling, terminal)?;
        if decodes(&modules) {
            return Ok((sibling, modules));
        }
    }
    Err(Stop::Failed(format!(
        "neither `{}` nor `{}` exports `{PREFILL}` and `{STEP}`\nhelp: {CONTRACT}",
        file.display(),
        sibling.display()
    )))
}

fn read(file: &Path, terminal: &Terminal) -> Result<Modules, Stop> {
    let (session, result) = einmesh_driver::read(&Source::File(file.to_owned()));
    result.map_err(|failure| {
        terminal.report(&session, Some(&failure));
        Stop::Reported
    })
}

fn decodes(modules: &Modules) -> bool {
    let entries = einmesh_lower::entries(modules);
    [PREFILL, STEP].iter().all(|wanted| entries.iter().any(|(name, _)| name == wanted))
}

/// The constants that stand beside the checkpoint; told, since no option names them.
fn constants(
    options: &Generate,
    modules: &Modules,
    params: &SafeTensors,
) -> Result<Constants, Stop> {
    let mut given = einmesh_lower::Options::default();
    for definition in &options.define {
        definition.apply(&mut given);
    }
    let constants = config::constants(params.path(), modules, &given).map_err(Stop::Failed)?;
    if !constants.is_empty() {
        let each = constants.iter().map(|(name, value)| format!("{name} = {value}"));
        eprintln!("note: config.json: {}", each.collect::<Vec<String>>().join(", "));
    }
    Ok(constants)
}

/// The extents that the command line does not give: those of the model from its checkpoint, one row, the
/// prompt's length, and a cache for all that is read.
fn sizes(
    options: &Generate,
    modules: &Modules,
    params: &SafeTensors,
    constants: &Constants,
    prompt: usize,
    terminal: &Terminal,
) -> Result<Extents, Stop> {
    let declared = Declared::of(modules);
    let mut probe = einmesh_lower::Options { entry: STEP.to_owned(), ..Default::default() };
    for definition in &options.define {
        definition.apply(&mut probe);
    }
    let (given, integers): (Extents, Extents) =
        std::mem::take(&mut probe.dims).into_iter().partition(|(name, _)| declared.has(name));
    // Which parameters there are may depend on them.
    probe.consts.extend(constants.clone());
    // The names of the parameters and of their axes do not depend on extents: the file's own will do.
    probe.dims = integers;
    probe.dims.extend(declared.open().map(|dim| (dim.to_owned(), 1)));
    let (lowered, found) = einmesh_lower::lower(modules, &probe);
    let Some(lowered) = lowered else {
        let (mut session, _) = einmesh_driver::read(&Source::File(PathBuf::from(&modules.root)));
        session.diagnostics = found;
        terminal.report(&session, Some(&Failure::Diagnosed));
        return Err(Stop::Reported);
    };
    let leaves = extents::leaves(&lowered.program);
    let mut all = extents::infer(&declared, &leaves, params, &given).map_err(|why| {
        let (checkpoint, file) = (params.path().display(), &modules.root);
        Stop::Failed(format!("{checkpoint} and {file}: {why}"))
    })?;
    // The last token is not read again.
    let read = prompt as u64 + u64::from(options.max_tokens) - 1;
    let slots = *all.entry("S".to_owned()).or_insert(read);
    let limit = |what: &str, name: &str, extent: u64| {
        Stop::Failed(format!(
            "{what} {extent} positions (`{name}`), but the prompt of {prompt} and {} after it, of \
             which the last is not read, need {read}\n\
             help: shorten the prompt, or pass a smaller `--max-tokens`",
            plural(u64::from(options.max_tokens), "token")
        ))
    };
    if slots < read {
        return Err(limit("the cache has", "S", slots));
    }
    if let Some(of) = declared.range_of("S")
        && let Some(most) = all.get(of).copied().filter(|most| *most < read)
    {
        return Err(limit("the model has", of, most));
    }
    for (name, extent) in [("B", 1), ("T", prompt as u64)] {
        if all.insert(name.to_owned(), extent).is_some_and(|given| given != extent) {
            let message = format!("`-D {name}` is not {extent}: one prompt of this length is read");
            return Err(Stop::Usage(message));
        }
    }
    all.retain(|name, _| declared.has(name));
    Ok(all)
}

/// Refuses a tokenizer with tokens that the model does not have.
fn check_vocabulary(step: &Artifact, vocabulary: &Vocabulary, name: &str) -> Result<(), Stop> {
    let (model, tokens) = (decoder::vocabulary(step), vocabulary.len() as u64);
    if tokens > model {
        return Err(Stop::Failed(format!(
            "the tokenizer `{name}` has {tokens} tokens, the model {model}\n\
             help: pass the tokenizer that the model was trained with"
        )));
    }
    if tokens < model {
        eprintln!(
            "note: the model has {model} tokens, the tokenizer {tokens}; those without a text are \
             never chosen"
        );
    }
    Ok(())
}

/// Writes text as it comes.
struct Writer<'a> {
    vocabulary: &'a Vocabulary,
    streams: bool,
}

/// What was generated.
struct Told {
    tokens: Vec<u32>,
    text: String,
    stop: &'static str,
    prompt_time: Duration,
    step_times: Vec<Duration>,
}

impl Writer<'_> {
    fn run(
        &mut self,
        decoder: &mut Decoder,
        prompt: &[u32],
        most: usize,
        sampling: Sampling,
    ) -> Result<Told, Stop> {
        let ends = self.vocabulary.ends();
        let known = self.vocabulary.len();
        let mut reader = self.vocabulary.reader();
        let start = Instant::now();
        let mut logits = decoder.read(prompt).map_err(Stop::Failed)?;
        let mut told = Told {
            tokens: Vec::new(),
            text: String::new(),
            stop: "length",
            prompt_time: start.elapsed(),
            step_times: Vec::new(),
        };
        loop {
            logits.truncate(known);
            let Some(token) = sampling.choose(&logits, told.tokens.len()) else {
                let message = "no logit is a number: the parameters are not those of this model";
                return Err(Stop::Failed(message.to_owned()));
            };
            if ends.contains(&token) {
                told.stop = "end";
                break;
            }
            told.tokens.push(token);
            self.write(&mut told.text, reader.push(token).map_err(Stop::Failed)?)?;
            if told.tokens.len() == most {
                break;
            }
            let start = Instant::now();
            logits = decoder.next(token).map_err(Stop::Failed)?;
            told.step_times.push(start.elapsed());
        }
        self.write(&mut told.text, reader.finish().map_err(Stop::Failed)?)?;
        if self.streams {
            print("\n")?;
        }
        Ok(told)
    }

    fn write(&self, text: &mut String, piece: String) -> Result<(), Stop> {
        text.push_str(&piece);
        if self.streams && !piece.is_empty() { print(&piece) } else { Ok(()) }
    }
}

impl Told {
    /// One line for people, or one object.
    fn report(
        &self,
        options: &Generate,
        prompt: &[u32],
        [compile, load]: [Duration; 2],
        devices: u64,
        threads: usize,
    ) -> Result<(), Stop> {
        let ms = |time: Duration| time.as_secs_f64() * 1e3;
        let steps: Duration = self.step_times.iter().sum();
        if options.json {
            let object = json!({
                "text": self.text,
                "tokens": self.tokens,
                "prompt_tokens": prompt,
                "stop": self.stop,
                "compile_ms": ms(compile),
                "load_ms": ms(load),
                "prompt_ms": ms(self.prompt_time),
                "step_ms": self.step_times.iter().map(|t| ms(*t)).collect::<Vec<f64>>(),
            });
            return print(&format!("{object}\n"));
        }
        let each = match self.step_times.len() {
            0 => String::new(),
            n => format!(", {:.2} ms each", ms(steps) / n as f64),
        };
        eprintln!(
            "prompt: {} in {:.1} ms; {}{each} on {}, {}; compiled in {:.0} ms, loaded in {:.0} ms",
            plural(prompt.len() as u64, "token"),
            ms(self.prompt_time),
            plural(self.tokens.len() as u64, "token"),
            plural(devices, "device"),
            plural(threads as u64, "thread"),
            ms(compile),
            ms(load),
        );
        Ok(())
    }
}
