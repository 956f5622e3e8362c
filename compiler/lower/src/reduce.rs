//! Explicit reductions: `sum[t | guard](…)`, `mean`, `max`, `argmax` and the others, and `argsort`.

use crate::ctx::{Binding, Ctx};
use crate::emit::both;
use crate::scalar::short;
use crate::values::{Array, Elem, Val};
use einmesh_diagnostics::codes::language as codes;
use einmesh_diagnostics::{Diagnostic, Span};
use einmesh_ir::{Argsort, BinaryOp, DType, Expr, IndexId, Literal, Op, Reducer};
use einmesh_syntax::ast::{self, ExprKind, Subscript, Subscripts};

/// The reducer of a built-in reduction; `mean` is none of its own.
pub(crate) fn reducer(name: &str) -> Option<Reducer> {
    Some(match name {
        "sum" => Reducer::Sum,
        "prod" => Reducer::Prod,
        "max" => Reducer::Max,
        "min" => Reducer::Min,
        "any" => Reducer::Any,
        "all" => Reducer::All,
        "argmax" => Reducer::ArgMax,
        "argmin" => Reducer::ArgMin,
        _ => return None,
    })
}

/// The indices that brackets bind: a name with its binding, in order.
pub(crate) type Bound = Vec<(String, Span, Binding)>;

