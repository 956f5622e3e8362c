//! Loads: what subscripts select, and the proof that they stay inside.

use crate::ctx::{Binding, Ctx};
use crate::dims::{Axis, MAX_EXTENT};
use crate::index::bare;
use crate::scalar::short;
use crate::values::{Array, Elem, RecordVal, Val};
use einmesh_diagnostics::codes::language as codes;
use einmesh_diagnostics::{Diagnostic, Span};
use einmesh_ir::affine::{Affine, Atom};
use einmesh_ir::{BinaryOp, Bounds, DType, DimId, Expr, Literal};
use einmesh_syntax::ast::{self, ExprKind, Subscript, Subscripts};

/// Subscripts of some leading axes: one expression for each of their dims.
#[derive(Clone, Debug)]
pub(crate) struct Subs {
    pub axes: usize,
    pub exprs: Vec<Expr>,
    /// Whether each is proven to be in range.
    pub proven: Vec<bool>,
    /// An affine subscript that can leave its axis, with what to say about it.
    pub escapes: Option<Diagnostic>,
}

impl<'a> Ctx<'a> {
    /// `base[subs]`, with the value that `else` gives outside.
    pub fn load(
        &mut self,
        base: &'a ast::Expr,
        subs: &'a Subscripts,
        default: Option<&'a ast::Expr>,
    ) -> Val {
        let value = self.eval(base);
        if let Some(guard) = &subs.guard {
            self.report(
                Diagnostic::error(codes::GUARD, "a load has no guard").at(guard.span, "").help(
                    format!(
                        "choose with `where({}, …, …)`, or guard the reduction around it",
                        short(guard)
                    ),
                ),
            );
        }
        let axes = match &value {
            Val::Poison => return Val::Poison,
            Val::Array(array) => array.axes.clone(),
            Val::Record(record) => record.stack.clone(),
            Val::Tuple(_) => Vec::new(),
        };
        if subs.subs.len() > axes.len() {
            let what = self.describe(&value);
            self.report(
                Diagnostic::error(
                    codes::SUBSCRIPTS,
                    format!("{} subscripts, but {what} has {} axes", subs.subs.len(), axes.len()),
                )
                .at(
                    subs.span,
                    if axes.is_empty() {
                        "it has no axes".to_owned()
                    } else {
                        format!("its axes are [{}]", self.axes_name(&axes))
                    },
                )
                .help(if axes.is_empty() {
                    format!("write `{}`", short(base))
                } else {
                    format!("write `{}[{}]`", short(base), self.axes_name(&axes).to_lowercase())
                }),
            );
            return Val::Poison;
        }
        let Some(mut parsed) = self.subscripts(subs, &axes) else {
            return Val::Poison;
        };
        let default = match default {
            Some(e) => match self.eval(e) {
                Val::Array(array) if array.axes.is_empty() => Some((array, e.span)),
                Val::Poison => return Val::Poison,
                other => {
                    let what = self.describe(&other);
                    self.report(
                        Diagnostic::error(
                            codes::UNSUBSCRIPTED,
                            format!("the value after `else` is {what}, not a number"),
                        )
                        .at(e.span, ""),
                    );
                    return Val::Poison;
                }
            },
            None => None,
        };
        if default.is_none()
            && let Some(error) = parsed.escapes.take()
        {
            self.report(error);
            return Val::Poison;
        }
        self.apply(value, &parsed, default.as_ref())
    }

    fn apply(&mut self, value: Val, subs: &Subs, default: Option<&(Array, Span)>) -> Val {
        match value {
            Val::Array(array) => {
                self.apply_array(array, subs, default).map_or(Val::Poison, Val::Array)
            }
            Val::Record(record) => {
                let fields = record
                    .fields
                    .into_iter()
                    .map(|(name, field)| (name, self.apply(field, subs, default)));
                let fields = fields.collect();
                let stack = record.stack[subs.axes..].to_vec();
                Val::Record(RecordVal { fields, stack, ..record })
            }
            other => other,
        }
    }

