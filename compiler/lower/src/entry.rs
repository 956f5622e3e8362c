//! Entries: their arguments become inputs, their results and `inout` arguments outputs.

use crate::ctx::{Ctx, DimRef, Frame, Var};
use crate::dims::{Axis, DimInfo, Resolved};
use crate::options::Constant;
use crate::types::Ty;
use crate::values::{Array, Elem, RecordVal, Val};
use einmesh_diagnostics::Diagnostic;
use einmesh_diagnostics::codes::language as codes;
use einmesh_ir::{Block, DimId, Directives, Input, Output, Program, Value, ValueId};
use einmesh_syntax::ast::{self, FnResult};
use std::collections::BTreeSet;

impl<'a> Ctx<'a> {
    /// Lowers a function as an entry into a fresh program.
    pub fn lower_entry(&mut self, id: usize) -> Program {
        let (inst, function) = self.fns[id];
        self.program = Program { name: function.name.text.clone(), ..Program::default() };
        self.blocks = vec![Block::default()];
        self.entries.clear();
        self.copies.clear();
        self.stops.clear();
        self.expansions = 0;
        self.drawn.clear();
        self.placed.clear();
        self.frames.push(Frame { inst, ..Frame::default() });
        let (generics, roles) = self.entry_generics(function);
        self.frame_mut().generics = generics;
        self.frame_mut().roles = roles;
        self.frame_mut().float = Some(einmesh_ir::DType::F32);
        self.frame_mut().differentiated = crate::grad::differentiated(function);
        self.calls.push(id);
        for param in &function.params {
            let val = self.parameter(param);
            self.frame_mut()
                .vars
                .insert(param.name.text.clone(), Var { val, span: param.name.span });
        }
        self.declared = self.declared(function);
        if let Some(result) = self.run_body(function) {
            self.results(function, result);
            for param in function.params.iter().filter(|p| p.inout) {
                self.give_back(param);
            }
        }
        self.calls.pop();
        self.frames.pop();
        let body = self.blocks.pop().unwrap_or_default();
        self.blocks = vec![Block::default()];
        self.program.body = body;
        std::mem::take(&mut self.program)
    }

    /// Dims for an entry's generics: given by `-D`, missing, or, when only checking, stand-ins.
    #[allow(clippy::type_complexity)]
    fn entry_generics(
        &mut self,
        function: &'a ast::Fn,
    ) -> (Vec<(String, DimRef)>, Vec<(DimId, DimId)>) {
        let mut generics: Vec<(String, DimRef)> = Vec::new();
        let mut roles = Vec::new();
        for (name, role_of) in &function.generics {
            let given = self.options.dims.get(&name.text).copied();
            let of = role_of.as_ref().and_then(|of| {
                let known =
                    generics.iter().find(|(n, _)| *n == of.text).map(|(_, d)| d.axis.dims[0]);
                known.or_else(|| {
                    let e = ast::Expr { kind: ast::ExprKind::Name(of.text.clone()), span: of.span };
                    self.dim_axis(&e).and_then(|a| a.dims.first().copied())
                })
            });
            let outer = of.map(|of| self.resolve_dim(of));
            let extent = match (given, &outer) {
                (Some(given), _) => given.clamp(1, crate::dims::MAX_EXTENT),
                (None, Some(outer)) => outer.extent,
                (None, None) => {
                    if !self.checking {
                        self.missing.insert(name.text.clone(), Some(name.span));
                    }
                    [9, 6, 10, 14, 18][self.dims.len() % 5]
                }
            };
            let symbolic = match (given, &outer) {
                (None, Some(outer)) => outer.symbolic,
                _ => self.options.symbolic.contains(&name.text),
            };
            let stand_in = given.is_none();
            let resolved = Resolved { stand_in, symbolic, role_of: of, ..Resolved::fixed(extent) };
            let mut info = DimInfo::known(&name.text, Some(resolved));
            info.span = Some(name.span);
            let dim = self.dims.push(info);
            if let Some(of) = of {
                roles.push((dim, of));
            }
            generics.push((name.text.clone(), DimRef { axis: Axis::one(dim), guard: None }));
        }
        (generics, roles)
    }

