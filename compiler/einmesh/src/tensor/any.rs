//! Tensors of any type, as programs and files see them.

use super::Tensor;
use crate::element::{Element, Key};
use einmesh_artifact::DType;
use half::{bf16, f16};

/// A [`Tensor`], or a number, whose element type and number of dims are known at run time only: what files and programs take.
///
/// ```
/// use einmesh::{AnyTensor, DType, Tensor};
///
/// let (x, n) = (Tensor::<f32, 2>::zeros([2, 3]), Tensor::from([1_i32, 2]));
/// let all: [&dyn AnyTensor; 2] = [&x, &n];
/// assert_eq!(all[0].extents(), [2, 3]);
/// assert_eq!(all[1].dtype(), DType::I32);
/// ```
pub trait AnyTensor: sealed::Sealed {
    /// The element type.
    fn dtype(&self) -> DType;

    /// The extents, outermost first.
    fn extents(&self) -> &[usize];

    /// The elements' bytes, row-major, little endian.
    fn bytes(&self) -> &[u8];

    /// What the elements are known as.
    #[doc(hidden)]
    fn known_as(&self) -> Option<u64>;
}

mod sealed {
    pub trait Sealed {}
}

impl<T: Element, const N: usize> sealed::Sealed for Tensor<T, N> {}

impl<T: Element, const N: usize> AnyTensor for Tensor<T, N> {
    fn dtype(&self) -> DType {
        T::DTYPE
    }

    fn extents(&self) -> &[usize] {
        &self.shape
    }

    fn bytes(&self) -> &[u8] {
        bytes(self.as_slice())
    }

    fn known_as(&self) -> Option<u64> {
        Some(self.identity.get())
    }
}

macro_rules! numbers {
    ($($number:ty),*) => {$(
        impl sealed::Sealed for $number {}

        /// A number is a tensor without dims.
        impl AnyTensor for $number {
            fn dtype(&self) -> DType {
                <$number as Element>::DTYPE
            }

            fn extents(&self) -> &[usize] {
                &[]
            }

            fn bytes(&self) -> &[u8] {
                bytes(std::slice::from_ref(self))
            }

            fn known_as(&self) -> Option<u64> {
                None
            }
        }
    )*};
}

numbers!(f32, f64, bf16, f16, i32, i64, bool, Key);

/// The bytes of elements.
pub(crate) fn bytes<T: Element>(elements: &[T]) -> &[u8] {
    // SAFETY: elements have no padding (`Plain`), so that all their bytes are initialised.
    unsafe { std::slice::from_raw_parts(elements.as_ptr().cast(), size_of_val(elements)) }
}
