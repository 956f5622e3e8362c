//! From the compiler's diagnostics to rustc's.

use einmesh_diagnostics::{Diagnostic, SourceMap, render};
use proc_macro2::{Span, TokenStream};
use quote::quote_spanned;
use std::ops::Range;

/// Where the pieces of a program's text stand in the user's source: bytes of the text, and the token.
#[derive(Debug)]
pub struct Places {
    /// In the order of the text.
    pub tokens: Vec<(Range<usize>, Span)>,
    /// For what no token stands for.
    pub whole: Span,
}

impl Places {
    /// An error at a range of the text.
    pub fn error(&self, range: Range<usize>, message: &str) -> syn::Error {
        syn::Error::new_spanned(self.around(range), message)
    }

    /// The tokens that a range of the text touches, as a stream that begins with the first and ends with the last:
    /// rustc underlines from the one to the other.
    fn around(&self, range: Range<usize>) -> TokenStream {
        let touched =
            self.tokens.iter().filter(|(own, _)| own.start < range.end && range.start < own.end);
        let spans: Vec<Span> = touched.map(|(_, span)| *span).collect();
        // What is missing at the end is missing after the last token.
        let end =
            self.tokens.last().filter(|(own, _)| own.end <= range.start).map(|(_, span)| *span);
        let first = spans.first().copied().or(end).unwrap_or(self.whole);
        let last = spans.last().copied().or(end).unwrap_or(self.whole);
        let (mut first, last) = (quote_spanned!(first=> _), quote_spanned!(last=> _));
        first.extend(last);
        first
    }
}

/// Diagnostics as rustc's errors, one for each. What is not in the user's own text is shown as on a terminal.
pub fn errors<'a>(
    diagnostics: impl Iterator<Item = &'a Diagnostic>,
    sources: &SourceMap,
    places: &Places,
) -> syn::Error {
    let mut all: Option<syn::Error> = None;
    for diagnostic in diagnostics {
        let error = error(diagnostic, sources, places);
        match &mut all {
            None => all = Some(error),
            Some(all) => all.combine(error),
        }
    }
    all.unwrap_or_else(|| syn::Error::new(places.whole, "the program was refused without a reason"))
}

fn error(diagnostic: &Diagnostic, sources: &SourceMap, places: &Places) -> syn::Error {
    let primary = diagnostic.labels.iter().find(|label| label.primary);
    let own = primary.filter(|label| sources.name(label.span.file) == crate::einsum::NAME);
    let Some(own) = own else {
        let rendered = render(diagnostic, sources, false);
        return syn::Error::new(places.whole, rendered);
    };
    let mut message = format!("{} [{}]", diagnostic.message, diagnostic.code);
    for label in &diagnostic.labels {
        let snippet = sources.snippet(label.span);
        if !label.message.is_empty() && !snippet.is_empty() {
            message += &format!("\n  `{}`: {}", snippet.trim(), label.message);
        }
    }
    for note in &diagnostic.notes {
        message += &format!("\nnote: {note}");
    }
    for help in &diagnostic.help {
        message += &format!("\nhelp: {help}");
    }
    let range = own.span.start as usize..own.span.end as usize;
    places.error(range, &message)
}
