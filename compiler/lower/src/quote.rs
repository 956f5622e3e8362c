//! Finds the text of an expression by its place, for the corrected text in help lines. Used only when
//! something is reported.

use crate::ctx::Ctx;
use crate::index::children;
use crate::show;
use einmesh_diagnostics::Span;
use einmesh_syntax::ast::{Block, Expr, FnBody, Item, LhsPart, StmtKind};

impl<'a> Ctx<'a> {
    /// The expression at a place, as text on one line; `…` if there is none or it is long.
    pub fn quoted(&self, span: Span) -> String {
        let found = self.expr_at(&|e| e.span == span);
        let text = found.map(show::expr);
        text.filter(|t| t.chars().count() <= 60).unwrap_or_else(|| "…".to_owned())
    }

    /// The smallest subscripted expression whose brackets hold a place, as text.
    pub fn quoted_load(&self, sub: Span) -> String {
        let holds = |e: &Expr| match &e.kind {
            einmesh_syntax::ast::ExprKind::Subscript(_, subs) => {
                subs.span.file == sub.file
                    && subs.span.start <= sub.start
                    && sub.end <= subs.span.end
            }
            _ => false,
        };
        let mut found = self.expr_at(&holds);
        // A subscript may itself be a load; the innermost one is meant.
        while let Some(outer) = found {
            let inner = children(outer).into_iter().find_map(|c| find(c, &holds));
            match inner {
                Some(inner) => found = Some(inner),
                None => break,
            }
        }
        let text = found.map(show::expr);
        text.filter(|t| t.chars().count() <= 60).unwrap_or_else(|| "…".to_owned())
    }

    fn expr_at(&self, wanted: &dyn Fn(&Expr) -> bool) -> Option<&'a Expr> {
        let modules = self.modules;
        let files = modules.files.values().chain([&modules.prelude]);
        let mut functions = files.flat_map(|f| &f.items).filter_map(|item| match item {
            Item::Fn(function) => Some(function),
            _ => None,
        });
        functions.find_map(|function| match &function.body {
            FnBody::Expr(e) => find(e, wanted),
            FnBody::Block(block) => find_in(block, wanted),
        })
    }
}

fn find<'e>(e: &'e Expr, wanted: &dyn Fn(&Expr) -> bool) -> Option<&'e Expr> {
    if wanted(e) {
        return Some(e);
    }
    children(e).into_iter().find_map(|child| find(child, wanted))
}

fn find_in<'e>(block: &'e Block, wanted: &dyn Fn(&Expr) -> bool) -> Option<&'e Expr> {
    block.stmts.iter().find_map(|stmt| match &stmt.kind {
        StmtKind::Assign { lhs, value, .. } => {
            let subs = lhs.path.iter().filter_map(|part| match part {
                LhsPart::Subscript(subs) => Some(subs),
                LhsPart::Field(_) => None,
            });
            let mut inside = subs.flat_map(crate::index::sub_exprs);
            find(value, wanted).or_else(|| inside.find_map(|e| find(e, wanted)))
        }
        StmtKind::Unpack { value, .. } => find(value, wanted),
        StmtKind::For { body, .. } => find_in(body, wanted),
        StmtKind::While { condition, body, .. } => {
            find(condition, wanted).or_else(|| find_in(body, wanted))
        }
        StmtKind::If { condition, then, otherwise } => find(condition, wanted)
            .or_else(|| find_in(then, wanted))
            .or_else(|| otherwise.as_ref().and_then(|b| find_in(b, wanted))),
    })
}
