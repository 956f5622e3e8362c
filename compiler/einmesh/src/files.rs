//! Tensors in safetensors files.

use crate::element::Element;
use crate::error::Error;
use crate::tensor::{AnyTensor, Tensor};
use einmesh_exec::tensors::{self, ElementType, FileError, Header};
use std::io::Write;
use std::path::Path;

/// An open safetensors file, or several that make one checkpoint.
///
/// The file is mapped, not read: a tensor costs memory when it is taken. The header is checked first, whoever wrote
/// it. (Who shortens the file meanwhile kills the process, as with every mapped file.)
///
/// ```
/// use einmesh::{SafeTensors, Tensor, save};
///
/// let path = std::env::temp_dir().join(format!("einmesh-doc-{}.safetensors", std::process::id()));
/// let w = Tensor::from([[1.0_f32, 2.0], [3.0, 4.0]]);
/// save(&path, &[("w", &w)])?;
///
/// let file = SafeTensors::open(&path)?;
/// assert_eq!(file.names().collect::<Vec<_>>(), ["w"]);
/// assert_eq!(file.get::<f32, 2>("w")?, w);
/// let error = file.get::<f32, 3>("w").unwrap_err();
/// assert!(error.to_string().contains("`w` has the shape [2, 2], but 3 dims are expected"));
/// # std::fs::remove_file(path).ok();
/// # Ok::<(), einmesh::Error>(())
/// ```
pub struct SafeTensors {
    file: tensors::SafeTensors,
}

impl SafeTensors {
    /// Opens a file and checks its header.
    pub fn open(path: impl AsRef<Path>) -> Result<SafeTensors, Error> {
        SafeTensors::open_all(&[path])
    }

    /// Opens the files of one checkpoint, each with other tensors.
    pub fn open_all(paths: &[impl AsRef<Path>]) -> Result<SafeTensors, Error> {
        Ok(SafeTensors { file: tensors::SafeTensors::open_all(paths)? })
    }

    /// The names of the tensors, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.file.names()
    }

    /// The extents of a tensor; `None` if there is none of this name.
    pub fn shape(&self, name: &str) -> Option<Vec<usize>> {
        let view = self.file.get(name)?;
        Some(view.shape.iter().map(|extent| *extent as usize).collect())
    }

    /// A tensor. Its elements are converted if they are of another type: floats to any float type, rounding to
    /// nearest; integers if they fit.
    pub fn get<T: Element, const N: usize>(&self, name: &str) -> Result<Tensor<T, N>, Error> {
        let wrong =
            |problem: String| Error::File(FileError { path: self.file.path().to_owned(), problem });
        let Some(view) = self.file.get(name) else {
            let near: Vec<&str> = self.file.names().take(6).collect();
            return Err(wrong(format!("there is no tensor `{name}`; there are {near:?} …")));
        };
        let shape: Vec<usize> = view.shape.iter().map(|extent| *extent as usize).collect();
        let Ok(shape) = <[usize; N]>::try_from(shape) else {
            let got = view.shape;
            return Err(wrong(format!(
                "`{name}` has the shape {got:?}, but {N} dims are expected"
            )));
        };
        let to = ElementType::of(T::DTYPE);
        Tensor::from_bytes(shape, |target| tensors::convert(view.dtype, to, view.bytes, target))?
            .map_err(|why| wrong(format!("`{name}`: {why}")))
    }

    pub(crate) fn inner(&self) -> &tensors::SafeTensors {
        &self.file
    }
}

/// Writes tensors to a safetensors file, atomically: nobody sees half of it. Equal tensors give equal files.
///
/// [`SafeTensors`] reads it.
pub fn save(path: impl AsRef<Path>, tensors: &[(&str, &dyn AnyTensor)]) -> Result<(), Error> {
    let path = path.as_ref();
    let fail = |problem: String| Error::File(FileError { path: path.to_owned(), problem });
    let mut sorted: Vec<&(&str, &dyn AnyTensor)> = tensors.iter().collect();
    sorted.sort_by_key(|(name, _)| *name);
    if let Some(pair) = sorted.windows(2).find(|pair| pair[0].0 == pair[1].0) {
        return Err(fail(format!("two tensors have the name `{}`", pair[0].0)));
    }
    let mut header = Header::default();
    for (name, tensor) in &sorted {
        let shape = tensor.extents().iter().map(|extent| *extent as u64).collect();
        header.push((*name).to_owned(), ElementType::of(tensor.dtype()), shape);
    }
    let written = einmesh_artifact::write_atomically(path, |file| {
        header.write(file, |i, file: &mut dyn Write| file.write_all(sorted[i].1.bytes()))
    });
    written.map_err(|error| fail(error.to_string()))
}
