//! Schedules replayed: what a schedule computes, kernel by kernel on its planned memory, is what the
//! program means. Each kernel is turned back into comprehensions for the reference evaluator, and the
//! steps run on real bytes, so that a wrong fusion and two lives in one place both show.

mod ahead;
mod lift;
mod machine;
mod panels;
mod symbolic;

use einmesh_autodiff::testing::with_gradients;
use einmesh_interp::{Precision, Tensor, evaluate, mismatch, random_inputs};
use einmesh_ir::testing::{GenerateOptions, Mode, generate};
use einmesh_ir::{SpmdProgram, text};
use einmesh_schedule::kernel::Body;
use einmesh_schedule::{KernelGraph, Options};

fn schedule(spmd: &SpmdProgram) -> KernelGraph {
    einmesh_schedule::schedule(spmd, &Options::default())
}

/// Small integers in floats: every order of summation gives the same bits.
#[test]
fn exact_programs_keep_their_meaning() {
    replay(&GenerateOptions { donations: true, ..GenerateOptions::default() }, 0.0);
}

/// What the generator makes of attention is scheduled as attention.
#[test]
fn attention_occurs() {
    let options = GenerateOptions { mode: Mode::Float, ..GenerateOptions::default() };
    let online = |seed: &u64| {
        let (program, _) = generate(*seed, &options);
        let graph = schedule(&SpmdProgram::whole(program));
        graph.kernels.iter().any(|k| matches!(k.body, Body::Online(_)))
    };
    assert!((0..300).filter(online).count() > 20);
}

/// What the generator makes of attention's gradients is scheduled as sums over points.
#[test]
fn gradients_of_attention_occur() {
    let options = GenerateOptions { mode: Mode::Float, ..GenerateOptions::default() };
    let sweep = |seed: &u64| {
        let (program, _) = generate(*seed, &options);
        let graph = schedule(&SpmdProgram::whole(program));
        graph.kernels.iter().any(|k| matches!(k.body, Body::Sweep(_)))
    };
    let found = (0..1000).filter(sweep).count();
    assert!(found > 2, "{found}");
}

/// What the generator makes of products with one factor is scheduled as siblings.
#[test]
fn siblings_occur() {
    let options = GenerateOptions::default();
    let siblings = |seed: &u64| {
        let (program, _) = generate(*seed, &options);
        let graph = schedule(&SpmdProgram::whole(program));
        graph.kernels.iter().any(|k| matches!(k.body, Body::Siblings(_)))
    };
    let found = (0..1000).filter(siblings).count();
    assert!(found > 20, "{found}");
}

/// Some functions of few indices get values of their own.
#[test]
fn tables_occur() {
    let options = GenerateOptions { mode: Mode::Float, ..GenerateOptions::default() };
    let table = |seed: &u64| {
        let graph = schedule(&SpmdProgram::whole(generate(*seed, &options).0));
        let text = graph.to_string();
        text.lines().any(|l| l.starts_with("buffer") && l.contains("_table "))
    };
    let found = (0..1000).filter(table).count();
    assert!(found > 5, "{found}");
}

/// Some new states are computed where the old ones lie, and some could not be.
#[test]
fn updates_in_place_occur() {
    let options = GenerateOptions { donations: true, ..GenerateOptions::default() };
    let (mut in_place, mut apart) = (0, 0);
    for seed in 0..200 {
        let graph = schedule(&SpmdProgram::whole(generate(seed, &options).0));
        for input in graph.inputs.iter() {
            let Some(output) = graph.outputs.iter().find(|o| o.path == input.path) else {
                continue;
            };
            match output.buffer == input.buffer {
                true => in_place += 1,
                false => apart += 1,
            }
        }
    }
    assert!(in_place > 50 && apart > 50, "{in_place} in place, {apart} apart");
}

/// Scaling a sum instead of its terms rounds differently.
#[test]
fn float_programs_keep_their_meaning() {
    let options = GenerateOptions {
        mode: Mode::Float,
        halves: false,
        donations: true,
        ..GenerateOptions::default()
    };
    replay(&options, 1e-5);
}

/// Programs with their gradients, where f64 gives the same numbers: no order of summation matters.
#[test]
fn gradients_keep_their_meaning() {
    let mut compared = 0;
    for seed in 0..400 {
        let (program, specs) = generate(seed, &GenerateOptions { size: 4, ..Default::default() });
        let Some(program) = with_gradients(&program) else { continue };
        let given: Vec<Tensor> = random_inputs(seed, &specs);
        let run = |precision| evaluate(&program, &given, precision).expect("a valid program");
        let (expected, precise) = (run(Precision::Program), run(Precision::F64));
        if expected.iter().zip(&precise).any(|(a, b)| mismatch(a, b, 0.0).is_some()) {
            continue;
        }
        compared += 1;
        let graph = schedule(&SpmdProgram::whole(program.clone()));
        for (a, b) in expected.iter().zip(&machine::run(&graph, &given)) {
            if let Some(place) = mismatch(a, b, 0.0) {
                panic!("seed {seed}: {place}\n{}\n{graph}", text::print(&program));
            }
        }
    }
    assert!(compared > 100, "{compared} are exact");
}

fn replay(options: &GenerateOptions, tolerance: f64) {
    let seeds = std::env::var("EINMESH_FUZZ").ok().and_then(|n| n.parse().ok()).unwrap_or(1000);
    for seed in 0..seeds {
        let (program, specs) = generate(seed, options);
        let given: Vec<Tensor> = random_inputs(seed, &specs);
        let expected = evaluate(&program, &given, Precision::Program).expect("a valid program");
        let graph = schedule(&SpmdProgram::whole(program.clone()));
        let found = machine::run(&graph, &given);
        for (a, b) in expected.iter().zip(&found) {
            if let Some(place) = mismatch(a, b, tolerance) {
                panic!("seed {seed}: {place}\n{}\n{graph}", text::print(&program));
            }
        }
    }
}

/// The arena of a random program is at most five percent larger than what is in use at once.
#[test]
fn arenas_are_close_to_their_bound() {
    for seed in 0..300 {
        let (program, _) = generate(seed, &GenerateOptions::default());
        let graph = schedule(&SpmdProgram::whole(program));
        let (arena, bound) = (graph.arena_bytes, graph.arena_bound);
        assert!(bound <= arena && arena * 100 <= bound * 105, "seed {seed}: {arena} of {bound}");
    }
}
