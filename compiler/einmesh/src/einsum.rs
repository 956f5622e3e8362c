//! `einsum!`, and how its expansion is called.

use crate::element::Element;
use crate::error::Error;
use crate::tensor::Tensor;
use crate::view::TensorView;
use einmesh_exec::embedded::Einsum;

/// Computes one einsum: with code that is compiled, for this einsum, inside of rustc.
///
/// It takes an equation, operands, and after a semicolon what is known of extents and element types; it is a
/// `Result<Tensor<T, N>, Error>`. Operands are whatever is [`AsView`](crate::AsView); they are borrowed, and not copied.
///
/// Extents that are given make the code faster: it is generated for them. Those that are not are numbers to the code, and
/// where it depends on them in which order several operands are best contracted, each call takes the best order.
///
/// # Equations
///
/// As strings they are NumPy's: indices are letters or, with spaces between them, words; what is missing on the right
/// is summed.
///
/// ```
/// use einmesh::prelude::*;
///
/// let x = Tensor::from([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]);
/// let w = Tensor::from([[1.0, 0.0, 1.0], [0.0, 1.0, 1.0]]);
/// let y = einsum!("batch i, i o -> batch o", x, w)?;
/// assert_eq!(y, Tensor::from([[1.0, 2.0, 3.0], [3.0, 4.0, 7.0], [5.0, 6.0, 11.0]]));
/// // The same for two inputs and three outputs, and any batch.
/// assert_eq!(y, einsum!("batch i, i o -> batch o", x, w; i = 2, o = 3)?);
/// # Ok::<(), Error>(())
/// ```
///
/// As statements they are those of the language (`dsl/LANGUAGE.md`), with its functions, guards and reductions. An index
/// is summed where it occurs twice in a term and not on the left.
///
/// ```
/// use einmesh::prelude::*;
///
/// let (x, w) = (Tensor::from([[1.0, 2.0], [3.0, 4.0]]), Tensor::from([10.0, 100.0]));
/// let y = einsum!(y[b] = x[b,i] * w[i] + 0.5, x, w)?;
/// assert_eq!(y, Tensor::from([210.5, 430.5]));
///
/// let scores = Tensor::from([[1.0, 9.0, 9.0], [1.0, 1.0, 9.0], [0.0, 0.0, 0.0]]);
/// let causal = einsum!(a[t,u] = softmax[u | u <= t](s[t,u]), s = scores)?;
/// assert_eq!(causal[[0, 0]], 1.0);
/// assert_eq!(causal[[1, 2]], 0.0);
/// # Ok::<(), Error>(())
/// ```
///
/// # Element types
///
/// Numbers are `f32` if nothing else is said: `; f64` says it of all, `; ids: i64` of one operand. What subscripts another
/// operand is `i32`.
///
/// ```
/// use einmesh::prelude::*;
///
/// let table = Tensor::from_fn([4, 2], |[v, d]| (10 * v + d) as f64);
/// let rows = einsum!(x[t,d] = table[ids[t],d], table, ids = [3, 0, 1]; f64)?;
/// assert_eq!(rows, Tensor::from([[30.0, 31.0], [0.0, 1.0], [10.0, 11.0]]));
/// # Ok::<(), Error>(())
/// ```
///
/// # Extents
///
/// `; i = 4` gives that of an index, `; table.0 = 4` that of a dimension which no index ranges over. An index that is on the
/// left only has to have one.
///
/// # Errors
///
/// [`Error::Operands`] if the operands' shapes do not fit the equation; [`Error::Run`] on a CPU older than x86-64-v3.
/// What is wrong with the equation itself is an error of rustc, at the place where it is wrong.
#[cfg(feature = "macros")]
pub use einmesh_macros::einsum;

/// An operand, whatever its type.
pub trait Operand {
    /// Its extents.
    fn extents(&self) -> &[usize];

    /// Its first element.
    fn start(&self) -> *const u8;
}

impl<T: Element, const N: usize> Operand for TensorView<'_, T, N> {
    #[inline]
    fn extents(&self) -> &[usize] {
        self.extents_ref()
    }

    #[inline]
    fn start(&self) -> *const u8 {
        self.as_slice().as_ptr().cast()
    }
}

/// Checks the operands, computes, and returns the result.
///
/// # Safety
///
/// `einsum` is a description that the macro wrote for operands of the types that these have, in this order and with as many
/// dims, and for a result of type `T` with `N` dims.
#[inline]
pub unsafe fn call<T: Element, const N: usize, const OPERANDS: usize>(
    einsum: &'static Einsum,
    operands: [&dyn Operand; OPERANDS],
) -> Result<Tensor<T, N>, Error> {
    let known = einsum.shapes_of(&operands.map(|operand| operand.extents()))?;
    let starts = operands.map(|operand| operand.start());
    let mut shape = [0; N];
    for (extent, own) in shape.iter_mut().zip(einsum.result) {
        *extent = known.extent(*own) as usize;
    }
    // SAFETY: if the call succeeds, it has written all elements, since the shapes were checked and the caller vouches for
    // the description.
    unsafe {
        Tensor::filled(shape, |memory: *mut T| Ok(einsum.call(&starts, memory.cast(), &known)?))
    }
}