    /// A parameter's value: a constant if it has a default, inputs otherwise.
    fn parameter(&mut self, param: &'a ast::Param) -> Val {
        let Some(ty) = self.ty(&param.ty) else {
            return Val::Poison;
        };
        if let Some(default) = &param.default {
            let name = &param.name.text;
            let int =
                self.options.dims.get(name).and_then(|v| i64::try_from(*v).ok()).map(Constant::Int);
            let value = match self.options.consts.get(name).copied().or(int) {
                Some(constant) => Val::Array(crate::expr::constant_array(constant)),
                None => {
                    let inst = self.frame().inst;
                    self.in_module(inst, |ctx| ctx.eval(default))
                }
            };
            let because = Some((param.ty.span, "declared here".to_owned()));
            return self.coerce(
                value,
                &ty,
                default.span,
                &format!("the default of `{name}`"),
                because,
            );
        }
        let leaves = self.leaves_of(&param.name.text, &ty);
        let mut arrays: Vec<Array> = Vec::new();
        for leaf in leaves {
            let mut dims: Vec<DimId> = Vec::new();
            for dim in leaf.axes.iter().flat_map(|a| &a.dims) {
                let distinct = if dims.contains(dim) { self.alias_dim(*dim, &dims) } else { *dim };
                dims.push(distinct);
            }
            let origin = einmesh_ir::Origin { span: Some(param.name.span), ..Default::default() };
            let value = self.program.values.push(Value {
                name: leaf.path.clone(),
                dtype: leaf.dtype,
                dims,
                origin,
            });
            let axes = leaf.widths();
            self.program.inputs.push(Input {
                value,
                path: leaf.path,
                tensor: leaf.tensor,
                records: leaf.records,
                axes,
                donated: param.inout,
            });
            let params = self.fresh_params(&leaf.axes);
            arrays.push(self.array_of(value, leaf.axes, &[], params));
        }
        let mut arrays = arrays.into_iter();
        filled(&ty, &mut arrays)
    }

    fn results(&mut self, function: &'a ast::Fn, result: Val) {
        let named: Vec<(String, &'a ast::Type)> = match &function.result {
            FnResult::Single(ty) => vec![("out".to_owned(), ty)],
            FnResult::Named(all) => all.iter().map(|(n, ty)| (n.text.clone(), ty)).collect(),
        };
        let values: Vec<Val> = match result {
            Val::Tuple(parts) => parts.into_iter().map(|(_, v)| v).collect(),
            other => vec![other],
        };
        for ((name, ty), value) in named.into_iter().zip(values) {
            if let Some(ty) = self.ty(ty) {
                self.output(&name, &ty, value, false);
            }
        }
    }

    fn give_back(&mut self, param: &'a ast::Param) {
        let Some(ty) = self.ty(&param.ty) else { return };
        let Some(var) = self.frame().vars.get(&param.name.text).cloned() else {
            return;
        };
        let what = format!("the `inout` parameter `{}`", param.name.text);
        let val = self.coerce(
            var.val,
            &ty,
            var.span,
            &what,
            Some((param.ty.span, "declared here".to_owned())),
        );
        // What is returned in place of an argument has its dtype, leaf by leaf.
        let mut wider = None;
        let leaves = self.leaves_of(&param.name.text, &ty);
        let mut expected = leaves.iter();
        val.leaves("", &mut |_, leaf| {
            if let Some(expected) = expected.next()
                && leaf.elem != Elem::Strong(expected.dtype)
            {
                wider = Some((expected.path.clone(), expected.dtype, leaf.elem));
            }
        });
        if let Some((path, was, is)) = wider {
            self.report(
                Diagnostic::error(
                    codes::DTYPE,
                    format!("`{path}` is {was} when given and {} when returned", is.name()),
                )
                .at(var.span, "bound here")
                .also(param.ty.span, "declared here")
                .help(format!("convert it back: `{was}(…)`")),
            );
            return;
        }
        self.output(&param.name.text, &ty, val, true);
    }

