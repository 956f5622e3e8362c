//! What programs compute, through the interpreter in f64, against references written out here and
//! against PyTorch's numbers (`golden/decoders.json`, made from float64 references with short weights).

mod common;

use common::{from_file, from_text, lowered, options};
use einmesh_interp::{Data, Precision, Tensor, evaluate};
use einmesh_lower::Options;
use std::collections::BTreeMap;

/// Inputs and outputs by their paths, row-major.
type Named = BTreeMap<String, Vec<f64>>;

/// Numbers in −1..1 with so few digits that bf16 holds them, which depend on the seed and the position.
fn noise(seed: &str, n: usize) -> Vec<f64> {
    common::states(seed).take(n).map(|state| (state >> 57) as f64 / 64.0 - 1.0).collect()
}

fn run(source: &common::Source, options: &Options, given: &[(&str, Vec<f64>)]) -> Named {
    run_in(Precision::F64, source, options, given)
}

fn run_in(
    precision: Precision,
    source: &common::Source,
    options: &Options,
    given: &[(&str, Vec<f64>)],
) -> Named {
    let program = lowered(source, options).program;
    let mut named = Named::new();
    let mut inputs = Vec::new();
    for input in &program.inputs {
        let shape: Vec<usize> = program.extents(input.value).iter().map(|e| *e as usize).collect();
        let n = shape.iter().product();
        let found = given.iter().find(|(path, _)| *path == input.path).map(|(_, v)| v.clone());
        let numbers = found.unwrap_or_else(|| noise(&input.path, n));
        assert_eq!(numbers.len(), n, "{}", input.path);
        let dtype = program.values[input.value].dtype;
        inputs.push(match dtype.is_float() {
            true => Tensor::float(dtype, &shape, numbers.iter().copied()),
            false => Tensor::int(dtype, &shape, numbers.iter().map(|v| *v as i64)),
        });
        named.insert(format!("in:{}", input.path), numbers);
    }
    let outputs = evaluate(&program, &inputs, precision).unwrap_or_else(|e| panic!("{e}"));
    for (output, tensor) in program.outputs.iter().zip(outputs) {
        let numbers = match tensor.data {
            Data::Float(v) => v.to_vec(),
            Data::Int(v) => v.iter().map(|x| *x as f64).collect(),
        };
        named.insert(output.path.clone(), numbers);
    }
    named
}

fn run_text(text: &str, entry: &str, defines: &str, given: &[(&str, Vec<f64>)]) -> Named {
    run(&from_text("tests/programs/test.ein", text), &options(entry, defines), given)
}

fn close(got: &[f64], expected: &[f64], tolerance: f64) {
    assert_eq!(got.len(), expected.len());
    for (at, (g, e)) in got.iter().zip(expected).enumerate() {
        let same =
            (g - e).abs() <= tolerance * e.abs().max(1.0) || g == e || (g.is_nan() && e.is_nan());
        assert!(same, "at {at}: {g} instead of {e}");
    }
}

/// An entry of the golden file: the program's inputs by checkpoint name, stacked, and the logits.
fn golden(
    arch: &str,
    source: &common::Source,
    options: &Options,
) -> (Vec<(String, Vec<f64>)>, Vec<f64>) {
    let text = std::fs::read_to_string(
        common::repository().join("compiler/lower/tests/golden/decoders.json"),
    )
    .expect("golden");
    let json: serde_json::Value = serde_json::from_str(&text).expect("json");
    let list = |v: &serde_json::Value| -> Vec<f64> {
        v.as_array().expect("a list").iter().map(|x| x.as_f64().expect("a number")).collect()
    };
    let case = &json[arch];
    let program = lowered(source, options).program;
    let mut given = Vec::new();
    for input in &program.inputs {
        if input.records.is_empty() {
            given.push((input.path.clone(), list(&case[&input.path])));
        } else if input.tensor.contains("{}") {
            let layers = (0..2)
                .flat_map(|l| list(&case["params"][input.tensor.replace("{}", &l.to_string())]));
            given.push((input.path.clone(), layers.collect()));
        } else {
            given.push((input.path.clone(), list(&case["params"][&input.tensor])));
        }
    }
    (given, list(&case["logits"]))
}

