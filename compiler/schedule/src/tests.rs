//! Schedules of small programs: what is fused, what shares memory.

use crate::kernel::Body;
use crate::{KernelGraph, Options};
use einmesh_artifact::{Step, Storage};
use einmesh_ir::{
    BinaryOp, Bounds, Builder, DType, DimId, Expr, Load, Reducer, SpmdProgram, UnaryOp, ValueId,
    text, verify,
};

fn schedule(spmd: &SpmdProgram) -> KernelGraph {
    crate::schedule(spmd, &Options::default())
}

fn kinds(graph: &KernelGraph) -> Vec<&'static str> {
    let kind = |body: &Body| match body {
        Body::Nest(_) => "nest",
        Body::Contraction(_) => "contraction",
        Body::Siblings(_) => "siblings",
        Body::Online(_) => "online",
        Body::Sweep(_) => "sweep",
        Body::Argsort { .. } => "argsort",
    };
    graph.kernels.iter().map(|k| kind(&k.body)).collect()
}

#[test]
fn bias_and_activation_become_the_epilogue() {
    let mut b = Builder::new("linear");
    let (m, n, k) = (b.dim("M", 5), b.dim("N", 7), b.dim("K", 3));
    let x = b.input("x", DType::F32, &[m, k]);
    let w = b.input("w", DType::F32, &[k, n]);
    let bias = b.input("bias", DType::F32, &[n]);
    let y = b.einsum("y", &[m, n], x, w);
    let z = b.compute("z", DType::F32, &[m, n], &[], Reducer::None, |i| {
        let sum = Expr::load(y, [i[0].clone(), i[1].clone()]);
        Expr::binary(BinaryOp::Add, sum, Expr::load(bias, [i[1].clone()]))
    });
    let out = b.compute("out", DType::F32, &[m, n], &[], Reducer::None, |i| {
        Expr::unary(UnaryOp::Tanh, Expr::load(z, [i[0].clone(), i[1].clone()]))
    });
    b.output(out);
    let graph = schedule(&SpmdProgram::whole(b.finish()));
    assert_eq!(kinds(&graph), ["contraction"]);
    assert_eq!(graph.arena_bytes, 0);
    let Body::Contraction(c) = &graph.kernels[0].body else { unreachable!() };
    assert_eq!((c.batch.len(), c.m.len(), c.n.len(), c.k.len()), (0, 1, 1, 1));
    let mut tanh = false;
    c.epilogue.walk(&mut |e| tanh |= matches!(e, Expr::Unary(UnaryOp::Tanh, _)));
    assert!(tanh);
}

#[test]
fn softmax_is_one_nest_with_locals() {
    let mut b = Builder::new("softmax");
    let (t, u) = (b.dim("T", 64), b.dim("U", 32));
    let x = b.input("x", DType::F32, &[t, u]);
    let top = b.compute("top", DType::F32, &[t], &[u], Reducer::Max, |i| Expr::load(x, i.to_vec()));
    let e = b.compute("e", DType::F32, &[t, u], &[], Reducer::None, |i| {
        let at = Expr::load(top, [i[0].clone()]);
        let shifted = Expr::binary(BinaryOp::Sub, Expr::load(x, i.to_vec()), at);
        Expr::unary(UnaryOp::Exp, shifted)
    });
    let sum = b.compute("sum", DType::F32, &[t], &[u], Reducer::Sum, |i| Expr::load(e, i.to_vec()));
    let out = b.compute("out", DType::F32, &[t, u], &[], Reducer::None, |i| {
        let total = Expr::load(sum, [i[0].clone()]);
        Expr::binary(BinaryOp::Div, Expr::load(e, i.to_vec()), total)
    });
    b.output(out);
    let graph = schedule(&SpmdProgram::whole(b.finish()));
    assert_eq!(kinds(&graph), ["nest"]);
    let Body::Nest(nest) = &graph.kernels[0].body else { unreachable!() };
    assert_eq!((nest.outer.len(), nest.stages.len()), (1, 4));
    assert_eq!(graph.arena_bytes, 0);
}

