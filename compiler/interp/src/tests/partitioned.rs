//! Partitioned programs: cutting, collectives, agreement, assembling.

use super::*;
use crate::evaluate_spmd;
use einmesh_ir::spmd::Provenance;
use einmesh_ir::{
    Collective, CollectiveKind, DimLayout, Layout, Mesh, MeshAxisId, Rank, SpmdProgram,
};

const A: MeshAxisId = MeshAxisId(0);
const B: MeshAxisId = MeshAxisId(1);

fn split(global: u64, local: u64, axes: &[MeshAxisId]) -> Layout {
    Layout { dims: vec![DimLayout { global, local, axes: axes.to_vec() }] }
}

/// Sends a vector of `given` elements per device through a collective that returns `received`.
fn exchange(
    mesh: &Mesh,
    kind: CollectiveKind,
    axes: &[MeshAxisId],
    (given, received): (u64, u64),
    layouts: [Layout; 2],
) -> Result<Vec<f64>, EvalError> {
    let mut b = Builder::new("spmd");
    let (i, o) = (b.dim("I", given), b.dim("O", received));
    let input = b.input("x", DType::F32, &[i]);
    let out = b.value("y", DType::F32, &[o]);
    b.output(out);
    let (axes, provenance) = (axes.to_vec(), Provenance::default());
    let op = Collective { kind, axes, input, out, provenance };
    b.program.body.ops.push(Op::Collective(op));
    let [input, output] = layouts;
    let whole = input.dims[0].global;
    let (inputs, outputs) = (vec![input], vec![output]);
    let spmd = SpmdProgram { program: b.finish(), mesh: mesh.clone(), inputs, outputs };
    let x = Tensor::float(DType::F32, &[whole as usize], (0..whole).map(|x| x as f64));
    Ok(evaluate_spmd(&spmd, &[x], Precision::Program)?[0].floats().to_vec())
}

#[test]
fn collectives_on_one_axis() {
    let mesh = Mesh::new([("a", 2)]);
    let run = |kind, local, global| {
        exchange(&mesh, kind, &[A], (4, local), [split(8, 4, &[A]), split(global, local, &[A])])
    };
    // Each device gathers everything, so the parts of both, one after the other, are twice that.
    let gathered = run(CollectiveKind::AllGather { position: 0 }, 8, 16).unwrap();
    same(&gathered, &[(0..8), (0..8)].map(|r| r.map(f64::from).collect::<Vec<_>>()).concat());
    let reducer = Reducer::Sum;
    let summed = run(CollectiveKind::AllReduce(reducer), 4, 8).unwrap();
    same(&summed, &[4.0, 6.0, 8.0, 10.0, 4.0, 6.0, 8.0, 10.0]);
    let largest = run(CollectiveKind::AllReduce(Reducer::Max), 4, 8).unwrap();
    same(&largest, &[4.0, 5.0, 6.0, 7.0, 4.0, 5.0, 6.0, 7.0]);
    let scattered = run(CollectiveKind::ReduceScatter { reducer, position: 0 }, 2, 4).unwrap();
    same(&scattered, &[4.0, 6.0, 8.0, 10.0]);
    let transposed = run(CollectiveKind::AllToAll { split: 0, concat: 0 }, 4, 8).unwrap();
    same(&transposed, &[0.0, 1.0, 4.0, 5.0, 2.0, 3.0, 6.0, 7.0]);
    let shifted = run(CollectiveKind::CollectivePermute { shift: 1, wrap: false }, 4, 8).unwrap();
    same(&shifted, &[0.0, 0.0, 0.0, 0.0, 0.0, 1.0, 2.0, 3.0]);
    let rotated = run(CollectiveKind::CollectivePermute { shift: -1, wrap: true }, 4, 8).unwrap();
    same(&rotated, &[4.0, 5.0, 6.0, 7.0, 0.0, 1.0, 2.0, 3.0]);
}

