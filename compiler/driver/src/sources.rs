//! Reading source files and what they import.

use crate::request::Source;
use crate::session::{Failure, Session};
use einmesh_lower::{Modules, imports, resolve};
use einmesh_syntax::ast::File;
use std::collections::BTreeMap;
use std::path::Path;

/// The standard library, part of every program.
pub const PRELUDE: &str = include_str!("../../../models/std/prelude.ein");

/// The files of the standard library that programs import: `use "std/optimizers.ein"`, from anywhere.
const STD: [(&str, &str); 1] =
    [("std/optimizers.ein", include_str!("../../../models/std/optimizers.ein"))];

/// Reads and parses a program, the prelude, and all that they import.
pub fn load(session: &mut Session, source: &Source) -> Result<Modules, Failure> {
    let prelude = parse(session, "std/prelude.ein", PRELUDE);
    let (root, text) = match source {
        Source::File(path) => {
            let name = path.to_string_lossy().into_owned();
            match std::fs::read_to_string(path) {
                Ok(text) => (name, text),
                Err(why) => {
                    return Err(Failure::Unreadable { path: name, why: why.to_string() });
                }
            }
        }
        Source::Text { name, text } => (name.clone(), text.clone()),
    };
    let mut files: BTreeMap<String, File> = BTreeMap::new();
    let mut waiting = vec![(root.clone(), text)];
    while let Some((path, text)) = waiting.pop() {
        let parsed = parse(session, &path, &text);
        let imported = imports(&parsed);
        files.insert(path.clone(), parsed);
        for import in imported {
            let target = resolve(&path, &import.text);
            let known = files.contains_key(&target) || waiting.iter().any(|(p, _)| *p == target);
            // A file of the user's goes before the library's. Lowering reports those that are not there.
            let own = || std::fs::read_to_string(&target).ok();
            let std = || STD.iter().find(|(name, _)| *name == import.text).map(|s| s.1.to_owned());
            if !known && let Some(text) = own().or_else(std) {
                waiting.push((target, text));
            }
        }
    }
    Ok(Modules { root, files, prelude })
}

fn parse(session: &mut Session, name: &str, text: &str) -> File {
    let id = session.sources.add(name, text);
    let (file, found) = einmesh_syntax::parse(id, text);
    session.diagnostics.extend(found);
    file
}

/// Reads a program without compiling it.
pub fn read(source: &Source) -> (Session, Result<Modules, Failure>) {
    let mut session = Session::default();
    let modules = load(&mut session, source);
    let broken = session.diagnostics.has_errors();
    (session, modules.and_then(|m| if broken { Err(Failure::Diagnosed) } else { Ok(m) }))
}

/// Checks a file without compiling an entry of it.
pub fn check(file: &Path) -> (Session, Option<Failure>) {
    let mut session = Session::default();
    let modules = match load(&mut session, &Source::File(file.to_owned())) {
        Ok(modules) => modules,
        Err(failure) => return (session, Some(failure)),
    };
    let found = einmesh_lower::check(&modules, &einmesh_lower::Options::default());
    session.diagnostics.extend(found);
    let failure = session.diagnostics.has_errors().then_some(Failure::Diagnosed);
    (session, failure)
}
