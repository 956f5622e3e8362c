//! How long each stage takes on GPT-2's forward pass over a 2×2 mesh, for 12 and for 96 layers: compile
//! time must not grow with depth.
//!
//! `cargo bench -p einmesh-benches --bench stages`; criterion keeps its reports in `target/criterion`. A
//! table of medians over whole compilations comes first.

use criterion::Criterion;
use einmesh_diagnostics::FileId;
use einmesh_driver::{Goal, PRELUDE, Request, Session, Source, Stage, compile};
use einmesh_lower::Modules;
use std::collections::BTreeMap;
use std::hint::black_box;
use std::path::PathBuf;

const LAYERS: [u64; 2] = [12, 96];
const RUNS: usize = 9;
const MODEL: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../models/gpt2.ein");

fn main() {
    table();
    let mut criterion = Criterion::default().sample_size(10).configure_from_args();
    stages(&mut criterion);
    criterion.final_summary();
}

fn request(layers: u64) -> Request {
    let mut request = Request::new(Source::File(PathBuf::from(MODEL)), "forward");
    for (name, extent) in [("B", 4), ("T", 128), ("L", layers)] {
        request.options.dims.insert(name.to_owned(), extent);
    }
    let placement = &mut request.options.overrides;
    placement.mesh = Some(vec![("data".to_owned(), 2), ("tensor".to_owned(), 2)]);
    let dims = |names: &[&str]| names.iter().map(|n| (*n).to_owned()).collect();
    placement.shard = Some(vec![
        ("data".to_owned(), dims(&["B"])),
        ("tensor".to_owned(), dims(&["H", "F", "V"])),
    ]);
    request.verify = false;
    request
}

fn compiled(request: &Request) -> Session {
    let (session, result) = compile(black_box(request));
    assert!(result.is_ok(), "models/gpt2.ein compiles");
    session
}

/// Medians over whole compilations, stage by stage.
fn table() {
    println!("{:>10} {:>12} {:>12}   milliseconds, medians of {RUNS}", "stage", "L=12", "L=96");
    let columns = LAYERS.map(|layers| {
        let request = request(layers);
        (0..RUNS).map(|_| compiled(&request).timings).collect::<Vec<_>>()
    });
    let median = |mut times: Vec<f64>| {
        times.sort_by(f64::total_cmp);
        times[times.len() / 2]
    };
    for stage in Stage::ALL {
        let cells = columns.each_ref().map(|runs| {
            let of = |run: &Vec<(Stage, std::time::Duration)>| -> f64 {
                run.iter().filter(|(s, _)| *s == stage).map(|(_, t)| t.as_secs_f64() * 1e3).sum()
            };
            median(runs.iter().map(of).collect())
        });
        println!("{:>10} {:>12.2} {:>12.2}", stage.name(), cells[0], cells[1]);
    }
    let totals = columns.each_ref().map(|runs| {
        let of = |run: &Vec<(Stage, std::time::Duration)>| -> f64 {
            run.iter().map(|(_, t)| t.as_secs_f64() * 1e3).sum()
        };
        median(runs.iter().map(of).collect())
    });
    println!("{:>10} {:>12.2} {:>12.2}", "whole", totals[0], totals[1]);
}

/// Each stage alone, on what the stages before it gave.
fn stages(criterion: &mut Criterion) {
    let text = std::fs::read_to_string(MODEL).expect("models/gpt2.ein is there");
    for layers in LAYERS {
        let mut request = request(layers);
        request.goal = Goal::Plan;
        let (_, result) = compile(&request);
        let products = result.expect("models/gpt2.ein compiles");
        let mut group = criterion.benchmark_group(format!("gpt2 forward 2x2, {layers} layers"));
        group.bench_function("parse", |b| {
            b.iter(|| einmesh_syntax::parse(FileId(0), black_box(&text)));
        });
        let modules = modules(&text);
        group.bench_function("lower", |b| {
            b.iter(|| einmesh_lower::lower(black_box(&modules), &request.options));
        });
        let directives = match einmesh_lower::lower(&modules, &request.options).0 {
            Some(lowered) => lowered.directives,
            None => unreachable!("it was lowered before"),
        };
        group.bench_function("rewrite", |b| {
            let options = einmesh_rewrite::Options::default();
            b.iter(|| einmesh_rewrite::rewrite(black_box(&products.lowered), &options));
        });
        group.bench_function("plan", |b| {
            b.iter(|| einmesh_plan::plan(black_box(&products.program), &directives));
        });
        group.bench_function("spmd", |b| {
            b.iter(|| einmesh_spmd::partition(black_box(&products.program), &products.plan));
        });
        group.bench_function("schedule", |b| {
            b.iter(|| einmesh_schedule::schedule(black_box(&products.spmd), &Default::default()));
        });
        let graph = products.graph.as_ref().expect("the goal was a schedule");
        group.bench_function("codegen", |b| {
            let options = einmesh_codegen::Options::default();
            b.iter(|| einmesh_codegen::emit(black_box(graph), &options));
        });
        group.finish();
    }
}

fn modules(text: &str) -> Modules {
    let parsed = |text: &str| einmesh_syntax::parse(FileId(0), text).0;
    Modules {
        root: "gpt2.ein".to_owned(),
        files: BTreeMap::from([("gpt2.ein".to_owned(), parsed(text))]),
        prelude: parsed(PRELUDE),
    }
}
