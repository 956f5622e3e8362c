//! Random programs: what the compiler makes of them computes what the interpreter says.

#[path = "../../compiler/spmd/tests/common/mod.rs"]
pub mod parted;

use crate::compiled::{difference, run};
use einmesh_autodiff::testing::with_gradients;
use einmesh_interp::{Precision, Tensor, evaluate, random_inputs};
use einmesh_ir::testing::{GenerateOptions, Mode, generate};
use einmesh_ir::{Program, SpmdProgram, text};
use einmesh_rewrite::Numerics;
use std::sync::atomic::{AtomicU64, Ordering};

/// Programs per run, half of them exact.
fn count() -> u64 {
    std::env::var("EINMESH_FUZZ").ok().and_then(|n| n.parse().ok()).unwrap_or(1000)
}

/// Runs `check` for every seed on all cores, and reports all that fail.
fn for_seeds(seeds: std::ops::Range<u64>, check: impl Fn(u64) -> Result<(), String> + Sync) {
    let next = AtomicU64::new(seeds.start);
    let failures = std::sync::Mutex::new(Vec::new());
    let workers = std::thread::available_parallelism().map_or(1, |n| n.get());
    std::thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= seeds.end {
                        return;
                    }
                    if let Err(failure) = check(seed) {
                        failures.lock().expect("no worker panics").push((seed, failure));
                    }
                }
            });
        }
    });
    let mut failures = failures.into_inner().expect("no worker panics");
    failures.sort();
    assert!(failures.is_empty(), "{} seeds fail, first {:?}", failures.len(), failures[0]);
}

/// Small integers in floats: every order of summation gives the same bits.
#[test]
fn exact_programs_agree_bit_for_bit() {
    let options = || GenerateOptions { donations: true, ..GenerateOptions::default() };
    for_seeds(0..count() / 2, |seed| check(seed, &options(), 0.0));
}

/// f32 and f64: sums of up to a few thousand terms, and functions of 2 ulp.
#[test]
fn float_programs_agree_within_rounding() {
    let options = || GenerateOptions {
        mode: Mode::Float,
        halves: false,
        donations: true,
        ..GenerateOptions::default()
    };
    for_seeds(0..count() / 4, |seed| check(seed, &options(), 1e-4));
}

/// With bf16 and f16 in between, a function's last bit can decide a rounding: one of bf16's 8 bits, and
/// what a later operation makes of it.
#[test]
fn half_precision_programs_agree_within_its_rounding() {
    let options = || GenerateOptions { mode: Mode::Float, ..GenerateOptions::default() };
    for_seeds(0..count() / 4, |seed| check(seed, &options(), 2e-2));
}

/// Rewritten as by default, the interpreter's numbers stay those of the program in f64.
#[test]
fn rewritten_programs_agree_in_f64() {
    let options = GenerateOptions { mode: Mode::Float, ..GenerateOptions::default() };
    for_seeds(0..count() / 8, |seed| {
        let (program, specs) = generate(seed, &options);
        let rewritten = einmesh_rewrite::rewrite(&program, &Default::default()).program;
        let inputs = random_inputs(seed, &specs);
        let run = |p| evaluate(p, &inputs, Precision::F64).map_err(|e| format!("{e:?}"));
        match difference(&run(&program)?, &run(&rewritten)?, 1e-6) {
            None => Ok(()),
            Some(place) => {
                let [before, after] = [&program, &rewritten].map(text::print);
                Err(format!("{place}\n{before}\n{after}"))
            }
        }
    });
}

/// Everything at once: rewritten without changing a bit, split at random over up to 12 devices, and run
/// natively.
#[test]
fn partitioned_programs_agree_bit_for_bit() {
    for_seeds(0..count() / 4, |seed| {
        let options = GenerateOptions::default();
        let (program, specs) = generate(seed, &options);
        let spmd = partitioned(seed, &program);
        let inputs = random_inputs(seed, &specs);
        let expected = evaluate(&program, &inputs, Precision::Program);
        let expected = expected.map_err(|e| format!("{e:?}"))?;
        compare(&expected, &spmd, &inputs, 0.0)
    });
}

