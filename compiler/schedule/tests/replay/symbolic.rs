//! Schedules with extents as numbers: launched at many extents, they compute what the program means with those.

use crate::lift;
use einmesh_interp::{Precision, Tensor, evaluate, mismatch, random_inputs};
use einmesh_ir::testing::{GenerateOptions, generate, make_symbolic, with_extents};
use einmesh_ir::{DType, text};
use einmesh_schedule::symbolic::{Array, Order, Place, SymbolicGraph};

/// Runs one of a schedule's orders with numbers for its symbols.
fn run(graph: &SymbolicGraph, order: &Order, symbols: &[u64], inputs: &[Tensor]) -> Vec<Tensor> {
    let empty = |array: &Array| {
        let extents = array.extents.iter().map(|e| e.at(symbols));
        let shape: Vec<usize> = extents.map(|e| e as usize).collect();
        let bytes = shape.iter().product::<usize>() * array.dtype.bytes() as usize;
        // What is not written shows: a NaN, or a strange integer.
        let fill = if array.dtype == DType::Bool { 1 } else { 0xFF };
        Tensor::from_bytes(array.dtype, &shape, &vec![fill; bytes]).expect("sizes agree")
    };
    let mut outputs: Vec<Tensor> = graph.outputs.iter().map(empty).collect();
    let mut temporaries: Vec<Tensor> = order.temporaries.iter().map(empty).collect();
    let ints: Vec<i64> = symbols.iter().map(|n| *n as i64).collect();
    for launch in &order.launches {
        let kernel = graph.kernels[launch.kernel as usize].at(symbols);
        let of = |place: &Place| match place {
            Place::Input(n) => inputs[*n as usize].clone(),
            Place::Output(n) => outputs[*n as usize].clone(),
            Place::Temporary(n) => temporaries[*n as usize].clone(),
        };
        let before: Vec<Tensor> = launch.operands.iter().map(of).collect();
        let after = lift::launch(&kernel, &before, &ints);
        for (place, after) in launch.operands.iter().zip(after) {
            match place {
                Place::Input(_) => {}
                Place::Output(n) => outputs[*n as usize] = after,
                Place::Temporary(n) => temporaries[*n as usize] = after,
            }
        }
    }
    outputs
}

#[test]
fn symbolic_schedules_keep_their_meaning() {
    let options =
        GenerateOptions { loops: false, stores: false, sorts: false, ..Default::default() };
    let wanted = std::env::var("EINMESH_FUZZ").ok().and_then(|n| n.parse().ok());
    let (mut products, mut rows, mut shared) = (0, 0, 0);
    for seed in 0..wanted.unwrap_or(300) {
        let (mut program, specs) = generate(seed, &options);
        let symbols = make_symbolic(&mut program);
        let graph = einmesh_schedule::symbolic(&program, &symbols).expect("a straight line");
        assert_eq!(graph.symbols, symbols);
        let contraction = |k: &einmesh_schedule::symbolic::SymbolicKernel| {
            matches!(k.kernel.body, einmesh_schedule::kernel::Body::Contraction(_))
        };
        products += graph.kernels.iter().filter(|k| contraction(k)).count();
        let several = |k: &einmesh_schedule::symbolic::SymbolicKernel| match &k.kernel.body {
            einmesh_schedule::kernel::Body::Nest(nest) => nest.stages.len() > 1,
            _ => false,
        };
        rows += graph.kernels.iter().filter(|k| several(k)).count();
        shared += usize::from(graph.kernels.len() < graph.orders[0].launches.len());
        for shift in 0..3_u64 {
            let extents: Vec<u64> = (0..symbols.len() as u64)
                .map(|n| 1 + (seed + n * (shift + 1) + shift) % 7)
                .collect();
            let concrete = with_extents(&program, &symbols, &extents);
            let mut specs = specs.clone();
            for (spec, input) in specs.iter_mut().zip(&concrete.inputs) {
                spec.shape = concrete.extents(input.value);
            }
            let given = random_inputs(seed, &specs);
            let expected = evaluate(&concrete, &given, Precision::Program);
            let expected = expected.unwrap_or_else(|e| panic!("seed {seed}: {e:?}"));
            for (a, b) in expected.iter().zip(&run(&graph, &graph.orders[0], &extents, &given)) {
                if let Some(place) = mismatch(a, b, 0.0) {
                    panic!("seed {seed}, {extents:?}: {place}\n{}\n{graph}", text::print(&program));
                }
            }
        }
    }
    assert!(
        products > 50 && rows > 10 && shared > 0,
        "{products} products, {rows} rows, {shared} times one kernel for two"
    );
}
