//! The decorators of plans, one by one: their arguments checked, their names resolved.

use crate::ctx::Ctx;
use crate::names::{Def, suggest};
use crate::plan::{DECORATORS, PlacementKind, not_yet, spans, text};
use crate::show;
use crate::values::Val;
use einmesh_diagnostics::codes::language as codes;
use einmesh_diagnostics::{Diagnostic, Span};
use einmesh_ir::directive::{Directives, Fsdp, Remat, ShardDims, ShardValue};
use einmesh_ir::{DimId, Literal, Program};
use einmesh_syntax::ast::{self, Decorator, DecoratorArg, DecoratorItem, DecoratorValue, ExprKind};

/// The argument of `@fsdp`, and of its option, that is no mesh axis.
const PREFETCH: &str = "prefetch";

/// Whether an argument has this key.
fn is_named(arg: &DecoratorArg, name: &str) -> bool {
    arg.key.as_ref().is_some_and(|key| key.text == name)
}

impl<'a> Ctx<'a> {
    pub fn decorators(
        &mut self,
        decorators: &'a [Decorator],
        into: &mut Directives,
        program: Option<&Program>,
    ) {
        self.reaching = true;
        self.each_decorator(decorators, into, program);
        self.reaching = false;
    }

    fn each_decorator(
        &mut self,
        decorators: &'a [Decorator],
        into: &mut Directives,
        program: Option<&Program>,
    ) {
        for decorator in decorators {
            let name = decorator.name.text.as_str();
            match name {
                "mesh" => self.mesh(decorator, into),
                "shard" => self.shard(decorator, into, program),
                "fsdp" => self.fsdp(decorator, into),
                "remat" => self.remat(decorator, into),
                "expect" => {
                    for arg in &decorator.args {
                        if let Some(expect) = self.expect(arg) {
                            into.expect.push(expect);
                        }
                    }
                }
                "precision" => self.precision(decorator, into),
                _ => self.no_decorator(decorator, DECORATORS),
            }
        }
    }

    pub fn no_decorator(&mut self, decorator: &Decorator, known: &[&str]) {
        let name = decorator.name.text.as_str();
        if let Some((code, help)) = not_yet(name) {
            self.report(
                Diagnostic::error(code, format!("`@{name}` is not compiled yet"))
                    .at(decorator.span, "")
                    .help(help),
            );
            return;
        }
        let mut error = match DECORATORS.contains(&name) {
            true => Diagnostic::error(codes::DECORATOR, format!("`@{name}` does not belong here"))
                .at(decorator.span, "before a statement only `@shard` is possible")
                .help(format!("put it into a plan: `plan p for entry {{ {} }}`", text(decorator))),
            false => {
                Diagnostic::error(codes::DECORATOR, format!("there is no decorator `@{name}`"))
                    .at(decorator.name.span, "")
            }
        };
        if !DECORATORS.contains(&name) {
            error = match suggest(name, known.iter().copied()) {
                Some(near) => error.help(format!("did you mean `@{near}`?")),
                None => error.help(format!(
                    "the decorators are {}",
                    known.iter().map(|k| format!("@{k}")).collect::<Vec<_>>().join(", ")
                )),
            };
        }
        self.report(error);
    }

    pub fn bad_argument(&mut self, span: Span, message: impl Into<String>, help: &str) {
        self.report(Diagnostic::error(codes::DECORATOR_ARGUMENT, message).at(span, "").help(help));
    }

    fn mesh(&mut self, decorator: &'a Decorator, into: &mut Directives) {
        if let Some(before) = into.mesh_span {
            self.conflict(
                decorator.span,
                before,
                "a plan has one `@mesh`",
                "put all axes into one: `@mesh(data: 2, tensor: 4)`",
            );
            return;
        }
        into.mesh_span = Some(decorator.span);
        for arg in &decorator.args {
            let help = "write `@mesh(data: 2, tensor: 4)`";
            let (Some(key), DecoratorValue::Expr(e)) = (&arg.key, &arg.value) else {
                self.bad_argument(arg.span, "`@mesh` names its axes with their sizes", help);
                continue;
            };
            if into.mesh.iter().any(|(n, _)| *n == key.text) {
                self.bad_argument(
                    key.span,
                    format!("the mesh axis `{}` is given twice", key.text),
                    help,
                );
                continue;
            }
            match self.whole_number(e) {
                Some(size) if size > 0 => into.mesh.push((key.text.clone(), size)),
                Some(_) => self.bad_argument(e.span, "a mesh axis has at least one device", help),
                None => {}
            }
        }
    }

