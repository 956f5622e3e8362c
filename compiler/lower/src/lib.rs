//! Lowering: from parsed files to one [`Program`](einmesh_ir::Program) of comprehensions and loops.
//!
//! [`check`] reports what is wrong with a file and what it uses; [`lower`] makes the program of one
//! entry, with what its plan and the command line ask for. On the way names are resolved, the range of
//! every index is found, Einstein's rule is applied term by term, functions are expanded where they are
//! called, records become their leaves and product axes their factors.
//!
//! How values are represented while this happens: an array is a *template*, an expression over index
//! variables ([`values::Array`](values)). Subscripting substitutes. An index of the surroundings may
//! occur in a template, which is how `f[i](…)` maps over every other index: nothing else has to be done.
//! Binding a name appends a comprehension, unless the template is a mere slice or permutation of a
//! stored value, which stays an alias.
//!
//! Invariants:
//! * a mistake is reported once, where it is made; what depends on it is [`values::Val::Poison`](values)
//!   and silent;
//! * loops stay loops, so that the program grows with distinct layers, not with depth;
//! * the program verifies, and the same files and options give the same program.
//!
//! What this crate must not know: disks (the driver reads files), placements (`@shard` is only
//! resolved), targets. Decisions: `compiler/decisions/001-calls-are-inlined.md`.

mod builtins;
mod call;
mod checkpoint;
mod cleanup;
mod constants;
mod ctx;
mod decorators;
mod dims;
mod einstein;
mod emit;
mod entry;
mod expect;
mod expr;
mod generics;
mod grad;
mod index;
mod initial;
mod lifting;
mod loops;
mod modules;
mod names;
mod options;
mod parts;
mod placement;
mod plan;
mod precision;
mod quote;
mod records;
mod reduce;
mod rng;
mod scalar;
mod scan;
mod show;
mod signature;
mod stmts;
mod stores;
mod subscript;
mod types;
mod values;

pub use call::type_text;
pub use modules::{Modules, imports, resolve};
pub use options::{Constant, Lowered, Options, Overrides};
pub use signature::{Argument, AxisType, Signature, Type};

use crate::ctx::{Ctx, Frame};
use crate::names::Def;
use crate::types::is_any_record;
use einmesh_diagnostics::codes::language as codes;
use einmesh_diagnostics::{Diagnostic, Diagnostics};
use einmesh_ir::Block;
use einmesh_syntax::ast::{FnResult, Item};

/// Checks every declaration of the root file, and what its functions use. Dims without extents get
/// distinct stand-ins, so that no `-D` is needed.
pub fn check(modules: &Modules, options: &Options) -> Diagnostics {
    let mut ctx = Ctx::new(modules, options, true);
    let root = ctx.load_files();
    ctx.frames.push(Frame { inst: root, ..Frame::default() });
    ctx.apply_defines(root, None);
    let own: Vec<Def> = ctx.insts[root]
        .own
        .iter()
        .filter_map(|n| ctx.insts[root].scope.get(n))
        .map(|(d, _)| *d)
        .collect();
    for def in own.iter().copied() {
        match def {
            Def::Dim(dim) => {
                ctx.resolve_dim(dim);
            }
            Def::Const(id) => {
                ctx.const_value(id);
            }
            Def::Record(id) => ctx.check_record(id),
            _ => {}
        }
    }
    for def in own {
        if let Def::Fn(id) = def
            && ctx.may_stand_alone(id)
        {
            ctx.lower_entry(id);
        }
    }
    ctx.check_plans(root);
    ctx.diagnostics
}

/// Lowers an entry. Without errors the program is there, and verifies.
pub fn lower(modules: &Modules, options: &Options) -> (Option<Lowered>, Diagnostics) {
    let mut ctx = Ctx::new(modules, options, false);
    let root = ctx.load_files();
    ctx.frames.push(Frame { inst: root, ..Frame::default() });
    let Some(entry) = ctx.find_entry(root) else {
        return (None, ctx.diagnostics);
    };
    if !ctx.may_stand_alone(entry) {
        return (None, ctx.diagnostics);
    }
    let function = ctx.fns[entry].1;
    ctx.apply_defines(root, Some(function));
    ctx.remat = ctx.rematerialised(root, &function.name.text);
    let mut program = ctx.lower_entry(entry);
    ctx.resolve_used(&program);
    let directives = ctx.directives(root, &function.name.text, &program);
    ctx.report_missing();
    if ctx.diagnostics.has_errors() {
        return (None, ctx.diagnostics);
    }
    ctx.resolve_placed(&directives);
    let declared = std::mem::take(&mut ctx.declared);
    let signature = ctx.signature(declared);
    program.dims = ctx.program_dims();
    grad::forward(&mut program, &ctx.copies);
    if let Some((dtype, _)) = directives.precision {
        precision::apply(&mut program, dtype);
    }
    let mut lowered = Lowered { program, directives, signature };
    cleanup::clean(&mut lowered);
    (Some(lowered), ctx.diagnostics)
}

