//! Dims: their extents by exact arithmetic, roles and products, and axes made of them.

use crate::ctx::{Ctx, DimRef};
use crate::names::{Def, suggest};
use crate::show;
use crate::values::{Array, Elem, Val};
use einmesh_diagnostics::codes::language as codes;
use einmesh_diagnostics::{Diagnostic, Span};
use einmesh_ir::{DType, DimId, Expr, IndexId, Literal, Reducer};
use einmesh_syntax::ast::{self, BinaryOp, ExprKind};

/// One axis of a type: a dim, or a product of dims, row-major.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Axis {
    pub dims: Vec<DimId>,
    pub product: bool,
}

impl Axis {
    pub fn one(dim: DimId) -> Axis {
        Axis { dims: vec![dim], product: false }
    }

    pub fn product(dims: Vec<DimId>) -> Axis {
        Axis { dims, product: true }
    }
}

/// What is known of a dim while lowering.
#[derive(Clone, Debug)]
pub(crate) struct DimInfo<'a> {
    pub name: String,
    pub span: Option<Span>,
    pub inst: usize,
    pub decl: Option<&'a ast::DimDecl>,
    /// An extent from the command line.
    pub given: Option<u64>,
    /// An extent from an import's binding, with the module where it is written.
    pub bound: Option<(usize, &'a ast::Expr)>,
    /// The dim it was bound to by an import.
    pub same_as: Option<DimId>,
    /// Whether it is an extent without a name.
    pub anonymous: bool,
    pub resolved: Option<Resolved>,
    busy: bool,
}

/// A dim's extent and relations.
#[derive(Clone, Debug)]
pub(crate) struct Resolved {
    pub extent: u64,
    /// Whether the extent is only a stand-in for a missing one.
    pub stand_in: bool,
    /// Whether the extent is only an example of what it may be when the program runs.
    pub symbolic: bool,
    pub role_of: Option<DimId>,
    /// The factors of a product dim.
    pub parts: Vec<DimId>,
}

/// An exact rational number of dim arithmetic.
#[derive(Clone, Copy, Debug)]
struct Ratio {
    num: i128,
    den: i128,
    stand_in: bool,
}

impl Resolved {
    /// An extent without a name.
    pub fn fixed(extent: u64) -> Resolved {
        Resolved { extent, stand_in: false, symbolic: false, role_of: None, parts: vec![] }
    }

    fn stand_in(dim: DimId, role_of: Option<DimId>, parts: Vec<DimId>) -> Resolved {
        let fixed = Resolved::fixed(stand_in_extent(dim));
        Resolved { stand_in: true, role_of, parts, ..fixed }
    }
}

impl<'a> DimInfo<'a> {
    pub fn declared(inst: usize, decl: &'a ast::DimDecl) -> DimInfo<'a> {
        let span = Some(decl.name.span);
        DimInfo { decl: Some(decl), span, inst, ..DimInfo::known(&decl.name.text, None) }
    }

    /// A dim that is not declared as such, with its extent.
    pub fn known(name: &str, resolved: Option<Resolved>) -> DimInfo<'a> {
        DimInfo {
            name: name.to_owned(),
            span: None,
            inst: 0,
            decl: None,
            given: None,
            bound: None,
            same_as: None,
            anonymous: false,
            resolved,
            busy: false,
        }
    }
}

/// The largest extent: positions are i32 numbers.
pub(crate) const MAX_EXTENT: u64 = i32::MAX as u64;

/// Distinct small extents for dims that have none.
fn stand_in_extent(dim: DimId) -> u64 {
    [5, 7, 11, 13, 17, 19, 23, 29][dim.0 as usize % 8]
}

impl<'a> Ctx<'a> {
    /// The dim that this one was bound to, if it was.
    pub fn same_dim(&self, mut dim: DimId) -> DimId {
        for _ in 0..self.dims.len() {
            match self.dims[dim].same_as {
                Some(other) => dim = other,
                None => break,
            }
        }
        dim
    }

    pub fn extent(&mut self, dim: DimId) -> u64 {
        self.resolve_dim(dim).extent
    }

    pub fn extents(&mut self, dims: &[DimId]) -> Vec<u64> {
        dims.iter().map(|d| self.extent(*d)).collect()
    }

    /// The number of points of dims together, at most what 64 bits hold.
    pub fn points(&mut self, dims: &[DimId]) -> u64 {
        let extents = self.extents(dims);
        extents.into_iter().fold(1, u64::saturating_mul)
    }

