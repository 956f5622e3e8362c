//! Statements.

use super::{Builder, Children};
use crate::ast::*;
use crate::grammar::Rule;
use crate::limits::{self, MAX_NESTING};
use einmesh_diagnostics::Span;
use pest::iterators::Pair;

impl Builder<'_> {
    /// A block at this depth of blocks.
    pub(crate) fn block(&mut self, pair: Pair<'_, Rule>, depth: usize) -> Block {
        Block { stmts: Children::of(pair).map(|stmt| self.stmt(stmt, depth)).collect() }
    }

    /// A statement at this depth of blocks.
    pub(crate) fn stmt(&mut self, pair: Pair<'_, Rule>, depth: usize) -> Stmt {
        let mut children = Children::of(pair);
        let mut decorators = Vec::new();
        while let Some(decorator) = children.optional(Rule::decorator) {
            decorators.push(self.decorator(decorator));
        }
        let stmt = children.required();
        let span = self.span(&stmt);
        let kind = match stmt.as_rule() {
            Rule::assign => self.assign(stmt),
            Rule::unpack => self.unpack(stmt),
            Rule::for_stmt => {
                let mut children = Children::of(stmt);
                let (var, over, reversed) = self.for_head(children.required());
                StmtKind::For {
                    var,
                    over,
                    reversed,
                    body: self.block(children.required(), depth + 1),
                }
            }
            Rule::while_stmt => {
                let mut children = Children::of(stmt);
                let (condition, limit) = self.while_head(children.required());
                StmtKind::While {
                    condition,
                    limit,
                    body: self.block(children.required(), depth + 1),
                }
            }
            _ => self.if_stmt(stmt, depth),
        };
        Stmt { decorators, kind, span }
    }

    fn assign(&mut self, pair: Pair<'_, Rule>) -> StmtKind {
        let mut children = Children::of(pair);
        let lhs = self.lhs(children.required());
        let ty = children.optional(Rule::type_).map(|ty| self.ty(ty));
        let op = match children.required().as_str() {
            ":=" => AssignOp::Store,
            "+=" => AssignOp::Add,
            "max=" => AssignOp::Max,
            "min=" => AssignOp::Min,
            _ => AssignOp::Bind,
        };
        StmtKind::Assign { lhs, ty, op, value: self.expr(children.required()) }
    }

    fn unpack(&mut self, pair: Pair<'_, Rule>) -> StmtKind {
        let mut children = Children::of(pair);
        let mut targets = Vec::new();
        while let Some(lhs) = children.optional(Rule::lhs) {
            targets.push(self.lhs(lhs));
        }
        StmtKind::Unpack { targets, value: self.expr(children.required()) }
    }

    /// The counter, what it ranges over, and whether it counts down.
    fn for_head(&mut self, pair: Pair<'_, Rule>) -> (Name, Expr, bool) {
        let mut children = Children::of(pair);
        (self.name(children.required()), self.expr(children.required()), children.next().is_some())
    }

    /// The condition and the limit.
    fn while_head(&mut self, pair: Pair<'_, Rule>) -> (Expr, Expr) {
        let mut children = Children::of(pair);
        (self.expr(children.required()), self.expr(children.required()))
    }

    /// The condition.
    fn if_head(&mut self, pair: Pair<'_, Rule>) -> Expr {
        self.expr(Children::of(pair).required())
    }

    /// A chain of `if … else if … else`. The grammar keeps it flat; in the tree each `else if` is a
    /// block of one statement, so a long chain is a deep tree and counts as nesting.
    fn if_stmt(&mut self, pair: Pair<'_, Rule>, depth: usize) -> StmtKind {
        let whole = self.span(&pair);
        let mut children = Children::of(pair);
        let mut arms = Vec::new();
        let mut otherwise = None;
        while let Some(child) = children.next() {
            if child.as_rule() == Rule::block {
                otherwise = Some(self.block(child, depth + arms.len()));
                break;
            }
            let head = self.span(&child);
            if depth + arms.len() > MAX_NESTING {
                self.diagnostics.push(limits::too_many_arms(head));
                break;
            }
            let condition = self.if_head(child);
            let then = self.block(children.required(), depth + arms.len() + 1);
            arms.push((Span { end: whole.end, ..head }, condition, then));
        }
        let (_, condition, then) = arms.remove(0);
        for (span, condition, then) in arms.into_iter().rev() {
            let kind = StmtKind::If { condition, then, otherwise: otherwise.take() };
            otherwise = Some(Block { stmts: vec![Stmt { decorators: Vec::new(), kind, span }] });
        }
        StmtKind::If { condition, then, otherwise }
    }

    /// A loop's or conditional's decorators, and the statement without its body. Of a bare `else` the
    /// condition is [`ExprKind::Error`].
    pub(crate) fn compound(&mut self, pair: Pair<'_, Rule>) -> (Vec<Decorator>, StmtKind) {
        let span = self.span(&pair);
        let mut children = Children::of(pair);
        let mut decorators = Vec::new();
        while let Some(decorator) = children.optional(Rule::decorator) {
            decorators.push(self.decorator(decorator));
        }
        let body = Block::default();
        let kind = match children.next() {
            Some(head) if head.as_rule() == Rule::for_head => {
                let (var, over, reversed) = self.for_head(head);
                StmtKind::For { var, over, reversed, body }
            }
            Some(head) if head.as_rule() == Rule::while_head => {
                let (condition, limit) = self.while_head(head);
                StmtKind::While { condition, limit, body }
            }
            head => {
                let error = Expr { kind: ExprKind::Error, span };
                let condition = head.map_or(error, |head| self.if_head(head));
                StmtKind::If { condition, then: body, otherwise: None }
            }
        };
        (decorators, kind)
    }

    /// A left side.
    fn lhs(&mut self, pair: Pair<'_, Rule>) -> Lhs {
        let span = self.span(&pair);
        let mut children = Children::of(pair);
        let name = self.name(children.required());
        let path = children
            .map(|part| match part.as_rule() {
                Rule::member => LhsPart::Field(self.name(Children::of(part).required())),
                _ => LhsPart::Subscript(self.subscripts(part).0),
            })
            .collect();
        Lhs { name, path, span }
    }
}
