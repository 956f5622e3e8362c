//! Reading what can be read of an item with mistakes, and one diagnostic for each mistake.
//!
//! The item is taken apart by its tokens: a function into its head and statements, a record into its
//! fields, a plan into its decorators. Each piece is parsed by itself, so that a mistake costs one
//! piece and hides no other.

pub(crate) mod brackets;
pub(crate) mod statements;

use crate::ast::{Block, Fn, FnBody, Item, Plan, Record, Stmt, StmtKind};
use crate::build::Builder;
use crate::explain::{Mistake, explain};
use crate::grammar::{Failure, Rule, run};
use crate::lex::Token;
use crate::limits::{self, MAX_MISTAKES, MAX_NESTING};
use brackets::Brackets;
use einmesh_diagnostics::{Diagnostic, Diagnostics, FileId};
use pest::iterators::Pair;
use statements::Piece;
use std::ops::Range;

/// An item whose text did not parse.
pub(crate) struct Broken<'t> {
    /// Its file.
    pub file: FileId,
    /// The file's text.
    pub text: &'t str,
    /// Its tokens, without comments.
    pub tokens: &'t [Token],
    /// The token after it, if there is one.
    pub next: Option<Token>,
}

/// The tree of what could be read of an item, and its mistakes; at least one.
pub(crate) fn recover(
    broken: &Broken<'_>,
    failure: &Failure,
    diagnostics: &mut Diagnostics,
) -> Option<Item> {
    let mut found = Diagnostics::new();
    let mut unbalanced = Vec::new();
    let brackets =
        brackets::check(broken.file, broken.text, broken.tokens, &mut |d| unbalanced.push(d));
    unbalanced.into_iter().take(MAX_MISTAKES).for_each(|d| found.push(d));
    let mut ctx = Ctx { broken, brackets, diagnostics: &mut found };
    let item = ctx.item();
    if found.is_empty() {
        // The pieces parse and the whole does not: its first mistake is between them.
        found.push(explain(&mistake(broken, 0..broken.tokens.len(), Rule::item_alone, failure)));
    }
    diagnostics.extend(found);
    item
}

fn mistake<'t>(
    broken: &'t Broken<'t>,
    range: Range<usize>,
    entry: Rule,
    failure: &'t Failure,
) -> Mistake<'t> {
    let start = broken.tokens.get(range.start).or(broken.next.as_ref()).map_or(0, |t| t.start);
    let place = start + failure.at as u32;
    let within = broken.tokens[range.clone()].iter().position(|t| t.end > place);
    Mistake {
        file: broken.file,
        text: broken.text,
        tokens: broken.tokens,
        next: broken.next,
        at: within.map_or(range.end, |i| range.start + i),
        range,
        entry,
        expected: &failure.expected,
    }
}

struct Ctx<'b, 'd> {
    broken: &'b Broken<'b>,
    brackets: Brackets,
    diagnostics: &'d mut Diagnostics,
}

impl Ctx<'_, '_> {
    fn item(&mut self) -> Option<Item> {
        let first = self.broken.tokens[0].text(self.broken.text);
        match first {
            "fn" | "export" => self.function().map(Item::Fn),
            "record" => self.record().map(Item::Record),
            "plan" => self.plan().map(Item::Plan),
            _ => {
                let whole = 0..self.broken.tokens.len();
                self.piece(Rule::item_alone, whole, |_, _| ());
                None
            }
        }
    }

    fn function(&mut self) -> Option<Fn> {
        let end = self.broken.tokens.len();
        let open = self.find(0..end, &["{", "="]).unwrap_or(end);
        let head = self.piece(Rule::head_alone, 0..open, |builder, pair| builder.fn_head(pair));
        let body = if open == end {
            // Without a body it is a mistake even if the head is in order.
            if head.is_some() {
                self.piece(Rule::item_alone, 0..end, |_, _| ());
            }
            FnBody::Block(Block::default())
        } else if self.broken.tokens[open].is(self.broken.text, "{") {
            let close = self.brackets.close(open);
            let block = self.block(open + 1..close.at, 0);
            self.nothing_after(close.at + usize::from(close.real));
            FnBody::Block(block)
        } else {
            FnBody::Expr(
                self.piece(Rule::expr_alone, open + 1..end, |builder, pair| builder.expr(pair))?,
            )
        };
        head.map(|head| Fn { body, ..head })
    }

