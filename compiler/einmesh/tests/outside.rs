//! Crates outside of this workspace: a library and a program that use `einsum!`, built by Cargo as a user's are.

use std::path::{Path, PathBuf};
use std::process::Command;

/// The library and the program share an einsum, and the program has one of its own.
const LIBRARY: &str = r#"
use einmesh::prelude::*;

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

/// How programs are built. All are variants of one profile, for which the compiler in the macro is built once.
const PROFILES: [(&str, &[&str]); 3] = [
    ("debug", &[]),
    ("thin", &["profile.dev.opt-level=3", "profile.dev.debug=false", "profile.dev.lto='thin'"]),
    ("fat", &["profile.dev.opt-level=3", "profile.dev.strip=true", "profile.dev.lto='fat'"]),
];

#[test]
fn einsums_work_in_crates_of_their_own() {
    let folder = project();
    for (name, settings) in PROFILES {
        build(&folder, settings);
        let output = Command::new(program(&folder, "with")).output().expect("it was built");
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr));
        assert_eq!(said, "8.000\n", "{name}");
    }
    // Those of the last profile.
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
}

/// Writes the crates, in a folder that is kept: what they depend on need not be built each time.
fn project() -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("outside");
    let facade = env!("CARGO_MANIFEST_DIR");
    let package = |name: &str, dependencies: &str| {
        format!(
            "[package]\nname = \"{name}\"\nversion = \"0.1.0\"\nedition = \"2021\"\n\n[dependencies]\n\
             einmesh = {{ path = {facade:?} }}\n{dependencies}"
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

fn build(folder: &Path, settings: &[&str]) {
    let mut command = Command::new(env!("CARGO"));
    command.args(["build", "--offline", "-q"]).current_dir(folder);
    command.env("CARGO_TARGET_DIR", folder.join("target"));
    for setting in settings {
        command.args(["--config", setting]);
    }
    let output = command.output().expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

fn program(folder: &Path, name: &str) -> PathBuf {
    folder.join("target/debug").join(name)
}
