//! The program that is trained: the user's own step, or one made of a loss.
//!
//! A made step is a program like any other: text that imports the model and the optimizers, which
//! `--emit` shows and diagnostics quote.

use super::options::{Optimizer, Recipe, Schedule, Train};
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

impl Made<'_> {
    fn text(&self) -> Result<String, Stop> {
        let (optimizer, update) = self.update()?;
        let params = &self.params;
        let micro = self.recipe.accumulate;
        let moments: &[&str] = if optimizer == Optimizer::Adamw { &["m", "v"] } else { &["m"] };
        let fields: Vec<String> = moments.iter().map(|m| format!("{m}: {params}")).collect();
        let zeros: Vec<String> = moments.iter().map(|m| format!("{m}: zero")).collect();
        let (fields, zeros) = (fields.join(", "), zeros.join(", "));
        let (given, step_given) = (self.arguments(None), self.arguments(micro));
        let (passed, step_passed) = (self.passed(""), self.passed("[micro]"));
        let Made { file, loss, .. } = self;
        let mut text = format!(
            "// The training step that `einmesh train` makes of `{loss}` in {file}.\n\
             use \"{file}\": *\nuse \"std/optimizers.ein\": *\n"
        );
        if let Some(micro) = micro {
            let _ = writeln!(text, "dim Micro = {micro}");
        }
        let _ = write!(
            text,
            "\nrecord TrainState {{ p: {params}, {fields}, n: i32 }}\n\n\
             export fn train_start(p: {params}) -> (s: TrainState) {{\n  \
               zero: {params} = 0\n  \
               s = TrainState(p: p, {zeros}, n: 0)\n}}\n\n\
             export fn train_init(r: rng) -> (s: TrainState) {{\n  \
               p: {params} = initial(r)\n  \
               s = train_start(p)\n}}\n\n\
             export fn train_validate(inout s: TrainState{given}) -> (loss: f32) {{\n  \
               loss = f32({loss}(s.p{passed}))\n}}\n\n\
             export fn train_step(inout s: TrainState{step_given}) -> (loss: f32, grad_norm: f32, lr: f32) {{\n"
        );
        match micro {
            None => {
                let _ = write!(
                    text,
                    "  value = f32({loss}(s.p{passed}))\n  \
                       raw   = grad[s.p](value)\n  \
                       loss  = value\n"
                );
            }
            Some(_) => {
                let _ = write!(
                    text,
                    "  raw: {params} = 0\n  \
                       loss = 0.0\n  \
                       for micro in Micro {{\n    \
                         value = f32({loss}(s.p{step_passed})) / Micro\n    \
                         raw   = raw + grad[s.p](value)\n    \
                         loss  = loss + value\n  }}\n"
                );
            }
        }
        match self.recipe.clip {
            Some(most) => {
                let _ = writeln!(text, "  (g, grad_norm) = clip_by_norm(raw, {})", number(most));
            }
            None => text.push_str("  g         = raw\n  grad_norm = global_norm(raw)\n"),
        }
        let _ = write!(text, "  n  = s.n + 1\n  lr = {}\n{update}  s.n = n\n}}\n", self.rate());
        self.plans(&mut text);
        Ok(text)
    }

    /// The optimizer and the statements that update the state.
    fn update(&self) -> Result<(Optimizer, String), Stop> {
        let r = self.recipe;
        let optimizer = r.optimizer.unwrap_or(Optimizer::Adamw);
        let unused = match optimizer {
            Optimizer::Adamw => [("--momentum", r.momentum.is_some()), ("", false)],
            Optimizer::Sgd => [("--betas", r.betas.is_some()), ("--eps", r.eps.is_some())],
            Optimizer::Lion => [("--momentum", r.momentum.is_some()), ("--eps", r.eps.is_some())],
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
        let call = match optimizer {
            Optimizer::Adamw => {
                let [b1, b2] = betas([0.9, 0.95])?;
                let (eps, wd) = (number(r.eps.unwrap_or(1e-8)), decay(0.1));
                format!(
                    "  (p1, m1, v1) = adamw(s.p, g, s.m, s.v, n, lr, {b1}, {b2}, {eps}, {wd})\n  s.v = v1\n"
                )
            }
            Optimizer::Sgd => {
                let (momentum, wd) = (number(r.momentum.unwrap_or(0.9)), decay(0.0));
                format!("  (p1, m1) = sgd(s.p, g, s.m, lr, {momentum}, {wd})\n")
            }
            Optimizer::Lion => {
                let [b1, b2] = betas([0.9, 0.99])?;
                format!("  (p1, m1) = lion(s.p, g, s.m, lr, {b1}, {b2}, {})\n", decay(0.1))
            }
        };
        Ok((optimizer, format!("{call}  s.p = p1\n  s.m = m1\n")))
    }

    /// The learning rate at step `n`.
    fn rate(&self) -> String {
        let r = self.recipe;
        let peak = number(r.lr.unwrap_or(1e-3));
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
