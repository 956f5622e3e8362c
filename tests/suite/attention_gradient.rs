//! The gradients of attention: one kernel beside the forward one, whatever the guard, on one device and on meshes, without
//! an array of scores.

use crate::compiled::{difference, run};
use einmesh_driver::{Goal, Products, Request, Source};
use einmesh_interp::{Precision, Tensor, evaluate};
use einmesh_ir::DType;
use einmesh_schedule::kernel::Body;

/// What a query sees, and whether the attention's own result is wanted too.
#[derive(Clone, Copy, Debug)]
struct Case {
    guard: &'static str,
    mesh: &'static str,
    with_result: bool,
}

const ALL: &str = "";
const CAUSAL: &str = " | u <= t";
const WINDOW: &str = " | u <= t and t - u < 9";
/// Of the batch's rows, one sees nothing.
const LENGTHS: &str = " | u < n[b]";
const RAGGED: &str = " | u <= t and keep[b,u]";

const DIMS: [(&str, u64); 7] =
    [("B", 4), ("T", 75), ("U", 75), ("G", 2), ("R", 3), ("K", 9), ("V", 11)];

fn plan(mesh: &str) -> String {
    match mesh {
        "" => String::new(),
        mesh => format!("plan here for backward {{ @mesh({mesh}) @shard(data: B, tensor: G) }}\n"),
    }
}

fn alone(case: Case) -> String {
    let Case { guard, mesh, with_result, .. } = case;
    let out = if with_result { "o: W[B,T,G,R,V], " } else { "" };
    let plan = plan(mesh);
    format!(
        "type W = f32\ndim B, T, U: T, G, R, K, V\n\
         fn context(q: W[B,T,G,R,K], key: W[B,U,G,K], val: W[B,U,G,V], n: i32[B], keep: bool[B,U])\n\
             -> W[B,T,G,R,V] {{\n  \
           s[b,g,r,t,u]   = q[b,t,g,r,k] * key[b,u,g,k] * K^-0.5\n  \
           a[b,g,r,t,u]   = softmax[u{guard}](s[b,g,r,t,u])\n  \
           out[b,t,g,r,v] = a[b,g,r,t,u] * val[b,u,g,v]\n}}\n\
         export fn backward(q: W[B,T,G,R,K], key: W[B,U,G,K], val: W[B,U,G,V], n: i32[B],\n\
             keep: bool[B,U], d: W[B,T,G,R,V])\n\
             -> ({out}dq: W[B,T,G,R,K], dkey: W[B,U,G,K], dval: W[B,U,G,V]) {{\n  \
           o    = context(q, key, val, n, keep)\n  \
           l    = o[b,t,g,r,v] * d[b,t,g,r,v]\n  \
           dq   = grad[q](l)\n  dkey = grad[key](l)\n  dval = grad[val](l)\n}}\n{plan}"
    )
}

/// A residual stack of attentions with their projections, and the gradients of all, or all but the last one's.
fn layers(case: Case) -> String {
    let Case { guard, mesh, with_result } = case;
    let plan = plan(mesh);
    let (out, result, leaf) =
        if with_result { (", dwo: W[L,G,R,V,D]", ", dwo", ", wo") } else { ("", "", "") };
    format!(
        "type W = f32\ndim B, T, U: T, G, R, K, V, D = 12, L = 3\n\
         fn attention(x: W[B,T,D], wq: W[D,G,R,K], wk: W[D,G,K], wv: W[D,G,V], wo: W[G,R,V,D], n: i32[B], keep: bool[B,U])\n\
             -> W[B,T,D] {{\n  \
           q[b,t,g,r,k]   = x[b,t,d] * wq[d,g,r,k]\n  \
           key[b,u,g,k]   = x[b,u,d] * wk[d,g,k]\n  \
           val[b,u,g,v]   = x[b,u,d] * wv[d,g,v]\n  \
           s[b,g,r,t,u]   = q[b,t,g,r,k] * key[b,u,g,k] * K^-0.5\n  \
           a[b,g,r,t,u]   = softmax[u{guard}](s[b,g,r,t,u])\n  \
           o[b,t,g,r,v]   = a[b,g,r,t,u] * val[b,u,g,v]\n  \
           out[b,t,d]     = x[b,t,d] + o[b,t,g,r,v] * wo[g,r,v,d]\n}}\n\
         export fn backward(x0: W[B,T,D], wq: W[L,D,G,R,K], wk: W[L,D,G,K], wv: W[L,D,G,V], wo: W[L,G,R,V,D],\n\
             n: i32[B], keep: bool[B,U])\n\
             -> (dx: W[B,T,D], dq: W[L,D,G,R,K], dk: W[L,D,G,K], dv: W[L,D,G,V]{out}) {{\n  \
           x = x0\n  \
           for l in L {{ x = attention(x, wq[l], wk[l], wv[l], wo[l], n, keep) }}\n  \
           loss = x[b,t,d] * x[b,t,d]\n  \
           (dx, dq, dk, dv{result}) = grad[x0, wq, wk, wv{leaf}](loss)\n}}\n{plan}"
    )
}

