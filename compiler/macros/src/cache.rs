//! Results of earlier expansions, by the hash of what they were made from.
//!
//! They lie in `einmesh-cache/` beside rustc's own output, so that `cargo clean` takes them away. Nothing depends on them: where no
//! directory is known or it cannot be written, everything is compiled again.

use einmesh_artifact::sha256_hex;
use std::path::{Path, PathBuf};

/// Changes with the compiler's sources: what another compiler has made is not looked at.
const COMPILER: &str = env!("EINMESH_SOURCES");

/// The value of `key`, computed if it is not known.
pub fn get<E>(key: &str, compute: impl FnOnce() -> Result<String, E>) -> Result<String, E> {
    let path = directory().map(|d| d.join(sha256_hex(format!("{COMPILER}\n{key}").as_bytes())));
    if let Some(known) = path.as_ref().and_then(|path| std::fs::read_to_string(path).ok())
        && let Some(value) = unsealed(&known)
    {
        return Ok(value.to_owned());
    }
    let value = compute()?;
    if let Some(path) = path {
        // A full disk costs time, nothing else.
        let _ = write(&path, sealed(&value).as_bytes());
    }
    Ok(value)
}

/// Keeps a file by what it holds, if there is a directory for it.
pub fn keep(contents: &[u8], extension: &str) -> Option<PathBuf> {
    let path = directory()?.join(format!("{}.{extension}", sha256_hex(contents)));
    if std::fs::read(&path).is_ok_and(|known| known == contents) {
        return std::path::absolute(path).ok();
    }
    write(&path, contents).ok()?;
    std::path::absolute(path).ok()
}

/// Other expansions may write the same file at the same time: each has a file of its own until it is whole.
fn write(path: &Path, contents: &[u8]) -> std::io::Result<()> {
    std::fs::create_dir_all(path.parent().unwrap_or(Path::new(".")))?;
    let own = path.with_extension(std::process::id().to_string());
    std::fs::write(&own, contents)?;
    std::fs::rename(&own, path)
}

/// With its hash before it: a file that was damaged is none.
fn sealed(value: &str) -> String {
    format!("{}\n{value}", sha256_hex(value.as_bytes()))
}

fn unsealed(text: &str) -> Option<&str> {
    let (hash, value) = text.split_once('\n')?;
    (sha256_hex(value.as_bytes()) == hash).then_some(value)
}

/// Beside the directory that rustc writes to. Not known inside of editors.
fn directory() -> Option<PathBuf> {
    let mut arguments = std::env::args_os();
    let out = arguments.find_map(|argument| {
        let text = argument.to_str()?;
        match text.strip_prefix("--out-dir=") {
            Some(path) => Some(PathBuf::from(path)),
            None if text == "--out-dir" => Some(PathBuf::new()),
            None => None,
        }
    })?;
    let out = if out.as_os_str().is_empty() { PathBuf::from(arguments.next()?) } else { out };
    Some(out.parent()?.join("einmesh-cache"))
}
