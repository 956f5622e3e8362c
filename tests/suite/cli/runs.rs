//! `run`, `einmesh-run` and `einsum`: the same results by every way.

use super::{Directory, FORWARD, INPUTS, MESH, distance, tensor};
use einmesh_exec::tensors::{ElementType, Tensor, npy};
use serde_json::json;

#[test]
fn every_way_to_run_gives_the_same() {
    let d = Directory::new("ways");
    d.einmesh(&[&["build"], &FORWARD, &[MESH, "-o", "mlp.einpkg"]]).data();
    let run = |arguments: &[&[&str]], file: &str| {
        let options = ["--outputs", file];
        let ran = d.einmesh(&[&["run"], &arguments.concat(), &INPUTS, &options]);
        assert!(ran.stderr.contains(&format!("wrote logits to {file}")), "{}", ran.stderr);
        assert_eq!(ran.data(), "", "the results are in the file");
        d.result(file, "logits")
    };
    let whole = run(&[&FORWARD], "whole.safetensors");
    assert_eq!(whole.len(), 40);
    assert!(whole.iter().any(|x| x.abs() > 0.5), "{whole:?}");
    let parted = run(&[&FORWARD, &[MESH]], "parted.safetensors");
    assert!(distance(&whole, &parted) < 1e-5);
    let interpreted = run(&[&FORWARD, &["--backend=interp"]], "interp.safetensors");
    assert!(distance(&whole, &interpreted) < 1e-5);
    let simulated = run(&[&FORWARD, &[MESH, "--backend=interp"]], "ranks.safetensors");
    assert!(distance(&whole, &simulated) < 1e-5);
    let half = run(&[&FORWARD, &["--precision=compute=bf16"]], "half.safetensors");
    let rounded = distance(&whole, &half);
    assert!(rounded > 1e-5 && rounded < 0.1, "bf16 differs by {rounded}");

    // An artifact gives the very bits that its program gives, by both commands.
    assert_eq!(run(&[&["mlp.einpkg"]], "artifact.safetensors"), parted);
    let options = ["--entry=forward", "--threads=1", "--repeat=3", "--outputs=run.safetensors"];
    d.einmesh_run(&[&["mlp.einpkg"], &INPUTS, &options]).data();
    assert_eq!(d.result("run.safetensors", "logits"), parted);
    assert_eq!(d.bytes("run.safetensors"), d.bytes("artifact.safetensors"));
}

#[test]
fn what_runs_at_once_is_compiled_for_this_machine() {
    let d = Directory::new("here");
    let levels = |file: &str| -> Vec<String> {
        let manifest: serde_json::Value = serde_json::from_str(&d.text(file)).expect("JSON");
        let images = manifest["images"].as_array().expect("images");
        images.iter().map(|i| i["level"].as_str().expect("a level").to_owned()).collect()
    };
    let emit = ["-o", "mlp.einpkg", "--emit=artifact=all.json"];
    d.einmesh(&[&["build"], &FORWARD, &emit]).data();
    let all = levels("all.json");
    d.einmesh(&[&["run"], &FORWARD, &INPUTS, &["--emit=artifact=here.json"]]).data();
    let best = all.iter().find(|level| einmesh_exec::cpu_runs(level));
    assert_eq!(levels("here.json").first(), best);
    assert!(levels("here.json").len() < all.len());

    let mut limited = d.command("einmesh", &[&["run"], &FORWARD, &INPUTS]);
    limited.arg("--emit=artifact=limited.json").env("EINMESH_CPU", "x86-64-v3");
    assert!(limited.output().expect("the command starts").status.success());
    assert_eq!(levels("limited.json"), ["x86-64-v3"]);
}

#[test]
fn results_are_a_table_or_an_object() {
    let d = Directory::new("report");
    let ran = d.einmesh(&[&["run"], &FORWARD, &INPUTS]);
    assert!(ran.stderr.starts_with("forward: "), "{}", ran.stderr);
    let table = ran.data();
    assert!(table.starts_with("name ") && table.contains("logits  f32[4, 10]"), "{table}");

    for backend in ["--backend=cpu", "--backend=interp"] {
        let options = [MESH, "--json", "--repeat=3", backend];
        let object = d.einmesh(&[&["run"], &FORWARD, &INPUTS, &options]).json();
        assert_eq!(object["run_ms"].as_array().map(Vec::len), Some(3), "{backend}");
        assert_eq!(object["collectives"][0]["op"], "all_reduce", "{backend}");
        assert!(object["peak_bytes_per_device"].as_u64() > Some(0), "{backend}");
        assert!(object["stages_ms"]["lower"].is_number(), "{backend}");
    }
    let options = [MESH, "--json", "--repeat=3", "--profile"];
    let object = d.einmesh(&[&["run"], &FORWARD, &INPUTS, &options]).json();
    let profile = object["profile"].as_array().expect("a list");
    let reduced = profile.iter().find(|s| s["step"].as_str().unwrap().starts_with("all_reduce"));
    assert_eq!(reduced.map(|s| &s["count"]), Some(&json!(1)), "{profile:?}");
    let ran = d.einmesh(&[&["run"], &FORWARD, &INPUTS, &["--profile"]]);
    assert!(ran.stderr.contains("kernel `"), "{}", ran.stderr);
    let built = d.einmesh(&[&["build"], &FORWARD, &[MESH, "-o=mlp.einpkg", "--json"]]).json();
    let ran = d.einmesh_run(&[&["mlp.einpkg", "--json"], &INPUTS]).json();
    assert_eq!(ran["collectives"], built["collectives"]);
    assert_eq!(ran["peak_bytes_per_device"], built["peak_bytes_per_device"]);
    assert!(built["stages_ms"]["codegen"].as_f64() > Some(0.0));
}

