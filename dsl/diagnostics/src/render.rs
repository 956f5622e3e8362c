//! Rendering in rustc's style.

use crate::{Diagnostic, Severity, SourceMap};
use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};

/// The text of a diagnostic, with source lines and carets; `color` adds ANSI colours.
pub fn render(diagnostic: &Diagnostic, sources: &SourceMap, color: bool) -> String {
    let code = diagnostic.code.to_string();
    let level = match diagnostic.severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
    };
    let mut files: Vec<_> = Vec::new();
    for label in &diagnostic.labels {
        if !files.contains(&label.span.file) {
            files.push(label.span.file);
        }
    }
    let snippets = files.into_iter().map(|file| {
        let labels = diagnostic
            .labels
            .iter()
            .filter(move |l| l.span.file == file);
        Snippet::source(sources.text(file))
            .path(sources.name(file))
            .annotations(labels.map(|label| {
                let kind = if label.primary {
                    AnnotationKind::Primary
                } else {
                    AnnotationKind::Context
                };
                let range = label.span.start as usize..label.span.end as usize;
                let annotation = kind.span(range);
                if label.message.is_empty() {
                    annotation
                } else {
                    annotation.label(label.message.as_str())
                }
            }))
    });
    let mut group = Group::with_title(
        level
            .primary_title(diagnostic.message.as_str())
            .id(code.as_str()),
    );
    for snippet in snippets {
        group = group.element(snippet);
    }
    for note in &diagnostic.notes {
        group = group.element(Level::NOTE.message(note.as_str()));
    }
    for help in &diagnostic.help {
        group = group.element(Level::HELP.message(help.as_str()));
    }
    let renderer = if color {
        Renderer::styled()
    } else {
        Renderer::plain()
    };
    renderer.render(&[group]).to_string()
}
