//! What an expression needs to know of the place it is evaluated at.

use super::value::Val;
use crate::build::{Builder, Cmp, Scalar, Ty, V};
use einmesh_ir::{Affine, Atom, BinaryOp, DType, Expr, IndexId, Literal, UnaryOp, ValueId};
use einmesh_schedule::kernel::Kernel;
use std::ops::RangeInclusive;

/// How an index is known.
#[derive(Clone, Copy)]
pub enum Binding<'c> {
    /// Its loop is further inside.
    Unbound,
    /// One position for all lanes, i64.
    Uniform(V<'c>),
    /// Lane l is at this position plus l.
    Lanes(V<'c>),
    /// It is the n-th member of a flattened group.
    Member(usize, usize),
}

/// Indices whose positions are counted as one, row-major.
#[derive(Clone)]
pub struct Flat<'c> {
    /// The indices and their extents, outermost first.
    pub members: Vec<(IndexId, u64)>,
    /// The position, of the first lane if there are several.
    pub first: V<'c>,
    /// How many lanes count on from there; `None` if all have the same position.
    pub lanes: Option<u64>,
    /// Whether the position is known to be a multiple of the number of lanes.
    pub aligned: bool,
}

impl Flat<'_> {
    /// A group at a position that is, with lanes, a multiple of their number.
    pub fn of<'c>(
        env: &Env<'c, '_>,
        group: &[IndexId],
        first: V<'c>,
        lanes: Option<u64>,
    ) -> Flat<'c> {
        Flat {
            members: group.iter().map(|i| (*i, env.extent(*i))).collect(),
            first,
            lanes,
            aligned: true,
        }
    }

    /// Whether all lanes are known to differ only in the last member.
    pub fn within_last(&self) -> bool {
        let last = self.members.last().map_or(1, |m| m.1);
        self.lanes.is_none_or(|lanes| self.aligned && last.is_multiple_of(lanes))
    }
}

/// Where the numbers of a value are.
#[derive(Clone)]
pub enum Source<'c> {
    /// In memory.
    Memory {
        /// The first element.
        pointer: V<'c>,
        /// The extents.
        extents: Vec<u64>,
        /// Elements from one position to the next, per extent.
        strides: Vec<i64>,
    },
    /// In a register.
    Register(Val<'c>),
}

/// The place.
#[derive(Clone)]
pub struct Env<'c, 'k> {
    /// Where operations go.
    pub b: &'k Builder<'c>,
    /// The kernel.
    pub kernel: &'k Kernel,
    /// Per index.
    pub bindings: Vec<Binding<'c>>,
    /// The flattened groups that bindings refer to.
    pub flats: Vec<Flat<'c>>,
    /// Per value.
    pub sources: Vec<Source<'c>>,
    /// The numbers passed at launch, i64.
    pub ints: Vec<V<'c>>,
    /// How many points are evaluated side by side; `None` for one.
    pub lanes: Option<u32>,
    /// Which lanes count; `None` for all. Where it is false nothing is read.
    pub mask: Option<V<'c>>,
    /// Subexpressions that have been evaluated further outside, by address.
    pub known: Vec<(*const Expr, Val<'c>)>,
}

/// Strides of a dense row-major array.
pub fn row_major(extents: &[u64]) -> Vec<i64> {
    let mut strides = vec![1i64; extents.len()];
    for i in (1..extents.len()).rev() {
        strides[i - 1] = strides[i] * extents[i].max(1) as i64;
    }
    strides
}

impl<'c, 'k> Env<'c, 'k> {
    /// The same place with an index bound.
    pub fn with(&self, index: IndexId, binding: Binding<'c>) -> Env<'c, 'k> {
        let mut env = self.clone();
        env.bindings[index.0 as usize] = binding;
        env
    }

