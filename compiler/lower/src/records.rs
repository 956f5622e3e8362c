//! Records: constructing them, and copies with a leaf replaced.

use crate::ctx::Ctx;
use crate::names::suggest;
use crate::parts::Lacks;
use crate::scalar::short;
use crate::show;
use crate::values::{RecordVal, Val};
use einmesh_diagnostics::codes::language as codes;
use einmesh_diagnostics::{Diagnostic, Span};
use einmesh_syntax::ast::{self, ExprKind, Lhs, LhsPart};

impl<'a> Ctx<'a> {
    /// `R(field: value, …)`: every field by name.
    pub fn construct(&mut self, def: usize, args: &'a [ast::Arg], span: Span) -> Val {
        let (_, record) = self.records[def];
        let name = record.name.text.clone();
        if let Some(generic) = record.generics.first() {
            self.report(
                Diagnostic::error(codes::WRONG_ARGUMENTS, format!("`{name}` is generic, so a value of it cannot be constructed by name"))
                    .at(span, "")
                    .also(generic.span, "generic over dims")
                    .help(format!("bind a typed value and replace its fields: `r: {name}(…) = 0`, then `r.field = …`")),
            );
            return Val::Poison;
        }
        let Some(ty) = self.record_ty(def, Vec::new(), Vec::new(), span) else {
            return Val::Poison;
        };
        let mut given: Vec<(String, Val, Span)> = Vec::new();
        let mut ok = true;
        for arg in args {
            let value = self.eval(&arg.value);
            ok &= !value.is_poison();
            let Some(field) = &arg.name else {
                self.report(
                    Diagnostic::error(
                        codes::WRONG_ARGUMENTS,
                        format!("the fields of `{name}` are given by name"),
                    )
                    .at(arg.value.span, "")
                    .help(format!("write `{name}(field: {})`", short(&arg.value))),
                );
                ok = false;
                continue;
            };
            if !ty.fields.iter().any(|(n, _)| *n == field.text) {
                let model = RecordVal {
                    def,
                    args: vec![],
                    stack: vec![],
                    lacks: Lacks::default(),
                    fields: vec![],
                };
                self.no_field(&model, field);
                ok = false;
            }
            given.push((field.text.clone(), value, arg.value.span));
        }
        let missing: Vec<&str> = ty
            .fields
            .iter()
            .map(|(n, _)| n.as_str())
            .filter(|n| !given.iter().any(|(g, ..)| g == n))
            .collect();
        if ok && !missing.is_empty() {
            let fields: Vec<String> = ty.fields.iter().map(|(n, _)| format!("{n}: …")).collect();
            self.report(
                Diagnostic::error(
                    codes::WRONG_ARGUMENTS,
                    format!("`{name}` is missing the fields {}", missing.join(", ")),
                )
                .at(span, "")
                .also(record.name.span, "declared here")
                .help(format!("write `{name}({})`", fields.join(", "))),
            );
            ok = false;
        }
        if !ok {
            return Val::Poison;
        }
        let mut fields = Vec::new();
        for (field, field_ty) in &ty.fields {
            let Some((_, value, at)) = given.iter().find(|(g, ..)| g == field) else {
                continue;
            };
            let place = record
                .fields
                .iter()
                .find(|f| f.name.text == *field)
                .map(|f| (f.ty.span, "declared here".to_owned()));
            let what = format!("the field `{field}` of `{name}`");
            let value = self.coerce(value.clone(), field_ty, *at, &what, place);
            fields.push((field.clone(), value));
        }
        Val::Record(RecordVal { def, args: vec![], stack: vec![], lacks: Lacks::default(), fields })
    }

    /// `r.a.w[…] = value`: the variable becomes a copy with that leaf (or inner record) replaced.
    pub fn replace_leaf(&mut self, lhs: &'a Lhs, new: Val, value_span: Span) {
        let Some(var) = self.frame().vars.get(&lhs.name.text).cloned() else {
            let known: Vec<String> = self.frame().vars.keys().cloned().collect();
            let mut error = Diagnostic::error(
                codes::UNKNOWN_NAME,
                format!("there is no `{}` whose field could be replaced", lhs.name.text),
            )
            .at(lhs.name.span, "not bound yet");
            error = match suggest(&lhs.name.text, known.iter().map(String::as_str)) {
                Some(near) => error.help(format!("did you mean `{near}`?")),
                None => error.help(format!("bind it first: `{} = …`", lhs.name.text)),
            };
            self.report(error);
            return;
        };
        let fields: Vec<&'a ast::Name> = lhs
            .path
            .iter()
            .filter_map(|p| match p {
                LhsPart::Field(name) => Some(name),
                LhsPart::Subscript(_) => None,
            })
            .collect();
        let new = self.strong(new);
        let new = self.kept(new);
        let subscripted = lhs.path.iter().any(|p| matches!(p, LhsPart::Subscript(_)));
        let old_span = var.span;
        if let Some(val) =
            self.replaced(var.val, &fields, new, lhs, value_span, old_span, subscripted)
        {
            self.set_var(&lhs.name.text, val, lhs.span);
        }
    }

