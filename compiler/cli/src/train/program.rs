//! The program that is trained: the user's own step, or one made of a loss.
//!
//! A made step is a program like any other: text that imports the model and the optimizers, which
//! `--emit` shows and diagnostics quote.

use super::options::{LossScale, Optimizer, Recipe, Schedule, Train};
use crate::commands::Stop;
use einmesh_diagnostics::SourceMap;
use einmesh_driver::Source;
use einmesh_lower::{Modules, type_text};
use einmesh_syntax::ast::{Decorator, Fn, FnResult, Item, Plan};
use std::fmt::Write as _;

/// A program and its entries.
pub struct Program {
    /// The text.
    pub source: Source,
    /// The step.
    pub step: String,
    /// Makes the state of parameters that are given.
    pub start: Option<String>,
    /// Makes the state of a key, the parameters as their fields say.
    pub init: Option<String>,
    /// Gives the loss without learning.
    pub validate: Option<String>,
}

/// The program of a command line.
pub fn program(options: &Train, sources: &SourceMap, modules: &Modules) -> Result<Program, Stop> {
    match (&options.loss, &options.step) {
        (Some(loss), _) => made(options, loss, sources, modules),
        (None, Some(step)) => Ok(own(options, step, modules)),
        (None, None) => Err(Stop::Usage("give `--step` or `--loss`".to_owned())),
    }
}

/// The user's own step, with the exported functions that make its state: their results are the step's `inout`
/// arguments; one that takes keys only makes it of nothing, any other of parameters.
fn own(options: &Train, step: &str, modules: &Modules) -> Program {
    let state: Vec<(&str, String)> = functions(modules)
        .filter(|f| f.name.text == step)
        .flat_map(|f| f.params.iter().filter(|p| p.inout))
        .map(|p| (p.name.text.as_str(), type_text(&p.ty)))
        .collect();
    let makes = |f: &Fn| match &f.result {
        FnResult::Named(all) => all
            .iter()
            .map(|(name, ty)| (name.text.as_str(), type_text(ty)))
            .eq(state.iter().map(|(name, ty)| (*name, ty.clone()))),
        FnResult::Single(_) => false,
    };
    let of_keys = |f: &&Fn| f.params.iter().all(|p| type_text(&p.ty) == "rng");
    let makers: Vec<&Fn> = functions(modules)
        .filter(|f| match &options.init {
            Some(name) => f.name.text == *name,
            None => f.export && f.params.iter().all(|p| !p.inout) && makes(f),
        })
        .collect();
    let name = |f: &&Fn| f.name.text.clone();
    Program {
        source: Source::File(options.file.clone()),
        step: step.to_owned(),
        start: makers.iter().find(|f| !of_keys(f)).map(name),
        init: makers.iter().find(|f| of_keys(f)).map(name),
        validate: options.validate.clone(),
    }
}

fn functions(modules: &Modules) -> impl Iterator<Item = &Fn> {
    let items = modules.files.get(&modules.root).into_iter().flat_map(|file| &file.items);
    items.filter_map(|item| match item {
        Item::Fn(function) => Some(function),
        _ => None,
    })
}

/// A step made of a loss.
fn made(
    options: &Train,
    loss: &str,
    sources: &SourceMap,
    modules: &Modules,
) -> Result<Program, Stop> {
    let file = options.file.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let Some(function) = functions(modules).find(|f| f.export && f.name.text == loss) else {
        let all = einmesh_lower::entries(modules);
        let list: Vec<String> = all.iter().map(|(_, signature)| format!("  {signature}")).collect();
        return Err(Stop::Failed(format!(
            "`{file}` does not export `{loss}`\nhelp: its entries are\n{}",
            list.join("\n")
        )));
    };
    let Some((params, others)) = function.params.split_first() else {
        return Err(Stop::Failed(format!(
            "`{loss}` takes no parameters to learn\nhelp: a loss is like `loss(p: Params, tokens: i32[B,T], targets: i32[B,T]) -> f32`"
        )));
    };
    let recipe = Made {
        file: &file,
        loss,
        params: type_text(&params.ty),
        others: others.iter().map(|p| (p.name.text.clone(), type_text(&p.ty))).collect(),
        recipe: &options.recipe,
        steps: options.steps,
        decorators: decorators(options, loss, sources, modules)?,
    };
    let name = options.file.with_file_name(format!("training of {file}"));
    Ok(Program {
        source: Source::Text { name: name.to_string_lossy().into_owned(), text: recipe.text()? },
        step: "train_step".to_owned(),
        start: Some("train_start".to_owned()),
        init: Some("train_init".to_owned()),
        validate: Some("train_validate".to_owned()),
    })
}

