//! Loops with conditions, scans and sorts, compiled: against the interpreter, and bit for bit the same on
//! every mesh.

use crate::compiled::{difference, run};
use einmesh_driver::{Goal, Request, Source, compile};
use einmesh_interp::{Precision, Tensor, evaluate};
use einmesh_ir::DType;

/// A mesh with one axis, and the dims that it splits.
type Placement = Option<(u64, &'static [&'static str])>;

/// The results of a program's entry `f` on some placement, and those of the interpreter.
fn results(text: &str, placement: Placement, inputs: &[Tensor]) -> (Vec<Tensor>, Vec<Tensor>) {
    let source = Source::Text { name: "control.ein".to_owned(), text: text.to_owned() };
    let mut request = Request::new(source, "f");
    if let Some((devices, dims)) = placement {
        let overrides = &mut request.options.overrides;
        overrides.mesh = Some(vec![("x".to_owned(), devices)]);
        let dims = dims.iter().map(|d| (*d).to_owned()).collect();
        overrides.shard = Some(vec![("x".to_owned(), dims)]);
    }
    request.goal = Goal::Interpret;
    request.verify = true;
    let (session, result) = compile(&request);
    let products = match result {
        Ok(products) => products,
        Err(failure) => panic!("{failure:?}\n{:#?}", session.diagnostics),
    };
    let expected = evaluate(&products.lowered, inputs, Precision::Program).expect("a program");
    (run(&products.spmd, inputs), expected)
}

/// Compiled on all placements as interpreted, within `tolerance`, and the same bits on all.
fn agrees(text: &str, inputs: &[Tensor], tolerance: f64, placements: &[Placement]) {
    let (alone, expected) = results(text, None, inputs);
    assert_eq!(difference(&expected, &alone, tolerance), None);
    for placement in placements {
        let (found, _) = results(text, *placement, inputs);
        assert_eq!(bits(&found), bits(&alone), "{placement:?}");
    }
}

fn bits(tensors: &[Tensor]) -> Vec<Vec<u8>> {
    tensors.iter().map(Tensor::to_bytes).collect()
}

fn floats(dtype: DType, shape: &[usize], f: impl Fn(usize) -> f64) -> Tensor {
    let count = shape.iter().product();
    Tensor::float(dtype, shape, (0..count).map(f))
}

#[test]
fn a_while_ends_alike_everywhere() {
    let text = "
        dim B = 5, D = 3
        export fn f(x: f32[B,D], most: i32) -> (y: f32[B,D], n: i32) {
          y = x
          n = 0
          while any[b,d](y[b,d] < 100) and n < most limit 40 {
            total[b] = sum[d](y[b,d])
            y[b,d]   = where(y[b,d] < 100, 1.5 * y[b,d] + 0.01 * total[b], y[b,d])
            n        = n + 1
          }
        }";
    for most in [0, 3, 99] {
        let x = floats(DType::F32, &[5, 3], |i| 1.0 + (i * 7 % 11) as f64);
        let inputs = [x, Tensor::int(DType::I32, &[], [most])];
        agrees(text, &inputs, 1e-5, &[Some((2, &["B"])), Some((3, &["B"])), Some((5, &["B"]))]);
    }
}

#[test]
fn a_scan_has_the_same_bits_on_any_mesh() {
    let text = "
        dim B = 3, T = 29, E = 5
        fn step(a1: f32, h1: f32, a2: f32, h2: f32) -> (a: f32, h: f32) {
          a = a1 * a2
          h = a2 * h1 + h2
        }
        fn add(a: bf16, b: bf16) -> bf16 = a + b
        export fn f(a: f32[B,T,E], x: f32[B,T,E], n: bf16[T,E]) -> (p: f32[B,T,E], h: f32[B,T,E], c: bf16[E,T]) {
          (p[b,t,e], h[b,t,e]) = scan[t](step, a[b,t,e], x[b,t,e])
          c[e,t] = scan[t](add, n[t,e])
        }";
    let a = floats(DType::F32, &[3, 29, 5], |i| ((i * 13 % 17) as f64 - 8.0) / 9.0);
    let special = |i: usize| match i {
        70 => f64::NAN,
        205 => f64::INFINITY,
        310 => 1e-41,
        i => ((i * 29 % 31) as f64 - 15.0) / 7.0,
    };
    let x = floats(DType::F32, &[3, 29, 5], special);
    let n = floats(DType::Bf16, &[29, 5], |i| (i % 13) as f64 / 8.0);
    let placements: [Placement; 5] = [
        Some((2, &["B"])),
        Some((3, &["B"])),
        Some((2, &["E"])),
        Some((4, &["T"])),
        Some((5, &["E", "T"])),
    ];
    agrees(text, &[a, x, n], 1e-6, &placements);
}

/// In a loop that ends by itself, as sampling does it: the largest element that is left is taken away.
#[test]
fn sorts_in_loops_put_nan_last_and_are_stable() {
    for dtype in ["f32", "bf16", "i32"] {
        // `top_k` is for floats; for integers it is written out.
        let best = match dtype {
            "i32" => {
                "o[b,v] = argsort[v](-left[b,v])
                idx[b,m] = o[b,m]
                val[b,m] = left[b,idx[b,m]]"
            }
            _ => "(val[b,m], idx[b,m]) = top_k[v,m](left[b,v])",
        };
        let text = format!(
            "
            dim B = 3, V = 11, M: V = 4
            export fn f(x: {dtype}[B,V]) -> (order: i32[B,V], val: {dtype}[B,M], idx: i32[B,M], left: {dtype}[B,V]) {{
              order[b,v] = argsort[v](x[b,v])
              left  = x
              steps = 0
              while steps < 3 limit 9 {{
                {best}
                left[b, idx[b,0] + 0] := val[b,2]
                steps = steps + 1
              }}
              {best}
            }}"
        );
        let shape = [3, 11];
        let number = |i: usize| ((i * 5 + i * i) % 6) as f64 - 2.0;
        let x = match dtype {
            "i32" => Tensor::int(DType::I32, &shape, (0..33).map(|i| number(i) as i64)),
            _ => {
                let dtype = if dtype == "f32" { DType::F32 } else { DType::Bf16 };
                let special = |i: usize| match i {
                    4 | 9 | 13 => f64::NAN,
                    15 => f64::INFINITY,
                    17 => f64::NEG_INFINITY,
                    i => number(i),
                };
                floats(dtype, &shape, special)
            }
        };
        agrees(&text, &[x], 0.0, &[Some((3, &["B"])), Some((2, &["B"])), Some((2, &["V"]))]);
    }
}
