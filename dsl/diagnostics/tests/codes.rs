//! The registry of codes is complete and in order.

use einmesh_diagnostics::codes::{self, Explanation, all, explain};

/// Blocks of code in an explanation: between fences, or indented by four spaces.
fn examples(text: &str) -> usize {
    let mut fenced = false;
    let mut count = 0;
    let mut before_is_code = false;
    for line in text.lines() {
        let fence = line.starts_with("```");
        count += usize::from(fence && !fenced);
        fenced ^= fence;
        let indented = !fenced && line.starts_with("    ");
        count += usize::from(indented && !before_is_code);
        before_is_code = indented || before_is_code && line.trim().is_empty();
    }
    count
}

#[test]
fn numbers_are_unique_and_in_their_stages_range() {
    let language = codes::language::ALL.concat();
    let stages: [(&[Explanation], std::ops::Range<u16>); 3] =
        [(codes::syntax::ALL, 100..200), (&language, 200..600), (codes::plan::ALL, 600..700)];
    for (stage, range) in stages {
        for explanation in stage {
            assert!(range.contains(&explanation.code.0), "{}", explanation.code);
        }
    }
    let all = all();
    for pair in all.windows(2) {
        assert!(pair[0].code < pair[1].code, "{} is there twice", pair[1].code);
    }
}

#[test]
fn every_code_is_explained_by_examples() {
    for explanation in all() {
        let code = explanation.code;
        assert!(!explanation.title.is_empty() && !explanation.title.ends_with('.'), "{code}");
        assert!(explanation.text.lines().count() >= 3, "{code}");
        // What fails may be a command line, which stands in the text.
        let needed = if explanation.text.contains("`-") { 1 } else { 2 };
        let found = examples(explanation.text);
        assert!(found >= needed, "{code} needs an example that fails and one that works");
        for line in explanation.text.lines() {
            assert!(
                line.chars().count() <= 120,
                "{code}: a line is too wide for a terminal: {line}"
            );
        }
    }
}

#[test]
fn codes_are_found_in_any_case() {
    assert_eq!(explain("E0110").map(|e| e.code), Some(codes::syntax::EXPECTED));
    assert_eq!(explain("e0110").map(|e| e.code), Some(codes::syntax::EXPECTED));
    assert!(explain("E9999").is_none());
    assert!(explain("110").is_none());
}