/// The decorators of the loss's plan as they are written: the step has the same placement. A budget is one of
/// the loss alone.
fn decorators(
    options: &Train,
    loss: &str,
    sources: &SourceMap,
    modules: &Modules,
) -> Result<Vec<String>, Stop> {
    let items = modules.files.get(&modules.root).into_iter().flat_map(|file| &file.items);
    let plans = items.filter_map(|item| match item {
        Item::Plan(plan) if plan.entry.last().is_some_and(|n| n.text == loss) => Some(plan),
        _ => None,
    });
    let plans: Vec<&Plan> = plans.collect();
    let chosen = match &options.compile.placement.plan {
        Some(name) => Some(
            plans
                .iter()
                .find(|p| p.name.text == *name)
                .ok_or_else(|| Stop::Failed(format!("there is no plan `{name}` for `{loss}`")))?,
        ),
        None if plans.len() == 1 => plans.first(),
        None => None,
    };
    let written = |d: &Decorator| sources.snippet(d.span).to_owned();
    let kept = chosen.iter().flat_map(|p| &p.decorators).filter(|d| d.name.text != "expect");
    Ok(kept.map(written).collect())
}

/// What a made step is made of.
struct Made<'a> {
    file: &'a str,
    loss: &'a str,
    /// The type of the parameters.
    params: String,
    /// The loss's other arguments: names and types.
    others: Vec<(String, String)>,
    recipe: &'a Recipe,
    steps: u64,
    decorators: Vec<String>,
}

/// What an optimizer keeps besides the parameters, and how it makes new ones.
struct Update {
    /// Its fields of the state: names and types.
    moments: Vec<(&'static str, String)>,
    /// Binds `p1`, and each moment with a 1 after its name.
    statement: String,
}

impl Made<'_> {
    fn text(&self) -> Result<String, Stop> {
        let update = self.update()?;
        let Made { file, loss, params, recipe, .. } = self;
        let micro = recipe.accumulate;
        let average = self.average()?;
        let dynamic = recipe.loss_scale == Some(LossScale::Dynamic);
        let mut state: Vec<(&str, &str, &str)> =
            update.moments.iter().map(|(name, ty)| (*name, ty.as_str(), "0")).collect();
        state.extend(average.map(|_| ("ema", params.as_str(), "p")));
        if dynamic {
            state.extend([("scale", "f32", "65536.0"), ("good", "i32", "0")]);
        }
        let mut text = format!(
            "// The training step that `einmesh train` makes of `{loss}` in {file}.\n\
             use \"{file}\": *\nuse \"std/optimizers.ein\": *\n"
        );
        if let Some(micro) = micro {
            let _ = writeln!(text, "dim Micro = {micro}");
        }
        let list = |each: fn(&(&str, &str, &str)) -> String| -> String {
            state.iter().map(each).collect()
        };
        let fields = list(|(name, ty, _)| format!("{name}: {ty}, "));
        let starts = list(|(name, ty, start)| format!("  {name}0: {ty} = {start}\n"));
        let started = list(|(name, ..)| format!("{name}: {name}0, "));
        let (given, step_given) = (self.arguments(None), self.arguments(micro));
        let passed = self.passed("");
        // What is validated is what the run is for.
        let model = if average.is_some() { "s.ema" } else { "s.p" };
        let also = if dynamic { ", loss_scale: f32" } else { "" };
        let _ = write!(
            text,
            "\nrecord TrainState {{ p: {params}, {fields}n: i32 }}\n\n\
             export fn train_start(p: {params}) -> (s: TrainState) {{\n\
               {starts}  s = TrainState(p: p, {started}n: 0)\n}}\n\n\
             export fn train_init(r: rng) -> (s: TrainState) {{\n  \
               p: {params} = initial(r)\n  \
               s = train_start(p)\n}}\n\n\
             export fn train_validate(inout s: TrainState{given}) -> (loss: f32) {{\n  \
               loss = f32({loss}({model}{passed}))\n}}\n\n\
             export fn train_step(inout s: TrainState{step_given}) -> (loss: f32, grad_norm: f32, lr: f32{also}) {{\n"
        );
        self.gradients(&mut text);
        match recipe.clip {
            Some(most) => {
                let _ = writeln!(text, "  (g, grad_norm) = clip_by_norm(raw, {})", number(most));
            }
            None => text.push_str("  g         = raw\n  grad_norm = global_norm(raw)\n"),
        }
        let _ = write!(text, "  n  = s.n + 1\n  lr = {}\n{}", self.rate(), update.statement);
        let mut new: Vec<(&str, String)> = vec![("p", "p1".to_owned())];
        new.extend(update.moments.iter().map(|(name, _)| (*name, format!("{name}1"))));
        new.extend(average.map(|rate| ("ema", format!("ema(s.ema, p1, {})", number(rate)))));
        new.push(("n", "n".to_owned()));
        if recipe.loss_scale.is_some() {
            text.push_str("  ok = isfinite(grad_norm)\n");
        }
        if dynamic {
            text.push_str(
                "  loss_scale = s.scale\n  \
                   good    = where(ok, s.good + 1, 0)\n  \
                   s.scale = where(ok, where(good == 2000, 2.0, 1.0), 0.5) * s.scale\n  \
                   s.good  = where(good == 2000, 0, good)\n",
            );
        }
        for (name, value) in new {
            let _ = match recipe.loss_scale {
                Some(_) => writeln!(text, "  s.{name} = where(ok, {value}, s.{name})"),
                None => writeln!(text, "  s.{name} = {value}"),
            };
        }
        text.push_str("}\n");
        self.plans(&mut text);
        Ok(text)
    }

