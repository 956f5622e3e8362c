//! `x[[i, j]]`.

use super::Tensor;
use crate::element::Element;
use std::ops::{Index, IndexMut};

impl<T: Element, const N: usize> Index<[usize; N]> for Tensor<T, N> {
    type Output = T;

    #[inline]
    fn index(&self, position: [usize; N]) -> &T {
        match self.offset(position) {
            Some(offset) => &self.as_slice()[offset],
            None => outside(&position, &self.shape),
        }
    }
}

impl<T: Element, const N: usize> IndexMut<[usize; N]> for Tensor<T, N> {
    /// Each access looks whether clones share the memory: to write many elements, take
    /// [`Tensor::as_mut_slice`] once.
    #[inline]
    fn index_mut(&mut self, position: [usize; N]) -> &mut T {
        match self.offset(position) {
            Some(offset) => &mut self.as_mut_slice()[offset],
            None => outside(&position, &self.shape),
        }
    }
}

#[cold]
fn outside(position: &[usize], shape: &[usize]) -> ! {
    panic!("the position {position:?} is outside of the shape {shape:?}")
}
