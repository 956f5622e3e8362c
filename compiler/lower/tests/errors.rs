//! Wrong programs: `tests/errors/*.ein` with what is said about them beside it. `BLESS=1` writes what is
//! said now; review the difference.
//!
//! A first line `// lower ENTRY [-D …] [--plan NAME]` lowers an entry instead of checking the file.

mod common;

use common::{from_text, options, repository};
use einmesh_lower::{check, lower};
use std::collections::BTreeSet;

fn said(name: &str, text: &str) -> (String, Vec<String>) {
    let source = from_text(&format!("tests/errors/{name}"), text);
    let first = text.lines().next().unwrap_or_default();
    let diagnostics = match first.strip_prefix("// lower ") {
        None => check(&source.modules, &options("", "")),
        Some(rest) => {
            let mut words = rest.split_whitespace();
            let mut options = options(words.next().expect("an entry"), "");
            while let Some(word) = words.next() {
                let value = words.next().expect("a value");
                match word {
                    "--plan" => options.plan = Some(value.to_owned()),
                    _ => {
                        let (name, value) = value.split_once('=').expect("NAME=VALUE");
                        assert!(options.define(name, value));
                    }
                }
            }
            let (program, diagnostics) = lower(&source.modules, &options);
            assert_eq!(program.is_none(), diagnostics.has_errors());
            diagnostics
        }
    };
    let codes = diagnostics.iter().map(|d| d.code.to_string()).collect();
    (source.rendered(&diagnostics), codes)
}

#[test]
fn wrong_programs_are_explained() {
    let folder = repository().join("tests/errors");
    let mut files: Vec<_> =
        std::fs::read_dir(&folder).expect("tests/errors").flatten().map(|e| e.path()).collect();
    files.retain(|p| p.extension().is_some_and(|e| e == "ein"));
    files.sort();
    assert!(files.len() >= 60, "{} wrong programs", files.len());
    let mut wrong = Vec::new();
    let mut seen = BTreeSet::new();
    for path in files {
        let name = path.file_name().expect("a name").to_string_lossy().into_owned();
        let text = std::fs::read_to_string(&path).expect("readable");
        let (now, codes) = said(&name, &text);
        assert!(!codes.is_empty(), "{name}: nothing is said");
        seen.extend(codes);
        let expected = path.with_extension("stderr");
        if std::env::var_os("BLESS").is_some() {
            std::fs::write(&expected, &now).expect("writable");
        } else if std::fs::read_to_string(&expected).unwrap_or_default() != now {
            wrong.push(format!("{name}:\n{now}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    for explanation in einmesh_diagnostics::codes::language::ALL.concat() {
        let code = explanation.code.to_string();
        assert!(seen.contains(&code), "no wrong program has {code}");
    }
}

/// The blocks of source in an explanation.
fn blocks(text: &str) -> Vec<&str> {
    text.split("```ein\n").skip(1).filter_map(|rest| rest.split("\n```").next()).collect()
}

#[test]
fn explanations_hold() {
    for explanation in einmesh_diagnostics::codes::language::ALL.concat() {
        let code = explanation.code.to_string();
        let blocks = blocks(explanation.text);
        let (good, bad) = blocks.split_last().expect("a working example");
        assert_eq!(bad.len(), 1, "{code} needs a failing example");
        for bad in bad {
            let bad = bad.replace("// einmesh build main.ein --entry ", "// lower ");
            let (rendered, mut codes) = said("main.ein", &bad);
            codes.dedup();
            assert_eq!(codes, [code.as_str()], "{bad}\n{rendered}");
        }
        let (rendered, codes) = said("main.ein", good);
        assert!(codes.is_empty(), "{code}: {good}\n{rendered}");
    }
}
