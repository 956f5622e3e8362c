//! `grad[path](s)`: the derivatives of a number by the leaves of a variable, and `stop(x)`.
//!
//! The derivatives are appended where `grad` stands, by `einmesh-autodiff`. For that a variable which some
//! `grad` of its function names is a stored value of its own. The copies this takes, and those that
//! `stop` makes so that the differentiation has something to stop at, are gone afterwards.

use crate::ctx::Ctx;
use crate::dims::{DimInfo, Resolved};
use crate::emit::Emission;
use crate::scalar::short;
use crate::values::{Array, Elem, Val, mentioned};
use einmesh_autodiff::{Reason, Refusal, Request, gradients};
use einmesh_diagnostics::codes::language as codes;
use einmesh_diagnostics::{Diagnostic, Span};
use einmesh_ir::{
    Block, Bounds, DType, Expr, IndexId, Literal, Load, Op, Program, Reducer, ValueId,
};
use einmesh_syntax::ast::{self, ExprKind, StmtKind, Subscript, Subscripts};
use std::collections::{BTreeMap, BTreeSet};

/// The variables that some `grad` in a function names.
pub(crate) fn differentiated(function: &ast::Fn) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    match &function.body {
        ast::FnBody::Block(block) => in_block(block, &mut names),
        ast::FnBody::Expr(e) => in_expr(e, &mut names),
    }
    names
}

fn in_block(block: &ast::Block, names: &mut BTreeSet<String>) {
    for stmt in &block.stmts {
        match &stmt.kind {
            StmtKind::Assign { value, .. } | StmtKind::Unpack { value, .. } => {
                in_expr(value, names)
            }
            StmtKind::For { body, .. } => in_block(body, names),
            StmtKind::While { condition, body, .. } => {
                in_expr(condition, names);
                in_block(body, names);
            }
            StmtKind::If { then, otherwise, .. } => {
                in_block(then, names);
                otherwise.iter().for_each(|b| in_block(b, names));
            }
        }
    }
}

fn in_expr(e: &ast::Expr, names: &mut BTreeSet<String>) {
    if let ExprKind::Call(callee, _) = &e.kind
        && let ExprKind::Subscript(base, subs) = &callee.kind
        && crate::index::bare(base) == Some("grad")
    {
        for path in crate::index::sub_exprs(subs) {
            let mut at = path;
            while let ExprKind::Field(inner, _) | ExprKind::Subscript(inner, _) = &at.kind {
                at = inner;
            }
            if let ExprKind::Name(name) = &at.kind {
                names.insert(name.clone());
            }
        }
    }
    crate::index::children(e).into_iter().for_each(|child| in_expr(child, names));
}

