//! What the constructs of the language compute.

use super::*;

#[test]
fn wide_is_a_cast() {
    let text = "dim I = 3, J = 2\nexport fn f(a: bf16[I,J], w: bf16[J]) -> (y: f32[I]) {\n  y[i] = 2 * wide(a[i,j]) * wide(w[j])\n}";
    let a = vec![1.0, 2.0, 3.0, 4.0, 5.0, 6.0];
    let got = run_text(text, "f", "", &[("a", a), ("w", vec![0.5, 2.0])]);
    close(&got["y"], &[9.0, 19.0, 29.0], 0.0);
}

#[test]
fn einsteins_rule_by_example() {
    let text = "dim I = 3, J: I, K = 2\nexport fn f(a: f32[I,J], w: f32[J], x: f32[J,K]) -> (trace: f32, diagonal: f32[J], minus: f32[I], mixed: f32[I,K], spread: f32[I,K]) {\n  trace = a[j,j]\n  diagonal[j] = a[j,j]\n  minus[i] = w[i + 0] - a[i,j] * w[j]\n  mixed[i,k] = 2 * a[i,j] * x[j,k] / 4 + w[i + 0]\n  spread[i,k] = w[i + 0]\n}";
    let got = run_text(text, "f", "", &[]);
    let (a, w, x) = (&got["in:a"], &got["in:w"], &got["in:x"]);
    close(&got["trace"], &[a[0] + a[4] + a[8]], 1e-12);
    close(&got["diagonal"], &[a[0], a[4], a[8]], 0.0);
    let av = |i: usize| (0..3).map(|j| a[i * 3 + j] * w[j]).sum::<f64>();
    close(&got["minus"], &(0..3).map(|i| w[i] - av(i)).collect::<Vec<_>>(), 1e-12);
    let mixed: Vec<f64> = (0..6)
        .map(|ik| {
            (0..3).map(|j| a[ik / 2 * 3 + j] * x[j * 2 + ik % 2]).sum::<f64>() / 2.0 + w[ik / 2]
        })
        .collect();
    close(&got["mixed"], &mixed, 1e-12);
    close(&got["spread"], &(0..6).map(|ik| w[ik / 2]).collect::<Vec<_>>(), 0.0);
}

#[test]
fn records_take_arithmetic_leaf_by_leaf() {
    let text = "dim D = 2, L = 3\nrecord Norm { weight: f32[D], bias: f32 }\nrecord P { h: Norm[L], w: f32[D] }\nexport fn f(p: P, q: P) -> (r: P, s: f32) {\n  r = 2 * p - q / 4 + where(rank(p) >= 1, 1.0, 0.0) * p\n  s = sum(p * q)\n  r.w[d] = 5.0\n}";
    let got = run_text(text, "f", "", &[]);
    let (w, b) = (&got["in:p.h.weight"], &got["in:p.h.bias"]);
    let (qw, qb) = (&got["in:q.h.weight"], &got["in:q.h.bias"]);
    close(&got["r.h.weight"], &(0..6).map(|i| 3.0 * w[i] - qw[i] / 4.0).collect::<Vec<_>>(), 1e-12);
    close(&got["r.h.bias"], &(0..3).map(|i| 2.0 * b[i] - qb[i] / 4.0).collect::<Vec<_>>(), 1e-12);
    close(&got["r.w"], &[5.0, 5.0], 0.0);
    let dot = |x: &str| {
        got[&format!("in:p{x}")]
            .iter()
            .zip(&got[&format!("in:q{x}")])
            .map(|(a, b)| a * b)
            .sum::<f64>()
    };
    close(&got["s"], &[dot(".h.weight") + dot(".h.bias") + dot(".w")], 1e-12);
}

#[test]
fn product_axes_split_and_join() {
    let text = "dim H = 2, K = 3, I = (H,K)\nexport fn f(x: f32[(H,K)], y: f32[I]) -> (a: f32[I], b: f32[H,K], c: f32[(H,K)], d: f32) {\n  a[i] = x[i]\n  b[h,k] = y[(h,k)]\n  c[(h,k)] = x[(h,2 - k)]\n  d = x[4]\n}";
    let got = run_text(text, "f", "", &[]);
    let (x, y) = (&got["in:x"], &got["in:y"]);
    close(&got["a"], x, 0.0);
    close(&got["b"], y, 0.0);
    close(&got["c"], &[x[2], x[1], x[0], x[5], x[4], x[3]], 0.0);
    close(&got["d"], &[x[4]], 0.0);
}

