//! Expressions that the flat grammar accepts and the language does not.

use super::Builder;
use einmesh_diagnostics::{Diagnostic, Span, codes::syntax as codes};

impl Builder<'_> {
    /// `a < b < c`.
    pub(super) fn chained_comparison(&mut self, first: Span, second: Span, whole: Span) {
        let text = |span: Span| self.source[span.start as usize..span.end as usize].trim();
        let (left, middle, right) = (
            text(Span { end: first.start, ..whole }),
            text(Span { start: first.end, end: second.start, ..whole }),
            text(Span { start: second.end, ..whole }),
        );
        let help = format!(
            "write `{left} {} {middle} and {middle} {} {right}`",
            text(first),
            text(second)
        );
        let mut error = Diagnostic::error(codes::COMPARISON_CHAIN, "comparisons cannot be chained")
            .at(second, "a second comparison")
            .also(first, "the first one");
        if help.len() < 120 && !help.contains('\n') {
            error = error.help(help);
        } else {
            error = error.help("join two comparisons with `and`");
        }
        self.diagnostics.push(error);
    }

    /// `1.e5`, `2(x)`: the grammar reads a field or a call of a number.
    pub(super) fn suffix_of_number(&mut self, number: &str, suffix: &str, at: Span) {
        let suffix = suffix.trim();
        let message =
            format!("`{number}` can be followed by neither a field, a subscript nor a call");
        let error = Diagnostic::error(codes::NUMBER, message).at(at, "not a number");
        let exponent = suffix.strip_prefix('.').filter(|rest| rest.starts_with(['e', 'E']));
        self.diagnostics.push(match exponent {
            Some(exponent) => error.help(format!(
                "digits stand on both sides of the point: write `{number}.0{exponent}`"
            )),
            None if suffix.starts_with('(') => {
                error.help(format!("for a product write `{number} * {}`", short(suffix)))
            }
            None => error,
        });
    }

    /// `a == not b`, `-not b`.
    pub(super) fn misplaced_not(&mut self, at: Span, whole: Span) {
        let operand = self.source[at.end as usize..whole.end as usize].trim();
        let error = Diagnostic::error(
            codes::MISPLACED_NOT,
            "`not` binds looser than the operator before it",
        )
        .at(at, "an operand is expected here");
        let corrected = format!("put it in parentheses: `(not {})`", short(operand));
        self.diagnostics.push(error.help(corrected));
    }
}

/// Text for a help line: long or broken texts are left out.
fn short(text: &str) -> &str {
    if text.len() <= 60 && !text.contains('\n') { text } else { "(…)" }
}
