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

/// Compiles a `.ein` file inside of rustc, and makes a module of it: its exported functions as functions, its records as
/// structs.
///
/// ```
/// einmesh::program! {
///     mod mlp = "../../models/mlp.ein";
///     dims { B = 2, D = 4, F = 8, C = 3 };
/// }
/// # fn main() -> Result<(), einmesh::Error> {
/// let mut params = mlp::Params::zeros();
/// params.fc2.bias = [0.5, 1.5, 2.5].into();
/// let logits = mlp::forward(&params, &[[1.0; 4]; 2])?;
/// assert_eq!(logits.shape(), [mlp::B, mlp::C]);
/// assert_eq!(logits.rows().last(), Some([0.5, 1.5, 2.5].as_slice()));
/// # Ok(())
/// # }
/// ```
///
/// The path is relative to the directory of the package's `Cargo.toml`. The crate is built again when the file, or one
/// that it imports, changes. What is wrong in the file is an error of rustc with the file's line and its help.
///
/// # What can be given
///
/// * `dims { B = 2, W = bf16, eps = 1e-6 }`: extents, what `type` names stand for, and constants, as `-D` gives them.
/// * `mesh { data: 2, tensor: 2 }` and `shard { data: B, tensor: [H, F, V] }` in place of the plans' decorators. The
///   functions stay what they are: whole tensors in, whole tensors out.
/// * `plan = pod`: the plan by which all entries are placed. Without it, an entry that has exactly one plan has that one.
/// * `entries = [forward, loss]`: which functions are compiled. Without it, all exported ones.
///
/// # What is in the module
///
/// * For each entry a function. Records are taken by reference, `inout` arguments by `&mut`; numbers as they are, and
///   other arrays as whatever is [`AsView`](crate::AsView). It returns its result, or a struct of several; rustc checks
///   numbers of dims and element types, and a wrong extent is an [`Error`] that names it. Arguments with a default are
///   constants of the compilation.
/// * For each record type a struct with the record's fields. `h: Block[L]` has the type `Blocks`, whose tensors have `L` as
///   their first dim. An axis like `(3,H,K)` is one dim. Records that are arguments have `zeros()`, `load(path)` of a
///   checkpoint with the names that the file gives them, and `save(path)`.
/// * A constant for each dim, `MESH`, and `MODEL`, the [`Model`] that holds what is in memory.
///
/// Code is made for all levels of CPUs, and chosen when the program runs.
#[cfg(feature = "macros")]
pub use einmesh_macros::program;

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
            identity: value.known_as(),
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
