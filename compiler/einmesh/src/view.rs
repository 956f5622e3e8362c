//! Arguments: whatever can be seen as an array.

use crate::element::{Element, Key};
use crate::tensor::{Identity, Tensor, debug};
use half::{bf16, f16};
use std::borrow::Cow;
use std::fmt::{self, Debug, Formatter};

/// An array that lies elsewhere, row-major.
///
/// ```
/// use einmesh::{AsView, TensorView};
///
/// fn total<const N: usize>(x: impl AsView<f32, N>) -> f32 {
///     let view: TensorView<f32, N> = x.as_view();
///     view.as_slice().iter().sum()
/// }
/// assert_eq!(total([[1.0, 2.0], [3.0, 4.0]]), 10.0);
/// assert_eq!(total(vec![1.0, 2.0]), 3.0);
/// ```
#[derive(Clone)]
pub struct TensorView<'a, T: Element, const N: usize> {
    shape: [usize; N],
    /// Owned if the array was not row-major.
    elements: Cow<'a, [T]>,
    /// What the elements are known as, if a tensor has them.
    identity: Option<&'a Identity>,
}

impl<'a, T: Element, const N: usize> TensorView<'a, T, N> {
    /// A view of elements that are as many as the shape has.
    #[inline]
    pub(crate) fn new(shape: [usize; N], elements: impl Into<Cow<'a, [T]>>) -> Self {
        let elements = elements.into();
        debug_assert_eq!(Some(elements.len()), elements_of(&shape), "{shape:?}");
        TensorView { shape, elements, identity: None }
    }

    /// What the elements are known as, if a tensor has them.
    pub(crate) fn known_as(&self) -> Option<u64> {
        self.identity.map(Identity::get)
    }

    /// The extents, outermost first.
    #[inline]
    pub fn shape(&self) -> [usize; N] {
        self.shape
    }

    #[inline]
    pub(crate) fn extents_ref(&self) -> &[usize] {
        &self.shape
    }

    /// The elements, in row-major order.
    #[inline]
    pub fn as_slice(&self) -> &[T] {
        &self.elements
    }

    /// The elements in memory of their own.
    pub fn to_tensor(&self) -> Tensor<T, N> {
        // A view's elements lie in memory already: a tensor of them fits as well.
        Tensor::from_slice(self.shape, &self.elements).unwrap_or_else(|error| panic!("{error}"))
    }
}

impl<T: Element, const N: usize> Debug for TensorView<'_, T, N> {
    /// As a [`Tensor`] of the same elements.
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        debug(&self.shape, &self.elements, f)
    }
}

fn elements_of(shape: &[usize]) -> Option<usize> {
    match shape.contains(&0) {
        true => Some(0),
        false => shape.iter().try_fold(1_usize, |n, extent| n.checked_mul(*extent)),
    }
}

/// What can be an argument: an array of `T` with `N` dims, row-major or copied to be.
///
/// These can: [`Tensor`] and [`TensorView`], a slice or a `Vec` (one dim), arrays nested up to four deep, a number
/// (no dim), references to all of them and, with the feature `ndarray`, the arrays and views of the crate `ndarray`.
/// Only an `ndarray` that is not row-major is copied.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no array of `{T}` with {N} dims",
    label = "expected `{N}` dims of `{T}`",
    note = "a `Tensor<{T}, {N}>`, nested arrays and, with the feature `ndarray`, its arrays are; slices and `Vec`s have one dim"
)]
pub trait AsView<T: Element, const N: usize> {
    /// The array.
    fn as_view(&self) -> TensorView<'_, T, N>;
}

impl<T: Element, const N: usize> AsView<T, N> for Tensor<T, N> {
    #[inline]
    fn as_view(&self) -> TensorView<'_, T, N> {
        let elements = Cow::Borrowed(self.as_slice());
        TensorView { shape: self.shape(), elements, identity: Some(self.identity()) }
    }
}

impl<T: Element, const N: usize> AsView<T, N> for TensorView<'_, T, N> {
    #[inline]
    fn as_view(&self) -> TensorView<'_, T, N> {
        let elements = Cow::Borrowed(self.as_slice());
        TensorView { shape: self.shape, elements, identity: self.identity }
    }
}

impl<T: Element, const N: usize, A: AsView<T, N> + ?Sized> AsView<T, N> for &A {
    #[inline]
    fn as_view(&self) -> TensorView<'_, T, N> {
        (**self).as_view()
    }
}

impl<T: Element, const N: usize, A: AsView<T, N> + ?Sized> AsView<T, N> for &mut A {
    #[inline]
    fn as_view(&self) -> TensorView<'_, T, N> {
        (**self).as_view()
    }
}

macro_rules! numbers {
    ($($number:ty),*) => {$(
        impl AsView<$number, 0> for $number {
            #[inline]
            fn as_view(&self) -> TensorView<'_, $number, 0> {
                TensorView::new([], std::slice::from_ref(self))
            }
        }
    )*};
}

numbers!(f32, f64, bf16, f16, i32, i64, bool, Key);

impl<T: Element> AsView<T, 1> for [T] {
    #[inline]
    fn as_view(&self) -> TensorView<'_, T, 1> {
        TensorView::new([self.len()], self)
    }
}

impl<T: Element> AsView<T, 1> for Vec<T> {
    #[inline]
    fn as_view(&self) -> TensorView<'_, T, 1> {
        self.as_slice().as_view()
    }
}

impl<T: Element, const A: usize> AsView<T, 1> for [T; A] {
    #[inline]
    fn as_view(&self) -> TensorView<'_, T, 1> {
        TensorView::new([A], self.as_slice())
    }
}

impl<T: Element, const A: usize, const B: usize> AsView<T, 2> for [[T; B]; A] {
    #[inline]
    fn as_view(&self) -> TensorView<'_, T, 2> {
        TensorView::new([A, B], self.as_flattened())
    }
}

impl<T: Element, const A: usize, const B: usize, const C: usize> AsView<T, 3> for [[[T; C]; B]; A] {
    #[inline]
    fn as_view(&self) -> TensorView<'_, T, 3> {
        TensorView::new([A, B, C], self.as_flattened().as_flattened())
    }
}

impl<T: Element, const A: usize, const B: usize, const C: usize, const D: usize> AsView<T, 4>
    for [[[[T; D]; C]; B]; A]
{
    #[inline]
    fn as_view(&self) -> TensorView<'_, T, 4> {
        let elements = self.as_flattened().as_flattened().as_flattened();
        TensorView::new([A, B, C, D], elements)
    }
}
