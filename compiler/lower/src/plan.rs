//! Plan blocks, statement decorators and the command line's replacements of them: names resolved,
//! arguments checked. No decorator is ignored.

use crate::ctx::Ctx;
use crate::names::{Def, suggest};
use crate::show;
use einmesh_diagnostics::codes::language as codes;
use einmesh_diagnostics::{Code, Diagnostic, Span};
use einmesh_ir::directive::{Directives, Fsdp, Remat, ShardDims};
use einmesh_ir::{DType, DimId, Program};
use einmesh_syntax::ast::{
    self, Decorator, DecoratorArg, DecoratorItem, DecoratorValue, ExprKind, Item,
};

/// The decorators that exist.
pub(crate) const DECORATORS: &[&str] =
    &["mesh", "shard", "fsdp", "remat", "expect", "precision", "pipeline", "ring", "split", "auto"];

/// Which dims of a value with the given dims are split, and over which axes.
pub(crate) type DimsOf = Box<dyn Fn(&[DimId]) -> Vec<(DimId, Vec<String>)>>;

/// What a statement's `@shard` asks of the values it binds.
#[derive(Clone, Debug)]
pub(crate) struct Placement {
    /// The mesh axis and the dims of which the first that is present takes it; or for each dim its axes.
    pub kind: PlacementKind,
    pub text: String,
    pub span: Span,
}

#[derive(Clone, Debug)]
pub(crate) enum PlacementKind {
    First(String, Vec<DimId>),
    Each(String, Vec<(DimId, Vec<String>)>, bool),
}

pub(crate) fn not_yet(name: &str) -> Option<(Code, &'static str)> {
    Some(match name {
        "pipeline" => (codes::PIPELINE, "place layers with `@shard` and `@fsdp` instead"),
        "ring" => (codes::RING, "keep keys and values whole: shard queries only, `@shard(seq: T)`"),
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
        let items = modules.files.get(&modules.root).into_iter().flat_map(|f| &f.items);
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
            self.in_module(root, |ctx| ctx.decorators(&plan.decorators, &mut directives, None));
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

    /// The plan of an entry: the one that is named or the only one, its own or else that of the entry that it is placed as.
    fn chosen_plan(&self, entry: &str) -> Result<Option<&'a ast::Plan>, Diagnostic> {
        let all = self.plans();
        let entries = std::iter::once(entry).chain(self.options.plan_of.as_deref());
        let of = |entry: &str| -> Vec<&'a ast::Plan> {
            all.iter().copied().filter(|plan| is_for(plan, entry)).collect()
        };
        let Some(name) = &self.options.plan else {
            let plans = entries.map(of).find(|plans| !plans.is_empty());
            return Ok(match plans.as_deref() {
                Some([only]) => Some(*only),
                _ => None,
            });
        };
        let found = entries.flat_map(of).find(|plan| plan.name.text == *name);
        found.map(Some).ok_or_else(|| unknown_plan(name, entry, &all))
    }

    /// What the plan of an entry has gradients compute again. Mistakes are reported when all of it is read.
    pub fn rematerialised(&mut self, root: usize, entry: &str) -> Vec<Remat> {
        let chosen = self.chosen_plan(entry).ok().flatten();
        let mut directives = Directives::default();
        self.quiet += 1;
        for decorator in chosen.into_iter().flat_map(|plan| &plan.decorators) {
            if decorator.name.text == "remat" {
                let one = std::slice::from_ref(decorator);
                self.in_module(root, |ctx| ctx.decorators(one, &mut directives, None));
            }
        }
        self.quiet -= 1;
        directives.remat
    }

    /// What the chosen plan and the command line ask for.
    pub fn directives(&mut self, root: usize, entry: &str, program: &Program) -> Directives {
        let mut directives = Directives::default();
        let chosen = self.chosen_plan(entry).unwrap_or_else(|error| {
            self.report(error);
            None
        });
        if let Some(plan) = chosen {
            directives.plan = Some(plan.name.text.clone());
            self.in_module(root, |ctx| {
                ctx.decorators(&plan.decorators, &mut directives, Some(program))
            });
            if !is_for(plan, entry) {
                directives.expect.clear();
            }
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

    /// `axis: [A, B]`, or `value: [A: axis, ..]`.
    pub fn placement(&mut self, arg: &'a DecoratorArg) -> Option<PlacementKind> {
        let help =
            "write `@shard(data: B, tensor: [H, F])`, or for one value `@shard(x: [B: data, ..])`";
        let Some(key) = &arg.key else {
            self.bad_argument(arg.span, "`@shard` says which mesh axis splits which dims", help);
            return None;
        };
        let items: Vec<&'a DecoratorItem> = match &arg.value {
            DecoratorValue::Expr(e) => {
                return Some(PlacementKind::First(key.text.clone(), vec![self.dim_argument(e)?]));
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
                    let e = ast::Expr { kind: ExprKind::Name(name.text.clone()), span: name.span };
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
                directives.shard.push(ShardDims { axis, dims, pad: true, text, span: None });
            }
        }
        if let Some(fsdp) = overrides.fsdp {
            directives.fsdp.clear();
            let prefetch = overrides.prefetch.unwrap_or(Fsdp::PREFETCH);
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
                directives.fsdp.push(Fsdp { axis, record, prefetch, text, span: None });
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
        let shards = directives.shard.iter().map(|s| (s.axis.clone(), s.span, s.text.clone()));
        let fsdp = directives.fsdp.iter().map(|s| (s.axis.clone(), s.span, s.text.clone()));
        let values = directives.shard_values.iter().flat_map(|s| {
            s.dims.iter().flat_map(|(_, a)| a.iter().map(|a| (a.clone(), s.span, s.text.clone())))
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
}

/// The spans of a decorator value's elements.
pub(crate) fn spans(value: &DecoratorValue) -> Vec<Span> {
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

fn is_for(plan: &ast::Plan, entry: &str) -> bool {
    matches!(&plan.entry[..], [only] if only.text == entry)
}

fn unknown_plan(name: &str, entry: &str, all: &[&ast::Plan]) -> Diagnostic {
    let error = format!("there is no plan `{name}` for `{entry}`");
    let mut error = Diagnostic::error(codes::UNKNOWN_PLAN, error);
    if let Some(other) = all.iter().find(|p| p.name.text == name) {
        let for_other = other.entry.last().map_or("", |n| &n.text);
        error = error.at(other.name.span, format!("this one is for `{for_other}`"));
    }
    let known: Vec<&str> =
        all.iter().filter(|p| is_for(p, entry)).map(|p| p.name.text.as_str()).collect();
    match (suggest(name, known.iter().copied()), known.is_empty()) {
        (Some(near), _) => error.help(format!("did you mean `--plan {near}`?")),
        (None, false) => error.help(format!("its plans are {}", known.join(", "))),
        (None, true) => {
            error.help(format!("write one: `plan {name} for {entry} {{ @mesh(data: 2) }}`"))
        }
    }
}
