//! A statement's tokens as text of the language, and where each token stands in it.

use proc_macro2::{Delimiter, Spacing, Span, TokenStream, TokenTree};
use std::ops::Range;

/// A statement as text.
#[derive(Default)]
pub struct Text {
    /// The text.
    pub text: String,
    /// The bytes of each token.
    pub tokens: Vec<(Range<usize>, Span)>,
}

impl Text {
    /// The text of a statement.
    ///
    /// rustc's tokens do not say where there was space. Brackets touch what is before them if that can have
    /// subscripts or arguments.
    pub fn of(tokens: TokenStream) -> Text {
        let mut text = Text::default();
        text.write(tokens);
        text
    }

    fn write(&mut self, tokens: TokenStream) {
        let mut joint = false;
        for token in tokens {
            match &token {
                TokenTree::Group(group) => {
                    let (open, close) = match group.delimiter() {
                        Delimiter::Parenthesis => ("(", ")"),
                        Delimiter::Bracket => ("[", "]"),
                        Delimiter::Brace => ("{", "}"),
                        // Around what a macro_rules variable stands for.
                        Delimiter::None => ("", ""),
                    };
                    let touches =
                        self.text.ends_with(|c: char| c.is_alphanumeric() || "_)]([-".contains(c));
                    if !touches && !joint && !self.text.is_empty() && !open.is_empty() {
                        self.text.push(' ');
                    }
                    self.token(open, group.span_open());
                    self.write(group.stream());
                    self.token(close, group.span_close());
                    joint = false;
                }
                TokenTree::Punct(punct) => {
                    let tight = ",.:".contains(punct.as_char());
                    if !joint
                        && !tight
                        && !self.text.is_empty()
                        && !self.text.ends_with(['(', '[', ' '])
                    {
                        self.text.push(' ');
                    }
                    self.token(&punct.as_char().to_string(), punct.span());
                    joint = punct.spacing() == Spacing::Joint;
                }
                TokenTree::Ident(_) | TokenTree::Literal(_) => {
                    let touches = self.text.is_empty() || self.text.ends_with(['(', '[', ',', '.']);
                    if !touches {
                        self.text.push(' ');
                    }
                    self.token(&token.to_string(), token.span());
                    joint = false;
                }
            }
        }
    }

    fn token(&mut self, text: &str, span: Span) {
        let start = self.text.len();
        self.text.push_str(text);
        self.tokens.push((start..self.text.len(), span));
    }
}
