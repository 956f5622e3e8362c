//! What the formatter knows of each token: what starts there, which bracket it is.

use crate::ast::{Block, Decorator, File, FnBody, Item, Stmt, StmtKind};
use crate::format::{WIDTH, layout::Line};
use crate::lex::{Kind, Token, tokens};

/// What starts with a token.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Start {
    /// Nothing, or part of a statement.
    Nothing,
    /// A declaration, and how far its further lines are indented.
    Item { further: usize },
    /// A statement, or a decorator of a plan.
    Stmt,
    /// What a decorator stands before: another one, or the statement.
    Decorated,
}

/// What kind of bracket a token opens.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Bracket {
    /// Not an opening bracket.
    No,
    /// A block of statements or decorators.
    Block,
    /// A record's fields.
    Fields,
    /// The names of an import.
    Names,
    /// Arguments, parameters and the like: a space after each comma.
    Arguments,
    /// Subscripts, axes and tuples: `[b,t]`, but `[b, t + 1]`.
    Subscripts {
        /// Whether commas are followed by a space.
        spaced: bool,
    },
}

/// A file's tokens and what is known of them. All lists are as long as `tokens`.
pub(super) struct Outline<'t> {
    pub text: &'t str,
    pub tokens: Vec<Token>,
    pub starts: Vec<Start>,
    pub brackets: Vec<Bracket>,
    /// The partner of each bracket; of other tokens the token itself.
    pub partner: Vec<usize>,
    /// For braces that open: whether each statement or field stands on a line of its own.
    pub open: Vec<bool>,
    /// Tokens that wide lines are cut before, besides the author's breaks.
    pub cut: Vec<bool>,
    /// Tokens that are left out: the comma after the last field of a record on one line.
    pub dropped: Vec<bool>,
    /// Tokens that get a comma: the last field of a record on several lines.
    pub comma: Vec<bool>,
    /// The token before each, comments aside.
    before: Vec<Option<usize>>,
    /// The token after each, comments aside.
    after: Vec<Option<usize>>,
}

impl<'t> Outline<'t> {
    pub fn new(text: &'t str, tree: &File) -> Self {
        let tokens = tokens(text);
        let count = tokens.len();
        let mut outline = Outline {
            text,
            tokens,
            starts: vec![Start::Nothing; count],
            brackets: vec![Bracket::No; count],
            partner: (0..count).collect(),
            open: vec![false; count],
            cut: vec![false; count],
            dropped: vec![false; count],
            comma: vec![false; count],
            before: Vec::with_capacity(count),
            after: vec![None; count],
        };
        let mut before: Option<usize> = None;
        for at in 0..count {
            outline.before.push(before);
            if outline.tokens[at].kind != Kind::Comment {
                outline.after[before.unwrap_or(0)..at].fill(Some(at));
                before = Some(at);
            }
        }
        tree.items.iter().for_each(|item| outline.item(item));
        outline.match_brackets();
        outline.end_fields();
        outline
    }

    // ---- starts ----

    fn mark(&mut self, byte: u32, start: Start) {
        let at = self.tokens.partition_point(|t| t.start < byte);
        self.starts[at] = start;
    }

    fn item(&mut self, item: &Item) {
        // Lists stand below their first element, a function's head apart from its body.
        let (span, further) = match item {
            Item::Use(item) => (item.span, 2),
            Item::Dims(item) => (item.span, "dim ".len()),
            Item::Types(item) => (item.span, "type ".len()),
            Item::Consts(item) => (item.span, "const ".len()),
            Item::Record(item) => (item.span, 2),
            Item::Fn(item) => (item.span, 4),
            Item::Plan(item) => (item.span, 2),
        };
        self.mark(span.start, Start::Item { further });
        match item {
            Item::Fn(function) => {
                if let FnBody::Block(block) = &function.body {
                    self.block(block);
                }
            }
            Item::Plan(plan) => {
                plan.decorators.iter().for_each(|d| self.mark(d.span.start, Start::Stmt))
            }
            _ => {}
        }
    }

    fn block(&mut self, block: &Block) {
        block.stmts.iter().for_each(|stmt| self.stmt(stmt));
    }

    fn stmt(&mut self, stmt: &Stmt) {
        let first = stmt.decorators.first().map_or(stmt.span, |d: &Decorator| d.span);
        for decorator in stmt.decorators.iter().skip(1) {
            self.mark(decorator.span.start, Start::Decorated);
        }
        self.mark(stmt.span.start, Start::Decorated);
        self.mark(first.start, Start::Stmt);
        self.inner(&stmt.kind);
    }