    /// The same place with a group of indices bound to one flattened position.
    pub fn with_flat(&self, mut flat: Flat<'c>) -> Env<'c, 'k> {
        let mut env = self.clone();
        // Members with a single position say nothing about the others.
        for (index, extent) in &flat.members {
            if *extent == 1 {
                env.bindings[index.0 as usize] = Binding::Uniform(self.b.index(0));
            }
        }
        let alone = flat.members.last().copied();
        flat.members.retain(|m| m.1 != 1);
        if flat.members.is_empty() {
            flat.members.extend(alone);
        }
        if let [(index, _)] = flat.members[..] {
            env.bindings[index.0 as usize] = match flat.lanes {
                Some(_) => Binding::Lanes(flat.first),
                None => Binding::Uniform(flat.first),
            };
            return env;
        }
        if flat.members.is_empty() {
            return env;
        }
        let group = env.flats.len();
        for (position, (index, _)) in flat.members.iter().enumerate() {
            env.bindings[index.0 as usize] = Binding::Member(group, position);
        }
        env.flats.push(flat);
        env
    }

    /// The same place where only the lanes of `mask` count, besides those excluded already.
    pub fn masked(&self, mask: V<'c>) -> Env<'c, 'k> {
        let mut env = self.clone();
        env.mask = Some(self.conjunction(self.mask, mask));
        env
    }

    /// Both conditions.
    pub fn conjunction(&self, a: Option<V<'c>>, b: V<'c>) -> V<'c> {
        match a {
            Some(a) => {
                let (a, b) = self.b.unify(a, b);
                self.b.and(a, b)
            }
            None => b,
        }
    }

    /// A type with this place's lanes.
    pub fn wide(&self, scalar: Scalar) -> Ty {
        Ty { scalar, lanes: self.lanes }
    }

    /// The mask with a bit per lane.
    pub fn mask_or_all(&self, mask: Option<V<'c>>) -> V<'c> {
        let ty = self.wide(Scalar::I1);
        match mask {
            Some(mask) => self.b.like(mask, ty),
            None => self.b.int(ty, 1),
        }
    }

    /// The extent of an index.
    pub fn extent(&self, index: IndexId) -> u64 {
        self.kernel.indices[index.0 as usize].extent
    }

    /// The range of an affine form, if all its atoms have known extents.
    pub fn range(&self, form: &Affine) -> Option<RangeInclusive<i64>> {
        form.range_with(|atom| match atom {
            Atom::Index(index) => Some(self.extent(index)),
            _ => None,
        })
    }

    /// The affine form of an expression, if it has one and no partial result wraps: the ranges of all
    /// subexpressions must fit their types. (Launch numbers are counters and coordinates, which do.)
    pub fn affine(&self, expr: &Expr) -> Option<Affine> {
        let form = Affine::of(expr)?;
        let mut fits = true;
        expr.walk(&mut |part| {
            let narrow = match part {
                Expr::Literal(Literal::Int(dtype, _)) | Expr::Cast(dtype, _) => {
                    *dtype == DType::I32
                }
                Expr::Unary(UnaryOp::Neg, _) | Expr::Binary(..) => {
                    self.dtype_of(part) == DType::I32
                }
                _ => false,
            };
            if let (true, Some(form)) = (narrow, Affine::of(part)) {
                let range = self.range(&form).unwrap_or(0..=0);
                let fit = |x: i64| i32::try_from(x).is_ok();
                fits &= range.is_empty() || fit(*range.start()) && fit(*range.end());
            }
        });
        fits.then_some(form)
    }

    /// The dtype of an expression of the kernel.
    pub fn dtype_of(&self, expr: &Expr) -> DType {
        dtype_of(self.kernel, expr)
    }

    /// The position of an index, as i64, scalar if it is the same in all lanes.
    pub fn position(&self, index: IndexId) -> V<'c> {
        let b = self.b;
        match self.bindings[index.0 as usize] {
            Binding::Uniform(v) => v,
            Binding::Lanes(first) => b.add(first, self.step(Scalar::I64)),
            Binding::Member(group, position) => self.member(group, position, Scalar::I64),
            // Only a malformed kernel mentions an index outside of its loop; the verifier of the
            // caller rejects those before.
            Binding::Unbound => b.index(0),
        }
    }