    fn output(&mut self, name: &str, ty: &Ty, value: Val, inout: bool) {
        let mut arrays: Vec<Array> = Vec::new();
        value.leaves("", &mut |_, leaf| arrays.push(leaf.clone()));
        for (leaf, array) in self.leaves_of(name, ty).into_iter().zip(arrays) {
            self.hint = leaf.path.clone();
            let array = match array.elem {
                Elem::Strong(_) => array,
                _ => self.adapted(array, leaf.dtype),
            };
            let mut value = self.stored(&array, &[]);
            // Each output has memory of its own, except an `inout` argument that did not change.
            let input =
                self.program.inputs.iter().find(|i| i.value == value).map(|i| i.path.clone());
            let taken = self.program.outputs.iter().any(|o| o.value == value);
            if taken || input.is_some_and(|path| !inout || path != leaf.path) {
                value = self.copied(value);
            }
            let axes = leaf.widths();
            self.program.outputs.push(Output { value, path: leaf.path, tensor: leaf.tensor, axes });
        }
    }

    /// Finds the extents of every dim that a program uses, so that missing ones are known.
    pub fn resolve_used(&mut self, program: &Program) {
        let mut used: BTreeSet<DimId> = BTreeSet::new();
        used.extend(program.values.values().flat_map(|v| v.dims.iter().copied()));
        used.extend(program.loop_vars.values().map(|v| v.dim));
        crate::cleanup::index_dims(&program.body, &mut used);
        for dim in used {
            self.resolve_dim(dim);
        }
    }

    /// Finds the extents of dims that decorators name. Those that the program does not use may have none.
    pub fn resolve_placed(&mut self, directives: &Directives) {
        let missing = self.missing.clone();
        let shards = directives.shard.iter().flat_map(|s| s.dims.iter().map(|(d, _)| *d));
        let values = directives.shard_values.iter().flat_map(|s| s.dims.iter().map(|(d, _)| *d));
        for dim in shards.chain(values) {
            self.resolve_dim(dim);
        }
        self.missing = missing;
    }

    /// The dims as the program needs them.
    pub fn program_dims(&mut self) -> einmesh_ir::Arena<DimId, einmesh_ir::Dim> {
        let ids: Vec<DimId> = self.dims.ids().collect();
        let each = ids.into_iter().map(|id| {
            let resolved = self.dims[id].resolved.clone();
            let (extent, role_of, symbolic) =
                resolved.map_or((1, None, false), |r| (r.extent, r.role_of, r.symbolic));
            einmesh_ir::Dim { name: self.dims[id].name.clone(), extent, role_of, symbolic }
        });
        each.collect()
    }

    /// Names of values in the program, with the values that have them.
    pub fn values_named(program: &Program, name: &str) -> Vec<ValueId> {
        program.values.iter().filter(|(_, v)| v.name == name).map(|(id, _)| id).collect()
    }
}

/// A value of a type, its leaves taken in order.
fn filled(ty: &Ty, arrays: &mut impl Iterator<Item = Array>) -> Val {
    match ty {
        Ty::Array { .. } => arrays.next().map_or(Val::Poison, Val::Array),
        Ty::Record(record) => Val::Record(RecordVal {
            def: record.def,
            args: record.args.clone(),
            stack: record.stack.clone(),
            lacks: record.lacks,
            fields: record
                .fields
                .iter()
                .map(|(name, ty)| (name.clone(), filled(ty, arrays)))
                .collect(),
        }),
    }
}
