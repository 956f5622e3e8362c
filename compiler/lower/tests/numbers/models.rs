//! Models against PyTorch's numbers: `golden/decoders.json`, made from float64 references with short weights.

use super::*;

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
