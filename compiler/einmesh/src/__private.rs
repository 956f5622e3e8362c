//! What the expansions of macros call.

use crate::{AsView, Element, Error, Tensor, TensorView};

/// An argument's view, with the element type and the number of dims that the macro knows.
#[inline]
pub fn view<T: Element, const N: usize>(
    argument: &(impl AsView<T, N> + ?Sized),
) -> TensorView<'_, T, N> {
    argument.as_view()
}

/// A tensor whose elements `fill` writes, given where they are.
///
/// # Safety
///
/// `fill` must write every element, as far as it returns; the memory has as many as the shape says and begins at a
/// multiple of 64 bytes.
#[inline]
pub unsafe fn filled<T: Element, const N: usize>(
    shape: [usize; N],
    fill: impl FnOnce(*mut T),
) -> Result<Tensor<T, N>, Error> {
    // SAFETY: the caller's promise.
    unsafe { Tensor::filled(shape, fill) }
}

/// The error of an operand one of whose extents differs from what it must be.
#[cold]
pub fn extent_error(
    operand: &str,
    axis: usize,
    index: &str,
    expected: usize,
    because: &str,
    got: usize,
) -> Error {
    Error::Extent {
        operand: operand.to_owned(),
        axis,
        index: index.to_owned(),
        expected,
        because: because.to_owned(),
        got,
    }
}