impl<'a> Ctx<'a> {
    /// `grad[path](s)`: of the type of `path`; of several paths, as many results.
    pub fn grad(&mut self, subs: Option<&'a Subscripts>, args: &'a [ast::Arg], span: Span) -> Val {
        let paths: Option<Vec<&'a ast::Expr>> = subs.filter(|s| s.guard.is_none()).and_then(|s| {
            let each = s.subs.iter().map(|sub| match sub {
                Subscript::Expr(e) => Some(e),
                _ => None,
            });
            each.collect()
        });
        let (Some(paths @ [_, ..]), [of]) = (paths.as_deref(), args) else {
            self.report(
                Diagnostic::error(codes::GRAD, "`grad` is of one number, by variables")
                    .at(span, "")
                    .help("write `g = grad[p](loss)`, or `(g, h) = grad[p, q](loss)`"),
            );
            args.iter().for_each(|arg| drop(self.eval(&arg.value)));
            return Val::Poison;
        };
        let number = self.eval(&of.value);
        let by: Vec<Val> = paths.iter().map(|path| self.eval(path)).collect();
        let Some(number) = self.differentiable(number, &of.value) else {
            return Val::Poison;
        };
        let mut leaves: Vec<Option<ValueId>> = Vec::new();
        for (by, path) in by.iter().zip(paths) {
            let Some(more) = self.leaves_to_derive(by, path) else {
                return Val::Poison;
            };
            leaves.extend(more);
        }
        let mut unique: Vec<ValueId> = Vec::new();
        for leaf in leaves.iter().flatten() {
            if !unique.contains(leaf) {
                unique.push(*leaf);
            }
        }
        let Some(derived) = self.derived(number, &unique, span) else {
            return Val::Poison;
        };
        let map: BTreeMap<ValueId, ValueId> = unique.into_iter().zip(derived).collect();
        let mut leaves = leaves.into_iter();
        let mut results = Vec::new();
        for (by, path) in by.into_iter().zip(paths) {
            results.push((short(path), derivative(by, &mut leaves, &map)));
        }
        match results.len() {
            1 => results.remove(0).1,
            _ => Val::Tuple(results),
        }
    }

    /// The number that is differentiated, as a stored value.
    fn differentiable(&mut self, val: Val, e: &ast::Expr) -> Option<ValueId> {
        let found = match val {
            Val::Poison => return None,
            Val::Array(a) if a.axes.is_empty() && a.elem.is_floatish() => {
                if mentioned(&a.body).is_empty() {
                    let dtype = a.elem.default_dtype();
                    let array = self.adapted(a, dtype);
                    return Some(self.stored(&array, &[]));
                }
                "a number for each index of its surroundings".to_owned()
            }
            other => self.describe(&other),
        };
        self.report(
            Diagnostic::error(codes::GRAD, "`grad` is of one float")
                .at(e.span, format!("this is {found}"))
                .help(format!("reduce it to one: `sum({})`", short(e)))
                .help("for the derivatives of each, take one after the other in a loop: `for b in B { … }`"),
        );
        None
    }

    /// For each leaf the value that holds it, or `None` where it is no float.
    fn leaves_to_derive(&mut self, by: &Val, path: &ast::Expr) -> Option<Vec<Option<ValueId>>> {
        if by.is_poison() {
            return None;
        }
        let mut leaves: Vec<Option<ValueId>> = Vec::new();
        let mut stored = true;
        by.leaves("", &mut |_, array| {
            let float = array.elem.is_floatish() && matches!(array.elem, Elem::Strong(_));
            let whole = match &array.body {
                Expr::Load(load) => {
                    let inner: BTreeSet<IndexId> = mentioned(&array.body);
                    let own = inner.iter().all(|i| array.params.contains(i));
                    (own && array.is_alias()).then_some(load.value)
                }
                _ => None,
            };
            stored &= whole.is_some() || !float;
            leaves.push(whole.filter(|_| float));
        });
        let text = short(path);
        if !stored {
            self.report(
                Diagnostic::error(codes::GRAD, format!("`{text}` is not a variable"))
                    .at(path.span, "a gradient is by what a name is bound to")
                    .help(
                        "bind it to a name, compute the number from that, and differentiate by it",
                    ),
            );
            return None;
        }
        if leaves.iter().all(Option::is_none) {
            let found = self.describe(by);
            self.report(
                Diagnostic::error(
                    codes::GRAD,
                    format!("`{text}` has no float to differentiate by"),
                )
                .at(path.span, format!("this is {found}"))
                .help("gradients are by floats: convert it where it is bound, `f32(…)`"),
            );
            return None;
        }
        Some(leaves)
    }

    /// Appends the derivatives of a number by values.
    fn derived(&mut self, of: ValueId, by: &[ValueId], span: Span) -> Option<Vec<ValueId>> {
        if self.diagnostics.has_errors() {
            // What is wrong elsewhere may have left the program in parts.
            return Some(by.to_vec());
        }
        let program = std::mem::take(&mut self.program);
        self.resolve_used(&program);
        let mut used = BTreeSet::new();
        self.blocks.iter().for_each(|b| crate::cleanup::index_dims(b, &mut used));
        used.into_iter().for_each(|dim| drop(self.resolve_dim(dim)));
        self.program = program;
        self.program.dims = self.program_dims();
        let known = self.program.dims.len();
        let (stops, entries, remat) = (&self.stops, &self.entries[..], &self.remat[..]);
        let request = Request { of, by, stops, entries, remat };
        let result = gradients(&mut self.program, &mut self.blocks, &request);
        for (_, dim) in self.program.dims.iter().skip(known) {
            let resolved = Resolved {
                extent: dim.extent,
                stand_in: false,
                symbolic: dim.symbolic,
                role_of: dim.role_of,
                parts: vec![],
            };
            self.dims.push(DimInfo::known(&dim.name, Some(resolved)));
        }
        match result {
            Ok(values) => Some(values),
            Err(refusal) => {
                self.refused(refusal, span);
                None
            }
        }
    }

    fn refused(&mut self, refusal: Refusal, span: Span) {
        let value = &self.program.values[refusal.value];
        let (name, at) = (value.name.clone(), value.origin.span);
        let (message, help) = match refusal.reason {
            Reason::Carried => (
                format!("the gradient would run through earlier iterations, by `{name}`"),
                "take the gradient after the loop, or `stop(…)` what an iteration gets from the one before",
            ),
            Reason::Store => (
                format!("there is no gradient through the store that makes `{name}`"),
                "`stop(…)` its result",
            ),
        };
        let mut error = Diagnostic::error(codes::GRAD_THROUGH, message).at(span, "");
        if let Some(at) = at.filter(|at| *at != span) {
            error = error.also(at, "computed here");
        }
        self.report(error.help(help));
    }

    /// `stop(x)`: the same numbers, which count as constants in gradients.
    pub fn stopped(&mut self, val: Val) -> Val {
        val.map_leaves("", &mut |_, array| match array.elem {
            Elem::Strong(dtype) if dtype.is_float() && array.literal().is_none() => {
                let array = self.own(array);
                if let Expr::Load(load) = &array.body {
                    self.stops.insert(load.value);
                }
                Val::Array(array)
            }
            _ => Val::Array(array),
        })
    }

    /// The array as a stored value that nothing else is.
    fn own(&mut self, array: Array) -> Array {
        let dtype = array.elem.default_dtype();
        let body = self.converted(array.body, array.elem, dtype);
        let outer = self.outer(&[&body], &array.params);
        let free: Vec<IndexId> = outer.iter().chain(&array.params).copied().collect();
        let reducer = Reducer::None;
        let emission = Emission { dtype, free, reduced: vec![], reducer, guard: None, body };
        let value = self.emit(emission);
        self.copies.insert(value);
        self.array_of(value, array.axes, &outer, array.params)
    }

    /// What a variable that is differentiated by is bound to: values that no other variable is.
    pub fn apart(&mut self, name: &str, val: Val) -> Val {
        if !self.frame().differentiated.contains(name) {
            return val;
        }
        let mut shared: BTreeSet<ValueId> = BTreeSet::new();
        for (other, var) in &self.frame().vars {
            if other != name {
                var.val.leaves("", &mut |_, leaf| {
                    shared.extend(leaf.body.loads().iter().map(|l| l.value));
                });
            }
        }
        let mut own: BTreeSet<ValueId> = BTreeSet::new();
        val.map_leaves("", &mut |_, array| {
            let array = match array.elem {
                Elem::Strong(_) => array,
                weak => self.adapted(array, weak.default_dtype()),
            };
            if !array.elem.default_dtype().is_float() {
                return Val::Array(array);
            }
            let whole = match &array.body {
                Expr::Load(load) if load.bounds == Bounds::Proven => {
                    let in_order = load.subs.iter().cloned();
                    in_order.eq(array.params.iter().map(|p| Expr::Index(*p))).then_some(load.value)
                }
                _ => None,
            };
            let alone = whole.is_some_and(|v| !shared.contains(&v) && own.insert(v));
            Val::Array(if alone { array } else { self.own(array) })
        })
    }
}