fn compiled(text: String) -> Products {
    let source = Source::Text { name: "gradient.ein".to_owned(), text };
    let mut request = Request::new(source, "backward");
    for (name, extent) in DIMS.iter().filter(|d| d.0 != "U") {
        assert!(request.options.define(name, &extent.to_string()), "-D {name}={extent}");
    }
    crate::model::compiled(request, Goal::Interpret)
}

/// Numbers below a bound.
fn inputs(products: &Products, bound: f64) -> Vec<Tensor> {
    let program = &products.lowered;
    let inputs = program.inputs.iter().enumerate().map(|(at, input)| {
        let shape: Vec<usize> = program.extents(input.value).iter().map(|n| *n as usize).collect();
        let count: usize = shape.iter().product();
        // A sequence that does not repeat for long.
        let number = |i: usize| ((i + 31 * at) * 7919 + 13) % 1009;
        match program.values[input.value].dtype {
            DType::I32 => Tensor::int(DType::I32, &shape, [0, 75, 31, 64].into_iter().take(count)),
            DType::Bool => {
                Tensor::int(DType::Bool, &shape, (0..count).map(|i| i64::from(number(i) % 3 > 0)))
            }
            dtype => {
                let spread = |i: usize| (number(i) as f64 / 504.5 - 1.0) * bound;
                Tensor::float(dtype, &shape, (0..count).map(spread))
            }
        }
    });
    inputs.collect()
}

/// Runs it, compares with the interpreter, looks for arrays of scores, and counts kernels that make scores: of softmaxes
/// and of their gradients.
fn check(case: Case, text: String, bound: f64, kernels: [usize; 2]) {
    let products = compiled(text);
    let graph = einmesh_schedule::schedule(&products.spmd, &Default::default());
    let count = |of: fn(&Body) -> bool| graph.kernels.iter().filter(|k| of(&k.body)).count();
    let scores = [count(|b| matches!(b, Body::Online(_))), count(|b| matches!(b, Body::Sweep(_)))];
    assert_eq!(scores, kernels, "{case:?}\n{graph}");
    let scores = |extents: &[u64]| extents.iter().filter(|e| **e == 75).count() > 1;
    let memory = graph.kernels.iter().flat_map(|k| &k.values);
    let found: Vec<_> = memory.filter(|m| scores(&m.extents)).collect();
    assert!(found.is_empty(), "{case:?}: {found:?}\n{graph}");
    let inputs = inputs(&products, bound);
    let expected = evaluate(&products.lowered, &inputs, Precision::Program).expect("valid");
    let found = run(&products.spmd, &inputs);
    // Sums of 225 terms, the largest of the order of the sum.
    assert_eq!(difference(&expected, &found, 1e-4), None, "{case:?}\n{graph}");
}

#[test]
fn no_array_of_scores_is_made_under_any_guard() {
    for guard in [ALL, CAUSAL, WINDOW, LENGTHS, RAGGED] {
        for with_result in [true, false] {
            let case = Case { guard, mesh: "", with_result };
            check(case, alone(case), 1.25, [1, 1]);
        }
    }
}

#[test]
fn heads_and_batches_are_split() {
    for mesh in ["data: 2, tensor: 1", "data: 1, tensor: 2", "data: 2, tensor: 2"] {
        for guard in [CAUSAL, LENGTHS] {
            let case = Case { guard, mesh, with_result: true };
            check(case, alone(case), 1.25, [1, 1]);
        }
    }
}

/// The backward loop reads what the forward loop's softmax came to in each row, if it has the attention's result as well.
#[test]
fn rows_are_reduced_once() {
    // Rewriting gives the forward loop of some guards weights that are normalised by rows' log-sum-exps: other numbers.
    for (guard, softmaxes) in [(ALL, 1), (CAUSAL, 1), (WINDOW, 2), (LENGTHS, 2), (RAGGED, 2)] {
        let case = Case { guard, mesh: "", with_result: true };
        check(case, layers(case), 0.5, [softmaxes, 1]);
    }
    let case = Case { guard: CAUSAL, mesh: "", with_result: false };
    check(case, layers(case), 0.5, [2, 1]);
    let case = Case { guard: CAUSAL, mesh: "data: 2, tensor: 2", with_result: true };
    check(case, layers(case), 0.5, [1, 1]);
}
