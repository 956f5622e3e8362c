//! Sorting permutations: a stable merge sort per row, on keys that compare as integers.

use super::env::{Env, Source, row_major};
use super::phase::{ALIGN, PhaseShape, Phases};
use super::value::{cast, from_memory, memory};
use crate::build::{Cmp, Scalar, Ty, V};
use crate::cpu::value::Val;
use crate::error::CompilerBug;
use einmesh_ir::{DType, ValueId};
use einmesh_schedule::kernel::Kernel;

/// A tile sorts rows of about so many elements in all.
const TILE_ELEMENTS: u64 = 4096;

/// Adds the phase that writes, along `position`, where the n-th smallest element is.
pub fn emit(
    phases: &mut Phases<'_, '_>,
    kernel: &Kernel,
    (input, output): (ValueId, ValueId),
    position: usize,
) -> Result<(), CompilerBug> {
    let value = &kernel.values[input.0 as usize];
    let Some(&length) = value.extents.get(position) else {
        return Err(CompilerBug::new("argsort along a dim that its operand does not have"));
    };
    let elements: u64 = value.extents.iter().product();
    let rows = elements.checked_div(length).unwrap_or(0);
    let grain = (TILE_ELEMENTS / length.max(1)).max(1);
    let keys_bytes = (8 * length).next_multiple_of(ALIGN);
    let order_bytes = (4 * length).next_multiple_of(ALIGN);
    let shape = PhaseShape {
        tiles: rows.div_ceil(grain),
        workspace_bytes: 0,
        scratch_bytes: keys_bytes + 2 * order_bytes,
    };
    let stride = row_major(&value.extents)[position];
    phases.add_raw(kernel, shape, |env, _, scratch, begin, end| {
        let b = env.b;
        let pointer = |id: ValueId| match &env.sources[id.0 as usize] {
            Source::Memory(of) => of.pointer,
            Source::Register(value) => value.v,
        };
        let sort = Sort {
            env,
            dtype: value.dtype,
            length: length as i64,
            stride,
            keys: scratch,
            input: pointer(input),
            output: pointer(output),
        };
        let first_order = b.byte_offset(scratch, keys_bytes as i64);
        let second_order = b.byte_offset(scratch, (keys_bytes + order_bytes) as i64);
        let grain = b.index(grain as i64);
        let last = b.smin(b.mul(end, grain), b.index(rows as i64));
        b.for_each(b.mul(begin, grain), last, 1, |row| {
            // Rows are counted over the dims outside of the sorted one, then those inside.
            let inner = b.index(stride);
            let outside = b.udiv(row, inner);
            let block = b.mul(outside, b.index(stride * length as i64));
            let base = b.add(block, b.urem(row, inner));
            sort.row(base, first_order, second_order);
        });
    })
}

struct Sort<'e, 'c, 'k> {
    env: &'e Env<'c, 'k>,
    dtype: DType,
    length: i64,
    stride: i64,
    keys: V<'c>,
    input: V<'c>,
    output: V<'c>,
}

impl<'c> Sort<'_, 'c, '_> {
    fn row(&self, base: V<'c>, first_order: V<'c>, second_order: V<'c>) {
        let b = self.env.b;
        let (zero, length) = (b.index(0), b.index(self.length));
        let element = |n: V<'c>| b.add(base, b.mul(n, b.index(self.stride)));
        b.for_each(zero, length, 1, |n| {
            let scalar = memory(self.dtype);
            let raw = b.load(Ty::scalar(scalar), b.address(self.input, scalar, element(n)));
            let key = self.key(from_memory(b, raw, self.dtype));
            b.store(key, b.address(self.keys, Scalar::I64, n));
            let number = b.convert(n, Scalar::I32);
            b.store(number, b.address(first_order, Scalar::I32, n));
        });
        // Runs of 1, 2, 4 … are merged, from one array of positions to the other and back.
        let passes = i64::from(u64::BITS - (self.length.max(1) as u64 - 1).leading_zeros());
        let start = [first_order, second_order, b.index(1)];
        let sorted = b.for_carried(zero, b.index(passes), 1, &start, |_, state| {
            let (from, to, width) = (state[0], state[1], state[2]);
            let double = b.add(width, width);
            let runs = b.udiv(b.add(length, b.sub(double, b.index(1))), double);
            b.for_each(zero, runs, 1, |run| {
                let low = b.mul(run, double);
                let middle = b.smin(b.add(low, width), length);
                let high = b.smin(b.add(low, double), length);
                self.merge(from, to, (low, middle, high));
            });
            vec![to, from, double]
        });
        b.for_each(zero, length, 1, |n| {
            let order = b.load(Ty::scalar(Scalar::I32), b.address(sorted[0], Scalar::I32, n));
            b.store(order, b.address(self.output, Scalar::I32, element(n)));
        });
    }

    /// Merges two neighbouring runs; of equal keys the one from the left run comes first.
    fn merge(&self, from: V<'c>, to: V<'c>, (low, middle, high): (V<'c>, V<'c>, V<'c>)) {
        let b = self.env.b;
        let last = b.index(self.length - 1);
        let look = |at: V<'c>| {
            // Beyond the end of a run the position is not used, but must be readable.
            let at = b.address(from, Scalar::I32, b.smin(at, last));
            let order = b.load(Ty::scalar(Scalar::I32), at);
            let place = b.address(self.keys, Scalar::I64, b.convert(order, Scalar::I64));
            (order, b.load(Ty::scalar(Scalar::I64), place))
        };
        b.for_carried(low, high, 1, &[low, middle], |n, state| {
            let (left, right) = (state[0], state[1]);
            let ((left_order, left_key), (right_order, right_key)) = (look(left), look(right));
            let exhausted = b.cmp(Cmp::Ge, right, high);
            let wins = b.or(exhausted, b.cmp(Cmp::Le, left_key, right_key));
            let take = b.and(b.cmp(Cmp::Lt, left, middle), wins);
            let order = b.select(take, left_order, right_order);
            b.store(order, b.address(to, Scalar::I32, n));
            let step = b.zext(take, Scalar::I64);
            vec![b.add(left, step), b.add(right, b.sub(b.index(1), step))]
        });
    }

    /// A 64-bit integer that compares as the number does: NaN above all, both zeros alike.
    fn key(&self, v: V<'c>) -> V<'c> {
        let b = self.env.b;
        match self.dtype {
            DType::Bool => b.zext(v, Scalar::I64),
            dtype if dtype.is_float() => {
                let value = Val { v, dtype };
                let wide = cast(b, value, DType::F64).v;
                // −0 + 0 is 0.
                let wide = b.add(wide, b.float(wide.ty, 0.0));
                let bits = b.bitcast(wide, Scalar::I64);
                let flip = b.and(b.sar(bits, 63), b.int(bits.ty, i64::MAX));
                let key = b.xor(bits, flip);
                b.select(b.is_nan(wide), b.int(bits.ty, i64::MAX), key)
            }
            _ => b.convert(v, Scalar::I64),
        }
    }
}