    /// The number of points of dims together, as a number: one that is counted when the program runs, if some extent
    /// is not known before.
    pub fn points_number(&mut self, dims: &[DimId]) -> Expr {
        match dims.iter().any(|d| self.resolve_dim(*d).symbolic) {
            true => self.count_points(dims),
            false => Expr::int(self.points(dims) as i64),
        }
    }

    /// As [`Ctx::points_number`], as an array of a dtype still to be found.
    pub fn points_array(&mut self, dims: &[DimId]) -> Array {
        match dims.iter().any(|d| self.resolve_dim(*d).symbolic) {
            true => Array::scalar(Elem::WeakInt, self.count_points(dims)),
            false => Array::weak_int(self.points(dims) as i64),
        }
    }

    fn count_points(&mut self, dims: &[DimId]) -> Expr {
        let axes: Vec<Axis> = dims.iter().map(|d| Axis::one(*d)).collect();
        let ids: Vec<IndexId> = self.fresh_params(&axes);
        self.reduce(DType::I32, ids, Reducer::Sum, None, Expr::int(1))
    }

    pub fn dim_name(&self, dim: DimId) -> &str {
        &self.dims[dim].name
    }

    /// An axis as written.
    pub fn axis_name(&self, axis: &Axis) -> String {
        let names: Vec<&str> = axis.dims.iter().map(|d| self.dim_name(*d)).collect();
        if axis.product { format!("({})", names.join(",")) } else { names.join(",") }
    }

    pub fn axes_name(&self, axes: &[Axis]) -> String {
        axes.iter().map(|a| self.axis_name(a)).collect::<Vec<_>>().join(",")
    }

    /// The extent of a dim, its role and its factors. Finds out what is wrong with them once.
    pub fn resolve_dim(&mut self, dim: DimId) -> Resolved {
        let info = self.dims[dim].clone();
        if let Some(resolved) = info.resolved {
            return resolved;
        }
        let fallback = Resolved::stand_in(dim, None, vec![]);
        let Some(decl) = info.decl else {
            return fallback;
        };
        if info.busy {
            self.report(
                Diagnostic::error(
                    codes::CYCLE,
                    format!("the dim `{}` is defined by itself", info.name),
                )
                .at(decl.name.span, "needed for its own extent")
                .help(format!("give it a number: `dim {} = 8`", info.name)),
            );
            return fallback;
        }
        self.dims[dim].busy = true;
        let resolved = self.in_module(info.inst, |ctx| ctx.compute_dim(dim, &info, decl));
        self.dims[dim].busy = false;
        self.dims[dim].resolved = Some(resolved.clone());
        resolved
    }

    fn compute_dim(&mut self, dim: DimId, info: &DimInfo<'a>, decl: &'a ast::DimDecl) -> Resolved {
        let role_of = decl.role_of.as_ref().and_then(|name| {
            let axis = self.dim_axis(&ast::Expr {
                kind: ExprKind::Name(name.text.clone()),
                span: name.span,
            })?;
            axis.dims.first().copied()
        });
        let mut parts = Vec::new();
        let mut symbolic = false;
        let (extent, stand_in) = if let Some(given) = info.given {
            symbolic = self.options.symbolic.contains(&info.name);
            (given, false)
        } else if let Some((from, value)) = info.bound {
            self.in_module(from, |ctx| ctx.dim_extent(value))
                .unwrap_or((stand_in_extent(dim), true))
        } else if let Some(extent) = &decl.extent {
            if let ExprKind::Tuple(factors) = &extent.kind {
                for factor in factors {
                    if let Some(axis) = self.dim_axis(factor) {
                        parts.extend(axis.dims);
                    }
                }
                let factors: Vec<Resolved> = parts.iter().map(|p| self.resolve_dim(*p)).collect();
                if factors.iter().any(|f| f.symbolic) {
                    self.follows_from_symbolic(extent);
                }
                (self.points(&parts), factors.iter().any(|f| f.stand_in))
            } else {
                self.dim_extent(extent).unwrap_or((stand_in_extent(dim), true))
            }
        } else if let Some(parent) = role_of {
            let parent = self.resolve_dim(parent);
            symbolic = parent.symbolic;
            (parent.extent, parent.stand_in)
        } else {
            self.missing.insert(info.name.clone(), info.span);
            (stand_in_extent(dim), true)
        };
        let extent = match (1..=MAX_EXTENT).contains(&extent) {
            true => extent,
            false => {
                self.report(
                    Diagnostic::error(
                        codes::INEXACT_DIM,
                        format!("`{}` has {extent} positions", info.name),
                    )
                    .at(decl.name.span, format!("must have 1 to {MAX_EXTENT}"))
                    .help(format!("give it another extent: `-D {}=8`", info.name)),
                );
                return Resolved::stand_in(dim, role_of, parts);
            }
        };
        if let Some(parent) = role_of {
            let outer = self.resolve_dim(parent);
            let known = !stand_in && !outer.stand_in && !symbolic && !outer.symbolic;
            if extent > outer.extent && known {
                let (name, within) = (info.name.clone(), self.dim_name(parent).to_owned());
                let mut error = Diagnostic::error(
                    codes::ROLE_TOO_LARGE,
                    format!("`{name}` has {extent} positions but ranges within `{within}`, which has {}", outer.extent),
                )
                .at(decl.name.span, format!("declared as a part of `{within}`"));
                if let Some(span) = self.dims[parent].span {
                    error = error.also(span, format!("`{within}` is declared here"));
                }
                self.report(
                    error.help(format!("give it at most {0}: `-D {name}={0}`", outer.extent)),
                );
            }
        }
        Resolved { extent, stand_in, symbolic, role_of, parts }
    }

