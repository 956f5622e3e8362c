//! What a person sees.

use einmesh_diagnostics::codes::syntax::{BRACKETS, EXPECTED};
use einmesh_diagnostics::{
    Diagnostic, Diagnostics, FileId, SourceMap, Span, render, render_all, summary,
};

fn span(file: FileId, start: usize, end: usize) -> Span {
    Span { file, start: start as u32, end: end as u32 }
}

/// The span of the first occurrence of a word.
fn of(sources: &SourceMap, file: FileId, word: &str) -> Span {
    let start = sources.text(file).find(word).expect("the word is there");
    span(file, start, start + word.len())
}

#[test]
fn both_places_notes_and_help() {
    let mut sources = SourceMap::new();
    let file =
        sources.add("model.ein", "dim B = 4\n\nfn f(x: f32[B]) -> f32 {\n  out = (x + 1\n}\n");
    let diagnostic = Diagnostic::error(BRACKETS, "this `(` is never closed")
        .at(of(&sources, file, "(x +"), "`)` is missing")
        .also(of(&sources, file, "}"), "expected before this")
        .note("brackets come in pairs")
        .help("add `)`");
    let expected = "\
error[E0118]: this `(` is never closed
 --> model.ein:4:9
  |
4 |   out = (x + 1
  |         ^^^^ `)` is missing
5 | }
  | - expected before this
  |
  = note: brackets come in pairs
  = help: add `)`";
    assert_eq!(render(&diagnostic, &sources, false), expected);
    // The same with colours, and every time the same.
    let colored = render(&diagnostic, &sources, true);
    assert!(colored.contains("\u{1b}[") && !expected.contains('\u{1b}'));
    assert_eq!(colored, render(&diagnostic, &sources, true));
}

#[test]
fn several_files() {
    let mut sources = SourceMap::new();
    let other = sources.add("lib.ein", "// a library\ndim B = 4\n");
    let file = sources.add("model.ein", "dim B = 5\n");
    let diagnostic = Diagnostic::warning(EXPECTED, "two dims are called `B`")
        .at(of(&sources, file, "B"), "here")
        .also(of(&sources, other, "B"), "and here");
    let expected = "\
warning[E0110]: two dims are called `B`
 --> model.ein:1:5
  |
1 | dim B = 5
  |     ^ here
  |
 ::: lib.ein:2:5
  |
2 | dim B = 4
  |     - and here";
    assert_eq!(render(&diagnostic, &sources, false), expected);
}

#[test]
fn tabs_and_wide_characters_keep_the_carets_in_place() {
    let mut sources = SourceMap::new();
    let file = sources.add("a.ein", "\tlänge = \"日本\" + x // é\n");
    let diagnostic = Diagnostic::error(EXPECTED, "no").at(of(&sources, file, "x"), "");
    let rendered = render(&diagnostic, &sources, false);
    let lines: Vec<&str> = rendered.lines().collect();
    assert_eq!(lines[1], " --> a.ein:1:17");
    // Tabs are shown as four columns, and each of the two characters takes two.
    assert_eq!(lines[3], "1 |     länge = \"日本\" + x // é");
    assert_eq!(lines[4], "  |                      ^");
}

#[test]
fn empty_spans_and_the_end_of_the_file() {
    let mut sources = SourceMap::new();
    let file = sources.add("a.ein", "dim B =\n");
    let empty = sources.add("b.ein", "");
    let shown = |file, start, end| {
        render(
            &Diagnostic::error(EXPECTED, "no").at(span(file, start, end), "here"),
            &sources,
            false,
        )
    };
    assert!(shown(file, 7, 7).ends_with("1 | dim B =\n  |        ^ here"));
    assert!(shown(file, 8, 8).contains(" --> a.ein:"));
    assert!(shown(empty, 0, 0).ends_with("1 |\n  | ^ here"));
    // Spans that are wrong, beyond the end or within a character, still show something.
    assert!(shown(file, 100, 200).contains("here"));
    let unicode = sources.clone().add("c.ein", "é");
    assert_eq!(unicode, FileId(2));
    let mut sources = sources.clone();
    let unicode = sources.add("c.ein", "é");
    let split = Diagnostic::error(EXPECTED, "no").at(span(unicode, 1, 1), "here");
    assert!(render(&split, &sources, false).contains("1 | é"));
}

