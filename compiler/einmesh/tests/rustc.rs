//! rustc on single files, with the crate as this test has it: that takes a tenth of a second, where a Cargo project would build
//! the compiler a second time.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// What Cargo has built for this test.
struct Built {
    /// The crate `einmesh`.
    library: PathBuf,
    /// The macros.
    macros: PathBuf,
}

/// Where the macros are that this test was compiled with.
pub fn macros() -> &'static Path {
    &built().macros
}

fn built() -> &'static Built {
    static BUILT: OnceLock<Built> = OnceLock::new();
    BUILT.get_or_init(|| {
        let output = Command::new(env!("CARGO"))
            .args(["build", "--locked", "--message-format=json", "--features=ndarray", "--lib"])
            .args(["-p", "einmesh", "-p", "einmesh-macros"])
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .output()
            .expect("cargo runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let messages = String::from_utf8(output.stdout).expect("Cargo prints UTF-8");
        Built {
            library: file(&messages, "einmesh", ".rlib"),
            macros: file(&messages, "einmesh_macros", ".so"),
        }
    })
}

/// The file with this extension that Cargo has made of a crate.
fn file(messages: &str, name: &str, extension: &str) -> PathBuf {
    let (name, end) = (format!("\"name\":\"{name}\""), format!("{extension}\""));
    let of_crate = |line: &&str| line.contains(&name) && line.contains(&end);
    let message = messages.lines().rfind(of_crate).expect("Cargo names the file");
    let end = message.find(&end).expect("it is there") + extension.len();
    let start = message[..end].rfind('"').expect("it is quoted") + 1;
    PathBuf::from(&message[start..end])
}

/// rustc, which knows the crate `einmesh`.
pub fn rustc() -> Command {
    let library = &built().library;
    let target = library.parent().expect("Cargo's folder");
    let mut command = plain();
    command
        .arg("--color=never")
        .arg(format!("--extern=einmesh={}", library.display()))
        .arg(format!("-Ldependency={}", target.display()))
        .arg(format!("-Ldependency={}", target.join("deps").display()));
    command
}

/// rustc as it is.
pub fn plain() -> Command {
    let mut command = Command::new(std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()));
    command.arg("--edition=2024");
    command
}

/// A new empty folder.
pub fn folder(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).expect("the folder can be made");
    folder
}