    /// An extent would follow from one that is known only when the program runs.
    fn follows_from_symbolic(&mut self, e: &ast::Expr) {
        let text = show::expr(e);
        self.report(
            Diagnostic::error(
                codes::NOT_CONSTANT,
                format!(
                    "the extent `{text}` follows from one that is known only when the program runs"
                ),
            )
            .at(e.span, "not known when compiling")
            .help("give the extents"),
        );
    }

    /// The extent that an expression gives.
    fn dim_extent(&mut self, e: &ast::Expr) -> Option<(u64, bool)> {
        let ratio = self.dim_ratio(e)?;
        let exact = ratio.num % ratio.den == 0 && ratio.num > 0;
        if !exact && !ratio.stand_in {
            let value = ratio.num as f64 / ratio.den as f64;
            let text = show::expr(e);
            self.report(
                Diagnostic::error(codes::INEXACT_DIM, format!("`{text}` is {value}, which is not a number of positions"))
                    .at(e.span, "must be a positive integer")
                    .help("dim arithmetic is exact: choose extents that divide, or give this dim with `-D`"),
            );
            return None;
        }
        let whole = ratio.num / ratio.den;
        Some((u64::try_from(whole.max(1)).ok()?, ratio.stand_in))
    }

    fn dim_ratio(&mut self, e: &ast::Expr) -> Option<Ratio> {
        let exact = |num: i128| Some(Ratio { num, den: 1, stand_in: false });
        match &e.kind {
            ExprKind::Paren(inner) => self.dim_ratio(inner),
            ExprKind::Neg(inner) => self.dim_ratio(inner).map(|r| Ratio { num: -r.num, ..r }),
            ExprKind::Number(text) => match text.parse::<i64>() {
                Ok(value) => exact(i128::from(value)),
                Err(_) => {
                    self.not_an_extent(e);
                    None
                }
            },
            ExprKind::Name(name) => match self.dim_like(name) {
                Some(DimLike::Axis(axis)) => {
                    let resolved: Vec<Resolved> =
                        axis.dims.iter().map(|d| self.resolve_dim(*d)).collect();
                    if resolved.iter().any(|r| r.symbolic) {
                        self.follows_from_symbolic(e);
                        return None;
                    }
                    let num = resolved
                        .iter()
                        .try_fold(1_i128, |n, r| n.checked_mul(i128::from(r.extent)))?;
                    Some(Ratio { num, den: 1, stand_in: resolved.iter().any(|r| r.stand_in) })
                }
                Some(DimLike::Number(value)) => exact(i128::from(value)),
                None => {
                    self.unknown_dim(name, e.span);
                    None
                }
            },
            ExprKind::Field(..) if self.module_dim(e).is_some() => {
                let resolved = self.resolve_dim(self.module_dim(e)?);
                if resolved.symbolic {
                    self.follows_from_symbolic(e);
                    return None;
                }
                let num = i128::from(resolved.extent);
                Some(Ratio { num, den: 1, stand_in: resolved.stand_in })
            }
            ExprKind::Binary(op, a, b) => {
                let (a, b) = (self.dim_ratio(a)?, self.dim_ratio(b)?);
                let stand_in = a.stand_in || b.stand_in;
                let (num, den) = match op {
                    BinaryOp::Add => (
                        a.num.checked_mul(b.den)?.checked_add(b.num.checked_mul(a.den)?)?,
                        a.den.checked_mul(b.den)?,
                    ),
                    BinaryOp::Sub => (
                        a.num.checked_mul(b.den)?.checked_sub(b.num.checked_mul(a.den)?)?,
                        a.den.checked_mul(b.den)?,
                    ),
                    BinaryOp::Mul => (a.num.checked_mul(b.num)?, a.den.checked_mul(b.den)?),
                    BinaryOp::Div if b.num > 0 => {
                        (a.num.checked_mul(b.den)?, a.den.checked_mul(b.num)?)
                    }
                    BinaryOp::Rem if a.den == 1 && b.den == 1 && b.num > 0 => {
                        (a.num.rem_euclid(b.num), 1)
                    }
                    BinaryOp::Pow if b.den == 1 && (0..64).contains(&b.num) => {
                        (a.num.checked_pow(b.num as u32)?, a.den.checked_pow(b.num as u32)?)
                    }
                    _ => {
                        self.not_an_extent(e);
                        return None;
                    }
                };
                Some(Ratio { num, den, stand_in })
            }
            ExprKind::Error => None,
            _ => {
                self.not_an_extent(e);
                None
            }
        }
    }

