//! `generate`: the tokens of published models' golden files, text as it comes, and what is refused.

use super::{Directory, Ran};
use einmesh_models::weights::amplify;
use einmesh_models::{Data, Tensor, gpt2, llama, write};
use serde_json::{Value as Json, json};

/// A model of bytes that is quick to compile.
const SMALL: llama::Config = llama::Config { L: 2, D: 48, H: 6, G: 3, V: 256, F: 80 };
/// How it is run.
const BYTES: [&str; 7] = [
    "llama.ein",
    "--params",
    "small.safetensors",
    "--tokenizer",
    "bytes",
    "-DH=6",
    "-Dtheta=10000",
];

impl Directory {
    /// With the models and a checkpoint `small.safetensors`.
    fn with_models(name: &str) -> Directory {
        let d = Directory::new(name);
        d.write("gpt2.ein", include_str!("../../../models/gpt2.ein"));
        d.write("gpt2_decode.ein", include_str!("../../../models/gpt2_decode.ein"));
        d.write("llama.ein", include_str!("../../../models/llama.ein"));
        d.write("llama_decode.ein", include_str!("../../../models/llama_decode.ein"));
        let mut weights = llama::weights(&SMALL);
        amplify(&mut weights, 4.0);
        write(&d.path("small.safetensors"), &weights).expect("weights are written");
        d
    }

    fn generate(&self, model: &[&str], prompt: &str, options: &[&str]) -> Ran {
        self.einmesh(&[&["generate"], model, &["--prompt", prompt], options])
    }
}

/// A tokenizer whose token n is the word `tn`.
fn words(count: usize) -> String {
    let vocabulary: serde_json::Map<String, Json> =
        (0..count).map(|n| (format!("t{n}"), json!(n))).collect();
    let model = json!({ "type": "WordLevel", "vocab": vocabulary, "unk_token": "t0" });
    let tokenizer = json!({
        "version": "1.0", "truncation": null, "padding": null, "added_tokens": [], "normalizer": null,
        "pre_tokenizer": { "type": "Whitespace" }, "post_processor": null, "decoder": null,
        "model": model,
    });
    tokenizer.to_string()
}

/// The golden file's prompt and what follows it, as words.
fn golden(file: &str) -> (String, String, f32) {
    let json: Json = serde_json::from_str(file).expect("the golden file is JSON");
    let text = |key: &str| {
        let tokens = json[key].as_array().expect("a list").iter();
        tokens.map(|t| format!("t{t}")).collect::<Vec<String>>().join(" ")
    };
    (text("prompt"), text("tokens"), json["gain"].as_f64().expect("a number") as f32)
}

/// The tokens of a float64 PyTorch model, by the plain model's file: the extents come from the checkpoint,
/// in which LLaMA's are in two files and GPT-2's under a prefix.
#[test]
fn published_models_go_on_as_pytorch_does() {
    let d = Directory::with_models("golden");
    d.write("words.json", words(8192));
    let common = ["--tokenizer=words.json", "--max-tokens=64"];

    let (prompt, follows, gain) = golden(include_str!("../../golden/decode_gpt_tiny.json"));
    let mut weights = gpt2::weights(&gpt2::Config::TINY);
    amplify(&mut weights, gain);
    weights.iter_mut().for_each(|t| t.name = format!("transformer.{}", t.name));
    write(&d.path("gpt.safetensors"), &weights).expect("weights are written");
    let model = ["gpt2.ein", "-DH=4", "--params=gpt.safetensors"];
    let ran = d.generate(&model, &prompt, &common);
    assert!(ran.stderr.contains("prompt: 32 tokens in"), "{}", ran.stderr);
    assert_eq!(ran.data(), format!("{follows}\n"));
    let split = [&common[..], &["--mesh=tensor=2", "--threads=1"]].concat();
    assert_eq!(d.generate(&model, &prompt, &split).data(), format!("{follows}\n"));

    let (prompt, follows, gain) = golden(include_str!("../../golden/decode_llama_tiny.json"));
    let mut weights = llama::weights(&llama::Config::TINY);
    amplify(&mut weights, gain);
    let (first, rest) = weights.split_at(20);
    write(&d.path("a.safetensors"), first).expect("weights are written");
    write(&d.path("b.safetensors"), rest).expect("weights are written");
    let model =
        ["llama.ein", "-DH=8", "-Dtheta=10000", "--params", "a.safetensors", "b.safetensors"];
    assert_eq!(d.generate(&model, &prompt, &common).data(), format!("{follows}\n"));
}

