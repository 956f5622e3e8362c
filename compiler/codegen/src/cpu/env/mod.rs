//! What an expression needs to know of the place it is evaluated at.

mod known;

pub use known::{Flat, Known, Memory, row_major};

use super::value::Val;
use crate::build::{Builder, Cmp, Scalar, Ty, V};
use einmesh_ir::{Affine, Atom, BinaryOp, DType, Expr, IndexId, Load, UnaryOp, ValueId};
use einmesh_schedule::kernel::Kernel;

/// How an index is known.
#[derive(Clone, Copy)]
pub enum Binding<'c> {
    /// Its loop is further inside.
    Unbound,
    /// One position for all lanes, i64.
    Uniform(V<'c>),
    /// Lane l is at this position plus l.
    Lanes(V<'c>),
    /// It is the n-th member of a flattened group. There are such groups where extents are [`Known`].
    Member(usize, usize),
}

/// What is known of the extents: how places bind indices, and where the elements of arrays are.
pub trait Extents<'c>: Clone {
    /// An array in memory.
    type Memory: Clone;

    /// The position of an index in the IR's type for it.
    fn position_i32(env: &Env<'c, '_, Self>, index: IndexId) -> V<'c>;

    /// The number that a load gives.
    fn load(env: &Env<'c, '_, Self>, load: &Load) -> Val<'c>;

    /// Whether a load reads what exists at every point of the kernel's indices, whatever guards say.
    fn is_in_range(env: &Env<'c, '_, Self>, load: &Load) -> bool;
}

/// Where the numbers of a value are.
#[derive(Clone)]
pub enum Source<'c, M = Memory<'c>> {
    /// In memory.
    Memory(M),
    /// In a register.
    Register(Val<'c>),
}

/// The place.
#[derive(Clone)]
pub struct Env<'c, 'k, X: Extents<'c> = Known<'c>> {
    /// Where operations go.
    pub b: &'k Builder<'c>,
    /// The kernel.
    pub kernel: &'k Kernel,
    /// Per index.
    pub bindings: Vec<Binding<'c>>,
    /// Per value.
    pub sources: Vec<Source<'c, X::Memory>>,
    /// The numbers passed at launch, i64.
    pub ints: Vec<V<'c>>,
    /// How many points are evaluated side by side; `None` for one.
    pub lanes: Option<u32>,
    /// Which lanes count; `None` for all. Where it is false nothing is read.
    pub mask: Option<V<'c>>,
    /// Subexpressions that have been evaluated further outside, by address.
    pub known: Vec<(*const Expr, Val<'c>)>,
    /// The extents.
    pub extents: X,
}

impl<'c, 'k, X: Extents<'c>> Env<'c, 'k, X> {
    /// The same place with an index bound.
    pub fn with(&self, index: IndexId, binding: Binding<'c>) -> Self {
        let mut env = self.clone();
        env.bindings[index.0 as usize] = binding;
        env
    }

    /// The same place where only the lanes of `mask` count, besides those excluded already.
    pub fn masked(&self, mask: V<'c>) -> Self {
        let mut env = self.clone();
        env.mask = Some(self.conjunction(self.mask, mask));
        env
    }

    /// Both conditions.
    pub fn conjunction(&self, a: Option<V<'c>>, b: V<'c>) -> V<'c> {
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

    /// The dtype of an expression of the kernel.
    pub fn dtype_of(&self, expr: &Expr) -> DType {
        dtype_of(self.kernel, expr)
    }

    /// 0, 1, 2, … in the lanes of this place.
    pub fn step(&self, scalar: Scalar) -> V<'c> {
        match self.lanes {
            Some(lanes) => self.b.step(Ty::vector(scalar, lanes)),
            None => self.b.int(Ty::scalar(scalar), 0),
        }
    }

    /// The value of an affine form whose indices are at these positions, as i64.
    pub fn affine_at(
        &self,
        form: &Affine,
        mut position: impl FnMut(IndexId, i64) -> V<'c>,
    ) -> V<'c> {
        let b = self.b;
        let term = |(atom, factor): &(Atom, i64)| {
            let at = match atom {
                Atom::Index(index) => position(*index, *factor),
                Atom::LoopVar(var) => self.ints[var.0 as usize],
                // Kernels get coordinates as launch numbers.
                Atom::Coord(_) => b.index(0),
            };
            if *factor == 1 { at } else { b.mul(at, b.index(*factor)) }
        };
        let constant = || b.index(form.constant);
        match form.terms().iter().map(term).reduce(|sum, term| b.add(sum, term)) {
            None => constant(),
            Some(sum) if form.constant == 0 => sum,
            Some(sum) => b.add(sum, constant()),
        }
    }

    /// A condition that holds where the lane's number is below `count`.
    pub fn first_lanes(&self, count: V<'c>) -> V<'c> {
        let lanes = i64::from(self.lanes.unwrap_or(1));
        let count = self.b.smin(count, self.b.index(lanes));
        let count = self.b.convert(count, Scalar::I32);
        self.b.cmp(Cmp::Lt, self.step(Scalar::I32), count)
    }
}

/// The dtype of an expression of a kernel.
pub fn dtype_of(kernel: &Kernel, expr: &Expr) -> DType {
    let value = |id: ValueId| kernel.values[id.0 as usize].dtype;
    match expr {
        Expr::Literal(literal) => literal.dtype(),
        Expr::Index(_) | Expr::LoopVar(_) | Expr::Coord(_) => DType::I32,
        Expr::Load(load) => value(load.value),
        Expr::Unary(UnaryOp::Not | UnaryOp::IsFinite, _) => DType::Bool,
        Expr::Unary(_, a) => dtype_of(kernel, a),
        Expr::Binary(op, ..) if op.is_comparison() => DType::Bool,
        Expr::Binary(BinaryOp::And | BinaryOp::Or, ..) => DType::Bool,
        Expr::Binary(BinaryOp::Uniform, ..) => DType::F32,
        Expr::Binary(_, a, _) => dtype_of(kernel, a),
        Expr::Select(_, then, _) => dtype_of(kernel, then),
        Expr::Cast(dtype, _) => *dtype,
    }
}
