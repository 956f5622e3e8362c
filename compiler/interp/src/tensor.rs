//! Tensors in memory, and their bytes.

use einmesh_ir::DType;
use half::{bf16, f16};

/// A dense, row-major array.
///
/// Floats of every dtype are held as f64, which represents them exactly; integers, truth values (0 and 1)
/// and keys (their bits) as i64.
#[derive(Clone, PartialEq, Debug)]
pub struct Tensor {
    /// The type of the elements.
    pub dtype: DType,
    /// The extents, outermost first.
    pub shape: Vec<usize>,
    /// The elements.
    pub data: Data,
}

/// The elements of a [`Tensor`].
#[derive(Clone, PartialEq, Debug)]
pub enum Data {
    /// Of float dtypes.
    Float(Vec<f64>),
    /// Of all other dtypes.
    Int(Vec<i64>),
}

impl Tensor {
    /// A tensor of a float dtype; the elements are rounded to it.
    ///
    /// # Panics
    /// If the dtype is no float dtype or the number of elements is not the shape's.
    pub fn float(dtype: DType, shape: &[usize], elements: impl IntoIterator<Item = f64>) -> Tensor {
        assert!(dtype.is_float(), "{dtype} is not a float dtype");
        let elements: Vec<f64> = elements.into_iter().map(|x| dtype.round(x)).collect();
        assert_eq!(elements.len(), shape.iter().product::<usize>(), "elements of {shape:?}");
        Tensor { dtype, shape: shape.to_vec(), data: Data::Float(elements) }
    }

    /// A tensor of integers, truth values or keys; integers are wrapped to the dtype.
    ///
    /// # Panics
    /// If the dtype is a float dtype or the number of elements is not the shape's.
    pub fn int(dtype: DType, shape: &[usize], elements: impl IntoIterator<Item = i64>) -> Tensor {
        assert!(!dtype.is_float(), "{dtype} is a float dtype");
        let wrap = |x| match dtype {
            DType::Bool => i64::from(x != 0),
            _ => einmesh_ir::integer::wrap(dtype, x),
        };
        let elements: Vec<i64> = elements.into_iter().map(wrap).collect();
        assert_eq!(elements.len(), shape.iter().product::<usize>(), "elements of {shape:?}");
        Tensor { dtype, shape: shape.to_vec(), data: Data::Int(elements) }
    }

    /// A tensor of zeros.
    pub fn zeros(dtype: DType, shape: &[usize]) -> Tensor {
        let n = shape.iter().product();
        let data = match dtype.is_float() {
            true => Data::Float(vec![0.0; n]),
            false => Data::Int(vec![0; n]),
        };
        Tensor { dtype, shape: shape.to_vec(), data }
    }

    /// The number of elements.
    pub fn len(&self) -> usize {
        match &self.data {
            Data::Float(x) => x.len(),
            Data::Int(x) => x.len(),
        }
    }

    /// Whether there are no elements.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The elements as floats; empty if they are none.
    pub fn floats(&self) -> &[f64] {
        match &self.data {
            Data::Float(x) => x,
            Data::Int(_) => &[],
        }
    }

    /// The elements as integers; empty if they are floats.
    pub fn ints(&self) -> &[i64] {
        match &self.data {
            Data::Int(x) => x,
            Data::Float(_) => &[],
        }
    }

    /// One element as text, for messages.
    pub fn element(&self, at: usize) -> String {
        match &self.data {
            Data::Float(x) => format!("{:?}", x[at]),
            Data::Int(x) => x[at].to_string(),
        }
    }

    /// Reads little-endian bytes; `None` if their number is not that of the shape's elements.
    pub fn from_bytes(dtype: DType, shape: &[usize], bytes: &[u8]) -> Option<Tensor> {
        let width = dtype.bytes() as usize;
        let elements = shape.iter().try_fold(1_usize, |n, extent| n.checked_mul(*extent))?;
        if elements.checked_mul(width)? != bytes.len() {
            return None;
        }
        let floats = |read: &dyn Fn(&[u8]) -> f64| {
            Data::Float(bytes.chunks_exact(width).map(read).collect())
        };
        let ints =
            |read: &dyn Fn(&[u8]) -> i64| Data::Int(bytes.chunks_exact(width).map(read).collect());
        let data = match dtype {
            DType::F64 => floats(&|b| f64::from_le_bytes(array(b))),
            DType::F32 => floats(&|b| f64::from(f32::from_le_bytes(array(b)))),
            DType::Bf16 => floats(&|b| bf16::from_le_bytes(array(b)).to_f64()),
            DType::F16 => floats(&|b| f16::from_le_bytes(array(b)).to_f64()),
            DType::I64 | DType::Key => ints(&|b| i64::from_le_bytes(array(b))),
            DType::I32 => ints(&|b| i64::from(i32::from_le_bytes(array(b)))),
            DType::Bool => ints(&|b| i64::from(b[0] != 0)),
        };
        Some(Tensor { dtype, shape: shape.to_vec(), data })
    }

    /// The elements as little-endian bytes, rounded to the dtype.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.len() * self.dtype.bytes() as usize);
        match &self.data {
            Data::Float(elements) => {
                for x in elements {
                    // Rounded to the dtype first, every further conversion is exact.
                    let x = self.dtype.round(*x);
                    match self.dtype {
                        DType::F32 => bytes.extend((x as f32).to_le_bytes()),
                        DType::Bf16 => bytes.extend(bf16::from_f64(x).to_le_bytes()),
                        DType::F16 => bytes.extend(f16::from_f64(x).to_le_bytes()),
                        _ => bytes.extend(x.to_le_bytes()),
                    }
                }
            }
            Data::Int(elements) => {
                for x in elements {
                    match self.dtype {
                        DType::I32 => bytes.extend((*x as i32).to_le_bytes()),
                        DType::Bool => bytes.push(u8::from(*x != 0)),
                        _ => bytes.extend(x.to_le_bytes()),
                    }
                }
            }
        }
        bytes
    }
}

/// The bytes of one element; `bytes` has exactly `N`.
fn array<const N: usize>(bytes: &[u8]) -> [u8; N] {
    bytes.try_into().expect("chunks have the element's width")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_round_trip_in_every_dtype() {
        let floats = [0.0, -0.0, 1.5, -2.0, 65504.0, f64::INFINITY, 2f64.powi(-24)];
        let ints = [0, 1, -1, 7, i64::from(i32::MIN), i64::from(i32::MAX), 3];
        for dtype in DType::ALL {
            let tensor = match dtype.is_float() {
                true => Tensor::float(dtype, &[7], floats),
                false => Tensor::int(dtype, &[7], ints),
            };
            let bytes = tensor.to_bytes();
            assert_eq!(bytes.len() as u64, 7 * dtype.bytes());
            assert_eq!(Tensor::from_bytes(dtype, &[7], &bytes), Some(tensor));
            assert_eq!(Tensor::from_bytes(dtype, &[8], &bytes), None);
        }
    }

    #[test]
    fn bytes_are_little_endian() {
        let one = Tensor::float(DType::Bf16, &[1], [1.0]);
        assert_eq!(one.to_bytes(), [0x80, 0x3f]);
        let two = Tensor::int(DType::I32, &[1], [2]);
        assert_eq!(two.to_bytes(), [2, 0, 0, 0]);
        assert!(Tensor::from_bytes(DType::F16, &[1], &[0, 0x7e]).unwrap().floats()[0].is_nan());
    }

    #[test]
    fn extents_that_overflow_are_refused() {
        assert_eq!(Tensor::from_bytes(DType::F64, &[usize::MAX, 2], &[]), None);
    }
}
