//! Arrays of the crate `ndarray`.

use crate::element::Element;
use crate::tensor::Tensor;
use crate::view::{AsView, TensorView};
use ndarray::{Array, ArrayBase, ArrayView, Data, Dim, Dimension, IntoDimension};

impl<T: Element, S: Data<Elem = T>, const N: usize> AsView<T, N> for ArrayBase<S, Dim<[usize; N]>>
where
    Dim<[usize; N]>: Dimension,
{
    /// The array as it lies in memory if that is row-major, or a copy.
    fn as_view(&self) -> TensorView<'_, T, N> {
        let shape = extents(self.shape());
        match self.as_slice() {
            Some(elements) => TensorView::new(shape, elements),
            // In logical order, which is row-major.
            None => TensorView::new(shape, self.iter().copied().collect::<Vec<T>>()),
        }
    }
}

impl<T: Element, S: Data<Elem = T>, const N: usize> From<&ArrayBase<S, Dim<[usize; N]>>>
    for Tensor<T, N>
where
    Dim<[usize; N]>: Dimension,
{
    fn from(array: &ArrayBase<S, Dim<[usize; N]>>) -> Tensor<T, N> {
        array.as_view().to_tensor()
    }
}

impl<'a, T: Element, const N: usize> From<&'a Tensor<T, N>> for ArrayView<'a, T, Dim<[usize; N]>>
where
    Dim<[usize; N]>: Dimension,
    [usize; N]: IntoDimension<Dim = Dim<[usize; N]>>,
{
    /// The same elements in the same memory.
    fn from(tensor: &'a Tensor<T, N>) -> Self {
        let view = ArrayView::from_shape(tensor.shape().into_dimension(), tensor.as_slice());
        view.expect("a tensor has as many elements as its shape")
    }
}

impl<T: Element, const N: usize> From<&Tensor<T, N>> for Array<T, Dim<[usize; N]>>
where
    Dim<[usize; N]>: Dimension,
    [usize; N]: IntoDimension<Dim = Dim<[usize; N]>>,
{
    fn from(tensor: &Tensor<T, N>) -> Self {
        ArrayView::from(tensor).to_owned()
    }
}

/// The extents of an array whose type says how many there are.
fn extents<const N: usize>(shape: &[usize]) -> [usize; N] {
    std::array::from_fn(|axis| shape[axis])
}
