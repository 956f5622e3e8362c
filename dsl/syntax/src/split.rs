//! Where items start and end, by keywords alone, so that a mistake in one leaves the others readable.

use crate::lex::{ITEM_KEYWORDS, KEYWORDS, Kind, Token};
use std::ops::Range;

/// The ranges of `tokens` (without comments) that are one item each. They cover all tokens; a range
/// that does not start with an item's keyword is text that belongs to no item.
///
/// An item's keyword starts an item where it is the first of its line, even within brackets, since
/// then a closing one was forgotten; elsewhere only outside brackets and after a complete item. A name
/// that starts a line there starts something unknown, for no item goes on with one.
pub(crate) fn items(text: &str, tokens: &[Token]) -> Vec<Range<usize>> {
    let mut starts = Vec::new();
    // Kinds of brackets are counted apart, so that a stray `)` closes no block.
    let mut open = [0usize; 3];
    for (i, token) in tokens.iter().enumerate() {
        // Most tokens are neither: they are on a line and within brackets.
        let outside =
            open == [0; 3] && i.checked_sub(1).is_none_or(|i| is_complete(text, &tokens[..=i]));
        if token.kind == Kind::Word && (token.first || outside) {
            let exported = i > 0 && tokens[i - 1].is(text, "export");
            // `type: f32` in a record is a field with a forbidden name.
            let named =
                tokens.get(i + 1).is_some_and(|t| matches!(t.kind, Kind::Word | Kind::Text));
            let keyword = token.is_one_of(text, ITEM_KEYWORDS) && !exported && (named || outside);
            let unknown = token.first && outside && !token.is_one_of(text, KEYWORDS);
            if keyword || unknown {
                starts.push(i);
                open = [0; 3];
            }
        }
        if token.kind == Kind::Punct {
            match token.text(text) {
                "(" => open[0] += 1,
                "[" => open[1] += 1,
                "{" => open[2] += 1,
                ")" => open[0] = open[0].saturating_sub(1),
                "]" => open[1] = open[1].saturating_sub(1),
                "}" => open[2] = open[2].saturating_sub(1),
                _ => {}
            }
        }
    }
    if starts.first() != Some(&0) && !tokens.is_empty() {
        starts.insert(0, 0);
    }
    let ends = starts.iter().skip(1).copied().chain([tokens.len()]);
    starts.iter().copied().zip(ends).map(|(start, end)| start..end).collect()
}

/// Whether an item may end with the last of these tokens: an operand, or the `*` of `use "x": *`.
fn is_complete(text: &str, tokens: &[Token]) -> bool {
    match tokens {
        [.., colon, star] if star.is(text, "*") => colon.is(text, ":"),
        [.., last] => last.ends_operand(text),
        [] => true,
    }
}
