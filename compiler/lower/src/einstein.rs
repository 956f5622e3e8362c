//! Einstein's rule: an index that is not on the left and occurs at least twice as a subscript of a
//! term's atoms is summed, around that term alone. Anything else is an error.

use crate::ctx::Ctx;
use crate::emit::both;
use crate::index::{Mention, components, sub_exprs};
use crate::scalar::short;
use crate::show;
use crate::types::join;
use crate::values::{Array, Elem, Val};
use einmesh_diagnostics::codes::language as codes;
use einmesh_diagnostics::{Diagnostic, Span};
use einmesh_ir::{BinaryOp, DType, IndexId, Reducer};
use einmesh_syntax::ast::{self, ExprKind, Subscript};
use std::collections::BTreeSet;

/// A term of a sum, with its sign.
struct Term<'a> {
    negative: bool,
    expr: &'a ast::Expr,
}

fn terms<'a>(e: &'a ast::Expr, negative: bool, out: &mut Vec<Term<'a>>) {
    match &e.kind {
        ExprKind::Binary(ast::BinaryOp::Add, a, b) => {
            terms(a, negative, out);
            terms(b, negative, out);
        }
        ExprKind::Binary(ast::BinaryOp::Sub, a, b) => {
            terms(a, negative, out);
            terms(b, !negative, out);
        }
        _ => out.push(Term { negative, expr: e }),
    }
}

/// The factors of a term, with whether each divides.
fn factors<'a>(e: &'a ast::Expr, divides: bool, out: &mut Vec<(bool, &'a ast::Expr)>) {
    match &e.kind {
        ExprKind::Binary(op @ (ast::BinaryOp::Mul | ast::BinaryOp::Div), a, b) if !divides => {
            factors(a, divides, out);
            if *op == ast::BinaryOp::Div {
                out.push((true, b));
            } else {
                factors(b, divides, out);
            }
        }
        _ => out.push((divides, e)),
    }
}

impl<'a> Ctx<'a> {
    /// The right side of an assignment, its contractions made explicit. `target` is the dtype of the left
    /// side where that is declared: what is accumulated is rounded to it once.
    pub fn right_side(&mut self, value: &'a ast::Expr, target: Option<DType>) -> Val {
        let mut split = Vec::new();
        terms(value, false, &mut split);
        let mut contracted: Vec<Option<Vec<Mention>>> = Vec::new();
        for term in &split {
            contracted.push(self.contracted(term.expr));
        }
        if contracted.iter().any(Option::is_none) {
            return Val::Poison;
        }
        let contracted: Vec<Vec<Mention>> = contracted.into_iter().flatten().collect();
        if contracted.iter().all(Vec::is_empty) {
            return self.eval(value);
        }
        let single = split.len() == 1;
        let mut sum: Option<(Array, Span)> = None;
        let mut logical: Option<Elem> = None;
        let mut failed = false;
        for (term, indices) in split.iter().zip(contracted) {
            let result = if indices.is_empty() {
                match self.eval(term.expr) {
                    Val::Array(array) if array.axes.is_empty() => Some((array.elem, array)),
                    Val::Poison => None,
                    other => {
                        let what = self.describe(&other);
                        self.report(
                            Diagnostic::error(
                                codes::UNSUBSCRIPTED,
                                format!("{what} cannot be added to a contraction"),
                            )
                            .at(term.expr.span, "an array without subscripts")
                            .help("subscript it"),
                        );
                        None
                    }
                }
            } else {
                self.contraction(term.expr, indices, target, single)
            };
            let Some((elem, array)) = result else {
                failed = true;
                continue;
            };
            let array = match array.elem {
                Elem::Strong(dtype) if dtype.is_float() && !single => {
                    self.adapted(array, dtype.accumulator())
                }
                _ => array,
            };
            logical = Some(match logical {
                None => elem,
                Some(before) => join(before, elem).unwrap_or(elem),
            });
            let span = term.expr.span;
            sum = match sum {
                None if term.negative => {
                    match self.unary(einmesh_ir::UnaryOp::Neg, (Val::Array(array), span)) {
                        Val::Array(array) => Some((array, span)),
                        _ => return Val::Poison,
                    }
                }
                None => Some((array, span)),
                Some((before, before_span)) => {
                    let op = if term.negative { BinaryOp::Sub } else { BinaryOp::Add };
                    let whole = before_span.to(span);
                    match self.arithmetic(op, (before, before_span), (array, span), whole) {
                        Some(array) => Some((array, whole)),
                        None => return Val::Poison,
                    }
                }
            };
        }
        let (Some((array, _)), Some(elem), false) = (sum, logical, failed) else {
            return Val::Poison;
        };
        let dtype =
            target.filter(|t| t.is_float() && elem.is_floatish()).unwrap_or(elem.default_dtype());
        // Accumulating wider is not a conversion the user has to ask for.
        match array.elem {
            Elem::Strong(own) if own.is_float() && dtype.is_float() => {
                Val::Array(self.adapted(array, dtype))
            }
            _ => Val::Array(array),
        }
    }

