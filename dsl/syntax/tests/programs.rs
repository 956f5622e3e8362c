//! The nine programs of the language's design.

use einmesh_diagnostics::{SourceMap, render};
use einmesh_syntax::parse;

/// Name and text of each program.
pub fn programs() -> Vec<(String, String)> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/programs");
    let mut all: Vec<_> = std::fs::read_dir(folder)
        .expect("the programs are there")
        .map(|entry| entry.expect("a readable folder").path())
        .map(|path| {
            (
                path.file_stem().unwrap().to_string_lossy().into(),
                std::fs::read_to_string(&path).unwrap(),
            )
        })
        .collect();
    all.sort();
    all
}

#[test]
fn all_programs_parse() {
    let programs = programs();
    assert_eq!(programs.len(), 9);
    for (name, text) in programs {
        let mut sources = SourceMap::new();
        let file = sources.add(name, text.clone());
        let (tree, diagnostics) = parse(file, &text);
        let rendered: Vec<_> = diagnostics.iter().map(|d| render(d, &sources, false)).collect();
        assert!(rendered.is_empty(), "{}", rendered.join("\n"));
        assert!(tree.items.len() > 5);
    }
}
