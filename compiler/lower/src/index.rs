//! Index names: what they range over, where they are bound, and where an expression mentions them.

use crate::ctx::{Binding, Ctx};
use crate::dims::Axis;
use crate::names::{Def, is_reserved, suggest};
use crate::values::Val;
use einmesh_diagnostics::codes::language as codes;
use einmesh_diagnostics::{Diagnostic, Span};
use einmesh_ir::{Expr, IndexId};
use einmesh_syntax::ast::{self, ExprKind, Subscript, Subscripts};
use std::collections::BTreeSet;

/// The occurrence of an index that is not bound around the expression.
#[derive(Clone, Debug)]
pub(crate) struct Mention {
    pub name: String,
    pub span: Span,
}

/// Whether an expression is only a name.
pub(crate) fn bare(e: &ast::Expr) -> Option<&str> {
    match &e.kind {
        ExprKind::Name(name) => Some(name),
        _ => None,
    }
}

/// The expressions of one subscript, tuples flattened.
pub(crate) fn components(e: &ast::Expr) -> Vec<&ast::Expr> {
    match &e.kind {
        ExprKind::Tuple(parts) => parts.iter().flat_map(components).collect(),
        _ => vec![e],
    }
}

impl<'a> Ctx<'a> {
    /// What an index name is bound to here.
    pub fn binding(&self, name: &str) -> Option<Binding> {
        self.frame().indices.iter().rev().find(|(n, _)| n == name).map(|(_, b)| b.clone())
    }

    /// The axis of the dim whose name in lower case is `name`.
    pub fn dim_of_index(&mut self, name: &str) -> Option<Axis> {
        let frame = self.frame();
        if let Some((_, generic)) =
            frame.generics.iter().rev().find(|(n, _)| n.to_lowercase() == name)
        {
            return Some(generic.axis.clone());
        }
        let scope = &self.insts[frame.inst].scope;
        let found = scope.iter().find_map(|(n, (def, _))| match def {
            Def::Dim(dim) if n.to_lowercase() == name => Some(*dim),
            _ => None,
        });
        found.map(|dim| Axis::one(self.same_dim(dim)))
    }

