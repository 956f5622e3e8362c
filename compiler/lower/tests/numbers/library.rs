//! The standard library: norms, random numbers, initial values, the best of many.

use super::*;

#[test]
fn a_row_without_elements_is_zero() {
    let text = "dim B = 2, T = 3\nexport fn f(x: f32[B,T], keep: bool[B,T]) -> (soft: f32[B,T], top: f32[B], mid: f32[B], total: f32[B]) {\n  soft[b,t] = softmax[t | keep[b,t]](x[b,t])\n  top[b] = max[t | keep[b,t]](x[b,t])\n  mid[b] = mean[t | keep[b,t]](x[b,t])\n  total[b] = sum[t | keep[b,t]](x[b,t])\n}";
    let keep = vec![0.0, 0.0, 0.0, 1.0, 0.0, 1.0];
    let x = vec![5.0, f64::NAN, 1.0, 1.0, f64::INFINITY, 2.0];
    let got = run_text(text, "f", "", &[("keep", keep), ("x", x)]);
    let e = 1.0_f64.exp();
    close(&got["soft"], &[0.0, 0.0, 0.0, 1.0 / (1.0 + e), 0.0, e / (1.0 + e)], 1e-12);
    close(&got["top"], &[f64::NEG_INFINITY, 2.0], 0.0);
    close(&got["mid"], &[f64::NAN, 1.5], 0.0);
    close(&got["total"], &[0.0, 3.0], 0.0);
}

#[test]
fn norms_and_rope_are_their_formulas() {
    let text = "dim B = 2, D = 5, C = 2, J = 3\nexport fn f(x: f32[B,D], w: f32[D], c: f32[D], y: f32[C,J]) -> (ln: f32[B,D], rms: f32[B,D], r: f32[C,J]) {\n  ln[b,d] = layer_norm[d](x[b,d], w[d], c[d])\n  rms[b,d] = rms_norm[d](x[b,d], w[d], eps: 0.5)\n  r[c2,j] = rope[c2,j](y[c2,j], 7, theta: 100.0)\n}\ndim C2: C";
    let text = text.replace("y: f32[C,J]", "y: f32[C2,J]").replace("r: f32[C,J]", "r: f32[C2,J]");
    let got = run_text(&text, "f", "", &[]);
    let (x, w, c) = (&got["in:x"], &got["in:w"], &got["in:c"]);
    let (mut ln, mut rms) = (Vec::new(), Vec::new());
    for b in 0..2 {
        let row = &x[b * 5..b * 5 + 5];
        let mu = row.iter().sum::<f64>() / 5.0;
        let var = row.iter().map(|v| (v - mu).powi(2)).sum::<f64>() / 5.0;
        let ms = row.iter().map(|v| v * v).sum::<f64>() / 5.0;
        for d in 0..5 {
            ln.push((row[d] - mu) / (var + f64::from(1e-5_f32)).sqrt() * w[d] + c[d]);
            rms.push(row[d] / (ms + 0.5).sqrt() * w[d]);
        }
    }
    close(&got["ln"], &ln, 1e-12);
    close(&got["rms"], &rms, 1e-12);
    let y = &got["in:y"];
    let angle = |j: usize| 7.0 * 100.0_f64.powf(-(j as f64) / 3.0);
    let expected: Vec<f64> = (0..6)
        .map(|i| {
            let (c, j) = (i / 3, i % 3);
            let sign = if c == 0 { -1.0 } else { 1.0 };
            y[c * 3 + j] * angle(j).cos() + sign * y[(1 - c) * 3 + j] * angle(j).sin()
        })
        .collect();
    close(&got["r"], &expected, 1e-12);
}

#[test]
fn random_numbers_depend_on_key_and_position() {
    let text = "dim B = 2, T = 3, L = 2\nexport fn f(k: rng) -> (u: f32[B,T], w: f32[L,T], g: f32[B,T]) {\n  u[b,t] = uniform[b,t](fold(k, 7))\n  for l in L { w[l,t] = uniform[t](fold(k, l, 1)) }\n  g[b,t] = gumbel[t](fold(k, b, 2))\n}";
    let got = run_text(text, "f", "", &[("k", vec![1234.0])]);
    let draw = |key: u64, at: i64| f64::from(einmesh_ir::rng::uniform(key, at));
    let fold = einmesh_ir::rng::fold;
    close(&got["u"], &(0..6).map(|i| draw(fold(1234, 7), i)).collect::<Vec<_>>(), 0.0);
    let w: Vec<f64> = (0..6).map(|i| draw(fold(fold(1234, i / 3), 1), i % 3)).collect();
    close(&got["w"], &w, 0.0);
    let g: Vec<f64> =
        (0..6).map(|i| -(-draw(fold(fold(1234, i / 3), 2), i % 3).ln()).ln()).collect();
    close(&got["g"], &g, 1e-12);
}

/// Mean, deviation and the largest size of numbers.
fn moments(numbers: &[f64]) -> (f64, f64, f64) {
    let n = numbers.len() as f64;
    let mean = numbers.iter().sum::<f64>() / n;
    let variance = numbers.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / n;
    (mean, variance.sqrt(), numbers.iter().fold(0.0, |m, x| m.max(x.abs())))
}