/// The derivative by a variable: of its type, with the derivative of each of its leaves that has one.
fn derivative(
    by: Val,
    leaves: &mut impl Iterator<Item = Option<ValueId>>,
    map: &BTreeMap<ValueId, ValueId>,
) -> Val {
    by.map_leaves("", &mut |_, array| {
        let to = leaves.next().flatten().and_then(|leaf| map.get(&leaf));
        Val::Array(match (to, array.body) {
            (Some(to), Expr::Load(load)) => {
                Array { body: Expr::Load(Load { value: *to, ..load }), ..array }
            }
            (_, _) => {
                let body = Expr::Literal(match array.elem.default_dtype() {
                    DType::Bool => Literal::Bool(false),
                    dtype => Literal::Int(dtype, 0),
                });
                Array { elem: Elem::Strong(array.elem.default_dtype()), body, ..array }
            }
        })
    })
}

/// Reads through the copies that gradients needed: who loads a copy loads what it is of.
pub(crate) fn forward(program: &mut Program, copies: &BTreeSet<ValueId>) {
    if copies.is_empty() {
        return;
    }
    let mut body = std::mem::take(&mut program.body);
    let mut known: BTreeMap<ValueId, Load> = BTreeMap::new();
    forward_in(&mut body, copies, &mut known);
    program.body = body;
}

fn forward_in(block: &mut Block, copies: &BTreeSet<ValueId>, known: &mut BTreeMap<ValueId, Load>) {
    for op in &mut block.ops {
        match op {
            Op::Compute(c) => {
                for e in c.exprs_mut() {
                    forwarded(e, known);
                }
                if let Expr::Load(load) = &c.body
                    && copies.contains(&c.out)
                    && c.guard.is_none()
                    && load.bounds == Bounds::Proven
                    && load
                        .subs
                        .iter()
                        .all(|s| matches!(s, Expr::Index(_) | Expr::LoopVar(_) | Expr::Literal(_)))
                {
                    known.insert(c.out, load.clone());
                }
            }
            Op::Loop(l) => forward_in(&mut l.body, copies, known),
            Op::Argsort(_) | Op::Collective(_) => {}
        }
    }
}

fn forwarded(e: &mut Expr, known: &BTreeMap<ValueId, Load>) {
    for child in e.children_mut() {
        forwarded(child, known);
    }
    if let Expr::Load(load) = e
        && let Some(source) = known.get(&load.value)
    {
        load.value = source.value;
        let subs = std::mem::take(&mut load.subs);
        let at = |sub: &Expr| match sub {
            Expr::Index(index) => subs[index.0 as usize].clone(),
            other => other.clone(),
        };
        load.subs = source.subs.iter().map(at).collect();
    }
}
