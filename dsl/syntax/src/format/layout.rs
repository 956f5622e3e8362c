//! Lines: where they start, how far they are indented, and where wide ones are broken.

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
struct Frame {
    /// The token that opened it.
    open: usize,
    /// The indentation of the line it stands on; for a block, of its statement.
    indent: usize,
    /// Whether a line break follows it directly.
    hanging: bool,
}

/// A line break.
struct Break {
    indent: usize,
    /// Whether a blank line of the source is kept.
    may_be_blank: bool,
    is_first: bool,
}

struct Ctx<'o, 't> {
    o: &'o Outline<'t>,
    frames: Vec<Frame>,
    /// The indentation of the statement, declaration or field.
    base: usize,
    /// How much further its other lines are indented.
    further: usize,
    lines: Vec<Line>,
    line: Option<Line>,
    /// For each token, the indentation of a line that would start there.
    breaks: Vec<usize>,
}

impl Ctx<'_, '_> {
    fn token(&mut self, at: usize) {
        let o = self.o;
        let token = &o.tokens[at];
        let closes = token.kind == Kind::Punct && matches!(o.word(at), ")" | "]" | "}");
        self.breaks[at] = self.continuation(at);
        if let Some(field) = self.field_indent(at) {
            self.breaks[at] = field;
        }
        if let Some(Break {
            indent,
            may_be_blank,
            is_first,
        }) = self.break_before(at)
        {
            if let Some(top) = self.frames.last_mut()
                && !closes
                && o.before(at) == Some(top.open)
            {
                top.hanging = true;
                self.breaks[at] = self.continuation(at);
            }
            // Whether a bracket hangs is only known now.
            let is_block = self.frames.last().is_some_and(|top| self.is_block(top));
            let indent = if is_first || closes || is_block {
                indent
            } else {
                self.breaks[at]
            };
            let blank = may_be_blank
                && o.breaks_before(at) > 1
                && !self.lines.is_empty() | self.line.is_some();
            self.finish();
            self.line = Some(Line {
                indent,
                blank,
                tokens: at..at,
                spaces: Vec::new(),
                depths: Vec::new(),
                code_width: indent,
                is_first,
                cuts: Vec::new(),
            });
            if is_first && token.kind != Kind::Comment && !closes {
                self.base = indent;
            }
        }
        if let Start::Item { further } = o.starts[at] {
            self.further = further;
        } else if o.starts[at] != Start::Nothing {
            self.further = 2;
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
            self.frames.push(Frame {
                open: at,
                indent,
                hanging: false,
            });
            if self.is_brace(at) {
                self.further = 2;
            }
        }
    }

