//! `--backend interp`: the reference interpreter on simulated devices, with the same files and reports
//! as generated code.

use crate::commands::{Stop, plural};
use einmesh_artifact::Manifest;
use einmesh_driver::{Products, interface};
use einmesh_exec::command::{Outcome, RunOptions};
use einmesh_exec::tensors::{self, ElementType, SafeTensors, Value};
use einmesh_interp::{Precision, Tensor, evaluate_spmd};
use einmesh_ir::{SpmdProgram, ValueId};
use std::time::Instant;

/// Runs a partitioned program in its own dtypes.
pub fn run(
    entry: &str,
    products: &Products,
    options: &RunOptions,
) -> Result<(Manifest, Outcome), Stop> {
    let failed = |e: &dyn std::fmt::Display| Stop::Failed(e.to_string());
    let spmd = &products.spmd;
    let manifest = interface(entry, products);
    let open = |path: &std::path::PathBuf| SafeTensors::open(path).map_err(|e| failed(&e));
    let params = options.params.as_ref().map(open).transpose()?;
    let files = options.inputs.iter().map(open).collect::<Result<Vec<_>, _>>()?;
    let bindings = tensors::bind(&manifest, params.as_ref(), &files).map_err(|e| failed(&e))?;
    let mut inputs = Vec::new();
    for (position, value) in bindings.values.iter().enumerate() {
        inputs.push(whole(spmd, &manifest, position, value).map_err(|e| failed(&e))?);
    }
    let mut run_ms = Vec::new();
    let mut results = Vec::new();
    for _ in 0..options.repeat {
        let start = Instant::now();
        results = evaluate_spmd(spmd, &inputs, Precision::Program).map_err(|e| failed(&e))?;
        run_ms.push(start.elapsed().as_secs_f64() * 1e3);
    }
    let outputs = manifest.outputs.iter().zip(&results).map(|(output, result)| {
        let mut shape = output.shape();
        shape.truncate(output.stacked());
        shape.extend(output.checkpoint_shape());
        let dtype = ElementType::of(output.dtype);
        (output.path.clone(), tensors::Tensor { dtype, shape, bytes: result.to_bytes() })
    });
    let outcome = Outcome {
        outputs: outputs.collect(),
        run_ms,
        profile: None,
        notes: bindings.notes,
        machine: format!("{}, interpreter", plural(spmd.mesh.devices(), "simulated device")),
    };
    Ok((manifest, outcome))
}

/// A bound value as a whole tensor of the program's dtype.
fn whole(
    spmd: &SpmdProgram,
    manifest: &Manifest,
    position: usize,
    value: &Value,
) -> Result<Tensor, String> {
    let program = &spmd.program;
    let of: ValueId = program.inputs[position].value;
    let dtype = program.values[of].dtype;
    let shape: Vec<usize> = spmd.inputs[position].dims.iter().map(|d| d.global as usize).collect();
    let count: usize = shape.iter().product();
    let source = value.pieces.concat();
    let mut bytes = vec![0; count * dtype.bytes() as usize];
    let to = ElementType::of(manifest.inputs[position].dtype);
    tensors::convert(value.dtype, to, &source, &mut bytes)?;
    let path = &program.inputs[position].path;
    Tensor::from_bytes(dtype, &shape, &bytes).ok_or_else(|| format!("`{path}` has another size"))
}
