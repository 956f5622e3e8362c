//! Numbers that sums do not forgive, in every kind of matrix product, where IEEE 754 leaves no choice.
//!
//! Operands are small whole numbers, so that every order of summation gives the same sum, with a few NaN,
//! infinities and negative zeros among them: a result is then an exact number, an infinity, or NaN, whatever
//! kernel computes it. What a kernel reads beyond its rows or columns must not reach a result, nor may a zero of
//! padding meet an infinity.

use crate::common::make::*;
use crate::common::reference::{Number, write};
use crate::common::{EXACT, Tolerance, check_with, levels, small_blocks};
use crate::contraction::{Layout, matmul};
use crate::panels::linear;
use einmesh_codegen::Tuning;
use einmesh_ir::DType;
use einmesh_schedule::kernel::{Kernel, Role};

/// Whole numbers up to 3; one element in about `period` is special.
fn mixed(kernel: &Kernel, seed: u64, period: u64) -> Vec<Vec<u8>> {
    let special = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -0.0];
    numbers(kernel, seed, |rng, _| {
        let whole = (rng.next() % 7) as f64 - 3.0;
        match rng.next() % period {
            0 => special[(rng.next() % 4) as usize],
            _ => whole,
        }
    })
}

/// The left operand holds small multiples of the least number there is, the others whole numbers: products
/// and sums are exact, and denormal.
fn denormal(kernel: &Kernel, seed: u64) -> Vec<Vec<u8>> {
    let least = match kernel.values[0].dtype {
        DType::F64 => f64::from_bits(1),
        _ => f64::from(f32::from_bits(1)),
    };
    numbers(kernel, seed, |rng, operand| {
        let whole = (rng.next() % 7) as f64 - 3.0;
        if operand == 0 { whole * least } else { whole }
    })
}

/// A number for each element of each operand, by the operand's position.
fn numbers(kernel: &Kernel, seed: u64, number: impl Fn(&mut Rng, usize) -> f64) -> Vec<Vec<u8>> {
    let mut rng = Rng(seed ^ 0x5EC1A1);
    let outside = kernel.values.iter().filter(|v| v.role != Role::Local).enumerate();
    let bytes = outside.map(|(operand, value)| {
        let count: u64 = value.extents.iter().product();
        let elements = (0..count).flat_map(|_| {
            let x = number(&mut rng, operand);
            write(value.dtype, Number::Float(x))
        });
        elements.collect()
    });
    bytes.collect()
}

/// Products of every shape that has a kernel of its own: single elements, few rows, few columns, tiles
/// with rests, several steps.
fn products(dtypes: &[DType]) -> Vec<(Kernel, Tolerance)> {
    let sizes = [
        (1, 1, 7),
        (1, 200, 33),
        (2, 70, 100),
        (5, 33, 31),
        (8, 128, 64),
        (200, 1, 33),
        (90, 3, 50),
        (31, 47, 29),
        (43, 70, 130),
    ];
    let mut cases = Vec::new();
    for (number, (m, n, k)) in sizes.into_iter().enumerate() {
        for bits in 0..4 {
            let layout = Layout {
                dtype: dtypes[(number + bits) % dtypes.len()],
                m,
                n,
                k,
                lhs_transposed: bits & 1 != 0,
                rhs_transposed: bits & 2 != 0,
                out_transposed: number % 2 == 1,
            };
            cases.push((matmul(&layout), EXACT));
        }
    }
    cases
}

#[test]
fn nothing_is_lost_or_spread() {
    let cases = products(&[DType::F32, DType::F64, DType::Bf16]);
    for period in [40, 400] {
        check_with(&cases, Tuning::default(), |kernel, seed| mixed(kernel, seed, period));
    }
}

#[test]
fn panels_keep_what_they_hold() {
    let mut cases = Vec::new();
    for dtype in [DType::F32, DType::F64, DType::Bf16] {
        for (m, n, k) in [(1, 37, 33), (3, 100, 20), (8, 64, 40), (29, 70, 33)] {
            cases.push((linear(dtype, m, &[n], &[k], false), EXACT));
        }
    }
    for period in [40, 400] {
        check_with(&cases, Tuning::default(), |kernel, seed| mixed(kernel, seed, period));
    }
}

/// Steps and blocks, with sizes so small that there are several of each.
#[test]
fn blocks_keep_what_they_hold() {
    let cases = products(&[DType::F32]);
    let mut tuning = Tuning::default();
    for level in levels() {
        tuning.set(level, small_blocks(level, 48, 32, 8));
    }
    check_with(&cases, tuning, |kernel, seed| mixed(kernel, seed, 100));
}

/// Of bf16 the instructions for pairs take denormal numbers as zeros (`pairs.rs`); f32 and f64 keep them.
#[test]
fn denormal_numbers_are_kept() {
    check_with(&products(&[DType::F32, DType::F64]), Tuning::default(), denormal);
}
