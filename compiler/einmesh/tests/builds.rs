//! What a build needs to know: that crates without `unsafe` may use the macros, what files an expansion was made from, and what
//! is to be installed where LLVM is not.

use crate::rustc::{folder, plain, rustc};
use std::path::Path;
use std::process::{Command, Output};

fn text(output: &Output) -> String {
    let (out, err) = (&output.stdout, &output.stderr);
    format!("{}{}", String::from_utf8_lossy(out), String::from_utf8_lossy(err))
}

#[test]
fn crates_that_forbid_unsafe_code_and_warnings_use_the_macros() {
    let folder = folder("forbid");
    let file = folder.join("forbid.rs");
    let ein = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/kinds.ein");
    let source = format!(
        r#"//! A crate with all the lints that are not for its author's taste.
#![forbid(unsafe_code, missing_docs)]
#![deny(warnings, nonstandard_style, future_incompatible, rust_2018_idioms, unused, unreachable_pub, single_use_lifetimes,
    elided_lifetimes_in_paths, explicit_outlives_requirements, missing_debug_implementations, unused_qualifications)]
use einmesh::prelude::*;

einmesh::program! {{
    /// A program's module.
    mod kinds = {ein:?};
    dims {{ B = 2 }};
}}

/// Known and open extents, and a program.
pub fn all(x: &Tensor<f32, 2>, keep: &[bool]) -> Result<f32, Error> {{
    let known = einsum!("i j, k j -> i k", x, x; i = 2, j = 3, k = 2)?;
    let open = einsum!(y[i] = sum[j](x[i,j] * x[i,j]), x)?;
    let mut state = kinds::State::zeros();
    Ok(known[[0, 0]] + open[[0]] + kinds::step(&mut state, 0.5, keep)?.total)
}}
"#
    );
    std::fs::write(&file, source).expect("the file can be written");
    let output = rustc()
        .args(["--crate-type=lib", "--emit=metadata", "--out-dir"])
        .args([&folder, &file])
        .env("CARGO_MANIFEST_DIR", &folder)
        .output()
        .expect("rustc runs");
    assert!(output.status.success() && output.stderr.is_empty(), "{}", text(&output));
}

#[test]
fn an_operand_may_not_do_what_is_unsafe() {
    let folder = folder("unsafe-operand");
    let file = folder.join("operand.rs");
    let source = "use einmesh::prelude::*;\n\
                  unsafe fn x() -> Tensor<f32, 1> { Tensor::zeros([4]) }\n\
                  pub fn f() -> Result<Tensor<f32, 0>, Error> { einsum!(\"i ->\", x(); i = 4) }\n";
    std::fs::write(&file, source).expect("the file can be written");
    let output = rustc()
        .args(["--crate-type=lib", "--emit=metadata", "--out-dir"])
        .args([&folder, &file])
        .output()
        .expect("rustc runs");
    assert!(!output.status.success(), "the expansion's `unsafe` must not cover operands");
    assert!(
        text(&output).contains("error[E0133]: call to unsafe function `x`"),
        "{}",
        text(&output)
    );
}

/// Cargo builds a crate again when a file changes that rustc lists here.
#[test]
fn all_files_of_a_program_are_known_to_cargo() {
    let folder = folder("depends");
    let write = |name: &str, text: &str| {
        std::fs::write(folder.join(name), text).expect("the file can be written");
    };
    write("deeper.ein", "fn half(x: f32) -> f32 = 0.5 * x\n");
    write("used.ein", "use \"deeper.ein\": { half }\nfn twice(x: f32) -> f32 = half(4.0 * x)\n");
    write("other.ein", "fn unused(x: f32) -> f32 = x\n");
    write(
        "main.ein",
        "use \"used.ein\": { twice }\ndim B\nexport fn scaled(x: f32[B]) -> f32[B] {\n  out[b] = twice(x[b])\n}\n",
    );
    write("lib.rs", "einmesh::program! { mod all = \"main.ein\"; dims { B = 2 }; }\n");
    let build = || {
        let mut command = rustc();
        command.args(["--crate-type=lib", "--emit=dep-info,metadata", "--out-dir=out", "lib.rs"]);
        command.current_dir(&folder).env("CARGO_MANIFEST_DIR", &folder);
        let output = command.output().expect("rustc runs");
        assert!(output.status.success(), "{}", text(&output));
        std::fs::read_to_string(folder.join("out/lib.d")).expect("rustc has written it")
    };
    std::fs::create_dir(folder.join("out")).expect("the folder can be made");
    // The second is the expansion that was kept.
    for depends in [build(), build()] {
        for file in ["main.ein", "used.ein", "deeper.ein", "lib.rs"] {
            assert!(depends.contains(file), "{file} is missing:\n{depends}");
        }
        assert!(!depends.contains("other.ein"), "{depends}");
    }
    // What is kept is not taken for another text.
    let before = std::fs::read(folder.join("out/liblib.rmeta")).expect("rustc has written it");
    write("deeper.ein", "fn half(x: f32) -> f32 = 0.25 * x\n");
    build();
    let after = std::fs::read(folder.join("out/liblib.rmeta")).expect("rustc has written it");
    assert_ne!(before, after, "the code is that of the old file");
}

/// Runs the build script of the macros with another place for LLVM.
fn build_script(program: &Path, prefix: &Path) -> Output {
    let mut command = Command::new(program);
    command.env("MLIR_SYS_220_PREFIX", prefix).output().expect("it runs")
}

#[test]
fn what_to_install_is_said_where_llvm_is_not() {
    let folder = folder("llvm");
    let program = folder.join("build");
    let macros = Path::new(env!("CARGO_MANIFEST_DIR")).join("../macros");
    let output = plain()
        .arg(macros.join("build.rs"))
        .arg("-o")
        .arg(&program)
        .env("CARGO_MANIFEST_DIR", &macros)
        .env("CARGO_PKG_VERSION", "0.0.0")
        .output()
        .expect("rustc runs");
    assert!(output.status.success(), "{}", text(&output));
    let missing = build_script(&program, &folder.join("nowhere"));
    let said = text(&missing);
    assert!(!missing.status.success(), "{said}");
    let expected = [
        format!(
            "which are not there: `{}` cannot be run",
            folder.join("nowhere/bin/llvm-config").display()
        ),
        "on Debian: apt-get install llvm-22-dev libmlir-22-dev".to_owned(),
        "in `.cargo/config.toml`: [env] MLIR_SYS_220_PREFIX = \"/usr/lib/llvm-22\"".to_owned(),
        "default-features = false".to_owned(),
    ];
    for part in expected {
        let line = said.lines().find(|line| line.contains(&part));
        assert!(line.is_some_and(|line| line.starts_with("cargo::error=")), "`{part}` in {said}");
    }
    // Another version is not enough: here that of `echo`.
    let tool = folder.join("bin/llvm-config");
    std::fs::create_dir(folder.join("bin")).expect("the folder can be made");
    std::os::unix::fs::symlink("/bin/echo", &tool).expect("a link can be made");
    let other = build_script(&program, &folder);
    let said = text(&other);
    assert!(!other.status.success() && said.contains("` is of LLVM echo"), "{said}");
    // The one that this test was built with is.
    let Some(prefix) = std::env::var_os("MLIR_SYS_220_PREFIX") else { return };
    let found = build_script(&program, Path::new(&prefix));
    assert!(found.status.success(), "{}", text(&found));
    assert!(text(&found).contains("cargo:rustc-env=EINMESH_SOURCES="), "{}", text(&found));
}
