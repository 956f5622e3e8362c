//! What programs compute, through the interpreter in f64, against references written out here and against PyTorch.

#[path = "../common/mod.rs"]
mod common;
mod constructs;
mod fragments;
mod library;
mod models;

use common::{from_file, from_text, lowered, options};
use einmesh_interp::{Data, Precision, Tensor, evaluate};
use einmesh_lower::Options;
use std::collections::BTreeMap;

/// Inputs and outputs by their paths, row-major.
type Named = BTreeMap<String, Vec<f64>>;

/// Numbers in −1..1 with so few digits that bf16 holds them, which depend on the seed and the position.
fn noise(seed: &str, n: usize) -> Vec<f64> {
    common::states(seed).take(n).map(|state| (state >> 57) as f64 / 64.0 - 1.0).collect()
}

fn run(source: &common::Source, options: &Options, given: &[(&str, Vec<f64>)]) -> Named {
    run_in(Precision::F64, source, options, given)
}

fn run_in(
    precision: Precision,
    source: &common::Source,
    options: &Options,
    given: &[(&str, Vec<f64>)],
) -> Named {
    let program = lowered(source, options).program;
    let mut named = Named::new();
    let mut inputs = Vec::new();
    for input in &program.inputs {
        let shape: Vec<usize> = program.extents(input.value).iter().map(|e| *e as usize).collect();
        let n = shape.iter().product();
        let found = given.iter().find(|(path, _)| *path == input.path).map(|(_, v)| v.clone());
        let numbers = found.unwrap_or_else(|| noise(&input.path, n));
        assert_eq!(numbers.len(), n, "{}", input.path);
        let dtype = program.values[input.value].dtype;
        inputs.push(match dtype.is_float() {
            true => Tensor::float(dtype, &shape, numbers.iter().copied()),
            false => Tensor::int(dtype, &shape, numbers.iter().map(|v| *v as i64)),
        });
        named.insert(format!("in:{}", input.path), numbers);
    }
    let outputs = evaluate(&program, &inputs, precision).unwrap_or_else(|e| panic!("{e}"));
    for (output, tensor) in program.outputs.iter().zip(outputs) {
        let numbers = match tensor.data {
            Data::Float(v) => v.to_vec(),
            Data::Int(v) => v.iter().map(|x| *x as f64).collect(),
        };
        named.insert(output.path.clone(), numbers);
    }
    named
}

fn run_text(text: &str, entry: &str, defines: &str, given: &[(&str, Vec<f64>)]) -> Named {
    run(&from_text("tests/programs/test.ein", text), &options(entry, defines), given)
}

fn close(got: &[f64], expected: &[f64], tolerance: f64) {
    assert_eq!(got.len(), expected.len());
    for (at, (g, e)) in got.iter().zip(expected).enumerate() {
        let same =
            (g - e).abs() <= tolerance * e.abs().max(1.0) || g == e || (g.is_nan() && e.is_nan());
        assert!(same, "at {at}: {g} instead of {e}");
    }
}
