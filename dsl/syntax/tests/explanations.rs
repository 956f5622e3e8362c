//! What `einmesh explain` shows of mistakes in syntax is true.

use einmesh_diagnostics::{FileId, codes};
use einmesh_syntax::{format, parse};

/// The ```ein blocks of a text.
fn examples(text: &str) -> Vec<&str> {
    text.split("```ein\n")
        .skip(1)
        .filter_map(|rest| rest.split_once("```"))
        .map(|(code, _)| code)
        .collect()
}

#[test]
fn failing_examples_fail_and_working_ones_work() {
    // Their examples would be too long to print; tests/limits.rs and tests/mistakes.rs have them.
    let sizes = ["E0101", "E0102", "E0103", "E0104", "E0105"];
    for explanation in codes::syntax::ALL {
        let code = explanation.code.to_string();
        let examples = examples(explanation.text);
        let [fails, works] = examples[..] else { panic!("{code} has {} examples", examples.len()) };
        let found: Vec<String> =
            parse(FileId(0), fails).1.iter().map(|d| d.code.to_string()).collect();
        assert!(found.contains(&code) || sizes.contains(&code.as_str()), "{code}: {found:?}");
        let (_, diagnostics) = parse(FileId(0), works);
        assert!(diagnostics.is_empty(), "{code}: {diagnostics:?}");
        assert_eq!(format(works).expect("it parses"), works, "{code}");
    }
}