#[test]
fn dead_values_give_their_memory_to_later_ones() {
    let mut b = Builder::new("chain");
    let (m, n) = (b.dim("M", 16), b.dim("N", 16));
    let k = b.dim("K", 16);
    let x = b.input("x", DType::F32, &[m, n]);
    let w = b.input("w", DType::F32, &[n, k]);
    let v = b.input("v", DType::F32, &[k, n]);
    let mut last = x;
    for step in 0..6 {
        let wide = b.einsum(&format!("a{step}"), &[m, k], last, w);
        last = b.einsum(&format!("b{step}"), &[m, n], wide, v);
    }
    b.output(last);
    let graph = schedule(&SpmdProgram::whole(b.finish()));
    let launches = graph.steps.iter().filter(|s| matches!(s, Step::Launch { .. })).count();
    assert_eq!(launches, 12);
    assert_eq!(graph.kernels.len(), 1, "equal kernels are shared");
    assert_eq!(graph.arena_bytes, 2 * 16 * 16 * 4);
}

#[test]
fn a_bare_product_stores_its_sum() {
    let mut b = Builder::new("product");
    let (m, n, k) = (b.dim("M", 5), b.dim("N", 7), b.dim("K", 3));
    let x = b.input("x", DType::F32, &[m, k]);
    let w = b.input("w", DType::F32, &[k, n]);
    let y = b.einsum("y", &[m, n], x, w);
    b.output(y);
    let graph = schedule(&SpmdProgram::whole(b.finish()));
    let Body::Contraction(c) = &graph.kernels[0].body else { panic!("a contraction") };
    assert_eq!(c.epilogue, Expr::load(c.acc, []));
    assert_ne!(c.acc, c.target.value, "the accumulator is not the memory it is stored to");
}

/// The log-sum-exp of each row of a product, and the product if `stored`.
fn rows_of_a_product(stored: bool) -> KernelGraph {
    let mut b = Builder::new("rows");
    let (m, n, k) = (b.dim("M", 5), b.dim("N", 7), b.dim("K", 3));
    let x = b.input("x", DType::F32, &[m, k]);
    let w = b.input("w", DType::F32, &[k, n]);
    let y = b.einsum("y", &[m, n], x, w);
    let lse =
        b.compute("lse", DType::F32, &[m], &[n], Reducer::LogSumExp, |i| Expr::load(y, i.to_vec()));
    b.output(lse);
    if stored {
        b.output(y);
    }
    schedule(&SpmdProgram::whole(b.finish()))
}

#[test]
fn a_product_is_stored_only_where_it_is_asked_for() {
    let graph = rows_of_a_product(false);
    assert_eq!((kinds(&graph), graph.arena_bytes), (vec!["online"], 0));
    assert_eq!(kinds(&rows_of_a_product(true)), ["contraction", "nest"]);
}

/// What is inlined at a subscript of i64 computes with its own index, which is i32.
#[test]
fn an_inlined_index_keeps_its_type() {
    let mut b = Builder::new("gather");
    let (n, m) = (b.dim("N", 7), b.dim("M", 5));
    let x = b.input("x", DType::F32, &[n]);
    let at = b.input("at", DType::I64, &[m]);
    let later = b.compute("later", DType::F32, &[n], &[], Reducer::None, |i| {
        let kept = Expr::binary(BinaryOp::Ge, i[0].clone(), Expr::int(2));
        Expr::select(kept, Expr::load(x, [i[0].clone()]), Expr::float(DType::F32, 0.0))
    });
    let out = b.compute("out", DType::F32, &[m], &[], Reducer::None, |i| {
        let subs = vec![Expr::load(at, [i[0].clone()])];
        Expr::Load(Load { value: later, subs, bounds: Bounds::Clamp })
    });
    b.output(out);
    let mut program = b.finish();
    crate::inline::inline(&mut program);
    assert_eq!(program.body.ops.len(), 1, "it was inlined");
    assert_eq!(verify(&program), vec![]);
}

/// `x·v` and what `read` makes of the product `x·w` and it.
fn two_products(read: impl FnOnce(&mut Builder, [DimId; 2], [ValueId; 2])) -> KernelGraph {
    let mut b = Builder::new("two");
    let (m, n, k) = (b.dim("M", 5), b.dim("N", 7), b.dim("K", 3));
    let x = b.input("x", DType::F32, &[m, k]);
    let (v, w) = (b.input("v", DType::F32, &[k, n]), b.input("w", DType::F32, &[k, n]));
    let one = b.einsum("one", &[m, n], x, v);
    let other = b.einsum("other", &[m, n], x, w);
    read(&mut b, [m, n], [one, other]);
    schedule(&SpmdProgram::whole(b.finish()))
}

