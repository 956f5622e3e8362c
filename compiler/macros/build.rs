//! Gives the compiler's sources a name: the macros' cache must not keep what another compiler has made.

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::path::{Path, PathBuf};

/// What the results of the macros are made by.
const FOLDERS: [&str; 14] = [
    "dsl",
    "models/std",
    "runtime/artifact",
    "compiler/ir",
    "compiler/lower",
    "compiler/autodiff",
    "compiler/rewrite",
    "compiler/plan",
    "compiler/spmd",
    "compiler/schedule",
    "compiler/codegen",
    "compiler/driver",
    "compiler/bindings",
    "compiler/macros",
];

fn main() {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut hasher = DefaultHasher::new();
    env!("CARGO_PKG_VERSION").hash(&mut hasher);
    // In a package that was published, these are not there, and its version says all.
    for folder in FOLDERS {
        let folder = root.join(folder);
        if folder.is_dir() {
            println!("cargo:rerun-if-changed={}", folder.display());
            hash(&folder, &mut hasher);
        }
    }
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rustc-env=EINMESH_SOURCES={:016x}", hasher.finish());
}

/// Adds all sources below a folder, in the order of their names.
fn hash(folder: &Path, hasher: &mut DefaultHasher) {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
    paths.sort();
    for path in paths {
        if path.is_dir() {
            hash(&path, hasher);
        } else if path
            .extension()
            .is_some_and(|e| ["rs", "ein", "pest", "toml"].iter().any(|k| e == *k))
        {
            path.file_name().hash(hasher);
            std::fs::read(&path).unwrap_or_default().hash(hasher);
        }
    }
}
