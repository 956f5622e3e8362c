//! Crates outside of this workspace: a library and a program that use `einsum!`, built by Cargo as a user's are.
//!
//! The macros are those that this test has: Cargo would build the compiler a second time, which takes minutes. With
//! `EINMESH_OUTSIDE=whole` it does.

use crate::rustc::{folder, macros, rustc};
use std::path::{Path, PathBuf};
use std::process::Command;

/// The library and the program share an einsum, and the program has one of its own.
const LIBRARY: &str = r#"
use einmesh::prelude::*;
#[cfg(not(whole))]
use einmesh_macros::einsum;

pub fn product(x: &Tensor<f32, 2>, y: &Tensor<f32, 2>) -> Result<Tensor<f32, 2>, Error> {
    einsum!("i j, j k -> i k", x, y; i = 8, j = 8, k = 8)
}

#[inline]
pub fn inlined(x: &Tensor<f32, 2>) -> Result<Tensor<f32, 1>, Error> {
    einsum!("i j -> i", x)
}
"#;

const WITH: &str = r#"
use einmesh::prelude::*;
#[cfg(not(whole))]
use einmesh_macros::einsum;

fn main() -> Result<(), Error> {
    let x = Tensor::from_fn([8, 8], |[i, j]| (8 * i + j) as f32);
    let one = Tensor::from_fn([8, 8], |[i, j]| if i == j { 1.0 } else { 0.0 });
    assert_eq!(kernels::product(&x, &one)?, x);
    assert_eq!(einsum!("i j, j k -> i k", x, one; i = 8, j = 8, k = 8)?, x);
    assert_eq!(kernels::inlined(&x)?[[0]], 28.0);
    let rows = einsum!(a[i,j] = softmax[j](x[i,j]), x)?;
    println!("{:.3}", rows.iter().sum::<f32>());
    Ok(())
}
"#;

const WITHOUT: &str = r#"
use einmesh::prelude::*;

fn main() -> Result<(), Error> {
    let x = Tensor::from_fn([8, 8], |[i, j]| (8 * i + j) as f32);
    println!("{:.3}", x.iter().sum::<f32>());
    Ok(())
}
"#;

/// So many bytes three einsums may add to a program.
const ADDED: u64 = 1 << 20;

/// A variant of the profile for which the macros are built, if they are: they are built once.
const RELEASE: [&str; 4] = [
    "profile.dev.opt-level=3",
    "profile.dev.debug=false",
    "profile.dev.strip=true",
    "profile.dev.lto='fat'",
];

/// As a user's release build is with fat LTO, and with thin LTO.
#[test]
fn einsums_work_in_crates_of_their_own() {
    let folder = project();
    cargo(&folder, &["build"]);
    says(&program(&folder, "with"), "8.000\n");
    let size = |name| std::fs::metadata(program(&folder, name)).expect("it was built").len();
    let (with, without) = (size("with"), size("without"));
    println!("three einsums add {} bytes to {without}", with - without);
    assert!(with <= without + ADDED, "{with} bytes with einsums, {without} without");
    let linked = Command::new("ldd").arg(program(&folder, "with")).output().expect("ldd runs");
    let linked = String::from_utf8_lossy(&linked.stdout).to_lowercase();
    assert!(linked.contains("libc.so"), "{linked}");
    for other in ["llvm", "mlir", "libstdc++"] {
        assert!(!linked.contains(other), "the program needs {other}:\n{linked}");
    }
    // What the program is made of, linked once more.
    cargo(&folder, &["rustc", "-p", "user", "--bin", "with", "--", "-Clto=thin"]);
    says(&program(&folder, "with"), "8.000\n");
}

/// Without optimisation, and without Cargo, which would build all that `einmesh` needs once more.
#[test]
fn einsums_work_in_crates_without_optimisation() {
    let folder = folder("unoptimised");
    std::fs::write(folder.join("kernels.rs"), LIBRARY).expect("the file can be written");
    std::fs::write(folder.join("with.rs"), WITH).expect("the file can be written");
    let compile = |arguments: &[&str]| {
        let mut command = rustc();
        command.args(["-Copt-level=0", "-Cdebuginfo=2", "--cfg=whole", "--out-dir=.", "-L."]);
        let output = command.args(arguments).current_dir(&folder).output().expect("rustc runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    };
    compile(&["--crate-type=rlib", "kernels.rs"]);
    compile(&["--extern=kernels", "with.rs"]);
    says(&folder.join("with"), "8.000\n");
}

/// Runs a program, which has to print this.
fn says(program: &Path, expected: &str) {
    let output = Command::new(program).output().expect("it was built");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(String::from_utf8_lossy(&output.stdout), expected);
}

/// Whether Cargo builds the macros too.
fn whole() -> bool {
    std::env::var_os("EINMESH_OUTSIDE").is_some_and(|outside| outside == "whole")
}

/// Writes the crates, in a folder that is kept: what they depend on need not be built each time.
fn project() -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("outside");
    let facade = env!("CARGO_MANIFEST_DIR");
    let whole = whole();
    let package = |name: &str, dependencies: &str| {
        format!(
            "[package]\nname = \"{name}\"\nversion = \"0.1.0\"\nedition = \"2021\"\n\n[dependencies]\n\
             einmesh = {{ path = {facade:?}, default-features = {whole} }}\n{dependencies}"
        )
    };
    write(
        &folder.join("Cargo.toml"),
        "[workspace]\nresolver = \"2\"\nmembers = [\"kernels\", \"user\"]\n",
    );
    write(&folder.join("kernels/Cargo.toml"), &package("kernels", ""));
    write(&folder.join("kernels/src/lib.rs"), LIBRARY);
    write(
        &folder.join("user/Cargo.toml"),
        &package("user", "kernels = { path = \"../kernels\" }\n"),
    );
    write(&folder.join("user/src/bin/with.rs"), WITH);
    write(&folder.join("user/src/bin/without.rs"), WITHOUT);
    let lock =
        std::fs::read_to_string(Path::new(facade).join("../../Cargo.lock")).expect("the lock file");
    write(&folder.join("Cargo.lock"), &lock);
    folder
}

fn write(path: &Path, text: &str) {
    std::fs::create_dir_all(path.parent().expect("a folder")).expect("the folder can be made");
    // What is as it was keeps its time, and need not be built again.
    if std::fs::read_to_string(path).is_ok_and(|old| old == text) {
        return;
    }
    std::fs::write(path, text).expect("the file can be written");
}

/// Cargo, with [`RELEASE`].
fn cargo(folder: &Path, arguments: &[&str]) {
    let mut command = Command::new(env!("CARGO"));
    command.args(["--offline", "-q"]).current_dir(folder);
    for setting in RELEASE {
        command.args(["--config", setting]);
    }
    command.args(arguments);
    command.env("CARGO_TARGET_DIR", folder.join("target"));
    let given = format!("--extern=einmesh_macros={}", macros().display());
    let flags = if whole() { "--cfg=whole".to_owned() } else { given };
    command.env("CARGO_ENCODED_RUSTFLAGS", format!("{flags}\u{1f}--check-cfg=cfg(whole)"));
    let output = command.output().expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

fn program(folder: &Path, name: &str) -> PathBuf {
    folder.join("target/debug").join(name)
}
