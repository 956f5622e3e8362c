//! What a call's generics are: the dims that its brackets or whole arguments bind, the dtype of `float`,
//! and the guard that restricts a dim.

use crate::call::{Matched, plural};
use crate::ctx::{Binding, Ctx, DimRef};
use crate::dims::Axis;
use crate::index::bare;
use crate::parts::{Lacks, innermost};
use crate::reduce::Bound;
use crate::types::{RecordTy, is_any_record, join};
use crate::values::{Elem, RecordVal, Val, mentioned};
use einmesh_diagnostics::codes::language as codes;
use einmesh_diagnostics::{Diagnostic, Span};
use einmesh_ir::{DType, DimId};
use einmesh_syntax::ast::{self, ExprKind, Subscripts};

impl<'a> Ctx<'a> {
    pub fn function_brackets(
        &mut self,
        function: &'a ast::Fn,
        subs: &'a Subscripts,
        uses: &[&'a ast::Expr],
        name_span: Span,
    ) -> Option<Bound> {
        let bound = self.bind_brackets(subs, uses)?;
        if bound.len() != function.generics.len() {
            let name = &function.name.text;
            let wanted: Vec<String> =
                function.generics.iter().map(|(g, _)| g.text.to_lowercase()).collect();
            let form = match wanted.is_empty() {
                true => format!("`{name}(…)`: it is mapped over all indices by itself"),
                false => format!("`{name}[{}](…)`", wanted.join(",")),
            };
            self.report(
                Diagnostic::error(
                    codes::BRACKETS,
                    format!(
                        "`{name}` is generic over {}, {} indices given",
                        plural(function.generics.len(), "dim"),
                        bound.len()
                    ),
                )
                .at(subs.span, "the brackets bind its generic dims, in order")
                .also(function.name.span, "declared here")
                .help(format!("write {form}")),
            );
            return None;
        }
        let _ = name_span;
        Some(bound)
    }

    /// Applies a call's guard to the generic dim that it depends on.
    pub fn restrict(
        &mut self,
        guard: &'a ast::Expr,
        bound: &Bound,
        generics: &mut [(String, DimRef)],
    ) -> Option<()> {
        let condition = self.condition(guard)?;
        let mentioned = mentioned(&condition);
        let mut hits: Vec<usize> = Vec::new();
        for (position, (_, _, binding)) in bound.iter().enumerate() {
            if let Binding::Indices(ids, _) = binding
                && ids.iter().any(|i| mentioned.contains(i))
            {
                hits.push(position);
            }
        }
        if hits.len() > 1 {
            self.report(
                Diagnostic::error(
                    codes::GUARD,
                    "the guard of a call depends on two of its indices",
                )
                .at(guard.span, "")
                .help("guard by one index, or write the reduction out: `sum[i,j | …](…)`"),
            );
            return None;
        }
        // A guard that depends on no index of the brackets restricts the first one.
        let hit = hits.first().copied().unwrap_or(0);
        if let (Some((_, _, Binding::Indices(ids, _))), Some((_, generic))) =
            (bound.get(hit), generics.get_mut(hit))
        {
            for id in ids {
                self.index_vars[*id].guard = Some(condition.clone());
            }
            generic.guard = Some((ids.clone(), condition));
        }
        Some(())
    }

    /// The dtype of `float` in a call; `Some(None)` if no parameter has it.
    pub fn float_of(
        &mut self,
        matched: &[Matched<'a>],
        values: &[Option<(Val, Span)>],
    ) -> Option<Option<DType>> {
        let mut float: Option<(Elem, Span)> = None;
        let mut any = false;
        for (m, value) in matched.iter().zip(values) {
            if m.param.ty.path.last().map(|n| n.text.as_str()) != Some("float") {
                continue;
            }
            any = true;
            let Some((Val::Array(array), span)) = value else {
                continue;
            };
            if !array.elem.is_floatish() {
                continue;
            }
            float = Some(match float {
                None => (array.elem, *span),
                Some((before, before_span)) => match join(before, array.elem) {
                    Some(elem) => (elem, before_span),
                    None => {
                        let (x, y) = (before.name(), array.elem.name());
                        self.report(
                            Diagnostic::error(
                                codes::DTYPE,
                                format!("`float` would be both {x} and {y} in this call"),
                            )
                            .at(*span, format!("this is {y}"))
                            .also(before_span, format!("this is {x}"))
                            .help("convert both to one: `f32(…)`"),
                        );
                        return None;
                    }
                },
            });
        }
        let dtype = float.map(|(elem, _)| match elem {
            Elem::Strong(dtype) => dtype,
            _ => DType::F32,
        });
        Some(match (any, dtype) {
            (false, _) => self.frame().float,
            (true, dtype) => Some(dtype.unwrap_or(DType::F32)),
        })
    }

    /// The type of `record` in a call; `Some(None)` if no parameter has it.
    pub fn record_of(
        &mut self,
        matched: &[Matched<'a>],
        values: &[Option<(Val, Span)>],
    ) -> Option<Option<RecordTy>> {
        let generic = |m: &&Matched<'a>| is_any_record(&m.param.ty);
        if matched.iter().find(generic).is_none() {
            return Some(None);
        }
        let mut found = None;
        for (m, value) in matched.iter().zip(values).filter(|(m, _)| generic(m)) {
            match value {
                Some((Val::Record(r), span)) if found.is_none() => {
                    // `record` itself is the argument's type; that of `rows(record)` is a part of it.
                    let lacks = if m.param.ty.of.is_some() { Lacks::default() } else { r.lacks };
                    found = Some(self.ty_of(&RecordVal { lacks, ..r.clone() }, *span)?);
                }
                // Others of the same type are as wanted; a number becomes a record when it is bound.
                Some((Val::Record(_) | Val::Array(_), _)) | None => {}
                Some((Val::Poison, _)) => return None,
                Some((Val::Tuple(_), span)) => {
                    self.report(
                        Diagnostic::error(
                            codes::RECORD_TYPE,
                            format!("`{}` is one record, not several results", m.param.name.text),
                        )
                        .at(*span, "")
                        .also(m.param.ty.span, "declared here")
                        .help("bind the results to names, and pass one"),
                    );
                    return None;
                }
            }
        }
        if found.is_none() {
            let first = matched.iter().find(generic)?;
            let at = matched.iter().zip(values).find(|(m, _)| generic(m));
            let (param, span) = (&first.param, at.and_then(|(_, v)| v.as_ref()).map(|(_, s)| *s));
            self.report(
                Diagnostic::error(
                    codes::RECORD_TYPE,
                    "no argument of this call is a record, so `record` has no type",
                )
                .at(span.unwrap_or(param.ty.span), "not a record")
                .also(param.ty.span, "declared here")
                .help(format!("pass a record for `{}`", param.name.text)),
            );
            return None;
        }
        Some(found)
    }

    /// Binds generic dims by the axes of whole arguments.
    pub fn unify(
        &mut self,
        function: &'a ast::Fn,
        matched: &[Matched<'a>],
        values: &[Option<(Val, Span)>],
        generics: &mut Vec<(String, DimRef)>,
        span: Span,
    ) -> bool {
        let names: Vec<&str> = function.generics.iter().map(|(g, _)| g.text.as_str()).collect();
        let mut poisoned = false;
        for (m, value) in matched.iter().zip(values) {
            let Some((value, _)) = value else { continue };
            poisoned |= value.is_poison();
            let (written, actual): (Vec<&ast::Expr>, Vec<Axis>) = match value {
                Val::Array(a) => (m.param.ty.axes.iter().flatten().collect(), a.axes.clone()),
                Val::Record(r) => {
                    let mut written: Vec<&ast::Expr> = innermost(&m.param.ty).args.iter().collect();
                    let mut at = Some(&m.param.ty);
                    while let Some(ty) = at {
                        written.extend(ty.axes.iter().flatten());
                        at = ty.of.as_deref();
                    }
                    (written, r.args.iter().chain(&r.stack).cloned().collect())
                }
                _ => continue,
            };
            for (e, axis) in written.into_iter().zip(actual) {
                let parts = crate::index::components(e);
                for (position, part) in parts.iter().enumerate() {
                    let Some(name) = bare(part).filter(|n| names.contains(n)) else {
                        continue;
                    };
                    let found = match parts.len() {
                        1 => Some(axis.clone()),
                        n if n == axis.dims.len() => Some(Axis::one(axis.dims[position])),
                        _ => None,
                    };
                    if let Some(found) = found
                        && !generics.iter().any(|(g, _)| g == name)
                    {
                        // A dim restricted by a guard around stays restricted inside.
                        let around = self.frame().generics.iter().find(|(_, g)| g.axis == found);
                        let guard = around.and_then(|(_, g)| g.guard.clone());
                        generics.push((name.to_owned(), DimRef { axis: found, guard }));
                    }
                }
            }
        }
        for (generic, _) in &function.generics {
            if !generics.iter().any(|(g, _)| *g == generic.text) {
                if !poisoned {
                    let (name, dim) = (&function.name.text, &generic.text);
                    let form: Vec<String> = names.iter().map(|n| n.to_lowercase()).collect();
                    self.report(
                        Diagnostic::error(
                            codes::UNBOUND_GENERIC,
                            format!("it is not known what `{dim}` of `{name}` is here"),
                        )
                        .at(span, "no whole argument has this axis")
                        .also(generic.span, "declared here")
                        .help(format!(
                            "name the index it ranges over: `{name}[{}](…)`",
                            form.join(",")
                        )),
                    );
                }
                return false;
            }
        }
        // In the order of the declaration, so that a call means the same however arguments are named.
        generics.sort_by_key(|(g, _)| names.iter().position(|n| n == g));
        true
    }

    /// The roles that generics declare, checked for size.
    pub fn generic_roles(
        &mut self,
        function: &'a ast::Fn,
        inst: usize,
        generics: &[(String, DimRef)],
        span: Span,
    ) -> Option<Vec<(DimId, DimId)>> {
        let mut roles = Vec::new();
        for (generic, role_of) in &function.generics {
            let Some(of) = role_of else { continue };
            let find =
                |name: &str| generics.iter().find(|(g, _)| g == name).map(|(_, d)| d.axis.clone());
            let outer = match find(&of.text) {
                Some(axis) => Some(axis),
                None => self.in_module(inst, |ctx| {
                    ctx.dim_axis(&ast::Expr {
                        kind: ExprKind::Name(of.text.clone()),
                        span: of.span,
                    })
                }),
            };
            let (Some(inner), Some(outer)) = (find(&generic.text), outer) else {
                continue;
            };
            let ([inner], [outer]) = (&inner.dims[..], &outer.dims[..]) else {
                continue;
            };
            let (a, b) = (self.resolve_dim(*inner), self.resolve_dim(*outer));
            let known = !a.stand_in && !b.stand_in && !a.symbolic && !b.symbolic;
            if a.extent > b.extent && known {
                let (x, y) = (self.dim_name(*inner).to_owned(), self.dim_name(*outer).to_owned());
                self.report(
                    Diagnostic::error(
                        codes::ROLE_TOO_LARGE,
                        format!(
                            "`{}: {}` of `{}`: {x} has {} positions, {y} only {}",
                            generic.text, of.text, function.name.text, a.extent, b.extent
                        ),
                    )
                    .at(span, "called here")
                    .also(generic.span, "declared here")
                    .help(format!("choose {x} at most {}", b.extent)),
                );
                return None;
            }
            roles.push((*inner, *outer));
        }
        Some(roles)
    }
}
