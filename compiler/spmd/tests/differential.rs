//! Partitioned = whole, bit for bit, on random programs, meshes and plans.

mod common;

use common::{Rng, check_case, ops, plans};
use einmesh_autodiff::testing::with_gradients;
use einmesh_interp::{Precision, evaluate, evaluate_spmd, mismatch, random_inputs};
use einmesh_ir::testing::{GenerateOptions, generate};

/// The number of cases: `EINMESH_SPMD_CASES`, or enough for every test run.
fn cases(default: u64) -> u64 {
    let given = std::env::var("EINMESH_SPMD_CASES").ok();
    given.and_then(|n| n.parse().ok()).unwrap_or(default)
}

#[test]
fn partitioned_programs_compute_what_whole_ones_do() {
    let first: u64 =
        std::env::var("EINMESH_SPMD_SEED").ok().and_then(|s| s.parse().ok()).unwrap_or(0);
    let mut failures = Vec::new();
    let total = cases(2000);
    for case in first..first + total {
        let program = ops::program(case, 6);
        let mut rng = Rng(case ^ 0xABCD_EF01);
        let mesh = plans::mesh(&mut rng);
        let plan = plans::any(&mut rng, &program, &mesh);
        if let Some(problem) = check_case(&program, &plan, case) {
            failures.push(case);
            if failures.len() == 1 {
                eprintln!("case {case}: {problem}");
            }
        }
    }
    assert!(failures.is_empty(), "{} of {total} cases fail: {failures:?}", failures.len());
}

/// What `--emit=spmd` prints is the whole program.
#[test]
fn partitioned_programs_have_a_text_form() {
    for case in 0..200 {
        let program = ops::program(case, 6);
        let mut rng = Rng(case ^ 0xABCD_EF01);
        let mesh = plans::mesh(&mut rng);
        let plan = plans::any(&mut rng, &program, &mesh);
        let spmd = einmesh_spmd::partition(&program, &plan);
        let text = einmesh_ir::text::print_spmd(&spmd);
        let parsed = einmesh_ir::text::parse_spmd(&text).expect("it parses");
        assert_eq!(einmesh_ir::text::print_spmd(&parsed), text, "case {case}");
    }
}

/// The same on the programs that the tests of every stage share, of all dtypes.
#[test]
fn shared_programs_agree_too() {
    let total = cases(500);
    for case in 0..total {
        let options = GenerateOptions { size: 1 + case as usize % 8, ..GenerateOptions::default() };
        let (program, specs) = generate(case, &options);
        let inputs = random_inputs(case, &specs);
        let mut rng = Rng(case ^ 0x1234_5678);
        let mesh = plans::mesh(&mut rng);
        let plan = plans::any(&mut rng, &program, &mesh);
        assert_eq!(einmesh_spmd::check(&program, &plan), [""; 0]);
        let spmd = einmesh_spmd::partition(&program, &plan);
        assert_eq!(einmesh_spmd::verify_collectives(&spmd), []);
        let whole = evaluate(&program, &inputs, Precision::Program).expect("runs");
        let parts = evaluate_spmd(&spmd, &inputs, Precision::Program);
        let parts = parts.unwrap_or_else(|error| panic!("case {case}: {error}"));
        for (a, b) in whole.iter().zip(&parts) {
            let different = mismatch(a, b, 0.0);
            assert_eq!(different, None, "case {case}");
        }
    }
}

/// Programs with their gradients, where f64 gives the same numbers: no order of summation matters.
#[test]
fn gradients_agree_too() {
    let mut compared = 0;
    for case in 0..cases(400) {
        let (program, specs) = generate(case, &GenerateOptions { size: 4, ..Default::default() });
        let Some(program) = with_gradients(&program) else { continue };
        let inputs = random_inputs(case, &specs);
        let run = |precision| evaluate(&program, &inputs, precision).expect("runs");
        let (whole, precise) = (run(Precision::Program), run(Precision::F64));
        if whole.iter().zip(&precise).any(|(a, b)| mismatch(a, b, 0.0).is_some()) {
            continue;
        }
        compared += 1;
        let mut rng = Rng(case ^ 0x1234_5678);
        let mesh = plans::mesh(&mut rng);
        let plan = plans::any(&mut rng, &program, &mesh);
        let spmd = einmesh_spmd::partition(&program, &plan);
        assert_eq!(einmesh_spmd::verify_collectives(&spmd), []);
        let parts = evaluate_spmd(&spmd, &inputs, Precision::Program);
        let parts = parts.unwrap_or_else(|error| panic!("case {case}: {error}"));
        for (a, b) in whole.iter().zip(&parts) {
            assert_eq!(mismatch(a, b, 0.0), None, "case {case}");
        }
    }
    assert!(compared > 100, "{compared} are exact");
}

/// Dims of no extent, as far as programs may have them.
#[test]
fn empty_dims_are_no_exception() {
    let mut tried = 0;
    for case in 0..cases(1500) {
        let mut program = ops::program(case, 4);
        let mut rng = Rng(case);
        let dims: Vec<_> = program.dims.ids().collect();
        program.dims[*rng.pick(&dims)].extent = 0;
        let runs = |program| evaluate(program, &common::inputs(program, case), Precision::Program);
        if !einmesh_ir::verify(&program).is_empty() || runs(&program).is_err() {
            continue;
        }
        let mesh = plans::mesh(&mut rng);
        let plan = plans::any(&mut rng, &program, &mesh);
        assert_eq!(check_case(&program, &plan, case), None, "case {case}");
        tried += 1;
    }
    assert!(tried >= 100, "only {tried} programs may be empty");
}
