//! Calls of functions written in the language. A call is lowered in place: `f[i](…)` maps over every
//! index of its surroundings that the brackets do not bind, because the values inside simply mention
//! those indices.

use crate::ctx::{Binding, Ctx, DimRef, Frame, Var};
use crate::dims::Axis;
use crate::index::bare;
use crate::names::suggest;
use crate::reduce::Bound;
use crate::scalar::short;
use crate::types::{Ty, join};
use crate::values::{Array, Elem, Val, mentioned, size};
use einmesh_diagnostics::codes::language as codes;
use einmesh_diagnostics::{Diagnostic, Span};
use einmesh_ir::{DType, DimId, IndexId};
use einmesh_syntax::ast::{self, ExprKind, FnResult, Subscripts};
use std::collections::BTreeMap;

/// Scalars with more nodes than this are stored rather than repeated where a parameter is used.
pub(crate) const INLINE_NODES: usize = 16;
/// The deepest chain of calls.
const MAX_CALLS: usize = 64;

/// A call's argument for one parameter.
struct Matched<'a> {
    param: &'a ast::Param,
    /// The argument, or `None` for the default.
    given: Option<&'a ast::Expr>,
}

impl<'a> Ctx<'a> {
    pub fn call_function(
        &mut self,
        id: usize,
        subs: Option<&'a Subscripts>,
        args: &'a [ast::Arg],
        name_span: Span,
        span: Span,
    ) -> Val {
        let (inst, function) = self.fns[id];
        if self.calls.contains(&id) || self.calls.len() >= MAX_CALLS {
            self.report(
                Diagnostic::error(
                    codes::RECURSION,
                    format!("`{}` calls itself", function.name.text),
                )
                .at(name_span, "called here, inside of itself")
                .also(function.name.span, "declared here")
                .help(
                    "functions are expanded where they are called: use a loop, `for l in L { … }`",
                ),
            );
            return Val::Poison;
        }
        if !self.expand("call", name_span) {
            return Val::Poison;
        }
        let Some(matched) = self.match_arguments(function, args, name_span, span) else {
            return Val::Poison;
        };
        let mut generics: Vec<(String, DimRef)> = Vec::new();
        let mut shadowed: Vec<String> = Vec::new();
        let mut bound: Bound = Vec::new();
        let caller_depth = self.frame().indices.len();
        if let Some(subs) = subs {
            let uses: Vec<&'a ast::Expr> = args.iter().map(|a| &a.value).collect();
            let Some(indices) = self.function_brackets(function, subs, &uses, name_span) else {
                return Val::Poison;
            };
            for ((generic, _), (name, _, binding)) in function.generics.iter().zip(&indices) {
                let Binding::Indices(_, axis) = binding else {
                    continue;
                };
                generics.push((
                    generic.text.clone(),
                    DimRef {
                        axis: axis.clone(),
                        guard: None,
                    },
                ));
                shadowed.push(name.clone());
            }
            bound = indices;
            self.frame_mut()
                .indices
                .extend(bound.iter().map(|(n, _, b)| (n.clone(), b.clone())));
            if let Some(guard) = &subs.guard {
                let done = self.restrict(guard, &bound, &mut generics);
                if done.is_none() {
                    self.frame_mut().indices.truncate(caller_depth);
                    return Val::Poison;
                }
            }
        }
        let hint = self.hint.clone();
        let mut values: Vec<Option<(Val, Span)>> = Vec::new();
        for m in &matched {
            self.hint = m.param.name.text.clone();
            let value = m.given.map(|e| (self.eval(e), e.span));
            values.push(value);
        }
        self.frame_mut().indices.truncate(caller_depth);
        // `float` is one dtype for the whole call: the widest among its arguments.
        let float = self.float_of(&matched, &values);
        if subs.is_none() && !self.unify(function, &matched, &values, &mut generics, span) {
            self.hint = hint;
            return Val::Poison;
        }
        let (names, float) = match float {
            Some(float) => (generics.clone(), float),
            None => {
                self.hint = hint;
                return Val::Poison;
            }
        };
        let Some(roles) = self.generic_roles(function, inst, &names, name_span) else {
            self.hint = hint;
            return Val::Poison;
        };
        let lifts = self.lifts_without(&shadowed);
        let scope: Vec<String> = self
            .frame()
            .scope
            .iter()
            .cloned()
            .chain([function.name.text.clone()])
            .collect();
        self.frames.push(Frame {
            inst,
            generics,
            roles,
            float,
            lifts,
            scope: scope.into(),
            ..Frame::default()
        });
        self.calls.push(id);
        self.sites.push(span);
        let mut ok = true;
        for (m, value) in matched.iter().zip(values) {
            self.hint = m.param.name.text.clone();
            ok &= self.bind_parameter(m, value, &bound, function, subs.is_some());
        }
        // Poisoned arguments are bound too: the body is checked on its own elsewhere.
        let outer = (self.span, self.left.clone());
        let result = if ok { self.run_body(function) } else { None };
        (self.span, self.left) = outer;
        self.hint = hint;
        self.calls.pop();
        self.sites.pop();
        let frame = self.frames.pop();
        if let Some(frame) = frame {
            for m in matched.iter().filter(|m| m.param.inout) {
                let value = match (&result, frame.vars.get(&m.param.name.text)) {
                    (Some(_), Some(var)) => var.val.clone(),
                    _ => Val::Poison,
                };
                if let Some(given) = m.given {
                    self.assign_back(given, value, m.param);
                }
            }
        }
        let Some(result) = result else {
            return Val::Poison;
        };
        match subs {
            None => result,
            Some(_) => self.subscript_result(result, function, &bound),
        }
    }

