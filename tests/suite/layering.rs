//! The house's plan, held against `cargo metadata` and the files.

use serde_json::Value;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Which of our packages each may depend on. An edge that is not here is a mistake, or a decision
/// that belongs into ARCHITECTURE.md first.
const EDGES: &[(&str, &[&str])] = &[
    ("einmesh-diagnostics", &[]),
    ("einmesh-syntax", &["diagnostics"]),
    ("einmesh-ir", &["diagnostics"]),
    ("einmesh-autodiff", &["ir"]),
    ("einmesh-lower", &["diagnostics", "syntax", "ir", "autodiff"]),
    ("einmesh-rewrite", &["ir"]),
    ("einmesh-plan", &["diagnostics", "ir"]),
    ("einmesh-spmd", &["diagnostics", "ir", "plan"]),
    ("einmesh-schedule", &["ir", "artifact"]),
    ("einmesh-codegen", &["ir", "schedule", "artifact"]),
    ("einmesh-interp", &["ir"]),
    (
        "einmesh-driver",
        &[
            "diagnostics",
            "syntax",
            "ir",
            "lower",
            "rewrite",
            "plan",
            "spmd",
            "schedule",
            "codegen",
            "artifact",
        ],
    ),
    (
        "einmesh-cli",
        &[
            "driver",
            "diagnostics",
            "syntax",
            "ir",
            "lower",
            "plan",
            "interp",
            "artifact",
            "exec",
            "train",
        ],
    ),
    ("einmesh-artifact", &[]),
    ("einmesh-exec", &["artifact"]),
    ("einmesh-train", &["artifact", "exec"]),
    ("einmesh-bindings", &["artifact", "diagnostics", "driver", "ir", "lower", "syntax"]),
    ("einmesh-build", &["bindings", "driver"]),
    ("einmesh-macros", &["artifact", "bindings", "diagnostics", "driver", "schedule", "syntax"]),
    ("einmesh", &["artifact", "exec", "macros"]),
    ("einmesh-models", &[]),
    ("einmesh-examples", &["models"]),
    ("einmesh-rust-examples", &["einmesh", "models"]),
    ("einmesh-build-script-example", &["einmesh"]),
];

/// Files may not be longer than this.
const MAX_LINES: usize = 1000;

/// Third-party engines, and the only crates that may use each.
const ENGINES: &[(&str, &[&str])] = &[
    ("pest", &["einmesh-syntax"]),
    ("egg", &["einmesh-rewrite"]),
    ("melior", &["einmesh-codegen"]),
    ("mlir-sys", &["einmesh-codegen"]),
    ("llvm-sys", &["einmesh-codegen"]),
    ("rayon", &["einmesh-exec"]),
    ("petgraph", &["einmesh-plan", "einmesh-schedule"]),
    ("tokenizers", &["einmesh-cli"]),
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn metadata() -> Value {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--locked"])
        .current_dir(root())
        .output()
        .expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("cargo prints JSON")
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_default()
}

#[test]
fn crates_depend_only_on_those_above_them() {
    let metadata = metadata();
    let mut wrong = Vec::new();
    for package in metadata["packages"].as_array().expect("packages") {
        let name = text(package, "name");
        let Some((_, allowed)) = EDGES.iter().find(|(n, _)| *n == name) else {
            let ours = name == "einmesh" || name.starts_with("einmesh-");
            if ours && !["einmesh-tests", "einmesh-benches"].contains(&name) {
                wrong.push(format!("{name} has no place in the house's plan"));
            }
            continue;
        };
        for dependency in package["dependencies"].as_array().expect("dependencies") {
            let is_normal = dependency["kind"].is_null();
            let of = text(dependency, "name");
            let of_ours = if of == "einmesh" { Some(of) } else { of.strip_prefix("einmesh-") };
            if let Some(short) = of_ours
                && is_normal
                && !allowed.contains(&short)
            {
                wrong.push(format!("{name} depends on {of}"));
            }
            let engine = ENGINES.iter().find(|(engine, _)| *engine == of);
            if let Some((engine, users)) = engine
                && !users.contains(&name)
            {
                wrong.push(format!("{name} uses {engine}, which is {users:?}'s"));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn neither_the_runtime_nor_the_crate_of_users_reaches_llvm() {
    let metadata = metadata();
    let nodes = metadata["resolve"]["nodes"].as_array().expect("nodes");
    let edges: BTreeMap<&str, Vec<&str>> = nodes
        .iter()
        .map(|node| {
            let normal = node["deps"].as_array().expect("deps").iter().filter(|d| {
                d["dep_kinds"].as_array().expect("kinds").iter().any(|k| k["kind"].is_null())
            });
            (text(node, "id"), normal.map(|d| text(d, "pkg")).collect())
        })
        .collect();
    let package = |id: &str| {
        let packages = metadata["packages"].as_array().expect("packages");
        packages.iter().find(|p| text(p, "id") == id).expect("every package is listed")
    };
    let name_of = |id: &str| text(package(id), "name").to_owned();
    // Macros are loaded by rustc, and are in no program.
    let in_programs = |id: &str| {
        let targets = package(id)["targets"].as_array().expect("targets");
        let kinds = targets.iter().flat_map(|target| target["kind"].as_array().expect("kinds"));
        !kinds.into_iter().any(|kind| kind == "proc-macro")
    };
    for start in ["einmesh-exec", "einmesh"] {
        let first = edges.keys().find(|id| name_of(id) == start).expect("the package is there");
        let mut reached = vec![*first];
        let mut next = 0;
        while next < reached.len() {
            for id in edges[reached[next]].iter().filter(|id| in_programs(id)) {
                if !reached.contains(id) {
                    reached.push(id);
                }
            }
            next += 1;
        }
        let names: Vec<String> = reached.iter().map(|id| name_of(id)).collect();
        assert!(names.len() > 5, "the walk found nothing: {names:?}");
        for banned in ["mlir-sys", "llvm-sys", "melior", "pest", "egg", "einmesh-driver"] {
            assert!(!names.iter().any(|n| n == banned), "{start} reaches {banned}");
        }
    }
}

#[test]
fn no_package_pulls_in_what_needs_a_c_toolchain_of_its_own() {
    let metadata = metadata();
    for package in metadata["packages"].as_array().expect("packages") {
        let name = text(package, "name");
        for banned in ["cbc", "onig", "highs-sys", "freetype"] {
            assert!(!name.contains(banned), "{name} is in the lock file");
        }
    }
}

#[test]
fn files_are_short() {
    let listed = Command::new("git")
        .args(["ls-files", "*.rs"])
        .current_dir(root())
        .output()
        .expect("git runs");
    let names = String::from_utf8(listed.stdout).expect("paths are UTF-8");
    assert!(names.lines().count() > 50, "git lists the sources");
    for name in names.lines() {
        let Ok(source) = std::fs::read_to_string(root().join(name)) else {
            continue;
        };
        let lines = source.lines().count();
        assert!(lines <= MAX_LINES, "{name} has {lines} lines; what lives in it?");
    }
}
