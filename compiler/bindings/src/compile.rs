//! From a file to compiled entries.

use crate::definitions::Definitions;
use crate::options::Options;
use crate::problem::{Place, Problem};
use einmesh_artifact::Artifact;
use einmesh_diagnostics::suggest::nearest;
use einmesh_driver::{Failure, Request, Session, Source};
use einmesh_lower::{Modules, Signature};
use einmesh_syntax::ast::{Fn, Item, Plan};
use std::path::PathBuf;

/// A file's entries, compiled.
#[derive(Debug)]
pub struct Compiled {
    /// The entries, in the order of the file.
    pub entries: Vec<Entry>,
    /// Warnings, as they are shown.
    pub warnings: Vec<String>,
}

/// A compiled entry.
#[derive(Debug)]
pub struct Entry {
    /// Its name.
    pub name: String,
    /// Its declaration as it is written.
    pub written: String,
    /// Its types.
    pub signature: Signature,
    /// Its code.
    pub artifact: Artifact,
}

/// The files that a compilation reads, and their texts: bindings are made again when one of them changes.
pub fn sources(options: &Options) -> Result<Vec<(PathBuf, String)>, Problem> {
    let (session, modules) = einmesh_driver::read(&Source::File(options.file.clone()));
    let modules = modules.map_err(|failure| problem(&session, &failure))?;
    let files = session.sources.files();
    let own = files.filter(|(name, _)| modules.files.contains_key(*name));
    let on_disk = own.filter(|(name, _)| std::path::Path::new(name).is_file());
    Ok(on_disk.map(|(name, text)| (PathBuf::from(name), text.to_owned())).collect())
}

/// Compiles the entries.
pub fn compile(options: &Options) -> Result<Compiled, Problem> {
    let source = Source::File(options.file.clone());
    let (session, modules) = einmesh_driver::read(&source);
    let modules = modules.map_err(|failure| problem(&session, &failure))?;
    let functions = entries(options, &modules)?;
    let definitions = Definitions::new(options, &modules, &functions)?;
    let planned = planned(options, &modules)?;
    let written = einmesh_lower::entries(&modules);
    let mut compiled = Compiled { entries: Vec::new(), warnings: Vec::new() };
    for function in functions {
        let name = &function.name.text;
        let mut request = Request::new(source.clone(), name);
        request.levels.clone_from(&options.levels);
        request.tuning = options.tuning.clone();
        request.options.plan.clone_from(&options.plan);
        request.options.plan_of.clone_from(&planned);
        request.options.overrides.mesh.clone_from(&options.mesh);
        request.options.overrides.shard.clone_from(&options.shard);
        definitions.apply(function, &mut request.options);
        let (session, products) = einmesh_driver::compile(&request);
        let products = products.map_err(|failure| problem(&session, &failure))?;
        let shown = |d| einmesh_diagnostics::render(d, &session.sources, false);
        compiled.warnings.extend(session.diagnostics.iter().map(shown));
        let Some(artifact) = products.artifact else {
            return Err(Problem::new(Place::File, format!("`{name}` has no artifact: a bug")));
        };
        let of = written.iter().find(|(entry, _)| entry == name);
        compiled.entries.push(Entry {
            name: name.clone(),
            written: of.map_or_else(|| name.clone(), |(_, written)| written.clone()),
            signature: products.signature,
            artifact,
        });
    }
    Ok(compiled)
}

/// The exported functions that are asked for.
fn entries<'m>(options: &Options, modules: &'m Modules) -> Result<Vec<&'m Fn>, Problem> {
    let items = modules.files.get(&modules.root).into_iter().flat_map(|file| &file.items);
    let exported = items.filter_map(|item| match item {
        Item::Fn(function) if function.export => Some(function),
        _ => None,
    });
    let exported: Vec<&Fn> = exported.collect();
    for (number, wanted) in options.entries.iter().enumerate() {
        if !exported.iter().any(|f| f.name.text == *wanted) {
            let known = exported.iter().map(|f| f.name.text.as_str());
            let help = advice(wanted, known, "the entries are");
            let message = format!("the file exports no function `{wanted}`\n{help}");
            return Err(Problem::new(Place::Entry(number), message));
        }
    }
    if exported.is_empty() {
        let message = "the file exports no function, so that there is nothing to call\n\
                       help: write `export fn …`";
        return Err(Problem::new(Place::File, message));
    }
    let wanted = |f: &&Fn| options.entries.is_empty() || options.entries.contains(&f.name.text);
    Ok(exported.into_iter().filter(wanted).collect())
}

/// The entry whose plan is the one that is asked for: all others are placed alike.
fn planned(options: &Options, modules: &Modules) -> Result<Option<String>, Problem> {
    let Some(name) = &options.plan else {
        return Ok(None);
    };
    let items = modules.files.get(&modules.root).into_iter().flat_map(|file| &file.items);
    let plans = items.filter_map(|item| match item {
        Item::Plan(plan) => Some(plan),
        _ => None,
    });
    let plans: Vec<&Plan> = plans.collect();
    match plans.iter().find(|plan| plan.name.text == *name) {
        Some(plan) => Ok(plan.entry.last().map(|entry| entry.text.clone())),
        None => {
            let known = plans.iter().map(|plan| plan.name.text.as_str());
            let help = advice(name, known, "the plans are");
            Err(Problem::new(Place::Plan, format!("the file has no plan `{name}`\n{help}")))
        }
    }
}

/// What could have been meant.
pub(crate) fn advice<'a>(
    name: &str,
    known: impl Iterator<Item = &'a str> + Clone,
    all: &str,
) -> String {
    if let Some(near) = nearest(name, known.clone()) {
        return format!("help: did you mean `{near}`?");
    }
    let mut names: Vec<String> = known.map(|name| format!("`{name}`")).collect();
    names.dedup();
    match names.is_empty() {
        true => "help: there are none in this file".to_owned(),
        false => format!("help: {all} {}", names.join(", ")),
    }
}

fn problem(session: &Session, failure: &Failure) -> Problem {
    let message = match failure {
        Failure::Diagnosed => {
            einmesh_diagnostics::render_all(&session.diagnostics, &session.sources, false)
        }
        Failure::Unreadable { path, why } => format!("cannot read `{path}`: {why}"),
        Failure::Bug(bug) => bug.to_string(),
    };
    Problem::new(Place::File, message.trim_end())
}