#[test]
fn inputs_that_are_missing_or_misshapen_are_named() {
    let d = Directory::new("inputs");
    let run = |arguments: &[&[&str]]| d.einmesh(&[&["run"], &arguments.concat()]);
    let missing = ["`p.fc1.weight`", "[F=256, D=64]", "--params", "`x`", "[B=4, D=64]", "--inputs"];
    run(&[&FORWARD]).fails(1, &missing);
    run(&[&FORWARD, &["--backend=interp"]]).fails(1, &missing);
    // A device's share of a dim has a name of its own in the compiler; users see theirs.
    d.einmesh(&[&["build"], &FORWARD, &[MESH, "-o=mlp.einpkg"]]).data();
    d.einmesh_run(&[&["mlp.einpkg"]]).fails(1, &missing);
    let swapped = ["--params=x.safetensors", "--inputs=params.safetensors"];
    run(&[&FORWARD, &swapped]).fails(1, &["no value for `x`", "lacks 4 tensors"]);
    run(&[&FORWARD, &["-DB=5"], &INPUTS]).fails(1, &["[4, 64], expected [5, 64]"]);
    run(&[&FORWARD, &INPUTS, &["--outputs=absent/o.safetensors"]])
        .fails(1, &["absent/o.safetensors"]);
    let absent = ["--params=absent.safetensors"];
    run(&[&FORWARD, &absent]).fails(1, &["absent.safetensors"]);
}

#[test]
fn einsum_reads_and_writes_npy() {
    let d = Directory::new("einsum");
    let store = |name: &str, tensor: &Tensor| npy::write(&d.path(name), tensor).expect("a file");
    let (a, b) = (tensor("a", &[2, 3, 4]), tensor("b", &[2, 4, 5]));
    store("a.npy", &a);
    store("b.npy", &b);
    let product = ["einsum", "b i j, b j k -> b i k", "a.npy", "b.npy"];

    assert_eq!(d.einmesh(&[&product, &["-o", "c.npy"]]).data(), "");
    let c = npy::read(&d.path("c.npy")).expect("it was written");
    assert_eq!((c.dtype, c.shape.as_slice()), (ElementType::F32, &[2, 3, 5][..]));
    let numbers = |t: &Tensor| -> Vec<f32> {
        let (elements, _) = t.bytes.as_chunks::<4>();
        elements.iter().map(|x| f32::from_le_bytes(*x)).collect()
    };
    let (a, b) = (numbers(&a), numbers(&b));
    let at = |n: usize| {
        let (batch, i, k) = (n / 15, n / 5 % 3, n % 5);
        let term = |j: usize| a[(batch * 3 + i) * 4 + j] * b[(batch * 4 + j) * 5 + k];
        (0..4).map(term).sum::<f32>()
    };
    let expected: Vec<f32> = (0..30).map(at).collect();
    assert!(distance(&numbers(&c), &expected) < 1e-6);

    let mesh = ["--mesh=x=2", "--shard=x=J", "--json", "--repeat=2", "-o", "d.npy"];
    let object = d.einmesh(&[&product, &mesh]).json();
    assert_eq!(object["shape"], json!([2, 3, 5]));
    assert_eq!(object["collectives"][0]["op"], "all_reduce");
    assert_eq!(object["run_ms"].as_array().map(Vec::len), Some(2));
    let parted = npy::read(&d.path("d.npy")).expect("it was written");
    assert!(distance(&numbers(&parted), &expected) < 1e-6);
    let table = d.einmesh(&[&["einsum", "bij->", "a.npy"]]).data();
    assert!(table.contains("out   f32[]"), "{table}");
}

#[test]
fn einsum_names_what_does_not_fit() {
    let d = Directory::new("einsum-wrong");
    npy::write(&d.path("a.npy"), &tensor("a", &[2, 3, 4])).expect("a file");
    npy::write(&d.path("b.npy"), &tensor("b", &[2, 4, 5])).expect("a file");
    let refused: [(&[&str], i32, &str); 8] = [
        (&["bij,bk->bik", "a.npy", "b.npy"], 2, "operand 1 has 2 indices"),
        (&["bij,ijk->bik", "a.npy", "b.npy"], 2, "index `i` is 3 before and 2 in operand 1"),
        (&["bij,bjk->bix", "a.npy", "b.npy"], 2, "`x` is in no operand"),
        (&["bij,bjk->bik", "a.npy"], 2, "2 operands"),
        (&["b...,bjk->bik", "a.npy", "b.npy"], 2, "`...`"),
        (&["bij->b", "absent.npy"], 1, "absent.npy"),
        (&["bij->b", "x.safetensors"], 1, "not a .npy file"),
        (&["bij->b", "a.npy", "--mesh=x=2", "--shard=x=Q"], 1, "no dim `Q`"),
    ];
    for (arguments, code, says) in refused {
        d.einmesh(&[&["einsum"], arguments]).fails(code, &[says]);
    }
}
