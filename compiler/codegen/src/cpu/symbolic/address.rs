//! From subscripts to addresses, and the loads and stores themselves.
//!
//! Nothing outside of an array is ever touched, whatever the subscripts are: what is not in range for all extents is
//! clamped (one position for all lanes, and gathers) or masked (a position per lane).

use super::place::{Memory, Open, Source};
use super::shape::Shape;
use crate::build::{Cmp, Scalar, Ty, V};
use crate::cpu::env::Env;
use crate::cpu::value::{Val, cast, from_memory, memory, to_memory};
use einmesh_ir::{Affine, Atom, Bounds, DType, Expr, IndexId, Load, ValueId};
use einmesh_schedule::kernel::Target;

/// An offset into an array, in elements.
struct Offset<'c> {
    /// The same for all lanes.
    uniform: V<'c>,
    /// How the lanes lie.
    lanes: Lanes<'c>,
    /// Where the subscripts are in range; `None` if they always are.
    in_range: Option<V<'c>>,
}

/// How the elements of the lanes lie.
enum Lanes<'c> {
    /// All are at the same place.
    Same,
    /// One beside the other.
    Beside,
    /// Each has an offset of its own.
    Apart(V<'c>),
}

/// What to do about subscripts that are not known to be in range.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Outside {
    /// Go to the nearest element.
    Clamp,
    /// Report it.
    Mask,
    /// It does not happen where the number matters: what happens is free.
    Any,
}

/// Whether a subscript of a value's dim is in range at every point, for all extents.
fn is_safe(shape: &Shape, value: ValueId, dim: usize, sub: &Expr) -> bool {
    let size = &shape.values[value.0 as usize][dim];
    match sub {
        Expr::Index(index) if shape.fits(shape.size(*index), size) => true,
        sub => {
            let known = |atom: Atom| match atom {
                Atom::Index(index) => shape.size(index).known(),
                _ => None,
            };
            let range = Affine::of(sub).and_then(|form| form.range_with(known));
            let inside = |extent: u64| {
                range.is_some_and(|r| *r.start() >= 0 && i128::from(*r.end()) < i128::from(extent))
            };
            size.known().is_some_and(inside)
        }
    }
}

/// Whether a value may be read where it has no elements.
pub fn reads_unsafely(shape: &Shape, value: ValueId, expr: &Expr) -> bool {
    expr.loads().iter().any(|load| {
        let safe = |(dim, sub)| is_safe(shape, value, dim, sub);
        load.value == value && !load.subs.iter().enumerate().all(safe)
    })
}