#[test]
fn products_of_one_factor_are_siblings_unless_one_needs_the_other() {
    let both = two_products(|b, _, sums| sums.into_iter().for_each(|sum| b.output(sum)));
    assert_eq!(kinds(&both), ["siblings"]);
    let gated = two_products(|b, dims, [gate, up]| {
        let out = b.compute("out", DType::F32, &dims, &[], Reducer::None, |i| {
            let [gate, up] = [gate, up].map(|sum| Expr::load(sum, i.to_vec()));
            Expr::binary(BinaryOp::Mul, Expr::unary(UnaryOp::Tanh, gate), up)
        });
        b.output(out);
    });
    assert_eq!(kinds(&gated), ["contraction", "contraction"]);
}

/// A momentum and a parameter that are updated of a gradient: `read` is where the parameter's update reads it.
fn optimizer(read: impl Fn(&[Expr]) -> Expr) -> KernelGraph {
    let mut b = Builder::new("optimizer");
    let (m, n) = (b.dim("M", 32), b.dim("N", 8));
    let [p, mu, g] = ["p", "mu", "g"].map(|name| b.input(name, DType::F32, &[m, n]));
    let sum = |x: Expr, y: Expr| Expr::binary(BinaryOp::Add, x, y);
    let mu1 = b.compute("mu1", DType::F32, &[m, n], &[], Reducer::None, |i| {
        sum(Expr::load(mu, i.to_vec()), Expr::load(g, i.to_vec()))
    });
    let p1 = b.compute("p1", DType::F32, &[m, n], &[], Reducer::None, |i| {
        let step =
            Expr::binary(BinaryOp::Mul, Expr::load(mu1, i.to_vec()), Expr::load(g, i.to_vec()));
        sum(Expr::load(p, [read(i), i[1].clone()]), step)
    });
    b.output(p1);
    b.output(mu1);
    let mut program = b.finish();
    for (output, path) in [(0, "p"), (1, "mu")] {
        program.outputs[output].path = path.to_owned();
        program.inputs[output].donated = true;
    }
    assert_eq!(verify(&program), vec![]);
    schedule(&SpmdProgram::whole(program))
}

#[test]
fn an_optimizer_is_one_kernel_that_updates_its_state() {
    let graph = optimizer(|i| i[0].clone());
    assert_eq!(kinds(&graph), ["nest"]);
    assert!(graph.steps.iter().all(|s| matches!(s, Step::Launch { .. })));
    assert_eq!(graph.peak_bytes, 3 * 32 * 8 * 4, "{graph}");
}

#[test]
fn a_state_whose_other_elements_are_read_is_not_updated_in_place() {
    let other = |i: &[Expr]| Expr::binary(BinaryOp::Sub, Expr::int(31), i[0].clone());
    let graph = optimizer(other);
    let place = |output: usize| graph.buffers[graph.outputs[output].buffer as usize].storage;
    assert_eq!((place(0), place(1)), (Storage::Output(0), Storage::Input(1)), "{graph}");
}

#[test]
fn collected_values_are_computed_where_they_are_kept() {
    let source = "program run {
  dim T = 4, N = 3, M = 5

  input %w.0: f32[N,M]
  input %x.1: f32[N]

  for t in T {
    carry %s.2: f32[N] = %x.1
    %y.3: f32[M] = sum[n](%w.0[n,m] * %s.2[n])
    %s.4: f32[N] = sum[m](tanh(%y.3[m]) * %w.0[n,m])
    yield %s.4 -> %s.5: f32[N]
    collect %y.3 -> %all.6: f32[M,T] at 1
    collect %s.4 -> %states.7: f32[T,N] at 0
  }

  output %all.6
  output %states.7
}
";
    let program = text::parse(source).expect("a program");
    assert_eq!(verify(&program), vec![]);
    let graph = schedule(&SpmdProgram::whole(program));
    let Some(Step::Loop { steps, .. }) =
        graph.steps.iter().find(|s| matches!(s, Step::Loop { .. }))
    else {
        panic!("a loop\n{graph}");
    };
    // The products, and the state's copy: it is also the loop's own.
    let launches = steps.iter().filter(|s| matches!(s, Step::Launch { .. })).count();
    assert_eq!(launches, 3, "{graph}");
    assert!(!graph.buffers.iter().any(|b| b.name == "y"), "{graph}");
}
