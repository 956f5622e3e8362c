//! The generator's promises, kept by the evaluator: exact programs do not depend on precision, and
//! the others hardly do.

use super::*;
use crate::{mismatch, random_inputs};
use einmesh_ir::simplify_comprehension;
use einmesh_ir::testing::{GenerateOptions, Mode, Random, damage, generate};
use einmesh_ir::text::{parse, print};

fn evaluated(program: &Program, inputs: &[Tensor], precision: Precision, seed: u64) -> Vec<Tensor> {
    let result = evaluate(program, inputs, precision);
    result.unwrap_or_else(|e| panic!("seed {seed}: {e}\n{}", print(program)))
}

#[track_caller]
fn agree(program: &Program, seed: u64, expected: &[Tensor], got: &[Tensor], tolerance: f64) {
    for ((output, a), b) in program.outputs.iter().zip(expected).zip(got) {
        if let Some(difference) = mismatch(a, b, tolerance) {
            panic!("seed {seed}, {}: {difference}\n{}", output.path, print(program));
        }
    }
}

#[test]
fn exact_programs_are_exact_in_every_precision() {
    let options = GenerateOptions { size: 8, ..GenerateOptions::default() };
    for seed in 0..400 {
        let (program, specs) = generate(seed, &options);
        let inputs = random_inputs(seed, &specs);
        let [wide, narrow] = [Precision::F64, Precision::Program]
            .map(|precision| evaluated(&program, &inputs, precision, seed));
        agree(&program, seed, &wide, &narrow, 0.0);
    }
}

#[test]
fn float_programs_are_close_in_every_precision() {
    // Without half precision, whose errors are thousands of times larger.
    let options =
        GenerateOptions { size: 8, mode: Mode::Float, halves: false, ..GenerateOptions::default() };
    for seed in 0..400 {
        let (program, specs) = generate(seed, &options);
        let inputs = random_inputs(seed, &specs);
        let [wide, narrow] = [Precision::F64, Precision::Program]
            .map(|precision| evaluated(&program, &inputs, precision, seed));
        agree(&program, seed, &wide, &narrow, 1e-3);
    }
}

fn simplified(program: &Program) -> Program {
    fn block(program: &Program, ops: &mut [Op]) {
        for op in ops {
            match op {
                Op::Compute(c) => simplify_comprehension(program, c),
                Op::Loop(l) => block(program, &mut l.body.ops),
                _ => {}
            }
        }
    }
    let mut simple = program.clone();
    block(program, &mut simple.body.ops);
    simple
}

#[test]
fn simplification_never_changes_a_value() {
    for mode in [Mode::Exact, Mode::Float] {
        let options = GenerateOptions { size: 8, mode, ..GenerateOptions::default() };
        for seed in 1000..1300 {
            let (program, specs) = generate(seed, &options);
            let inputs = random_inputs(seed, &specs);
            let simple = simplified(&program);
            for precision in [Precision::F64, Precision::Program] {
                let before = evaluated(&program, &inputs, precision, seed);
                let after = evaluated(&simple, &inputs, precision, seed);
                agree(&simple, seed, &before, &after, 0.0);
            }
        }
    }
}

#[test]
fn whatever_verifies_runs_without_a_panic() {
    let mut random = Random::new(2);
    let (mut ran, mut refused) = (0, 0);
    for seed in 0..60 {
        let (program, _) = generate(seed, &GenerateOptions::default());
        let text = print(&program);
        for _ in 0..30 {
            let Ok(program) = parse(&damage(&text, &mut random)) else {
                continue;
            };
            // A damaged extent may be large: that is slow, not wrong.
            if program.dims.values().any(|d| d.extent > 12) {
                continue;
            }
            let inputs: Vec<Tensor> = program
                .inputs
                .iter()
                .map(|input| {
                    let extents = program.extents(input.value);
                    let shape: Vec<usize> = extents.into_iter().map(|n| n as usize).collect();
                    Tensor::zeros(program.values[input.value].dtype, &shape)
                })
                .collect();
            match evaluate(&program, &inputs, Precision::Program) {
                Ok(_) => ran += 1,
                Err(_) => refused += 1,
            }
        }
    }
    assert!(ran > 100 && refused > 100, "{ran} {refused}");
}