impl<'c> Env<'c, '_, Open<'c, '_>> {
    fn dtype(&self, value: ValueId) -> DType {
        self.extents.shape.kernel.values[value.0 as usize].dtype
    }

    /// The number that a load gives.
    pub fn load(&self, load: &Load) -> Val<'c> {
        let b = self.b;
        let dtype = self.dtype(load.value);
        let of = match &self.sources[load.value.0 as usize] {
            Source::Register(value) => return *value,
            Source::Memory(memory) => memory,
        };
        let outside = match load.bounds {
            Bounds::Else(_) => Outside::Mask,
            Bounds::Clamp => Outside::Clamp,
            Bounds::Proven => Outside::Any,
        };
        let offset = self.offset(of, load.value, &load.subs, outside);
        let v = self.read(dtype, of, &offset);
        match (&load.bounds, offset.in_range) {
            (Bounds::Else(default), Some(in_range)) => {
                Val { v: b.select(in_range, v, self.eval(default).v), dtype }
            }
            _ => Val { v, dtype },
        }
    }

    /// The address of the element that subscripts name, which is in range and the same in all lanes.
    pub fn element(&self, value: ValueId, subs: &[Expr]) -> V<'c> {
        let Source::Memory(of) = &self.sources[value.0 as usize] else {
            unreachable!("registers have no address");
        };
        let offset = self.offset(of, value, subs, Outside::Any);
        self.b.address(of.pointer, memory(self.dtype(value)), offset.uniform)
    }

    /// The distance of elements for consecutive positions of an index that is a subscript itself.
    pub fn stride(&self, value: ValueId, subs: &[Expr], index: IndexId) -> V<'c> {
        let Source::Memory(of) = &self.sources[value.0 as usize] else {
            unreachable!("registers have no address");
        };
        let own = subs.iter().zip(&of.strides).filter(|(sub, _)| **sub == Expr::Index(index));
        let distance = own.map(|(_, stride)| *stride).reduce(|a, b| self.b.add(a, b));
        distance.unwrap_or_else(|| self.b.index(0))
    }

    fn offset(
        &self,
        of: &Memory<'c>,
        value: ValueId,
        subs: &[Expr],
        outside: Outside,
    ) -> Offset<'c> {
        let b = self.b;
        let mut uniform: Option<V<'c>> = None;
        let mut apart: Option<V<'c>> = None;
        let mut in_range: Option<V<'c>> = None;
        // Elements from lane to lane: by whole strides, the number of each.
        let mut steps: Vec<(i64, V<'c>, bool)> = Vec::new();
        let sum = |sum: &mut Option<V<'c>>, term: V<'c>| {
            *sum = Some(sum.map_or(term, |sum| b.add(sum, term)));
        };
        for (dim, sub) in subs.iter().enumerate() {
            let is_last = dim + 1 == subs.len();
            let scaled = |at: V<'c>| if is_last { at } else { b.mul(at, of.strides[dim]) };
            let form = Affine::of(sub).map(|form| self.affine(&form));
            let safe = is_safe(self.extents.shape, value, dim, sub);
            if let (Some((first, step)), true) = (form, safe) {
                sum(&mut uniform, scaled(first));
                if step != 0 {
                    steps.push((step, of.strides[dim], is_last));
                }
                continue;
            }
            let at = match form {
                Some((first, 0)) => first,
                Some((first, step)) => b.add(first, b.mul(self.step(Scalar::I64), b.index(step))),
                None => {
                    let number = self.eval(sub);
                    b.convert(number.v, Scalar::I64)
                }
            };
            let varies = at.ty.lanes.is_some();
            let extent = of.extents[dim];
            let by_lane = if varies && outside != Outside::Clamp { form } else { None };
            if by_lane.is_some() || outside == Outside::Mask {
                in_range = Some(self.conjunction(in_range, b.cmp(Cmp::Below, at, extent)));
            }
            if let Some((first, step)) = by_lane {
                // Lanes that are out of range are not read.
                sum(&mut uniform, scaled(first));
                steps.push((step, of.strides[dim], is_last));
                continue;
            }
            let zero = b.int(at.ty, 0);
            let last = b.sub(extent, b.index(1));
            let inside = b.smax(b.smin(at, last), zero);
            sum(if varies { &mut apart } else { &mut uniform }, scaled(inside));
        }
        let mut uniform = uniform.unwrap_or_else(|| b.index(0));
        let beside = apart.is_none() && matches!(steps[..], [(1, _, true)]);
        let mut lanes = match (beside, self.lanes) {
            (_, None) => Lanes::Same,
            (true, _) => Lanes::Beside,
            _ => {
                for (step, stride, is_last) in steps {
                    let distance = match (step, is_last) {
                        (1, _) => stride,
                        (_, true) => b.index(step),
                        _ => b.mul(stride, b.index(step)),
                    };
                    sum(&mut apart, b.mul(self.step(Scalar::I64), distance));
                }
                apart.map_or(Lanes::Same, Lanes::Apart)
            }
        };
        if let Some(empty) = of.empty {
            uniform = b.select(empty, b.index(0), uniform);
            if let Lanes::Apart(offsets) = lanes {
                let nowhere = b.int(offsets.ty, 0);
                lanes = Lanes::Apart(b.select(b.like(empty, offsets.ty), nowhere, offsets));
            }
        }
        Offset { uniform, lanes, in_range }
    }

    fn read(&self, dtype: DType, of: &Memory<'c>, offset: &Offset<'c>) -> V<'c> {
        let b = self.b;
        let element = memory(dtype);
        let address = b.address(of.pointer, element, offset.uniform);
        let ty = self.wide(element);
        // What is in range or not for all lanes alike has been clamped.
        let mask = match offset.in_range.filter(|m| m.ty.lanes.is_some()) {
            Some(in_range) => Some(self.conjunction(self.mask, in_range)),
            None => self.mask,
        };
        let raw = match &offset.lanes {
            Lanes::Same => b.load(Ty::scalar(element), address),
            Lanes::Beside => match mask {
                None => b.load(ty, address),
                Some(mask) => b.masked_load(ty, address, self.mask_or_all(Some(mask))),
            },
            Lanes::Apart(offsets) => {
                let addresses = b.address(address, element, b.like(*offsets, ty));
                b.gather(ty, addresses, self.mask_or_all(mask))
            }
        };
        from_memory(b, raw, dtype)
    }

    /// Writes a number where a target says: in range, at a place of its own in each lane. Lanes outside of the mask are
    /// not written.
    pub fn write(&self, target: &Target, value: Val<'c>) {
        let b = self.b;
        let Source::Memory(of) = &self.sources[target.value.0 as usize] else {
            unreachable!("results are stored in memory");
        };
        let dtype = self.dtype(target.value);
        let offset = self.offset(of, target.value, &target.subs, Outside::Any);
        let element = memory(dtype);
        let address = b.address(of.pointer, element, offset.uniform);
        let raw = to_memory(b, cast(b, value, dtype));
        let ty = self.wide(element);
        match (&offset.lanes, self.mask) {
            (Lanes::Same, _) => b.store(raw, address),
            (Lanes::Beside, None) => b.store(b.like(raw, ty), address),
            (Lanes::Beside, Some(mask)) => {
                b.masked_store(b.like(raw, ty), address, self.mask_or_all(Some(mask)));
            }
            (Lanes::Apart(offsets), mask) => {
                let addresses = b.address(address, element, b.like(*offsets, ty));
                b.scatter(b.like(raw, ty), addresses, self.mask_or_all(mask));
            }
        }
    }
}
