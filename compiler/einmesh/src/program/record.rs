//! Records and checkpoints.

use crate::element::Element;
use crate::error::Error;
use crate::files::SafeTensors;
use crate::tensor::{AnyTensor, Tensor};
use einmesh_artifact::{Manifest, Tensor as Signature, write_atomically};
use einmesh_exec::tensors::{self, ElementType, FileError, Header};
use std::path::Path;
use std::vec::IntoIter;

/// The leaves of a record that was loaded, in the order of its fields.
pub struct Leaves {
    leaves: IntoIter<(Signature, ElementType, Vec<u8>)>,
}

impl Leaves {
    /// The next leaf.
    pub fn take<T: Element, const N: usize>(&mut self) -> Result<Tensor<T, N>, Error> {
        let Some((leaf, dtype, bytes)) = self.leaves.next() else {
            return Err(super::unknown("leaf", "next", std::iter::empty()));
        };
        let shape: Vec<usize> = leaf.whole_shape().iter().map(|n| *n as usize).collect();
        let got = || Error::DType {
            argument: leaf.path.clone(),
            expected: format!("{} with {} dims", leaf.dtype.name(), leaf.whole_shape().len()),
            got: format!("{} with {N} dims", T::DTYPE.name()),
        };
        let shape = <[usize; N]>::try_from(shape).map_err(|_| got())?;
        let to = ElementType::of(T::DTYPE);
        let tensor =
            Tensor::from_bytes(shape, |target| tensors::convert(dtype, to, &bytes, target))?;
        tensor.map_err(|reason| {
            Error::Run(einmesh_exec::RunError::Bind { path: leaf.path.clone(), reason })
        })
    }
}

/// The leaves of an argument.
fn leaves(manifest: &Manifest, argument: &str) -> Vec<Signature> {
    let inside = |path: &str| path.strip_prefix(argument).is_some_and(|rest| rest.starts_with('.'));
    manifest.inputs.iter().filter(|input| inside(&input.path)).cloned().collect()
}

/// Reads the leaves of an argument from a checkpoint.
pub(super) fn load(
    manifest: &Manifest,
    argument: &str,
    file: &SafeTensors,
) -> Result<Leaves, Error> {
    let inputs = leaves(manifest, argument);
    let part = Manifest { inputs, ..Manifest::default() };
    let bindings = tensors::bind(&part, Some(file.inner()), &[])?;
    let all = part.inputs.into_iter().zip(bindings.values);
    let all = all.map(|(leaf, value)| (leaf, value.dtype, value.pieces.concat()));
    Ok(Leaves { leaves: all.collect::<Vec<_>>().into_iter() })
}

/// A record that is being saved: its leaves are added in the order of its fields.
pub struct Saved<'a> {
    expected: IntoIter<Signature>,
    pieces: Vec<(String, ElementType, Vec<u64>, &'a [u8])>,
}

impl<'a> Saved<'a> {
    pub(super) fn new(manifest: &Manifest, argument: &str) -> Saved<'a> {
        Saved { expected: leaves(manifest, argument).into_iter(), pieces: Vec::new() }
    }

    /// Adds the next leaf: one tensor of the checkpoint, or one for each position of its stacked dims.
    pub fn push(&mut self, leaf: &'a dyn AnyTensor) -> Result<(), Error> {
        let Some(expected) = self.expected.next() else {
            return Err(super::unknown("leaf", "next", std::iter::empty()));
        };
        let whole = expected.whole_shape();
        if !leaf.extents().iter().map(|n| *n as u64).eq(whole.iter().copied()) {
            return Err(Error::Shape {
                entry: "the checkpoint".to_owned(),
                argument: expected.path.clone(),
                expected: super::runner::extents(&expected),
                got: leaf.extents().to_vec(),
            });
        }
        let names = expected.stacked_names(&expected.tensor);
        let each = leaf.bytes().len().checked_div(names.len()).unwrap_or(0);
        for (i, name) in names.into_iter().enumerate() {
            let shape = expected.checkpoint_shape();
            let bytes = &leaf.bytes()[i * each..][..each];
            self.pieces.push((name, ElementType::of(leaf.dtype()), shape, bytes));
        }
        Ok(())
    }

    /// Writes the file, atomically.
    pub fn write(self, path: &Path) -> Result<(), Error> {
        let mut header = Header::default();
        for (name, dtype, shape, _) in &self.pieces {
            header.push(name.clone(), *dtype, shape.clone());
        }
        let written = write_atomically(path, |file| {
            header.write(file, |i, file| file.write_all(self.pieces[i].3))
        });
        written.map_err(|error| {
            Error::File(FileError { path: path.to_owned(), problem: error.to_string() })
        })
    }
}
