//! Places where extents are numbers in registers.

use super::shape::{Shape, Size};
use crate::build::{Builder, Scalar, Ty, V};
use crate::cpu::env::{self, Env, Extents};
use crate::cpu::value::Val;
use einmesh_ir::{Affine, IndexId, Load};
use einmesh_schedule::symbolic::Extent;

pub use crate::cpu::env::Binding;

/// A place.
pub type Place<'c, 'k> = Env<'c, 'k, Open<'c, 'k>>;
/// Where the numbers of a value are.
pub type Source<'c> = env::Source<'c, Memory<'c>>;

/// Extents that are numbers in registers.
#[derive(Clone)]
pub struct Open<'c, 'k> {
    /// The kernel's shape.
    pub shape: &'k Shape,
    /// The extents of the indices, i64.
    pub indices: Vec<V<'c>>,
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

/// The number of positions, i64.
pub fn size<'c>(b: &Builder<'c>, symbols: &[V<'c>], size: &Size) -> V<'c> {
    let factors = size.factors().iter().map(|factor| match factor {
        Extent::Fixed(n) => b.index(*n as i64),
        Extent::Symbol(symbol) => symbols[*symbol as usize],
    });
    factors.reduce(|x, y| b.mul(x, y)).unwrap_or_else(|| b.index(1))
}

impl<'c> Extents<'c> for Open<'c, '_> {
    type Memory = Memory<'c>;

    fn position_i32(env: &Env<'c, '_, Self>, index: IndexId) -> V<'c> {
        let b = env.b;
        match env.bindings[index.0 as usize] {
            Binding::Uniform(at) => b.convert(at, Scalar::I32),
            Binding::Lanes(first) => b.add(b.convert(first, Scalar::I32), env.step(Scalar::I32)),
            // Only a malformed kernel mentions an index outside of its loop, and nothing is flattened here.
            Binding::Unbound | Binding::Member(..) => b.int(Ty::scalar(Scalar::I32), 0),
        }
    }

    fn load(env: &Env<'c, '_, Self>, load: &Load) -> Val<'c> {
        env.load(load)
    }

    fn is_in_range(_: &Env<'c, '_, Self>, _: &Load) -> bool {
        // Nothing outside of an array is read, whatever the subscripts are.
        true
    }
}

impl<'c> Env<'c, '_, Open<'c, '_>> {
    /// The same place with lanes along an index, from a position on.
    pub fn along(&self, index: IndexId, first: V<'c>, lanes: u32) -> Self {
        let mut place = self.with(index, Binding::Lanes(first));
        place.lanes = Some(lanes);
        place
    }

    /// The extent of an index.
    pub fn extent(&self, index: IndexId) -> V<'c> {
        self.extents.indices[index.0 as usize]
    }

    /// An affine form at the first lane, and how far each lane is from the one before, as i64.
    pub fn affine(&self, form: &Affine) -> (V<'c>, i64) {
        let mut step = 0;
        let first = self.affine_at(form, |index, factor| match self.bindings[index.0 as usize] {
            Binding::Uniform(at) => at,
            Binding::Lanes(at) => {
                step += factor;
                at
            }
            Binding::Unbound | Binding::Member(..) => self.b.index(0),
        });
        (first, step)
    }
}