#[test]
fn text_follows_from_the_seed_and_nothing_else() {
    let d = Directory::with_models("seeds");
    let sampled = ["--max-tokens=24", "--temperature=0.8", "--top-k=40", "--top-p=0.95"];
    let told = |options: &[&str]| {
        let options = [&sampled[..], options].concat();
        d.generate(&BYTES, "Hello", &options).data()
    };
    let first = told(&["--seed=3", "--threads=1"]);
    assert!(first.chars().count() > 8, "{first:?}");
    assert_eq!(told(&["--seed=3", "--threads=2"]), first);
    assert_eq!(told(&["--seed=3", "--mesh=tensor=3"]), first);
    assert_ne!(told(&["--seed=4"]), first);
    let object = [&sampled[..], &["--seed=3", "--json"]].concat();
    let object = d.generate(&BYTES, "Hello", &object).json();
    assert_eq!(object["text"].as_str().map(|t| format!("{t}\n")), Some(first));
    assert_eq!(object["tokens"].as_array().map(Vec::len), Some(24));
    assert_eq!(object["prompt_tokens"], json!([72, 101, 108, 108, 111]));
    assert_eq!(object["stop"], "length");
    assert_eq!(object["step_ms"].as_array().map(Vec::len), Some(23));
    assert!(object["prompt_ms"].as_f64() > Some(0.0) && object["compile_ms"].is_number());

    // One token needs no step; the likeliest of one is the likeliest.
    let greedy = d.generate(&BYTES, "Hello", &["--max-tokens=1"]).data();
    let one = ["--max-tokens=1", "--temperature=3", "--top-k=1"];
    assert_eq!(d.generate(&BYTES, "Hello", &one).data(), greedy);
    let least = ["--max-tokens=1", "--temperature=3", "--top-p=0.0001"];
    assert_eq!(d.generate(&BYTES, "Hello", &least).data(), greedy);
}

/// Constants stand in the `config.json` beside the checkpoint; the command line goes before it.
#[test]
fn constants_come_from_the_checkpoints_config() {
    let d = Directory::with_models("config");
    let model = ["llama.ein", "--params=small.safetensors", "--tokenizer=bytes", "-DH=6"];
    let says =
        |options: &[&str]| d.generate(&model, "Hello", &[&["--max-tokens=12"], options].concat());
    let expected = says(&["-Dtheta=10000", "-Deps=0.25"]).data();
    assert_ne!(says(&[]).data(), expected, "the file's own constants give another text");
    d.write("config.json", json!({ "rope_theta": 10000, "rms_norm_eps": 0.25 }).to_string());
    let ran = says(&[]);
    assert!(ran.stderr.contains("config.json: eps = 0.25, theta = 10000.0"), "{}", ran.stderr);
    assert_eq!(ran.data(), expected);
    d.write("config.json", json!({ "rope_theta": 7.0, "rms_norm_eps": 0.25 }).to_string());
    assert_eq!(says(&["-Dtheta=10000"]).data(), expected);
    // Nothing, as it may be said.
    let nothing = json!({ "rope_theta": null, "rope_scaling": { "rope_type": "default" } });
    d.write("config.json", nothing.to_string());
    assert_eq!(says(&["-Dtheta=10000", "-Deps=0.25"]).data(), expected);

    let refused = [
        (json!({ "rope_scaling": { "rope_type": "llama3" } }), "`rope_scaling` is"),
        (json!({ "rms_norm_eps": "small" }), "`rms_norm_eps` cannot be \"small\""),
        (json!({ "tie_word_embeddings": 1 }), "`tie_word_embeddings` cannot be 1"),
        (json!({ "rms_norm_eps": 1e-6, "layer_norm_eps": 1e-5 }), "differ"),
        (json!([]), "invalid type"),
    ];
    for (config, why) in refused {
        d.write("config.json", config.to_string());
        says(&[]).fails(1, &["config.json", why]);
    }
    d.write("config.json", json!({ "rope_theta": 10000 }).to_string());
    let model = ["gpt2.ein", "--params=small.safetensors", "--tokenizer=bytes", "-DH=6"];
    d.generate(&model, "Hello", &[]).fails(1, &["`rope_theta`", "no `const theta`"]);
}