/// The exported functions of the root file: names, and signatures as written.
pub fn entries(modules: &Modules) -> Vec<(String, String)> {
    let items = modules.files.get(&modules.root).into_iter().flat_map(|f| &f.items);
    let functions = items.filter_map(|i| match i {
        Item::Fn(f) if f.export => Some(f),
        _ => None,
    });
    let signatures = functions.map(|f| {
        let result = match &f.result {
            FnResult::Single(ty) => call::type_text(ty),
            FnResult::Named(all) => {
                let all = all.iter().map(|(n, ty)| format!("{}: {}", n.text, call::type_text(ty)));
                format!("({})", all.collect::<Vec<_>>().join(", "))
            }
        };
        (f.name.text.clone(), format!("{}({}) -> {result}", f.name.text, call::parameters(f)))
    });
    signatures.collect()
}

impl<'a> Ctx<'a> {
    /// The function that the options name, if it can be an entry.
    fn find_entry(&mut self, root: usize) -> Option<usize> {
        let name = self.options.entry.as_str();
        let entries = entries(self.modules);
        let found = self.insts.get(root).and_then(|i| i.scope.get(name)).copied();
        if let Some((Def::Fn(id), _)) = found {
            let function = self.fns[id].1;
            if !function.export {
                let span = function.name.span;
                self.report(
                    Diagnostic::error(codes::UNKNOWN_ENTRY, format!("`{name}` is not exported"))
                        .at(span, "declared without `export`")
                        .help(format!("write `export fn {name}(…)`")),
                );
                return None;
            }
            return Some(id);
        }
        let mut error =
            Diagnostic::error(codes::UNKNOWN_ENTRY, format!("there is no entry `{name}`"));
        error = match names::suggest(name, entries.iter().map(|(n, _)| n.as_str())) {
            Some(near) => error.help(format!("did you mean `--entry {near}`?")),
            None if entries.is_empty() => {
                error.help("the file exports no function: write `export fn …`")
            }
            None => {
                let list: Vec<String> = entries.iter().map(|(_, s)| format!("  {s}")).collect();
                error.help(format!("the entries are\n{}", list.join("\n")))
            }
        };
        self.report(error);
        None
    }

    /// Whether a function can be checked by itself: one on `record` is where it is called, since what can be done with
    /// a record depends on its leaves.
    fn may_stand_alone(&mut self, id: usize) -> bool {
        let function = self.fns[id].1;
        let Some(generic) = function.params.iter().find(|p| is_any_record(&p.ty)) else {
            return true;
        };
        if function.export {
            let name = &function.name.text;
            self.report(
                Diagnostic::error(
                    codes::RECORD_TYPE,
                    format!("`{name}` is exported, so its arguments have types that are known"),
                )
                .at(generic.ty.span, "stands for any record")
                .help(format!("name the type of `{}`, or remove `export`", generic.name.text)),
            );
        }
        false
    }

    /// Checks a record's fields, with stand-ins for its generic dims.
    fn check_record(&mut self, id: usize) {
        let record = self.records[id].1;
        let args = record.generics.iter().map(|g| {
            let extent = [9, 6, 10, 14][self.dims.len() % 4];
            let resolved = dims::Resolved { stand_in: true, ..dims::Resolved::fixed(extent) };
            dims::Axis::one(self.dims.push(dims::DimInfo::known(&g.text, Some(resolved))))
        });
        let args: Vec<dims::Axis> = args.collect();
        self.record_ty(id, args.clone(), Vec::new(), record.span);
        for field in &record.fields {
            if let Some(init) = &field.init {
                self.initialiser(id, &args, init);
            }
        }
        self.blocks = vec![Block::default()];
    }
}
