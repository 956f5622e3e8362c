//! Statements: what `=` binds.

use crate::ctx::{Binding, CollectedName, Ctx, Var};
use crate::dims::Axis;
use crate::expr::is_counter;
use crate::index::{bare, components};
use crate::scalar::short;
use crate::show;
use crate::types::Ty;
use crate::values::{Array, Elem, Val};
use einmesh_diagnostics::codes::language as codes;
use einmesh_diagnostics::{Diagnostic, Span};
use einmesh_ir::{DType, DimId, Expr, IndexId};
use einmesh_syntax::ast::{
    self, AssignOp, ExprKind, Lhs, LhsPart, StmtKind, Subscript, Subscripts,
};

/// The indices of a left side.
#[derive(Default)]
pub(crate) struct Left {
    pub axes: Vec<Axis>,
    /// For each dim of the axes its index, or `None` where a loop's counter stands.
    pub params: Vec<Option<IndexId>>,
    /// The counters: name, dim and position.
    pub counters: Vec<(String, DimId, usize)>,
    pub guard: Option<Expr>,
}

impl<'a> Ctx<'a> {
    /// Lowers statements in order.
    pub fn block(&mut self, block: &'a ast::Block) {
        for stmt in &block.stmts {
            self.span = Some(stmt.span);
            let placements = self.statement_decorators(&stmt.decorators);
            let binds = matches!(stmt.kind, StmtKind::Assign { .. } | StmtKind::Unpack { .. });
            if let Some(first) = stmt.decorators.first().filter(|_| !binds) {
                self.report(
                    Diagnostic::error(
                        codes::DECORATOR,
                        "a decorator stands before a statement that binds nothing",
                    )
                    .at(first.span, "")
                    .help("put it before the statement inside that binds the value"),
                );
            }
            // What is placed is a value of its own.
            self.placing = !placements.is_empty();
            match &stmt.kind {
                StmtKind::Assign { lhs, ty, op, value } => {
                    self.hint = lhs.name.text.clone();
                    self.left = Some((show::lhs(lhs), lhs.span));
                    match op {
                        AssignOp::Bind => self.bind_statement(lhs, ty.as_ref(), value),
                        _ => {
                            if let Some(ty) = ty {
                                self.report(
                                    Diagnostic::error(
                                        codes::STORE_TARGET,
                                        "a store has the type of the array it stores to",
                                    )
                                    .at(ty.span, "")
                                    .help("remove the type, or bind a new array with `=`"),
                                );
                            }
                            self.store(lhs, *op, value);
                        }
                    }
                    self.place(&lhs.name.text, placements);
                }
                StmtKind::Unpack { targets, value } => {
                    self.unpack(targets, value);
                    for target in targets {
                        self.place(&target.name.text, placements.clone());
                    }
                }
                StmtKind::For { var, over, reversed, body } => {
                    self.for_loop(var, over, *reversed, body)
                }
                StmtKind::While { condition, limit, body } => {
                    self.while_loop(condition, limit, body, stmt.span)
                }
                StmtKind::If { condition, then, otherwise } => {
                    match self.static_condition(condition) {
                        Some(true) => self.block(then),
                        Some(false) => {
                            if let Some(otherwise) = otherwise {
                                self.block(otherwise);
                            }
                        }
                        None => {
                            // What the branches bind is unknown, and silent.
                            for name in crate::loops::assigned(then)
                                .into_iter()
                                .chain(otherwise.iter().flat_map(crate::loops::assigned))
                            {
                                self.set_var(&name, Val::Poison, condition.span);
                            }
                        }
                    }
                }
            }
        }
    }

    /// Binds a variable of the current function.
    pub fn set_var(&mut self, name: &str, val: Val, span: Span) {
        let val = self.apart(name, val);
        self.frame_mut().vars.insert(name.to_owned(), Var { val, span });
    }

