//! Tensors of what else holds numbers.

use super::Tensor;
use crate::element::Element;

impl<T: Element> From<T> for Tensor<T, 0> {
    fn from(element: T) -> Tensor<T, 0> {
        Tensor::from_fn([], |[]| element)
    }
}

impl<T: Element> From<Vec<T>> for Tensor<T, 1> {
    fn from(elements: Vec<T>) -> Tensor<T, 1> {
        Tensor::from(elements.as_slice())
    }
}

impl<T: Element> From<&[T]> for Tensor<T, 1> {
    fn from(elements: &[T]) -> Tensor<T, 1> {
        Tensor::from_fn([elements.len()], |[i]| elements[i])
    }
}

impl<T: Element, const A: usize> From<[T; A]> for Tensor<T, 1> {
    fn from(elements: [T; A]) -> Tensor<T, 1> {
        Tensor::from_fn([A], |[i]| elements[i])
    }
}

impl<T: Element, const A: usize, const B: usize> From<[[T; B]; A]> for Tensor<T, 2> {
    fn from(elements: [[T; B]; A]) -> Tensor<T, 2> {
        Tensor::from_fn([A, B], |[i, j]| elements[i][j])
    }
}

impl<T: Element, const A: usize, const B: usize, const C: usize> From<[[[T; C]; B]; A]>
    for Tensor<T, 3>
{
    fn from(elements: [[[T; C]; B]; A]) -> Tensor<T, 3> {
        Tensor::from_fn([A, B, C], |[i, j, k]| elements[i][j][k])
    }
}

impl<T: Element> FromIterator<T> for Tensor<T, 1> {
    fn from_iter<I: IntoIterator<Item = T>>(elements: I) -> Tensor<T, 1> {
        Tensor::from(Vec::from_iter(elements))
    }
}

impl<'a, T: Element, const N: usize> IntoIterator for &'a Tensor<T, N> {
    type Item = &'a T;
    type IntoIter = std::slice::Iter<'a, T>;

    /// The elements, in row-major order.
    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}
