//! Which bracket closes which, where some are missing.

use crate::lex::{Kind, Token};
use crate::recover::statements::starts_assignment;
use einmesh_diagnostics::{Diagnostic, FileId, Span, codes::syntax as codes};

/// The brackets of an item.
pub(crate) struct Brackets {
    /// For each token that opens, the token that closes it, or where it should have been closed.
    close: Vec<Option<Close>>,
    /// Tokens that a mistake was reported at, sorted.
    wrong: Vec<usize>,
}

/// Where a bracket ends.
#[derive(Clone, Copy)]
pub(crate) struct Close {
    /// The closing token, or the first one that belongs no more to what is within.
    pub at: usize,
    /// Whether the closing token is there.
    pub real: bool,
}

impl Brackets {
    /// Where the bracket that `open` opens ends.
    pub fn close(&self, open: usize) -> Close {
        self.close[open].unwrap_or(Close { at: self.close.len(), real: false })
    }

    /// Whether a mistake was reported within these tokens.
    pub fn wrong_within(&self, range: &std::ops::Range<usize>) -> bool {
        let first = self.wrong.partition_point(|at| *at < range.start);
        self.wrong.get(first).is_some_and(|at| *at < range.end)
    }
}

/// Matches brackets and reports those without a partner. What should have closed a bracket is guessed
/// from what cannot stand in it (an assignment in parentheses, a `{`) and, for braces, from the
/// indentation.
pub(crate) fn check(
    file: FileId,
    text: &str,
    tokens: &[Token],
    report: &mut dyn FnMut(Diagnostic),
) -> Brackets {
    let mut ctx = Ctx {
        file,
        text,
        tokens,
        open: Vec::new(),
        brackets: Brackets { close: vec![None; tokens.len()], wrong: Vec::new() },
        lacks_braces: count(text, tokens, "{") > count(text, tokens, "}"),
        report,
    };
    for at in 0..tokens.len() {
        ctx.token(at);
    }
    while let Some(open) = ctx.open.pop() {
        ctx.unclosed(open, tokens.len());
    }
    ctx.brackets.wrong.sort_unstable();
    ctx.brackets
}

fn count(text: &str, tokens: &[Token], what: &str) -> usize {
    tokens.iter().filter(|t| t.is(text, what)).count()
}

struct Ctx<'t> {
    file: FileId,
    text: &'t str,
    tokens: &'t [Token],
    /// Tokens that opened and are not closed.
    open: Vec<usize>,
    brackets: Brackets,
    /// Whether a `}` is missing somewhere.
    lacks_braces: bool,
    report: &'t mut dyn FnMut(Diagnostic),
}

impl Ctx<'_> {
    fn token(&mut self, at: usize) {
        let token = &self.tokens[at];
        // Not in a function's head, whose parameters may have defaults.
        if self.in_block()
            && self.top_is_round()
            && token.first
            && starts_assignment(self.text, self.tokens, at)
        {
            self.close_round(at);
        }
        if token.first && token.is(self.text, "@") {
            self.close_round(at);
        }
        if token.kind != Kind::Punct {
            return;
        }
        match token.text(self.text) {
            "{" => {
                // An import's list follows a `:`, every other brace a complete head.
                self.close_round(at);
                self.open.push(at);
            }
            "(" | "[" => self.open.push(at),
            "}" => {
                self.close_round(at);
                while self.lacks_braces
                    && token.first
                    && self.open.len() > 1
                    && self.is_outdented(at)
                {
                    let open = self.open.pop().expect("it is not empty");
                    self.unclosed(open, at);
                    self.lacks_braces = false;
                }
                self.close(at, "{");
            }
            ")" => self.close(at, "("),
            "]" => self.close(at, "["),
            _ => {}
        }
    }

    fn close(&mut self, at: usize, opener: &str) {
        match self.open.last() {
            Some(open) if self.tokens[*open].is(self.text, opener) => {
                self.brackets.close[*open] = Some(Close { at, real: true });
                self.open.pop();
            }
            // `(b,t]`: the wrong closing bracket, unless it fits one further out.
            Some(open) if opener != "{" && !self.tokens[*open].is(self.text, "{") => {
                let open = *open;
                let outer = self.open[..self.open.len() - 1].iter().rev();
                let mut outer = outer.take_while(|i| !self.tokens[**i].is(self.text, "{"));
                let fits = outer.any(|i| self.tokens[*i].is(self.text, opener));
                self.open.pop();
                if fits {
                    self.unclosed(open, at);
                    self.close(at, opener);
                } else {
                    self.mismatched(open, at);
                }
            }
            _ => {
                let message = format!("this `{}` closes nothing", self.tokens[at].text(self.text));
                self.brackets.wrong.push(at);
                let error = Diagnostic::error(codes::BRACKETS, message)
                    .at(self.span(at), "no bracket is open here");
                (self.report)(error.help("remove it, or open a bracket before it"));
            }
        }
    }

    /// Gives up `(` and `[` that are open.
    fn close_round(&mut self, at: usize) {
        while self.top_is_round() {
            let open = self.open.pop().expect("there is a top");
            self.unclosed(open, at);
        }
    }

    fn top_is_round(&self) -> bool {
        self.open.last().is_some_and(|i| !self.tokens[*i].is(self.text, "{"))
    }

    fn in_block(&self) -> bool {
        self.open.iter().any(|i| self.tokens[*i].is(self.text, "{"))
    }

    /// Whether a `}` stands further left than the line whose `{` it would close.
    fn is_outdented(&self, at: usize) -> bool {
        self.open.last().is_some_and(|open| self.indent(at) < self.indent(*open))
    }

    /// The indentation of the line that a token is on.
    fn indent(&self, at: usize) -> usize {
        let start = self.tokens[at].start as usize;
        let line = self.text[..start].rfind('\n').map_or(0, |i| i + 1);
        self.text[line..].bytes().take_while(|b| matches!(b, b' ' | b'\t')).count()
    }

    fn unclosed(&mut self, open: usize, at: usize) {
        self.brackets.close[open] = Some(Close { at, real: false });
        self.brackets.wrong.push(open);
        let (opener, closer) = self.pair(open);
        let mut error =
            Diagnostic::error(codes::BRACKETS, format!("this `{opener}` is never closed"))
                .at(self.span(open), format!("`{closer}` is missing"));
        if at < self.tokens.len() {
            error = error.also(self.span(at), format!("`{closer}` is expected before this"));
        } else if let Some(last) = self.tokens.last() {
            let end = Span { file: self.file, start: last.end, end: last.end };
            error = error.also(end, format!("`{closer}` is expected here at the latest"));
        }
        (self.report)(error.help(format!("add `{closer}`")));
    }

    fn mismatched(&mut self, open: usize, at: usize) {
        self.brackets.close[open] = Some(Close { at, real: true });
        self.brackets.wrong.push(at);
        let (opener, closer) = self.pair(open);
        let found = self.tokens[at].text(self.text);
        let error =
            Diagnostic::error(codes::BRACKETS, format!("`{opener}` is closed by `{found}`"))
                .at(self.span(at), format!("`{closer}` is expected"))
                .also(self.span(open), "opened here");
        (self.report)(error.help(format!("write `{closer}` instead of `{found}`")));
    }

    fn pair(&self, open: usize) -> (&'static str, &'static str) {
        match self.tokens[open].text(self.text) {
            "(" => ("(", ")"),
            "[" => ("[", "]"),
            _ => ("{", "}"),
        }
    }

    fn span(&self, at: usize) -> Span {
        self.tokens[at].span(self.file)
    }
}