    /// The position of an index in the IR's type for it.
    pub fn position_i32(&self, index: IndexId) -> V<'c> {
        let b = self.b;
        match self.bindings[index.0 as usize] {
            Binding::Lanes(first) => b.add(b.convert(first, Scalar::I32), self.step(Scalar::I32)),
            Binding::Member(group, position) => self.member(group, position, Scalar::I32),
            _ => b.convert(self.position(index), Scalar::I32),
        }
    }

    /// 0, 1, 2, … in the lanes of this place.
    pub fn step(&self, scalar: Scalar) -> V<'c> {
        match self.lanes {
            Some(lanes) => self.b.step(Ty::vector(scalar, lanes)),
            None => self.b.int(Ty::scalar(scalar), 0),
        }
    }

    /// The position of a member of a flattened group.
    fn member(&self, group: usize, position: usize, scalar: Scalar) -> V<'c> {
        let b = self.b;
        let flat = &self.flats[group];
        let inner: u64 = flat.members[position + 1..].iter().map(|m| m.1).product();
        let extent = flat.members[position].1;
        let last = position + 1 == flat.members.len();
        let lanes_inside = flat.lanes.is_some() && !flat.within_last();
        let total: u64 = flat.members.iter().map(|m| m.1).product();
        let (whole, scalar_now) = match lanes_inside {
            true if total < 1 << 31 => {
                (b.add(b.convert(flat.first, Scalar::I32), self.step(Scalar::I32)), Scalar::I32)
            }
            true => (b.add(flat.first, self.step(Scalar::I64)), Scalar::I64),
            false => (flat.first, Scalar::I64),
        };
        let constant = |value: u64| b.int(Ty::scalar(scalar_now), value.max(1) as i64);
        let mut at = whole;
        if inner != 1 {
            at = b.udiv(at, constant(inner));
        }
        if position != 0 {
            at = b.urem(at, constant(extent));
        }
        let at = b.convert(at, scalar);
        match flat.lanes.is_some() && flat.within_last() && last {
            true => b.add(at, self.step(scalar)),
            false => at,
        }
    }

    /// The value of an affine form, as i64, scalar if it is the same in all lanes.
    pub fn affine_value(&self, form: &Affine) -> V<'c> {
        let b = self.b;
        let mut sum: Option<V<'c>> = None;
        for (atom, factor) in form.terms() {
            let at = match atom {
                Atom::Index(index) => self.position(*index),
                Atom::LoopVar(var) => self.ints[var.0 as usize],
                Atom::Coord(_) => b.index(0),
            };
            let term = match factor {
                1 => at,
                _ => b.mul(at, b.index(*factor)),
            };
            sum = Some(match sum {
                Some(sum) => b.add(sum, term),
                None => term,
            });
        }
        match sum {
            None => b.index(form.constant),
            Some(sum) if form.constant == 0 => sum,
            Some(sum) => b.add(sum, b.index(form.constant)),
        }
    }

    /// Whether the lanes differ in an index.
    pub fn varies(&self, index: IndexId) -> bool {
        match self.bindings[index.0 as usize] {
            Binding::Lanes(_) => true,
            Binding::Member(group, position) => {
                let flat = &self.flats[group];
                let last = position + 1 == flat.members.len();
                flat.lanes.is_some() && (last || !flat.within_last())
            }
            _ => false,
        }
    }

    /// A condition that holds where the lane's number is below `count`.
    pub fn first_lanes(&self, count: V<'c>) -> V<'c> {
        let lanes = self.lanes.unwrap_or(1);
        let count = self.b.smin(count, self.b.index(i64::from(lanes)));
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

impl Env<'_, '_> {
    /// Whether an index is bound and the same in all lanes.
    pub fn is_uniform(&self, index: IndexId) -> bool {
        !matches!(self.bindings[index.0 as usize], Binding::Unbound) && !self.varies(index)
    }
}
