//! Named tensors in memory and in safetensors files.

use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use std::io;
use std::path::Path;

/// A named tensor.
#[derive(Clone, PartialEq, Debug)]
pub struct Tensor {
    /// Its name.
    pub name: String,
    /// Its extents, outermost first.
    pub shape: Vec<usize>,
    /// Its elements, row-major.
    pub data: Data,
}

/// The elements of a tensor.
#[derive(Clone, PartialEq, Debug)]
pub enum Data {
    /// 32-bit floats.
    F32(Vec<f32>),
    /// 64-bit floats.
    F64(Vec<f64>),
    /// 32-bit integers.
    I32(Vec<i32>),
}

impl Data {
    /// The elements as f64.
    pub fn to_f64(&self) -> Vec<f64> {
        match self {
            Data::F32(v) => v.iter().map(|x| f64::from(*x)).collect(),
            Data::F64(v) => v.clone(),
            Data::I32(v) => v.iter().map(|x| f64::from(*x)).collect(),
        }
    }

    fn dtype(&self) -> Dtype {
        match self {
            Data::F32(_) => Dtype::F32,
            Data::F64(_) => Dtype::F64,
            Data::I32(_) => Dtype::I32,
        }
    }

    fn bytes(&self) -> Vec<u8> {
        match self {
            Data::F32(v) => v.iter().flat_map(|x| x.to_le_bytes()).collect(),
            Data::F64(v) => v.iter().flat_map(|x| x.to_le_bytes()).collect(),
            Data::I32(v) => v.iter().flat_map(|x| x.to_le_bytes()).collect(),
        }
    }
}

/// Writes tensors to a safetensors file.
pub fn write(path: &Path, tensors: &[Tensor]) -> io::Result<()> {
    let bytes: Vec<Vec<u8>> = tensors.iter().map(|t| t.data.bytes()).collect();
    let mut views = Vec::new();
    for (tensor, bytes) in tensors.iter().zip(&bytes) {
        let view = TensorView::new(tensor.data.dtype(), tensor.shape.clone(), bytes);
        views.push((tensor.name.as_str(), view.map_err(io::Error::other)?));
    }
    safetensors::serialize_to_file(views, None, path).map_err(io::Error::other)
}

/// Reads the f32, f64 and i32 tensors of a safetensors file.
pub fn read(path: &Path) -> io::Result<Vec<Tensor>> {
    let bytes = std::fs::read(path)?;
    let file = SafeTensors::deserialize(&bytes).map_err(io::Error::other)?;
    let mut tensors = Vec::new();
    for (name, view) in file.tensors() {
        let data = match view.dtype() {
            Dtype::F32 => Data::F32(numbers(view.data(), f32::from_le_bytes)),
            Dtype::F64 => Data::F64(numbers(view.data(), f64::from_le_bytes)),
            Dtype::I32 => Data::I32(numbers(view.data(), i32::from_le_bytes)),
            other => {
                let message = format!("`{name}` has dtype {other:?}; f32, f64 or i32 is expected");
                return Err(io::Error::other(message));
            }
        };
        tensors.push(Tensor { name, shape: view.shape().to_vec(), data });
    }
    Ok(tensors)
}

fn numbers<T, const N: usize>(bytes: &[u8], of: impl Fn([u8; N]) -> T) -> Vec<T> {
    let chunks = bytes.chunks_exact(N);
    chunks.map(|c| of(c.try_into().expect("chunks have N bytes"))).collect()
}
