//! `einsum!` and the crates of matrix products, for `make bench`: `einmesh-bench-crates SYSTEM THREADS` prepares and
//! times einsums. The protocol is that of `benches/timer`.

mod arrays;
mod contract;
mod einsums;
mod products;
mod small;

#[path = "../../timer/clock.rs"]
#[allow(dead_code)]
mod clock;

use einmesh_models::generator::uniform;
use serde::Deserialize;
use serde_json::{Value, json};
use std::hint::black_box;
use std::io::Write;

/// A line of stdin.
#[derive(Deserialize)]
#[serde(tag = "op", rename_all = "snake_case")]
enum Request {
    /// Makes the operands and computes once.
    Prepare(Case),
    /// Computes again and again.
    Time {
        /// For so long.
        budget_s: f64,
    },
    /// Writes the result's numbers as they are in memory.
    Write {
        /// To this file.
        path: std::path::PathBuf,
    },
}

/// An einsum of f32.
#[derive(Deserialize)]
pub struct Case {
    /// Its name in the suite.
    name: String,
    /// `btd,df->btf`.
    expression: String,
    /// The operands' shapes.
    shapes: Vec<Vec<usize>>,
    /// Operands are the uniform numbers in ±½ of these seeds.
    seeds: Vec<u32>,
    /// Which two of the operands that are left are contracted, in turn; the result becomes the last.
    path: Vec<Vec<usize>>,
}

/// Computes an einsum and shows the result.
pub type Run = Box<dyn FnMut(&mut dyn FnMut(&[f32])) -> Result<(), String>>;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [system, threads] = arguments.as_slice() else {
        eprintln!("usage: einmesh-bench-crates SYSTEM THREADS");
        std::process::exit(2);
    };
    let threads = threads.parse().expect("a number of threads");
    rayon::ThreadPoolBuilder::new().num_threads(threads).build_global().expect("the first pool");
    let mut run = None;
    for line in std::io::stdin().lines() {
        let Ok(line) = line else { return };
        let answer = answer(&mut run, &line, system, threads).unwrap_or_else(|why| json!({ "error": why }));
        let mut stdout = std::io::stdout().lock();
        if writeln!(stdout, "{answer}").and_then(|()| stdout.flush()).is_err() {
            return;
        }
    }
}

fn answer(run: &mut Option<Run>, line: &str, system: &str, threads: usize) -> Result<Value, String> {
    let request: Request = serde_json::from_str(line).map_err(|why| why.to_string())?;
    if let Request::Prepare(case) = request {
        *run = None;
        let mut made = prepared(case, system, threads)?;
        made(&mut |_| ())?;
        *run = Some(made);
        return Ok(json!({}));
    }
    let run = run.as_mut().ok_or("nothing has been prepared")?;
    match request {
        Request::Prepare(_) => unreachable!("done above"),
        Request::Time { budget_s } => {
            clock::time(budget_s, || run(&mut |result| _ = black_box(result)))
        }
        Request::Write { path } => {
            let mut written = Ok(());
            run(&mut |result| {
                let bytes: Vec<u8> = result.iter().flat_map(|x| x.to_le_bytes()).collect();
                written = std::fs::write(&path, bytes);
            })?;
            written.map(|()| json!({})).map_err(|why| why.to_string())
        }
    }
}

fn prepared(case: Case, system: &str, threads: usize) -> Result<Run, String> {
    let operands = case.shapes.iter().zip(&case.seeds);
    let operands: Vec<(Vec<usize>, Vec<f32>)> =
        operands.map(|(shape, seed)| (shape.clone(), uniform(shape.iter().product(), *seed, 1.0))).collect();
    // What a call costs is no einsum of the suite.
    let small = case.name == "call";
    let (ndarray, faer, gemm) = (products::Ndarray, products::Faer { threads }, products::Gemm { threads });
    match system {
        "einmesh" if small => Ok(small::known()),
        "einmesh open" if small => Ok(small::open()),
        "ndarray" if small => Ok(small::crates(ndarray)),
        "faer" if small => Ok(small::crates(faer)),
        "gemm" if small => Ok(small::crates(gemm)),
        "einmesh" => einsums::known(&case.name, operands),
        "einmesh open" => einsums::open(&case.name, operands),
        "ndarray" => contract::run(&case, operands, ndarray),
        "faer" => contract::run(&case, operands, faer),
        "gemm" => contract::run(&case, operands, gemm),
        _ => Err(format!("there is no system `{system}`")),
    }
}
