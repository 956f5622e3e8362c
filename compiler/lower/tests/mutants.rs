//! Programs with tokens removed, doubled or exchanged: whatever they say, nothing panics, and what still
//! lowers verifies.

mod common;

use common::{from_text, options, repository};
use einmesh_lower::{check, entries, lower};

/// The pieces of a text between which tokens begin.
fn tokens(text: &str) -> Vec<&str> {
    let mut pieces = Vec::new();
    let mut start = 0;
    let word = |c: char| c.is_alphanumeric() || c == '_';
    let chars: Vec<(usize, char)> = text.char_indices().collect();
    for pair in chars.windows(2) {
        if !(word(pair[0].1) && word(pair[1].1)) {
            pieces.push(&text[start..pair[1].0]);
            start = pair[1].0;
        }
    }
    pieces.push(&text[start..]);
    pieces
}

#[test]
fn mutants_never_panic() {
    let mut state = 7_u64;
    let mut next = move |n: usize| {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % n
    };
    let defines = "B=2 T=3 S=4 P=6 V=7 D=8 H=4 G=2 F=6 L=2 E=4 M=3 A=2 Q=2";
    let count: usize =
        std::env::var("EINMESH_MUTANTS").ok().and_then(|v| v.parse().ok()).unwrap_or(12);
    for name in ["std", "gpt2", "llama3", "lora", "mixtral", "t5", "train", "decode", "fragments"] {
        let path = format!("tests/programs/{name}.ein");
        let text = std::fs::read_to_string(repository().join(&path)).expect("readable");
        for _ in 0..count {
            let mut pieces = tokens(&text);
            for _ in 0..1 + next(3) {
                let (a, b) = (next(pieces.len()), next(pieces.len()));
                match next(4) {
                    0 => {
                        pieces.remove(a);
                    }
                    1 => pieces.insert(a, pieces[b]),
                    2 => pieces.swap(a, b),
                    _ => pieces[a] = pieces[b],
                }
            }
            let mutant = pieces.concat();
            let source = from_text(&path, &mutant);
            let mut all = options("", "");
            for define in defines.split(' ') {
                let (name, value) = define.split_once('=').expect("NAME=VALUE");
                if mutant.contains(&format!("{name},")) || mutant.contains(&format!(" {name} ")) {
                    all.define(name, value);
                }
            }
            source.rendered(&check(&source.modules, &options("", "")));
            for (entry, _) in entries(&source.modules) {
                all.entry = entry;
                let (lowered, _) = lower(&source.modules, &all);
                if let Some(lowered) = lowered {
                    let violations = einmesh_ir::verify::verify(&lowered.program);
                    let list: Vec<String> = violations.iter().map(|v| v.to_string()).collect();
                    assert!(list.is_empty(), "{}\n{mutant}", list.join("\n"));
                }
            }
        }
    }
}
