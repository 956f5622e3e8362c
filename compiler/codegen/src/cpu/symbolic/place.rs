//! What an expression needs to know of the place it is evaluated at, where extents are numbers in registers.

use super::shape::{Shape, Size};
use crate::build::{Builder, Cmp, Scalar, Ty, V};
use crate::cpu::env::dtype_of;
use crate::cpu::expr::simple_exponent;
use crate::cpu::value::{Val, cast, literal, round};
use crate::cpu::{math, scalar};
use einmesh_ir::{Affine, Atom, BinaryOp, DType, Expr, IndexId, ValueId};
use einmesh_schedule::symbolic::Extent;

/// How an index is known.
#[derive(Clone, Copy)]
pub enum Binding<'c> {
    /// Its loop is further inside.
    Unbound,
    /// One position for all lanes, i64.
    Uniform(V<'c>),
    /// Lane l is at this position plus l.
    Lanes(V<'c>),
}

/// Where the numbers of a value are.
#[derive(Clone)]
pub enum Source<'c> {
    /// In memory, dense and row-major.
    Memory(Memory<'c>),
    /// In a register.
    Register(Val<'c>),
}

/// A dense row-major array.
#[derive(Clone)]
pub struct Memory<'c> {
    /// The first element.
    pub pointer: V<'c>,
    /// Its extents, i64.
    pub extents: Vec<V<'c>>,
    /// Elements from one position to the next; the last one is 1.
    pub strides: Vec<V<'c>>,
    /// Whether there are no elements, where subscripts may be anything: `pointer` is then at readable zeros.
    pub empty: Option<V<'c>>,
}

/// The place.
#[derive(Clone)]
pub struct Place<'c, 'k> {
    /// Where operations go.
    pub b: &'k Builder<'c>,
    /// The kernel.
    pub shape: &'k Shape,
    /// The numbers of the symbols, i64.
    pub symbols: Vec<V<'c>>,
    /// The extents of the indices, i64.
    pub extents: Vec<V<'c>>,
    /// Per index.
    pub bindings: Vec<Binding<'c>>,
    /// Per value.
    pub sources: Vec<Source<'c>>,
    /// How many points are evaluated side by side; `None` for one.
    pub lanes: Option<u32>,
    /// Which lanes count; `None` for all. Where it is false nothing is read.
    pub mask: Option<V<'c>>,
    /// Subexpressions that have been evaluated further outside, by address.
    pub known: Vec<(*const Expr, Val<'c>)>,
}

/// The number of positions, i64.
pub fn size<'c>(b: &Builder<'c>, symbols: &[V<'c>], size: &Size) -> V<'c> {
    let factors = size.factors().iter().map(|factor| match factor {
        Extent::Fixed(n) => b.index(*n as i64),
        Extent::Symbol(symbol) => symbols[*symbol as usize],
    });
    factors.reduce(|x, y| b.mul(x, y)).unwrap_or_else(|| b.index(1))
}

impl<'c, 'k> Place<'c, 'k> {
    /// The same place with an index bound.
    pub fn with(&self, index: IndexId, binding: Binding<'c>) -> Place<'c, 'k> {
        let mut place = self.clone();
        place.bindings[index.0 as usize] = binding;
        place
    }

    /// The same place with lanes along an index, from a position on.
    pub fn along(&self, index: IndexId, first: V<'c>, lanes: u32) -> Place<'c, 'k> {
        let mut place = self.with(index, Binding::Lanes(first));
        place.lanes = Some(lanes);
        place
    }

    /// The same place where only the lanes of `mask` count, besides those excluded already.
    pub fn masked(&self, mask: V<'c>) -> Place<'c, 'k> {
        let mut place = self.clone();
        place.mask = Some(self.both(self.mask, mask));
        place
    }

    /// Both conditions.
    pub fn both(&self, a: Option<V<'c>>, b: V<'c>) -> V<'c> {
        let Some(a) = a else { return b };
        let (a, b) = self.b.unify(a, b);
        self.b.and(a, b)
    }

    /// A type with this place's lanes.
    pub fn wide(&self, scalar: Scalar) -> Ty {
        Ty { scalar, lanes: self.lanes }
    }

    /// The mask with a bit per lane.
    pub fn mask_or_all(&self, mask: Option<V<'c>>) -> V<'c> {
        let ty = self.wide(Scalar::I1);
        mask.map_or_else(|| self.b.int(ty, 1), |mask| self.b.like(mask, ty))
    }

    /// A condition that holds where the lane's number is below `count`.
    pub fn first_lanes(&self, count: V<'c>) -> V<'c> {
        let lanes = i64::from(self.lanes.unwrap_or(1));
        let count = self.b.smin(count, self.b.index(lanes));
        let count = self.b.convert(count, Scalar::I32);
        self.b.cmp(Cmp::Lt, self.step(Scalar::I32), count)
    }

    /// The extent of an index.
    pub fn extent(&self, index: IndexId) -> V<'c> {
        self.extents[index.0 as usize]
    }

    /// The dtype of an expression of the kernel.
    pub fn dtype_of(&self, expr: &Expr) -> DType {
        dtype_of(&self.shape.kernel, expr)
    }

    /// 0, 1, 2, … in the lanes of this place.
    pub fn step(&self, scalar: Scalar) -> V<'c> {
        match self.lanes {
            Some(lanes) => self.b.step(Ty::vector(scalar, lanes)),
            None => self.b.int(Ty::scalar(scalar), 0),
        }
    }

    /// The position of an index in the IR's type for it.
    pub fn position_i32(&self, index: IndexId) -> V<'c> {
        let b = self.b;
        match self.bindings[index.0 as usize] {
            Binding::Uniform(at) => b.convert(at, Scalar::I32),
            Binding::Lanes(first) => b.add(b.convert(first, Scalar::I32), self.step(Scalar::I32)),
            // Only a malformed kernel mentions an index outside of its loop.
            Binding::Unbound => b.int(Ty::scalar(Scalar::I32), 0),
        }
    }

    /// An affine form at the first lane, and how far each lane is from the one before, as i64.
    pub fn affine(&self, form: &Affine) -> (V<'c>, i64) {
        let b = self.b;
        let (mut first, mut step) = (None, 0);
        for (atom, factor) in form.terms() {
            let at = match atom {
                Atom::Index(index) => match self.bindings[index.0 as usize] {
                    Binding::Uniform(at) => at,
                    Binding::Lanes(at) => {
                        step += factor;
                        at
                    }
                    Binding::Unbound => b.index(0),
                },
                Atom::LoopVar(symbol) => self.symbols[symbol.0 as usize],
                // There is one device.
                Atom::Coord(_) => b.index(0),
            };
            let term = if *factor == 1 { at } else { b.mul(at, b.index(*factor)) };
            first = Some(first.map_or(term, |sum| b.add(sum, term)));
        }
        let constant = || b.index(form.constant);
        let first = match first {
            None => constant(),
            Some(sum) if form.constant == 0 => sum,
            Some(sum) => b.add(sum, constant()),
        };
        (first, step)
    }

    /// The number that an expression has here.
    pub fn eval(&self, expr: &Expr) -> Val<'c> {
        if let Some((_, value)) = self.known.iter().find(|(e, _)| std::ptr::eq(*e, expr)) {
            return *value;
        }
        let b = self.b;
        let number = |v| Val { v, dtype: DType::I32 };
        match expr {
            Expr::Literal(constant) => literal(b, *constant),
            Expr::Index(index) => number(self.position_i32(*index)),
            Expr::LoopVar(symbol) => {
                number(b.convert(self.symbols[symbol.0 as usize], Scalar::I32))
            }
            Expr::Coord(_) => number(b.int(Ty::scalar(Scalar::I32), 0)),
            Expr::Load(load) => self.load(load),
            Expr::Unary(op, a) => scalar::unary(b, *op, self.eval(a)),
            Expr::Binary(BinaryOp::Pow, x, y) => {
                let base = self.eval(x);
                match simple_exponent(y).and_then(|y| math::simple_pow(b, base.v, y)) {
                    Some(power) => round(b, power, base.dtype),
                    None => scalar::binary(b, BinaryOp::Pow, base, self.eval(y)),
                }
            }
            Expr::Binary(op, x, y) => scalar::binary(b, *op, self.eval(x), self.eval(y)),
            Expr::Select(condition, then, otherwise) => {
                let condition = self.eval(condition);
                let (then, otherwise) = (self.eval(then), self.eval(otherwise));
                let (x, y) = b.unify(then.v, otherwise.v);
                Val { v: b.select(condition.v, x, y), dtype: then.dtype }
            }
            Expr::Cast(to, a) => cast(b, self.eval(a), *to),
        }
    }

    /// Evaluates the largest parts of `expr` that mention none of `inner` nor `acc`, and remembers them: done before a
    /// loop over `inner`, it moves them out of it. Nothing may be in range only where a guard holds.
    pub fn hoist(&mut self, expr: &Expr, inner: &[IndexId], acc: Option<ValueId>) {
        let trivial =
            matches!(expr, Expr::Literal(_) | Expr::Index(_) | Expr::LoopVar(_) | Expr::Coord(_));
        if trivial || self.known.iter().any(|(e, _)| std::ptr::eq(*e, expr)) {
            return;
        }
        let depends = inner.iter().any(|i| expr.mentions(*i))
            || expr.loads().iter().any(|load| Some(load.value) == acc);
        if !depends {
            let value = self.eval(expr);
            self.known.push((expr, value));
            return;
        }
        for child in expr.children() {
            self.hoist(child, inner, acc);
        }
    }
}