/// A model that says what stands in its parameters, whatever it reads.
const SCRIPT: &str = "
dim B, T, V = 256, N = 64
record Params { script: f32[N,V] }
record Cache  { length: i32[B] }
export fn prefill(p: Params, inout cache: Cache, tokens: i32[B,T], len: i32[B]) -> (logits: f32[B,V]) {
  cache.length[b] = len[b]
  logits[b,v] = p.script[tokens[b,0] - tokens[b,0], v]
}
export fn decode_step(p: Params, inout cache: Cache, tok: i32[B], pos: i32[B]) -> (logits: f32[B,V]) {
  cache.length[b] = cache.length[b] + tok[b] - tok[b]
  logits[b,v] = p.script[pos[b] - cache.length[b] + 1, v]
}
";

fn script(d: &Directory, file: &str, says: &[u32], vocabulary: usize) {
    let row = |token: u32| (0..vocabulary).map(move |v| f32::from(u8::from(v == token as usize)));
    let tensor = Tensor {
        name: "script".to_owned(),
        shape: vec![says.len(), vocabulary],
        data: Data::F32(says.iter().copied().flat_map(row).collect()),
    };
    write(&d.path(file), &[tensor]).expect("parameters are written");
}

#[test]
fn characters_are_whole_and_ends_end() {
    let d = Directory::new("script");
    d.write("script.ein", SCRIPT);
    // "né€🙂", a byte that is no text, and a character that is cut off.
    let bytes: Vec<u32> = "né€🙂".bytes().chain([0xFF, b'!', 0xE2, 0x82]).map(u32::from).collect();
    script(&d, "bytes.safetensors", &bytes, 256);
    let model = ["script.ein", "--params=bytes.safetensors", "--tokenizer=bytes"];
    let says = |n: usize| d.generate(&model, "?", &["--max-tokens", &n.to_string()]).data();
    assert_eq!(says(bytes.len()), "né€🙂\u{FFFD}!\u{FFFD}\n");
    assert_eq!(says(3), "né\n");
    assert_eq!(says(2), "n\u{FFFD}\n");

    // Tokens whose bytes are parts of characters, and one that ends the text.
    let bytes_of = json!({
        "type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true
    });
    let alphabet = json!({
        "version": "1.0", "truncation": null, "padding": null, "normalizer": null,
        "added_tokens": [{
            "id": 5, "content": "<|endoftext|>", "single_word": false, "lstrip": false, "rstrip": false,
            "normalized": false, "special": true
        }],
        "pre_tokenizer": bytes_of,
        "post_processor": null, "decoder": bytes_of.clone(),
        "model": { "type": "BPE", "vocab": { "a": 0, "Ġ": 1, "â": 2, "Ĥ": 3, "¬": 4 }, "merges": [] },
    });
    d.write("tokenizer.json", alphabet.to_string());
    script(&d, "tokens.safetensors", &[0, 1, 2, 3, 4, 0, 5, 0], 8);
    let model = ["script.ein", "--params=tokens.safetensors", "--tokenizer=tokenizer.json"];
    let ran = d.generate(&model, "a", &["--max-tokens=8"]);
    assert!(ran.stderr.contains("the model has 8 tokens, the tokenizer 6"), "{}", ran.stderr);
    assert_eq!(ran.data(), "a €a\n");
    let object = d.generate(&model, "a", &["--max-tokens=8", "--json"]).json();
    assert_eq!((&object["stop"], &object["tokens"]), (&json!("end"), &json!([0, 1, 2, 3, 4, 0])));
}

