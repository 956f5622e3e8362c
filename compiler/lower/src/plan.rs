//! Plan blocks, statement decorators and the command line's replacements of them: names resolved,
//! arguments checked. No decorator is ignored.

use crate::ctx::Ctx;
use crate::names::{Def, suggest};
use crate::show;
use crate::values::Val;
use einmesh_diagnostics::codes::language as codes;
use einmesh_diagnostics::{Code, Diagnostic, Span};
use einmesh_ir::directive::{Directives, Fsdp, Remat, ShardDims, ShardValue};
use einmesh_ir::{DType, DimId, Literal, Program};
use einmesh_syntax::ast::{
    self, Decorator, DecoratorArg, DecoratorItem, DecoratorValue, ExprKind, Item,
};

/// The decorators that exist.
const DECORATORS: &[&str] = &[
    "mesh",
    "shard",
    "fsdp",
    "remat",
    "expect",
    "precision",
    "pipeline",
    "ring",
    "split",
    "auto",
];

/// Which dims of a value with the given dims are split, and over which axes.
type DimsOf = Box<dyn Fn(&[DimId]) -> Vec<(DimId, Vec<String>)>>;

/// What a statement's `@shard` asks of the values it binds.
#[derive(Clone, Debug)]
pub(crate) struct Placement {
    /// The mesh axis and the dims of which the first that is present takes it; or for each dim its axes.
    kind: PlacementKind,
    text: String,
    span: Span,
}

#[derive(Clone, Debug)]
enum PlacementKind {
    First(String, Vec<DimId>),
    Each(String, Vec<(DimId, Vec<String>)>, bool),
}

fn not_yet(name: &str) -> Option<(Code, &'static str)> {
    Some(match name {
        "pipeline" => (
            codes::PIPELINE,
            "place layers with `@shard` and `@fsdp` instead",
        ),
        "ring" => (
            codes::RING,
            "keep keys and values whole: shard queries only, `@shard(seq: T)`",
        ),
        "split" => (codes::SPLIT, "remove it: the reduction runs in one part"),
        "auto" => (codes::AUTO, "say what is split: `@shard(data: B)`"),
        _ => return None,
    })
}

/// A decorator as written.
pub(crate) fn text(decorator: &Decorator) -> String {
    let args = decorator.args.iter().map(|arg| {
        let value = match &arg.value {
            DecoratorValue::Expr(e) => show::expr(e),
            DecoratorValue::List(items) => {
                let items = items.iter().map(|item| match item {
                    DecoratorItem::Expr(e) => show::expr(e),
                    DecoratorItem::Placed(dim, axes) => {
                        let axes: Vec<&str> = axes.iter().map(|a| a.text.as_str()).collect();
                        match axes[..] {
                            [axis] => format!("{}: {axis}", dim.text),
                            _ => format!("{}: [{}]", dim.text, axes.join(", ")),
                        }
                    }
                    DecoratorItem::Rest(_) => "..".to_owned(),
                });
                format!("[{}]", items.collect::<Vec<_>>().join(", "))
            }
        };
        match &arg.key {
            Some(key) => format!("{}: {value}", key.text),
            None => value,
        }
    });
    let args: Vec<String> = args.collect();
    match args.is_empty() {
        true => format!("@{}", decorator.name.text),
        false => format!("@{}({})", decorator.name.text, args.join(", ")),
    }
}

