//! Running programs natively, on the same tensors as the interpreter's.

use einmesh_artifact::Artifact;
use einmesh_codegen::{Level, Options as CodegenOptions, TargetKind, emit};
use einmesh_exec::tensors::{ElementType, Value};
use einmesh_exec::{Module, Options, Session};
use einmesh_interp::{Tensor, mismatch};
use einmesh_ir::{DType, SpmdProgram};

/// The best level of this machine, and what it adds to.
pub fn levels() -> Vec<Level> {
    if !is_x86_feature_detected!("avx512f") || !is_x86_feature_detected!("avx512bw") {
        vec![Level::X86_64V3]
    } else if is_x86_feature_detected!("avx512bf16") {
        vec![Level::X86_64V4Bf16, Level::X86_64V4]
    } else {
        vec![Level::X86_64V4]
    }
}

/// Compiles a device's program to an artifact, through bytes and back.
pub fn build(spmd: &SpmdProgram, levels: &[Level]) -> Artifact {
    let graph = einmesh_schedule::schedule(spmd, &Default::default());
    let target = TargetKind::Cpu(levels.to_vec());
    let options = CodegenOptions { target, threads: 1, ..CodegenOptions::default() };
    let emitted = match emit(&graph, &options) {
        Ok(emitted) => emitted,
        Err(bug) => panic!("{bug}\n{}", einmesh_ir::text::print_spmd(spmd)),
    };
    let artifact = einmesh_driver::assemble("test", &spmd.mesh, graph, emitted, Vec::new());
    Artifact::read(&artifact.write()).expect("what is written is valid")
}

/// Runs a device's program natively on whole tensors.
pub fn run(spmd: &SpmdProgram, inputs: &[Tensor]) -> Vec<Tensor> {
    let artifact = build(spmd, &levels());
    let module = Module::load(&artifact).expect("this machine runs its own level");
    let options = Options { threads: 2, ..Options::default() };
    let mut session = Session::new(module, options).expect("memory for a small program");
    for (position, input) in inputs.iter().enumerate() {
        let bytes = input.to_bytes();
        let value = Value { dtype: element(input.dtype), pieces: vec![&bytes] };
        session.bind(position, &value).expect("inputs fit");
    }
    session.run().expect("kernels end");
    let outputs = spmd.program.outputs.iter().enumerate();
    outputs
        .map(|(position, output)| {
            let found = session.output(position).expect("it ran");
            let dtype = spmd.program.values[output.value].dtype;
            let dims = &spmd.outputs[position].dims;
            let shape: Vec<usize> = dims.iter().map(|d| d.global as usize).collect();
            Tensor::from_bytes(dtype, &shape, &found.bytes).expect("outputs have their shape")
        })
        .collect()
}

fn element(dtype: DType) -> ElementType {
    ElementType::of(einmesh_schedule::stored(dtype))
}

/// The first place where two lists of tensors differ; see [`mismatch`] for what the tolerance is of.
pub fn difference(expected: &[Tensor], found: &[Tensor], tolerance: f64) -> Option<String> {
    if expected.len() != found.len() {
        return Some("the numbers of outputs differ".to_owned());
    }
    let mut pairs = expected.iter().zip(found).enumerate();
    pairs.find_map(|(n, (a, b))| Some(format!("output {n}: {}", mismatch(a, b, tolerance)?)))
}
