//! What definitions mean for each entry.

use crate::compile::advice;
use crate::options::Options;
use crate::problem::{Place, Problem};
use einmesh_lower::Modules;
use einmesh_syntax::ast::{Fn, Item};

/// The definitions, with the entries that each is for.
pub(crate) struct Definitions<'a> {
    given: Vec<(&'a str, &'a str, Scope)>,
}

/// Where a name is declared.
#[derive(Clone, Copy, PartialEq)]
enum Scope {
    /// In a file: it holds for all entries.
    File,
    /// As a generic dim or an argument with a default: it holds for the entries that have it.
    Entry,
}

impl<'a> Definitions<'a> {
    /// Finds out what each definition is of. One that is of nothing is refused.
    pub fn new(
        options: &'a Options,
        modules: &Modules,
        entries: &[&Fn],
    ) -> Result<Definitions<'a>, Problem> {
        let mut declared: Vec<&str> = Vec::new();
        for item in modules.files.values().flat_map(|file| &file.items) {
            match item {
                Item::Dims(dims) => declared.extend(dims.dims.iter().map(|d| d.name.text.as_str())),
                Item::Types(types) => {
                    declared.extend(types.types.iter().map(|(name, _)| name.text.as_str()));
                }
                Item::Consts(all) => {
                    declared.extend(all.consts.iter().map(|c| c.name.text.as_str()));
                }
                _ => {}
            }
        }
        let own: Vec<&str> = entries.iter().flat_map(|entry| names(entry)).collect();
        let mut given: Vec<(&str, &str, Scope)> = Vec::new();
        for (number, (name, value)) in options.definitions.iter().enumerate() {
            let wrong = |message: String| Problem::new(Place::Definition(number), message);
            let scope = match declared.contains(&name.as_str()) {
                true => Scope::File,
                false if own.contains(&name.as_str()) => Scope::Entry,
                false => {
                    let known = declared.iter().chain(&own).copied();
                    let help = advice(name, known, "these can be given:");
                    return Err(wrong(format!("the file has no `{name}` to define\n{help}")));
                }
            };
            if given.iter().any(|(before, ..)| before == name) {
                return Err(wrong(format!("`{name}` is defined twice")));
            }
            if !einmesh_lower::Options::default().define(name, value) {
                return Err(wrong(format!(
                    "`{value}` is neither a number, a dtype, nor true or false"
                )));
            }
            given.push((name, value, scope));
        }
        Ok(Definitions { given })
    }

    /// Adds those that concern an entry to the options of its compilation.
    pub fn apply(&self, entry: &Fn, options: &mut einmesh_lower::Options) {
        for (name, value, scope) in &self.given {
            if *scope == Scope::File || names(entry).any(|own| own == *name) {
                let known = options.define(name, value);
                debug_assert!(known, "checked before");
            }
        }
    }
}

/// What of an entry's own can be defined.
fn names(entry: &Fn) -> impl Iterator<Item = &str> {
    let generics = entry.generics.iter().map(|(name, _)| name.text.as_str());
    let defaults = entry.params.iter().filter(|param| param.default.is_some());
    generics.chain(defaults.map(|param| param.name.text.as_str()))
}
