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

fn text(case: Case) -> String {
    let Case { guard, mesh, with_result, .. } = case;
    let out = if with_result { "o: W[B,T,G,R,V], " } else { "" };
    let plan = match mesh {
        "" => String::new(),
        mesh => format!("plan here for backward {{ @mesh({mesh}) @shard(data: B, tensor: G) }}\n"),
    };
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

fn compiled(case: Case) -> Products {
    let source = Source::Text { name: "gradient.ein".to_owned(), text: text(case) };
    let mut request = Request::new(source, "backward");
    for (name, extent) in DIMS.iter().filter(|d| d.0 != "U") {
        assert!(request.options.define(name, &extent.to_string()), "-D {name}={extent}");
    }
    crate::model::compiled(request, Goal::Interpret)
}

fn inputs(products: &Products) -> Vec<Tensor> {
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
                Tensor::float(dtype, &shape, (0..count).map(|i| number(i) as f64 / 400.0 - 1.25))
            }
        }
    });
    inputs.collect()
}

/// Runs it, compares with the interpreter, and looks for arrays of scores.
fn check(case: Case, tolerance: f64) {
    let products = compiled(case);
    let graph = einmesh_schedule::schedule(&products.spmd);
    let sweeps = graph.kernels.iter().filter(|k| matches!(k.body, Body::Sweep(_))).count();
    assert_eq!(sweeps, 1, "{case:?}\n{graph}");
    let scores = |extents: &[u64]| extents.iter().filter(|e| **e == 75).count() > 1;
    let memory = graph.kernels.iter().flat_map(|k| &k.values);
    let found: Vec<_> = memory.filter(|m| scores(&m.extents)).collect();
    assert!(found.is_empty(), "{case:?}: {found:?}\n{graph}");
    let inputs = inputs(&products);
    let expected = evaluate(&products.lowered, &inputs, Precision::Program).expect("valid");
    let found = run(&products.spmd, &inputs);
    assert_eq!(difference(&expected, &found, tolerance), None, "{case:?}\n{graph}");
}

#[test]
fn no_array_of_scores_is_made_under_any_guard() {
    for guard in [ALL, CAUSAL, WINDOW, LENGTHS, RAGGED] {
        for with_result in [true, false] {
            // Sums of 225 terms, the largest of the order of the sum.
            check(Case { guard, mesh: "", with_result }, 1e-4);
        }
    }
}

#[test]
fn heads_and_batches_are_split() {
    for mesh in ["data: 2, tensor: 1", "data: 1, tensor: 2", "data: 2, tensor: 2"] {
        for guard in [CAUSAL, LENGTHS] {
            check(Case { guard, mesh, with_result: true }, 1e-4);
        }
    }
}
