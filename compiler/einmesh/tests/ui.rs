//! Wrong uses of the macros, with what rustc says: `ui/*/NAME.rs` and `NAME.stderr`. `BLESS=1` rewrites the latter.
//!
//! Each file is compiled by rustc itself against the crate as this test has it, which takes a tenth of a second; a
//! Cargo project for them would build the compiler a second time.

use std::path::{Path, PathBuf};
use std::process::Command;

#[test]
fn wrong_uses_are_explained() {
    let library = library();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/ui");
    let mut cases: Vec<PathBuf> =
        folders(&root).iter().flat_map(|folder| sources(folder)).collect();
    cases.sort();
    assert!(cases.len() >= 25, "only {} cases in {}", cases.len(), root.display());
    let wrong: Vec<String> = cases.iter().filter_map(|case| check(case, &library).err()).collect();
    assert!(wrong.is_empty(), "{}\nBLESS=1 accepts what is said now", wrong.join("\n"));
}

fn folders(root: &Path) -> Vec<PathBuf> {
    entries(root).into_iter().filter(|path| path.is_dir()).collect()
}

fn sources(folder: &Path) -> Vec<PathBuf> {
    entries(folder).into_iter().filter(|path| path.extension().is_some_and(|e| e == "rs")).collect()
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
    entries.map(|entry| entry.expect("the folder can be read").path()).collect()
}

/// Where Cargo has put the crate that this test is linked with.
fn library() -> PathBuf {
    let output = Command::new(env!("CARGO"))
        .args([
            "build",
            "--locked",
            "--message-format=json",
            "--features",
            "ndarray",
            "-p",
            "einmesh",
            "--lib",
        ])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let messages = String::from_utf8(output.stdout).expect("Cargo prints UTF-8");
    let of_crate = |line: &&str| line.contains("\"name\":\"einmesh\"") && line.contains(".rlib\"");
    let message = messages.lines().rfind(of_crate).expect("Cargo names the library");
    let end = message.find(".rlib\"").expect("it is there") + ".rlib".len();
    let start = message[..end].rfind('"').expect("it is quoted") + 1;
    PathBuf::from(&message[start..end])
}

fn check(case: &Path, library: &Path) -> Result<(), String> {
    let folder = case.parent().expect("a folder of cases");
    let name = case.file_name().expect("a file").to_string_lossy().into_owned();
    let target = library.parent().expect("Cargo's folder");
    // A file of its own: rustc puts its result in the place of what it is given, which root could do to a device, too.
    let result = Path::new(env!("CARGO_TARGET_TMPDIR")).join(&name).with_extension("rmeta");
    let output = Command::new(std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()))
        .args(["--edition=2024", "--emit=metadata", "--color=never", &name])
        .arg("-o")
        .arg(result)
        .arg(format!("--extern=einmesh={}", library.display()))
        .arg(format!("-Ldependency={}", target.display()))
        .arg(format!("-Ldependency={}", target.join("deps").display()))
        .current_dir(folder)
        .output()
        .expect("rustc runs");
    let said = String::from_utf8(output.stderr).expect("rustc prints UTF-8");
    if output.status.success() {
        return Err(format!("{name}: this is accepted"));
    }
    let file = case.with_extension("stderr");
    if std::env::var_os("BLESS").is_some_and(|bless| bless == "1") {
        std::fs::write(&file, &said).map_err(|e| format!("{}: {e}", file.display()))?;
    }
    let expected = std::fs::read_to_string(&file).unwrap_or_default();
    match said == expected {
        true => Ok(()),
        false => Err(format!("{name}: expected\n{expected}\ngot\n{said}")),
    }
}
