//! Loops. They stay loops: names bound before and reassigned inside are carried, new names with the
//! counter on the left are collected along it, all others are local to an iteration.

use crate::ctx::{Binding, CollectedName, Ctx, LoopScope, Var};
use crate::dims::Axis;
use crate::values::{Array, Elem, Val};
use einmesh_diagnostics::codes::language as codes;
use einmesh_diagnostics::{Diagnostic, Span};
use einmesh_ir::{
    Block, Carried, Collected, DType, DimId, Expr, IndexId, Loop, LoopVar, Op, Value, ValueId,
};
use einmesh_syntax::ast::{self, ExprKind, LhsPart, StmtKind};
use std::collections::{BTreeMap, BTreeSet};

/// The names that a block assigns, in order, those of inner blocks included.
pub(crate) fn assigned(block: &ast::Block) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    let mut add = |name: &str| {
        if !names.iter().any(|n| n == name) {
            names.push(name.to_owned());
        }
    };
    for stmt in &block.stmts {
        match &stmt.kind {
            StmtKind::Assign { lhs, .. } => add(&lhs.name.text),
            StmtKind::Unpack { targets, .. } => targets.iter().for_each(|t| add(&t.name.text)),
            StmtKind::For { body, .. } | StmtKind::While { body, .. } => {
                assigned(body).iter().for_each(|n| add(n))
            }
            StmtKind::If { then, otherwise, .. } => {
                assigned(then).iter().for_each(|n| add(n));
                otherwise.iter().flat_map(assigned).for_each(|n| add(&n));
            }
        }
    }
    names
}

/// The state of a loop while its body is lowered.
struct State {
    name: String,
    before: Val,
    span: Span,
    /// For each leaf: its value before and at the start of an iteration.
    leaves: Vec<(ValueId, ValueId)>,
}

impl<'a> Ctx<'a> {
    pub fn for_loop(
        &mut self,
        var: &'a ast::Name,
        over: &'a ast::Expr,
        reversed: bool,
        body: &'a ast::Block,
    ) {
        let poison = |ctx: &mut Self| {
            for name in assigned(body) {
                ctx.set_var(&name, Val::Poison, over.span);
            }
        };
        if let Some(before) = self.frame().vars.get(&var.text).map(|v| v.span) {
            self.report(
                Diagnostic::error(
                    codes::COLLISION,
                    format!("the counter `{}` is a variable too", var.text),
                )
                .at(var.span, "counts here")
                .also(before, "bound as a variable")
                .help("rename one of them"),
            );
            return poison(self);
        }
        let Some(axis) = self.dim_axis(over) else {
            return poison(self);
        };
        let [dim] = axis.dims[..] else {
            self.report(
                Diagnostic::error(
                    codes::WRONG_TUPLE,
                    "a loop runs over one dim, not over a product",
                )
                .at(over.span, "")
                .help("nest two loops"),
            );
            return poison(self);
        };
        if self.frame().generics.iter().any(|(_, g)| g.axis == axis && g.guard.is_some()) {
            self.report(
                Diagnostic::error(
                    codes::GUARD,
                    "a loop over a dim that the call's guard restricts",
                )
                .at(over.span, "")
                .help("call the function without the guard, and choose with `where` inside"),
            );
            return poison(self);
        }
        self.run_loop(Some(&var.text), dim, reversed, body, None);
    }

    /// `while condition limit N`: a loop over N positions that a carried truth value may end before.
    pub fn while_loop(
        &mut self,
        condition: &'a ast::Expr,
        limit: &'a ast::Expr,
        body: &'a ast::Block,
        span: Span,
    ) {
        let axis = self.dim_axis(limit);
        if !self.frame().lifts.is_empty() {
            self.report(
                Diagnostic::error(
                    codes::WHILE,
                    "a `while` in a function that is mapped over an index",
                )
                .at(span, "each element would end at a time of its own")
                .help(
                    "give the function the whole array, go on while `any[…]` needs it, and choose with `where`",
                ),
            );
        } else if let Some([dim]) = axis.as_ref().map(|a| &a.dims[..]) {
            // It is looked at here, and at the end of each iteration for the next.
            if let Some(first) = self.going(condition) {
                return self.run_loop(None, *dim, false, body, Some((condition, first)));
            }
        } else if axis.is_some() {
            self.report(
                Diagnostic::error(
                    codes::WRONG_TUPLE,
                    "the limit of a `while` is a number or one dim",
                )
                .at(limit.span, "this is a product")
                .help("write the product as a number, or nest two loops"),
            );
        }
        for name in assigned(body) {
            self.set_var(&name, Val::Poison, span);
        }
    }