#[test]
fn loops_carry_collect_and_run_backwards() {
    let text = "dim L = 3, M = 2\nexport fn f(x: f32) -> (last: f32, all: f32[L], back: f32[L], grid: f32[M,L]) {\n  y = x\n  unused = x\n  for l in L {\n    y = 2 * y + f32(l)\n    all[l] = y\n    for m in M { grid[m,l] = y * f32(m + 1) }\n  }\n  last = y\n  z = x\n  for l in L reversed {\n    z = 2 * z + f32(l)\n    back[l] = z\n  }\n}";
    let got = run_text(text, "f", "", &[("x", vec![1.0])]);
    close(&got["last"], &[12.0], 0.0);
    close(&got["all"], &[2.0, 5.0, 12.0], 0.0);
    close(&got["back"], &[18.0, 9.0, 4.0], 0.0);
    close(&got["grid"], &[2.0, 5.0, 12.0, 4.0, 10.0, 24.0], 0.0);
}

#[test]
fn calls_map_over_every_other_index() {
    let text = r#"
dim B = 2, T = 3, V = 4
fn histogram[N](x: i32[N]) -> i32[V] {
  out: i32[V] = 0
  out[x[n]] += 1
}
fn total[N](x: f32[N]) -> f32 {
  out = 0.0
  for n in N { out = out + x[n] }
}
fn cumulative[N](x: f32[N]) -> f32[N] {
  h = 0.0
  for n in N {
    h = h + x[n]
    out[n] = h
  }
}
fn same[N](x: f32[N]) -> f32[N] { out = x }
fn share[N](x: f32[N]) -> f32[N] { out[n] = x[n] / N }
export fn f(x: f32[B,T], c: i32[B,T], n: i32[B])
    -> (count: i32[B,V], all: f32[B], run: f32[B,T], first: f32[B,T], part: f32[B,T]) {
  count[b,v] = histogram[t](c[b,t])[v]
  all[b]     = total[t](2 * x[b,t])
  run[b,t]   = cumulative[t](x[b,t])
  first[b,t] = same[t | t < n[b]](x[b,t])
  part[b,t]  = share[t | t < n[b]](x[b,t])
}
"#;
    let given = [("c", vec![0.0, 3.0, 3.0, 1.0, 1.0, 1.0]), ("n", vec![2.0, 1.0])];
    let got = run_text(text, "f", "", &given);
    let x = &got["in:x"];
    close(&got["count"], &[1.0, 0.0, 0.0, 2.0, 0.0, 3.0, 0.0, 0.0], 0.0);
    close(&got["all"], &[2.0 * (x[0] + x[1] + x[2]), 2.0 * (x[3] + x[4] + x[5])], 1e-12);
    let run = [x[0], x[0] + x[1], x[0] + x[1] + x[2], x[3], x[3] + x[4], x[3] + x[4] + x[5]];
    close(&got["run"], &run, 1e-12);
    close(&got["first"], &[x[0], x[1], 0.0, x[3], 0.0, 0.0], 0.0);
    close(&got["part"], &[x[0] / 2.0, x[1] / 2.0, 0.0, x[3], 0.0, 0.0], 1e-12);
}

#[test]
fn modules_are_reached_by_their_names() {
    let text = r#"
use "gpt2.ein" (V = 7, D = Width) as model
dim Width = 4
export fn f(x: f32[model.B,model.D], p: model.Norm, y: f32[Width,model.V]) -> f32[model.B,model.V] {
  z[b: model.B, w: Width] = layer_norm[w](x[b,w], p.weight[w], p.bias[w])
  out[b: model.B, v: model.V] = z[b,w] * y[w,v]
}
"#;
    let source = from_text("tests/programs/test.ein", text);
    let lowered = lowered(&source, &options("f", "B=2"));
    let program = lowered.program;
    let extents: Vec<Vec<u64>> = program.inputs.iter().map(|i| program.extents(i.value)).collect();
    assert_eq!(extents, [vec![2, 4], vec![4], vec![4], vec![4, 7]]);
    assert_eq!(program.extents(program.outputs[0].value), [2, 7]);
}