    /// The array with its leading axes subscripted.
    pub fn apply_array(
        &mut self,
        array: Array,
        subs: &Subs,
        default: Option<&(Array, Span)>,
    ) -> Option<Array> {
        let proven = subs.proven.iter().all(|p| *p);
        // Bounds belong to loads: an unproven subscript needs a stored array.
        let simple = proven && default.is_none();
        let mut array = if simple { array } else { self.loadable(array) };
        let count = subs.exprs.len();
        let rest = array.params.split_off(count);
        let map = array.params.iter().copied().zip(subs.exprs.iter().cloned()).collect();
        let mut body = crate::values::substitute(array.body, &map);
        let dtype = array.elem.default_dtype();
        if let Expr::Load(load) = &mut body
            && !simple
        {
            if let Some((default, span)) = default {
                if load.bounds == Bounds::Clamp {
                    let dims = self.program.values[load.value].dims.clone();
                    for (sub, dim) in load.subs.iter_mut().zip(dims) {
                        let extent = self.points_number(&[dim]);
                        let last = Expr::binary(BinaryOp::Sub, extent, Expr::int(1));
                        let last =
                            Affine::of(&last).map_or(last.clone(), |l| l.to_expr(DType::I32));
                        if !matches!(sub, Expr::Index(_) | Expr::LoopVar(_))
                            && !subs.exprs.contains(sub)
                        {
                            let low = Expr::binary(BinaryOp::Max, sub.clone(), Expr::int(0));
                            *sub = Expr::binary(BinaryOp::Min, low, last);
                        }
                    }
                }
                let because = Some((*span, "the value outside of the array".to_owned()));
                let default = self.implicit(
                    default.clone(),
                    dtype,
                    *span,
                    "the value after `else`",
                    because,
                )?;
                load.bounds = Bounds::Else(Box::new(default.body));
            } else if load.bounds == Bounds::Proven {
                load.bounds = Bounds::Clamp;
            }
        }
        let axes = array.axes[subs.axes..].to_vec();
        Some(Array { axes, elem: array.elem, params: rest, body })
    }

    /// The array as one whose body is a load with its parameters as bare subscripts, or a constant.
    fn loadable(&mut self, array: Array) -> Array {
        let direct = match &array.body {
            Expr::Load(load) => {
                array.params.iter().all(|p| {
                    load.subs.contains(&Expr::Index(*p))
                        && !load.subs.iter().any(|s| *s != Expr::Index(*p) && s.mentions(*p))
                }) && !matches!(load.bounds, Bounds::Else(_))
            }
            Expr::Literal(_) => true,
            _ => false,
        };
        if direct {
            return array;
        }
        let outer = self.outer(&[&array.body], &array.params);
        let value = self.stored(&array, &outer);
        self.array_of(value, array.axes, &outer, array.params)
    }

    /// Resolves subscripts against axes.
    pub fn subscripts(&mut self, subs: &'a Subscripts, axes: &[Axis]) -> Option<Subs> {
        let mut parsed =
            Subs { axes: subs.subs.len(), exprs: vec![], proven: vec![], escapes: None };
        let mut ok = true;
        for (sub, axis) in subs.subs.iter().zip(axes) {
            match sub {
                Subscript::Expr(e) => ok &= self.subscript(e, axis, &mut parsed).is_some(),
                Subscript::Ranged(name, range) => {
                    self.report(
                        Diagnostic::error(codes::GUARD, "a range is given where an index is bound, not where it is used")
                            .at(name.span.to(range.span), "")
                            .help(format!("write `{}` here, and the range on the left side or in the reduction's brackets", name.text)),
                    );
                    ok = false;
                }
            }
        }
        ok.then_some(parsed)
    }

    pub fn subscript(&mut self, e: &'a ast::Expr, axis: &Axis, into: &mut Subs) -> Option<()> {
        if let Some(name) = bare(e)
            && let Some(binding) = self.binding(name)
        {
            return self.bare_subscript(e, &binding, axis, into);
        }
        if let ExprKind::Tuple(parts) = &e.kind {
            let parts: Vec<&ast::Expr> = parts.iter().flat_map(crate::index::components).collect();
            return self.tuple_subscript(e, &parts, axis, into);
        }
        let number = self.integer(e)?;
        self.flat_subscript(number, e, axis, into)
    }