    /// How the average of parameters forgets.
    fn average(&self) -> Result<Option<f64>, Stop> {
        match self.recipe.ema {
            Some(rate) if !(0.0..1.0).contains(&rate) => {
                Err(Stop::Usage(format!("`--ema {rate}` is not from 0 to below 1")))
            }
            rate => Ok(rate),
        }
    }

    /// The statements that bind `loss` and, of one batch or the sum over several, `raw`.
    fn gradients(&self, text: &mut String) {
        let Made { loss, params, .. } = self;
        let scale = self.recipe.loss_scale.map(|scale| match scale {
            LossScale::Fixed(scale) => number(scale),
            LossScale::Dynamic => "s.scale".to_owned(),
        });
        let scaled = scale.as_ref().map(|scale| format!(" * {scale}")).unwrap_or_default();
        match self.recipe.accumulate {
            None => {
                let _ = write!(
                    text,
                    "  value = f32({loss}(s.p{}))\n  \
                       raw   = grad[s.p](value{scaled})\n  \
                       loss  = value\n",
                    self.passed("")
                );
            }
            Some(_) => {
                let _ = write!(
                    text,
                    "  raw: {params} = 0\n  \
                       loss = 0.0\n  \
                       for micro in Micro {{\n    \
                         value = f32({loss}(s.p{})) / Micro\n    \
                         raw   = raw + grad[s.p](value{scaled})\n    \
                         loss  = loss + value\n  }}\n",
                    self.passed("[micro]")
                );
            }
        }
        if let Some(scale) = scale {
            let _ = writeln!(text, "  raw   = raw / {scale}");
        }
    }