    fn bind_statement(&mut self, lhs: &'a Lhs, ty: Option<&'a ast::Type>, value: &'a ast::Expr) {
        if self.binding(&lhs.name.text).is_some() {
            let name = &lhs.name.text;
            self.report(
                Diagnostic::error(
                    codes::COLLISION,
                    format!("`{name}` is an index here and cannot be bound as a variable"),
                )
                .at(lhs.name.span, "")
                .help(format!("choose another name: `{name}_value = …`")),
            );
            return;
        }
        let fields = lhs.path.iter().any(|p| matches!(p, LhsPart::Field(_)));
        let subs: Vec<&'a Subscripts> = lhs
            .path
            .iter()
            .filter_map(|p| match p {
                LhsPart::Subscript(subs) => Some(subs),
                LhsPart::Field(_) => None,
            })
            .collect();
        if subs.is_empty() {
            let val = self.whole(ty, value);
            if fields {
                self.replace_leaf(lhs, val, value.span)
            } else {
                self.bind_whole(lhs, val)
            }
            return;
        }
        let depth = self.frame().indices.len();
        let left = self.left_indices(&subs, &[value], depth);
        let target = ty.and_then(|ty| self.element_type(ty));
        let plain = lhs.path.len() == 1;
        let declared = self.frame().results.get(&lhs.name.text).copied();
        let rounded = target.or(declared.filter(|_| plain));
        let val = match &left {
            Some(_) => self.right_side(value, rounded),
            None => Val::Poison,
        };
        self.frame_mut().indices.truncate(depth);
        let Some(left) = left else {
            self.poison_root(lhs);
            return;
        };
        let because = ty.map(|t| (t.span, "declared here".to_owned()));
        let array = self.element(val, target, value, because);
        match array {
            Some(array) if fields => {
                let val = self.array_at(left, array).map_or(Val::Poison, Val::Array);
                self.replace_leaf(lhs, val, value.span);
            }
            Some(array) => self.bind_indexed(lhs, left, array),
            None => self.poison_root(lhs),
        }
    }

    /// After a mistake: the name is known, and whatever uses it stays silent.
    fn poison_root(&mut self, lhs: &Lhs) {
        if !self.frame().vars.contains_key(&lhs.name.text)
            || lhs.path.iter().all(|p| matches!(p, LhsPart::Subscript(_)))
        {
            self.set_var(&lhs.name.text, Val::Poison, lhs.span);
        }
    }

    /// The dtype that `name[…]: dtype = …` declares.
    fn element_type(&mut self, ty: &'a ast::Type) -> Option<DType> {
        match self.ty(ty)? {
            Ty::Array { axes, dtype } if axes.is_empty() => Some(dtype),
            other => {
                let name = self.ty_name(&other);
                self.report(
                    Diagnostic::error(
                        codes::AXES,
                        format!("the elements of an indexed left side cannot be `{name}`"),
                    )
                    .at(ty.span, "the axes follow from the indices")
                    .help("declare the dtype only: `y[b,t]: f32 = …`"),
                );
                None
            }
        }
    }

    /// The right side of a statement without indices.
    fn whole(&mut self, ty: Option<&'a ast::Type>, value: &'a ast::Expr) -> Val {
        let resolved = match ty {
            Some(ty) => match self.ty(ty) {
                Some(resolved) => Some((resolved, ty.span)),
                None => {
                    self.right_side(value, None);
                    return Val::Poison;
                }
            },
            None => None,
        };
        if let Some((Ty::Record(record), _)) = &resolved
            && let Some(args) = self.initial_call(value)
        {
            return self.initial(record, args, value.span);
        }
        let target = match &resolved {
            Some((Ty::Array { dtype, .. }, _)) => Some(*dtype),
            _ => None,
        };
        let val = self.right_side(value, target);
        match resolved {
            Some((ty, span)) => {
                let what = format!("`{}`", self.hint);
                self.coerce(val, &ty, value.span, &what, Some((span, "declared here".to_owned())))
            }
            None => val,
        }
    }

    fn bind_whole(&mut self, lhs: &'a Lhs, val: Val) {
        if let Val::Tuple(parts) = &val {
            let names: Vec<&str> = parts.iter().map(|(n, _)| n.as_str()).collect();
            self.report(
                Diagnostic::error(
                    codes::WRONG_OPERAND,
                    format!("{} results are bound to one name", parts.len()),
                )
                .at(lhs.span, "")
                .help(format!("unpack them: `({}) = …`", names.join(", "))),
            );
            self.set_var(&lhs.name.text, Val::Poison, lhs.span);
            return;
        }
        let val = self.strong(val);
        let val = self.kept(val);
        self.rename(&val, &lhs.name.text);
        self.set_var(&lhs.name.text, val, lhs.span);
    }

