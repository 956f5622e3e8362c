//! Lifting: the indices of a call's brackets become axes of its arguments, and subscripts of its result.

use crate::ctx::{Binding, Ctx, DimRef};
use crate::dims::Axis;
use crate::index::bare;
use crate::reduce::Bound;
use crate::types::Ty;
use crate::values::{Array, Val, mentioned};
use einmesh_diagnostics::codes::language as codes;
use einmesh_diagnostics::{Diagnostic, Span};
use einmesh_ir::IndexId;
use einmesh_syntax::ast::{self, FnResult};
use std::collections::BTreeMap;

impl<'a> Ctx<'a> {
    /// The argument as an array over the parameter's axes: the indices of the brackets become axes.
    pub fn unbracketed(
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
        let names: Vec<&str> = function.generics.iter().map(|(g, _)| g.text.as_str()).collect();
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
                    let (found, wanted) =
                        (self.describe(&Val::Array(array.clone())), self.axis_name(axis));
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
            if ids.iter().any(|i| mentions.contains(i) && !used.contains(i)) {
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
        Some(Array { axes: axes.clone(), params, ..array })
    }

    /// A result with 0 where the call's guard excludes a position. What the call computed is so already;
    /// what it passes on from outside is not.
    pub fn masked(&mut self, array: Array) -> Array {
        let frame = self.frame();
        let outside = match &array.body {
            einmesh_ir::Expr::Load(load) => (load.value.0 as usize) < frame.first_value,
            _ => true,
        };
        let restricted: Vec<DimRef> = frame.generics.iter().map(|(_, g)| g.clone()).collect();
        let guard_of = |axis: &Axis| {
            let found = restricted.iter().find(|g| g.axis == *axis);
            found.and_then(|g| g.guard.clone())
        };
        if !outside || array.axes.iter().all(|axis| guard_of(axis).is_none()) {
            return array;
        }
        let params = self.fresh_params(&array.axes);
        let mut at = 0;
        for axis in &array.axes {
            let own = &params[at..at + axis.dims.len()];
            at += axis.dims.len();
            if let Some((from, guard)) = guard_of(axis) {
                let to = own.iter().map(|i| einmesh_ir::Expr::Index(*i));
                let map = from.into_iter().zip(to).collect();
                let guard = crate::values::substitute(guard, &map);
                for id in own {
                    self.index_vars[*id].guard = Some(guard.clone());
                }
            }
        }
        let subs: Vec<einmesh_ir::Expr> =
            params.iter().map(|i| einmesh_ir::Expr::Index(*i)).collect();
        let body = array.at(&subs);
        self.bound_array(Array { params, body, ..array }, None)
    }

    /// The call's result at the indices of its brackets that stay.
    pub fn subscript_result(&mut self, result: Val, function: &'a ast::Fn, bound: &Bound) -> Val {
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
        let names: Vec<&str> = function.generics.iter().map(|(g, _)| g.text.as_str()).collect();
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
        Val::Array(Array { axes, params, body, elem: array.elem })
    }
}
