//! One program with its session: whole tensors in and out, each read only when it has changed.

use crate::element::Element;
use crate::error::Error;
use crate::files::SafeTensors;
use crate::tensor::Tensor;
use einmesh_artifact::{Artifact, DType, Manifest, Tensor as Signature};
use einmesh_exec::tensors::{self, ElementType, Value};
use einmesh_exec::{Module, Options, Session};
use std::collections::BTreeMap;

/// What lies in the memory of inputs: for each memory the identity of the tensor that was read into it. Programs
/// that share memory share this too.
pub(super) type Known = BTreeMap<usize, u64>;

/// A value for an argument.
pub(super) struct Given<'a> {
    pub dtype: DType,
    pub shape: &'a [usize],
    pub bytes: &'a [u8],
    /// What the elements are known as, if they are a tensor's.
    pub identity: Option<u64>,
}

pub(super) struct Runner {
    session: Session,
    /// For each input, the output that is its new value.
    updated: Vec<Option<usize>>,
}

impl Runner {
    /// Loads a program. Beside another one it shares what both have in memory.
    pub fn new(
        artifact: &Artifact,
        beside: Option<&Runner>,
        threads: Option<usize>,
    ) -> Result<Runner, Error> {
        let module = Module::load(artifact)?;
        let session = match beside {
            Some(other) => other.session.beside(module)?,
            None => {
                let mut options = Options::default();
                options.threads = threads.unwrap_or(options.threads);
                Session::new(module, options)?
            }
        };
        let updated = session.manifest().new_values();
        Ok(Runner { session, updated })
    }

    pub fn manifest(&self) -> &Manifest {
        self.session.manifest()
    }

    /// Whether programs for this mesh can be beside this one.
    pub fn has_mesh_of(&self, manifest: &Manifest) -> bool {
        self.manifest().mesh == manifest.mesh
    }

    /// Reads a value, unless its memory has it already.
    pub fn bind(&mut self, known: &mut Known, input: usize, given: &Given) -> Result<(), Error> {
        let manifest = self.session.manifest();
        let Some(expected) = manifest.inputs.get(input) else {
            return Err(super::unknown("argument", &format!("#{input}"), std::iter::empty()));
        };
        check(&manifest.entry, expected, given)?;
        let memory = self.session.memory_of(input).unwrap_or(0);
        if self.session.is_bound(input)
            && given.identity.is_some()
            && known.get(&memory).copied() == given.identity
        {
            return Ok(());
        }
        known.remove(&memory);
        let value = Value { dtype: ElementType::of(given.dtype), pieces: vec![given.bytes] };
        self.session.bind(input, &value)?;
        known.extend(given.identity.map(|identity| (memory, identity)));
        Ok(())
    }

    /// Reads the leaves of records from a checkpoint.
    pub fn bind_params(&mut self, known: &mut Known, file: &SafeTensors) -> Result<(), Error> {
        let manifest = self.session.manifest();
        let is_leaf = |input: &&Signature| input.path != input.tensor;
        let leaves: Vec<usize> =
            (0..manifest.inputs.len()).filter(|i| is_leaf(&&manifest.inputs[*i])).collect();
        let part = Manifest {
            inputs: leaves.iter().map(|i| manifest.inputs[*i].clone()).collect(),
            ..Manifest::default()
        };
        let bindings = tensors::bind(&part, Some(file.inner()), &[])?;
        for (input, value) in leaves.into_iter().zip(&bindings.values) {
            known.remove(&self.session.memory_of(input).unwrap_or(0));
            self.session.bind(input, value)?;
        }
        Ok(())
    }

    /// Runs the program. What it updates is known by no name until it is taken.
    pub fn run(&mut self, known: &mut Known) -> Result<(), Error> {
        for input in (0..self.updated.len()).filter(|i| self.updated[*i].is_some()) {
            known.remove(&self.session.memory_of(input).unwrap_or(0));
        }
        Ok(self.session.run()?)
    }

    /// An output of the last run.
    pub fn output<T: Element, const N: usize>(&self, output: usize) -> Result<Tensor<T, N>, Error> {
        let shape = self.output_shape::<T, N>(output)?;
        let mut failed = None;
        let tensor = Tensor::from_bytes(shape, |target| {
            failed = self.session.output_into(output, target).err();
            Ok(())
        })?;
        match failed {
            Some(error) => Err(error.into()),
            None => tensor.map_err(|why| self.output_error(output, why)),
        }
    }

    /// The new value of an `inout` argument. Its memory has it already, and is not read into again for it.
    pub fn update<T: Element, const N: usize>(
        &self,
        known: &mut Known,
        output: usize,
        target: &mut Tensor<T, N>,
    ) -> Result<(), Error> {
        *target = self.output(output)?;
        let input = self.updated.iter().position(|new| *new == Some(output));
        if let Some(memory) = input.and_then(|input| self.session.memory_of(input)) {
            known.insert(memory, target.identity().get());
        }
        Ok(())
    }

    fn output_shape<T: Element, const N: usize>(&self, output: usize) -> Result<[usize; N], Error> {
        let tensor = &self.manifest().outputs[output];
        let shape: Vec<usize> = tensor.whole_shape().iter().map(|n| *n as usize).collect();
        let same_type = tensor.dtype == T::DTYPE;
        shape.try_into().ok().filter(|_| same_type).ok_or_else(|| Error::DType {
            argument: tensor.path.clone(),
            expected: format!("{}{}", tensor.dtype.name(), extents(tensor)),
            got: format!("{} with {N} dims", T::DTYPE.name()),
        })
    }

    fn output_error(&self, output: usize, reason: String) -> Error {
        let path = self.manifest().outputs[output].path.clone();
        Error::Run(einmesh_exec::RunError::Bind { path, reason })
    }
}

fn check(entry: &str, expected: &Signature, given: &Given) -> Result<(), Error> {
    if given.dtype != expected.dtype {
        return Err(Error::DType {
            argument: expected.path.clone(),
            expected: expected.dtype.name().to_owned(),
            got: given.dtype.name().to_owned(),
        });
    }
    if !given.shape.iter().map(|n| *n as u64).eq(expected.whole_shape()) {
        return Err(Error::Shape {
            entry: entry.to_owned(),
            argument: expected.path.clone(),
            expected: extents(expected),
            got: given.shape.to_vec(),
        });
    }
    Ok(())
}

/// The extents with their dims' names, product axes as one: `[D = 16, (H = 2) × (K = 8)]`.
pub(super) fn extents(tensor: &Signature) -> String {
    let dims = tensor.dims.iter().map(|dim| {
        let extent = dim.global.to_string();
        if dim.name == extent { extent } else { format!("{} = {extent}", dim.name) }
    });
    let mut dims = dims.collect::<Vec<String>>().into_iter();
    let stacked = dims.by_ref().take(tensor.stacked());
    let mut axes: Vec<String> = stacked.collect();
    for width in &tensor.axes {
        let parts: Vec<String> = dims.by_ref().take(*width as usize).collect();
        axes.push(match &parts[..] {
            [one] => one.clone(),
            several => several.iter().map(|p| format!("({p})")).collect::<Vec<_>>().join("×"),
        });
    }
    format!("[{}]", axes.join(", "))
}
