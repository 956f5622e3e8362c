//! Where lines break, and how far the next one is indented.

use super::layout::{Ctx, Frame};
use super::outline::{Bracket, Start};
use crate::lex::Kind;

/// A line break.
pub(super) struct Break {
    /// The indentation of the line after it.
    pub indent: usize,
    /// Whether a blank line of the source is kept.
    pub may_be_blank: bool,
    /// Whether the line is the first one of a declaration, statement or field, or ends a block.
    pub is_first: bool,
}

impl Break {
    /// Before a line that starts something, or ends a block.
    fn first(indent: usize) -> Break {
        Break { indent, may_be_blank: false, is_first: true }
    }

    /// Before a line that goes on with what an earlier one started.
    fn further(indent: usize) -> Break {
        Break { indent, may_be_blank: false, is_first: false }
    }
}

impl Ctx<'_, '_> {
    /// The line break before a token, if there is one.
    pub fn break_before(&self, at: usize) -> Option<Break> {
        let o = self.o;
        let Some(previous) = at.checked_sub(1) else {
            return Some(Break::first(0));
        };
        let after_comment = o.tokens[previous].kind == Kind::Comment;
        let broken = o.tokens[at].first || after_comment || o.cut[at];
        if o.tokens[at].kind == Kind::Comment {
            return self.before_comment(at);
        }
        match o.starts[at] {
            Start::Item { .. } => Some(self.line_of_block(at)),
            Start::Stmt => self.is_open().then(|| self.line_of_block(at)),
            Start::Decorated => broken.then(|| Break::first(self.base)),
            Start::Nothing if self.starts_line(at) && self.is_open() && self.block().is_some() => {
                self.in_open_block(at, broken)
            }
            Start::Nothing => self.in_statement(at, broken, after_comment),
        }
    }

    /// A comment at the end of a line stays there; one on its own line is indented as what follows.
    fn before_comment(&self, at: usize) -> Option<Break> {
        let o = self.o;
        if !o.tokens[at].first {
            return None;
        }
        let between = o.after(at).is_none_or(|next| self.starts_line(next));
        Some(match between && self.is_open() {
            true => self.line_of_block(at),
            false => Break::further(self.breaks[at]),
        })
    }

    /// A field of a record, or the end of a block, where each stands on lines of its own.
    fn in_open_block(&self, at: usize, broken: bool) -> Option<Break> {
        let block = self.block()?;
        if self.o.partner[block.open] == at {
            return Some(Break::first(block.indent));
        }
        // Fields share lines as the author likes; the first one starts a line.
        let is_first = self.o.before(at) == Some(block.open);
        (broken || is_first).then(|| self.line_of_block(at))
    }

    /// Within a statement or a head, where the author's breaks are kept if they make sense.
    fn in_statement(&self, at: usize, broken: bool, after_comment: bool) -> Option<Break> {
        let o = self.o;
        let further = Break::further(self.breaks[at]);
        match o.word(at) {
            "{" if self.is_brace(at) => after_comment.then(|| Break::further(self.base)),
            "else" if o.is(at - 1, "}") => {
                // Below an arm on one line; after one on several lines it stands beside the brace.
                let arm = o.partner[at - 1];
                (o.tokens[at].first && !o.open[arm]).then(|| Break::first(self.base))
            }
            "," | ":" if o.tokens[at].kind == Kind::Punct => after_comment.then_some(further),
            ")" | "]" | "}" if o.tokens[at].kind == Kind::Punct => {
                let frame = self.frames.last()?;
                match frame.hanging && o.tokens[at].first {
                    true => Some(Break::further(frame.indent)),
                    false => after_comment.then_some(further),
                }
            }
            _ => broken.then_some(further),
        }
    }

    /// A line of the innermost block's own. Blank lines before it are kept, except after the brace.
    fn line_of_block(&self, at: usize) -> Break {
        let after_brace = at.checked_sub(1).is_some_and(|previous| self.is_brace(previous));
        let indent = self.block().map_or(0, |block| block.indent + 2);
        Break { may_be_blank: !after_brace, ..Break::first(indent) }
    }

    /// Whether a token starts a declaration, statement or field, or ends a block.
    fn starts_line(&self, at: usize) -> bool {
        let o = self.o;
        let starts = o.starts[at] != Start::Nothing;
        let Some(block) = self.block() else {
            return starts;
        };
        starts || o.partner[block.open] == at || self.starts_field(at, block)
    }

    fn starts_field(&self, at: usize, block: &Frame) -> bool {
        let after = |i: usize| i == block.open || self.o.is(i, ",");
        self.o.brackets[block.open] == Bracket::Fields && self.o.before(at).is_some_and(after)
    }

    /// The indentation of a field that starts here, in a record on several lines.
    pub fn field_indent(&self, at: usize) -> Option<usize> {
        let block = self.block()?;
        let is_field = self.starts_field(at, block) && self.o.partner[block.open] != at;
        (is_field && self.is_open() && self.o.tokens[at].kind != Kind::Comment)
            .then_some(block.indent + 2)
    }

    /// The indentation of a line that goes on with what an earlier one started.
    pub fn continuation(&self, at: usize) -> usize {
        let o = self.o;
        let brackets = self.frames.iter().rev().take_while(|frame| !self.is_block(frame));
        let Some((depth, hanging)) = brackets.enumerate().find(|(_, frame)| frame.hanging) else {
            return self.base + self.further;
        };
        let starts = depth == 0 && o.before(at).is_some_and(|i| o.is(i, ",") || i == hanging.open);
        hanging.indent + if starts { 2 } else { 4 }
    }

    /// The innermost bracket that is open, if it is a block.
    fn block(&self) -> Option<&Frame> {
        self.frames.last().filter(|top| self.is_block(top))
    }

    /// Whether what is directly in the innermost block stands on lines of its own.
    fn is_open(&self) -> bool {
        self.block().is_none_or(|block| self.o.open[block.open])
    }

    /// Whether a token closes a bracket.
    pub fn closes(&self, at: usize) -> bool {
        self.o.tokens[at].kind == Kind::Punct && matches!(self.o.word(at), ")" | "]" | "}")
    }

    /// Whether a token opens a block or a record's fields.
    pub fn is_brace(&self, at: usize) -> bool {
        matches!(self.o.brackets[at], Bracket::Block | Bracket::Fields)
    }

    /// Whether an open bracket is that of a block or of a record's fields.
    pub fn is_block(&self, frame: &Frame) -> bool {
        self.is_brace(frame.open)
    }
}
