//! Scalar expressions: types, ids, subscripts and their bounds.

use super::Ctx;
use crate::affine::Affine;
use crate::dtype::DType;
use crate::expr::{Bounds, Expr, Literal, Load};
use crate::integer;
use crate::program::{Comprehension, Index};
use crate::typing;

impl Ctx<'_> {
    /// Checks an expression of a comprehension and gives its dtype, or `None` if it has none, which
    /// has then been reported.
    pub(super) fn expression(&mut self, c: &Comprehension, expr: &Expr) -> Option<DType> {
        match expr {
            Expr::Literal(literal) => Some(self.literal(*literal)),
            Expr::Index(index) => {
                let known = c.indices.get(*index).is_some();
                self.check(known, || format!("index {index:?} is not declared"));
                Some(DType::I32)
            }
            Expr::LoopVar(var) => {
                let inside = self.loops.contains(var);
                self.check(inside, || format!("loop counter {var:?} is used outside of its loop"));
                Some(DType::I32)
            }
            Expr::Coord(axis) => {
                match self.mesh {
                    None => self.report("a device coordinate is used before partitioning"),
                    Some(mesh) => self.check(mesh.axes.get(*axis).is_some(), || {
                        format!("mesh axis {axis:?} is not declared")
                    }),
                }
                Some(DType::I32)
            }
            Expr::Load(load) => self.load(c, load),
            Expr::Unary(op, a) => {
                let a = self.expression(c, a)?;
                let accepts = typing::accepts_unary(*op, a);
                self.check(accepts, || format!("{op:?} of {a}"));
                accepts.then(|| self.program.dtype_of(expr))
            }
            Expr::Binary(op, a, b) => {
                let (a, b) = (self.expression(c, a), self.expression(c, b));
                let (a, b) = (a?, b?);
                let accepts = typing::accepts_binary(*op, a, b);
                self.check(accepts, || format!("{op:?} of {a} and {b}"));
                accepts.then(|| self.program.dtype_of(expr))
            }
            Expr::Select(condition, then, otherwise) => {
                let condition = self.expression(c, condition);
                let (then, otherwise) = (self.expression(c, then), self.expression(c, otherwise));
                self.check(condition.is_none_or(|d| d == DType::Bool), || {
                    "a selection's condition is not a truth value".to_owned()
                });
                let (then, otherwise) = (then?, otherwise?);
                self.check(then == otherwise, || {
                    format!("a selection between {then} and {otherwise}")
                });
                Some(then)
            }
            Expr::Cast(to, a) => {
                let from = self.expression(c, a)?;
                self.check(typing::accepts_cast(*to, from), || format!("a cast of {from} to {to}"));
                Some(*to)
            }
        }
    }

    fn literal(&mut self, literal: Literal) -> DType {
        let proper = match literal {
            Literal::Float(dtype, value) => dtype.is_float() && dtype.represents(value),
            Literal::Int(dtype, value) => {
                dtype == DType::Key || (dtype.is_int() && integer::wrap(dtype, value) == value)
            }
            Literal::Bool(_) => true,
        };
        self.check(proper, || format!("{literal:?} is not a number of its dtype"));
        literal.dtype()
    }

    fn load(&mut self, c: &Comprehension, load: &Load) -> Option<DType> {
        if !self.read(load.value) {
            return None;
        }
        let program = self.program;
        let info = &program.values[load.value];
        let (dims, subs) = (info.dims.len(), load.subs.len());
        self.check(dims == subs, || {
            let signature = program.signature_of(load.value);
            format!("{signature} is loaded with {subs} subscripts")
        });
        for sub in &load.subs {
            let dtype = self.expression(c, sub);
            self.check(dtype.is_none_or(DType::is_int), || {
                let name = program.name_of(load.value);
                format!("a subscript of {name} is not an integer")
            });
        }
        match &load.bounds {
            Bounds::Clamp => {
                let possible = program.elements(load.value) > 0 || self.is_empty(c);
                self.check(possible, || {
                    let signature = program.signature_of(load.value);
                    format!("{signature} has no element to clamp to")
                });
            }
            Bounds::Proven => self.proven(c, load),
            Bounds::Else(default) => {
                let default = self.expression(c, default);
                self.check(default.is_none_or(|d| d == info.dtype), || {
                    let signature = program.signature_of(load.value);
                    format!("the default of {signature} is of another type")
                });
            }
        }
        Some(info.dtype)
    }

    /// Whether the comprehension has no points.
    fn is_empty(&self, c: &Comprehension) -> bool {
        let dims = &self.program.dims;
        let index = |i: &Index| dims[i.dim].extent;
        let counters = self.loops.iter().map(|l| dims[self.program.loop_vars[*l].dim].extent);
        c.indices.values().map(index).chain(counters).any(|n| n == 0)
    }

    /// Refutes a claim that subscripts are in range, where they are affine and the guard does not
    /// restrict their atoms.
    fn proven(&mut self, c: &Comprehension, load: &Load) {
        if self.is_empty(c) {
            return;
        }
        let extents = self.program.extents(load.value);
        let dims = &self.program.dims;
        for (position, (sub, extent)) in load.subs.iter().zip(extents).enumerate() {
            let counts = |(_, index): (_, &Index)| dims[index.dim].symbolic;
            let of = &self.program.values[load.value].dims[position];
            if dims[*of].symbolic || c.indices.iter().any(|i| sub.mentions(i.0) && counts(i)) {
                continue;
            }
            let Some(affine) = Affine::of(sub) else {
                continue;
            };
            let Some(range) = affine.range(&self.scope(c)) else {
                continue;
            };
            let within = *range.start() >= 0 && i128::from(*range.end()) < i128::from(extent);
            let restricted = affine.terms().iter().any(|(atom, _)| {
                let atom = atom.to_expr();
                let mut found = false;
                c.guard.iter().for_each(|g| g.walk(&mut |e| found |= *e == atom));
                found
            });
            self.check(within || restricted, || {
                let name = self.program.signature_of(load.value);
                let (low, high) = (range.start(), range.end());
                let span = format!("subscript {position} of {name} spans {low} to {high}");
                format!("{span} of {extent} positions, although proven in range")
            });
        }
    }
}