    #[allow(clippy::too_many_arguments)]
    fn replaced(
        &mut self,
        old: Val,
        fields: &[&'a ast::Name],
        new: Val,
        lhs: &'a Lhs,
        value_span: Span,
        old_span: Span,
        subscripted: bool,
    ) -> Option<Val> {
        let Some((field, rest)) = fields.split_first() else {
            return Some(match (&old, &new) {
                (Val::Poison, _) | (_, Val::Poison) => Val::Poison,
                (Val::Array(a), Val::Array(b)) if self.same_axes(&a.axes, &b.axes) => {
                    match self.leaf_dtype(a, b, value_span, lhs) {
                        Some(dtype) => Val::Array(self.adapted(b.clone(), dtype)),
                        None => Val::Poison,
                    }
                }
                (Val::Array(a), Val::Array(b)) if b.axes.is_empty() && !subscripted => {
                    let params = self.fresh_params(&a.axes);
                    let Some(dtype) = self.leaf_dtype(a, b, value_span, lhs) else {
                        return Some(Val::Poison);
                    };
                    let filled = self.adapted(b.clone(), dtype);
                    Val::Array(crate::values::Array { axes: a.axes.clone(), params, ..filled })
                }
                (Val::Record(a), Val::Record(b))
                    if a.def == b.def
                        && a.lacks == b.lacks
                        && self.same_axes(&a.stack, &b.stack) =>
                {
                    new
                }
                _ => {
                    let (was, is) = (self.describe(&old), self.describe(&new));
                    self.report(
                        Diagnostic::error(codes::AXES, format!("`{}` is {was} and cannot be replaced by {is}", show::lhs(lhs)))
                            .at(value_span, format!("this is {is}"))
                            .also(old_span, "bound here")
                            .help("a leaf is replaced whole: all its axes are on the left; to store into a part of it use `:=`"),
                    );
                    Val::Poison
                }
            });
        };
        match old {
            Val::Record(mut record) => {
                let Some(position) = record.fields.iter().position(|(n, _)| *n == field.text)
                else {
                    self.no_field(&record, field);
                    return None;
                };
                let inner = std::mem::replace(&mut record.fields[position].1, Val::Poison);
                record.fields[position].1 =
                    self.replaced(inner, rest, new, lhs, value_span, old_span, subscripted)?;
                Some(Val::Record(record))
            }
            Val::Poison => Some(Val::Poison),
            other => {
                let what = self.describe(&other);
                self.report(
                    Diagnostic::error(codes::UNKNOWN_FIELD, format!("{what} has no fields"))
                        .at(field.span, "")
                        .also(old_span, "bound here"),
                );
                None
            }
        }
    }

    /// The dtype of a replaced leaf: that of the new values where they are wider.
    fn leaf_dtype(
        &mut self,
        old: &crate::values::Array,
        new: &crate::values::Array,
        span: Span,
        lhs: &Lhs,
    ) -> Option<einmesh_ir::DType> {
        use crate::values::Elem;
        let was = old.elem.default_dtype();
        match new.elem {
            Elem::Strong(is) if crate::types::widens(was, is) => Some(is),
            _ => {
                let because = Some((lhs.span, format!("this is {was}")));
                self.implicit(new.clone(), was, span, "the replaced leaf", because).map(|_| was)
            }
        }
    }

    /// Gives an `inout` argument's final value back to the variable it came from.
    pub fn assign_back(&mut self, given: &'a ast::Expr, value: Val, param: &ast::Param) {
        let mut fields: Vec<&'a ast::Name> = Vec::new();
        let mut at = given;
        let root = loop {
            match &at.kind {
                ExprKind::Name(name) => break Some(name),
                ExprKind::Field(inner, field) => {
                    fields.push(field);
                    at = inner;
                }
                _ => break None,
            }
        };
        let known = root.filter(|name| self.frame().vars.contains_key(*name));
        let Some(name) = known else {
            self.report(
                Diagnostic::error(
                    codes::INOUT,
                    format!("`{}` is `inout`: its argument must be a variable", param.name.text),
                )
                .at(given.span, "has no place to put the result")
                .also(param.name.span, "declared `inout` here")
                .help("bind the value to a name first, and pass that"),
            );
            return;
        };
        fields.reverse();
        let Some(var) = self.frame().vars.get(name).cloned() else {
            return;
        };
        let new = set_field(var.val, &fields, value);
        self.set_var(name, new, given.span);
    }
}

/// The value with the inner value at a path replaced.
pub(crate) fn set_field(old: Val, fields: &[&ast::Name], new: Val) -> Val {
    let Some((field, rest)) = fields.split_first() else {
        return new;
    };
    match old {
        Val::Record(mut record) => {
            for (name, value) in &mut record.fields {
                if *name == field.text {
                    let inner = std::mem::replace(value, Val::Poison);
                    *value = set_field(inner, rest, new);
                    break;
                }
            }
            Val::Record(record)
        }
        other => other,
    }
}
