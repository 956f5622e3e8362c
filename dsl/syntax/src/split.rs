//! Where items start and end, by keywords alone, so that a mistake in one leaves the others readable.

use crate::lex::{ITEM_KEYWORDS, Kind, Token};
use std::ops::Range;

/// The ranges of `tokens` (without comments) that are one item each. They cover all tokens; a range
/// that does not start with an item's keyword is text that belongs to no item.
///
/// An item's keyword starts an item where it is the first of its line, even within brackets, since
/// then a closing one was forgotten; elsewhere only outside brackets and after a complete item.
pub(crate) fn items(text: &str, tokens: &[Token]) -> Vec<Range<usize>> {
    let mut starts = Vec::new();
    let mut depth = 0usize;
    for (i, token) in tokens.iter().enumerate() {
        let before = i.checked_sub(1).map(|i| &tokens[i]);
        let exported = before.is_some_and(|t| t.is(text, "export"));
        let complete = before.is_none_or(|t| t.ends_operand(text) || t.is(text, "*"));
        if token.is_one_of(text, ITEM_KEYWORDS)
            && !exported
            && (token.first || depth == 0 && complete)
        {
            starts.push(i);
            depth = 0;
        }
        if token.kind == Kind::Punct {
            match token.text(text) {
                "(" | "[" | "{" => depth += 1,
                ")" | "]" | "}" => depth = depth.saturating_sub(1),
                _ => {}
            }
        }
    }
    if starts.first() != Some(&0) && !tokens.is_empty() {
        starts.insert(0, 0);
    }
    let ends = starts.iter().skip(1).copied().chain([tokens.len()]);
    starts
        .iter()
        .copied()
        .zip(ends)
        .map(|(start, end)| start..end)
        .collect()
}
