//! The nine programs of the language's design check, but for what is said to come later; and what of
//! them is complete lowers to programs that verify.

mod common;

use common::{from_file, lowered, options};
use einmesh_lower::check;

/// The codes that checking a program gives, in order.
fn codes(path: &str) -> Vec<String> {
    let source = from_file(path);
    let diagnostics = check(&source.modules, &options("", ""));
    let rendered = source.rendered(&diagnostics);
    let mut codes: Vec<String> = diagnostics.iter().map(|d| d.code.to_string()).collect();
    codes.dedup();
    if codes.iter().any(|c| !c.starts_with("E059")) {
        panic!("{rendered}");
    }
    codes
}

#[test]
fn every_program_checks() {
    let none: [&str; 0] = [];
    assert_eq!(codes("tests/programs/std.ein"), none);
    assert_eq!(codes("tests/programs/gpt2.ein"), ["E0594"]);
    assert_eq!(codes("tests/programs/llama3.ein"), none);
    assert_eq!(codes("tests/programs/lora.ein"), ["E0590"]);
    assert_eq!(codes("tests/programs/mixtral.ein"), none);
    assert_eq!(codes("tests/programs/t5.ein"), none);
    assert_eq!(codes("tests/programs/train.ein"), ["E0590", "E0593"]);
    assert_eq!(codes("tests/programs/decode.ein"), ["E0592"]);
    assert_eq!(codes("tests/programs/fragments.ein"), ["E0591"]);
}

#[test]
fn models_lower() {
    let gpt2 = from_file("models/gpt2.ein");
    for entry in ["forward", "loss"] {
        lowered(&gpt2, &options(entry, "B=2 T=4 P=6 V=11 D=6 H=2 F=8 L=3"));
    }
}