    /// The optimizer.
    fn update(&self) -> Result<Update, Stop> {
        let r = self.recipe;
        let optimizer = r.optimizer.unwrap_or(Optimizer::Adamw);
        let (betas, eps) = (("--betas", r.betas.is_some()), ("--eps", r.eps.is_some()));
        let momentum = ("--momentum", r.momentum.is_some());
        let unused: &[(&str, bool)] = match optimizer {
            Optimizer::Adamw => &[momentum],
            Optimizer::Sgd => &[betas, eps],
            Optimizer::Lion => &[momentum, eps],
            Optimizer::Adafactor => &[momentum, betas],
        };
        if let Some((name, _)) = unused.iter().find(|(_, given)| *given) {
            return Err(Stop::Usage(format!(
                "`{name}` has no effect on this optimizer; leave it out"
            )));
        }
        let betas = |default: [f64; 2]| match r.betas.as_deref() {
            None => Ok(default.map(number)),
            Some(&[a, b]) => Ok([a, b].map(number)),
            Some(_) => Err(Stop::Usage("`--betas` takes two numbers: 0.9,0.95".to_owned())),
        };
        let decay = |default: f64| number(r.weight_decay.unwrap_or(default));
        let eps = |default: f64| number(r.eps.unwrap_or(default));
        let whole = |name: &'static str| (name, self.params.clone());
        let part = |name: &'static str, part: &str| (name, format!("{part}({})", self.params));
        let (moments, call) = match optimizer {
            Optimizer::Adamw => {
                let [b1, b2] = betas([0.9, 0.95])?;
                let rest = format!("{b1}, {b2}, {}, {}", eps(1e-8), decay(0.1));
                (vec![whole("m"), whole("v")], format!("adamw(s.p, g, s.m, s.v, n, lr, {rest})"))
            }
            Optimizer::Sgd => {
                let (momentum, wd) = (number(r.momentum.unwrap_or(0.9)), decay(0.0));
                (vec![whole("m")], format!("sgd(s.p, g, s.m, lr, {momentum}, {wd})"))
            }
            Optimizer::Lion => {
                let [b1, b2] = betas([0.9, 0.99])?;
                (vec![whole("m")], format!("lion(s.p, g, s.m, lr, {b1}, {b2}, {})", decay(0.1)))
            }
            Optimizer::Adafactor => {
                let rest = format!("eps: {}, wd: {}", eps(1e-30), decay(0.0));
                let moments = vec![part("r", "rows"), part("c", "columns")];
                (moments, format!("adafactor(s.p, g, s.r, s.c, n, lr, {rest})"))
            }
        };
        let results: String = moments.iter().map(|(name, _)| format!(", {name}1")).collect();
        Ok(Update { moments, statement: format!("  (p1{results}) = {call}\n") })
    }

    /// The learning rate at step `n`.
    fn rate(&self) -> String {
        let r = self.recipe;
        let peak = match r.optimizer {
            Some(Optimizer::Adafactor) => 1e-2,
            _ => 1e-3,
        };
        let peak = number(r.lr.unwrap_or(peak));
        let (warm, steps) = (number(r.warmup.unwrap_or(0) as f64), number(self.steps as f64));
        let least = |default: f64| number(r.least_lr.unwrap_or(default));
        match r.schedule.unwrap_or(Schedule::Constant) {
            Schedule::Constant => format!("{peak} * constant_rate(n, {warm})"),
            Schedule::Cosine => format!("{peak} * cosine_rate(n, {warm}, {steps}, {})", least(0.1)),
            Schedule::Wsd => {
                let down = number((self.steps as f64 / 5.0).ceil());
                format!("{peak} * wsd_rate(n, {warm}, {steps}, {down}, {})", least(0.0))
            }
        }
    }

    /// The declarations of the loss's other arguments, one for each microbatch if there are several.
    fn arguments(&self, micro: Option<u64>) -> String {
        let each = self.others.iter().map(|(name, ty)| match (micro, ty.split_once('[')) {
            (None, _) => format!(", {name}: {ty}"),
            (Some(_), Some((dtype, axes))) => format!(", {name}: {dtype}[Micro, {axes}"),
            (Some(_), None) => format!(", {name}: {ty}[Micro]"),
        });
        each.collect()
    }

    fn passed(&self, slice: &str) -> String {
        self.others.iter().map(|(name, _)| format!(", {name}{slice}")).collect()
    }

    fn plans(&self, text: &mut String) {
        if self.decorators.is_empty() {
            return;
        }
        text.push_str("\nplan train_step_plan for train_step {\n");
        for decorator in &self.decorators {
            let _ = writeln!(text, "  {decorator}");
        }
        text.push_str("}\n");
    }
}

/// A number as the language writes floats.
fn number(x: f64) -> String {
    let text = format!("{x:?}");
    if text.contains(['.', 'e']) { text } else { format!("{text}.0") }
}