fn borrowed(given: &[(String, Vec<f64>)]) -> Vec<(&str, Vec<f64>)> {
    given.iter().map(|(p, v)| (p.as_str(), v.clone())).collect()
}

const GPT: &str = "W=f64 B=2 T=5 P=5 V=11 D=6 H=2 F=10 L=2";
/// Constants such as `K^-0.5` are f32 in the program, so that results agree to seven digits.
const LLAMA: &str = "B=2 T=5 V=11 D=12 H=6 G=3 F=7 L=2 theta=10000.0";

#[test]
fn gpt2_is_the_reference() {
    let source = from_file("models/gpt2.ein");
    let forward = options("forward", GPT);
    let (given, logits) = golden("gpt", &source, &forward);
    let got = run(&source, &forward, &borrowed(&given));
    // The norm's epsilon is an f32 in the program: 1e-5 to eight digits.
    close(&got["logits"], &logits, 1e-10);
    let loss = options("loss", GPT);
    let (mut given, _) = golden("gpt", &source, &loss);
    // One target is ignored.
    let targets = given.iter_mut().find(|(p, _)| p == "targets").expect("targets");
    targets.1[3] = -100.0;
    let targets = targets.1.clone();
    let mut expected = 0.0;
    for (row, target) in targets.iter().enumerate().filter(|(_, t)| **t >= 0.0) {
        let z = &logits[row * 11..(row + 1) * 11];
        expected += z.iter().map(|x| x.exp()).sum::<f64>().ln() - z[*target as usize];
    }
    let got = run(&source, &loss, &borrowed(&given));
    close(&got["out"], &[expected / 9.0], 1e-10);
}

#[test]
fn llama_is_the_reference() {
    let source = from_file("tests/programs/llama3.ein");
    let forward = options("forward", LLAMA);
    let (given, logits) = golden("llama", &source, &forward);
    let got = run(&source, &forward, &borrowed(&given));
    close(&got["logits"], &logits, 1e-7);
    let model = from_file("models/llama.ein");
    let precise = options("forward", &format!("{LLAMA} W=f64"));
    let (given, _) = golden("llama", &model, &precise);
    close(&run(&model, &precise, &borrowed(&given))["logits"], &logits, 1e-7);
    let lora = from_file("tests/programs/lora.ein");
    let options = options("forward", &format!("{LLAMA} A=4"));
    let program = lowered(&lora, &options).program;
    let mut with = borrowed(&given);
    for input in program.inputs.iter().filter(|i| i.path.ends_with("lora_B")) {
        assert_eq!(input.records, ["Pair", "LoraAttn", "LoraBlock", "Lora"]);
        with.push((&input.path, vec![0.0; program.elements(input.value) as usize]));
    }
    close(&run(&lora, &options, &with)["logits"], &logits, 1e-7);
    // Other factors change the result.
    let changed = run(&lora, &options, &borrowed(&given));
    assert!(changed["logits"].iter().zip(&logits).any(|(a, b)| (a - b).abs() > 1e-3));
}