    /// Binds a new index. `range` is what follows `name:`; without it the dim's name or, failing that,
    /// the uses in `uses` decide what it ranges over.
    pub fn bind_index(
        &mut self,
        name: &str,
        span: Span,
        range: Option<&'a ast::Expr>,
        uses: &[&'a ast::Expr],
    ) -> Option<Binding> {
        if let Some(var) = self.frame().vars.get(name) {
            let before = var.span;
            self.report(
                Diagnostic::error(codes::COLLISION, format!("`{name}` is an index here and a variable too"))
                    .at(span, "used as an index")
                    .also(before, "bound as a variable")
                    .help(format!("rename the variable, e.g. `{name}_value`, or range another index: `{name}2: {}`", name.to_uppercase())),
            );
            return None;
        }
        let axis = match range {
            Some(range) => self.dim_axis(range)?,
            None => match self.dim_of_index(name).or_else(|| self.inferred(name, uses)) {
                Some(axis) => axis,
                None => {
                    self.unknown_index(name, span);
                    return None;
                }
            },
        };
        // An index over a generic dim is excluded where the call's guard excludes it.
        let guard = self
            .frame()
            .generics
            .iter()
            .rev()
            .find(|(_, g)| g.axis == axis)
            .and_then(|(_, g)| g.guard.clone());
        let names = axis.dims.len();
        let mut ids: Vec<IndexId> = Vec::new();
        for dim in &axis.dims {
            let own = if names == 1 {
                name.to_owned()
            } else {
                crate::emit::index_name(self.dim_name(*dim))
            };
            ids.push(self.index_var(&own, *dim));
        }
        if let Some((params, guard)) = guard {
            let map = params.into_iter().zip(ids.iter().map(|i| Expr::Index(*i))).collect();
            let guard = crate::values::substitute(guard, &map);
            for id in &ids {
                self.index_vars[*id].guard = Some(guard.clone());
            }
        }
        Some(Binding::Indices(ids, axis))
    }

    pub fn unknown_index(&mut self, name: &str, span: Span) {
        let inst = self.frame().inst;
        let dims = self.insts[inst].scope.iter().filter(|(_, (d, _))| matches!(d, Def::Dim(_)));
        let mut known: Vec<String> = dims.map(|(n, _)| n.to_lowercase()).collect();
        known.extend(self.frame().generics.iter().map(|(n, _)| n.to_lowercase()));
        let mut error = Diagnostic::error(
            codes::UNKNOWN_INDEX,
            format!("it is not known what the index `{name}` ranges over"),
        )
        .at(span, "no dim has this name in upper case");
        error = match suggest(name, known.iter().map(String::as_str)) {
            Some(near) => error.help(format!("did you mean `{near}`?")),
            None => error.help(format!(
                "say it where it is bound: `{name}: D`, or declare `dim {}`",
                name.to_uppercase()
            )),
        };
        self.report(error);
    }

    /// The axis that bare uses of `name` as a subscript show.
    fn inferred(&mut self, name: &str, uses: &[&'a ast::Expr]) -> Option<Axis> {
        uses.iter().find_map(|e| self.infer_from(name, e))
    }

    fn infer_from(&mut self, name: &str, e: &'a ast::Expr) -> Option<Axis> {
        if let ExprKind::Subscript(base, subs) = &e.kind {
            for (position, sub) in subs.subs.iter().enumerate() {
                let Subscript::Expr(sub) = sub else { continue };
                if bare(sub) == Some(name)
                    && let Some((axes, skipped)) = self.peek(base)
                    && let Some(axis) = axes.get(skipped + position)
                {
                    return Some(axis.clone());
                }
            }
        }
        children(e).into_iter().find_map(|child| self.infer_from(name, child))
    }

    /// The axes of a path (names, fields, subscripts) without evaluating it, and how many of them are
    /// subscripted already.
    fn peek(&self, e: &ast::Expr) -> Option<(Vec<Axis>, usize)> {
        let (val, skipped) = self.peek_value(e)?;
        match val {
            Val::Array(array) => Some((array.axes, skipped)),
            Val::Record(record) => Some((record.stack, skipped)),
            _ => None,
        }
    }

    fn peek_value(&self, e: &ast::Expr) -> Option<(Val, usize)> {
        match &e.kind {
            ExprKind::Name(name) => Some((self.frame().vars.get(name)?.val.clone(), 0)),
            ExprKind::Paren(inner) => self.peek_value(inner),
            ExprKind::Field(base, field) => match self.peek_value(base)? {
                (Val::Record(record), skipped) => {
                    let found = record.fields.into_iter().find(|(n, _)| *n == field.text)?;
                    Some((found.1, skipped))
                }
                _ => None,
            },
            ExprKind::Subscript(base, subs) => {
                let (val, skipped) = self.peek_value(base)?;
                Some((val, skipped + subs.subs.len()))
            }
            _ => None,
        }
    }

    /// The index names that an expression mentions and that nothing around it binds, in order.
    pub fn mentions(&mut self, e: &'a ast::Expr) -> Vec<Mention> {
        let mut found = Vec::new();
        self.collect_mentions(e, false, &mut Vec::new(), &mut found);
        found
    }

    /// As [`Ctx::mentions`], for an expression that stands as a subscript.
    pub fn subscript_mentions(&mut self, e: &'a ast::Expr) -> Vec<Mention> {
        let mut found = Vec::new();
        let direct = matches!(e.kind, ExprKind::Name(_) | ExprKind::Tuple(_));
        self.collect_mentions(e, direct, &mut Vec::new(), &mut found);
        found
    }

    fn collect_mentions(
        &mut self,
        e: &'a ast::Expr,
        subscript: bool,
        bound: &mut Vec<String>,
        found: &mut Vec<Mention>,
    ) {
        match &e.kind {
            ExprKind::Name(name) => {
                let known = bound.contains(name) || self.binding(name).is_some();
                if known || !self.may_be_index(name, subscript) {
                    return;
                }
                found.push(Mention { name: name.clone(), span: e.span });
            }
            ExprKind::Subscript(base, subs) => {
                self.collect_mentions(base, false, bound, found);
                self.subs_mentions(subs, bound, found);
            }
            ExprKind::Tuple(parts) => {
                for part in parts {
                    self.collect_mentions(part, subscript, bound, found);
                }
            }
            ExprKind::Call(callee, args) => {
                let depth = bound.len();
                if let ExprKind::Subscript(base, subs) = &callee.kind {
                    if bare(base) == Some("uniform") {
                        self.subs_mentions(subs, bound, found);
                    } else {
                        for sub in &subs.subs {
                            match sub {
                                Subscript::Ranged(name, _) => bound.push(name.text.clone()),
                                Subscript::Expr(sub) => {
                                    bound.extend(
                                        components(sub)
                                            .into_iter()
                                            .filter_map(bare)
                                            .map(str::to_owned),
                                    );
                                }
                            }
                        }
                        if let Some(guard) = &subs.guard {
                            self.collect_mentions(guard, false, bound, found);
                        }
                    }
                }
                for arg in args {
                    self.collect_mentions(&arg.value, false, bound, found);
                }
                bound.truncate(depth);
                // The brackets' indices that stay in the result are mentions outside of the arguments.
                if let ExprKind::Subscript(..) = &callee.kind {
                    for (name, span) in self.staying(e) {
                        let known = bound.contains(&name) || self.binding(&name).is_some();
                        if !known {
                            found.push(Mention { name, span });
                        }
                    }
                }
            }
            _ => {
                for child in children(e) {
                    self.collect_mentions(child, false, bound, found);
                }
            }
        }
    }

    fn subs_mentions(
        &mut self,
        subs: &'a Subscripts,
        bound: &mut Vec<String>,
        found: &mut Vec<Mention>,
    ) {
        for sub in &subs.subs {
            if let Subscript::Expr(sub) = sub {
                let inner = matches!(sub.kind, ExprKind::Name(_) | ExprKind::Tuple(_));
                self.collect_mentions(sub, inner, bound, found);
            }
        }
    }

    /// Whether a name that is not bound as an index can be one: not a variable or declaration; and a
    /// dim in lower case, or a bare subscript.
    fn may_be_index(&mut self, name: &str, subscript: bool) -> bool {
        if self.frame().vars.contains_key(name) {
            // A variable as a bare subscript is a gather; if it might be an index too, binding it
            // reports the collision.
            return subscript && self.dim_of_index(name).is_some();
        }
        if self.dim_of_index(name).is_some() {
            return true;
        }
        let inst = self.frame().inst;
        subscript
            && !is_reserved(name)
            && self.lookup(inst, name).is_none()
            && self.generic(name).is_none()
    }

    /// The bracket indices of an indexed application `f[i](…)` that stay in its result, with their spans.
    pub fn staying(&mut self, call: &'a ast::Expr) -> Vec<(String, Span)> {
        let ExprKind::Call(callee, _) = &call.kind else {
            return Vec::new();
        };
        let ExprKind::Subscript(base, subs) = &callee.kind else {
            return Vec::new();
        };
        let names: Vec<Option<(String, Span)>> = subs
            .subs
            .iter()
            .map(|sub| match sub {
                Subscript::Expr(e) => bare(e).map(|n| (n.to_owned(), e.span)),
                Subscript::Ranged(name, _) => Some((name.text.clone(), name.span)),
            })
            .collect();
        match bare(base) {
            Some("argsort" | "scan" | "uniform") => names.into_iter().flatten().collect(),
            Some(name) if crate::builtins::BUILTINS.contains(&name) => Vec::new(),
            _ => {
                let Some(function) = self.callee(base) else {
                    return Vec::new();
                };
                let kept = result_dims(self.fns[function].1);
                let generics = self.fns[function].1.generics.iter();
                let pairs = generics.zip(names);
                pairs
                    .filter(|((g, _), _)| kept.contains(g.text.as_str()))
                    .filter_map(|(_, n)| n)
                    .collect()
            }
        }
    }

    /// The declaration of the function that an expression names, if it names one.
    pub fn callee(&self, base: &ast::Expr) -> Option<usize> {
        let inst = self.frame().inst;
        match &base.kind {
            ExprKind::Name(name) => match self.lookup(inst, name) {
                Some(Def::Fn(id)) => Some(id),
                _ => None,
            },
            ExprKind::Field(module, name) => {
                let mut path = vec![name.text.as_str()];
                let mut at: &ast::Expr = module;
                loop {
                    match &at.kind {
                        ExprKind::Name(name) => {
                            path.push(name);
                            break;
                        }
                        ExprKind::Field(inner, name) => {
                            path.push(&name.text);
                            at = inner;
                        }
                        _ => return None,
                    }
                }
                let mut inst = inst;
                while path.len() > 1 {
                    match self.lookup(inst, path.pop()?) {
                        Some(Def::Module(inner)) => inst = inner,
                        _ => return None,
                    }
                }
                match self.insts[inst].scope.get(path[0]) {
                    Some((Def::Fn(id), _)) => Some(*id),
                    _ => None,
                }
            }
            _ => None,
        }
    }

    /// The row-major position of indices as one number.
    pub fn position(&mut self, binding: &Binding) -> Expr {
        match binding {
            Binding::Counter(var, _) => Expr::LoopVar(*var),
            Binding::Indices(ids, axis) => {
                let subs: Vec<Expr> = ids.iter().map(|i| Expr::Index(*i)).collect();
                self.row_major(&subs, &axis.dims)
            }
        }
    }
}

/// The names of dims in a function's result types.
fn result_dims(function: &ast::Fn) -> BTreeSet<&str> {
    let types: Vec<&ast::Type> = match &function.result {
        ast::FnResult::Single(ty) => vec![ty],
        ast::FnResult::Named(all) => all.iter().map(|(_, ty)| ty).collect(),
    };
    let axes = types.into_iter().flat_map(|ty| ty.axes.iter().flatten());
    axes.flat_map(components).filter_map(bare).collect()
}

/// The direct subexpressions.
pub(crate) fn children(e: &ast::Expr) -> Vec<&ast::Expr> {
    match &e.kind {
        ExprKind::Name(_) | ExprKind::Number(_) | ExprKind::Text(_) | ExprKind::Error => vec![],
        ExprKind::Tuple(parts) => parts.iter().collect(),
        ExprKind::Paren(a) | ExprKind::Neg(a) | ExprKind::Not(a) | ExprKind::Field(a, _) => vec![a],
        ExprKind::Binary(_, a, b) | ExprKind::Else(a, b) => vec![a, b],
        ExprKind::Subscript(base, subs) => {
            let mut all: Vec<&ast::Expr> = vec![base];
            all.extend(sub_exprs(subs));
            all
        }
        ExprKind::Call(callee, args) => {
            let mut all: Vec<&ast::Expr> = vec![callee];
            all.extend(args.iter().map(|a| &a.value));
            all
        }
    }
}

/// The expressions in brackets, the guard included.
pub(crate) fn sub_exprs(subs: &Subscripts) -> Vec<&ast::Expr> {
    let each = subs.subs.iter().filter_map(|s| match s {
        Subscript::Expr(e) => Some(e),
        Subscript::Ranged(..) => None,
    });
    each.chain(subs.guard.as_deref()).collect()
}