    /// A value whose weak elements got their default dtype, except for single constants.
    pub fn strong(&self, val: Val) -> Val {
        val.map_leaves("", &mut |_, array| {
            let constant = array.axes.is_empty() && array.literal().is_some();
            match array.elem {
                Elem::Strong(_) => Val::Array(array),
                _ if constant => Val::Array(array),
                weak => Val::Array(self.adapted(array, weak.default_dtype())),
            }
        })
    }

    /// Names a call's result after the variable it is bound to.
    fn rename(&mut self, val: &Val, name: &str) {
        let scope = self.frame().scope.clone();
        if let Val::Array(Array { body: Expr::Load(load), .. }) = val {
            let value = &mut self.program.values[load.value];
            if value.name == "out" && value.origin.scope.len() > scope.len() {
                value.name = name.to_owned();
            }
        }
    }

    /// The single element that an indexed statement computes.
    fn element(
        &mut self,
        val: Val,
        target: Option<DType>,
        value: &'a ast::Expr,
        because: Option<(Span, String)>,
    ) -> Option<Array> {
        let array = match val {
            Val::Array(a) if a.axes.is_empty() => a,
            Val::Poison => return None,
            other => {
                let what = self.describe(&other);
                let mut error = Diagnostic::error(
                    codes::UNSUBSCRIPTED,
                    "the right side of an indexed statement is one number for each index",
                )
                .at(value.span, format!("this is {what}"));
                if let Some((left, span)) = self.left.clone() {
                    error = error.also(span, "has indices");
                    let name = left.split('[').next().unwrap_or_default().to_owned();
                    error = error.help(format!(
                        "bind it whole: `{name} = {}`; or subscript the right side",
                        short(value)
                    ));
                }
                self.report(error);
                return None;
            }
        };
        match target {
            Some(dtype) => self.implicit(array, dtype, value.span, "the right side", because),
            None => Some(match array.elem {
                Elem::Strong(_) => array,
                weak => self.adapted(array, weak.default_dtype()),
            }),
        }
    }