    /// The dim that `m.D` names.
    fn module_dim(&self, e: &ast::Expr) -> Option<DimId> {
        match self.module_def(self.frame().inst, e)? {
            Def::Dim(dim) => Some(self.same_dim(dim)),
            _ => None,
        }
    }

    /// What `name` or `m.name` means in a module.
    fn module_def(&self, inst: usize, e: &ast::Expr) -> Option<Def> {
        match &e.kind {
            ExprKind::Name(name) => self.lookup(inst, name),
            ExprKind::Field(base, name) => match self.module_def(inst, base)? {
                Def::Module(inner) => self.insts[inner].scope.get(&name.text).map(|(def, _)| *def),
                _ => None,
            },
            _ => None,
        }
    }

    fn not_an_extent(&mut self, e: &ast::Expr) {
        let text = show::expr(e);
        self.report(
            Diagnostic::error(codes::NOT_CONSTANT, format!("`{text}` is not an extent"))
                .at(e.span, "expected a dim, an integer, or arithmetic with them"),
        );
    }

    fn unknown_dim(&mut self, name: &str, span: Span) {
        let inst = self.frame().inst;
        let found = self.lookup(inst, name);
        let mut error = match found {
            Some(def) => Diagnostic::error(
                codes::WRONG_KIND,
                format!("`{name}` is {}, not a dim", def.kind()),
            ),
            None => Diagnostic::error(codes::UNKNOWN_NAME, format!("there is no dim `{name}`")),
        }
        .at(span, "expected a dim");
        let scope = self.insts[inst].scope.iter();
        let dims = scope.filter(|(_, (d, _))| matches!(d, Def::Dim(_))).map(|(n, _)| n.as_str());
        let generics = self.frame().generics.iter().map(|(n, _)| n.as_str());
        error = match suggest(name, dims.chain(generics)) {
            Some(near) => error.help(format!("did you mean `{near}`?")),
            None => error.help(format!("declare it: `dim {name} = 8`")),
        };
        self.report(error);
    }

    /// What a name means where a dim or an integer is expected.
    fn dim_like(&mut self, name: &str) -> Option<DimLike> {
        if let Some(generic) = self.generic(name) {
            return Some(DimLike::Axis(generic.axis));
        }
        let inst = self.frame().inst;
        match self.lookup(inst, name)? {
            Def::Dim(dim) => Some(DimLike::Axis(Axis::one(self.same_dim(dim)))),
            Def::Const(id) => match self.const_value(id) {
                Val::Array(array) => match array.literal() {
                    Some(Literal::Int(_, value)) => Some(DimLike::Number(value)),
                    _ => None,
                },
                _ => None,
            },
            _ => None,
        }
    }

    /// What a generic dim of the current function is bound to.
    pub fn generic(&self, name: &str) -> Option<DimRef> {
        self.frame().generics.iter().rev().find(|(n, _)| n == name).map(|(_, d)| d.clone())
    }

    /// The axis that an expression in a type names. Anonymous extents get dims of their own, distinct
    /// within one type by `nth`.
    pub fn dim_axis(&mut self, e: &ast::Expr) -> Option<Axis> {
        self.axis_of(e, &mut Vec::new())
    }