#[test]
fn decoding_with_a_cache_is_the_forward_pass() {
    let text = r#"
use "decode.ein": *
export fn both(p: Params, tokens: i32[B,T], tail: i32[B]) -> (first: f32[B,V], second: f32[B,V], keys: bf16[L,B,S,G,C,J]) {
  cache: Cache[L] = 0
  zero[b] = 0
  last[b] = T - 1
  first = extend(p, cache, tokens, zero, last)
  pos[b] = T + 0
  second = decode_step(p, cache, tail, pos)
  keys = cache.k
}
"#;
    let source = from_text("tests/programs/test.ein", text);
    let base = from_file("tests/programs/llama3.ein");
    let (given, logits) = golden("llama", &base, &options("forward", LLAMA));
    // The first four tokens are the prompt, the fifth is decoded.
    let defines = LLAMA.replace("T=5", "T=4") + " S=6";
    let mut with = borrowed(&given);
    let tokens = with.iter().find(|(p, _)| *p == "tokens").expect("tokens").1.clone();
    with.retain(|(p, _)| *p != "tokens");
    with.push(("tokens", [&tokens[..4], &tokens[5..9]].concat()));
    with.push(("tail", vec![tokens[4], tokens[9]]));
    let got = run(&source, &options("both", &defines), &with);
    let at = |b: usize, t: usize| &logits[(b * 5 + t) * 11..(b * 5 + t + 1) * 11];
    close(&got["first"], &[at(0, 3), at(1, 3)].concat(), 1e-7);
    close(&got["second"], &[at(0, 4), at(1, 4)].concat(), 1e-7);
    // Slots 0 to 4 of each row are filled, slot 5 is not: [L,B,S,…] with 3 · 2 · 1 numbers per slot.
    let filled = |slot: usize| got["keys"][slot * 6..(slot + 1) * 6].iter().any(|x| *x != 0.0);
    assert!((0..5).all(filled) && !filled(5));
}

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
fn the_best_are_found_with_ties_to_the_lowest() {
    let text = "dim B = 2, V = 5, M: V = 3\nexport fn f(x: f32[B,V]) -> (val: f32[B,M], idx: i32[B,M], best: i32[B]) {\n  (val[b,m], idx[b,m]) = top_k[v,m](x[b,v])\n  best[b] = argmax[v | v != 1](x[b,v])\n}";
    let got =
        run_text(text, "f", "", &[("x", vec![1.0, 9.0, 3.0, 3.0, 0.0, 2.0, 2.0, 7.0, -1.0, 7.0])]);
    close(&got["val"], &[9.0, 3.0, 3.0, 7.0, 7.0, 2.0], 0.0);
    close(&got["idx"], &[1.0, 2.0, 3.0, 2.0, 4.0, 0.0], 0.0);
    close(&got["best"], &[2.0, 2.0], 0.0);
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
fn a_training_state_starts() {
    let source = from_file("tests/programs/train.ein");
    let got = run(&source, &options("init", "B=2 T=3 P=4 V=5 D=4 H=2 F=3 L=2"), &[]);
    close(&got["s.p.wte"], &got["in:p.wte"], 0.0);
    assert!(got["s.m.h.attn.c_attn.weight"].iter().all(|x| *x == 0.0));
    close(&got["s.scale"], &[65536.0], 0.0);
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
fn one_file_serves_all_precisions() {
    let source = from_file("models/gpt2.ein");
    let exact = options("forward", GPT);
    let (given, logits) = golden("gpt", &source, &exact);
    // The unit roundoff of each dtype times what a few layers amplify it by.
    for (dtype, tolerance) in [("f64", 1e-10), ("f32", 1e-5), ("bf16", 0.1), ("f16", 0.02)] {
        let options = options("forward", &GPT.replace("f64", dtype));
        let got = run_in(Precision::Program, &source, &options, &borrowed(&given));
        close(&got["logits"], &logits, tolerance);
    }
    // Rounding the operands of contractions changes the numbers, a little.
    let mut rounded = options("forward", &GPT.replace("f64", "f32"));
    rounded.overrides.precision = Some(Some(einmesh_ir::DType::Bf16));
    let got = run_in(Precision::Program, &source, &rounded, &borrowed(&given));
    close(&got["logits"], &logits, 0.1);
    assert!(got["logits"].iter().zip(&logits).any(|(a, b)| (a - b).abs() > 1e-4));
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
