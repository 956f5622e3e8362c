//! Any text is read without a panic, in bounded time; what is said about it is within it.

mod common;

use common::{Random, Writer, cases, milliseconds, shape};
use einmesh_diagnostics::{SourceMap, render};
use einmesh_syntax::{ast, format, parse};

/// Declarations of the design's programs, and random ones.
fn seeds() -> Vec<String> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/programs");
    let mut paths: Vec<_> = std::fs::read_dir(folder)
        .expect("the programs are there")
        .map(|e| e.expect("a readable folder").path())
        .collect();
    paths.sort();
    let mut seeds: Vec<String> = (0..200).map(Writer::program).collect();
    for path in paths {
        let text = std::fs::read_to_string(path).expect("a readable file");
        // Blank lines separate declarations that belong together.
        seeds.extend(text.split("\n\n").map(str::to_string));
    }
    seeds
}

/// Pieces that a mutation moves about: words, numbers, single other characters.
fn pieces(text: &str) -> Vec<&str> {
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let mut out = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let end = match is_word(first) {
            true => rest.find(|c| !is_word(c)).unwrap_or(rest.len()),
            false => first.len_utf8(),
        };
        let (piece, after) = rest.split_at(end);
        out.push(piece);
        rest = after;
    }
    out
}

const INSERTED: &[&str] = &[
    "(",
    ")",
    "[",
    "]",
    "{",
    "}",
    ",",
    ":",
    "=",
    ":=",
    "==",
    "|",
    "||",
    "&&",
    "!",
    "**",
    "->",
    "..",
    "@",
    "\"",
    "//",
    ";",
    "^",
    "-",
    "else",
    "if",
    "for",
    "fn",
    "dim",
    "record",
    "type",
    "limit",
    "not",
    "x",
    "1e",
    "2.",
    "é",
    "×",
    "\u{0}",
    "\n",
    "\t",
    " ",
    "\u{feff}",
    "👩‍👩‍👧",
    "max=",
    "1e999999999999",
];

fn mutate(random: &mut Random, seeds: &[String]) -> String {
    let text = &seeds[random.below(seeds.len())];
    let other = &seeds[random.below(seeds.len())];
    let mut pieces = pieces(text);
    for _ in 0..=random.below(4) {
        if pieces.is_empty() {
            break;
        }
        let at = random.below(pieces.len());
        let to = random.below(pieces.len());
        match random.below(7) {
            0 => drop(pieces.remove(at)),
            1 => pieces.insert(at, pieces[at]),
            2 => pieces.swap(at, to),
            3 | 4 => pieces.insert(at, random.pick(INSERTED)),
            5 => pieces.truncate(at),
            _ => {
                let mut start = random.below(other.len() + 1);
                while !other.is_char_boundary(start) {
                    start -= 1;
                }
                pieces.insert(at, &other[start..]);
            }
        }
    }
    pieces.concat()
}

/// Reads a text and checks what must hold for any.
fn check(text: &str) {
    let mut sources = SourceMap::new();
    let file = sources.add("fuzz.ein", text);
    let (tree, diagnostics) = parse(file, text);
    for (i, diagnostic) in diagnostics.iter().enumerate() {
        assert!(!diagnostic.message.is_empty());
        assert!(!diagnostic.labels.is_empty(), "{}", diagnostic.message);
        for label in &diagnostic.labels {
            assert!(label.span.start <= label.span.end);
            // Panics outside of the text and within characters.
            sources.snippet(label.span);
        }
        if i < 2 {
            assert!(render(diagnostic, &sources, false).starts_with("error[E01"));
        }
    }
    for item in &tree.items {
        if let ast::Item::Fn(function) = item {
            let snippet = sources.snippet(function.span);
            assert!(snippet.starts_with("fn") || snippet.starts_with("export"), "{snippet}");
        }
    }
    match format(text) {
        Err(errors) => assert!(errors.has_errors() && diagnostics.has_errors()),
        Ok(formatted) => {
            assert!(!diagnostics.has_errors());
            let (again, errors) = parse(file, &formatted);
            assert!(errors.is_empty(), "{text}\n---\n{formatted}");
            assert_eq!(shape(&tree), shape(&again), "{text}\n---\n{formatted}");
            assert_eq!(format(&formatted).expect("it parses"), formatted, "{text}");
        }
    }
}

#[test]
fn mutated_programs() {
    let seeds = seeds();
    let mut random = Random(7);
    let took = milliseconds(|| {
        for _ in 0..cases(5_000) {
            check(&mutate(&mut random, &seeds));
        }
    });
    assert!(took < cases(10_000), "{took} ms");
}

#[test]
fn random_bytes() {
    let mut random = Random(11);
    for _ in 0..cases(500) {
        let bytes: Vec<u8> = (0..random.below(200)).map(|_| random.next() as u8).collect();
        check(&String::from_utf8_lossy(&bytes));
        let tokens: String = (0..random.below(60)).map(|_| random.pick(INSERTED)).collect();
        check(&tokens);
    }
}
