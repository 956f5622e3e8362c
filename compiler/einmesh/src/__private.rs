//! What the expansions of macros call.

pub use crate::program::{Call, Leaves, Saved};
use crate::{AsView, Element, Error, Tensor, TensorView};

pub use crate::einsum::{Operand, call};
pub use einmesh_exec::embedded::{
    Blocks, Chosen, Code, Einsum, Extent, Image, MAX_OPERANDS, MAX_SYMBOLS, MAX_TEMPORARIES,
    Operand as Described, Phase, Place, Step, Temporary,
};

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
