//! What a build script gets: code for the levels that it asks for, and lines that tell Cargo when to run it again.

use einmesh_artifact::Artifact;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// A folder with a program of two files.
fn program(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::create_dir_all(&folder).expect("a folder");
    let write = |file: &str, text: &str| std::fs::write(folder.join(file), text).expect("a file");
    write("scale.ein", "export fn twice(x: f32) -> f32 = 2 * x\n");
    write(
        "main.ein",
        "use \"scale.ein\"\ndim I = 4, J = 8\n\
         export fn forward(x: f32[I,J], y: f32[J]) -> f32[I] {\n  s[i] = x[i,j] * y[j]\n  out[i] = scale.twice(s[i])\n}\n",
    );
    folder
}

/// Runs [`script`] as Cargo runs a build script.
fn build(folder: &Path, levels: &str, arch: &str) -> Output {
    Command::new(std::env::current_exe().expect("this test"))
        .args(["script", "--exact", "--ignored", "--nocapture"])
        .envs([("LEVELS", levels), ("CARGO_CFG_TARGET_ARCH", arch)])
        .env("OUT_DIR", folder)
        .env("FILE", folder.join("main.ein"))
        .output()
        .expect("it runs")
}

/// The build script.
#[test]
#[ignore = "it is what the others run"]
fn script() {
    let of = |name: &str| std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set"));
    let levels = of("LEVELS");
    let levels: Vec<&str> = levels.split_whitespace().collect();
    let built = einmesh_build::Builder::new(of("FILE")).levels(&levels).compile("model");
    built.unwrap_or_else(|error| panic!("{error}"));
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn code_is_for_the_levels_that_were_asked_for_whatever_machine_builds() {
    let folder = program("levels");
    for (asked, made) in [
        ("x86-64-v3", &["x86-64-v3"][..]),
        ("x86-64-v3 x86-64-v4", &["x86-64-v4", "x86-64-v3"]),
        // It adds to another, which is enough for this program.
        ("x86-64-v4-amx", &["x86-64-v4"]),
    ] {
        let done = build(&folder, asked, "x86_64");
        assert!(done.status.success(), "{}{}", text(&done.stdout), text(&done.stderr));
        let file = std::fs::read(folder.join("model.forward.einpkg")).expect("an artifact");
        let artifact = Artifact::read(&file).expect("a good artifact");
        let levels: Vec<&str> = artifact.manifest.images.iter().map(|i| i.level.as_str()).collect();
        assert_eq!(levels, made);
    }
}

#[test]
fn cargo_is_told_of_every_file() {
    let folder = program("files");
    let done = build(&folder, "x86-64-v3", "x86_64");
    let said = text(&done.stdout);
    for file in ["main.ein", "scale.ein"] {
        let line = format!("cargo:rerun-if-changed={}", folder.join(file).display());
        assert!(said.lines().any(|l| l == line), "{line}\n{said}");
    }
}

#[test]
fn levels_and_targets_that_there_are_not_are_refused_with_those_that_there_are() {
    let folder = program("refused");
    for (levels, arch, message) in [
        ("x86-64-v9", "x86_64", "there is no CPU level `x86-64-v9`: there are "),
        ("", "x86_64", "no CPU level is given"),
        ("x86-64-v3", "aarch64", "there is no code for `aarch64` yet: build for an x86_64 target"),
    ] {
        let done = build(&folder, levels, arch);
        assert!(!done.status.success());
        let said = text(&done.stdout) + &text(&done.stderr);
        assert!(said.contains(message), "{said}");
    }
}
