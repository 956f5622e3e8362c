//! The manual's examples are programs, laid out as the formatter does, and its codes exist.

use einmesh_diagnostics::{SourceMap, codes, render_all};
use einmesh_syntax::{format, parse};

const MANUAL: &str = include_str!("../../LANGUAGE.md");

/// The blocks of the manual in this language, with the line that each starts at.
fn blocks(language: &str) -> Vec<(usize, String)> {
    let mut blocks: Vec<(usize, String)> = Vec::new();
    let mut inside: Option<bool> = None;
    for (number, line) in MANUAL.lines().enumerate() {
        match (line.strip_prefix("```"), inside) {
            (Some(fence), None) => {
                inside = Some(fence == language);
                if fence == language {
                    blocks.push((number + 2, String::new()));
                }
            }
            (Some(_), Some(_)) => inside = None,
            (None, Some(true)) => {
                let block = blocks.last_mut().expect("a block was started");
                block.1.push_str(line);
                block.1.push('\n');
            }
            (None, _) => {}
        }
    }
    blocks
}

#[test]
fn examples_parse_and_are_formatted() {
    let blocks = blocks("ein");
    assert!(blocks.len() > 25, "{}", blocks.len());
    for (line, text) in blocks {
        let mut sources = SourceMap::new();
        let file = sources.add(format!("LANGUAGE.md from line {line}"), text.clone());
        let (tree, diagnostics) = parse(file, &text);
        assert!(diagnostics.is_empty(), "{}", render_all(&diagnostics, &sources, false));
        assert!(!tree.items.is_empty());
        assert_eq!(format(&text).expect("it parses"), text, "line {line}");
    }
}

#[test]
fn codes_that_are_mentioned_exist() {
    let mut found = 0;
    for (at, _) in MANUAL.match_indices("E0") {
        let code = &MANUAL[at..at + 5];
        assert!(codes::explain(code).is_some(), "{code}");
        found += 1;
    }
    assert!(found > 40, "{found}");
}

#[test]
fn links_lead_to_headings() {
    let anchor = |heading: &str| -> String {
        let kept = heading.chars().filter(|c| c.is_alphanumeric() || *c == ' ' || *c == '-');
        kept.map(|c| if c == ' ' { '-' } else { c.to_ascii_lowercase() }).collect()
    };
    let headings: Vec<String> =
        MANUAL.lines().filter_map(|l| l.strip_prefix("## ")).map(anchor).collect();
    for (at, _) in MANUAL.match_indices("](#") {
        let link = MANUAL[at + 3..].split(')').next().expect("a closed link");
        assert!(headings.iter().any(|heading| heading == link), "{link}");
    }
}
