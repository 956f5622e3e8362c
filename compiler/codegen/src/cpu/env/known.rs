//! Extents that are known while code is made: positions may be counted over several indices, as their parts are
//! divisions by constants.

use super::{Binding, Env, Extents, Source};
use crate::build::{Scalar, Ty, V};
use crate::cpu::value::Val;
use einmesh_ir::{Affine, Atom, Bounds, DType, Expr, IndexId, Literal, Load, UnaryOp};
use std::ops::RangeInclusive;

/// Extents that the kernel knows.
#[derive(Clone, Default)]
pub struct Known<'c> {
    /// The flattened groups that bindings refer to.
    pub flats: Vec<Flat<'c>>,
}

/// An array of known extents.
#[derive(Clone)]
pub struct Memory<'c> {
    /// The first element.
    pub pointer: V<'c>,
    /// The extents.
    pub extents: Vec<u64>,
    /// Elements from one position to the next, per extent.
    pub strides: Vec<i64>,
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

/// Strides of a dense row-major array.
pub fn row_major(extents: &[u64]) -> Vec<i64> {
    let mut strides = vec![1i64; extents.len()];
    for i in (1..extents.len()).rev() {
        strides[i - 1] = strides[i] * extents[i].max(1) as i64;
    }
    strides
}

impl<'c> Extents<'c> for Known<'c> {
    type Memory = Memory<'c>;

    fn position_i32(env: &Env<'c, '_>, index: IndexId) -> V<'c> {
        let b = env.b;
        match env.bindings[index.0 as usize] {
            Binding::Lanes(first) => b.add(b.convert(first, Scalar::I32), env.step(Scalar::I32)),
            Binding::Member(group, position) => env.member(group, position, Scalar::I32),
            _ => b.convert(env.position(index), Scalar::I32),
        }
    }

    fn load(env: &Env<'c, '_>, load: &Load) -> Val<'c> {
        env.load(load)
    }

    fn is_in_range(env: &Env<'c, '_>, load: &Load) -> bool {
        let Source::Memory(of) = &env.sources[load.value.0 as usize] else {
            return true;
        };
        let fits = |sub: &Expr, extent: u64| match sub {
            // Counters and coordinates are the same at all points.
            Expr::Literal(_) | Expr::LoopVar(_) | Expr::Coord(_) => true,
            sub => env.affine(sub).and_then(|form| env.range(&form)).is_some_and(|range| {
                *range.start() >= 0 && u64::try_from(*range.end()).is_ok_and(|end| end < extent)
            }),
        };
        load.bounds != Bounds::Proven
            || load.subs.iter().zip(&of.extents).all(|(sub, extent)| fits(sub, *extent))
    }
}

impl<'c, 'k> Env<'c, 'k> {
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
        let group = env.extents.flats.len();
        for (position, (index, _)) in flat.members.iter().enumerate() {
            env.bindings[index.0 as usize] = Binding::Member(group, position);
        }
        env.extents.flats.push(flat);
        env
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

    /// The position of a member of a flattened group.
    fn member(&self, group: usize, position: usize, scalar: Scalar) -> V<'c> {
        let b = self.b;
        let flat = &self.extents.flats[group];
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
        self.affine_at(form, |index, _| self.position(index))
    }

    /// Whether the lanes differ in an index.
    pub fn varies(&self, index: IndexId) -> bool {
        match self.bindings[index.0 as usize] {
            Binding::Lanes(_) => true,
            Binding::Member(group, position) => {
                let flat = &self.extents.flats[group];
                let last = position + 1 == flat.members.len();
                flat.lanes.is_some() && (last || !flat.within_last())
            }
            _ => false,
        }
    }

    /// Whether an index is bound and the same in all lanes.
    pub fn is_uniform(&self, index: IndexId) -> bool {
        !matches!(self.bindings[index.0 as usize], Binding::Unbound) && !self.varies(index)
    }
}
