//! Stores into existing arrays: `:=`, `+=`, `max=`, `min=`.

use crate::ctx::{Binding, Ctx};
use crate::emit::{Emission, both};
use crate::index::bare;
use crate::records::set_field;
use crate::scalar::short;
use crate::show;
use crate::subscript::Subs;
use crate::values::{Array, Val};
use einmesh_diagnostics::codes::language as codes;
use einmesh_diagnostics::{Diagnostic, Span};
use einmesh_ir::affine::{Affine, Atom};
use einmesh_ir::{BinaryOp, Expr, IndexId, Reducer};
use einmesh_syntax::ast::{self, AssignOp, Lhs, LhsPart, Subscript, Subscripts};
use std::collections::BTreeSet;

impl<'a> Ctx<'a> {
    pub fn store(&mut self, lhs: &'a Lhs, op: AssignOp, value: &'a ast::Expr) {
        let Some(var) = self.frame().vars.get(&lhs.name.text).cloned() else {
            let known: Vec<String> = self.frame().vars.keys().cloned().collect();
            let mut error = Diagnostic::error(
                codes::STORE_TARGET,
                format!("there is no array `{}` to store to", lhs.name.text),
            )
            .at(lhs.name.span, "not bound yet");
            error = match crate::names::suggest(&lhs.name.text, known.iter().map(String::as_str)) {
                Some(near) => error.help(format!("did you mean `{near}`?")),
                None => error.help(format!(
                    "bind it first, e.g. `{}: f32[…] = 0`; or bind it now with `=`",
                    lhs.name.text
                )),
            };
            self.report(error);
            self.set_var(&lhs.name.text, Val::Poison, lhs.span);
            return;
        };
        let mut fields: Vec<&'a ast::Name> = Vec::new();
        let mut parts: Vec<&'a Subscripts> = Vec::new();
        let mut target = var.val.clone();
        for part in &lhs.path {
            match part {
                LhsPart::Field(name) => {
                    fields.push(name);
                    target = match target {
                        Val::Record(record) => {
                            match record.fields.iter().find(|(n, _)| *n == name.text) {
                                Some((_, inner)) => inner.clone(),
                                None => {
                                    self.no_field(&record, name);
                                    return;
                                }
                            }
                        }
                        other => other,
                    };
                }
                LhsPart::Subscript(subs) => parts.push(subs),
            }
        }
        let array = match target {
            Val::Array(array) => array,
            Val::Poison => return,
            other => {
                let what = self.describe(&other);
                self.report(
                    Diagnostic::error(
                        codes::STORE_TARGET,
                        format!("a store goes to an array, not to {what}"),
                    )
                    .at(lhs.span, format!("this is {what}"))
                    .also(var.span, "bound here")
                    .help("store to a leaf: `r.field[…] := …`"),
                );
                return;
            }
        };
        let new = match parts.is_empty() {
            true => self.update(lhs, op, array, value, var.span),
            false => self.store_at(lhs, &parts, op, array, value, var.span),
        };
        let new = new.map_or(Val::Poison, Val::Array);
        let val = set_field(var.val, &fields, new);
        self.set_var(&lhs.name.text, val, lhs.span);
    }

    /// `x += e` without subscripts: `x = x + e`.
    fn update(
        &mut self,
        lhs: &'a Lhs,
        op: AssignOp,
        array: Array,
        value: &'a ast::Expr,
        before: Span,
    ) -> Option<Array> {
        let op = match op {
            AssignOp::Add => BinaryOp::Add,
            AssignOp::Max => BinaryOp::Max,
            AssignOp::Min => BinaryOp::Min,
            _ => {
                self.report(
                    Diagnostic::error(
                        codes::STORE_TARGET,
                        "a store says where: its left side has subscripts",
                    )
                    .at(lhs.span, "")
                    .also(before, "bound here")
                    .help(format!(
                        "to bind the whole value write `{} = {}`",
                        show::lhs(lhs),
                        short(value)
                    )),
                );
                return None;
            }
        };
        let axes = array.axes.clone();
        let dtype = array.elem.default_dtype();
        let right = self.right_side(value, None);
        let array = self.adapted(array, dtype);
        let sum = self.leafwise(
            vec![(Val::Array(array), lhs.span), (right, value.span)],
            &mut |ctx, mut args| {
                let b = args.pop()?;
                let a = args.pop()?;
                let span = a.1.to(b.1);
                ctx.arithmetic(op, a, b, span)
            },
        );
        let ty = crate::types::Ty::Array { axes, dtype };
        let sum = self.coerce(
            sum,
            &ty,
            value.span,
            "the stored value",
            Some((before, "bound here".to_owned())),
        );
        match self.kept(sum) {
            Val::Array(array) => Some(array),
            _ => None,
        }
    }

