//! Delayed reduction: readers that may run on partial results.
//!
//! A reader may run on partial operands if combining commutes with it. For sums that is linearity:
//! each term has exactly one partial factor, and terms without one are counted on the first
//! device of the axis only. For the other reducers it is the reducer itself: a maximum of partial
//! maxima is a partial maximum.

use crate::context::Ctx;
use crate::grid::identity;
use crate::nest::Nest;
use crate::path::local_bytes;
use einmesh_ir::{
    BinaryOp, Bounds, Comprehension, DType, Expr, Load, MeshAxisId, Reducer, UnaryOp, ValueId,
};

/// An expression seen from one axis.
struct Term {
    expr: Expr,
    /// Whether it is a partial result over the axis; otherwise it is the same on all its devices.
    partial: bool,
}

struct Commutes<'a> {
    ctx: &'a Ctx,
    axis: MeshAxisId,
    reducer: Reducer,
}

impl Ctx {
    /// The body that runs on partial operands, and the axes over which it does, with their reducer.
    ///
    /// Those are axes that split no index and over which the body commutes with combining. Operands
    /// that are planned partial are meant to be read so; of those that partitioning made partial
    /// itself, only if the output is planned partial or has fewer elements to combine.
    pub fn delay(
        &self,
        nest: &Nest,
        c: &Comprehension,
        mut body: Expr,
        guard: Option<&Expr>,
    ) -> (Expr, Vec<(MeshAxisId, Reducer)>) {
        let mut kept: Vec<(MeshAxisId, Reducer)> = Vec::new();
        for axis in self.grid.mesh.axes.ids().filter(|a| !nest.uses(*a) && !nest.complete) {
            let over = |load: &&Load| {
                let partial = &self.held(load.value).partial;
                partial.iter().find(|(a, _)| *a == axis).map(|(_, r)| *r)
            };
            let loads = body.loads();
            let Some(reducer) = loads.iter().find_map(over) else {
                continue;
            };
            let uniform = kept.iter().all(|(_, r)| *r == reducer);
            let alike = c.reducer == Reducer::None || c.reducer == reducer;
            let in_guard = guard.is_some_and(|g| g.loads().iter().any(|l| over(l).is_some()));
            let late = self.late(c.out, &body);
            if !uniform || !alike || in_guard || !late || !self.worthwhile(nest, c, axis, &loads) {
                continue;
            }
            let commutes = Commutes { ctx: self, axis, reducer };
            if let Some(Term { expr, partial: true }) = commutes.term(&body) {
                body = expr;
                kept.push((axis, reducer));
            }
        }
        (body, kept)
    }

    /// Whether nothing is rounded before it is complete.
    fn late(&self, out: ValueId, body: &Expr) -> bool {
        let dtype = self.global.values[out].dtype;
        dtype.accumulator() == dtype && self.global.dtype_of(body) == dtype
    }

    fn worthwhile(
        &self,
        nest: &Nest,
        c: &Comprehension,
        axis: MeshAxisId,
        loads: &[&Load],
    ) -> bool {
        let over = |v: ValueId| self.held(v).partial.iter().any(|(a, _)| *a == axis);
        let mut operands: Vec<ValueId> =
            loads.iter().map(|l| l.value).filter(|v| over(*v)).collect();
        operands.sort();
        operands.dedup();
        if over(c.out) || operands.iter().any(|v| !self.is_temporary(*v)) {
            return true;
        }
        let elements =
            |v: &ValueId| local_bytes(&self.grid, &self.global.extents(*v), self.held(*v), 1);
        let free = c.free_indices();
        let computed: u64 =
            free.map(|i| self.grid.local(self.index_extent(nest, i), nest.axes_of(i))).product();
        computed <= operands.iter().map(elements).sum()
    }
}

/// Whether a body commutes with combining those of its operands that `ctx` holds partial.
pub(crate) fn commutes(ctx: &Ctx, axis: MeshAxisId, reducer: Reducer, body: &Expr) -> bool {
    let term = Commutes { ctx, axis, reducer }.term(body);
    term.is_some_and(|term| term.partial)
}

impl Commutes<'_> {
    fn is_partial(&self, load: &Load) -> bool {
        self.ctx.held(load.value).partial.contains(&(self.axis, self.reducer))
    }

    /// The same on all devices, as a partial result: the identity on all but the first, unless
    /// combining an element with itself changes nothing.
    fn counted_once(&self, term: Term) -> Expr {
        let idempotent = !matches!(self.reducer, Reducer::Sum | Reducer::Prod);
        if term.partial || idempotent {
            return term.expr;
        }
        let dtype = self.ctx.global.dtype_of(&term.expr);
        let first = self.ctx.grid.is_first(&[self.axis]);
        Expr::select(first, term.expr, identity(self.reducer, dtype))
    }

    /// The expression on partial operands; `None` if it does not commute with combining them.
    fn term(&self, expr: &Expr) -> Option<Term> {
        let touches = |e: &Expr| {
            let over = |l: &&Load| self.ctx.held(l.value).partial.iter().any(|p| p.0 == self.axis);
            e.loads().iter().any(over)
        };
        if !touches(expr) {
            return Some(Term { expr: expr.clone(), partial: false });
        }
        let partial = |expr| Some(Term { expr, partial: true });
        match expr {
            Expr::Load(load) if self.is_partial(load) => {
                if load.subs.iter().any(touches) {
                    return None;
                }
                let mut load = load.clone();
                if let Bounds::Else(default) = &mut load.bounds {
                    let default_term = self.term(default)?;
                    **default = self.counted_once(default_term);
                }
                partial(Expr::Load(load))
            }
            Expr::Unary(UnaryOp::Neg, a) if self.reducer == Reducer::Sum => {
                partial(Expr::unary(UnaryOp::Neg, self.term(a)?.expr))
            }
            Expr::Binary(op, a, b) => {
                let (a, b) = (self.term(a)?, self.term(b)?);
                self.pair(*op, a, b)
            }
            Expr::Select(c, a, b) if !touches(c) => {
                let (a, b) = (self.term(a)?, self.term(b)?);
                let (a, b) = (self.counted_once(a), self.counted_once(b));
                partial(Expr::select((**c).clone(), a, b))
            }
            Expr::Cast(to, a) if self.reducer == Reducer::Sum => {
                let exact = (self.ctx.global.dtype_of(a), *to) == (DType::F32, DType::F64);
                let a = self.term(a)?;
                (exact).then(|| Term { expr: Expr::cast(*to, a.expr), partial: a.partial })
            }
            _ => None,
        }
    }

    fn pair(&self, op: BinaryOp, a: Term, b: Term) -> Option<Term> {
        use BinaryOp::*;
        let fits = match (self.reducer, op) {
            (Reducer::Sum, Mul) => a.partial != b.partial,
            (Reducer::Sum, Div) => a.partial && !b.partial,
            (Reducer::Sum, Add | Sub)
            | (Reducer::Prod, Mul)
            | (Reducer::Max, Max)
            | (Reducer::Min, Min)
            | (Reducer::Any, Or)
            | (Reducer::All, And) => true,
            _ => false,
        };
        if !fits {
            return None;
        }
        let scales = self.reducer == Reducer::Sum && matches!(op, Mul | Div);
        let (a, b) = match scales {
            true => (a.expr, b.expr),
            false => (self.counted_once(a), self.counted_once(b)),
        };
        Some(Term { expr: Expr::binary(op, a, b), partial: true })
    }
}