    pub fn bare_subscript(
        &mut self,
        e: &ast::Expr,
        binding: &Binding,
        axis: &Axis,
        into: &mut Subs,
    ) -> Option<()> {
        let (dims, exprs): (Vec<DimId>, Vec<Expr>) = match binding {
            Binding::Counter(var, dim) => (vec![*dim], vec![Expr::LoopVar(*var)]),
            Binding::Indices(ids, over) => {
                (over.dims.clone(), ids.iter().map(|i| Expr::Index(*i)).collect())
            }
        };
        if dims.len() == axis.dims.len()
            && dims.iter().zip(&axis.dims).all(|(d, a)| self.fits(*d, *a))
        {
            into.proven.extend(exprs.iter().map(|_| true));
            into.exprs.extend(exprs);
            return Some(());
        }
        let extents: u64 = self.points(&dims);
        let parts = match dims[..] {
            [dim] => self.resolve_dim(dim).parts,
            _ => Vec::new(),
        };
        let whole: u64 = self.points(&axis.dims);
        if axis.product
            && dims.len() == 1
            && (parts == axis.dims || (parts.is_empty() && extents == whole))
        {
            let number = exprs.into_iter().next()?;
            return self.flat_subscript(number, e, axis, into);
        }
        self.wrong_index(e, &dims, axis);
        None
    }

    fn wrong_index(&mut self, e: &ast::Expr, dims: &[DimId], axis: &Axis) {
        let index = short(e);
        let over = dims.iter().map(|d| self.dim_name(*d).to_owned()).collect::<Vec<_>>().join(",");
        let wanted = self.axis_name(axis);
        let mut error = Diagnostic::error(
            codes::WRONG_INDEX,
            format!("the index `{index}` ranges over {over}, but the axis is {wanted}"),
        )
        .at(e.span, format!("ranges over {over}"));
        if let Some(span) = axis.dims.first().and_then(|d| self.dims[*d].span) {
            error = error.also(span, format!("{wanted} is declared here"));
        }
        let lower = wanted.to_lowercase();
        error = if axis.product {
            error.help(format!("subscript a product axis with a tuple: `{lower}`"))
        } else {
            error
                .help(format!("write `{lower}`; or declare `dim {over}: {wanted}` if {over} is a role or a part of {wanted}"))
                .help(format!("or convert the index to a number: `{index} + 0`"))
        };
        self.report(error);
    }

