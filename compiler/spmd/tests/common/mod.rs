//! Random programs, plans and inputs, and the differential check: partitioned = whole.

#![allow(dead_code)]

pub mod exprs;
pub mod mutate;
pub mod ops;
pub mod plans;

use einmesh_interp::{EvalError, Precision, Tensor, evaluate, evaluate_spmd};
use einmesh_ir::{DType, Program, SpmdProgram};
use einmesh_plan::Plan;

/// SplitMix64.
#[derive(Clone, Debug)]
pub struct Rng(pub u64);

impl Rng {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A number below `n`.
    pub fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }

    /// A number from `low` to `high`, both possible.
    pub fn range(&mut self, low: i64, high: i64) -> i64 {
        low + self.below((high - low + 1) as usize) as i64
    }

    /// True in `percent` of cases.
    pub fn chance(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }

    pub fn pick<'a, T>(&mut self, items: &'a [T]) -> &'a T {
        &items[self.below(items.len())]
    }

    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for i in (1..items.len()).rev() {
            items.swap(i, self.below(i + 1));
        }
    }
}

/// Small whole numbers for every input.
pub fn inputs(program: &Program, seed: u64) -> Vec<Tensor> {
    let mut rng = Rng(seed);
    let tensors = program.inputs.iter().map(|input| {
        let dtype = program.values[input.value].dtype;
        let shape: Vec<usize> = program.extents(input.value).iter().map(|e| *e as usize).collect();
        let count: usize = shape.iter().product();
        let mut number = |low, high| rng.range(low, high);
        match dtype {
            DType::Bool => Tensor::int(dtype, &shape, (0..count).map(|_| number(0, 1))),
            DType::Key => Tensor::int(dtype, &shape, (0..count).map(|_| number(0, 1 << 40))),
            _ if dtype.is_float() => {
                let elements: Vec<f64> = (0..count).map(|_| number(-3, 3) as f64).collect();
                Tensor::float(dtype, &shape, elements)
            }
            _ => Tensor::int(dtype, &shape, (0..count).map(|_| number(-2, 8))),
        }
    });
    tensors.collect()
}

/// What is wrong with the partitioned program, if anything: how it differs from the whole one.
pub fn differs(program: &Program, spmd: &SpmdProgram, inputs: &[Tensor]) -> Option<String> {
    let whole = evaluate(program, inputs, Precision::Program).expect("the whole program runs");
    differs_from(&whole, spmd, inputs)
}

/// As [`differs`], given what the whole program computes.
pub fn differs_from(whole: &[Tensor], spmd: &SpmdProgram, inputs: &[Tensor]) -> Option<String> {
    match evaluate_spmd(spmd, inputs, Precision::Program) {
        Err(error @ EvalError::Invalid(_)) => Some(format!("invalid: {error}")),
        Err(error) => Some(format!("error: {error}")),
        Ok(parts) => {
            let outputs = spmd.program.outputs.iter().zip(whole.iter().zip(&parts));
            let mut wrong = outputs.filter(|(_, (a, b))| a != b);
            wrong.next().map(|(output, (a, b))| format!("{}: {a:?}\nis not {b:?}", output.path))
        }
    }
}

/// Partitions, proves the collectives consistent, and compares.
pub fn check_case(program: &Program, plan: &Plan, seed: u64) -> Option<String> {
    let ill = einmesh_spmd::check(program, plan);
    assert!(ill.is_empty(), "the plan is well-formed: {ill:?}");
    let spmd = einmesh_spmd::partition(program, plan);
    let violations = einmesh_spmd::verify_collectives(&spmd);
    if !violations.is_empty() {
        return Some(format!("{violations:?}"));
    }
    differs(program, &spmd, &inputs(program, seed))
}