#[test]
fn a_span_of_several_lines() {
    let mut sources = SourceMap::new();
    let file = sources.add("a.ein", "fn f() -> f32 {\n  out = 1\n}\n");
    let diagnostic = Diagnostic::error(EXPECTED, "no").at(span(file, 14, 27), "this block");
    let expected = "\
error[E0110]: no
 --> a.ein:1:15
  |
1 |   fn f() -> f32 {
  |  _______________^
2 | |   out = 1
3 | | }
  | |_^ this block";
    assert_eq!(render(&diagnostic, &sources, false), expected);
}

#[test]
fn long_lines_are_cut() {
    let mut sources = SourceMap::new();
    let line = format!("{}é wrong {}", "a + ".repeat(100_000), "b".repeat(100_000));
    let file = sources.add("a.ein", format!("dim B\n{line}\n"));
    let diagnostic = Diagnostic::error(EXPECTED, "no")
        .at(of(&sources, file, "wrong"), "here")
        .also(of(&sources, file, "B"), "there");
    let rendered = render(&diagnostic, &sources, false);
    assert!(rendered.len() < 1000, "{}", rendered.len());
    assert!(rendered.contains(" --> a.ein:2:400003\n"), "{rendered}");
    assert!(rendered.contains("… a + a"), "{rendered}");
    assert!(rendered.contains("a + é wrong bbb"), "{rendered}");
    let lines: Vec<&str> = rendered.lines().collect();
    let at = lines.iter().position(|line| line.contains("wrong")).expect("the line is shown");
    let column = |line: &str, what| line.find(what).map(|i| line[..i].chars().count());
    assert_eq!(column(lines[at], "wrong"), column(lines[at + 1], "^^^^^ here"));
}

#[test]
fn large_files_are_rendered() {
    let mut sources = SourceMap::new();
    let file = sources.add("a.ein", "dim B = 4\n".repeat(1_600_000));
    let end = sources.text(file).len();
    let rendered = render(
        &Diagnostic::error(EXPECTED, "no").at(span(file, end - 2, end - 1), "here"),
        &sources,
        false,
    );
    assert!(rendered.contains("a.ein:1600000:9"), "{rendered}");
}

#[test]
fn diagnostics_without_places() {
    let diagnostic = Diagnostic::error(EXPECTED, "the file is missing").help("look elsewhere");
    let expected = "error[E0110]: the file is missing\n  |\n  = help: look elsewhere";
    assert_eq!(
        render(&diagnostic, &SourceMap::new(), false).replace("\n |\n =", "\n  |\n  ="),
        expected
    );
}

#[test]
fn summaries_count() {
    let mut diagnostics = Diagnostics::new();
    assert_eq!(summary(&diagnostics), None);
    diagnostics.push(Diagnostic::warning(EXPECTED, "w"));
    assert_eq!(summary(&diagnostics).as_deref(), Some("warning: 1 warning"));
    diagnostics.push(Diagnostic::error(EXPECTED, "a"));
    diagnostics.push(Diagnostic::error(EXPECTED, "a"));
    assert_eq!(summary(&diagnostics).as_deref(), Some("error: aborting due to 1 error; 1 warning"));
    diagnostics.push(Diagnostic::error(EXPECTED, "b"));
    assert_eq!(
        summary(&diagnostics).as_deref(),
        Some("error: aborting due to 2 errors; 1 warning")
    );
    let all = render_all(&diagnostics, &SourceMap::new(), false);
    assert!(all.starts_with("warning[E0110]: w\n\nerror[E0110]: a\n\n"), "{all}");
    assert!(all.ends_with("\n\nerror: aborting due to 2 errors; 1 warning\n"), "{all}");
}
