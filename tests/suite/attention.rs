//! Attention on random meshes: split over batch, heads, groups of heads and query positions, each device runs it
//! streamed, without an array of scores, and the values are those of the whole program.

use crate::compiled::{difference, run};
use crate::fuzz::parted::{Rng, plans};
use einmesh_interp::{Precision, Tensor, evaluate};
use einmesh_ir::directive::ShardDims;
use einmesh_ir::{
    BinaryOp, Builder, DType, DimId, Directives, Expr, Op, Program, Reducer, SpmdProgram, UnaryOp,
    ValueId, verify,
};
use einmesh_schedule::kernel::Body;

/// Which keys a query sees.
#[derive(Clone, Copy, Debug)]
enum Guard {
    Causal,
    Window,
    /// The first few of each row of the batch, of some none.
    Lengths,
}

/// A program with what is done to it.
struct Case {
    program: Program,
    /// The dims that may be split: batch, groups, heads of a group, queries.
    splits: Vec<DimId>,
    inputs: Vec<Tensor>,
}

/// `out[b,t,g,r,v] = softmax over u | guard of (Σ_k q[b,t,g,r,k] key[b,u,g,k] / 2) · val[b,u,g,v]`.
fn case(rng: &mut Rng) -> Case {
    let guard = *rng.pick(&[Guard::Causal, Guard::Window, Guard::Lengths]);
    let mut builder = Builder::new("attention");
    let b = builder.dim("B", 1 + rng.below(4) as u64);
    let g = builder.dim("G", 1 + rng.below(5) as u64);
    let r = builder.dim("R", 1 + rng.below(3) as u64);
    let length = 2 + rng.below(20) as u64;
    let (t, u) = (builder.dim("T", length), builder.dim("U", length));
    let k = builder.dim("K", 1 + rng.below(9) as u64);
    let v = builder.dim("V", 1 + rng.below(9) as u64);
    let q = builder.input("q", DType::F32, &[b, t, g, r, k]);
    let key = builder.input("key", DType::F32, &[b, u, g, k]);
    let val = builder.input("val", DType::F32, &[b, u, g, v]);
    let lengths = builder.input("lengths", DType::I32, &[b]);

    // Indices: b g r t u, then those that are summed.
    let (rows, all) = ([b, g, r, t], [b, g, r, t, u]);
    let guarded = |builder: &mut Builder, rows: &[DimId], value: ValueId| {
        let Some(Op::Compute(c)) = builder.program.body.ops.last_mut() else { panic!("{rows:?}") };
        assert_eq!(c.out, value);
        let [b, _, _, t, u] = [0, 1, 2, 3, 4].map(|n| Expr::Index(einmesh_ir::IndexId(n)));
        let before = Expr::binary(BinaryOp::Le, u.clone(), t.clone());
        c.guard = Some(match guard {
            Guard::Causal => before,
            Guard::Window => {
                let far = Expr::binary(BinaryOp::Sub, t, u);
                let near = Expr::binary(BinaryOp::Lt, far, Expr::int(3));
                Expr::binary(BinaryOp::And, before, near)
            }
            Guard::Lengths => Expr::binary(BinaryOp::Lt, u, Expr::load(lengths, [b])),
        });
        value
    };
    let times = |a: Expr, b: Expr| Expr::binary(BinaryOp::Mul, a, b);
    let pick = |i: &[Expr], of: &[usize]| of.iter().map(|n| i[*n].clone()).collect::<Vec<Expr>>();
    let s = builder.compute("s", DType::F32, &all, &[k], Reducer::Sum, |i| {
        let product = times(
            Expr::load(q, pick(i, &[0, 3, 1, 2, 5])),
            Expr::load(key, pick(i, &[0, 4, 1, 5])),
        );
        times(product, Expr::float(DType::F32, 0.5))
    });
    let top = builder.compute("top", DType::F32, &rows, &[u], Reducer::Max, |i| {
        Expr::load(s, pick(i, &[0, 1, 2, 3, 4]))
    });
    guarded(&mut builder, &rows, top);
    let e = builder.compute("e", DType::F32, &all, &[], Reducer::None, |i| {
        let (score, top) = (Expr::load(s, i.to_vec()), Expr::load(top, pick(i, &[0, 1, 2, 3])));
        Expr::unary(UnaryOp::Exp, Expr::binary(BinaryOp::Sub, score, top))
    });
    guarded(&mut builder, &rows, e);
    let z =
        builder.compute("z", DType::F32, &rows, &[u], Reducer::Sum, |i| Expr::load(e, i.to_vec()));
    guarded(&mut builder, &rows, z);
    let a = builder.compute("a", DType::F32, &all, &[], Reducer::None, |i| {
        let (weight, total) = (Expr::load(e, i.to_vec()), Expr::load(z, pick(i, &[0, 1, 2, 3])));
        Expr::binary(BinaryOp::Div, weight, total)
    });
    guarded(&mut builder, &rows, a);
    let out = builder.compute("out", DType::F32, &[b, t, g, r, v], &[u], Reducer::Sum, |i| {
        let weight = Expr::load(a, pick(i, &[0, 2, 3, 1, 5]));
        times(weight, Expr::load(val, pick(i, &[0, 5, 2, 4])))
    });
    builder.output(out);
    let program = builder.finish();
    assert_eq!(verify(&program), vec![]);

    let inputs = program.inputs.iter().map(|input| {
        let shape: Vec<usize> = program.extents(input.value).iter().map(|n| *n as usize).collect();
        let count = shape.iter().product::<usize>();
        match program.values[input.value].dtype {
            DType::I32 => {
                Tensor::int(DType::I32, &shape, (0..count).map(|_| rng.range(0, length as i64)))
            }
            dtype => {
                let float = |_| rng.range(-1000, 1000) as f64 / 500.0;
                Tensor::float(dtype, &shape, (0..count).map(float))
            }
        }
    });
    let inputs = inputs.collect();
    Case { program, splits: vec![b, g, r, t], inputs }
}