impl<'a> Ctx<'a> {
    /// Binds the indices of an application's brackets. They shadow those of the same names around it.
    pub fn bind_brackets(&mut self, subs: &'a Subscripts, uses: &[&'a ast::Expr]) -> Option<Bound> {
        let mut bound: Bound = Vec::new();
        let mut ok = true;
        for sub in &subs.subs {
            let (names, range): (Vec<(&str, Span)>, Option<&'a ast::Expr>) = match sub {
                Subscript::Ranged(name, range) => (vec![(&name.text, name.span)], Some(range)),
                Subscript::Expr(e) => {
                    let parts = crate::index::components(e);
                    let names = parts.iter().filter_map(|p| Some((crate::index::bare(p)?, p.span)));
                    let names: Vec<(&str, Span)> = names.collect();
                    if names.len() != parts.len() {
                        self.report(
                            Diagnostic::error(
                                codes::BRACKETS,
                                format!("`{}` does not name an index", short(e)),
                            )
                            .at(e.span, "the brackets of an application bind indices")
                            .help("write a name, e.g. `sum[t](…)`, or `sum[j: D](…)`"),
                        );
                        ok = false;
                        continue;
                    }
                    (names, None)
                }
            };
            for (name, span) in names {
                if let Some((_, before, _)) = bound.iter().find(|(n, ..)| n == name) {
                    self.report(
                        Diagnostic::error(
                            codes::REPEATED_INDEX,
                            format!("the index `{name}` is bound twice"),
                        )
                        .at(span, "again here")
                        .also(*before, "first here")
                        .help(format!(
                            "name the second one differently: `{name}2: {}`",
                            name.to_uppercase()
                        )),
                    );
                    ok = false;
                    continue;
                }
                // An index that is bound around the application keeps what it ranges over.
                let around = match (range, self.binding(name)) {
                    (None, Some(Binding::Indices(ids, axis))) => Some((ids, axis)),
                    _ => None,
                };
                let binding = match around {
                    Some((ids, axis)) => {
                        let copies = ids.iter().map(|id| {
                            let var = self.index_vars[*id].clone();
                            let copy = self.index_var(&var.name, var.dim);
                            (copy, var.guard)
                        });
                        let copies: Vec<(IndexId, Option<Expr>)> = copies.collect();
                        let map = ids
                            .iter()
                            .copied()
                            .zip(copies.iter().map(|(i, _)| Expr::Index(*i)))
                            .collect();
                        for (copy, guard) in &copies {
                            self.index_vars[*copy].guard =
                                guard.clone().map(|g| crate::values::substitute(g, &map));
                        }
                        Some(Binding::Indices(copies.into_iter().map(|(i, _)| i).collect(), axis))
                    }
                    None => self.bind_index(name, span, range, uses),
                };
                match binding {
                    Some(binding) => bound.push((name.to_owned(), span, binding)),
                    None => ok = false,
                }
            }
        }
        ok.then_some(bound)
    }

    /// A guard as a condition.
    pub fn condition(&mut self, guard: &'a ast::Expr) -> Option<Expr> {
        self.truth(guard, "a guard is a condition", "| ")
    }

    /// An expression that has to be a truth value; `rule` and `before` are for the message.
    pub fn truth(&mut self, guard: &'a ast::Expr, rule: &str, before: &str) -> Option<Expr> {
        match self.eval(guard) {
            Val::Array(a) if a.axes.is_empty() && a.elem == Elem::Strong(DType::Bool) => {
                Some(a.body)
            }
            Val::Poison => None,
            other => {
                let what = self.describe(&other);
                self.report(
                    Diagnostic::error(codes::GUARD, format!("{rule}, not {what}"))
                        .at(guard.span, format!("this is {what}"))
                        .help(format!("compare it: `{before}{} != 0`", short(guard))),
                );
                None
            }
        }
    }

    /// `name[subs | guard](arg)` for a built-in reduction.
    pub fn reduction(
        &mut self,
        name: &str,
        subs: &'a Subscripts,
        args: &'a [ast::Arg],
        span: Span,
    ) -> Val {
        let [arg] = args else {
            self.report(
                Diagnostic::error(
                    codes::WRONG_ARGUMENTS,
                    format!("`{name}[…]` takes one argument, {} given", args.len()),
                )
                .at(span, "")
                .help(format!("write `{name}{}(…)`", crate::show::subscripts(subs))),
            );
            return Val::Poison;
        };
        let mut uses = vec![&arg.value];
        uses.extend(subs.guard.as_deref());
        let Some(bound) = self.bind_brackets(subs, &uses) else {
            return Val::Poison;
        };
        let ids: Vec<IndexId> = indices(&bound);
        let depth = self.frame().indices.len();
        self.frame_mut().indices.extend(bound.into_iter().map(|(n, _, b)| (n, b)));
        let guard = subs.guard.as_deref().map(|g| self.condition(g));
        let body = if matches!(name, "sum" | "mean") {
            self.product(&arg.value, None)
        } else {
            match self.eval(&arg.value) {
                Val::Array(a) if a.axes.is_empty() => Some((a.elem, a)),
                Val::Poison => None,
                other => {
                    let what = self.describe(&other);
                    self.report(
                        Diagnostic::error(codes::UNSUBSCRIPTED, "an array without subscripts in a reduction")
                            .at(arg.value.span, format!("this is {what}"))
                            .help(format!("subscript it with all its indices, or reduce every element: `{name}({})`", short(&arg.value))),
                    );
                    None
                }
            }
        };
        self.frame_mut().indices.truncate(depth);
        let guard = match guard {
            Some(None) => return Val::Poison,
            Some(guard) => guard,
            None => None,
        };
        let Some((logical, body)) = body else {
            return Val::Poison;
        };
        self.reduced(name, ids, guard, logical, body, arg.value.span)
            .map_or(Val::Poison, Val::Array)
    }

    /// A reduction of `body`, whose type is logically `logical`.
    pub fn reduced(
        &mut self,
        name: &str,
        ids: Vec<IndexId>,
        guard: Option<Expr>,
        logical: Elem,
        body: Array,
        span: Span,
    ) -> Option<Array> {
        let own = body.elem.default_dtype();
        let dtype = logical.default_dtype();
        let fine = match name {
            "any" | "all" => own == DType::Bool,
            "mean" => own.is_float() || matches!(body.elem, Elem::WeakInt),
            _ => own.is_float() || own.is_int(),
        };
        if !fine {
            let mut error = Diagnostic::error(
                codes::WRONG_OPERAND,
                format!("`{name}` is not defined for {own}"),
            )
            .at(span, format!("this is {own}"));
            error = match name {
                "any" | "all" => error.help("compare it: `… != 0`"),
                _ => error.help(format!("convert it: `{name}[…](f32(…))`")),
            };
            self.report(error);
            return None;
        }
        let expr = self.converted(body.body, body.elem, own);
        if name == "mean" {
            let own = if own.is_float() { own } else { DType::F32 };
            let expr = self.converted(expr, body.elem, own);
            let hint = std::mem::take(&mut self.hint);
            self.hint = format!("{hint}_sum");
            let sum = self.reduce(own, ids.clone(), Reducer::Sum, guard.clone(), expr);
            self.hint = format!("{hint}_count");
            let count = self.count(ids, guard);
            self.hint = hint;
            let count = self.converted(count.body, count.elem, own);
            let mean = Array::strong(own, Expr::binary(BinaryOp::Div, sum, count));
            return Some(match logical {
                Elem::Strong(dtype) if dtype.is_float() => self.adapted(mean, dtype),
                _ => mean,
            });
        }
        let reducer = reducer(name)?;
        if matches!(reducer, Reducer::ArgMax | Reducer::ArgMin) {
            if ids.len() != 1 {
                self.report(
                    Diagnostic::error(
                        codes::BRACKETS,
                        format!("`{name}` finds the position along one index, {} given", ids.len()),
                    )
                    .at(span, "")
                    .help(format!("apply it along one index: `{name}[i](…)`")),
                );
                return None;
            }
            return Some(Array::strong(
                DType::I32,
                self.reduce(DType::I32, ids, reducer, guard, expr),
            ));
        }
        Some(Array::strong(dtype, self.reduce(dtype, ids, reducer, guard, expr)))
    }

    /// How many points indices have, those excluded by guards not counted.
    fn count(&mut self, ids: Vec<IndexId>, guard: Option<Expr>) -> Array {
        if guard.is_none() && self.guards(&ids).is_none() {
            let dims: Vec<_> = ids.iter().map(|i| self.index_vars[*i].dim).collect();
            return self.points_array(&dims);
        }
        let count = self.reduce(DType::I32, ids, Reducer::Sum, both(guard, None), Expr::int(1));
        Array::strong(DType::I32, count)
    }

    /// `argsort[n](x[n])`: where along n the smallest, second smallest … element is.
    pub fn argsort(&mut self, subs: &'a Subscripts, args: &'a [ast::Arg], span: Span) -> Val {
        let ([arg], [Subscript::Expr(ast::Expr { kind: ExprKind::Name(name), span: name_span })]) =
            (args, &subs.subs[..])
        else {
            self.report(
                Diagnostic::error(codes::BRACKETS, "`argsort` sorts one argument along one index")
                    .at(span, "")
                    .help("write `o[n] = argsort[n](x[n])`"),
            );
            return Val::Poison;
        };
        let Some(outer_binding) = self.binding(name) else {
            self.unbound_result(name, *name_span);
            return Val::Poison;
        };
        let Some(bound) = self.bind_brackets(subs, &[&arg.value]) else {
            return Val::Poison;
        };
        let ids = indices(&bound);
        let depth = self.frame().indices.len();
        self.frame_mut().indices.extend(bound.into_iter().map(|(n, _, b)| (n, b)));
        let guard = subs.guard.as_deref().map(|g| self.condition(g));
        let value = self.eval(&arg.value);
        self.frame_mut().indices.truncate(depth);
        if matches!(guard, Some(None)) {
            return Val::Poison;
        }
        let array = match value {
            Val::Array(a) if a.axes.is_empty() => a,
            Val::Poison => return Val::Poison,
            other => {
                let what = self.describe(&other);
                self.report(
                    Diagnostic::error(codes::UNSUBSCRIPTED, format!("`argsort` of {what}"))
                        .at(arg.value.span, "")
                        .help(format!("subscript it: `argsort[{name}](…[{name}])`")),
                );
                return Val::Poison;
            }
        };
        let dtype = array.elem.default_dtype();
        if !dtype.is_float() && !dtype.is_int() {
            self.report(
                Diagnostic::error(
                    codes::WRONG_OPERAND,
                    format!("`argsort` is not defined for {dtype}"),
                )
                .at(arg.value.span, "")
                .help("convert it: `argsort[n](i32(…))`"),
            );
            return Val::Poison;
        }
        let [id] = ids[..] else { return Val::Poison };
        // Excluded elements sort last, as NaN or the largest integer.
        let guard = both(guard.flatten(), self.index_vars[id].guard.take());
        let mut body = self.converted(array.body, array.elem, dtype);
        if let Some(guard) = guard {
            let last = match dtype.is_float() {
                true => Expr::float(dtype, f64::NAN),
                false => Expr::Literal(Literal::Int(dtype, einmesh_ir::integer::max_value(dtype))),
            };
            body = Expr::select(guard, body, last);
        }
        let axis = match &outer_binding {
            Binding::Indices(_, axis) => axis.clone(),
            Binding::Counter(_, dim) => crate::dims::Axis::one(*dim),
        };
        let sorted = Array { axes: vec![axis], elem: Elem::Strong(dtype), params: vec![id], body };
        let outer = self.outer(&[&sorted.body], &sorted.params);
        let input = self.stored(&sorted, &outer);
        let dims = self.program.values[input].dims.clone();
        let position = outer.len();
        let out = self.value(DType::I32, dims);
        self.push(Op::Argsort(Argsort { out, input, position }));
        let at = self.position(&outer_binding);
        let subs = outer.into_iter().map(Expr::Index).chain([at]);
        Val::number(Elem::Strong(DType::I32), Expr::load(out, subs.collect::<Vec<_>>()))
    }

    /// Reports that an index stays in a result but nothing binds it.
    pub fn unbound_result(&mut self, name: &str, span: Span) {
        self.report(
            Diagnostic::error(
                codes::UNBOUND_INDEX,
                format!(
                    "the result still has the index `{name}`, which is not bound around the call"
                ),
            )
            .at(span, "stays in the result")
            .help(format!("bind it on the left: `y[{name}] = …`")),
        );
    }
}

/// The index variables of bindings.
pub(crate) fn indices(bound: &Bound) -> Vec<IndexId> {
    let each = bound.iter().flat_map(|(_, _, b)| match b {
        Binding::Indices(ids, _) => ids.clone(),
        Binding::Counter(..) => Vec::new(),
    });
    each.collect()
}
