//! Fragments of programs against references written out here.

use super::*;

/// A function of the fragments, exported.
fn fragment(name: &str, defines: &str, given: &[(&str, Vec<f64>)]) -> Named {
    let text = std::fs::read_to_string(common::repository().join("tests/programs/fragments.ein"))
        .expect("readable");
    let text = text.replace(&format!("\nfn {name}("), &format!("\nexport fn {name}("));
    run(&from_text("tests/programs/fragments.ein", &text), &options(name, defines), given)
}

#[test]
fn convolution_pads_with_zeros() {
    let got = fragment("conv", "B=2 Ih=4 Iw=5 Ci=3 Co=2", &[]);
    let (x, w) = (&got["in:x"], &got["in:w"]);
    let mut expected = Vec::new();
    for (b, co, i, j) in (0..2).flat_map(|b| {
        (0..2).flat_map(move |co| (0..4).flat_map(move |i| (0..5).map(move |j| (b, co, i, j))))
    }) {
        let mut sum = 0.0;
        for (ci, r, s) in
            (0..3).flat_map(|ci| (0..3).flat_map(move |r| (0..3).map(move |s| (ci, r, s))))
        {
            let (y, z) = (i + r - 1, j + s - 1);
            if (0..4).contains(&y) && (0..5).contains(&z) {
                sum += x[(((b * 3 + ci) * 4 + y) * 5 + z) as usize]
                    * w[(((co * 3 + ci) * 3 + r) * 3 + s) as usize];
            }
        }
        expected.push(sum);
    }
    close(&got["out"], &expected, 1e-12);
}

#[test]
fn batch_statistics_are_given_back() {
    let got = fragment("batch_norm", "B=2 Ih=3 Iw=2 Co=2", &[]);
    let (x, mu, va) = (&got["in:x"], &got["in:mu"], &got["in:va"]);
    let (mut out, mut mus, mut vas) = (vec![0.0; 24], Vec::new(), Vec::new());
    for co in 0..2 {
        let at: Vec<usize> =
            (0..2).flat_map(|b| (0..6).map(move |i| (b * 2 + co) * 6 + i)).collect();
        let m = at.iter().map(|i| x[*i]).sum::<f64>() / 12.0;
        let v = at.iter().map(|i| (x[*i] - m).powi(2)).sum::<f64>() / 12.0;
        mus.push(f64::from(0.9_f32) * mu[co] + f64::from(0.1_f32) * m);
        vas.push(f64::from(0.9_f32) * va[co] + f64::from(0.1_f32) * v);
        for i in at {
            out[i] = (x[i] - m) / (v + f64::from(1e-5_f32)).sqrt();
        }
    }
    close(&got["out"], &out, 1e-12);
    close(&got["mu"], &mus, 1e-12);
    close(&got["va"], &vas, 1e-12);
}

#[test]
fn a_state_space_is_a_loop_that_collects() {
    let got = fragment("ssm", "B=2 T=3 P=8 E=2 X=2", &[]);
    let (a, bx, c) = (&got["in:a"], &got["in:bx"], &got["in:c"]);
    let mut y = vec![0.0; 12];
    for (b, e, x) in (0..2).flat_map(|b| (0..2).flat_map(move |e| (0..2).map(move |x| (b, e, x)))) {
        let mut h = 0.0;
        for t in 0..3 {
            let at = ((b * 3 + t) * 2 + e) * 2 + x;
            h = a[at] * h + bx[at];
            y[(t * 2 + b) * 2 + e] += h * c[(b * 3 + t) * 2 + x];
        }
    }
    close(&got["y"], &y, 1e-12);
}

#[test]
fn patches_and_windows_are_their_loops() {
    let got = fragment("patches", "B=1 Ih=2 Iw=2 Pp=2 Qq=3 Ci=2 E=3", &[]);
    let (img, w, bias) = (&got["in:img"], &got["in:w"], &got["in:bias"]);
    let mut expected = Vec::new();
    for (ih, iw, e) in
        (0..2).flat_map(|ih| (0..2).flat_map(move |iw| (0..3).map(move |e| (ih, iw, e))))
    {
        let mut sum = bias[e];
        for (ci, pp, qq) in
            (0..2).flat_map(|ci| (0..2).flat_map(move |pp| (0..3).map(move |qq| (ci, pp, qq))))
        {
            sum += img[((ci * 2 + ih) * 2 + pp) * 6 + iw * 3 + qq]
                * w[((e * 2 + ci) * 2 + pp) * 3 + qq];
        }
        expected.push(sum);
    }
    close(&got["out"], &expected, 1e-12);
    let got = fragment("window", "B=1 H=2 D=4 T=4 P=4", &[("w", vec![2.0])]);
    let s = &got["in:s"];
    for (h, t) in (0..2).flat_map(|h| (0..4).map(move |t| (h, t))) {
        let slope = 2.0_f64.powf(-8.0 * (h as f64 + 1.0) / 2.0);
        let e: Vec<f64> = (0..4)
            .map(|u| {
                if u <= t && t < u + 2 {
                    (s[(h * 4 + t) * 4 + u] - slope * (t as f64 - u as f64)).exp()
                } else {
                    0.0
                }
            })
            .collect();
        let total: f64 = e.iter().sum();
        let expected: Vec<f64> = e.iter().map(|x| x / total).collect();
        close(&got["out"][(h * 4 + t) * 4..(h * 4 + t) * 4 + 4], &expected, 1e-12);
    }
}