    /// A condition as a value, which the current block defines.
    fn going(&mut self, condition: &'a ast::Expr) -> Option<ValueId> {
        self.hint = "going".to_owned();
        let body =
            self.truth(condition, "the condition of a `while` is a truth value", "while ")?;
        if let Expr::Load(load) = &body
            && load.subs.is_empty()
            && self.defined_here(load.value)
        {
            return Some(load.value);
        }
        Some(self.emit(crate::emit::Emission {
            dtype: DType::Bool,
            free: vec![],
            reduced: vec![],
            reducer: einmesh_ir::Reducer::None,
            guard: None,
            body,
        }))
    }

    fn run_loop(
        &mut self,
        name: Option<&str>,
        dim: DimId,
        reversed: bool,
        body: &'a ast::Block,
        condition: Option<(&'a ast::Expr, ValueId)>,
    ) {
        let hint = name.unwrap_or("step").to_owned();
        let origin = self.span;
        let lifts = self.frame().lifts.clone();
        let first_value = self.program.values.len();
        let mut states: Vec<State> = Vec::new();
        let before: BTreeMap<String, Var> = self.frame().vars.clone();
        let mut names = assigned(body);
        names.extend(self.inout_roots(body));
        names.dedup();
        let mut seen = BTreeSet::new();
        for carried in names.into_iter().filter(|n| seen.insert(n.clone())) {
            let Some(var) = self.frame().vars.get(&carried).cloned() else {
                continue;
            };
            self.hint = carried.clone();
            states.push(self.enter_state(carried, var, &lifts));
        }
        self.hint = hint.clone();
        let var = self.program.loop_vars.push(LoopVar { name: hint, dim });
        let depth = self.frame().indices.len();
        if let Some(name) = name {
            self.frame_mut().indices.push((name.to_owned(), Binding::Counter(var, dim)));
        }
        let scope = LoopScope {
            name: name.unwrap_or_default().to_owned(),
            var,
            first_value,
            collected: vec![],
        };
        self.frame_mut().loops.push(scope);
        let entries = states.iter().flat_map(|s| s.leaves.iter().map(|(_, entry)| *entry));
        self.entries.push(entries.collect());
        self.blocks.push(Block::default());
        self.block(body);
        self.span = origin;
        let ending = condition.and_then(|(c, first)| Some((first, self.going(c)?)));
        let (mut carried, same, finals) = self.leave_states(states, &lifts);
        let condition = ending.map(|(init, exit)| {
            self.hint = "going".to_owned();
            let [entry, result] = [(); 2].map(|()| self.value(DType::Bool, vec![]));
            carried.push(Carried { init, entry, exit, result });
            entry
        });
        let scope = self.frame_mut().loops.pop();
        let collected_names = scope.map(|s| s.collected).unwrap_or_default();
        let (collected, outer_names) =
            self.leave_collected(collected_names, name.unwrap_or_default(), &lifts);
        self.frame_mut().indices.truncate(depth);
        let mut block = self.blocks.pop().unwrap_or_default();
        self.entries.pop();
        if !same.is_empty() {
            rename_values(&mut block, &same);
        }
        let rename = |v: ValueId| same.get(&v).copied().unwrap_or(v);
        let carried = carried.into_iter().map(|c| Carried {
            init: c.init,
            entry: c.entry,
            exit: rename(c.exit),
            result: c.result,
        });
        let carried = carried.collect();
        let op = Loop { var, reversed, condition, carried, collected, body: block };
        self.push(Op::Loop(op));
        // What the body bound anew ends with it.
        self.frame_mut().vars = before;
        for (name, val, span) in finals {
            self.set_var(&name, val, span);
        }
        for collected in outer_names {
            self.bind_collected(collected);
        }
    }

    /// Makes the value of a name at the start of an iteration.
    fn enter_state(&mut self, name: String, var: Var, lifts: &[IndexId]) -> State {
        let mut leaves = Vec::new();
        let hint = self.hint.clone();
        let before = self.defaulted(var.val.clone());
        let entry = before.clone().map_leaves("", &mut |path, leaf| {
            self.hint = format!("{hint}{path}");
            let init = self.stored(&leaf, lifts);
            let Value { dtype, dims, .. } = self.program.values[init].clone();
            let entry = self.value(dtype, dims);
            leaves.push((init, entry));
            Val::Array(self.array_of(entry, leaf.axes, lifts, leaf.params))
        });
        self.hint = hint;
        self.set_var(&name, entry, var.span);
        State { name, before, span: var.span, leaves }
    }

    /// A value whose weak numbers have their default dtype.
    fn defaulted(&self, val: Val) -> Val {
        val.map_leaves("", &mut |_, array| match array.elem {
            Elem::Strong(_) => Val::Array(array),
            weak => Val::Array(self.adapted(array, weak.default_dtype())),
        })
    }

    /// Compares each state's end with its start. Returns the carried values, the entries that an
    /// iteration leaves as they are (with their initial values), and what names are bound to afterwards.
    #[allow(clippy::type_complexity)]
    fn leave_states(
        &mut self,
        states: Vec<State>,
        lifts: &[IndexId],
    ) -> (Vec<Carried>, BTreeMap<ValueId, ValueId>, Vec<(String, Val, Span)>) {
        let mut carried = Vec::new();
        let mut same = BTreeMap::new();
        let mut finals = Vec::new();
        for state in states {
            let Some(var) = self.frame().vars.get(&state.name).cloned() else {
                continue;
            };
            if var.val.is_poison() || state.before.is_poison() {
                finals.push((state.name, Val::Poison, var.span));
                continue;
            }
            self.hint = state.name.clone();
            let Some(exits) = self.exits(&state, &var) else {
                finals.push((state.name, Val::Poison, var.span));
                continue;
            };
            let mut exits = exits.into_iter();
            let mut leaves = state.leaves.iter();
            let hint = self.hint.clone();
            let after = state.before.clone().map_leaves("", &mut |path, leaf| {
                let (Some(exit), Some((init, entry))) = (exits.next(), leaves.next()) else {
                    return Val::Array(leaf);
                };
                self.hint = format!("{hint}{path}");
                let dtype = self.program.values[*entry].dtype;
                let exit = self.adapted(exit, dtype);
                let mut end = self.stored(&exit, lifts);
                if end == *entry {
                    same.insert(*entry, *init);
                    return Val::Array(leaf);
                }
                if !self.defined_here(end) {
                    end = self.copied(end);
                }
                let dims = self.program.values[*entry].dims.clone();
                let result = self.value(dtype, dims);
                carried.push(Carried { init: *init, entry: *entry, exit: end, result });
                Val::Array(self.array_of(result, leaf.axes, lifts, leaf.params))
            });
            finals.push((state.name, after, var.span));
        }
        (carried, same, finals)
    }

    /// The leaves of a state at the end of an iteration, if they have the types that it started with.
    fn exits(&mut self, state: &State, var: &Var) -> Option<Vec<Array>> {
        let mut before: Vec<(String, Array)> = Vec::new();
        state.before.leaves("", &mut |path, leaf| before.push((path.to_owned(), leaf.clone())));
        let mut after: Vec<(String, Array)> = Vec::new();
        var.val.leaves("", &mut |path, leaf| after.push((path.to_owned(), leaf.clone())));
        let same_shape = before.len() == after.len()
            && before.iter().zip(&after).all(|(x, y)| x.0 == y.0)
            && before.iter().zip(&after).all(|(x, y)| self.same_axes(&x.1.axes, &y.1.axes));
        let same_dtypes = || {
            before.iter().zip(&after).all(|(x, y)| {
                let was = x.1.elem.default_dtype();
                match y.1.elem {
                    Elem::Strong(is) => {
                        is == was || (is.is_float() && crate::types::widens(is, was))
                    }
                    Elem::WeakInt => was != DType::Bool && was != DType::Key,
                    Elem::WeakFloat => was.is_float(),
                }
            })
        };
        if same_shape && same_dtypes() {
            return Some(after.into_iter().map(|(_, a)| a).collect());
        }
        let name = &state.name;
        let (was, is) = (self.describe(&state.before), self.describe(&var.val));
        let (was, is) = match was == is {
            false => (was, is),
            true => {
                let differs = before
                    .iter()
                    .zip(&after)
                    .find(|(x, y)| x.1.elem != y.1.elem || x.1.axes != y.1.axes);
                match differs {
                    Some((x, y)) => {
                        let path = x.0.clone();
                        let (x, y) = (Val::Array(x.1.clone()), Val::Array(y.1.clone()));
                        (
                            format!("{} at `{path}`", self.describe(&x)),
                            format!("{} at `{path}`", self.describe(&y)),
                        )
                    }
                    None => (was, is),
                }
            }
        };
        let mut error = Diagnostic::error(
            codes::CARRIED,
            format!("`{name}` changes its type from one iteration to the next: {was}, then {is}"),
        )
        .at(var.span, format!("{is} at the end of an iteration"))
        .also(state.span, format!("{was} before the loop"));
        error = if same_shape {
            error.help(format!(
                "declare the type before the loop, e.g. `{name}: {} = …`, or convert at the end",
                is.trim_matches('`')
            ))
        } else {
            error.help(format!(
                "bind `{name}` before the loop with the same axes, or use another name inside"
            ))
        };
        self.report(error);
        None
    }

    /// Whether the current block itself defines a value.
    fn defined_here(&self, value: ValueId) -> bool {
        let ops = self.blocks.last().map(|b| &b.ops);
        ops.is_some_and(|ops| ops.iter().any(|op| op.defines().contains(&value)))
    }

    /// A copy of a stored value, in the current block.
    pub fn copied(&mut self, value: ValueId) -> ValueId {
        let Value { dtype, dims, .. } = self.program.values[value].clone();
        let axes: Vec<Axis> = dims.iter().map(|d| Axis::one(*d)).collect();
        let params = self.fresh_params(&axes);
        let array = self.array_of(value, axes, &[], params.clone());
        self.emit(crate::emit::Emission {
            dtype,
            free: params,
            reduced: vec![],
            reducer: einmesh_ir::Reducer::None,
            guard: None,
            body: array.body,
        })
    }

    /// Stacks what an iteration collected. Returns the collected values and what remains to be bound.
    fn leave_collected(
        &mut self,
        names: Vec<CollectedName>,
        counter: &str,
        lifts: &[IndexId],
    ) -> (Vec<Collected>, Vec<CollectedName>) {
        let (mut collected, mut outer) = (Vec::new(), Vec::new());
        for mut name in names {
            let Some(at) = name.missing.iter().position(|(n, ..)| n == counter) else {
                continue;
            };
            let (_, dim, place) = name.missing.remove(at);
            self.hint = name.name.clone();
            let mut value = self.stored(&name.array, lifts);
            if !self.defined_here(value) {
                value = self.copied(value);
            }
            let own = name.positions.iter().filter(|p| **p < place).count();
            let position = lifts.len() + own;
            let dtype = self.program.values[value].dtype;
            let mut dims = self.program.values[value].dims.clone();
            let distinct = if dims.contains(&dim) { self.alias_dim(dim, &dims) } else { dim };
            dims.insert(position, distinct);
            let result = self.value(dtype, dims);
            collected.push(Collected { value, result, position });
            let lower = crate::emit::index_name(self.dim_name(dim));
            let param = self.index_var(&lower, dim);
            let mut params = name.array.params.clone();
            params.insert(own, param);
            name.positions.insert(own, place);
            let axes = params.iter().map(|p| Axis::one(self.index_vars[*p].dim)).collect();
            name.array = self.array_of(result, axes, lifts, params);
            outer.push(name);
        }
        (collected, outer)
    }

    /// Binds a collected name, or hands it to the loop around that it is collected over too.
    fn bind_collected(&mut self, collected: CollectedName) {
        if collected.missing.is_empty() {
            let array = Array { axes: collected.axes, ..collected.array };
            self.set_var(&collected.name, Val::Array(array), collected.span);
            return;
        }
        let outer = self.frame().loops.last().map(|l| l.name.clone());
        if outer.is_some_and(|o| collected.missing.iter().any(|(n, ..)| *n == o)) {
            if let Some(scope) = self.frame_mut().loops.last_mut() {
                scope.collected.push(collected);
            }
        } else {
            self.report(
                Diagnostic::error(
                    codes::COLLECTED,
                    format!(
                        "`{}` is collected over a loop further out, but not over the one around",
                        collected.name
                    ),
                )
                .at(collected.span, "")
                .help("put the counters of all loops in between on the left"),
            );
        }
    }

    /// The variables that calls in a block give back through `inout` parameters.
    fn inout_roots(&self, block: &ast::Block) -> Vec<String> {
        let mut names = Vec::new();
        for stmt in &block.stmts {
            let exprs: Vec<&ast::Expr> = match &stmt.kind {
                StmtKind::Assign { value, lhs, .. } => {
                    let subs = lhs.path.iter().filter_map(|p| match p {
                        LhsPart::Subscript(subs) => Some(crate::index::sub_exprs(subs)),
                        LhsPart::Field(_) => None,
                    });
                    subs.flatten().chain([value]).collect()
                }
                StmtKind::Unpack { value, .. } => vec![value],
                StmtKind::For { body, .. } | StmtKind::While { body, .. } => {
                    names.extend(self.inout_roots(body));
                    vec![]
                }
                StmtKind::If { then, otherwise, .. } => {
                    names.extend(self.inout_roots(then));
                    names.extend(otherwise.iter().flat_map(|b| self.inout_roots(b)));
                    vec![]
                }
            };
            for e in exprs {
                self.inout_in(e, &mut names);
            }
        }
        names
    }

    fn inout_in(&self, e: &ast::Expr, names: &mut Vec<String>) {
        if let ExprKind::Call(callee, args) = &e.kind {
            let base = match &callee.kind {
                ExprKind::Subscript(base, _) => base,
                _ => callee,
            };
            if let Some(function) = self.callee(base) {
                let params = &self.fns[function].1.params;
                for (position, arg) in args.iter().enumerate() {
                    let param = match &arg.name {
                        Some(name) => params.iter().find(|p| p.name.text == name.text),
                        None => params.get(position),
                    };
                    let mut at = &arg.value;
                    while let ExprKind::Field(inner, _) = &at.kind {
                        at = inner;
                    }
                    if let (Some(true), ExprKind::Name(name)) = (param.map(|p| p.inout), &at.kind) {
                        names.push(name.clone());
                    }
                }
            }
        }
        for child in crate::index::children(e) {
            self.inout_in(child, names);
        }
    }
}

/// Replaces values by others in a block and those inside of it.
pub(crate) fn rename_values(block: &mut Block, map: &BTreeMap<ValueId, ValueId>) {
    let rename = |v: &mut ValueId| {
        if let Some(to) = map.get(v) {
            *v = *to;
        }
    };
    for op in &mut block.ops {
        match op {
            Op::Compute(c) => {
                for e in c.exprs_mut() {
                    rename_in(e, map);
                }
                if let Some(store) = &mut c.store {
                    rename(&mut store.base);
                }
            }
            Op::Loop(l) => {
                for c in &mut l.carried {
                    rename(&mut c.init);
                    rename(&mut c.exit);
                }
                for c in &mut l.collected {
                    rename(&mut c.value);
                }
                rename_values(&mut l.body, map);
            }
            Op::Argsort(a) => rename(&mut a.input),
            Op::Collective(c) => rename(&mut c.input),
        }
    }
}

fn rename_in(e: &mut einmesh_ir::Expr, map: &BTreeMap<ValueId, ValueId>) {
    if let einmesh_ir::Expr::Load(load) = e
        && let Some(to) = map.get(&load.value)
    {
        load.value = *to;
    }
    for child in e.children_mut() {
        rename_in(child, map);
    }
}