    /// Which argument belongs to which parameter.
    fn match_arguments(
        &mut self,
        function: &'a ast::Fn,
        args: &'a [ast::Arg],
        name_span: Span,
        span: Span,
    ) -> Option<Vec<Matched<'a>>> {
        let name = &function.name.text;
        let mut given: Vec<Option<&'a ast::Expr>> = vec![None; function.params.len()];
        let mut ok = true;
        let mut next = 0;
        for arg in args {
            let position = match &arg.name {
                None => {
                    next += 1;
                    next - 1
                }
                Some(named) => match function
                    .params
                    .iter()
                    .position(|p| p.name.text == named.text)
                {
                    Some(position) => position,
                    None => {
                        let mut error = Diagnostic::error(
                            codes::WRONG_ARGUMENTS,
                            format!("`{name}` has no parameter `{}`", named.text),
                        )
                        .at(named.span, "")
                        .also(function.name.span, "declared here");
                        let known = function.params.iter().map(|p| p.name.text.as_str());
                        if let Some(near) = suggest(&named.text, known) {
                            error = error
                                .help(format!("did you mean `{near}: {}`?", short(&arg.value)));
                        }
                        self.report(error);
                        ok = false;
                        continue;
                    }
                },
            };
            match given.get_mut(position) {
                Some(slot @ None) => *slot = Some(&arg.value),
                Some(Some(before)) => {
                    let before = before.span;
                    self.report(
                        Diagnostic::error(
                            codes::WRONG_ARGUMENTS,
                            format!(
                                "the parameter `{}` is given twice",
                                function.params[position].name.text
                            ),
                        )
                        .at(arg.value.span, "again here")
                        .also(before, "first here")
                        .help("remove one of them"),
                    );
                    ok = false;
                }
                None => {
                    self.report(
                        Diagnostic::error(
                            codes::WRONG_ARGUMENTS,
                            format!(
                                "`{name}` takes {} arguments, {} given",
                                function.params.len(),
                                args.len()
                            ),
                        )
                        .at(arg.value.span, "one too many")
                        .also(function.name.span, "declared here")
                        .help(format!("its parameters are ({})", parameters(function))),
                    );
                    ok = false;
                    break;
                }
            }
        }
        let missing: Vec<&str> = function
            .params
            .iter()
            .zip(&given)
            .filter(|(p, g)| g.is_none() && p.default.is_none())
            .map(|(p, _)| p.name.text.as_str())
            .collect();
        if ok && !missing.is_empty() {
            let list = missing
                .iter()
                .map(|m| format!("`{m}`"))
                .collect::<Vec<_>>()
                .join(", ");
            self.report(
                Diagnostic::error(
                    codes::WRONG_ARGUMENTS,
                    format!("`{name}` is missing {list}"),
                )
                .at(span, "")
                .also(function.name.span, "declared here")
                .help(format!("its parameters are ({})", parameters(function))),
            );
            ok = false;
        }
        let _ = name_span;
        let pairs = function.params.iter().zip(given);
        ok.then(|| {
            pairs
                .map(|(param, given)| Matched { param, given })
                .collect()
        })
    }

    fn function_brackets(
        &mut self,
        function: &'a ast::Fn,
        subs: &'a Subscripts,
        uses: &[&'a ast::Expr],
        name_span: Span,
    ) -> Option<Bound> {
        let bound = self.bind_brackets(subs, uses)?;
        if bound.len() != function.generics.len() {
            let name = &function.name.text;
            let wanted: Vec<String> = function
                .generics
                .iter()
                .map(|(g, _)| g.text.to_lowercase())
                .collect();
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
    fn restrict(
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
    fn float_of(
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

    /// Binds generic dims by the axes of whole arguments.
    fn unify(
        &mut self,
        function: &'a ast::Fn,
        matched: &[Matched<'a>],
        values: &[Option<(Val, Span)>],
        generics: &mut Vec<(String, DimRef)>,
        span: Span,
    ) -> bool {
        let names: Vec<&str> = function
            .generics
            .iter()
            .map(|(g, _)| g.text.as_str())
            .collect();
        let mut poisoned = false;
        for (m, value) in matched.iter().zip(values) {
            let Some((value, _)) = value else { continue };
            poisoned |= value.is_poison();
            let (written, actual): (Vec<&ast::Expr>, Vec<Axis>) = match value {
                Val::Array(a) => (m.param.ty.axes.iter().flatten().collect(), a.axes.clone()),
                Val::Record(r) => (
                    m.param
                        .ty
                        .args
                        .iter()
                        .chain(m.param.ty.axes.iter().flatten())
                        .collect(),
                    r.args.iter().chain(&r.stack).cloned().collect(),
                ),
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
    fn generic_roles(
        &mut self,
        function: &'a ast::Fn,
        inst: usize,
        generics: &[(String, DimRef)],
        span: Span,
    ) -> Option<Vec<(DimId, DimId)>> {
        let mut roles = Vec::new();
        for (generic, role_of) in &function.generics {
            let Some(of) = role_of else { continue };
            let find = |name: &str| {
                generics
                    .iter()
                    .find(|(g, _)| g == name)
                    .map(|(_, d)| d.axis.clone())
            };
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
            if a.extent > b.extent && !a.stand_in && !b.stand_in {
                let (x, y) = (
                    self.dim_name(*inner).to_owned(),
                    self.dim_name(*outer).to_owned(),
                );
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

    /// The index variables around that a call is mapped over.
    pub fn lifts_without(&self, shadowed: &[String]) -> Vec<IndexId> {
        let frame = self.frame();
        let mut visible: BTreeMap<&str, &Binding> = BTreeMap::new();
        for (name, binding) in &frame.indices {
            visible.insert(name, binding);
        }
        let mut lifts = frame.lifts.clone();
        for (name, binding) in visible {
            if let Binding::Indices(ids, _) = binding
                && !shadowed.iter().any(|s| s == name)
            {
                lifts.extend(ids);
            }
        }
        lifts.sort();
        lifts.dedup();
        lifts
    }

    /// Binds a parameter in the callee's frame.
    fn bind_parameter(
        &mut self,
        m: &Matched<'a>,
        value: Option<(Val, Span)>,
        bound: &Bound,
        function: &'a ast::Fn,
        indexed: bool,
    ) -> bool {
        let Some(ty) = self.ty(&m.param.ty) else {
            return false;
        };
        let (value, span) = match (value, &m.param.default) {
            (Some(value), _) => value,
            (None, Some(default)) => {
                let inst = self.frame().inst;
                (self.in_module(inst, |ctx| ctx.eval(default)), default.span)
            }
            (None, None) => return false,
        };
        let what = format!(
            "the argument `{}` of `{}`",
            m.param.name.text, function.name.text
        );
        let value = match (value, indexed) {
            (Val::Array(array), true) => {
                match self.unbracketed(array, m.param, &ty, bound, function, span) {
                    Some(array) => Val::Array(array),
                    None => return false,
                }
            }
            (value, _) => value,
        };
        if let (Val::Array(array), Ty::Array { axes, .. }) = (&value, &ty)
            && axes.is_empty()
            && !array.axes.is_empty()
        {
            let found = self.describe(&value);
            let index = self.axes_name(&array.axes).to_lowercase();
            self.report(
                Diagnostic::error(
                    codes::AXES,
                    format!("{what}: expected a number, found {found}"),
                )
                .at(span, format!("this is {found}"))
                .also(m.param.ty.span, "declared here")
                .help(format!(
                    "map it over the elements: `y[{index}] = {}(…[{index}])`",
                    function.name.text
                )),
            );
            return false;
        }
        let value = self.coerce(
            value,
            &ty,
            span,
            &what,
            Some((m.param.ty.span, "declared here".to_owned())),
        );
        let value = self.kept(value);
        let poison = value.is_poison();
        self.frame_mut().vars.insert(
            m.param.name.text.clone(),
            Var {
                val: value,
                span: m.param.name.span,
            },
        );
        !poison
    }

    /// A value as it is bound to a name: stored if using it again would compute it again.
    pub fn kept(&mut self, value: Val) -> Val {
        let hint = self.hint.clone();
        let kept = value.map_leaves("", &mut |path, array| {
            let constant = array.literal().is_some();
            let small = array.axes.is_empty()
                && size(&array.body) <= INLINE_NODES
                && !calls_load_heavy(&array);
            let key = array.elem == Elem::Strong(DType::Key) && array.axes.is_empty();
            if constant || small || key || array.is_alias() {
                return Val::Array(array);
            }
            self.hint = format!("{hint}{path}");
            Val::Array(self.settled(array))
        });
        self.hint = hint;
        kept
    }

    /// The argument as an array over the parameter's axes: the indices of the brackets become axes.
    fn unbracketed(
        &mut self,
        array: Array,
        param: &'a ast::Param,
        ty: &Ty,
        bound: &Bound,
        function: &'a ast::Fn,
        span: Span,
    ) -> Option<Array> {
        let Ty::Array { axes, .. } = ty else {
            return Some(array);
        };
        let names: Vec<&str> = function
            .generics
            .iter()
            .map(|(g, _)| g.text.as_str())
            .collect();
        let mut params: Vec<IndexId> = Vec::new();
        let mut own = array.params.iter().copied();
        let mut own_axes = array.axes.iter();
        let mut used: Vec<IndexId> = Vec::new();
        for (axis, written) in axes.iter().zip(param.ty.axes.iter().flatten()) {
            let parts: Vec<Option<usize>> = crate::index::components(written)
                .into_iter()
                .map(|p| bare(p).and_then(|n| names.iter().position(|g| *g == n)))
                .collect();
            if let Some(positions) = parts.iter().copied().collect::<Option<Vec<usize>>>() {
                for position in positions {
                    if let Some((_, _, Binding::Indices(ids, _))) = bound.get(position) {
                        params.extend(ids);
                        used.extend(ids);
                    }
                }
            } else {
                let matches = own_axes.next().is_some_and(|a| self.same_axis(a, axis));
                if !matches {
                    let (found, wanted) = (
                        self.describe(&Val::Array(array.clone())),
                        self.axis_name(axis),
                    );
                    self.report(
                        Diagnostic::error(
                            codes::AXES,
                            format!(
                                "the argument `{}` of `{}` needs a whole axis {wanted}",
                                param.name.text, function.name.text
                            ),
                        )
                        .at(span, format!("this is {found}"))
                        .also(param.ty.span, "declared here"),
                    );
                    return None;
                }
                params.extend(axis.dims.iter().filter_map(|_| own.next()));
            }
        }
        if own_axes.next().is_some() {
            let found = self.describe(&Val::Array(array));
            self.report(
                Diagnostic::error(
                    codes::UNSUBSCRIPTED,
                    format!(
                        "the argument `{}` of `{}` has axes left",
                        param.name.text, function.name.text
                    ),
                )
                .at(span, format!("this is {found}"))
                .also(param.ty.span, "declared here")
                .help("subscript it with the indices of the brackets and of the statement"),
            );
            return None;
        }
        let mentions = mentioned(&array.body);
        for (name, at, binding) in bound {
            let Binding::Indices(ids, _) = binding else {
                continue;
            };
            if ids
                .iter()
                .any(|i| mentions.contains(i) && !used.contains(i))
            {
                self.report(
                    Diagnostic::error(codes::DEPENDS, format!("the parameter `{}` of `{}` has no axis for the index `{name}`", param.name.text, function.name.text))
                        .at(span, format!("depends on `{name}`"))
                        .also(*at, "bound here, for the call's inside")
                        .also(param.ty.span, "the parameter's type")
                        .help(format!("use another index in this argument, or give the parameter an axis: `{}: {}[…]`", param.name.text, param.ty.path.last().map_or("float", |n| &n.text))),
                );
                return None;
            }
        }
        Some(Array {
            axes: axes.clone(),
            params,
            ..array
        })
    }

    /// The call's result at the indices of its brackets that stay.
    fn subscript_result(&mut self, result: Val, function: &'a ast::Fn, bound: &Bound) -> Val {
        let types: Vec<&ast::Type> = match &function.result {
            FnResult::Single(ty) => vec![ty],
            FnResult::Named(all) => all.iter().map(|(_, ty)| ty).collect(),
        };
        match result {
            Val::Tuple(parts) => {
                let each = parts.into_iter().zip(types);
                Val::Tuple(
                    each.map(|((n, v), ty)| (n, self.subscript_one(v, ty, function, bound)))
                        .collect(),
                )
            }
            other => match types.first() {
                Some(ty) => self.subscript_one(other, ty, function, bound),
                None => other,
            },
        }
    }

    fn subscript_one(
        &mut self,
        value: Val,
        ty: &ast::Type,
        function: &'a ast::Fn,
        bound: &Bound,
    ) -> Val {
        let Val::Array(array) = value else {
            return value;
        };
        let names: Vec<&str> = function
            .generics
            .iter()
            .map(|(g, _)| g.text.as_str())
            .collect();
        let mut map = BTreeMap::new();
        let (mut axes, mut params) = (Vec::new(), Vec::new());
        let mut at = 0;
        for (axis, written) in array.axes.iter().zip(ty.axes.iter().flatten()) {
            let width = axis.dims.len();
            let own = &array.params[at..at + width];
            at += width;
            let parts: Option<Vec<usize>> = crate::index::components(written)
                .into_iter()
                .map(|p| bare(p).and_then(|n| names.iter().position(|g| *g == n)))
                .collect();
            let Some(positions) = parts else {
                axes.push(axis.clone());
                params.extend(own);
                continue;
            };
            let mut outer = Vec::new();
            for position in positions {
                let Some((name, span, _)) = bound.get(position) else {
                    return Val::Poison;
                };
                match self.binding(name) {
                    Some(Binding::Indices(ids, _)) => {
                        outer.extend(ids.into_iter().map(einmesh_ir::Expr::Index))
                    }
                    Some(Binding::Counter(var, _)) => outer.push(einmesh_ir::Expr::LoopVar(var)),
                    None => {
                        self.unbound_result(name, *span);
                        return Val::Poison;
                    }
                }
            }
            map.extend(own.iter().copied().zip(outer));
        }
        let body = crate::values::substitute(array.body, &map);
        Val::Array(Array {
            axes,
            params,
            body,
            elem: array.elem,
        })
    }

    /// Lowers a function's body in its own frame and returns its results.
    pub fn run_body(&mut self, function: &'a ast::Fn) -> Option<Val> {
        let declared: Vec<(&str, &ast::Type)> = match &function.result {
            FnResult::Single(ty) => vec![("out", ty)],
            FnResult::Named(all) => all.iter().map(|(n, ty)| (n.text.as_str(), ty)).collect(),
        };
        for (name, ty) in declared {
            let inst = self.frame().inst;
            if let [dtype] = &ty.path[..]
                && let Some(dtype) = self.dtype_named(inst, &dtype.text)
            {
                self.frame_mut().results.insert(name.to_owned(), dtype);
            }
        }
        match &function.body {
            ast::FnBody::Block(block) => self.block(block),
            ast::FnBody::Expr(e) => {
                self.hint = "out".to_owned();
                self.span = Some(e.span);
                self.left = Some(("out".to_owned(), function.name.span));
                let target = self.frame().results.get("out").copied();
                let value = self.right_side(e, target);
                let value = self.kept(value);
                self.frame_mut().vars.insert(
                    "out".to_owned(),
                    Var {
                        val: value,
                        span: e.span,
                    },
                );
            }
        }
        match &function.result {
            FnResult::Single(ty) => self.result("out", function.name.span, ty, function),
            FnResult::Named(all) => {
                let mut parts = Vec::new();
                for (name, ty) in all {
                    parts.push((
                        name.text.clone(),
                        self.result(&name.text, name.span, ty, function)?,
                    ));
                }
                match parts.len() {
                    1 => parts.pop().map(|(_, v)| v),
                    _ => Some(Val::Tuple(parts)),
                }
            }
        }
    }

    fn result(
        &mut self,
        name: &str,
        span: Span,
        ty: &'a ast::Type,
        function: &'a ast::Fn,
    ) -> Option<Val> {
        let Some(var) = self.frame().vars.get(name).cloned() else {
            let similar = self.frame().vars.keys().map(String::as_str);
            let near = suggest(name, similar).map(str::to_owned);
            let mut error = Diagnostic::error(
                codes::NO_RESULT,
                format!("`{}` never binds its result `{name}`", function.name.text),
            )
            .at(
                span,
                if name == "out" {
                    "an unnamed result is bound to `out`"
                } else {
                    "declared as a result"
                },
            );
            error = match near {
                Some(near) => error.help(format!("`{near}` is bound: rename it to `{name}`")),
                None => error.help(format!("bind it in the body: `{name} = …`")),
            };
            self.report(error);
            return None;
        };
        let ty_resolved = self.ty(ty)?;
        let what = format!("the result `{name}` of `{}`", function.name.text);
        Some(self.coerce(
            var.val,
            &ty_resolved,
            var.span,
            &what,
            Some((ty.span, "declared here".to_owned())),
        ))
    }
}

/// Whether a scalar gathers: its loads have subscripts that are loads, which should not be repeated.
fn calls_load_heavy(array: &Array) -> bool {
    array
        .body
        .loads()
        .iter()
        .any(|l| l.subs.iter().any(|s| !s.loads().is_empty()))
}

/// A number of things, for messages.
fn plural(count: usize, thing: &str) -> String {
    if count == 1 {
        format!("1 {thing}")
    } else {
        format!("{count} {thing}s")
    }
}

/// A function's parameters, for messages.
pub(crate) fn parameters(function: &ast::Fn) -> String {
    let each = function.params.iter().map(|p| {
        let inout = if p.inout { "inout " } else { "" };
        format!("{inout}{}: {}", p.name.text, type_text(&p.ty))
    });
    each.collect::<Vec<_>>().join(", ")
}

/// A type as written.
pub(crate) fn type_text(ty: &ast::Type) -> String {
    let path: Vec<&str> = ty.path.iter().map(|n| n.text.as_str()).collect();
    let mut text = path.join(".");
    if !ty.args.is_empty() {
        text += &format!("({})", crate::show::list(&ty.args));
    }
    if let Some(axes) = &ty.axes {
        text += &format!(
            "[{}]",
            axes.iter()
                .map(crate::show::expr)
                .collect::<Vec<_>>()
                .join(",")
        );
    }
    text
}