    pub fn axis_of(&mut self, e: &ast::Expr, used: &mut Vec<u64>) -> Option<Axis> {
        match &e.kind {
            ExprKind::Paren(inner) => self.axis_of(inner, used),
            ExprKind::Tuple(parts) => {
                let mut dims = Vec::new();
                for part in parts {
                    dims.extend(self.axis_of(part, used)?.dims);
                }
                Some(Axis::product(dims))
            }
            ExprKind::Name(name) => match self.dim_like(name) {
                Some(DimLike::Axis(axis)) => Some(axis),
                Some(DimLike::Number(value)) if value > 0 => {
                    Some(self.anonymous(value as u64, used))
                }
                _ => {
                    self.unknown_dim(name, e.span);
                    None
                }
            },
            ExprKind::Field(..) if self.module_dim(e).is_some() => {
                self.module_dim(e).map(Axis::one)
            }
            ExprKind::Error => None,
            _ => {
                let (extent, _) = self.dim_extent(e)?;
                Some(self.anonymous(extent, used))
            }
        }
    }

    fn anonymous(&mut self, extent: u64, used: &mut Vec<u64>) -> Axis {
        let nth = used.iter().filter(|u| **u == extent).count();
        used.push(extent);
        if let Some(dim) = self.literals.get(&(extent, nth)) {
            return Axis::one(*dim);
        }
        let resolved = Resolved::fixed(extent);
        let mut info = DimInfo::known(&extent.to_string(), Some(resolved));
        info.anonymous = true;
        let dim = self.dims.push(info);
        self.literals.insert((extent, nth), dim);
        Axis::one(dim)
    }

    /// Whether an index over `index` may subscript an axis of dim `axis`: the same dim, a role or
    /// subrange of it, or anonymous with the same extent.
    pub fn fits(&mut self, index: DimId, axis: DimId) -> bool {
        let mut current = index;
        for _ in 0..=self.dims.len() {
            if current == axis {
                return true;
            }
            let declared = self.resolve_dim(current).role_of;
            let roles = self.frames.iter().rev().flat_map(|f| f.roles.iter());
            let scoped =
                || roles.clone().find(|(inner, _)| *inner == current).map(|(_, outer)| *outer);
            if self.frames.iter().any(|f| f.roles.contains(&(current, axis))) {
                return true;
            }
            match declared.or_else(scoped) {
                Some(outer) => current = outer,
                None => break,
            }
        }
        let (a, b) = (&self.dims[index], &self.dims[axis]);
        a.anonymous && b.anonymous && self.extent(index) == self.extent(axis)
    }

    /// A dim with the extent of another, for values that need two of the same.
    pub fn alias_dim(&mut self, dim: DimId, taken: &[DimId]) -> DimId {
        let existing: Vec<DimId> = self
            .dims
            .iter()
            .filter(|(_, d)| {
                d.decl.is_none() && d.resolved.as_ref().is_some_and(|r| r.role_of == Some(dim))
            })
            .map(|(id, _)| id)
            .collect();
        if let Some(free) = existing.into_iter().find(|d| !taken.contains(d)) {
            return free;
        }
        let of = self.resolve_dim(dim);
        let name = format!("{}_{}", self.dim_name(dim), taken.len());
        let resolved = Resolved { role_of: Some(dim), parts: vec![], ..of };
        self.dims.push(DimInfo::known(&name, Some(resolved)))
    }

    /// Reports all dims without an extent at once.
    pub fn report_missing(&mut self) {
        if self.checking || self.missing.is_empty() {
            return;
        }
        let names: Vec<String> = self.missing.keys().cloned().collect();
        let listed: Vec<String> = names.iter().map(|n| format!("`{n}`")).collect();
        let verb = if names.len() == 1 { "has no extent" } else { "have no extents" };
        let mut error =
            Diagnostic::error(codes::MISSING_EXTENTS, format!("{} {verb}", listed.join(", ")));
        for (name, span) in &self.missing {
            if let Some(span) = span {
                error = error.at(*span, format!("`{name}` is declared without `= …`"));
            }
        }
        let defines: Vec<String> = names
            .iter()
            .zip([4, 128, 8, 16, 32].into_iter().cycle())
            .map(|(n, e)| format!("-D {n}={e}"))
            .collect();
        self.report(
            error.help(format!("give them on the command line, e.g. `{}`", defines.join(" "))),
        );
    }
}

enum DimLike {
    Axis(Axis),
    Number(i64),
}