#[test]
fn a_while_runs_as_long_as_it_says() {
    let source = from_text(
        "tests/programs/test.ein",
        "dim B = 4
        export fn f(x: f32[B], most: i32) -> (y: f32[B], n: i32, never: i32) {
          y = x
          n = 0
          while any[b](y[b] < 100) and n < most limit 3 * 2 {
            y[b] = where(y[b] < 100, 2 * y[b], y[b])
            n    = n + 1
          }
          never = 7
          while never < 5 limit 3 { never = never + 1 }
        }",
    );
    let ran = |x: [f64; 4], most: f64| {
        let given = [("x", x.to_vec()), ("most", vec![most])];
        let named = run(&source, &options("f", ""), &given);
        assert_eq!(named["never"], [7.0]);
        (named["y"].clone(), named["n"][0])
    };
    assert_eq!(ran([10.0, 50.0, 70.0, 30.0], 9.0), (vec![160.0, 100.0, 140.0, 120.0], 4.0));
    assert_eq!(ran([10.0, 50.0, 70.0, 30.0], 1.0), (vec![20.0, 100.0, 140.0, 60.0], 1.0));
    assert_eq!(ran([1.0, 200.0, 200.0, 200.0], 9.0), (vec![64.0, 200.0, 200.0, 200.0], 6.0));
    assert_eq!(ran([100.0; 4], 9.0), (vec![100.0; 4], 0.0));
}

#[test]
fn a_scan_combines_in_order() {
    let source = from_text(
        "tests/programs/test.ein",
        "dim B = 2, T = 5, U: T
        fn step(a1: f32, h1: f32, a2: f32, h2: f32) -> (a: f32, h: f32) {
          a = a1 * a2
          h = a2 * h1 + h2
        }
        fn later(a: f32, b: f32) -> f32 = b - a
        fn most(a: i32, b: i32) -> i32 = max(a, b)
        export fn f(a: f32[B,T], x: f32[T,B], n: i32[T])
            -> (p: f32[B,T], h: f32[B,T], d: f32[T,B], m: i32[T], s: f32[B], pairs: f32[T,U]) {
          (p[b,t], h[b,t]) = scan[t](step, a[b,t], x[t,b] + 1)
          d[t,b] = 2 * scan[t](later, x[t,b])
          m[t]   = scan[t](most, n[t])
          s[b]   = sum[t](scan[t](later, x[t,b]))
          pairs[t,u] = scan[u](later, a[0,t] * a[1,u])
        }",
    );
    let a: Vec<f64> = (0..10).map(|i| f64::from(i % 4) - 1.0).collect();
    let x: Vec<f64> = (0..10).map(|i| f64::from(i * i % 7)).collect();
    let n = vec![3.0, 1.0, 4.0, 1.0, 5.0];
    let given = [("a", a.clone()), ("x", x.clone()), ("n", n)];
    let found = run(&source, &options("f", ""), &given);
    let (mut p, mut h) = (vec![0.0; 10], vec![0.0; 10]);
    let (mut d, mut s, mut pairs) = (vec![0.0; 10], vec![0.0; 2], vec![0.0; 25]);
    for b in 0..2 {
        let (mut product, mut state, mut last) = (1.0, 0.0, 0.0);
        for t in 0..5 {
            let (at, xt) = (a[b * 5 + t], x[t * 2 + b]);
            product *= at;
            state = if t == 0 { xt + 1.0 } else { at * state + xt + 1.0 };
            last = if t == 0 { xt } else { xt - last };
            (p[b * 5 + t], h[b * 5 + t], d[t * 2 + b]) = (product, state, 2.0 * last);
            s[b] += last;
        }
    }
    for t in 0..5 {
        let mut last = 0.0;
        for u in 0..5 {
            let next = a[t] * a[5 + u];
            last = if u == 0 { next } else { next - last };
            pairs[t * 5 + u] = last;
        }
    }
    assert_eq!((&found["p"], &found["h"]), (&p, &h));
    assert_eq!((&found["d"], &found["s"], &found["pairs"]), (&d, &s, &pairs));
    assert_eq!(found["m"], [3.0, 3.0, 4.0, 4.0, 5.0]);
}
