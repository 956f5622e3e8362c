//! From subscripts to addresses, and the loads and stores themselves.
//!
//! Nothing outside of a value's extents is ever touched, whatever the subscripts are: what is not
//! proven by its affine range is clamped (one position for all lanes) or masked (a position per lane).

use super::env::{Binding, Env, Memory, Source};
use super::value::{Val, from_memory, memory, register, to_memory};
use crate::build::{Cmp, Scalar, V};
use einmesh_ir::{Affine, Atom, Bounds, DType, Expr, Load, Reducer, ValueId};
use einmesh_schedule::kernel::Target;

/// An offset into a value, in elements.
struct Offset<'c> {
    /// The same for all lanes.
    uniform: V<'c>,
    /// How far lane l is from lane l − 1, besides `scattered`.
    stride: i64,
    /// What each lane adds.
    scattered: Option<V<'c>>,
    /// Where the subscripts are in range; `None` if they always are.
    in_range: Option<V<'c>>,
}

/// What to do about subscripts that are not proven to be in range.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Outside {
    /// Go to the nearest element.
    Clamp,
    /// Report it.
    Mask,
    /// It does not happen where the number matters: what happens is free.
    Any,
}

impl<'c> Env<'c, '_> {
    /// The number that a load gives.
    pub fn load(&self, load: &Load) -> Val<'c> {
        let b = self.b;
        let dtype = self.kernel.values[load.value.0 as usize].dtype;
        let of = match &self.sources[load.value.0 as usize] {
            Source::Register(value) => return *value,
            Source::Memory(of) => of,
        };
        let otherwise = match &load.bounds {
            Bounds::Else(default) => Some(self.eval(default)),
            _ => None,
        };
        if of.extents.contains(&0) {
            let zero = b.number(crate::build::Ty::scalar(register(dtype)), 0.0);
            return otherwise.unwrap_or(Val { v: zero, dtype });
        }
        let outside = match load.bounds {
            Bounds::Else(_) => Outside::Mask,
            Bounds::Clamp => Outside::Clamp,
            Bounds::Proven => Outside::Any,
        };
        let offset = self.offset(&load.subs, of, outside);
        let v = self.read(dtype, of.pointer, &offset);
        match (otherwise, offset.in_range) {
            (Some(otherwise), Some(in_range)) => {
                let v = b.select(in_range, v, otherwise.v);
                Val { v, dtype }
            }
            _ => Val { v, dtype },
        }
    }

    /// The address of the element that subscripts name, all of whose indices are the same in all lanes. What is
    /// not proven to be in range is clamped.
    pub fn element(&self, value: ValueId, subs: &[Expr]) -> V<'c> {
        let Source::Memory(of) = &self.sources[value.0 as usize] else {
            unreachable!("registers have no address");
        };
        let offset = self.offset(subs, of, Outside::Clamp);
        let element = memory(self.kernel.values[value.0 as usize].dtype);
        self.b.address(of.pointer, element, offset.uniform)
    }

    fn read(&self, dtype: DType, pointer: V<'c>, offset: &Offset<'c>) -> V<'c> {
        let b = self.b;
        let element = memory(dtype);
        let address = b.address(pointer, element, offset.uniform);
        let lanes_differ = offset.stride != 0
            || offset.scattered.is_some()
            || offset.in_range.is_some_and(|m| m.ty.lanes.is_some());
        let ty = self.wide(element);
        if !lanes_differ || self.lanes.is_none() {
            // One position for all lanes has been clamped, so that it can be read in any case.
            let raw = b.load(crate::build::Ty::scalar(element), address);
            return from_memory(b, raw, dtype);
        }
        // What is in range or not for all lanes alike has been clamped.
        let mask = match (self.mask, offset.in_range.filter(|m| m.ty.lanes.is_some())) {
            (mask, Some(in_range)) => Some(self.conjunction(mask, in_range)),
            (mask, None) => mask,
        };
        let raw = match (offset.stride, offset.scattered, mask) {
            (1, None, None) => b.load(ty, address),
            (1, None, Some(mask)) => b.masked_load(ty, address, self.mask_or_all(Some(mask))),
            _ => {
                b.gather(ty, self.lane_addresses(address, element, offset), self.mask_or_all(mask))
            }
        };
        from_memory(b, raw, dtype)
    }

    fn lane_addresses(&self, address: V<'c>, element: Scalar, offset: &Offset<'c>) -> V<'c> {
        let b = self.b;
        let mut lanes = offset.scattered.map(|v| b.like(v, self.wide(Scalar::I64)));
        if offset.stride != 0 || lanes.is_none() {
            let step = b.mul(self.step(Scalar::I64), b.index(offset.stride));
            lanes = Some(match lanes {
                Some(lanes) => b.add(lanes, step),
                None => step,
            });
        }
        b.address(address, element, lanes.expect("set above"))
    }

    /// The offset of an element. Positions shared by all lanes end up in range in any case.
    fn offset(&self, subs: &[Expr], of: &Memory<'c>, outside: Outside) -> Offset<'c> {
        let b = self.b;
        let mut total = Affine::default();
        let mut uniform: Option<V<'c>> = None;
        let mut scattered: Option<V<'c>> = None;
        let mut in_range: Option<V<'c>> = None;
        let sum = |sum: &mut Option<V<'c>>, term: V<'c>| {
            *sum = Some(match *sum {
                Some(sum) => b.add(sum, term),
                None => term,
            });
        };
        for ((sub, extent), stride) in subs.iter().zip(&of.extents).zip(&of.strides) {
            let form = self.affine(sub);
            let last = *extent as i64 - 1;
            let scaled = form.as_ref().and_then(|f| total.add(&f.scale(*stride)?));
            if let (Some(form), Some(scaled)) = (&form, &scaled) {
                let range = self.range(form);
                if range.is_some_and(|r| r.is_empty() || *r.start() >= 0 && *r.end() <= last) {
                    total = scaled.clone();
                    continue;
                }
            }
            let at = match &form {
                Some(form) => self.affine_value(form),
                None => self.eval_i64(sub),
            };
            let varies = at.ty.lanes.is_some();
            let inside = || b.cmp(Cmp::Below, at, b.index(*extent as i64));
            match scaled {
                Some(scaled) if varies && outside != Outside::Clamp => {
                    in_range = Some(self.conjunction(in_range, inside()));
                    total = scaled;
                    continue;
                }
                _ if outside == Outside::Mask => {
                    in_range = Some(self.conjunction(in_range, inside()));
                }
                _ => {}
            }
            let clamped = b.smax(b.smin(at, b.index(last)), b.index(0));
            let term = b.mul(clamped, b.index(*stride));
            sum(if varies { &mut scattered } else { &mut uniform }, term);
        }
        let (stride, fixed) = self.linear(&total, &mut scattered);
        sum(&mut uniform, fixed);
        Offset { uniform: uniform.expect("the fixed part is there"), stride, scattered, in_range }
    }

    /// Splits an affine offset into a stride along the lanes, a part that is the same for all lanes, and
    /// (added to `scattered`) the rest.
    fn linear(&self, total: &Affine, scattered: &mut Option<V<'c>>) -> (i64, V<'c>) {
        let b = self.b;
        let mut stride = 0;
        let mut fixed = b.index(total.constant);
        let mut grouped = vec![false; self.extents.flats.len()];
        let scaled = |at: V<'c>, factor: i64| match factor {
            1 => at,
            _ => b.mul(at, b.index(factor)),
        };
        for (atom, factor) in total.terms() {
            let at = match atom {
                Atom::LoopVar(var) => self.ints[var.0 as usize],
                Atom::Coord(_) => continue,
                Atom::Index(index) => match self.bindings[index.0 as usize] {
                    Binding::Lanes(first) => {
                        stride += factor;
                        first
                    }
                    Binding::Member(group, _) if self.collapse(group, total).is_some() => {
                        let factor = self.collapse(group, total).expect("just seen");
                        if !std::mem::replace(&mut grouped[group], true) {
                            let flat = &self.extents.flats[group];
                            stride += if flat.lanes.is_some() { factor } else { 0 };
                            fixed = b.add(fixed, scaled(flat.first, factor));
                        }
                        continue;
                    }
                    Binding::Member(group, position) if self.extents.flats[group].within_last() => {
                        // Lanes differ by one in the last member and not in the others.
                        let flat = &self.extents.flats[group];
                        let last = position + 1 == flat.members.len();
                        stride += if last && flat.lanes.is_some() { *factor } else { 0 };
                        let mut first = self.clone();
                        first.extents.flats[group].lanes = None;
                        first.position(*index)
                    }
                    _ => self.position(*index),
                },
            };
            let term = scaled(at, *factor);
            match term.ty.lanes {
                None => fixed = b.add(fixed, term),
                Some(_) => {
                    *scattered = Some(match *scattered {
                        Some(sum) => b.add(sum, term),
                        None => term,
                    });
                }
            }
        }
        (stride, fixed)
    }

    /// The distance between consecutive positions of a flattened group, if it is the same everywhere.
    fn collapse(&self, group: usize, total: &Affine) -> Option<i64> {
        let members = &self.extents.flats[group].members;
        let factor = |i: usize| total.coefficient(Atom::Index(members[i].0));
        let regular = (0..members.len() - 1)
            .all(|i| factor(i + 1).checked_mul(members[i + 1].1 as i64) == Some(factor(i)));
        regular.then(|| factor(members.len() - 1))
    }

    /// Writes a number where a target says. Lanes outside of the mask are not written; subscripts out of
    /// range are dropped.
    pub fn write(&self, target: &Target, value: Val<'c>) {
        let Source::Memory(of) = &self.sources[target.value.0 as usize] else {
            return;
        };
        if of.extents.contains(&0) {
            return;
        }
        let dtype = self.kernel.values[target.value.0 as usize].dtype;
        let outside = match target.store {
            true => Outside::Mask,
            false => Outside::Any,
        };
        let offset = self.offset(&target.subs, of, outside);
        if let (Some(in_range), None) = (offset.in_range, self.lanes) {
            self.b.if_true(in_range, || {
                self.write_at(target.combine, dtype, of.pointer, &offset, value)
            });
        } else {
            self.write_at(target.combine, dtype, of.pointer, &offset, value);
        }
    }

    fn write_at(
        &self,
        combine: Reducer,
        dtype: DType,
        pointer: V<'c>,
        offset: &Offset<'c>,
        value: Val<'c>,
    ) {
        let b = self.b;
        let value = match combine {
            Reducer::None => value,
            _ => {
                let there = self.read(dtype, pointer, offset);
                let there = Val { v: there, dtype };
                super::reduce::combine(self, combine, there, value)
            }
        };
        let value = super::value::cast(b, value, dtype);
        let element = memory(dtype);
        let address = b.address(pointer, element, offset.uniform);
        let raw = to_memory(b, value);
        let Some(lanes) = self.lanes else {
            b.store(raw, address);
            return;
        };
        let raw = b.broadcast(raw, lanes);
        let mask = match (self.mask, offset.in_range) {
            (mask, Some(in_range)) => Some(self.conjunction(mask, in_range)),
            (mask, None) => mask,
        };
        match (offset.stride, offset.scattered, mask) {
            (1, None, None) => b.store(raw, address),
            (1, None, Some(mask)) => b.masked_store(raw, address, self.mask_or_all(Some(mask))),
            _ => b.scatter(
                raw,
                self.lane_addresses(address, element, offset),
                self.mask_or_all(mask),
            ),
        }
    }
}
