//! The commands, as a script sees them: exit codes, what is on stdout and what on stderr, files.
//!
//! `cargo test` does not build other packages' binaries, so the first test here builds them, into the
//! target directory and the profile that this test was built with. If they are up to date, that takes
//! a fraction of a second.

mod artifacts;
mod generate;
mod options;
mod plans;
mod runs;
mod sources;
mod train;
mod tuning;

use einmesh_exec::tensors::{ElementType, SafeTensors, Tensor, write_safetensors};
use einmesh_models::generator::{seed, uniform};
use serde_json::Value as Json;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;

/// The path of a binary of this workspace.
fn binary(name: &str) -> PathBuf {
    static DIRECTORY: OnceLock<PathBuf> = OnceLock::new();
    let directory = DIRECTORY.get_or_init(|| {
        let test = std::env::current_exe().expect("a test has a path");
        // target/debug/deps/suite-…
        let directory = test.ancestors().nth(2).expect("it lies in `deps`");
        let profile = directory.file_name().expect("it lies in a profile's directory");
        let target = directory.parent().expect("it lies in the target directory");
        let mut cargo = Command::new(env!("CARGO"));
        cargo.args(["build", "--quiet", "--bins", "-p", "einmesh-cli", "-p", "einmesh-exec"]);
        cargo.arg("--target-dir").arg(target);
        cargo.current_dir(env!("CARGO_MANIFEST_DIR"));
        if profile == "release" {
            cargo.arg("--release");
        }
        let built = cargo.status().expect("cargo, which built this test, is there");
        assert!(built.success(), "the binaries do not build");
        directory.to_owned()
    });
    directory.join(format!("{name}{}", std::env::consts::EXE_SUFFIX))
}

/// How a command ended.
struct Ran {
    code: i32,
    stdout: String,
    stderr: String,
}

impl Ran {
    fn of(output: Output) -> Ran {
        Ran {
            code: output.status.code().expect("no signal"),
            stdout: String::from_utf8(output.stdout).expect("text on stdout"),
            stderr: String::from_utf8(output.stderr).expect("text on stderr"),
        }
    }

    /// Checks that it succeeded, and gives what it printed.
    #[track_caller]
    fn data(self) -> String {
        assert_eq!(self.code, 0, "{}", self.stderr);
        self.stdout
    }

    /// The JSON object that a successful command printed.
    #[track_caller]
    fn json(self) -> Json {
        serde_json::from_str(&self.data()).expect("one JSON object")
    }

    /// Checks that it failed with this exit code, said all of this on stderr and nothing on stdout.
    #[track_caller]
    fn fails(self, code: i32, says: &[&str]) {
        assert_eq!(self.code, code, "{}", self.stderr);
        assert_eq!(self.stdout, "", "data of a command that failed");
        assert!(!self.stderr.contains("panicked"), "{}", self.stderr);
        for part in says {
            assert!(self.stderr.contains(part), "no {part:?} in:\n{}", self.stderr);
        }
    }
}

/// A directory with a model, its weights and an input.
struct Directory(PathBuf);

/// The compile options of most tests.
const FORWARD: [&str; 4] = ["mlp.ein", "--entry", "forward", "-DB=4"];
/// A mesh for them.
const MESH: &str = "--mesh=data=2,tensor=2";
/// The files that `forward` runs on.
const INPUTS: [&str; 4] = ["--params", "params.safetensors", "--inputs", "x.safetensors"];

impl Directory {
    /// With `mlp.ein`, `params.safetensors` and `x.safetensors`.
    fn new(name: &str) -> Directory {
        let name = format!("einmesh-suite-{}-{name}", std::process::id());
        let directory = Directory(std::env::temp_dir().join(name));
        std::fs::create_dir_all(&directory.0).expect("a directory for temporary files");
        directory.write("mlp.ein", include_str!("../../models/mlp.ein"));
        let shapes: [(&str, &[u64]); 4] = [
            ("fc1.weight", &[256, 64]),
            ("fc1.bias", &[256]),
            ("fc2.weight", &[10, 256]),
            ("fc2.bias", &[10]),
        ];
        let params = shapes.map(|(name, shape)| (name.to_owned(), tensor(name, shape)));
        let path = directory.path("params.safetensors");
        write_safetensors(&path, &params).expect("weights are written");
        let input = [("x".to_owned(), tensor("x", &[4, 64]))];
        write_safetensors(&directory.path("x.safetensors"), &input).expect("an input is written");
        directory
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    fn write(&self, name: &str, contents: impl AsRef<[u8]>) {
        std::fs::write(self.path(name), contents).expect("a file is written");
    }

    fn bytes(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.path(name)).unwrap_or_else(|why| panic!("{name}: {why}"))
    }

    fn text(&self, name: &str) -> String {
        String::from_utf8(self.bytes(name)).expect("a text")
    }

    /// A tensor of a file that a command wrote.
    fn result(&self, file: &str, name: &str) -> Vec<f32> {
        let file = SafeTensors::open(&self.path(file)).expect("a file of tensors");
        let found = file.get(name).expect("a result of that name");
        let (elements, rest) = found.bytes.as_chunks::<4>();
        assert!(rest.is_empty());
        elements.iter().map(|x| f32::from_le_bytes(*x)).collect()
    }

    fn command(&self, name: &str, arguments: &[&[&str]]) -> Command {
        let mut command = Command::new(binary(name));
        command.args(arguments.concat()).current_dir(&self.0);
        command.env_remove("NO_COLOR").stdin(Stdio::null());
        command
    }

    /// Runs `einmesh`.
    fn einmesh(&self, arguments: &[&[&str]]) -> Ran {
        Ran::of(self.command("einmesh", arguments).output().expect("it starts"))
    }

    /// Runs `einmesh-run`.
    fn einmesh_run(&self, arguments: &[&[&str]]) -> Ran {
        Ran::of(self.command("einmesh-run", arguments).output().expect("it starts"))
    }

    /// Runs `einmesh` with a text on stdin.
    fn with_stdin(&self, arguments: &[&str], text: &str) -> Ran {
        let mut command = self.command("einmesh", &[arguments]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("it starts");
        let mut stdin = child.stdin.take().expect("a pipe");
        stdin.write_all(text.as_bytes()).expect("it reads");
        drop(stdin);
        Ran::of(child.wait_with_output().expect("it ends"))
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn tensor(name: &str, shape: &[u64]) -> Tensor {
    let elements = uniform(shape.iter().product::<u64>() as usize, seed(name), 1.0);
    Tensor {
        dtype: ElementType::F32,
        shape: shape.to_vec(),
        bytes: elements.iter().flat_map(|x| x.to_le_bytes()).collect(),
    }
}

/// The largest difference of two lists of numbers.
fn distance(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).fold(0.0, |most, (x, y)| most.max((x - y).abs()))
}

fn exists(path: &Path) -> bool {
    path.try_exists().expect("its directory can be read")
}
