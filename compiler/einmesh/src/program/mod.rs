//! Compiled programs.

mod call;
mod model;
mod record;
mod runner;

pub use call::Call;
pub use model::Model;
pub use record::{Leaves, Saved};

use crate::element::Element;
use crate::error::Error;
use crate::files::SafeTensors;
use crate::mesh::Mesh;
use crate::tensor::{AnyTensor, Tensor};
use einmesh_artifact::{Artifact, Manifest};
use runner::{Given, Known, Runner};
use std::path::Path;

/// A compiled entry of a `.ein` file, from an artifact that `einmesh build` wrote, whose arguments are known at run
/// time only. `program!` gives functions with types instead.
///
/// Arguments keep their values from run to run, `inout` ones with what the run has made of them.
///
/// ```no_run
/// use einmesh::{Program, SafeTensors, Tensor};
///
/// let mut forward = Program::load("gpt2.einpkg")?;
/// forward.bind_params(&SafeTensors::open("model.safetensors")?)?;
/// forward.bind("tokens", &Tensor::<i32, 2>::zeros([2, 64]))?;
/// forward.run()?;
/// let logits: Tensor<f32, 3> = forward.output("logits")?;
/// # Ok::<(), einmesh::Error>(())
/// ```
pub struct Program {
    runner: Runner,
    known: Known,
}

impl Program {
    /// Loads an artifact from a file. Its code runs with all rights of this process: load only what you trust.
    pub fn load(path: impl AsRef<Path>) -> Result<Program, Error> {
        Program::new(&Artifact::read_file(path.as_ref())?)
    }

    /// Loads an artifact that is in memory, such as one of `include_bytes!`.
    pub fn from_bytes(artifact: &[u8]) -> Result<Program, Error> {
        Program::new(&Artifact::read(artifact)?)
    }

    fn new(artifact: &Artifact) -> Result<Program, Error> {
        let runner = Runner::new(artifact, None, None)?;
        Ok(Program { runner, known: Known::default() })
    }

    fn manifest(&self) -> &Manifest {
        self.runner.manifest()
    }

    /// The entry's name.
    pub fn entry(&self) -> &str {
        &self.manifest().entry
    }

    /// The devices that it runs on.
    pub fn mesh(&self) -> Mesh {
        Mesh::of(self.manifest())
    }

    /// The paths of its arguments, those of records leaf by leaf: `p.h.ln_1.bias`, `tokens`.
    pub fn inputs(&self) -> impl Iterator<Item = &str> {
        self.manifest().inputs.iter().map(|input| input.path.as_str())
    }

    /// The paths of its results and then of `inout` arguments.
    pub fn outputs(&self) -> impl Iterator<Item = &str> {
        self.manifest().outputs.iter().map(|output| output.path.as_str())
    }

    /// Gives an argument its value. What a program has read already is not read again: a tensor that was
    /// not written since costs nothing.
    pub fn bind(&mut self, input: &str, value: &dyn AnyTensor) -> Result<(), Error> {
        let position = self.manifest().inputs.iter().position(|i| i.path == input);
        let Some(position) = position else {
            return Err(unknown("argument", input, self.inputs()));
        };
        let given = Given {
            dtype: value.dtype(),
            shape: value.extents(),
            bytes: value.bytes(),
            identity: Some(value.known_as()),
        };
        self.runner.bind(&mut self.known, position, &given)
    }

    /// Gives the leaves of all record arguments their values from a checkpoint, by the names of its tensors.
    pub fn bind_params(&mut self, checkpoint: &SafeTensors) -> Result<(), Error> {
        self.runner.bind_params(&mut self.known, checkpoint)
    }

    /// Runs the program. All arguments must have values.
    pub fn run(&mut self) -> Result<(), Error> {
        self.runner.run(&mut self.known)
    }

    /// A result of the last run.
    pub fn output<T: Element, const N: usize>(&self, output: &str) -> Result<Tensor<T, N>, Error> {
        let position = self.manifest().outputs.iter().position(|o| o.path == output);
        let Some(position) = position else {
            return Err(unknown("result", output, self.outputs()));
        };
        self.runner.output(position)
    }
}

/// The error of a name that is none of those there are.
fn unknown<'a>(what: &'static str, name: &str, known: impl Iterator<Item = &'a str>) -> Error {
    let all: Vec<String> = known.map(|name| format!("`{name}`")).collect();
    let known = match all.len() {
        0..=12 => all.join(", "),
        more => format!("{} and {} more", all[..12].join(", "), more - 12),
    };
    Error::Unknown { what, name: name.to_owned(), known }
}
