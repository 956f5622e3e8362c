//! Looks for LLVM, before the packages that need it do, which do not say what to install; and gives the compiler's sources
//! a name: the macros' cache must not keep what another compiler has made.

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::Command;

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

/// The variable that says where LLVM lies, and where Debian's packages put it.
const PREFIX: &str = "MLIR_SYS_220_PREFIX";
const DEBIAN: &str = "/usr/lib/llvm-22";

fn main() {
    look_for_llvm();
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

/// Ends the build with what to install if LLVM 22 is not where `mlir-sys` will look for it.
fn look_for_llvm() {
    println!("cargo:rerun-if-env-changed={PREFIX}");
    let prefix = std::env::var(PREFIX).ok();
    let tool = prefix
        .as_ref()
        .map_or("llvm-config".into(), |prefix| Path::new(prefix).join("bin/llvm-config"));
    let asked = Command::new(&tool).arg("--version").output();
    let version =
        asked.ok().map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned());
    if version.as_ref().is_some_and(|version| version.starts_with("22.")) {
        return;
    }
    let found = match version {
        Some(version) if !version.is_empty() => {
            format!("`{}` is of LLVM {version}", tool.display())
        }
        _ => format!("`{}` cannot be run", tool.display()),
    };
    for line in [
        format!("einmesh's macros compile with LLVM and MLIR 22, which are not there: {found}"),
        "on Debian: apt-get install llvm-22-dev libmlir-22-dev libpolly-22-dev zlib1g-dev libzstd-dev libclang1-22 \
         libclang-common-22-dev g++"
            .to_owned(),
        format!(
            "then say where they are, in `.cargo/config.toml`: [env] {PREFIX} = \"{DEBIAN}\", \
             TABLEGEN_220_PREFIX = \"{DEBIAN}\", LLVM_SYS_221_PREFIX = \"{DEBIAN}\""
        ),
        "without macros, einmesh needs no LLVM: einmesh = { …, default-features = false }".to_owned(),
    ] {
        println!("cargo::error={line}");
    }
    std::process::exit(1);
}
