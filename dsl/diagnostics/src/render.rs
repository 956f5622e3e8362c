//! Rendering in rustc's style.

use crate::{Diagnostic, Diagnostics, FileId, Label, Severity, SourceMap};
use annotate_snippets::{Annotation, AnnotationKind, Group, Level, Renderer, Snippet};
use std::ops::Range;

/// Lines longer than this are shown only around what is said of them.
const LONG_LINE: usize = 240;

/// How many bytes of a long line are shown before and after a place.
const AROUND: usize = 60;

/// The text of a diagnostic, with source lines and carets; `color` adds ANSI colours.
pub fn render(diagnostic: &Diagnostic, sources: &SourceMap, color: bool) -> String {
    let code = diagnostic.code.to_string();
    let level = match diagnostic.severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
    };
    let mut files: Vec<FileId> = Vec::new();
    for label in &diagnostic.labels {
        if !files.contains(&label.span.file) {
            files.push(label.span.file);
        }
    }
    let title = level.primary_title(diagnostic.message.as_str()).id(code.as_str());
    let mut group = Group::with_title(title);
    let mut wrong = Vec::new();
    for file in files {
        let labels = diagnostic.labels.iter().filter(|l| l.span.file == file).collect();
        for place in places(sources, file, labels) {
            wrong.extend(place.wrong);
            group = group.element(place.snippet);
        }
    }
    for note in &diagnostic.notes {
        group = group.element(Level::NOTE.message(note.as_str()));
    }
    for help in &diagnostic.help {
        group = group.element(Level::HELP.message(help.as_str()));
    }
    let renderer = if color { Renderer::styled() } else { Renderer::plain() };
    let mut rendered = renderer.render(&[group]).to_string();
    for (wrong, right) in wrong {
        rendered = rendered.replacen(&wrong, &right, 1);
    }
    rendered
}

/// All diagnostics, separated by blank lines, and [`summary`].
pub fn render_all(diagnostics: &Diagnostics, sources: &SourceMap, color: bool) -> String {
    let mut out = String::new();
    for diagnostic in diagnostics.iter() {
        out.push_str(&render(diagnostic, sources, color));
        out.push_str("\n\n");
    }
    if let Some(summary) = summary(diagnostics) {
        out.push_str(&summary);
        out.push('\n');
    }
    out
}

/// A line that counts: `error: aborting due to 3 errors; 1 warning`. Nothing if there is nothing to count.
pub fn summary(diagnostics: &Diagnostics) -> Option<String> {
    let count = |severity| diagnostics.iter().filter(|d| d.severity == severity).count();
    let plural =
        |count: usize, what: &str| format!("{count} {what}{}", if count == 1 { "" } else { "s" });
    let warnings = count(Severity::Warning);
    match (count(Severity::Error), warnings) {
        (0, 0) => None,
        (0, _) => Some(format!("warning: {}", plural(warnings, "warning"))),
        (errors, 0) => Some(format!("error: aborting due to {}", plural(errors, "error"))),
        (errors, _) => Some(format!(
            "error: aborting due to {}; {}",
            plural(errors, "error"),
            plural(warnings, "warning")
        )),
    }
}

/// Lines of a file, with what is said of them.
struct Place<'s> {
    snippet: Snippet<'s, Annotation<'s>>,
    /// The position that the renderer shows for them and the true one, where a line was cut.
    wrong: Option<(String, String)>,
}

/// The lines of a file that labels are on.
fn places<'s>(sources: &'s SourceMap, file: FileId, labels: Vec<&'s Label>) -> Vec<Place<'s>> {
    let text = sources.text(file);
    let ranges: Vec<Range<usize>> = labels.iter().map(|label| within(text, label)).collect();
    let first = ranges.iter().map(|range| range.start).min().unwrap_or(0);
    let last = ranges.iter().map(|range| range.end).max().unwrap_or(0);
    // Only the lines concerned are handed on: the renderer's time grows with the text.
    let start = text[..first].rfind('\n').map_or(0, |i| i + 1);
    let end = text[last..].find('\n').map_or(text.len(), |i| last + i);
    let shown = &text[start..end];
    if shown.lines().any(|line| line.len() > LONG_LINE) {
        return labels
            .iter()
            .zip(ranges)
            .map(|(label, range)| cutout(sources, label, range))
            .collect();
    }
    let annotations = labels
        .iter()
        .zip(&ranges)
        .map(|(label, range)| annotation(label, range.start - start..range.end - start));
    let snippet = Snippet::source(shown)
        .line_start(text[..start].bytes().filter(|b| *b == b'\n').count() + 1)
        .path(sources.name(file))
        .annotations(annotations);
    vec![Place { snippet, wrong: None }]
}

/// What stands around a label in a long line.
fn cutout<'s>(sources: &'s SourceMap, label: &'s Label, range: Range<usize>) -> Place<'s> {
    let text = sources.text(label.span.file);
    let line_start = text[..range.start].rfind('\n').map_or(0, |i| i + 1);
    let line_end = text[range.start..].find('\n').map_or(text.len(), |i| range.start + i);
    let start = floor(text, range.start.saturating_sub(AROUND).max(line_start));
    let end = range.end.min(range.start + AROUND).saturating_add(AROUND).min(line_end);
    let end = floor(text, end).max(range.start);
    let before = if start > line_start { "…" } else { "" };
    let after = if end < line_end { "…" } else { "" };
    let shift = |at: usize| at.clamp(start, end) - start + before.len();
    let (name, (line, column)) = (sources.name(label.span.file), sources.position(label.span));
    let shown = format!("{before}{}{after}", &text[start..end]);
    let shown_column = shown[..shift(range.start)].chars().count() + 1;
    let snippet = Snippet::source(shown)
        .line_start(line)
        .path(name)
        .annotation(annotation(label, shift(range.start)..shift(range.end)));
    Place {
        snippet,
        wrong: Some((format!("{name}:{line}:{shown_column}"), format!("{name}:{line}:{column}"))),
    }
}

fn annotation(label: &Label, range: Range<usize>) -> Annotation<'_> {
    let kind = if label.primary { AnnotationKind::Primary } else { AnnotationKind::Context };
    let annotation = kind.span(range);
    if label.message.is_empty() { annotation } else { annotation.label(label.message.as_str()) }
}

/// A label's range, moved to where the text has characters: a place that is a little off is better than
/// none.
fn within(text: &str, label: &Label) -> Range<usize> {
    let start = floor(text, label.span.start as usize);
    start..floor(text, label.span.end as usize).max(start)
}

/// The last start of a character that is not after `at`.
fn floor(text: &str, at: usize) -> usize {
    let mut at = at.min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}