    fn inner(&mut self, kind: &StmtKind) {
        match kind {
            StmtKind::For { body, .. } | StmtKind::While { body, .. } => self.block(body),
            StmtKind::If { then, otherwise, .. } => {
                self.block(then);
                match otherwise.as_ref().map(|block| &block.stmts[..]) {
                    Some([only]) if self.is_else_if(only) => self.inner(&only.kind),
                    Some(stmts) => stmts.iter().for_each(|stmt| self.stmt(stmt)),
                    None => {}
                }
            }
            StmtKind::Assign { .. } | StmtKind::Unpack { .. } => {}
        }
    }

    /// Whether a statement is the rest of an `else if`, rather than one in braces.
    fn is_else_if(&self, stmt: &Stmt) -> bool {
        let at = self.tokens.partition_point(|t| t.start < stmt.span.start);
        stmt.decorators.is_empty() && self.before(at).is_some_and(|i| self.is(i, "else"))
    }

    // ---- brackets ----

    fn match_brackets(&mut self) {
        let mut stack = Vec::new();
        let mut in_record = false;
        for at in 0..self.tokens.len() {
            if matches!(self.starts[at], Start::Item { .. }) {
                in_record = self.is(at, "record");
            }
            if self.tokens[at].kind != Kind::Punct {
                continue;
            }
            match self.word(at) {
                "(" | "[" | "{" => stack.push(at),
                ")" | "]" | "}" => {
                    let Some(open) = stack.pop() else { continue };
                    (self.partner[open], self.partner[at]) = (at, open);
                    self.brackets[open] = self.bracket(open, at, in_record);
                    self.open[open] = self.on_lines_of_its_own(open, at);
                }
                _ => {}
            }
        }
    }

    fn bracket(&self, open: usize, close: usize, in_record: bool) -> Bracket {
        let before = self.before(open);
        let is = |at: Option<usize>, what: &str| at.is_some_and(|i| self.is(i, what));
        match self.word(open) {
            "{" if is(before, ":") => Bracket::Names,
            "{" if in_record => Bracket::Fields,
            "{" => Bracket::Block,
            bracket => {
                let touches = self.touches(open);
                let is_head = before.is_some_and(|i| is(self.before(i), "fn"));
                let is_list = bracket == "[" && !touches;
                let is_call = bracket == "("
                    && (touches || is(before, "->") || self.starts[open] != Start::Nothing);
                let is_text = before.is_some_and(|i| self.tokens[i].kind == Kind::Text);
                let is_record =
                    bracket == "(" && before.is_some_and(|i| is(self.before(i), "record"));
                if is_head || is_list || is_call || is_text || is_record {
                    Bracket::Arguments
                } else {
                    Bracket::Subscripts { spaced: self.has_spaces(open, close) }
                }
            }
        }
    }

    /// Whether a bracket belongs to the token before it.
    pub fn touches(&self, at: usize) -> bool {
        self.before(at).is_some_and(|i| {
            self.tokens[i].ends_operand(self.text) && self.tokens[i].end == self.tokens[at].start
        })
    }

    /// Whether commas in subscripts are followed by spaces: if an element contains a space, and as
    /// written if an element is more than a name, a number or a tuple of those.
    fn has_spaces(&self, open: usize, close: usize) -> bool {
        let mut plain = true;
        let mut written = None;
        let mut depth = 0usize;
        for at in open + 1..close {
            let token = &self.tokens[at];
            match (token.kind, self.word(at)) {
                (Kind::Comment, _) => return true,
                (Kind::Punct, "|") if depth == 0 => break,
                (Kind::Punct, ",") => {
                    let space = self.tokens.get(at + 1).is_some_and(|next| next.start > token.end);
                    if depth == 0 && written.is_none() {
                        written = Some(space);
                    }
                }
                (Kind::Punct, "(" | "[") => {
                    depth += 1;
                    plain &= !self.touches(at);
                    if matches!(self.brackets[at], Bracket::Arguments) && self.contains_comma(at) {
                        return true;
                    }
                }
                (Kind::Punct, ")" | "]") => depth = depth.saturating_sub(1),
                (Kind::Punct, "." | "^") => plain = false,
                (Kind::Punct, "-") if self.is_unary(at) => plain = false,
                (Kind::Punct, _) => return true,
                (Kind::Word, "and" | "or" | "not" | "else") => return true,
                _ => {}
            }
        }
        !plain && written.unwrap_or(false)
    }

    fn contains_comma(&self, open: usize) -> bool {
        (open..self.partner[open]).any(|i| self.is(i, ","))
    }

