//! Wrong uses of the macros, with what rustc says: `ui/*/NAME.rs` and `NAME.stderr`. `BLESS=1` rewrites the latter.

use crate::rustc::rustc;
use std::path::{Path, PathBuf};

#[test]
fn wrong_uses_are_explained() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/ui");
    let mut cases: Vec<PathBuf> =
        folders(&root).iter().flat_map(|folder| sources(folder)).collect();
    cases.sort();
    assert!(cases.len() >= 25, "only {} cases in {}", cases.len(), root.display());
    let wrong: Vec<String> = cases.iter().filter_map(|case| check(case).err()).collect();
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

fn check(case: &Path) -> Result<(), String> {
    let folder = case.parent().expect("a folder of cases");
    let name = case.file_name().expect("a file").to_string_lossy().into_owned();
    // A file of its own: rustc puts its result in the place of what it is given, which root could do to a device, too.
    let result = Path::new(env!("CARGO_TARGET_TMPDIR")).join(&name).with_extension("rmeta");
    let output = rustc()
        .args(["--emit=metadata", &name])
        .arg("-o")
        .arg(result)
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
