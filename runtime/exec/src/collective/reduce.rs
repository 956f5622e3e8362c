//! Elementwise combination of the members' inputs, in the group's order.

use einmesh_artifact::{DType, Reduction};
use half::{bf16, f16};

/// Elements combined at once, in a buffer on the stack: enough for vector code, and small enough for
/// the first-level cache.
const BLOCK: usize = 512;

/// The same range of elements in every input and output; offsets in bytes.
pub(super) struct Range<'a> {
    pub(super) inputs: &'a [*const u8],
    pub(super) source: usize,
    pub(super) outputs: &'a [*mut u8],
    pub(super) target: usize,
    pub(super) count: usize,
}

/// An element in memory and the number it is combined as: bf16 and f16 as f32, rounded once.
trait Element: Copy {
    type Number: Number;
    fn load(self) -> Self::Number;
    fn store(number: Self::Number) -> Self;
}

/// A number that can be combined.
trait Number: Copy {
    const ZERO: Self;
    fn combine(reduction: Reduction, a: Self, b: Self) -> Self;
    /// e^(self − of); only floats.
    fn exp_minus(self, of: Self) -> Self;
    /// `self` + log(`sum`), or `self` if that is infinite or NaN; only floats.
    fn plus_log(self, sum: Self) -> Self;
}

/// Combines a range of all inputs and writes it to all outputs.
///
/// # Safety
///
/// Every pointer plus its offset must be valid for `count` elements and aligned to them; each output
/// is either disjoint from all inputs or exactly one of them, at the same offset.
pub(super) unsafe fn reduce(dtype: DType, reduction: Reduction, range: &Range) {
    // SAFETY: the element types have the sizes of the dtypes; the caller vouches for the rest.
    unsafe {
        match dtype {
            DType::F64 => typed::<f64>(reduction, range),
            DType::F32 => typed::<f32>(reduction, range),
            DType::Bf16 => typed::<bf16>(reduction, range),
            DType::F16 => typed::<f16>(reduction, range),
            DType::I64 | DType::Rng => typed::<i64>(reduction, range),
            DType::I32 => typed::<i32>(reduction, range),
            DType::Bool => typed::<u8>(reduction, range),
        }
    }
}

/// # Safety
///
/// As [`reduce`].
unsafe fn typed<E: Element>(reduction: Reduction, range: &Range) {
    let width = size_of::<E>();
    for begin in (0..range.count).step_by(BLOCK) {
        let count = BLOCK.min(range.count - begin);
        // SAFETY (both): `begin + i` is below the range's count.
        let load = |member: usize, i: usize| unsafe {
            let input = range.inputs[member].add(range.source + begin * width);
            input.cast::<E>().add(i).read().load()
        };
        let mut block = [E::Number::ZERO; BLOCK];
        let block = &mut block[..count];
        combine_block(reduction, range.inputs.len(), block, load);
        for output in range.outputs {
            let output = unsafe { output.add(range.target + begin * width).cast::<E>() };
            for (i, number) in block.iter().enumerate() {
                // SAFETY: as above; all inputs of this block have been read.
                unsafe { output.add(i).write(E::store(*number)) };
            }
        }
    }
}

fn combine_block<N: Number>(
    reduction: Reduction,
    members: usize,
    block: &mut [N],
    load: impl Fn(usize, usize) -> N,
) {
    let fold = |reduction: Reduction, block: &mut [N]| {
        for (i, number) in block.iter_mut().enumerate() {
            *number = load(0, i);
        }
        for member in 1..members {
            for (i, number) in block.iter_mut().enumerate() {
                *number = N::combine(reduction, *number, load(member, i));
            }
        }
    };
    if reduction != Reduction::LogSumExp {
        // One loop per reduction, so that none decides anything per element.
        return match reduction {
            Reduction::Sum => fold(Reduction::Sum, block),
            Reduction::Prod => fold(Reduction::Prod, block),
            Reduction::Max => fold(Reduction::Max, block),
            Reduction::Min => fold(Reduction::Min, block),
            other => fold(other, block),
        };
    }
    // log Σ exp(x) = m + log Σ exp(x − m) with m the largest x: nothing overflows.
    fold(Reduction::Max, block);
    for (i, number) in block.iter_mut().enumerate() {
        let largest = *number;
        let terms = (0..members).map(|member| load(member, i).exp_minus(largest));
        let sum = terms.fold(N::ZERO, |a, b| N::combine(Reduction::Sum, a, b));
        *number = largest.plus_log(sum);
    }
}

/// An element that is combined in its own type.
macro_rules! combines_as_it_is {
    ($type:ty) => {
        impl Element for $type {
            type Number = $type;

            #[inline(always)]
            fn load(self) -> $type {
                self
            }

            #[inline(always)]
            fn store(number: $type) -> $type {
                number
            }
        }
    };
}

macro_rules! float {
    ($type:ty) => {
        impl Number for $type {
            const ZERO: Self = 0.0;

            #[inline(always)]
            fn combine(reduction: Reduction, a: Self, b: Self) -> Self {
                match reduction {
                    Reduction::Sum | Reduction::LogSumExp => a + b,
                    Reduction::Prod => a * b,
                    // NaN wins: a comparison with it is false, so it is looked for on both sides.
                    Reduction::Max if a > b || a.is_nan() => a,
                    Reduction::Min if a < b || a.is_nan() => a,
                    Reduction::Max | Reduction::Min => b,
                    Reduction::Any => Self::from(u8::from(a != 0.0 || b != 0.0)),
                    Reduction::All => Self::from(u8::from(a != 0.0 && b != 0.0)),
                }
            }

            fn exp_minus(self, of: Self) -> Self {
                (self - of).exp()
            }

            fn plus_log(self, sum: Self) -> Self {
                if self.is_finite() { self + sum.ln() } else { self }
            }
        }

        combines_as_it_is!($type);
    };
}

macro_rules! integer {
    ($type:ty) => {
        impl Number for $type {
            const ZERO: Self = 0;

            #[inline(always)]
            fn combine(reduction: Reduction, a: Self, b: Self) -> Self {
                match reduction {
                    // Validation refuses LogSumExp of integers.
                    Reduction::Sum | Reduction::LogSumExp => a.wrapping_add(b),
                    Reduction::Prod => a.wrapping_mul(b),
                    Reduction::Max => a.max(b),
                    Reduction::Min => a.min(b),
                    Reduction::Any => Self::from(a != 0 || b != 0),
                    Reduction::All => Self::from(a != 0 && b != 0),
                }
            }

            fn exp_minus(self, _: Self) -> Self {
                0
            }

            fn plus_log(self, _: Self) -> Self {
                self
            }
        }

        combines_as_it_is!($type);
    };
}

macro_rules! half_float {
    ($type:ty) => {
        impl Element for $type {
            type Number = f32;

            #[inline(always)]
            fn load(self) -> f32 {
                self.to_f32()
            }

            #[inline(always)]
            fn store(number: f32) -> $type {
                <$type>::from_f32(number)
            }
        }
    };
}

float!(f64);
float!(f32);
integer!(i64);
integer!(i32);
integer!(u8);
half_float!(bf16);
half_float!(f16);