    /// The indices that a term is summed over; `None` if something was reported.
    fn contracted(&mut self, term: &'a ast::Expr) -> Option<Vec<Mention>> {
        let mentions = self.mentions(term);
        if mentions.is_empty() {
            return Some(Vec::new());
        }
        let mut parts = Vec::new();
        factors(term, false, &mut parts);
        let mut positions: Vec<BTreeSet<String>> = Vec::new();
        for (divides, factor) in &parts {
            if !divides && let Some(atom) = self.atom(factor) {
                self.positions(atom, &mut positions);
            }
        }
        let mut names: Vec<Mention> = Vec::new();
        for mention in &mentions {
            if !names.iter().any(|m| m.name == mention.name) {
                names.push(mention.clone());
            }
        }
        let mut ok = true;
        for mention in &names {
            let count = positions.iter().filter(|p| p.contains(&mention.name)).count();
            if count < 2 {
                let all: Vec<Span> =
                    mentions.iter().filter(|m| m.name == mention.name).map(|m| m.span).collect();
                self.not_summed(&mention.name, &all, count, term);
                ok = false;
            }
        }
        ok.then_some(names)
    }

    fn not_summed(&mut self, name: &str, spans: &[Span], count: usize, term: &'a ast::Expr) {
        if self.frame().vars.contains_key(name) {
            // Binding it reports that it is a variable too.
            self.bind_index(name, spans[0], None, &[]);
            return;
        }
        if self.dim_of_index(name).is_none()
            && self.binding(name).is_none()
            && !self.names_an_axis(name, term)
        {
            self.unknown(name, spans[0]);
            return;
        }
        let text = show::expr(term);
        let inside = count == 0 || spans.len() > 1;
        let mut error = if inside {
            Diagnostic::error(
                codes::HIDDEN_INDEX,
                format!("the index `{name}` is neither on the left nor summed"),
            )
        } else {
            Diagnostic::error(
                codes::SINGLE_INDEX,
                format!("the index `{name}` occurs once and is not on the left"),
            )
        };
        error = error.at(
            spans[0],
            if inside {
                "not a subscript of one of the term's factors"
            } else {
                "occurs here only"
            },
        );
        for span in &spans[1..] {
            error = error.at(*span, "");
        }
        let left = self.left.clone();
        if let Some((_, span)) = &left {
            error = error.also(*span, format!("`{name}` is not bound here"));
        }
        error = if inside {
            error.note("only subscripts of factors count: not those in parentheses, divisors, powers or plain calls")
        } else {
            error.note("an index is summed where it occurs at least twice in a term, so that a typo does not compute")
        };
        error = match left {
            Some((left, _)) if text.chars().count() <= 60 => {
                error.help(format!("write the sum: `{left} = sum[{name}]({text})`"))
            }
            _ => error.help(format!("write the sum: `sum[{name}]({})`", short(term))),
        };
        if let Some((left, _)) = &self.left
            && !inside
            && !left.contains('(')
        {
            let widened = match left.strip_suffix(']') {
                Some(start) => format!("{start},{name}]"),
                None => format!("{left}[{name}]"),
            };
            error = error.help(format!("or keep the index: `{widened} = …`"));
        }
        self.report(error);
    }

    /// Whether a name subscripts some array barely, so that what it ranges over is known.
    fn names_an_axis(&mut self, name: &str, term: &'a ast::Expr) -> bool {
        self.quiet += 1;
        let found = self.bind_index(name, term.span, None, &[term]).is_some();
        self.quiet -= 1;
        found
    }