    fn conflict(&mut self, again: Span, before: Span, message: &str, help: &str) {
        self.report(
            Diagnostic::error(codes::DECORATOR_CONFLICT, message)
                .at(again, "again here")
                .also(before, "first here")
                .help(help),
        );
    }

    /// A positive integer known when compiling.
    pub fn whole_number(&mut self, e: &'a ast::Expr) -> Option<u64> {
        match self.eval(e) {
            Val::Array(a) => match a.literal() {
                Some(Literal::Int(_, v)) if v >= 0 => u64::try_from(v).ok(),
                _ => {
                    self.bad_argument(
                        e.span,
                        "expected a whole number known when compiling",
                        "use integers, dims and arithmetic with them",
                    );
                    None
                }
            },
            _ => None,
        }
    }

    fn shard(
        &mut self,
        decorator: &'a Decorator,
        into: &mut Directives,
        program: Option<&Program>,
    ) {
        let pad = self.switch(decorator, "pad", true);
        let text = text(decorator);
        for arg in decorator.args.iter().filter(|a| !is_named(a, "pad")) {
            match self.placement(arg) {
                Some(PlacementKind::First(axis, dims)) => {
                    let before = into.shard.iter().find(|s| s.axis == axis).and_then(|s| s.span);
                    if let Some(before) = before {
                        let message = format!("the mesh axis `{axis}` is assigned twice");
                        let help = format!(
                            "list all its dims once, in order of precedence: `@shard({axis}: [A, B])`"
                        );
                        self.conflict(arg.span, before, &message, &help);
                        continue;
                    }
                    let spans = spans(&arg.value);
                    let dims = dims.into_iter().zip(spans.into_iter().map(Some)).collect();
                    into.shard.push(ShardDims {
                        axis,
                        dims,
                        pad,
                        text: text.clone(),
                        span: Some(arg.span),
                    });
                }
                Some(PlacementKind::Each(name, dims, open)) => {
                    let values = program.map(|p| Self::values_named(p, &name)).unwrap_or_default();
                    if let Some(program) = program
                        && values.is_empty()
                    {
                        let known: Vec<&str> =
                            program.values.values().map(|v| v.name.as_str()).collect();
                        let help = match suggest(&name, known) {
                            Some(near) => format!("did you mean `{near}`?"),
                            None => "name a value that the entry or a function it calls binds"
                                .to_owned(),
                        };
                        self.bad_argument(arg.span, format!("no value is called `{name}`"), &help);
                        continue;
                    }
                    into.shard_values.push(ShardValue {
                        values,
                        dims,
                        open,
                        text: text.clone(),
                        span: Some(arg.span),
                    });
                }
                None => {}
            }
        }
    }

    /// An argument that is true or false.
    fn switch(&mut self, decorator: &'a Decorator, name: &str, default: bool) -> bool {
        let Some(arg) = decorator.args.iter().find(|a| is_named(a, name)) else {
            return default;
        };
        let value = match &arg.value {
            DecoratorValue::Expr(e) => crate::index::bare(e),
            DecoratorValue::List(_) => None,
        };
        match value {
            Some("true") => true,
            Some("false") => false,
            _ => {
                let help = format!("write `{name}: {}`", !default);
                self.bad_argument(arg.span, format!("`{name}` is true or false"), &help);
                default
            }
        }
    }

    pub fn dim_argument(&mut self, e: &'a ast::Expr) -> Option<DimId> {
        match &e.kind {
            ExprKind::Name(_) => match self.dim_axis(e)?.dims[..] {
                [dim] => Some(dim),
                _ => None,
            },
            _ => {
                self.bad_argument(
                    e.span,
                    "expected the name of a dim",
                    "write `@shard(tensor: [H, F])`",
                );
                None
            }
        }
    }

