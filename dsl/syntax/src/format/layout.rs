//! Lines: where they start, how far they are indented, and where wide ones are broken.

use super::breaks::Break;
use super::outline::{Bracket, Outline, Start};
use super::{WIDTH, spacing};
use crate::lex::Kind;
use std::ops::Range;

/// A line of the output.
pub(super) struct Line {
    /// How far it is indented.
    pub indent: usize,
    /// Whether a blank line stands before it.
    pub blank: bool,
    /// Its tokens; dropped ones included.
    pub tokens: Range<usize>,
    /// For each token, whether a space stands before it.
    pub spaces: Vec<bool>,
    /// For each token, how many brackets are open within the statement or field.
    pub depths: Vec<u16>,
    /// Its width without a comment at its end, indentation included.
    pub code_width: usize,
    /// Whether it is the first line of a declaration, statement or field.
    pub is_first: bool,
    /// Where to cut it, if it is too wide.
    pub cuts: Vec<usize>,
}

/// The lines of a file.
pub(super) fn lines(outline: &Outline<'_>) -> Vec<Line> {
    let mut ctx = Ctx {
        o: outline,
        frames: Vec::new(),
        base: 0,
        further: 2,
        lines: Vec::new(),
        line: None,
        breaks: vec![0; outline.tokens.len()],
    };
    for at in 0..outline.tokens.len() {
        ctx.token(at);
    }
    ctx.finish();
    ctx.lines
}

/// A bracket that is open.
pub(super) struct Frame {
    /// The token that opened it.
    pub open: usize,
    /// The indentation of the line it stands on; for a block, of its statement.
    pub indent: usize,
    /// Whether a line break follows it directly.
    pub hanging: bool,
}

pub(super) struct Ctx<'o, 't> {
    pub o: &'o Outline<'t>,
    /// The brackets that are open, the innermost last.
    pub frames: Vec<Frame>,
    /// The indentation of the statement, declaration or field.
    pub base: usize,
    /// How much further its other lines are indented.
    pub further: usize,
    lines: Vec<Line>,
    line: Option<Line>,
    /// For each token, the indentation of a line that would start there.
    pub breaks: Vec<usize>,
}

impl Ctx<'_, '_> {
    fn token(&mut self, at: usize) {
        let o = self.o;
        let closes = self.closes(at);
        self.breaks[at] = self.field_indent(at).unwrap_or_else(|| self.continuation(at));
        if let Some(Break { indent, may_be_blank, is_first }) = self.break_before(at) {
            let indent = if self.hangs(at) { self.breaks[at] } else { indent };
            let follows = self.line.is_some();
            self.finish();
            self.line = Some(Line {
                indent,
                blank: follows && may_be_blank && o.breaks_before(at) > 1,
                tokens: at..at,
                spaces: Vec::new(),
                depths: Vec::new(),
                code_width: indent,
                is_first,
                cuts: Vec::new(),
            });
            if is_first && o.tokens[at].kind != Kind::Comment && !closes {
                self.base = indent;
            }
        }
        match o.starts[at] {
            Start::Item { further } => self.further = further,
            Start::Stmt | Start::Decorated => self.further = 2,
            Start::Nothing => {}
        }
        if closes
            && let Some(frame) = self.frames.pop()
            && self.is_block(&frame)
        {
            self.base = frame.indent;
        }
        self.put(at);
        if o.brackets[at] != Bracket::No {
            let line = self.line.as_ref().map_or(0, |line| line.indent);
            let indent = if self.is_brace(at) { self.base } else { line };
            self.frames.push(Frame { open: at, indent, hanging: false });
            if self.is_brace(at) {
                self.further = 2;
            }
        }
    }

    /// Whether the break before a token makes the bracket before it hang. The lines within are then
    /// indented from the bracket's.
    fn hangs(&mut self, at: usize) -> bool {
        let opener = self.o.before(at);
        let closes = self.closes(at);
        let Some(top) = self.frames.last_mut() else {
            return false;
        };
        if closes
            || opener != Some(top.open)
            || matches!(self.o.brackets[top.open], Bracket::Block | Bracket::Fields)
        {
            return false;
        }
        top.hanging = true;
        self.breaks[at] = self.continuation(at);
        true
    }

    /// Adds a token to the line.
    fn put(&mut self, at: usize) {
        let bracket = self.frames.last().map_or(Bracket::No, |top| self.o.brackets[top.open]);
        let depth = self.frames.iter().rev().take_while(|frame| !self.is_block(frame)).count();
        let o = self.o;
        let Some(line) = &mut self.line else { return };
        let before = (line.tokens.start..at).rev().find(|i| !o.dropped[*i]);
        let space =
            before.is_some_and(|left| spacing::between(o, left, at, bracket)) && !o.dropped[at];
        line.spaces.push(space);
        line.depths.push(depth as u16);
        line.tokens.end = at + 1;
        if o.tokens[at].kind != Kind::Comment {
            line.code_width += o.width(at) + usize::from(space);
        }
    }

    /// Ends the line; says where to cut one that is too wide.
    fn finish(&mut self) {
        let Some(mut line) = self.line.take() else {
            return;
        };
        if line.code_width > WIDTH {
            let mut from = 0;
            let mut indent = line.indent;
            while let Some(at) = self.best_cut(&line, from, indent) {
                line.cuts.push(at);
                from = at - line.tokens.start;
                indent = self.breaks[at];
            }
        }
        self.lines.push(line);
    }

    /// Where to cut what is left of a line, if it is too wide: outside of as many brackets as possible,
    /// as late as fits.
    fn best_cut(&self, line: &Line, from: usize, indent: usize) -> Option<usize> {
        let o = self.o;
        let mut width = indent;
        let mut best: Option<(bool, u16, u8, usize)> = None;
        for i in from..line.tokens.len() {
            if width > WIDTH && best.is_some() {
                break;
            }
            let at = line.tokens.start + i;
            if o.tokens[at].kind == Kind::Comment {
                continue;
            }
            if i > from
                && line.spaces[i]
                && let Some(rank) = self.cut_rank(at)
            {
                let fits = width <= WIDTH;
                let depth = line.depths[i];
                let better = match best {
                    None => true,
                    Some((best_fits, best_depth, best_rank, _)) => {
                        fits && best_fits && (depth, rank) <= (best_depth, best_rank)
                    }
                };
                if better {
                    best = Some((fits, depth, rank, at));
                }
            }
            width += usize::from(line.spaces[i] && i > from) + o.width(at);
        }
        best.filter(|_| width > WIDTH).map(|(_, _, _, at)| at)
    }

    /// How good a cut before a token is; the lower, the better.
    fn cut_rank(&self, at: usize) -> Option<u8> {
        let o = self.o;
        let left = at - 1;
        if o.dropped[at] || self.is_brace(at) || self.closes(at) {
            return None;
        }
        let operator = |at: usize, of: &[&str]| of.contains(&o.word(at)) && !o.is_unary(at);
        Some(match () {
            () if o.is(left, ",") || o.is(at, "->") => 0,
            () if operator(at, &["and", "or"]) => 1,
            () if operator(at, &["+", "-"]) => 2,
            () if operator(at, &["*", "/", "%"]) => 3,
            () if o.assigns(left) && !o.is_store(left) => 4,
            () => return None,
        })
    }
}