    /// The atom that a factor is: a load, a cast of one, an indexed application; under signs, and with
    /// a default in parentheses.
    fn atom(&self, factor: &'a ast::Expr) -> Option<&'a ast::Expr> {
        match &factor.kind {
            ExprKind::Neg(inner) => self.atom(inner),
            ExprKind::Subscript(..) | ExprKind::Field(..) => Some(factor),
            ExprKind::Else(load, _) => self.atom(load),
            ExprKind::Paren(inner) => match &inner.kind {
                ExprKind::Else(load, _) => self.atom(load),
                _ => None,
            },
            ExprKind::Call(callee, args) => match (&callee.kind, &args[..]) {
                (ExprKind::Subscript(..), _) => Some(factor),
                (ExprKind::Name(name), [arg])
                    if name == "wide" || self.dtype_named(self.frame().inst, name).is_some() =>
                {
                    match &arg.value.kind {
                        ExprKind::Subscript(..) | ExprKind::Field(..) => Some(&arg.value),
                        _ => None,
                    }
                }
                _ => None,
            },
            _ => None,
        }
    }

    /// The index names at each subscript position of an atom.
    fn positions(&mut self, atom: &'a ast::Expr, out: &mut Vec<BTreeSet<String>>) {
        match &atom.kind {
            ExprKind::Field(base, _) => self.positions(base, out),
            ExprKind::Subscript(base, subs) => {
                self.positions(base, out);
                for sub in &subs.subs {
                    let Subscript::Expr(sub) = sub else { continue };
                    for component in components(sub) {
                        let mut names = BTreeSet::new();
                        let mut open = vec![component];
                        while let Some(e) = open.pop() {
                            if let ExprKind::Name(name) = &e.kind {
                                names.insert(name.clone());
                            }
                            open.extend(crate::index::children(e));
                        }
                        out.push(names);
                    }
                }
            }
            ExprKind::Call(callee, _) => {
                if let ExprKind::Subscript(_, subs) = &callee.kind {
                    let staying: Vec<String> =
                        self.staying(atom).into_iter().map(|(n, _)| n).collect();
                    let bracket: BTreeSet<&str> = sub_exprs(subs)
                        .into_iter()
                        .flat_map(components)
                        .filter_map(crate::index::bare)
                        .collect();
                    let free: BTreeSet<String> =
                        self.mentions(atom).into_iter().map(|m| m.name).collect();
                    for name in free {
                        if staying.contains(&name) || !bracket.contains(name.as_str()) {
                            out.push(BTreeSet::from([name]));
                        }
                    }
                }
            }
            _ => {}
        }
    }

    /// One term summed over its contracted indices: the element type it has logically, and the result.
    fn contraction(
        &mut self,
        term: &'a ast::Expr,
        indices: Vec<Mention>,
        target: Option<DType>,
        single: bool,
    ) -> Option<(Elem, Array)> {
        let depth = self.frame().indices.len();
        let mut reduced: Vec<IndexId> = Vec::new();
        for mention in &indices {
            let binding = self.bind_index(&mention.name, mention.span, None, &[term]);
            let Some(binding) = binding else {
                self.frame_mut().indices.truncate(depth);
                return None;
            };
            if let crate::ctx::Binding::Indices(ids, _) = &binding {
                reduced.extend(ids);
            }
            self.frame_mut().indices.push((mention.name.clone(), binding));
        }
        let product = self.product(term, target);
        self.frame_mut().indices.truncate(depth);
        let (logical, array) = product?;
        let own = array.elem.default_dtype();
        if matches!(own, DType::Bool | DType::Key) {
            self.report(
                Diagnostic::error(codes::WRONG_OPERAND, format!("a sum of {own}"))
                    .at(term.span, "")
                    .help("convert it: `i32(…)`"),
            );
            return None;
        }
        let dtype = match (single, target) {
            (true, Some(target)) if target.is_float() && logical.is_floatish() => target,
            (true, _) => logical.default_dtype(),
            _ => own,
        };
        let body = self.converted(array.body, array.elem, own);
        let sum = self.reduce(dtype, reduced, Reducer::Sum, both(None, None), body);
        Some((logical, Array::strong(dtype, sum)))
    }

    /// The product of a term's factors in the dtype that sums of it accumulate in, and the type it has
    /// logically.
    pub fn product(&mut self, term: &'a ast::Expr, target: Option<DType>) -> Option<(Elem, Array)> {
        let mut parts = Vec::new();
        factors(term, false, &mut parts);
        let mut values: Vec<(bool, Array, Span)> = Vec::new();
        let mut ok = true;
        for (divides, factor) in parts {
            match self.eval(factor) {
                Val::Array(array) if array.axes.is_empty() => {
                    values.push((divides, array, factor.span))
                }
                Val::Poison => ok = false,
                other => {
                    let what = self.describe(&other);
                    self.report(
                        Diagnostic::error(
                            codes::UNSUBSCRIPTED,
                            "an array without subscripts in a sum",
                        )
                        .at(factor.span, format!("this is {what}"))
                        .help("subscript it with all its indices"),
                    );
                    ok = false;
                }
            }
        }
        if !ok {
            return None;
        }
        let logical = values.iter().map(|(_, a, _)| a.elem).try_fold(Elem::WeakInt, join);
        let widened = match (logical, target) {
            (Some(Elem::Strong(own)), Some(target))
                if own.is_float() && crate::types::widens(own, target) =>
            {
                Some(target.accumulator())
            }
            (Some(Elem::Strong(own)), _) if own.is_float() => Some(own.accumulator()),
            _ => None,
        };
        let mut result: Option<(Array, Span)> = None;
        for (divides, array, span) in values {
            let array = match (widened, array.elem) {
                (Some(dtype), Elem::Strong(_)) => self.adapted(array, dtype),
                _ => array,
            };
            result = Some(match result {
                None => (array, span),
                Some((before, before_span)) => {
                    let op = if divides { BinaryOp::Div } else { BinaryOp::Mul };
                    let whole = before_span.to(span);
                    (self.arithmetic(op, (before, before_span), (array, span), whole)?, whole)
                }
            });
        }
        let (array, _) = result?;
        let logical = match logical {
            Some(elem @ Elem::Strong(_)) => elem,
            _ => array.elem,
        };
        Some((logical, array))
    }
}
