//! Gradients, by the interpreter in f64.

#[path = "../common/mod.rs"]
mod common;
mod functions;
mod programs;

use einmesh_interp::{Data, Precision, Tensor, evaluate};
use einmesh_ir::Program;
use std::collections::BTreeMap;

/// Numbers by their paths, row-major.
type Named = BTreeMap<String, Vec<f64>>;

/// Numbers that depend on the seed and the position.
fn noise(seed: &str, n: usize) -> Vec<f64> {
    let unit = (1_u64 << 52) as f64;
    common::states(seed).take(n).map(|state| (state >> 11) as f64 / unit - 1.0).collect()
}

/// What a program computes.
fn run(program: &Program, given: &Named) -> Named {
    let tensors: Vec<Tensor> = program
        .inputs
        .iter()
        .map(|input| {
            let shape: Vec<usize> =
                program.extents(input.value).iter().map(|e| *e as usize).collect();
            let dtype = program.values[input.value].dtype;
            let numbers = &given[&input.path];
            match dtype.is_float() {
                true => Tensor::float(dtype, &shape, numbers.iter().copied()),
                false => Tensor::int(dtype, &shape, numbers.iter().map(|v| *v as i64)),
            }
        })
        .collect();
    let outputs = evaluate(program, &tensors, Precision::F64)
        .unwrap_or_else(|e| panic!("{e}\n{}", einmesh_ir::text::print(program)));
    let each = program.outputs.iter().zip(outputs).map(|(o, t)| {
        let numbers = match t.data {
            Data::Float(v) => v,
            Data::Int(v) => v.iter().map(|x| *x as f64).collect(),
        };
        (o.path.clone(), numbers)
    });
    each.collect()
}

fn close(a: f64, b: f64, absolute: f64, relative: f64) -> bool {
    (a - b).abs() <= absolute + relative * a.abs().max(b.abs())
}
