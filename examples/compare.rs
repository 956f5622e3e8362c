//! Compares the tensors of two safetensors files: `compare A B TOLERANCE`.
//!
//! Prints the largest difference of each tensor, absolute and relative to the largest element, and
//! fails if a relative one exceeds the tolerance or a tensor is missing.

use einmesh_models::{Tensor, read};
use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [a, b, tolerance] = args.as_slice() else {
        eprintln!("usage: compare A.safetensors B.safetensors TOLERANCE");
        return ExitCode::from(2);
    };
    match run(Path::new(a), Path::new(b), tolerance) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(message) => {
            eprintln!("error: {message}");
            ExitCode::from(2)
        }
    }
}

fn run(a: &Path, b: &Path, tolerance: &str) -> Result<bool, String> {
    let tolerance: f64 = tolerance.parse().map_err(|_| format!("`{tolerance}` is not a number"))?;
    let open = |path: &Path| read(path).map_err(|e| format!("{}: {e}", path.display()));
    let (a, b) = (open(a)?, open(b)?);
    let mut agree = a.len() == b.len();
    for x in &a {
        match b.iter().find(|y| y.name == x.name && y.shape == x.shape) {
            Some(y) => agree &= compare(x, y, tolerance),
            None => {
                println!("{}: only in the first file, or of another shape", x.name);
                agree = false;
            }
        }
    }
    Ok(agree)
}

fn compare(x: &Tensor, y: &Tensor, tolerance: f64) -> bool {
    let (a, b) = (x.data.to_f64(), y.data.to_f64());
    let largest = a.iter().fold(0.0f64, |m, v| m.max(v.abs()));
    // A NaN on either side must fail: `max` would swallow it.
    let difference = a.iter().zip(&b).map(|(p, q)| (p - q).abs());
    let worst = difference.fold(0.0f64, |m, d| if d.is_nan() { f64::INFINITY } else { m.max(d) });
    if largest == 0.0 {
        println!("{} {:?}: all zeros, so that agreement would say nothing", x.name, x.shape);
        return false;
    }
    let relative = worst / largest;
    let agree = relative <= tolerance;
    let verdict = if agree { "agree" } else { "DIFFER" };
    println!(
        "{} {:?}: {verdict}, largest difference {worst:.2e} ({relative:.2e} of the largest element)",
        x.name, x.shape
    );
    agree
}