    fn tuple_subscript(
        &mut self,
        e: &'a ast::Expr,
        parts: &[&'a ast::Expr],
        axis: &Axis,
        into: &mut Subs,
    ) -> Option<()> {
        let plain = match axis.dims[..] {
            [dim] if !axis.product => Some(self.resolve_dim(dim).parts),
            _ => None,
        };
        let dims = match &plain {
            Some(parts) => parts.clone(),
            None => axis.dims.clone(),
        };
        // A generic index over a product fills several places of the tuple.
        let mut inner = Subs { axes: 0, exprs: vec![], proven: vec![], escapes: None };
        let mut ok = true;
        for part in parts {
            let at = inner.exprs.len();
            let width = match bare(part).and_then(|n| self.binding(n)) {
                Some(Binding::Indices(ids, _)) => ids.len(),
                _ => 1,
            };
            let Some(over) = dims.get(at..at + width) else {
                inner.exprs.extend((0..width).map(|_| Expr::int(0)));
                continue;
            };
            let over = Axis { dims: over.to_vec(), product: width > 1 };
            if self.subscript(part, &over, &mut inner).is_none() {
                ok = false;
                inner.exprs.truncate(at);
                inner.exprs.extend((0..width).map(|_| Expr::int(0)));
            }
        }
        if inner.exprs.len() != dims.len() {
            let wanted = self.axis_name(axis);
            let names: Vec<String> =
                dims.iter().map(|d| self.dim_name(*d).to_lowercase()).collect();
            let mut error = Diagnostic::error(
                codes::WRONG_TUPLE,
                format!(
                    "a tuple of {} subscripts an axis with {} factors",
                    inner.exprs.len(),
                    dims.len()
                ),
            )
            .at(e.span, format!("the axis is {wanted}"));
            error = match (&plain, names.is_empty()) {
                (Some(_), true) => error.help(format!(
                    "{wanted} is no product: subscript it with one index, `{}`",
                    wanted.to_lowercase()
                )),
                _ => error.help(format!("write `({})`", names.join(","))),
            };
            self.report(error);
            return None;
        }
        if !ok {
            return None;
        }
        into.escapes = into.escapes.take().or(inner.escapes);
        if plain.is_some() {
            into.exprs.push(self.row_major(&inner.exprs, &dims));
            into.proven.push(inner.proven.iter().all(|p| *p));
        } else {
            into.exprs.extend(inner.exprs);
            into.proven.extend(inner.proven);
        }
        Some(())
    }

    /// A number subscripts an axis: directly, or split into the factors of a product.
    fn flat_subscript(
        &mut self,
        number: Expr,
        e: &ast::Expr,
        axis: &Axis,
        into: &mut Subs,
    ) -> Option<()> {
        let whole = self.points(&axis.dims);
        let (proven, escapes) = self.in_range(&number, whole, e, axis);
        into.escapes = into.escapes.take().or(escapes);
        if !axis.product {
            into.exprs.push(number);
            into.proven.push(proven);
            return Some(());
        }
        for (position, dim) in axis.dims.iter().enumerate() {
            let stride = self.points_number(&axis.dims[position + 1..]);
            let mut part = number.clone();
            if stride != Expr::int(1) {
                part = Expr::binary(BinaryOp::FloorDiv, part, stride);
            }
            if position > 0 {
                part = Expr::binary(BinaryOp::Rem, part, self.points_number(&[*dim]));
            }
            into.exprs.push(part);
            into.proven.push(proven);
        }
        Some(())
    }

    /// The row-major position of a tuple of subscripts.
    pub fn row_major(&mut self, subs: &[Expr], dims: &[DimId]) -> Expr {
        let mut position: Option<Expr> = None;
        for (sub, dim) in subs.iter().zip(dims) {
            position = Some(match position {
                None => sub.clone(),
                Some(outer) => {
                    let extent = self.points_number(&[*dim]);
                    let scaled = Expr::binary(BinaryOp::Mul, outer, extent);
                    Expr::binary(BinaryOp::Add, scaled, sub.clone())
                }
            });
        }
        position.unwrap_or_else(|| Expr::int(0))
    }

    /// Whether a subscript is proven in range; for an affine one that can leave it, what to say.
    fn in_range(
        &mut self,
        number: &Expr,
        extent: u64,
        e: &ast::Expr,
        axis: &Axis,
    ) -> (bool, Option<Diagnostic>) {
        let range = self.range(number);
        let symbolic = axis.dims.iter().any(|d| self.resolve_dim(*d).symbolic);
        if let Some((low, high)) = range
            && low >= 0
            && high < extent as i64
            && !symbolic
        {
            return (true, None);
        }
        if symbolic
            && let [dim] = axis.dims[..]
            && let Expr::Index(index) = number
            && self.fits(self.index_vars[*index].dim, dim)
        {
            return (true, None);
        }
        let Some(form) = Affine::of(number) else {
            return (false, None);
        };
        let Some((low, high)) = range else {
            return (false, None);
        };
        // With a stand-in for a missing extent nothing is known of the range.
        let mut dims: Vec<DimId> = axis.dims.clone();
        dims.extend(form.terms().iter().filter_map(|(atom, _)| match atom {
            Atom::Index(i) => Some(self.index_vars[*i].dim),
            Atom::LoopVar(v) => Some(self.program.loop_vars[*v].dim),
            Atom::Coord(_) => None,
        }));
        if dims.into_iter().any(|d| self.resolve_dim(d).stand_in) {
            return (false, None);
        }
        let text = short(e);
        let wanted = self.axis_name(axis);
        let constant = low == high;
        let unknown = symbolic || high >= i64::from(i32::MAX) - 1;
        let message = if unknown {
            format!("the subscript `{text}` can leave {wanted}, for some extents")
        } else if constant {
            format!(
                "the subscript `{text}` is {low}, but {wanted} has the positions 0 to {}",
                extent - 1
            )
        } else {
            format!(
                "the subscript `{text}` goes from {low} to {high}, but {wanted} has the positions 0 to {}",
                extent - 1
            )
        };
        let mut error =
            Diagnostic::error(codes::OUT_OF_RANGE, message).at(e.span, "can be out of range");
        if let Some(span) = axis.dims.first().and_then(|d| self.dims[*d].span) {
            error = error.also(span, format!("{wanted} is declared here"));
        }
        error = error.help(match constant && !unknown {
            true => format!("the last position is {}", extent - 1),
            false => format!("say what is outside: `({} else 0)`", self.quoted_load(e.span)),
        });
        (false, Some(error))
    }

    /// Bounds of an integer expression, if they can be derived.
    pub fn range(&mut self, e: &Expr) -> Option<(i64, i64)> {
        if let Some(affine) = Affine::of(e) {
            let mut dims = Vec::new();
            for (atom, _) in affine.terms() {
                dims.push((
                    *atom,
                    match atom {
                        Atom::Index(i) => self.index_vars[*i].dim,
                        Atom::LoopVar(v) => self.program.loop_vars[*v].dim,
                        Atom::Coord(_) => return None,
                    },
                ));
            }
            // There may be any number of positions of a symbolic dim.
            let mut extent = |dim| match self.resolve_dim(dim) {
                dim if dim.symbolic => MAX_EXTENT,
                dim => dim.extent,
            };
            let extents: Vec<(Atom, u64)> = dims.into_iter().map(|(a, d)| (a, extent(d))).collect();
            let range = affine
                .range_with(|atom| extents.iter().find(|(a, _)| *a == atom).map(|(_, e)| *e))?;
            return Some((*range.start(), *range.end()));
        }
        match e {
            Expr::Binary(op, a, b) => {
                let (a, b) = (self.range(a), self.range(b));
                match (op, a, b) {
                    (BinaryOp::Add, Some((a, x)), Some((b, y))) => {
                        Some((a.checked_add(b)?, x.checked_add(y)?))
                    }
                    (BinaryOp::Sub, Some((a, x)), Some((b, y))) => {
                        Some((a.checked_sub(y)?, x.checked_sub(b)?))
                    }
                    (BinaryOp::Min, Some((a, x)), Some((b, y))) => Some((a.min(b), x.min(y))),
                    (BinaryOp::Max, Some((a, x)), Some((b, y))) => Some((a.max(b), x.max(y))),
                    (BinaryOp::Rem, _, Some((b, y))) if b == y && b > 0 => Some((0, b - 1)),
                    (BinaryOp::FloorDiv, Some((a, x)), Some((b, y))) if b == y && b > 0 => {
                        Some((a.div_euclid(b), x.div_euclid(b)))
                    }
                    _ => None,
                }
            }
            Expr::Select(_, a, b) => {
                let ((a, x), (b, y)) = (self.range(a)?, self.range(b)?);
                Some((a.min(b), x.max(y)))
            }
            Expr::Cast(dtype, a) if dtype.is_int() => self.range(a),
            _ => None,
        }
    }

    /// An expression that must be an integer number, as i32.
    pub fn integer(&mut self, e: &'a ast::Expr) -> Option<Expr> {
        let value = self.eval(e);
        match value {
            Val::Array(array) if array.axes.is_empty() => match array.elem {
                Elem::WeakInt | Elem::Strong(DType::I32 | DType::I64) => {
                    Some(self.converted(array.body, array.elem, DType::I32))
                }
                other => {
                    let from = other.name();
                    self.report(
                        Diagnostic::error(
                            codes::WRONG_OPERAND,
                            format!("a subscript is an integer, not {from}"),
                        )
                        .at(e.span, format!("this is {from}"))
                        .help(format!("convert it: `i32({})`", short(e))),
                    );
                    None
                }
            },
            Val::Poison => None,
            other => {
                let what = self.describe(&other);
                self.report(
                    Diagnostic::error(
                        codes::UNSUBSCRIPTED,
                        format!("a subscript is a number, not {what}"),
                    )
                    .at(e.span, "")
                    .help(format!("subscript it: `{}[…]`", short(e))),
                );
                None
            }
        }
    }
}

/// An index as an i64 number, for positions of random numbers.
pub(crate) fn wide(position: Expr) -> Expr {
    match position {
        Expr::Literal(Literal::Int(_, value)) => Expr::Literal(Literal::Int(DType::I64, value)),
        other => Expr::cast(DType::I64, other),
    }
}
