//! What the expansions of macros call.

pub use crate::program::{Call, Leaves, Saved};
use crate::{AsView, Element, TensorView};

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