#[test]
fn records_start_as_their_fields_say() {
    let text = "
        dim D = 100, E = 90, L = 4
        const small = 0.5
        record Linear(I, O) { weight: f32[I,O], bias: f32[O] = zeros }
        record Layer { a: Linear(D, E) = normal(small * L^-0.5), b: Linear(E, D) = uniform(3 * small), g: f32[D] = ones }
        record Params { layers: Layer[L], n: i32 = ones, a: f32[D,E] = normal(0.25) }
        export fn f(r: rng) -> (p: Params) { p: Params = initial(r) }";
    let begin = |seed: f64| run_text(text, "f", "", &[("r", vec![seed])]);
    let p = begin(1.0);
    assert!(p["p.layers.g"].iter().chain(&p["p.n"]).all(|x| *x == 1.0));
    assert!(p["p.layers.a.bias"].iter().all(|x| *x == 0.0));
    // 36,000 numbers: four deviations of their mean and of their deviation are 2.1 % and 1.5 % of the deviation.
    let (mean, deviation, most) = moments(&p["p.layers.a.weight"]);
    assert!(
        mean.abs() < 0.021 * 0.25 && (deviation - 0.25).abs() < 0.015 * 0.25,
        "{mean} {deviation}"
    );
    assert!(most > 3.5 * 0.25, "normal numbers are not bounded by {most}");
    let (mean, deviation, most) = moments(&p["p.layers.b.weight"]);
    let expected = 1.5 / 3_f64.sqrt();
    assert!(mean.abs() < 0.021 * expected && (deviation - expected).abs() < 0.015 * expected);
    assert!(most <= 1.5 && most > 1.49, "{most}");
    // Layers, leaves of one name and keys have numbers of their own.
    let layer = &p["p.layers.a.weight"][..9000];
    assert_ne!(layer, &p["p.layers.a.weight"][9000..18000]);
    assert_ne!(layer, &p["p.a"][..]);
    assert_ne!(p["p.a"], begin(2.0)["p.a"]);
    assert_eq!(p["p.a"], begin(1.0)["p.a"]);
}

#[test]
fn functions_of_any_record_are_called_with_one() {
    let found = run_text(
        "
        dim D = 3, L = 2
        record Leaf { w: f32[D], b: f32 }
        record Tree { leaves: Leaf[L], s: f32 }
        fn step(p: record, g: record, lr: f32 = 0.5) -> (next: record, norm: f32) {
          next = p - lr * g
          norm = sum(g * g)
        }
        fn twice(p: record, g: record) -> record {
          (q, n) = step(p, g)
          (out, m) = step(q, g)
        }
        export fn f(p: Tree, x: Leaf) -> (q: Tree, norm: f32, y: Leaf) {
          (a, norm) = step(p, p, 1.0)
          q = twice(p, a + 2)
          y = twice(x, x)
        }",
        "f",
        "",
        &[],
    );
    for leaf in ["s", "leaves.b", "leaves.w"] {
        let expected: Vec<f64> = found[&format!("in:p.{leaf}")].iter().map(|p| p - 2.0).collect();
        assert_eq!(found[&format!("q.{leaf}")], expected, "{leaf}");
    }
    let squares = |leaf: &str| found[leaf].iter().map(|x| x * x).sum::<f64>();
    let norm = squares("in:p.s") + squares("in:p.leaves.b") + squares("in:p.leaves.w");
    close(&found["norm"], &[norm], 1e-12);
    assert!(found["y.w"].iter().chain(&found["y.b"]).all(|y| *y == 0.0));
}

#[test]
fn the_best_are_found_with_ties_to_the_lowest() {
    let text = "dim B = 2, V = 5, M: V = 3\nexport fn f(x: f32[B,V]) -> (val: f32[B,M], idx: i32[B,M], best: i32[B]) {\n  (val[b,m], idx[b,m]) = top_k[v,m](x[b,v])\n  best[b] = argmax[v | v != 1](x[b,v])\n}";
    let got =
        run_text(text, "f", "", &[("x", vec![1.0, 9.0, 3.0, 3.0, 0.0, 2.0, 2.0, 7.0, -1.0, 7.0])]);
    close(&got["val"], &[9.0, 3.0, 3.0, 7.0, 7.0, 2.0], 0.0);
    close(&got["idx"], &[1.0, 2.0, 3.0, 2.0, 4.0, 0.0], 0.0);
    close(&got["best"], &[2.0, 2.0], 0.0);
}

#[test]
fn a_training_state_starts() {
    let source = from_file("tests/programs/train.ein");
    let got = run(&source, &options("init", "B=2 T=3 P=4 V=5 D=4 H=2 F=3 L=2"), &[]);
    close(&got["s.p.wte"], &got["in:p.wte"], 0.0);
    assert!(got["s.m.h.attn.c_attn.weight"].iter().all(|x| *x == 0.0));
    close(&got["s.scale"], &[65536.0], 0.0);
}