impl<'a> Ctx<'a> {
    /// The plans of the root file.
    fn plans(&self) -> Vec<&'a ast::Plan> {
        let modules = self.modules;
        let items = modules
            .files
            .get(&modules.root)
            .into_iter()
            .flat_map(|f| &f.items);
        items
            .filter_map(|i| match i {
                Item::Plan(plan) => Some(plan),
                _ => None,
            })
            .collect()
    }

    /// Checks every plan of the root file.
    pub fn check_plans(&mut self, root: usize) {
        let mut names: Vec<&ast::Name> = Vec::new();
        for plan in self.plans() {
            if let Some(before) = names.iter().find(|n| n.text == plan.name.text) {
                self.report(
                    Diagnostic::error(
                        codes::DUPLICATE_NAME,
                        format!("there are two plans `{}`", plan.name.text),
                    )
                    .at(plan.name.span, "again here")
                    .also(before.span, "first here")
                    .help(format!("rename one of them, e.g. `{}2`", plan.name.text)),
                );
            }
            names.push(&plan.name);
            let entry = self.in_module(root, |ctx| {
                let (inst, name) = ctx.qualified(root, &plan.entry)?;
                let found = ctx.insts[inst].scope.get(name).copied();
                match found {
                    Some((Def::Fn(id), _)) => Some(id),
                    _ => {
                        let known: Vec<String> =
                            ctx.exported(inst).into_iter().map(|(n, _)| n).collect();
                        let span = plan.entry.last().map_or(plan.span, |n| n.span);
                        let mut error = Diagnostic::error(
                            codes::UNKNOWN_ENTRY,
                            format!(
                                "the plan `{}` is for `{name}`, which is no function",
                                plan.name.text
                            ),
                        )
                        .at(span, "");
                        error = match suggest(name, known.iter().map(String::as_str)) {
                            Some(near) => error.help(format!(
                                "did you mean `plan {} for {near}`?",
                                plan.name.text
                            )),
                            None => error
                                .help(format!("the exported functions are {}", known.join(", "))),
                        };
                        ctx.report(error);
                        None
                    }
                }
            });
            let _ = entry;
            let mut directives = Directives::default();
            self.in_module(root, |ctx| {
                ctx.decorators(&plan.decorators, &mut directives, None)
            });
            self.check_axes(&directives, false);
        }
    }

    /// The exported functions of a module, with their declarations.
    pub fn exported(&self, inst: usize) -> Vec<(String, usize)> {
        let own = self.insts[inst].own.iter();
        own.filter_map(|name| match self.insts[inst].scope.get(name) {
            Some((Def::Fn(id), _)) if self.fns[*id].1.export => Some((name.clone(), *id)),
            _ => None,
        })
        .collect()
    }

    /// What the chosen plan and the command line ask for.
    pub fn directives(&mut self, root: usize, entry: &str, program: &Program) -> Directives {
        let mut directives = Directives::default();
        let all = self.plans();
        let for_entry: Vec<&'a ast::Plan> = all
            .iter()
            .copied()
            .filter(|p| p.entry.last().is_some_and(|n| n.text == entry) && p.entry.len() == 1)
            .collect();
        let chosen = match &self.options.plan {
            Some(name) => {
                let found = for_entry.iter().find(|p| p.name.text == *name).copied();
                if found.is_none() {
                    let elsewhere = all.iter().find(|p| p.name.text == *name);
                    let mut error = Diagnostic::error(
                        codes::UNKNOWN_PLAN,
                        format!("there is no plan `{name}` for `{entry}`"),
                    );
                    if let Some(other) = elsewhere {
                        let for_other = other.entry.last().map_or("", |n| &n.text);
                        error = error.at(other.name.span, format!("this one is for `{for_other}`"));
                    }
                    let known: Vec<&str> = for_entry.iter().map(|p| p.name.text.as_str()).collect();
                    error = match (suggest(name, known.iter().copied()), known.is_empty()) {
                        (Some(near), _) => error.help(format!("did you mean `--plan {near}`?")),
                        (None, false) => error.help(format!("its plans are {}", known.join(", "))),
                        (None, true) => error.help(format!(
                            "write one: `plan {name} for {entry} {{ @mesh(data: 2) }}`"
                        )),
                    };
                    self.report(error);
                }
                found
            }
            None => match for_entry[..] {
                [only] => Some(only),
                _ => None,
            },
        };
        if let Some(plan) = chosen {
            directives.plan = Some(plan.name.text.clone());
            self.in_module(root, |ctx| {
                ctx.decorators(&plan.decorators, &mut directives, Some(program))
            });
        }
        let loose = self.options.overrides.mesh.is_some();
        self.replace(root, &mut directives);
        self.check_axes(&directives, loose);
        let mesh: Vec<String> = directives.mesh.iter().map(|(n, _)| n.clone()).collect();
        directives.shard.retain(|s| mesh.contains(&s.axis));
        directives.fsdp.retain(|f| mesh.contains(&f.axis));
        let mut placed = std::mem::take(&mut self.placed);
        // A statement's own placement goes before the plan's.
        placed.append(&mut directives.shard_values);
        for value in &mut placed {
            for (_, axes) in &mut value.dims {
                axes.retain(|a| mesh.contains(a));
            }
        }
        directives.shard_values = placed;
        directives
    }

    fn decorators(
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

    fn no_decorator(&mut self, decorator: &Decorator, known: &[&str]) {
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
                .at(
                    decorator.span,
                    "before a statement only `@shard` is possible",
                )
                .help(format!(
                    "put it into a plan: `plan p for entry {{ {} }}`",
                    text(decorator)
                )),
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
                    known
                        .iter()
                        .map(|k| format!("@{k}"))
                        .collect::<Vec<_>>()
                        .join(", ")
                )),
            };
        }
        self.report(error);
    }

    pub fn bad_argument(&mut self, span: Span, message: impl Into<String>, help: &str) {
        self.report(
            Diagnostic::error(codes::DECORATOR_ARGUMENT, message)
                .at(span, "")
                .help(help),
        );
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
        let pad = self.pad(decorator);
        let text = text(decorator);
        for arg in decorator
            .args
            .iter()
            .filter(|a| a.key.as_ref().is_none_or(|k| k.text != "pad"))
        {
            match self.placement(arg) {
                Some(PlacementKind::First(axis, dims)) => {
                    let before = into
                        .shard
                        .iter()
                        .find(|s| s.axis == axis)
                        .and_then(|s| s.span);
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
                    let values = program
                        .map(|p| Self::values_named(p, &name))
                        .unwrap_or_default();
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

    fn pad(&mut self, decorator: &'a Decorator) -> bool {
        let arg = decorator
            .args
            .iter()
            .find(|a| a.key.as_ref().is_some_and(|k| k.text == "pad"));
        match arg.map(|a| (&a.value, a.span)) {
            None => true,
            Some((DecoratorValue::Expr(e), span)) => match crate::index::bare(e) {
                Some("true") => true,
                Some("false") => false,
                _ => {
                    self.bad_argument(span, "`pad` is true or false", "write `pad: false`");
                    true
                }
            },
            Some((_, span)) => {
                self.bad_argument(span, "`pad` is true or false", "write `pad: false`");
                true
            }
        }
    }

    /// `axis: [A, B]`, or `value: [A: axis, ..]`.
    fn placement(&mut self, arg: &'a DecoratorArg) -> Option<PlacementKind> {
        let help =
            "write `@shard(data: B, tensor: [H, F])`, or for one value `@shard(x: [B: data, ..])`";
        let Some(key) = &arg.key else {
            self.bad_argument(
                arg.span,
                "`@shard` says which mesh axis splits which dims",
                help,
            );
            return None;
        };
        let items: Vec<&'a DecoratorItem> = match &arg.value {
            DecoratorValue::Expr(e) => {
                return Some(PlacementKind::First(
                    key.text.clone(),
                    vec![self.dim_argument(e)?],
                ));
            }
            DecoratorValue::List(items) => items.iter().collect(),
        };
        let each = items.iter().any(|i| !matches!(i, DecoratorItem::Expr(_)));
        let mut dims = Vec::new();
        let mut placed = Vec::new();
        let mut open = false;
        let mut ok = true;
        for item in items {
            match item {
                DecoratorItem::Expr(e) if !each => match self.dim_argument(e) {
                    Some(dim) => dims.push(dim),
                    None => ok = false,
                },
                DecoratorItem::Expr(e) => {
                    self.bad_argument(e.span, "a dim without the mesh axis that splits it", help);
                    ok = false;
                }
                DecoratorItem::Placed(name, axes) => {
                    let e = ast::Expr {
                        kind: ExprKind::Name(name.text.clone()),
                        span: name.span,
                    };
                    match self.dim_axis(&e).map(|a| a.dims) {
                        Some(found) if found.len() == 1 => {
                            placed.push((found[0], axes.iter().map(|a| a.text.clone()).collect()))
                        }
                        _ => ok = false,
                    }
                }
                DecoratorItem::Rest(_) => open = true,
            }
        }
        match (ok, each) {
            (false, _) => None,
            (true, true) => Some(PlacementKind::Each(key.text.clone(), placed, open)),
            (true, false) => Some(PlacementKind::First(key.text.clone(), dims)),
        }
    }

    fn dim_argument(&mut self, e: &'a ast::Expr) -> Option<DimId> {
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
        for arg in &decorator.args {
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
                _ => self.bad_argument(
                    arg.span,
                    "`@remat` names a function and what it keeps",
                    help,
                ),
            }
        }
        if functions.is_empty() && decorator.args.is_empty() {
            self.bad_argument(decorator.span, "`@remat` names a function", help);
        }
        for function in functions {
            into.remat.push(Remat {
                function,
                keep: keep.clone(),
                span: Some(decorator.span),
            });
        }
    }

    fn precision(&mut self, decorator: &'a Decorator, into: &mut Directives) {
        let help = "write `@precision(compute: bf16)`";
        if let Some((_, Some(before))) = into.precision {
            self.conflict(decorator.span, before, "a plan has one `@precision`", help);
            return;
        }
        let [
            DecoratorArg {
                key: Some(key),
                value: DecoratorValue::Expr(e),
                ..
            },
        ] = &decorator.args[..]
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

    /// Applies the command line's replacements.
    fn replace(&mut self, root: usize, directives: &mut Directives) {
        self.reaching = true;
        let overrides = self.options.overrides.clone();
        if let Some(mesh) = overrides.mesh {
            directives.mesh = mesh;
            directives.mesh_span = None;
        }
        if let Some(shard) = overrides.shard {
            directives.shard.clear();
            directives.shard_values.clear();
            for (axis, names) in shard {
                let text = format!("--shard {axis}={}", names.join("+"));
                let mut dims = Vec::new();
                for name in &names {
                    match self.lookup(root, name) {
                        Some(Def::Dim(dim)) => dims.push((self.same_dim(dim), None)),
                        _ => {
                            let known = self.insts[root]
                                .scope
                                .iter()
                                .filter(|(_, (d, _))| matches!(d, Def::Dim(_)))
                                .map(|(n, _)| n.as_str());
                            let mut error = Diagnostic::error(
                                codes::DECORATOR_ARGUMENT,
                                format!("`{text}`: there is no dim `{name}`"),
                            );
                            if let Some(near) = suggest(name, known) {
                                error = error.help(format!("did you mean `{near}`?"));
                            }
                            self.report(error);
                        }
                    }
                }
                directives.shard.push(ShardDims {
                    axis,
                    dims,
                    pad: true,
                    text,
                    span: None,
                });
            }
        }
        if let Some(fsdp) = overrides.fsdp {
            directives.fsdp.clear();
            for (axis, record) in fsdp {
                let text = format!("--fsdp {axis}={record}");
                if !matches!(self.lookup(root, &record), Some(Def::Record(_))) {
                    self.report(
                        Diagnostic::error(
                            codes::DECORATOR_ARGUMENT,
                            format!("`{text}`: there is no record `{record}`"),
                        )
                        .help("name a record type of the file, e.g. `--fsdp data=Params`"),
                    );
                }
                directives.fsdp.push(Fsdp {
                    axis,
                    record,
                    text,
                    span: None,
                });
            }
        }
        if let Some(precision) = overrides.precision {
            directives.precision = precision.map(|dtype: DType| (dtype, None));
        }
        self.reaching = false;
    }

    /// Reports mesh axes that no mesh has. With `loose`, because the command line replaced the mesh, the
    /// file's own decorators may name axes that are not there: they split nothing.
    fn check_axes(&mut self, directives: &Directives, loose: bool) {
        if directives.mesh.is_empty() {
            return;
        }
        let mesh: Vec<&str> = directives.mesh.iter().map(|(n, _)| n.as_str()).collect();
        let shards = directives
            .shard
            .iter()
            .map(|s| (s.axis.clone(), s.span, s.text.clone()));
        let fsdp = directives
            .fsdp
            .iter()
            .map(|s| (s.axis.clone(), s.span, s.text.clone()));
        let values = directives.shard_values.iter().flat_map(|s| {
            s.dims
                .iter()
                .flat_map(|(_, a)| a.iter().map(|a| (a.clone(), s.span, s.text.clone())))
        });
        let all: Vec<(String, Option<Span>, String)> = shards.chain(fsdp).chain(values).collect();
        for (axis, span, text) in all {
            if mesh.contains(&axis.as_str()) || (loose && span.is_some()) {
                continue;
            }
            let mut error =
                Diagnostic::error(codes::MESH_AXIS, format!("the mesh has no axis `{axis}`"));
            error = match span {
                Some(span) => error.at(span, "used here"),
                None => error.note(format!("in `{text}`")),
            };
            if let Some(mesh_span) = directives.mesh_span {
                error = error.also(mesh_span, "the mesh");
            }
            error = match suggest(&axis, mesh.iter().copied()) {
                Some(near) => error.help(format!("did you mean `{near}`?")),
                None => error.help(format!("its axes are {}", mesh.join(", "))),
            };
            self.report(error);
        }
    }

    /// Checks the decorators before a statement.
    pub fn statement_decorators(&mut self, decorators: &'a [Decorator]) -> Vec<Placement> {
        let mut placements = Vec::new();
        for decorator in decorators {
            if decorator.name.text != "shard" {
                self.no_decorator(decorator, &["shard"]);
                continue;
            }
            for arg in &decorator.args {
                if let Some(kind) = self.placement(arg) {
                    placements.push(Placement {
                        kind,
                        text: text(decorator),
                        span: arg.span,
                    });
                }
            }
        }
        placements
    }

    /// Notes what a statement's decorators ask of the variable it bound.
    pub fn place(&mut self, name: &str, placements: Vec<Placement>) {
        for placement in placements {
            let mut leaves: Vec<(einmesh_ir::ValueId, Vec<DimId>)> = Vec::new();
            let Some(var) = self.frame().vars.get(name).cloned() else {
                continue;
            };
            var.val.leaves("", &mut |_, leaf| {
                if let einmesh_ir::Expr::Load(load) = &leaf.body {
                    leaves.push((load.value, self.program.values[load.value].dims.clone()));
                }
            });
            let (dims_of, open): (DimsOf, bool) = match placement.kind {
                PlacementKind::First(axis, dims) => (
                    Box::new(move |own: &[DimId]| {
                        let first = dims.iter().find(|d| own.contains(d));
                        first
                            .map(|d| (*d, vec![axis.clone()]))
                            .into_iter()
                            .collect()
                    }),
                    true,
                ),
                PlacementKind::Each(key, dims, open) => {
                    if key != name {
                        let help = format!("write `@shard({name}: …)`, or put it into a plan");
                        self.bad_argument(
                            placement.span,
                            format!("the statement does not bind `{key}`"),
                            &help,
                        );
                        continue;
                    }
                    (Box::new(move |_: &[DimId]| dims.clone()), open)
                }
            };
            for (value, own) in leaves {
                let dims = dims_of(&own);
                if !dims.is_empty() || !open {
                    self.placed.push(ShardValue {
                        values: vec![value],
                        dims,
                        open,
                        text: placement.text.clone(),
                        span: Some(placement.span),
                    });
                }
            }
        }
    }
}

/// The spans of a decorator value's elements.
fn spans(value: &DecoratorValue) -> Vec<Span> {
    match value {
        DecoratorValue::Expr(e) => vec![e.span],
        DecoratorValue::List(items) => items
            .iter()
            .map(|i| match i {
                DecoratorItem::Expr(e) => e.span,
                DecoratorItem::Placed(name, _) => name.span,
                DecoratorItem::Rest(span) => *span,
            })
            .collect(),
    }
}
