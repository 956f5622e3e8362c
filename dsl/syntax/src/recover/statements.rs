//! Where statements start and end, by tokens alone.

use crate::lex::{KEYWORDS, Kind, Token};
use crate::recover::brackets::Brackets;
use std::ops::Range;

/// A statement's tokens.
pub(crate) enum Piece {
    /// Without a block, decorators included.
    Simple(Range<usize>),
    /// `for`, `while` or an arm of an `if`: its head (decorators included) and its body.
    Compound {
        /// From the first decorator or keyword to the brace.
        head: Range<usize>,
        /// What stands in the braces; empty if there are none.
        body: Range<usize>,
        /// Whether the arm belongs to the `if` before it.
        continues: bool,
    },
}

/// The statements within `range`, which is the inside of a block.
pub(crate) fn split(
    text: &str,
    tokens: &[Token],
    brackets: &Brackets,
    range: Range<usize>,
) -> Vec<Piece> {
    let mut pieces = Vec::new();
    let mut at = range.start;
    while at < range.end {
        let start = at;
        at = skip_decorators(text, tokens, brackets, at..range.end);
        let is = |i: usize, what: &str| i < range.end && tokens[i].is(text, what);
        let continues = is(at, "else");
        if continues || is(at, "for") || is(at, "while") || is(at, "if") {
            let from = at + 1 + usize::from(continues && is(at + 1, "if"));
            let open = end(text, tokens, brackets, from..range.end, true);
            let head = start..open;
            let (body, after) = if is(open, "{") {
                let close = brackets.close(open);
                let inner = close.at.min(range.end);
                (open + 1..inner, (inner + usize::from(close.real)).min(range.end))
            } else {
                (open..open, open)
            };
            pieces.push(Piece::Compound { head, body, continues });
            at = after;
        } else {
            at = end(text, tokens, brackets, at..range.end, false).max(start + 1);
            pieces.push(Piece::Simple(start..at));
        }
    }
    pieces
}

/// The first token after the decorators at the start of a range.
fn skip_decorators(
    text: &str,
    tokens: &[Token],
    brackets: &Brackets,
    range: Range<usize>,
) -> usize {
    let mut at = range.start;
    while at < range.end && tokens[at].is(text, "@") {
        at += 1;
        if at < range.end && tokens[at].kind == Kind::Word {
            at += 1;
        }
        if at < range.end && tokens[at].is(text, "(") && touches(tokens, at) {
            at = after_bracket(brackets, at, range.end);
        }
    }
    at
}

/// The first token after a bracket's end.
fn after_bracket(brackets: &Brackets, open: usize, end: usize) -> usize {
    let close = brackets.close(open);
    (close.at + usize::from(close.real)).clamp(open + 1, end.max(open + 1))
}

/// Where the statement at the start of a range ends; of a head, which ends before a brace, where that is.
fn end(
    text: &str,
    tokens: &[Token],
    brackets: &Brackets,
    range: Range<usize>,
    head: bool,
) -> usize {
    let mut at = range.start;
    while at < range.end {
        let token = &tokens[at];
        if head && token.is(text, "{")
            || at > range.start && starts_statement(text, tokens, brackets, at)
        {
            return at;
        }
        at = match ["(", "[", "{"].iter().any(|open| token.is(text, open)) {
            true => after_bracket(brackets, at, range.end),
            false => at + 1,
        };
    }
    range.end
}

/// Whether a token, which is not the first of its statement, starts the next one.
fn starts_statement(text: &str, tokens: &[Token], brackets: &Brackets, at: usize) -> bool {
    let (token, before) = (&tokens[at], &tokens[at - 1]);
    let complete = before.ends_operand(text);
    match token.kind {
        Kind::Word if matches!(token.text(text), "for" | "while" | "if") => complete || token.first,
        Kind::Word if KEYWORDS.contains(&token.text(text)) => false,
        // `x max= y` has its operator here.
        Kind::Word if is_max_or_min_store(text, tokens, at) => token.first && complete,
        Kind::Word if complete => token.first || starts_assignment(text, tokens, at),
        Kind::Word => token.first && starts_assignment(text, tokens, at),
        Kind::Punct if token.is(text, "@") => true,
        // Either `(a, b) = …`, or a call whose bracket does not touch its function.
        Kind::Punct if token.is(text, "(") && complete && !touches(tokens, at) => {
            let close = brackets.close(at);
            close.real
                && tokens
                    .get(close.at + 1)
                    .is_some_and(|next| ASSIGNMENTS.iter().any(|op| next.is(text, op)))
        }
        _ => false,
    }
}

/// Whether a token touches the one before it.
pub(crate) fn touches(tokens: &[Token], at: usize) -> bool {
    at > 0 && tokens[at - 1].end == tokens[at].start
}

fn is_max_or_min_store(text: &str, tokens: &[Token], at: usize) -> bool {
    tokens[at].is_one_of(text, &["max", "min"])
        && tokens.get(at + 1).is_some_and(|next| next.is(text, "="))
        && touches(tokens, at + 1)
}

/// The operators of assignments, and what people write for them.
const ASSIGNMENTS: &[&str] = &["=", ":=", "+=", "-=", "*=", "/="];

/// How far an assignment's operator may be from its left side's start.
const LOOK_AHEAD: usize = 200;

/// Whether a left side and an assignment's operator start here.
pub(crate) fn starts_assignment(text: &str, tokens: &[Token], at: usize) -> bool {
    let is_name = |i: usize| {
        tokens.get(i).is_some_and(|t| t.kind == Kind::Word && !KEYWORDS.contains(&t.text(text)))
    };
    let is = |i: usize, what: &str| tokens.get(i).is_some_and(|t| t.is(text, what));
    if !is_name(at) {
        return false;
    }
    let mut i = skip_path(text, tokens, at + 1);
    if is(i, ":") {
        // `z[b,t]: f32[B,T] = …`
        if !is_name(i + 1) {
            return false;
        }
        i = skip_path(text, tokens, i + 2);
    }
    i < tokens.len()
        && (ASSIGNMENTS.iter().any(|op| is(i, op)) || is_max_or_min_store(text, tokens, i))
}

/// Skips `.name` and touching brackets.
fn skip_path(text: &str, tokens: &[Token], from: usize) -> usize {
    let mut i = from;
    while i < tokens.len() && i < from + LOOK_AHEAD {
        if tokens[i].is(text, ".") {
            i += 2;
        } else if (tokens[i].is(text, "[") || tokens[i].is(text, "(")) && touches(tokens, i) {
            let mut depth = 0usize;
            while i < tokens.len() && i < from + LOOK_AHEAD {
                match tokens[i].text(text) {
                    "(" | "[" => depth += 1,
                    ")" | "]" => depth -= 1,
                    "{" | "}" => return i,
                    _ => {}
                }
                i += 1;
                if depth == 0 {
                    break;
                }
            }
        } else {
            break;
        }
    }
    i
}
