//! Calls of functions written in the language. A call is lowered in place: `f[i](…)` maps over every
//! index of its surroundings that the brackets do not bind, because the values inside simply mention
//! those indices.

use crate::ctx::{Binding, Ctx, DimRef, Frame, Var};
use crate::names::suggest;
use crate::reduce::Bound;
use crate::scalar::short;
use crate::types::Ty;
use crate::values::{Array, Elem, Val, size};
use einmesh_diagnostics::codes::language as codes;
use einmesh_diagnostics::{Diagnostic, Span};
use einmesh_ir::{DType, IndexId};
use einmesh_syntax::ast::{self, FnResult, Subscripts};
use std::collections::BTreeMap;

/// Scalars with more nodes than this are stored rather than repeated where a parameter is used.
pub(crate) const INLINE_NODES: usize = 16;
/// The deepest chain of calls.
const MAX_CALLS: usize = 64;

/// A call's argument for one parameter.
pub(crate) struct Matched<'a> {
    pub param: &'a ast::Param,
    /// The argument, or `None` for the default.
    pub given: Option<&'a ast::Expr>,
}

/// How a function is applied.
pub(crate) struct Application {
    /// What its generic dims are, as far as brackets say.
    pub generics: Vec<(String, DimRef)>,
    /// The indices of the brackets.
    pub bound: Bound,
    /// The indices that it is mapped over.
    pub lifts: Vec<IndexId>,
    /// Whether it has brackets.
    pub indexed: bool,
    /// The function's name in the call.
    pub name_span: Span,
    /// The call.
    pub span: Span,
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
        let function = self.fns[id].1;
        if !self.may_call(id, name_span) {
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
                generics.push((generic.text.clone(), DimRef { axis: axis.clone(), guard: None }));
                shadowed.push(name.clone());
            }
            bound = indices;
            self.frame_mut().indices.extend(bound.iter().map(|(n, _, b)| (n.clone(), b.clone())));
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
        self.hint = hint;
        let lifts = self.lifts_without(&shadowed);
        let how = Application { generics, bound, lifts, indexed: subs.is_some(), name_span, span };
        let Some((result, vars)) = self.inlined(id, &matched, values, &how) else {
            return Val::Poison;
        };
        for m in matched.iter().filter(|m| m.param.inout) {
            let value = match (&result, vars.get(&m.param.name.text)) {
                (Some(_), Some(var)) => var.val.clone(),
                _ => Val::Poison,
            };
            if let Some(given) = m.given {
                self.assign_back(given, value, m.param);
            }
        }
        let Some(result) = result else {
            return Val::Poison;
        };
        match subs {
            None => result,
            Some(_) => self.subscript_result(result, function, &how.bound),
        }
    }

    /// Whether a function can be expanded here: it is not inside of itself, and there is room.
    pub fn may_call(&mut self, id: usize, name_span: Span) -> bool {
        let function = self.fns[id].1;
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
            return false;
        }
        self.expand("call", name_span)
    }

    /// Expands a function on the values of its parameters: its result, if it has one, and its
    /// variables at the end. `None` if the values do not fit its signature.
    pub fn inlined(
        &mut self,
        id: usize,
        matched: &[Matched<'a>],
        values: Vec<Option<(Val, Span)>>,
        how: &Application,
    ) -> Option<(Option<Val>, BTreeMap<String, Var>)> {
        let (inst, function) = self.fns[id];
        // `float` is one dtype for the whole call: the widest among its arguments.
        let float = self.float_of(matched, &values);
        let mut generics = how.generics.clone();
        if !how.indexed && !self.unify(function, matched, &values, &mut generics, how.span) {
            return None;
        }
        let float = float?;
        let record = self.record_of(matched, &values)?;
        let names = generics.clone();
        let roles = self.generic_roles(function, inst, &names, how.name_span)?;
        let scope: Vec<String> =
            self.frame().scope.iter().cloned().chain([function.name.text.clone()]).collect();
        let first_value = self.program.values.len();
        self.frames.push(Frame {
            inst,
            generics,
            roles,
            float,
            record,
            lifts: how.lifts.clone(),
            scope: scope.into(),
            first_value,
            differentiated: crate::grad::differentiated(function),
            ..Frame::default()
        });
        self.calls.push(id);
        self.sites.push(how.span);
        let hint = self.hint.clone();
        let mut ok = true;
        for (m, value) in matched.iter().zip(values) {
            self.hint = m.param.name.text.clone();
            ok &= self.bind_parameter(m, value, &how.bound, function, how.indexed);
        }
        // Poisoned arguments are bound too: the body is checked on its own elsewhere.
        let outer = (self.span, self.left.clone(), self.placing);
        self.placing = false;
        let result = if ok { self.run_body(function) } else { None };
        (self.span, self.left, self.placing) = outer;
        self.hint = hint;
        self.calls.pop();
        self.sites.pop();
        let frame = self.frames.pop()?;
        Some((result, frame.vars))
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
                Some(named) => match function.params.iter().position(|p| p.name.text == named.text)
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
            let list = missing.iter().map(|m| format!("`{m}`")).collect::<Vec<_>>().join(", ");
            self.report(
                Diagnostic::error(codes::WRONG_ARGUMENTS, format!("`{name}` is missing {list}"))
                    .at(span, "")
                    .also(function.name.span, "declared here")
                    .help(format!("its parameters are ({})", parameters(function))),
            );
            ok = false;
        }
        let _ = name_span;
        let pairs = function.params.iter().zip(given);
        ok.then(|| pairs.map(|(param, given)| Matched { param, given }).collect())
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
        let what = format!("the argument `{}` of `{}`", m.param.name.text, function.name.text);
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
                Diagnostic::error(codes::AXES, format!("{what}: expected a number, found {found}"))
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
        let value = self.apart(&m.param.name.text, value);
        let poison = value.is_poison();
        self.frame_mut()
            .vars
            .insert(m.param.name.text.clone(), Var { val: value, span: m.param.name.span });
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
                self.frame_mut().vars.insert("out".to_owned(), Var { val: value, span: e.span });
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
        let because = Some((ty.span, "declared here".to_owned()));
        let val = self.coerce(var.val, &ty_resolved, var.span, &what, because);
        Some(match val {
            Val::Array(array) => Val::Array(self.masked(array)),
            other => other,
        })
    }
}

/// Whether a scalar gathers: its loads have subscripts that are loads, which should not be repeated.
fn calls_load_heavy(array: &Array) -> bool {
    array.body.loads().iter().any(|l| l.subs.iter().any(|s| !s.loads().is_empty()))
}

/// A number of things, for messages.
pub(crate) fn plural(count: usize, thing: &str) -> String {
    if count == 1 { format!("1 {thing}") } else { format!("{count} {thing}s") }
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
pub fn type_text(ty: &ast::Type) -> String {
    let path: Vec<&str> = ty.path.iter().map(|n| n.text.as_str()).collect();
    let mut text = path.join(".");
    if let Some(of) = &ty.of {
        text += &format!("({})", type_text(of));
    }
    if !ty.args.is_empty() {
        text += &format!("({})", crate::show::list(&ty.args));
    }
    if let Some(axes) = &ty.axes {
        text += &format!("[{}]", axes.iter().map(crate::show::expr).collect::<Vec<_>>().join(","));
    }
    text
}
