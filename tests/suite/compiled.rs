//! Running programs natively, on the same tensors as the interpreter's.

use einmesh_artifact::Artifact;
use einmesh_codegen::{Level, Options as CodegenOptions, TargetKind, emit};
use einmesh_exec::tensors::{ElementType, Value};
use einmesh_exec::{Module, Options, Session};
use einmesh_interp::Tensor;
use einmesh_ir::{DType, SpmdProgram};

/// The best level of this machine.
pub fn level() -> Level {
    if is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512bw") {
        Level::X86_64V4
    } else {
        Level::X86_64V3
    }
}

/// Compiles a device's program to an artifact, through bytes and back.
pub fn build(spmd: &SpmdProgram, levels: &[Level]) -> Artifact {
    let graph = einmesh_schedule::schedule(spmd);
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
    let artifact = build(spmd, &[level()]);
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

/// The first place where two lists of tensors differ by more than `tolerance` of the larger one's
/// largest element; NaN equals NaN, and ±0 are equal.
pub fn difference(expected: &[Tensor], found: &[Tensor], tolerance: f64) -> Option<String> {
    for (n, (a, b)) in expected.iter().zip(found).enumerate() {
        let place =
            |i: usize| format!("output {n}, element {i}: {} and {}", a.element(i), b.element(i));
        if let Some(i) = a.ints().iter().zip(b.ints()).position(|(x, y)| x != y) {
            return Some(place(i));
        }
        let scale = a.floats().iter().filter(|x| x.is_finite()).fold(1.0f64, |m, x| m.max(x.abs()));
        let differ = |x: f64, y: f64| {
            let equal = x == y || (x.is_nan() && y.is_nan());
            !equal && ((x - y).abs() > tolerance * scale || x.is_nan() != y.is_nan())
        };
        if let Some(i) = a.floats().iter().zip(b.floats()).position(|(x, y)| differ(*x, *y)) {
            return Some(place(i));
        }
    }
    (expected.len() != found.len()).then(|| "the numbers of outputs differ".to_owned())
}