    /// Whether the author broke the line somewhere in these braces.
    fn on_lines_of_its_own(&self, open: usize, close: usize) -> bool {
        let is_block = matches!(self.brackets[open], Bracket::Block | Bracket::Fields);
        is_block
            && open + 1 < close
            && self.tokens[open + 1..=close].iter().any(|t| t.first || t.kind == Kind::Comment)
    }

    /// A record on several lines ends with a comma, one on a single line does not.
    fn end_fields(&mut self) {
        for open in 0..self.tokens.len() {
            if self.brackets[open] != Bracket::Fields {
                continue;
            }
            let Some(last) = self.before(self.partner[open]) else {
                continue;
            };
            let has_comma = self.is(last, ",");
            self.dropped[last] = has_comma && !self.open[open];
            self.comma[last] = !has_comma && self.open[open];
        }
    }

    /// Opens the outermost blocks of lines that are too wide. Whether there were any.
    pub fn open_wide_blocks(&mut self, lines: &[Line]) -> bool {
        let mut any = false;
        // Up to where blocks were opened: what is within may fit now.
        let mut opened = 0;
        for line in lines.iter().filter(|line| line.code_width > WIDTH) {
            let mut at = line.tokens.start.max(opened);
            while at < line.tokens.end {
                let is_block = matches!(self.brackets[at], Bracket::Block | Bracket::Fields);
                if is_block && !self.open[at] && self.partner[at] > at + 1 {
                    self.open[at] = true;
                    any = true;
                    opened = self.partner[at];
                    at = opened;
                }
                at += 1;
            }
        }
        if any {
            self.dropped.fill(false);
            self.comma.fill(false);
            self.end_fields();
        }
        any
    }

    /// Cuts lines that are too wide. Whether there were any.
    pub fn cut_wide_lines(&mut self, lines: &[Line]) -> bool {
        let mut any = false;
        for at in lines.iter().flat_map(|line| &line.cuts) {
            any |= !self.cut[*at];
            self.cut[*at] = true;
        }
        any
    }

    // ---- tokens ----

    pub fn word(&self, at: usize) -> &'t str {
        self.tokens[at].text(self.text)
    }

    pub fn is(&self, at: usize, what: &str) -> bool {
        self.tokens[at].is(self.text, what)
    }

    /// The token before, comments aside.
    pub fn before(&self, at: usize) -> Option<usize> {
        self.before[at]
    }

    /// The token after, comments aside.
    pub fn after(&self, at: usize) -> Option<usize> {
        self.after[at]
    }

    /// Whether a `-` is a sign.
    pub fn is_unary(&self, at: usize) -> bool {
        self.is(at, "-") && self.before(at).is_none_or(|i| !self.tokens[i].ends_operand(self.text))
    }

    /// Whether a `max` or `min` is the first half of `max=`.
    pub fn is_store(&self, at: usize) -> bool {
        self.tokens[at].is_one_of(self.text, &["max", "min"])
            && self.starts[at] == Start::Nothing
            && self
                .tokens
                .get(at + 1)
                .is_some_and(|next| next.is(self.text, "=") && next.start == self.tokens[at].end)
            && self.before(at).is_some_and(|i| self.tokens[i].ends_operand(self.text))
    }

    /// Whether a token assigns: `=`, `:=`, `+=`, or the first half of `max=`.
    pub fn assigns(&self, at: usize) -> bool {
        self.tokens[at].kind == Kind::Punct && matches!(self.word(at), "=" | ":=" | "+=")
            || self.is_store(at)
    }

    /// How wide a token is, with the comma that it gets.
    pub fn width(&self, at: usize) -> usize {
        match self.dropped[at] {
            true => 0,
            false => self.word(at).trim_end().chars().count() + usize::from(self.comma[at]),
        }
    }

    /// The column of a token in the source, in characters.
    pub fn source_column(&self, at: usize) -> usize {
        let start = self.tokens[at].start as usize;
        let line = self.text[..start].rfind('\n').map_or(0, |i| i + 1);
        self.text[line..start].chars().count()
    }

    /// How many characters the source has from the start of one token to that of another.
    pub fn source_distance(&self, from: usize, to: usize) -> usize {
        self.text[self.tokens[from].start as usize..self.tokens[to].start as usize].chars().count()
    }

    /// How many line breaks stand before a token in the source.
    pub fn breaks_before(&self, at: usize) -> usize {
        let from = at.checked_sub(1).map_or(0, |i| self.tokens[i].end as usize);
        self.text[from..self.tokens[at].start as usize].bytes().filter(|b| *b == b'\n').count()
    }
}