#[test]
fn what_does_not_fit_is_refused() {
    let d = Directory::with_models("misfits");
    let usage: [(&[&str], &str); 8] = [
        (&["--temperature=-1"], "`--temperature -1` is not 0 or above"),
        (&["--temperature=nan"], "is not 0 or above"),
        (&["--temperature=1", "--top-p=0"], "`--top-p 0` is not above 0"),
        (&["--top-k=5"], "`--top-k` has no effect"),
        (&["--seed=5"], "`--seed` has no effect"),
        (&["--max-tokens=0"], "--max-tokens"),
        (&["--plan=steps"], "`--plan` names a plan of one entry"),
        (&["-DT=9"], "`-D T` is not 5"),
    ];
    for (options, says) in usage {
        d.generate(&BYTES, "Hello", options).fails(2, &[says]);
    }
    let failed: [(&[&str], &[&str]); 4] = [
        (&["-DS=4", "--max-tokens=1"], &["the cache has 4 positions (`S`)", "need 5"]),
        (&["-DQ=4"], &["E0207", "`-D Q=4`"]),
        (&["-DW=bool"], &["error"]),
        (&["-DV=300"], &["`model.embed_tokens.weight` has the shape [256, 48]"]),
    ];
    for (options, says) in failed {
        d.generate(&BYTES, "Hello", options).fails(1, says);
    }
    d.generate(&BYTES, "", &[]).fails(1, &["the prompt has no tokens"]);
    let with = |params: &str, tokenizer: &str, heads: &str| {
        let model = ["llama.ein", "--params", params, "--tokenizer", tokenizer, heads];
        d.generate(&model, "Hello", &["--max-tokens=1"])
    };
    with("small.safetensors", "bytes", "-DL=2")
        .fails(1, &["`D` is 48 in it and 4096 in the file", "`-D G=… -D H=…`"]);
    d.write("words.json", words(300));
    with("small.safetensors", "words.json", "-DH=6").fails(1, &["has 300 tokens, the model 256"]);
    with("small.safetensors", "none.json", "-DH=6")
        .fails(1, &["cannot read the tokenizer `none.json`"]);
    with("none.safetensors", "bytes", "-DH=6").fails(1, &["none.safetensors"]);
    with("params.safetensors", "bytes", "-DV=256")
        .fails(1, &["lacks", "model.embed_tokens.weight"]);
    d.generate(&["mlp.ein", "--params=small.safetensors", "--tokenizer=bytes"], "Hello", &[])
        .fails(1, &["neither `mlp.ein` nor `mlp_decode.ein` exports", "prefill(p, inout cache"]);

    let mut weights = llama::weights(&SMALL);
    weights.retain(|t| t.name != "model.layers.1.mlp.up_proj.weight");
    write(&d.path("part.safetensors"), &weights).expect("weights are written");
    with("part.safetensors", "bytes", "-DH=6").fails(1, &["part.safetensors lacks", "up_proj"]);
    let twice = [
        "llama.ein",
        "-DH=6",
        "--tokenizer=bytes",
        "--params",
        "part.safetensors",
        "small.safetensors",
    ];
    d.generate(&twice, "Hello", &[]).fails(1, &["another file has `lm_head.weight` too"]);
}
