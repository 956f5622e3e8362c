//! From a place where parsing stopped to a diagnostic that a person understands.
//!
//! First the usual slips ([`slips`], [`tokens`]), each with the corrected text; else what was expected
//! and what was found ([`expected`]).

mod expected;
mod forms;
mod items;
mod slips;
mod tokens;

use crate::grammar::Rule;
use crate::lex::{KEYWORDS, Kind, Token};
use einmesh_diagnostics::{Diagnostic, FileId, Span};
pub(crate) use items::unknown_item;
use std::ops::Range;

/// A piece of text that did not parse.
pub(crate) struct Mistake<'t> {
    /// Its file.
    pub file: FileId,
    /// The file's text.
    pub text: &'t str,
    /// The tokens of the item it is part of.
    pub tokens: &'t [Token],
    /// The token after the item.
    pub next: Option<Token>,
    /// The piece.
    pub range: Range<usize>,
    /// The token that nothing fits; `range.end` if the piece ends too early.
    pub at: usize,
    /// What the piece was parsed as.
    pub entry: Rule,
    /// What would have fitted.
    pub expected: &'t [Rule],
}

/// Says what is wrong.
pub(crate) fn explain(mistake: &Mistake<'_>) -> Diagnostic {
    tokens::find(mistake)
        .or_else(|| forms::find(mistake))
        .or_else(|| slips::find(mistake))
        .unwrap_or_else(|| expected::describe(mistake))
}

impl Mistake<'_> {
    /// The token that nothing fits, or the one after a piece that ends too early.
    fn found(&self) -> Option<Token> {
        self.token(self.at)
    }

    fn token(&self, at: usize) -> Option<Token> {
        match at == self.tokens.len() {
            true => self.next,
            false => self.tokens.get(at).copied(),
        }
    }

    /// Whether the piece stops before it is complete.
    fn ends_early(&self) -> bool {
        self.at >= self.range.end
    }

    /// The text of a token of the item; nothing beyond its ends.
    fn word(&self, at: usize) -> &str {
        self.tokens.get(at).map_or("", |t| t.text(self.text))
    }

    /// The text of the token `back` before the one that nothing fits, within the piece.
    fn before(&self, back: usize) -> &str {
        match self.at.checked_sub(back) {
            Some(at) if at >= self.range.start => self.word(at),
            _ => "",
        }
    }

    /// Whether this would have fitted.
    fn expects(&self, rule: Rule) -> bool {
        self.expected.contains(&rule)
    }

    /// Whether an operand would have fitted.
    fn expects_operand(&self) -> bool {
        use Rule::*;
        self.expected
            .iter()
            .any(|rule| matches!(rule, expr | operand | post | group | guard | condition))
    }

    /// Whether the token ends an operand.
    fn ends_operand(&self, at: usize) -> bool {
        self.tokens.get(at).is_some_and(|t| t.ends_operand(self.text))
    }

    /// Whether the token may start an operand.
    fn starts_operand(&self, token: &Token) -> bool {
        match token.kind {
            Kind::Word => !KEYWORDS.contains(&token.text(self.text)),
            Kind::Number | Kind::Text => true,
            Kind::Punct => token.is(self.text, "("),
            Kind::OpenText | Kind::Comment | Kind::Unknown => false,
        }
    }

    /// The place of the mistake: the token that nothing fits, or the end of a piece that is not
    /// complete.
    fn place(&self) -> Span {
        match self.found() {
            Some(token) if !self.ends_early() || self.range.is_empty() => token.span(self.file),
            _ => self.end(),
        }
    }

    /// The empty span after the last token before the mistake.
    fn end(&self) -> Span {
        let end = self.at.min(self.tokens.len()).checked_sub(1).map_or(0, |i| self.tokens[i].end);
        Span { file: self.file, start: end, end }
    }

    /// The text from one token to another, if it is short and on one line.
    fn short(&self, range: Range<usize>) -> Option<&str> {
        let (first, last) =
            (self.tokens.get(range.start)?, self.tokens.get(range.end.checked_sub(1)?)?);
        let text = self.text.get(first.start as usize..last.end as usize)?;
        (text.len() <= 80 && !text.contains('\n')).then_some(text)
    }

    /// The innermost bracket of the piece that is open at a token.
    fn open_bracket(&self, at: usize) -> Option<usize> {
        let mut closed = 0usize;
        (self.range.start..at).rev().find(|i| match self.word(*i) {
            ")" | "]" | "}" if self.tokens[*i].kind == Kind::Punct => {
                closed += 1;
                false
            }
            "(" | "[" | "{" if closed > 0 => {
                closed -= 1;
                false
            }
            "(" | "[" | "{" => true,
            _ => false,
        })
    }

    /// The token after the bracket that `open` opens, if it is closed within the piece.
    fn after_bracket(&self, open: usize) -> Option<usize> {
        let mut depth = 0usize;
        for i in open..self.range.end {
            match self.word(i) {
                "(" | "[" | "{" => depth += 1,
                ")" | "]" | "}" => depth = depth.checked_sub(1)?,
                _ => {}
            }
            if depth == 0 {
                return Some(i + 1);
            }
        }
        None
    }
}