/// The program on a random mesh whose axes split some of the dims that may be split.
fn partitioned(rng: &mut Rng, case: &Case) -> SpmdProgram {
    let mesh = plans::mesh(rng);
    let mut dims = case.splits.clone();
    rng.shuffle(&mut dims);
    let mut directives = Directives::default();
    for axis in mesh.axes.values() {
        directives.mesh.push((axis.name.clone(), axis.size));
        let dim = dims.pop().expect("a mesh has at most three axes");
        directives.shard.push(ShardDims {
            axis: axis.name.clone(),
            dims: vec![(dim, None)],
            pad: true,
            text: format!("@shard({})", axis.name),
            span: None,
        });
    }
    let (plan, found) = einmesh_plan::plan(&case.program, &directives);
    assert!(!found.has_errors(), "{found:?}");
    einmesh_spmd::partition(&case.program, &plan)
}

#[test]
fn attention_stays_streamed_on_every_mesh() {
    let mut split = 0;
    for seed in 0..60 {
        let rng = &mut Rng(seed);
        let case = case(rng);
        let spmd = partitioned(rng, &case);
        split += usize::from(spmd.outputs[0].dims.iter().any(|d| d.local < d.global));
        let graph = einmesh_schedule::schedule(&spmd, &Default::default());
        let text = || einmesh_ir::text::print_spmd(&spmd);
        let streamed = graph.kernels.iter().filter(|k| matches!(k.body, Body::Online(_))).count();
        assert_eq!(streamed, 1, "seed {seed}: {graph}\n{}", text());
        assert_eq!(graph.kernels.len(), 1, "seed {seed}: {graph}\n{}", text());

        let expected = evaluate(&case.program, &case.inputs, Precision::Program).expect("valid");
        // Scores below 18 of 9 products are off by 2e-5 at most, and so is a weight, relative to itself; a
        // context is an average of numbers up to 2, of which the larger of 1 and the largest is the scale.
        let place = difference(&expected, &run(&spmd, &case.inputs), 1e-4);
        assert_eq!(place, None, "seed {seed}\n{}", text());
    }
    assert!(split > 30, "{split} of 60 are split");
}