    fn store_at(
        &mut self,
        lhs: &'a Lhs,
        parts: &[&'a Subscripts],
        op: AssignOp,
        array: Array,
        value: &'a ast::Expr,
        before: Span,
    ) -> Option<Array> {
        let depth = self.frame().indices.len();
        let result = self.store_in_scope(lhs, parts, op, array, value, before);
        self.frame_mut().indices.truncate(depth);
        result
    }

    fn store_in_scope(
        &mut self,
        lhs: &'a Lhs,
        parts: &[&'a Subscripts],
        op: AssignOp,
        array: Array,
        value: &'a ast::Expr,
        before: Span,
    ) -> Option<Array> {
        let subs: Vec<&'a Subscript> = parts.iter().flat_map(|p| &p.subs).collect();
        if subs.len() != array.axes.len() {
            let axes = self.axes_name(&array.axes);
            self.report(
                Diagnostic::error(
                    codes::SUBSCRIPTS,
                    format!(
                        "{} subscripts, but `{}` has {} axes",
                        subs.len(),
                        lhs.name.text,
                        array.axes.len()
                    ),
                )
                .at(lhs.span, format!("its axes are [{axes}]"))
                .also(before, "bound here")
                .help(format!("subscript all of them: `[{}]`", axes.to_lowercase())),
            );
            return None;
        }
        let ids = self.store_indices(&subs, &array)?;
        let mut places = Subs { axes: subs.len(), exprs: vec![], proven: vec![], escapes: None };
        let mut ok = true;
        for (sub, axis) in subs.iter().zip(&array.axes) {
            let done = match sub {
                Subscript::Expr(e) => self.subscript(e, axis, &mut places),
                Subscript::Ranged(name, _) => {
                    let e =
                        ast::Expr { kind: ast::ExprKind::Name(name.text.clone()), span: name.span };
                    match self.binding(&name.text) {
                        Some(binding) => self.bare_subscript(&e, &binding, axis, &mut places),
                        None => None,
                    }
                }
            };
            ok &= done.is_some();
        }
        let mut guard: Option<Expr> = None;
        for part in parts {
            if let Some(condition) = &part.guard {
                let condition = self.condition(condition)?;
                guard = both(guard, Some(condition));
            }
        }
        if !ok {
            return None;
        }
        let dtype = array.elem.default_dtype();
        let right = match self.right_side(value, Some(dtype)) {
            Val::Array(a) if a.axes.is_empty() => a,
            Val::Poison => return None,
            other => {
                let what = self.describe(&other);
                self.report(
                    Diagnostic::error(
                        codes::UNSUBSCRIPTED,
                        "a store writes one number at each place",
                    )
                    .at(value.span, format!("this is {what}"))
                    .also(lhs.span, "has indices")
                    .help("subscript the right side"),
                );
                return None;
            }
        };
        let right = self.implicit(
            right,
            dtype,
            value.span,
            "the stored value",
            Some((before, format!("the array is {dtype}"))),
        )?;
        let combine = match op {
            AssignOp::Add => Reducer::Sum,
            AssignOp::Max => Reducer::Max,
            AssignOp::Min => Reducer::Min,
            _ => Reducer::None,
        };
        if combine == Reducer::None
            && let Some(free) = self.not_injective(&places.exprs, &ids)
        {
            let name = self.index_vars[free].name.clone();
            self.report(
                Diagnostic::error(codes::NOT_INJECTIVE, format!("two values of `{name}` may store to the same place"))
                    .at(lhs.span, format!("`{name}` cannot be told from the place"))
                    .help("combine what meets: `+=`, `max=` or `min=`")
                    .note("`:=` needs subscripts from which each index follows, such as `b` and `start[b] + t`"),
            );
            return None;
        }
        // Every index that the call is mapped over has an array of its own.
        let lifts = self.frame().lifts.clone();
        let base = self.stored(&array, &lifts);
        let subs: Vec<Expr> = lifts.iter().map(|i| Expr::Index(*i)).chain(places.exprs).collect();
        let free: Vec<IndexId> = lifts.iter().chain(&ids).copied().collect();
        let emission = Emission {
            dtype,
            free,
            reduced: vec![],
            reducer: Reducer::None,
            guard,
            body: right.body,
        };
        let out = self.emit_store(emission, base, subs, combine);
        Some(self.array_of(out, array.axes, &lifts, array.params))
    }

    /// Binds the indices that a store's subscripts mention: they enumerate what is stored.
    fn store_indices(&mut self, subs: &[&'a Subscript], array: &Array) -> Option<Vec<IndexId>> {
        let mut ids: Vec<IndexId> = Vec::new();
        let mut ok = true;
        for (sub, axis) in subs.iter().zip(&array.axes) {
            let wanted: Vec<(String, Span, Option<&'a ast::Expr>)> = match sub {
                Subscript::Ranged(name, range) => vec![(name.text.clone(), name.span, Some(range))],
                Subscript::Expr(e) => {
                    self.subscript_mentions(e).into_iter().map(|m| (m.name, m.span, None)).collect()
                }
            };
            for (name, span, range) in wanted {
                if self.frame().indices.iter().any(|(n, _)| *n == name) {
                    continue;
                }
                let single = matches!(sub, Subscript::Expr(e) if bare(e).is_some());
                let binding = if range.is_none()
                    && single
                    && self.dim_of_index(&name).is_none()
                    && !self.frame().vars.contains_key(&name)
                {
                    let params = self.fresh_params(std::slice::from_ref(axis));
                    Some(Binding::Indices(params, axis.clone()))
                } else {
                    self.bind_index(&name, span, range, &[])
                };
                match binding {
                    Some(binding) => {
                        if let Binding::Indices(new, _) = &binding {
                            ids.extend(new);
                        }
                        self.frame_mut().indices.push((name, binding));
                    }
                    None => ok = false,
                }
            }
        }
        ok.then_some(ids)
    }

    /// An index that does not follow from the places, if there is one. Subscripts are solved one after
    /// the other: what remains of an affine form, once the known indices are taken away, must be a
    /// mixed-radix number of unknown ones.
    fn not_injective(&mut self, subs: &[Expr], ids: &[IndexId]) -> Option<IndexId> {
        let mut unknown: BTreeSet<IndexId> = BTreeSet::new();
        for id in ids {
            if self.extent(self.index_vars[*id].dim) > 1 {
                unknown.insert(*id);
            }
        }
        loop {
            let mut solved: BTreeSet<IndexId> = BTreeSet::new();
            for sub in subs {
                if let Some(found) = self.solve(sub, &unknown) {
                    solved.extend(found);
                }
            }
            if solved.is_empty() {
                return unknown.first().copied();
            }
            unknown.retain(|i| !solved.contains(i));
            if unknown.is_empty() {
                return None;
            }
        }
    }

    /// The unknown indices that a subscript's value determines.
    fn solve(&mut self, sub: &Expr, unknown: &BTreeSet<IndexId>) -> Option<Vec<IndexId>> {
        let affine = self.affine_in(sub, unknown)?;
        let mut terms: Vec<(i64, IndexId, u64)> = Vec::new();
        for (atom, coefficient) in affine.terms() {
            if let Atom::Index(index) = atom
                && unknown.contains(index)
            {
                let extent = self.extent(self.index_vars[*index].dim);
                terms.push((coefficient.checked_abs()?, *index, extent));
            }
        }
        terms.sort();
        let mut reach: i64 = 0;
        for (coefficient, _, extent) in &terms {
            if *coefficient <= reach {
                return None;
            }
            reach = reach.checked_add(coefficient.checked_mul(i64::try_from(extent - 1).ok()?)?)?;
        }
        Some(terms.into_iter().map(|(_, index, _)| index).collect())
    }

    /// The affine form of an expression in the unknown indices; parts without any of them count as
    /// constants.
    fn affine_in(&self, e: &Expr, unknown: &BTreeSet<IndexId>) -> Option<Affine> {
        if unknown.iter().all(|i| !e.mentions(*i)) {
            return Some(Affine::constant(0));
        }
        match e {
            Expr::Index(index) => Some(Atom::Index(*index).into()),
            Expr::Binary(BinaryOp::Add, a, b) => {
                self.affine_in(a, unknown)?.add(&self.affine_in(b, unknown)?)
            }
            Expr::Binary(BinaryOp::Sub, a, b) => {
                self.affine_in(a, unknown)?.sub(&self.affine_in(b, unknown)?)
            }
            Expr::Binary(BinaryOp::Mul, a, b) => {
                let (a_form, b_form) = (Affine::of(a), Affine::of(b));
                match (a_form.and_then(|f| f.as_constant()), b_form.and_then(|f| f.as_constant())) {
                    (Some(c), _) => self.affine_in(b, unknown)?.scale(c),
                    (_, Some(c)) => self.affine_in(a, unknown)?.scale(c),
                    _ => None,
                }
            }
            Expr::Cast(dtype, a) if dtype.is_int() => self.affine_in(a, unknown),
            _ => Affine::of(e),
        }
    }
}
