//! Data-driven tests: `tests/passes/<stage>/*.ein` hold a program, how it is compiled, and the stage's
//! expected dump.
//!
//! A file's first lines say `//! entry: forward`, and optionally `-D`, `mesh` and `shard` as on the command
//! line. The expected dump stands in the file of the same name with the ending `.txt`. `BLESS=1` rewrites it;
//! review the difference.

use einmesh_driver::{Goal, Request, Source, Stage, compile};
use std::path::{Path, PathBuf};

fn folder(stage: Stage) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("passes").join(stage.name())
}

fn request(file: &Path, stage: Stage) -> Request {
    let text = std::fs::read_to_string(file).expect("a readable test");
    let setting = |key: &str| {
        let prefix = format!("//! {key}: ");
        text.lines().find_map(|line| line.strip_prefix(&prefix)).map(str::trim)
    };
    let name = format!("{}/{}", stage.name(), file.file_name().expect("a file").to_string_lossy());
    let entry = setting("entry").expect("a test names its entry");
    let mut request = Request::new(Source::Text { name, text: text.clone() }, entry);
    let pairs = |key: &str| -> Vec<(String, String)> {
        let items = setting(key).unwrap_or_default().split_whitespace();
        let split = items.map(|item| item.split_once('=').expect("NAME=VALUE"));
        split.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
    };
    for (name, value) in pairs("define") {
        assert!(request.options.define(&name, &value), "{name}={value}");
    }
    let overrides = &mut request.options.overrides;
    if setting("mesh").is_some() {
        let axes = pairs("mesh").into_iter();
        overrides.mesh = Some(axes.map(|(n, v)| (n, v.parse().expect("a size"))).collect());
    }
    if setting("shard").is_some() {
        let axes = pairs("shard").into_iter();
        let dims = |v: String| v.split('+').map(str::to_owned).collect();
        overrides.shard = Some(axes.map(|(n, v)| (n, dims(v))).collect());
    }
    request.goal = if stage <= Stage::Spmd { Goal::Interpret } else { Goal::Plan };
    request.emit.insert(stage);
    request.verify = true;
    request
}

fn check(stage: Stage) {
    let mut tests: Vec<PathBuf> = std::fs::read_dir(folder(stage))
        .unwrap_or_else(|e| panic!("tests/passes/{stage}: {e}"))
        .map(|entry| entry.expect("a readable folder").path())
        .filter(|path| path.extension().is_some_and(|e| e == "ein"))
        .collect();
    tests.sort();
    assert!(!tests.is_empty(), "tests/passes/{stage} is empty");
    let mut failures = Vec::new();
    for test in tests {
        let request = request(&test, stage);
        let (session, result) = compile(&request);
        let found = match (session.dumps.get(&stage), result) {
            (Some(dump), _) => dump.clone(),
            (None, result) => {
                panic!("{}: {:?}\n{:?}", test.display(), result.err(), session.diagnostics)
            }
        };
        let expected_path = test.with_extension("txt");
        if std::env::var_os("BLESS").is_some() {
            std::fs::write(&expected_path, &found).expect("a writable folder");
            continue;
        }
        let expected = std::fs::read_to_string(&expected_path).unwrap_or_default();
        if expected != found {
            failures
                .push(format!("{}\n--- expected\n{expected}\n+++ found\n{found}", test.display()));
        }
    }
    assert!(failures.is_empty(), "{}\nBLESS=1 accepts", failures.join("\n"));
}

#[test]
fn lower() {
    check(Stage::Lower);
}

#[test]
fn rewrite() {
    check(Stage::Rewrite);
}

#[test]
fn plan() {
    check(Stage::Plan);
}

#[test]
fn spmd() {
    check(Stage::Spmd);
}

#[test]
fn schedule() {
    check(Stage::Schedule);
}