#[test]
fn groups_and_axis_order() {
    // Split over a then b; gathering over b restores each half, which a still splits.
    let mesh = Mesh::new([("a", 2), ("b", 2)]);
    let kind = CollectiveKind::AllGather { position: 0 };
    let layouts = [split(4, 1, &[A, B]), split(4, 2, &[A])];
    let halves = exchange(&mesh, kind.clone(), &[B], (1, 2), layouts).unwrap();
    same(&halves, &[0.0, 1.0, 2.0, 3.0]);
    // Over both, major to minor: everything, everywhere.
    let layouts = [split(4, 1, &[A, B]), split(4, 4, &[])];
    let whole = exchange(&mesh, kind.clone(), &[A, B], (1, 4), layouts).unwrap();
    same(&whole, &[0.0, 1.0, 2.0, 3.0]);
    // In the other order the blocks come in another order, the same on all devices.
    let layouts = [split(4, 1, &[A, B]), split(4, 4, &[])];
    let swapped = exchange(&mesh, kind, &[B, A], (1, 4), layouts).unwrap();
    same(&swapped, &[0.0, 2.0, 1.0, 3.0]);
}

#[test]
fn devices_that_disagree_are_found() {
    let mesh = Mesh::new([("a", 2)]);
    let kind = CollectiveKind::CollectivePermute { shift: 1, wrap: true };
    let layouts = [split(8, 4, &[A]), split(4, 4, &[])];
    let error = exchange(&mesh, kind, &[A], (4, 4), layouts).unwrap_err();
    assert_eq!(
        error.to_string(),
        "devices disagree about `y` at [0]: rank 0 has 4.0, rank 1 has 0.0"
    );
}

/// Row sums with the summed dim of 5 split over 2 devices: 3 positions each, the last padding.
fn padded(masked: bool) -> Vec<f64> {
    let mut b = Builder::new("spmd");
    let (i, j) = (b.dim("I", 1), b.dim("J", 3));
    let x = b.input("x", DType::F32, &[i, j]);
    let part = b.compute("part", DType::F32, &[i], &[j], Reducer::Sum, |ix| load(x, ix));
    if masked {
        let Some(Op::Compute(c)) = b.program.body.ops.last_mut() else { unreachable!() };
        let start = binary(BinaryOp::Mul, Expr::Coord(A), Expr::int(3));
        let global = binary(BinaryOp::Add, start, Expr::Index(einmesh_ir::IndexId(1)));
        c.guard = Some(binary(BinaryOp::Lt, global, Expr::int(5)));
    }
    let out = b.value("out", DType::F32, &[i]);
    let kind = CollectiveKind::AllReduce(Reducer::Sum);
    let (axes, provenance) = (vec![A], Provenance::default());
    let op = Collective { kind, axes, input: part, out, provenance };
    b.program.body.ops.push(Op::Collective(op));
    b.output(out);
    let whole = |n| DimLayout { global: n, local: n, axes: vec![] };
    let input = Layout { dims: vec![whole(1), DimLayout { global: 5, local: 3, axes: vec![A] }] };
    let spmd = SpmdProgram {
        program: b.finish(),
        mesh: Mesh::new([("a", 2)]),
        inputs: vec![input],
        outputs: vec![Layout { dims: vec![whole(1)] }],
    };
    let x = Tensor::float(DType::F32, &[1, 5], [1.0, 2.0, 3.0, 4.0, 5.0]);
    evaluate_spmd(&spmd, &[x], Precision::Program).unwrap()[0].floats().to_vec()
}

#[test]
fn padding_is_poison_unless_masked() {
    same(&padded(true), &[15.0]);
    same(&padded(false), &[f64::NAN]);
}

#[test]
fn padding_of_outputs_is_dropped() {
    let mut b = Builder::new("spmd");
    let i = b.dim("I", 2);
    let x = b.input("x", DType::I32, &[i]);
    let y = b.compute("y", DType::I32, &[i], &[], Reducer::None, |ix| {
        let rank = binary(BinaryOp::Mul, Expr::Coord(A), Expr::int(100));
        binary(BinaryOp::Add, load(x, ix), rank)
    });
    b.output(y);
    let mesh = Mesh::new([("a", 2)]);
    assert_eq!(mesh.coordinates(Rank(1)), [1]);
    let layouts = || vec![split(3, 2, &[A])];
    let spmd = SpmdProgram { program: b.finish(), mesh, inputs: layouts(), outputs: layouts() };
    let x = Tensor::int(DType::I32, &[3], [1, 2, 3]);
    let y = evaluate_spmd(&spmd, &[x], Precision::Program).unwrap();
    assert_eq!(y[0].ints(), [1, 2, 103]);
}