/// A program rewritten without changing a bit and split at random over devices.
fn partitioned(seed: u64, program: &Program) -> SpmdProgram {
    let exact = einmesh_rewrite::Options { numerics: Numerics::Exact, ..Default::default() };
    let rewritten = einmesh_rewrite::rewrite(program, &exact).program;
    let mut rng = parted::Rng(seed);
    let mesh = parted::plans::mesh(&mut rng);
    let plan = parted::plans::any(&mut rng, &rewritten, &mesh);
    einmesh_spmd::partition(&rewritten, &plan)
}

/// A random program with its gradient and inputs. `None` if it has none, or if its numbers depend so much on
/// rounding that f64 gives others.
fn with_gradient(
    seed: u64,
    options: &GenerateOptions,
    tolerance: f64,
) -> Option<(Program, Vec<Tensor>, Vec<Tensor>)> {
    let (program, specs) = generate(seed, options);
    let program = with_gradients(&program)?;
    let inputs = random_inputs(seed, &specs);
    let expected = evaluate(&program, &inputs, Precision::Program).ok()?;
    let precise = evaluate(&program, &inputs, Precision::F64).ok()?;
    let stable = difference(&precise, &expected, tolerance).is_none();
    let small = |t: &Tensor| t.floats().iter().all(|x| x.is_finite() && x.abs() < 1e5);
    (stable && expected.iter().all(small)).then_some((program, inputs, expected))
}

/// Programs with their gradients: where f32 and f64 agree exactly, so does generated code.
#[test]
fn exact_gradients_agree_bit_for_bit() {
    for_seeds(0..count() / 4, |seed| {
        let options = GenerateOptions { size: 4, ..GenerateOptions::default() };
        let Some((program, inputs, expected)) = with_gradient(seed, &options, 0.0) else {
            return Ok(());
        };
        let tolerance = shares(&program);
        compare(&expected, &SpmdProgram::whole(program), &inputs, tolerance)
    });
}

/// The tolerance for a gradient of small integers: none, but where it is shared among ties. The sum of three thirds
/// depends on where it begins.
fn shares(program: &Program) -> f64 {
    if text::print(program).contains(" / ") { 1e-6 } else { 0.0 }
}

/// Programs with their gradients, where rounding does not decide what they are.
#[test]
fn float_gradients_agree_within_rounding() {
    for_seeds(0..count() / 4, |seed| {
        let mode = Mode::Float;
        let options = GenerateOptions { mode, halves: false, size: 5, ..Default::default() };
        let Some((program, inputs, expected)) = with_gradient(seed, &options, 1e-4) else {
            return Ok(());
        };
        compare(&expected, &SpmdProgram::whole(program), &inputs, 1e-3)
    });
}

/// Rewritten without changing a bit, split at random over devices, and run natively.
#[test]
fn partitioned_gradients_agree_bit_for_bit() {
    for_seeds(0..count() / 8, |seed| {
        let options = GenerateOptions { size: 4, ..GenerateOptions::default() };
        let Some((program, inputs, expected)) = with_gradient(seed, &options, 0.0) else {
            return Ok(());
        };
        let spmd = partitioned(seed, &program);
        compare(&expected, &spmd, &inputs, shares(&program))
    });
}

fn check(seed: u64, options: &GenerateOptions, tolerance: f64) -> Result<(), String> {
    let (program, specs) = generate(seed, options);
    let inputs: Vec<Tensor> = random_inputs(seed, &specs);
    let expected = evaluate(&program, &inputs, Precision::Program).map_err(|e| format!("{e:?}"))?;
    compare(&expected, &SpmdProgram::whole(program), &inputs, tolerance)
}

fn compare(
    expected: &[Tensor],
    spmd: &SpmdProgram,
    inputs: &[Tensor],
    tolerance: f64,
) -> Result<(), String> {
    match difference(expected, &run(spmd, inputs), tolerance) {
        None => Ok(()),
        Some(place) => Err(format!("{place}\n{}", text::print_spmd(spmd))),
    }
}