    /// Adds a token to the line.
    fn put(&mut self, at: usize) {
        let bracket = self
            .frames
            .last()
            .map_or(Bracket::No, |top| self.o.brackets[top.open]);
        let depth = self
            .frames
            .iter()
            .rev()
            .take_while(|frame| !self.is_block(frame))
            .count();
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

    fn break_before(&self, at: usize) -> Option<Break> {
        let o = self.o;
        let Some(previous) = at.checked_sub(1) else {
            return Some(Break {
                indent: 0,
                may_be_blank: false,
                is_first: true,
            });
        };
        let token = &o.tokens[at];
        let after_comment = o.tokens[previous].kind == Kind::Comment;
        let broken = token.first || after_comment || o.cut[at];
        let top = self.frames.last();
        let block = top.filter(|top| self.is_block(top));
        let inner = block.map_or(0, |block| block.indent + 2);
        let is_open = block.is_none_or(|block| o.open[block.open]);
        let after_brace = o.before(at).is_some_and(|i| self.is_brace(i));
        let first = |indent| {
            Some(Break {
                indent,
                may_be_blank: o.before(at) != Some(previous) || !self.is_brace(previous),
                is_first: true,
            })
        };
        let next = Some(Break {
            indent: self.breaks[at],
            may_be_blank: false,
            is_first: false,
        });
        if token.kind == Kind::Comment {
            let between = o.after(at).is_none_or(|next| self.starts_line(next, at));
            return match (token.first, between) {
                (false, _) => None,
                (true, true) if is_open => first(inner),
                (true, _) => next,
            };
        }
        match o.starts[at] {
            Start::Item { .. } => return first(0),
            Start::Stmt => return if is_open { first(inner) } else { None },
            Start::Decorated => {
                let decorated = Break {
                    indent: self.base,
                    may_be_blank: false,
                    is_first: true,
                };
                return broken.then_some(decorated);
            }
            Start::Nothing => {}
        }
        if self.starts_line(at, previous) && is_open && block.is_some_and(|block| block.open != at)
        {
            let block = block?;
            if o.partner[block.open] == at {
                return Some(Break {
                    indent: block.indent,
                    may_be_blank: false,
                    is_first: true,
                });
            }
            // Fields share lines as the author likes; the first starts one.
            return if broken || after_brace {
                first(inner)
            } else {
                None
            };
        }
        match o.word(at) {
            "{" if self.is_brace(at) => after_comment.then_some(Break {
                indent: self.base,
                may_be_blank: false,
                is_first: false,
            }),
            "else" if o.is(previous, "}") && !self.in_expression(at) => {
                let one_line = !o.open[o.partner[previous]];
                (token.first && one_line).then_some(Break {
                    indent: self.base,
                    may_be_blank: false,
                    is_first: true,
                })
            }
            "," | ":" if token.kind == Kind::Punct => {
                if after_comment {
                    next
                } else {
                    None
                }
            }
            ")" | "]" | "}" if token.kind == Kind::Punct => {
                let frame = top.filter(|frame| frame.hanging && token.first || after_comment)?;
                let indent = if frame.hanging {
                    frame.indent
                } else {
                    self.breaks[at]
                };
                Some(Break {
                    indent,
                    may_be_blank: false,
                    is_first: false,
                })
            }
            _ => {
                if broken {
                    next
                } else {
                    None
                }
            }
        }
    }

    fn in_expression(&self, at: usize) -> bool {
        self.o.tokens[at - 1].kind == Kind::Comment
    }

    /// Whether a token, which comes after `previous` but for comments, starts a declaration, statement
    /// or field, or ends a block.
    fn starts_line(&self, at: usize, previous: usize) -> bool {
        let o = self.o;
        let Some(block) = self.frames.last().filter(|top| self.is_block(top)) else {
            return o.starts[at] != Start::Nothing;
        };
        let fields = o.brackets[block.open] == Bracket::Fields;
        let before = if o.tokens[previous].kind == Kind::Comment {
            o.before(previous)
        } else {
            Some(previous)
        };
        let field = fields && before.is_some_and(|i| i == block.open || o.is(i, ","));
        o.starts[at] != Start::Nothing || o.partner[block.open] == at || field
    }

    /// The indentation of a field that starts here, in a record on several lines.
    fn field_indent(&self, at: usize) -> Option<usize> {
        let o = self.o;
        let top = self.frames.last()?;
        let is_field = o.brackets[top.open] == Bracket::Fields
            && o.open[top.open]
            && o.partner[top.open] != at;
        let before = o.before(at)?;
        let starts =
            o.tokens[at].kind != Kind::Comment && (before == top.open || o.is(before, ","));
        (is_field && starts).then_some(top.indent + 2)
    }

    fn is_brace(&self, at: usize) -> bool {
        matches!(self.o.brackets[at], Bracket::Block | Bracket::Fields)
    }

    fn is_block(&self, frame: &Frame) -> bool {
        self.is_brace(frame.open)
    }

    /// The indentation of a line that goes on with what an earlier one started.
    fn continuation(&self, at: usize) -> usize {
        let o = self.o;
        let brackets = self
            .frames
            .iter()
            .rev()
            .take_while(|frame| !self.is_block(frame));
        let Some((depth, hanging)) = brackets.enumerate().find(|(_, frame)| frame.hanging) else {
            return self.base + self.further;
        };
        let starts = depth == 0
            && o.before(at)
                .is_some_and(|i| o.is(i, ",") || i == hanging.open);
        hanging.indent + if starts { 2 } else { 4 }
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
        let closes = matches!(o.word(at), ")" | "]" | "}");
        if o.dropped[at] || self.is_brace(at) || closes {
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
