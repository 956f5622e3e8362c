//! Random numbers: a draw is a function of a key and a logical position, so each key may be drawn
//! from once, and what repeats (loops, lifting) must be folded into it.

use crate::ctx::{Binding, Ctx};
use crate::subscript::wide;
use crate::values::{Array, Elem, Val, mentioned, substitute};
use einmesh_diagnostics::codes::language as codes;
use einmesh_diagnostics::{Diagnostic, Span};
use einmesh_ir::{BinaryOp, DType, Expr, IndexId};
use einmesh_syntax::ast::{self, Subscript, Subscripts};
use std::collections::BTreeMap;

impl<'a> Ctx<'a> {
    /// `uniform[i, j](key)`: a number in [0, 1) for each position.
    pub fn uniform(
        &mut self,
        subs: Option<&'a Subscripts>,
        args: &'a [ast::Arg],
        span: Span,
    ) -> Val {
        let [arg] = args else {
            self.report(
                Diagnostic::error(
                    codes::WRONG_ARGUMENTS,
                    format!("`uniform` takes one key, {} arguments given", args.len()),
                )
                .at(span, "")
                .help("write `uniform[i](key)`"),
            );
            return Val::Poison;
        };
        let mut ids: Vec<IndexId> = Vec::new();
        let mut ok = true;
        for sub in subs.iter().flat_map(|s| &s.subs) {
            let (name, at) = match sub {
                Subscript::Expr(e) => (crate::index::bare(e), e.span),
                Subscript::Ranged(name, _) => (Some(name.text.as_str()), name.span),
            };
            match name.and_then(|n| self.binding(n)) {
                Some(Binding::Indices(more, _)) => ids.extend(more),
                _ => {
                    ok = false;
                    match name {
                        Some(name) => self.unbound_result(name, at),
                        None => self.report(
                            Diagnostic::error(
                                codes::BRACKETS,
                                "the brackets of `uniform` name indices",
                            )
                            .at(at, "")
                            .help("write `uniform[i](key)`"),
                        ),
                    }
                }
            }
        }
        let Some(key) = self.key(&arg.value) else {
            return Val::Poison;
        };
        if !ok || !self.draw(&key, &ids, arg.value.span) {
            return Val::Poison;
        }
        let position = self.flat_position(&ids);
        Val::number(Elem::Strong(DType::F32), Expr::binary(BinaryOp::Uniform, key, position))
    }

    /// The number of a point among all of its index space, row-major.
    pub fn flat_position(&mut self, ids: &[IndexId]) -> Expr {
        let mut position: Option<Expr> = None;
        for id in ids {
            let extent = self.points_number(&[self.index_vars[*id].dim]);
            let index = wide(Expr::Index(*id));
            position = Some(match position {
                None => index,
                Some(outer) => {
                    let factor = wide(extent);
                    Expr::binary(BinaryOp::Add, Expr::binary(BinaryOp::Mul, outer, factor), index)
                }
            });
        }
        position.unwrap_or_else(|| wide(Expr::int(0)))
    }

    /// `fold(key, a, b)`: a key of its own for each value of the integers.
    pub fn fold_key(&mut self, args: &'a [ast::Arg], span: Span) -> Val {
        let Some((first, rest)) = args.split_first().filter(|(_, rest)| !rest.is_empty()) else {
            self.report(
                Diagnostic::error(
                    codes::WRONG_ARGUMENTS,
                    "`fold` takes a key and the numbers to fold into it",
                )
                .at(span, "")
                .help("write `fold(key, step)`"),
            );
            return Val::Poison;
        };
        let Some(mut key) = self.key(&first.value) else {
            return Val::Poison;
        };
        for arg in rest {
            let value = self.eval(&arg.value);
            let number = match value {
                Val::Array(Array {
                    axes,
                    elem: elem @ (Elem::WeakInt | Elem::Strong(DType::I32 | DType::I64)),
                    body,
                    ..
                }) if axes.is_empty() => self.converted(body, elem, DType::I64),
                Val::Poison => return Val::Poison,
                other => {
                    let what = self.describe(&other);
                    self.report(
                        Diagnostic::error(
                            codes::WRONG_OPERAND,
                            format!("`fold` takes integers, not {what}"),
                        )
                        .at(arg.value.span, format!("this is {what}"))
                        .help("convert it: `i32(…)`"),
                    );
                    return Val::Poison;
                }
            };
            key = Expr::binary(BinaryOp::Fold, key, number);
        }
        Val::number(Elem::Strong(DType::Key), key)
    }

    /// The key that an expression is.
    pub fn key(&mut self, e: &'a ast::Expr) -> Option<Expr> {
        match self.eval(e) {
            Val::Array(a) if a.axes.is_empty() && a.elem == Elem::Strong(DType::Key) => {
                Some(a.body)
            }
            Val::Poison => None,
            other => {
                let what = self.describe(&other);
                self.report(
                    Diagnostic::error(
                        codes::WRONG_OPERAND,
                        format!("expected a key, found {what}"),
                    )
                    .at(e.span, format!("this is {what}"))
                    .help("keys are parameters of type `rng`, and what `fold` makes of them"),
                );
                None
            }
        }
    }

    /// Whether a key may be drawn from here; reports if not.
    pub fn draw(&mut self, key: &Expr, positions: &[IndexId], span: Span) -> bool {
        let mut repeats: Vec<String> = Vec::new();
        for frame in &self.frames {
            for l in &frame.loops {
                let mut fresh = false;
                key.walk(&mut |e| {
                    fresh |= match e {
                        Expr::LoopVar(var) => *var == l.var,
                        Expr::Load(load) => load.value.0 as usize >= l.first_value,
                        _ => false,
                    }
                });
                if !fresh {
                    repeats.push(l.name.clone());
                }
            }
        }
        let frame = self.frame();
        let own = frame.indices.iter().flat_map(|(_, b)| match b {
            Binding::Indices(ids, _) => ids.clone(),
            Binding::Counter(..) => Vec::new(),
        });
        let around: Vec<IndexId> = frame.lifts.iter().copied().chain(own).collect();
        let folded = mentioned(key);
        for id in around {
            if !folded.contains(&id) && !positions.contains(&id) {
                let name = self.index_vars[id].name.clone();
                if !repeats.contains(&name) {
                    repeats.push(name);
                }
            }
        }
        if !repeats.is_empty() {
            let list = repeats.join(", ");
            self.report(
                Diagnostic::error(
                    codes::KEY_REPEATED,
                    format!("the same numbers would be drawn for each {list}"),
                )
                .at(span, "the key is the same each time")
                .help(format!("fold what repeats into the key: `fold(key, {list})`")),
            );
            return false;
        }
        // Two draws are the same when their keys are, whatever the statement's indices are called.
        let map: BTreeMap<IndexId, Expr> = folded
            .into_iter()
            .map(|id| (id, Expr::Index(IndexId(u32::MAX - self.index_vars[id].dim.0))))
            .collect();
        let canonical = substitute(key.clone(), &map);
        if let Some((_, before)) = self.drawn.iter().find(|(k, _)| *k == canonical) {
            let before = *before;
            self.report(
                Diagnostic::error(codes::KEY_REUSED, "this key was drawn from before")
                    .at(span, "drawn again: the numbers would be the same")
                    .also(before, "first drawn here")
                    .help("make a key for each draw: `fold(key, 0)`, `fold(key, 1)`"),
            );
            return false;
        }
        self.drawn.push((canonical, span));
        true
    }
}
