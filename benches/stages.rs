//! How long each stage takes on GPT-2's forward pass over a 2×2 mesh, for 12 and for 96 layers: compile
//! time must not grow with depth.
//!
//! `cargo bench -p einmesh-benches --bench stages`; criterion keeps its reports in `target/criterion`. A
//! table of medians over whole compilations comes first.

use criterion::{BenchmarkId, Criterion};
use einmesh_driver::{Goal, Request, Session, Source, Stage, compile};
use std::hint::black_box;
use std::path::PathBuf;

const LAYERS: [u64; 2] = [12, 96];
const RUNS: usize = 9;

fn main() {
    table();
    let mut criterion = Criterion::default().sample_size(10).configure_from_args();
    stages(&mut criterion);
    criterion.final_summary();
}

fn request(layers: u64) -> Request {
    let file = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../models/gpt2.ein"));
    let mut request = Request::new(Source::File(file), "forward");
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
    println!(
        "{:>10} {:>12} {:>12}   milliseconds, medians of {RUNS}",
        "stage", "L=12", "L=96"
    );
    let columns = LAYERS.map(|layers| {
        let request = request(layers);
        (0..RUNS)
            .map(|_| compiled(&request).timings)
            .collect::<Vec<_>>()
    });
    let median = |mut times: Vec<f64>| {
        times.sort_by(f64::total_cmp);
        times[times.len() / 2]
    };
    for stage in Stage::ALL {
        let cells = columns.each_ref().map(|runs| {
            let of = |run: &Vec<(Stage, std::time::Duration)>| -> f64 {
                run.iter()
                    .filter(|(s, _)| *s == stage)
                    .map(|(_, t)| t.as_secs_f64() * 1e3)
                    .sum()
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

fn stages(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("gpt2 forward 2x2");
    for layers in LAYERS {
        let mut request = request(layers);
        for goal in [Goal::Interpret, Goal::Plan, Goal::Build] {
            request.goal = goal;
            let name = match goal {
                Goal::Interpret => "parse..spmd",
                Goal::Plan => "parse..schedule",
                Goal::Build => "parse..artifact",
            };
            let request = request.clone();
            group.bench_with_input(BenchmarkId::new(name, layers), &request, |b, request| {
                b.iter(|| compiled(request));
            });
        }
    }
    group.finish();
}