    /// Binds the indices of a left side. Those of other targets of the same statement, which stand after
    /// `depth`, are used again.
    pub fn left_indices(
        &mut self,
        parts: &[&'a Subscripts],
        uses: &[&'a ast::Expr],
        depth: usize,
    ) -> Option<Left> {
        let mut left = Left::default();
        let mut seen: Vec<(String, Span)> = Vec::new();
        let mut ok = true;
        for subs in parts {
            for sub in &subs.subs {
                let (names, range, product): (Vec<(&'a str, Span)>, Option<&'a ast::Expr>, bool) =
                    match sub {
                        Subscript::Ranged(name, range) => {
                            (vec![(&name.text, name.span)], Some(range), false)
                        }
                        Subscript::Expr(e) => {
                            let all = components(e);
                            let names: Vec<(&str, Span)> =
                                all.iter().filter_map(|p| Some((bare(p)?, p.span))).collect();
                            if names.len() != all.len() {
                                self.report(
                                Diagnostic::error(codes::STORE_TARGET, format!("`{}` on the left of `=` is not an index", short(e)))
                                    .at(e.span, "`=` binds a whole new array")
                                    .help("to store into an existing array write `:=`, `+=`, `max=` or `min=`"),
                            );
                                ok = false;
                                continue;
                            }
                            (names, None, matches!(e.kind, ExprKind::Tuple(_)))
                        }
                    };
                let mut dims: Vec<DimId> = Vec::new();
                for (name, span) in names {
                    if let Some((_, before)) = seen.iter().find(|(n, _)| n == name) {
                        self.report(
                            Diagnostic::error(
                                codes::REPEATED_INDEX,
                                format!("the index `{name}` is on the left twice"),
                            )
                            .at(span, "again here")
                            .also(*before, "first here")
                            .help("a diagonal is stored: bind zeros, then `y[i, i + 0] := …`"),
                        );
                        ok = false;
                        continue;
                    }
                    seen.push((name.to_owned(), span));
                    match self.left_index(name, span, range, uses, depth) {
                        Some(Binding::Counter(_, dim)) => {
                            left.counters.push((name.to_owned(), dim, left.params.len()));
                            left.params.push(None);
                            dims.push(dim);
                        }
                        Some(Binding::Indices(ids, axis)) => {
                            left.params.extend(ids.into_iter().map(Some));
                            dims.extend(axis.dims);
                        }
                        None => ok = false,
                    }
                }
                left.axes.push(Axis { product: product || dims.len() > 1, dims });
            }
            if let Some(guard) = &subs.guard {
                match self.condition(guard) {
                    Some(condition) => {
                        left.guard = crate::emit::both(left.guard.take(), Some(condition))
                    }
                    None => ok = false,
                }
            }
        }
        ok.then_some(left)
    }

    fn left_index(
        &mut self,
        name: &str,
        span: Span,
        range: Option<&'a ast::Expr>,
        uses: &[&'a ast::Expr],
        depth: usize,
    ) -> Option<Binding> {
        let bound = self.frame().indices[depth..]
            .iter()
            .rev()
            .find(|(n, _)| n == name)
            .map(|(_, b)| b.clone());
        if let Some(bound) = bound {
            return Some(bound);
        }
        if range.is_none()
            && let Some(counter) = self.binding(name).filter(is_counter)
        {
            return Some(counter);
        }
        let binding = self.bind_index(name, span, range, uses)?;
        self.frame_mut().indices.push((name.to_owned(), binding.clone()));
        Some(binding)
    }

    /// The array whose element at the left side's indices is `element`.
    fn array_at(&mut self, left: Left, element: Array) -> Option<Array> {
        if let Some((name, _, _)) = left.counters.first() {
            let span = self.left.as_ref().map(|(_, s)| *s).or(self.span)?;
            self.report(
                Diagnostic::error(
                    codes::COLLECTED,
                    format!("the counter `{name}` selects one place of an array that exists"),
                )
                .at(span, "")
                .help("store there: `… := …`"),
            );
            return None;
        }
        let params: Vec<IndexId> = left.params.into_iter().flatten().collect();
        let array = Array { axes: left.axes, params, ..element };
        Some(self.bound_array(array, left.guard))
    }

    /// The array as it is bound: an alias stays one, anything else is computed and stored. Positions that
    /// guards exclude are 0.
    pub fn bound_array(&mut self, array: Array, guard: Option<Expr>) -> Array {
        let guarded = guard.is_some() || self.guards(&array.params).is_some();
        let alias = array.is_alias() || array.literal().is_some();
        if alias && !guarded && !self.placing {
            return array;
        }
        let dtype = array.elem.default_dtype();
        let body = self.converted(array.body.clone(), array.elem, dtype);
        let mut exprs = vec![&body];
        exprs.extend(&guard);
        let outer = self.outer(&exprs, &array.params);
        let free: Vec<IndexId> = outer.iter().chain(&array.params).copied().collect();
        let value = self.emit(crate::emit::Emission {
            dtype,
            free,
            reduced: vec![],
            reducer: einmesh_ir::Reducer::None,
            guard,
            body,
        });
        self.array_of(value, array.axes, &outer, array.params)
    }

    fn bind_indexed(&mut self, lhs: &'a Lhs, left: Left, element: Array) {
        let name = &lhs.name.text;
        if left.counters.is_empty() {
            if let Some(array) = self.array_at(left, element) {
                // The indices' variables are the array's parameters; guards of theirs are spent.
                let val = Val::Array(array);
                self.rename(&val, name);
                self.set_var(name, val, lhs.span);
            }
            return;
        }
        let before = self.frame().vars.get(name).map(|v| v.span);
        if let Some(before) = before {
            self.report(
                Diagnostic::error(
                    codes::COLLECTED,
                    format!("`{name}` exists before the loop, so it is not collected"),
                )
                .at(lhs.span, "has the loop's counter on the left")
                .also(before, "bound here")
                .help(format!(
                    "store into it: `{} := …`; or collect under a new name",
                    show::lhs(lhs)
                )),
            );
            return;
        }
        let innermost = self.frame().loops.last().map(|l| l.name.clone()).unwrap_or_default();
        if !left.counters.iter().any(|(n, ..)| *n == innermost) {
            self.report(
                Diagnostic::error(
                    codes::COLLECTED,
                    format!("`{name}` is not collected over the innermost loop, `{innermost}`"),
                )
                .at(lhs.span, "")
                .help(format!("put `{innermost}` on the left too, or bind after that loop")),
            );
            return;
        }
        let (positions, params): (Vec<usize>, Vec<IndexId>) = left
            .params
            .iter()
            .enumerate()
            .filter_map(|(position, p)| p.map(|p| (position, p)))
            .unzip();
        // One axis for each parameter; the final axes are set when all counters are there.
        let axes = params.iter().map(|p| Axis::one(self.index_vars[*p].dim)).collect();
        let array = Array { axes, params, ..element };
        let array = self.bound_array(array, left.guard);
        let collected = CollectedName {
            name: name.clone(),
            span: lhs.span,
            array,
            positions,
            missing: left.counters,
            axes: left.axes,
        };
        if let Some(scope) = self.frame_mut().loops.last_mut() {
            let twice = scope.collected.iter().find(|c| c.name == *name).map(|c| c.span);
            scope.collected.push(collected);
            if let Some(first) = twice {
                self.report(
                    Diagnostic::error(codes::COLLECTED, format!("`{name}` is collected twice"))
                        .at(lhs.span, "again here")
                        .also(first, "first here")
                        .help("collect under another name"),
                );
            }
        }
    }

    fn unpack(&mut self, targets: &'a [Lhs], value: &'a ast::Expr) {
        let texts: Vec<String> = targets.iter().map(show::lhs).collect();
        self.hint = targets.first().map(|t| t.name.text.clone()).unwrap_or_default();
        if let (Some(first), Some(last)) = (targets.first(), targets.last()) {
            self.left = Some((format!("({})", texts.join(", ")), first.span.to(last.span)));
        }
        let depth = self.frame().indices.len();
        let mut lefts: Vec<Option<Left>> = Vec::new();
        let mut ok = true;
        for target in targets {
            let subs: Vec<&'a Subscripts> = target
                .path
                .iter()
                .filter_map(|p| match p {
                    LhsPart::Subscript(subs) => Some(subs),
                    LhsPart::Field(_) => None,
                })
                .collect();
            if subs.len() != target.path.len() {
                self.report(
                    Diagnostic::error(
                        codes::STORE_TARGET,
                        "several results are bound to plain names",
                    )
                    .at(target.span, "this is a field")
                    .help("bind a name first, then the field"),
                );
                ok = false;
            }
            if subs.is_empty() {
                lefts.push(None);
                continue;
            }
            let left = self.left_indices(&subs, &[value], depth);
            ok &= left.is_some();
            lefts.push(left);
        }
        let val = if ok { self.right_side(value, None) } else { Val::Poison };
        self.frame_mut().indices.truncate(depth);
        let parts: Vec<Val> = match val {
            Val::Tuple(parts) if parts.len() == targets.len() => {
                parts.into_iter().map(|(_, v)| v).collect()
            }
            Val::Poison => vec![Val::Poison; targets.len()],
            other => {
                let what = self.describe(&other);
                let count = match &other {
                    Val::Tuple(parts) => parts.len(),
                    _ => 1,
                };
                self.report(
                    Diagnostic::error(
                        codes::WRONG_OPERAND,
                        format!("{} names for {count} results", targets.len()),
                    )
                    .at(value.span, format!("this is {what}"))
                    .help(match &other {
                        Val::Tuple(parts) => {
                            let names: Vec<&str> = parts.iter().map(|(n, _)| n.as_str()).collect();
                            format!("unpack all of them: `({}) = …`", names.join(", "))
                        }
                        _ => format!(
                            "bind it to one name: `{} = …`",
                            texts.first().map_or("", String::as_str)
                        ),
                    }),
                );
                vec![Val::Poison; targets.len()]
            }
        };
        for ((target, left), part) in targets.iter().zip(lefts).zip(parts) {
            self.hint = target.name.text.clone();
            match (left, part) {
                (_, Val::Poison) => self.set_var(&target.name.text, Val::Poison, target.span),
                (None, part) => self.bind_whole(target, part),
                (Some(left), part) => match self.element(part, None, value, None) {
                    Some(array) => self.bind_indexed(target, left, array),
                    None => self.set_var(&target.name.text, Val::Poison, target.span),
                },
            }
        }
    }
}