    fn fsdp(&mut self, decorator: &'a Decorator, into: &mut Directives) {
        let help = "write `@fsdp(data: Params)`";
        let prefetch = self.switch(decorator, PREFETCH, Fsdp::PREFETCH);
        for arg in decorator.args.iter().filter(|a| !is_named(a, PREFETCH)) {
            let Some(key) = &arg.key else {
                self.bad_argument(
                    arg.span,
                    "`@fsdp` says which mesh axis splits the leaves of which record",
                    help,
                );
                continue;
            };
            let names: Vec<&'a ast::Expr> = match &arg.value {
                DecoratorValue::Expr(e) => vec![e],
                DecoratorValue::List(items) => items
                    .iter()
                    .filter_map(|i| match i {
                        DecoratorItem::Expr(e) => Some(e),
                        _ => None,
                    })
                    .collect(),
            };
            for e in names {
                let name = crate::index::bare(e).unwrap_or_default();
                if !self.is_record(name) {
                    self.no_record(name, e.span);
                    continue;
                }
                into.fsdp.push(Fsdp {
                    axis: key.text.clone(),
                    record: name.to_owned(),
                    prefetch,
                    text: text(decorator),
                    span: Some(arg.span),
                });
            }
        }
    }

    fn is_record(&self, name: &str) -> bool {
        let inst = self.frame().inst;
        matches!(self.lookup(inst, name), Some(Def::Record(_)))
    }

    fn no_record(&mut self, name: &str, span: Span) {
        let inst = self.frame().inst;
        let records = self.insts[inst]
            .scope
            .iter()
            .filter(|(_, (d, _))| matches!(d, Def::Record(_)))
            .map(|(n, _)| n.as_str());
        let known: Vec<&str> = records.collect();
        let help = match suggest(name, known.iter().copied()) {
            Some(near) => format!("did you mean `{near}`?"),
            None if known.is_empty() => {
                "declare the parameters as a record, and name that".to_owned()
            }
            None => format!("the records are {}", known.join(", ")),
        };
        self.bad_argument(span, format!("there is no record `{name}`"), &help);
    }

    fn remat(&mut self, decorator: &'a Decorator, into: &mut Directives) {
        let help = "write `@remat(attention, keep: [o])`";
        let mut functions: Vec<String> = Vec::new();
        let mut keep: Vec<String> = Vec::new();
        for arg in &decorator.args {
            match (&arg.key, &arg.value) {
                (None, DecoratorValue::Expr(e)) => match self.callee(e) {
                    Some(_) => functions.push(show::expr(e)),
                    None => {
                        let name = show::expr(e);
                        let inst = self.frame().inst;
                        let known = self.insts[inst]
                            .scope
                            .iter()
                            .filter(|(_, (d, _))| matches!(d, Def::Fn(_)))
                            .map(|(n, _)| n.as_str());
                        let help = suggest(&name, known)
                            .map_or(help.to_owned(), |near| format!("did you mean `{near}`?"));
                        self.bad_argument(e.span, format!("there is no function `{name}`"), &help);
                    }
                },
                (Some(key), DecoratorValue::List(items)) if key.text == "keep" => {
                    for item in items {
                        if let DecoratorItem::Expr(e) = item {
                            keep.push(show::expr(e));
                        }
                    }
                }
                _ => {
                    self.bad_argument(arg.span, "`@remat` names a function and what it keeps", help)
                }
            }
        }
        if functions.is_empty() && decorator.args.is_empty() {
            self.bad_argument(decorator.span, "`@remat` names a function", help);
        }
        for function in functions {
            into.remat.push(Remat { function, keep: keep.clone(), span: Some(decorator.span) });
        }
    }

    fn precision(&mut self, decorator: &'a Decorator, into: &mut Directives) {
        let help = "write `@precision(compute: bf16)`";
        if let Some((_, Some(before))) = into.precision {
            self.conflict(decorator.span, before, "a plan has one `@precision`", help);
            return;
        }
        let [DecoratorArg { key: Some(key), value: DecoratorValue::Expr(e), .. }] =
            &decorator.args[..]
        else {
            self.bad_argument(
                decorator.span,
                "`@precision` names the dtype that contractions compute in",
                help,
            );
            return;
        };
        let inst = self.frame().inst;
        let dtype = crate::index::bare(e).and_then(|n| self.dtype_named(inst, n));
        match dtype {
            Some(dtype) if dtype.is_float() && key.text == "compute" => {
                into.precision = Some((dtype, Some(decorator.span)))
            }
            _ => self.bad_argument(
                decorator.span,
                "`@precision` names the float dtype that contractions compute in",
                help,
            ),
        }
    }
}