    fn record(&mut self) -> Option<Record> {
        let end = self.broken.tokens.len();
        let open = self.find(0..end, &["{"]).unwrap_or(end);
        let head =
            self.piece(Rule::record_head_alone, 0..open, |builder, pair| builder.record_head(pair));
        if open == end {
            if head.is_some() {
                self.piece(Rule::item_alone, 0..end, |_, _| ());
            }
            return None;
        }
        let close = self.brackets.close(open);
        let mut fields = Vec::new();
        let mut at = open + 1;
        while at < close.at {
            let comma = self.find(at..close.at, &[","]).unwrap_or(close.at);
            fields.extend(
                self.piece(Rule::field_alone, at..comma, |builder, pair| builder.field(pair)),
            );
            at = comma + 1;
        }
        if open + 1 == close.at {
            self.piece(Rule::item_alone, 0..end, |_, _| ());
        }
        self.nothing_after(close.at + usize::from(close.real));
        let (name, generics) = head?;
        let (tokens, file) = (self.broken.tokens, self.broken.file);
        Some(Record {
            name,
            generics,
            fields,
            span: tokens[0].span(file).to(tokens[end - 1].span(file)),
        })
    }

    fn plan(&mut self) -> Option<Plan> {
        let end = self.broken.tokens.len();
        let open = self.find(0..end, &["{"]).unwrap_or(end);
        let head =
            self.piece(Rule::plan_head_alone, 0..open, |builder, pair| builder.plan_head(pair));
        let mut decorators = Vec::new();
        if open < end {
            let close = self.brackets.close(open);
            let mut at = open + 1;
            while at < close.at {
                let next = self.find(at + 1..close.at, &["@"]).unwrap_or(close.at);
                decorators.extend(self.piece(Rule::decorator_alone, at..next, |builder, pair| {
                    builder.decorator(pair)
                }));
                at = next;
            }
            self.nothing_after(close.at + usize::from(close.real));
        } else if head.is_some() {
            self.piece(Rule::item_alone, 0..end, |_, _| ());
        }
        head.map(|head| Plan { decorators, ..head })
    }

    /// The statements of a block at this depth of blocks.
    fn block(&mut self, range: Range<usize>, depth: usize) -> Block {
        let mut stmts: Vec<Stmt> = Vec::new();
        let mut arms = 0;
        let pieces = statements::split(self.broken.text, self.broken.tokens, &self.brackets, range);
        for piece in pieces {
            match piece {
                Piece::Simple(range) => {
                    stmts.extend(
                        self.piece(Rule::stmt_alone, range, |builder, pair| builder.stmt(pair, 0)),
                    );
                }
                Piece::Compound { head, body, continues } => {
                    arms = if continues { arms + 1 } else { 0 };
                    if depth + arms > MAX_NESTING {
                        let at = self.broken.tokens[head.start].span(self.broken.file);
                        self.report(limits::too_many_arms(at));
                    } else if let Some(arm) = self.compound(head, body, depth + arms) {
                        match continues {
                            true => attach(stmts.last_mut(), arm),
                            false => stmts.push(arm),
                        }
                    }
                }
            }
        }
        Block { stmts }
    }

