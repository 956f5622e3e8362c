//! What can be an argument.

use einmesh::{AsView, Element, Tensor, TensorView};
use ndarray::{Array2, ArrayView2, arr2, array};

/// The shape and the elements that a macro's expansion would see, and where they are.
fn seen<T: Element, const N: usize>(argument: impl AsView<T, N>) -> ([usize; N], Vec<T>) {
    let view: TensorView<T, N> = einmesh::__private::view(&argument);
    (view.shape(), view.as_slice().to_vec())
}

#[test]
fn many_things_are_arrays() {
    let flat = vec![1.0_f32, 2.0, 3.0];
    assert_eq!(seen(&flat), ([3], flat.clone()));
    assert_eq!(seen(flat.as_slice()), ([3], flat.clone()));
    assert_eq!(seen(&flat[1..]), ([2], vec![2.0, 3.0]));
    assert_eq!(seen([1, 2]), ([2], vec![1, 2]));
    let nested = [[1, 2, 3], [4, 5, 6]];
    assert_eq!(seen(nested), ([2, 3], vec![1, 2, 3, 4, 5, 6]));
    assert_eq!(seen([[[1.0], [2.0]]]), ([1, 2, 1], vec![1.0, 2.0]));
    assert_eq!(seen([[[[true; 2]; 1]; 3]; 1]), ([1, 3, 1, 2], vec![true; 6]));
    assert_eq!(seen(0.5_f64), ([], vec![0.5]));
    let mut tensor = Tensor::from([[1_i64, 2]]);
    assert_eq!(seen(&mut tensor), ([1, 2], vec![1, 2]));
    let borrowed = &&tensor;
    assert_eq!(seen(borrowed), ([1, 2], vec![1, 2]));
    assert_eq!(seen(tensor.as_view()), ([1, 2], vec![1, 2]));
    assert_eq!(tensor.as_view().to_tensor(), tensor);
}

#[test]
fn arrays_of_ndarray_are_copied_only_if_they_must_be() {
    let rows = array![[1.0_f32, 2.0, 3.0], [4.0, 5.0, 6.0]];
    let view = AsView::<f32, 2>::as_view(&rows);
    assert_eq!(view.as_slice().as_ptr(), rows.as_ptr());
    assert_eq!(seen(rows.view()), ([2, 3], vec![1.0, 2.0, 3.0, 4.0, 5.0, 6.0]));
    assert_eq!(seen(rows.t()), ([3, 2], vec![1.0, 4.0, 2.0, 5.0, 3.0, 6.0]));
    let columns = rows.slice(ndarray::s![.., 1..]);
    assert_eq!(seen(columns), ([2, 2], vec![2.0, 3.0, 5.0, 6.0]));
    let backwards = rows.slice(ndarray::s![..;-1, ..]);
    assert_eq!(seen(backwards), ([2, 3], vec![4.0, 5.0, 6.0, 1.0, 2.0, 3.0]));
    assert_eq!(seen(Array2::<f32>::zeros((0, 3))), ([0, 3], vec![]));
}

#[test]
fn tensors_and_arrays_convert_both_ways() {
    let array = arr2(&[[1, 2], [3, 4]]);
    let tensor = Tensor::from(&array);
    assert_eq!(tensor, Tensor::from([[1, 2], [3, 4]]));
    let view = ArrayView2::from(&tensor);
    assert_eq!(view.as_ptr(), tensor.as_slice().as_ptr());
    assert_eq!(Array2::from(&tensor), array);
    assert_eq!(Tensor::from(&array.reversed_axes()), Tensor::from([[1, 3], [2, 4]]));
}
