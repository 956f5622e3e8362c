//! Artifacts and tensor files: the same from everywhere, and refused when they are damaged.

use super::{Directory, FORWARD, INPUTS, MESH, exists};

/// A program of two files.
const IMPORTING: &str = "use \"mlp.ein\": { B, D, C, W, Params, forward as inner }\n\
    export fn forward(p: Params, x: W[B,D]) -> (logits: W[B,C]) { logits = inner(p, x) }\n";

#[test]
fn an_artifact_does_not_depend_on_where_it_was_built() {
    let (here, there) = (Directory::new("here"), Directory::new("there"));
    let build = |from: &Directory, file: &str, output: &str| {
        let options = ["--entry=forward", "-DB=4", MESH, "--shard=data=B,tensor=F"];
        from.einmesh(&[&["build", file], &options, &["-o", output]]).data();
    };
    for directory in [&here, &there] {
        directory.write("importing.ein", IMPORTING);
    }
    for file in ["mlp.ein", "importing.ein"] {
        let absolute = there.path(file);
        build(&here, file, "a.einpkg");
        build(&here, file, "b.einpkg");
        build(&there, &format!("./{file}"), "c.einpkg");
        build(&here, absolute.to_str().expect("a plain path"), "d.einpkg");
        let first = here.bytes("a.einpkg");
        assert!(first == here.bytes("b.einpkg"), "{file}: two builds differ");
        assert!(first == there.bytes("c.einpkg"), "{file}: directories differ");
        assert!(first == here.bytes("d.einpkg"), "{file}: an absolute path");
        let text = String::from_utf8_lossy(&first);
        assert!(text.contains("mlp.ein:11:3"), "{file}: no source");
    }
}

#[test]
fn a_damaged_artifact_is_refused() {
    let d = Directory::new("damaged");
    d.einmesh(&[&["build"], &FORWARD, &["-o", "mlp.einpkg"]]).data();
    let whole = d.bytes("mlp.einpkg");
    let refuse = |contents: &[u8], says: &str| {
        d.write("bad.einpkg", contents);
        d.einmesh_run(&[&["bad.einpkg"], &INPUTS]).fails(1, &[says]);
        d.einmesh(&[&["run", "bad.einpkg"], &INPUTS]).fails(1, &[says]);
    };
    let mut flipped = whole.clone();
    let last = flipped.len() - 1;
    for place in [last / 3, last / 2, last] {
        flipped[place] ^= 1;
        refuse(&flipped, "the artifact is damaged");
        flipped[place] ^= 1;
    }
    refuse(&whole[..whole.len() / 2], "cut short");
    refuse(&whole[..7], "error: ");
    refuse(b"", "error: ");
    refuse(include_bytes!("../../../models/mlp.ein"), "error: ");
    d.einmesh_run(&[&["absent.einpkg"]]).fails(1, &["absent.einpkg"]);
    d.einmesh_run(&[&["mlp.einpkg", "--entry=loss"], &INPUTS])
        .fails(1, &["the artifact's entry is `forward`, not `loss`"]);
    // The file itself is good.
    assert_eq!(d.einmesh_run(&[&["mlp.einpkg"], &INPUTS]).code, 0);
}

#[test]
fn an_artifact_that_cannot_be_written_leaves_nothing() {
    let d = Directory::new("unwritable");
    d.einmesh(&[&["build"], &FORWARD, &["-o", "absent/mlp.einpkg"]])
        .fails(1, &["cannot write `absent/mlp.einpkg`"]);
    assert!(!exists(&d.path("absent")));
    std::fs::create_dir(d.path("taken")).expect("a directory");
    d.einmesh(&[&["build"], &FORWARD, &["-o", "taken"]]).fails(1, &["cannot write `taken`"]);
}

#[test]
fn hostile_tensor_files_are_refused() {
    let d = Directory::new("hostile");
    d.einmesh(&[&["build"], &FORWARD, &["-o", "mlp.einpkg"]]).data();
    let header = |length: u64, json: &str| [&length.to_le_bytes(), json.as_bytes()].concat();
    let wrap = |json: &str| header(json.len() as u64, json);
    let files: [Vec<u8>; 7] = [
        Vec::new(),
        b"abc".to_vec(),
        header(1 << 62, "{}"),
        header(100, "{}"),
        wrap("[[[[[[[["),
        wrap(r#"{"x":{"dtype":"F32","shape":[4,64],"data_offsets":[0,1024]}}"#),
        wrap(r#"{"x":{"dtype":"F32","shape":[4294967296,4294967296,4],"data_offsets":[0,0]}}"#),
    ];
    for (n, contents) in files.iter().enumerate() {
        let name = format!("hostile{n}.safetensors");
        d.write(&name, contents);
        let params = ["--params", name.as_str(), "--inputs", "x.safetensors"];
        let inputs = ["--params", "params.safetensors", "--inputs", name.as_str()];
        for options in [params, inputs] {
            d.einmesh_run(&[&["mlp.einpkg"], &options]).fails(1, &[&name]);
            d.einmesh(&[&["run"], &FORWARD, &["--backend=interp"], &options]).fails(1, &[&name]);
        }
    }
}