    /// A loop or an arm of an `if`. A bare `else` comes back as an arm whose condition is an error.
    fn compound(&mut self, head: Range<usize>, body: Range<usize>, depth: usize) -> Option<Stmt> {
        let kind = self
            .piece(Rule::compound_head_alone, head.clone(), |builder, pair| builder.compound(pair));
        if body.start == head.end && kind.is_some() {
            let failure =
                Failure { at: self.width(&head), expected: vec![Rule::lbrace], gave_up: false };
            self.report(explain(&mistake(
                self.broken,
                head.clone(),
                Rule::compound_head_alone,
                &failure,
            )));
        }
        let block = self.block(body, depth + 1);
        let (decorators, mut kind) = kind?;
        if let StmtKind::For { body, .. }
        | StmtKind::While { body, .. }
        | StmtKind::If { then: body, .. } = &mut kind
        {
            *body = block;
        }
        let (tokens, file) = (self.broken.tokens, self.broken.file);
        let span = tokens[head.start].span(file).to(tokens[head.end - 1].span(file));
        Some(Stmt { decorators, kind, span })
    }

    /// Parses a piece; on failure says what is wrong with it, unless its brackets were to blame.
    fn piece<T>(
        &mut self,
        entry: Rule,
        range: Range<usize>,
        build: impl FnOnce(&mut Builder<'_>, Pair<'_, Rule>) -> T,
    ) -> Option<T> {
        let tokens = self.broken.tokens;
        let start =
            tokens.get(range.start).or(self.broken.next.as_ref()).map_or(0, |t| t.start as usize);
        let end = if range.is_empty() { start } else { tokens[range.end - 1].end as usize };
        match run(entry, &self.broken.text[start..end]) {
            Ok(mut pairs) => {
                let mut builder = Builder {
                    file: self.broken.file,
                    source: self.broken.text,
                    base: start,
                    diagnostics: self.diagnostics,
                    too_deep: false,
                };
                pairs.next().map(|pair| build(&mut builder, pair))
            }
            Err(failure) => {
                if !self.brackets.wrong_within(&range) {
                    self.report(explain(&mistake(self.broken, range, entry, &failure)));
                }
                None
            }
        }
    }

    /// Reports tokens after an item's closing brace.
    fn nothing_after(&mut self, at: usize) {
        let end = self.broken.tokens.len();
        if at < end && !self.brackets.wrong_within(&(at..end)) {
            let failure = Failure { at: 0, expected: vec![Rule::item], gave_up: false };
            self.report(explain(&mistake(self.broken, at..end, Rule::item_alone, &failure)));
        }
    }

    /// The first of these tokens that is in no bracket.
    fn find(&self, range: Range<usize>, what: &[&str]) -> Option<usize> {
        let (text, tokens) = (self.broken.text, self.broken.tokens);
        let mut at = range.start;
        while at < range.end {
            let token = &tokens[at];
            if what.iter().any(|w| token.is(text, w)) {
                return Some(at);
            }
            if ["(", "[", "{"].iter().any(|open| token.is(text, open)) {
                let close = self.brackets.close(at);
                at = close.at.max(at) + usize::from(close.real || close.at <= at);
            } else {
                at += 1;
            }
        }
        None
    }

    /// The bytes from a range's first to its last token.
    fn width(&self, range: &Range<usize>) -> usize {
        let tokens = &self.broken.tokens[range.clone()];
        tokens.last().map_or(0, |last| (last.end - tokens[0].start) as usize)
    }

    fn report(&mut self, diagnostic: Diagnostic) {
        if self.diagnostics.iter().len() < MAX_MISTAKES {
            self.diagnostics.push(diagnostic);
        }
    }
}

/// Hangs an `else` arm on the `if` before it.
fn attach(before: Option<&mut Stmt>, arm: Stmt) {
    let Some(StmtKind::If { otherwise, .. }) = before.map(|stmt| &mut stmt.kind) else {
        return;
    };
    match otherwise {
        Some(block) => attach(block.stmts.last_mut(), arm),
        None => {
            *otherwise = Some(match arm.kind {
                StmtKind::If { condition, then, .. }
                    if condition.kind == crate::ast::ExprKind::Error =>
                {
                    then
                }
                kind => Block { stmts: vec![Stmt { kind, ..arm }] },
            });
        }
    }
}