#[test]
fn t5_buckets_are_the_published_ones() {
    let text = "use \"t5.ein\": { S, Z, bucket, bucket_back }\nexport fn f() -> (both: i32[S,Z], past: i32[S,Z]) {\n  both[s,z] = bucket(z - s)\n  past[s,z] = bucket_back(z - s)\n}";
    let source = from_text("tests/programs/test.ein", text);
    let got = run_in(Precision::Program, &source, &options("f", "S=40"), &[]);
    for (s, z) in (0..40_i64).flat_map(|s| (0..40_i64).map(move |z| (s, z))) {
        let rel = z - s;
        // As the published model computes it, in f32.
        let large = |n: i64, exact: f32, ratio: f64| {
            exact as i64 + ((n.max(1) as f32 / exact).ln() / ratio.ln() as f32 * exact) as i64
        };
        let n = rel.abs();
        let both =
            if rel > 0 { 16 } else { 0 } + if n < 8 { n } else { large(n, 8.0, 16.0).min(15) };
        let n = (-rel).max(0);
        let past = if n < 16 { n } else { large(n, 16.0, 8.0).min(31) };
        let at = (s * 40 + z) as usize;
        assert_eq!((got["both"][at], got["past"][at]), (both as f64, past as f64), "{rel}");
    }
}

#[test]
fn experts_agree_in_both_forms() {
    let defines = "B=2 T=3 V=7 D=8 H=2 G=1 F=5 L=2 E=4 N=2";
    let source = from_file("tests/programs/mixtral.ein");
    let dropless = run(
        &source,
        &options("forward", defines),
        &[("tokens", vec![1.0, 2.0, 3.0, 4.0, 5.0, 6.0])],
    );
    // With capacity for every choice nothing is dropped: Cap = 2 · B · T / E is enlarged.
    let capped = run(
        &source,
        &options("forward", &format!("{defines} Cap=12 dropless=false")),
        &[("tokens", vec![1.0, 2.0, 3.0, 4.0, 5.0, 6.0])],
    );
    close(&capped["logits"], &dropless["logits"], 1e-7);
    close(&capped["aux"], &dropless["aux"], 1e-12);
    let tight = run(
        &source,
        &options("forward", &format!("{defines} Cap=1 dropless=false")),
        &[("tokens", vec![1.0; 6])],
    );
    assert!(tight["logits"].iter().all(|x| x.is_finite()));
    // One expert layer against its definition.
    let text = "use \"mixtral.ein\": { B, T, D, E, N, F, Moe, route, experts }\nexport fn f(y: bf16[B,T,D], p: Moe) -> (out: bf16[B,T,D]) {\n  (sel, w, prob) = route(y, p)\n  out = experts(y, p, sel, w)\n}";
    let got = run_text(text, "f", "B=1 T=2 D=3 E=4 N=2 F=2", &[]);
    let (y, gate) = (&got["in:y"], &got["in:p.gate.weight"]);
    let (w1, w2, w3) = (
        &got["in:p.experts.w1.weight"],
        &got["in:p.experts.w2.weight"],
        &got["in:p.experts.w3.weight"],
    );
    let mut expected = Vec::new();
    for t in 0..2 {
        let row = &y[t * 3..t * 3 + 3];
        let dot = |w: &[f64]| w.iter().zip(row).map(|(a, b)| a * b).sum::<f64>();
        let z: Vec<f64> = (0..4).map(|e| dot(&gate[e * 3..e * 3 + 3])).collect();
        let mut order: Vec<usize> = (0..4).collect();
        order.sort_by(|a, b| z[*b].total_cmp(&z[*a]));
        let weight = |e: usize| z[e].exp() / (z[order[0]].exp() + z[order[1]].exp());
        for d in 0..3 {
            let mut sum = 0.0;
            for e in &order[..2] {
                for f in 0..2 {
                    let g = dot(&w1[(e * 2 + f) * 3..(e * 2 + f) * 3 + 3]);
                    let up = dot(&w3[(e * 2 + f) * 3..(e * 2 + f) * 3 + 3]);
                    sum += weight(*e) * (g / (1.0 + (-g).exp()) * up) * w2[(e * 3 + d) * 2 + f];
                }
            }
            expected.push(sum);
        }
    }
    close(&got["out"], &expected, 1e-12);
}
