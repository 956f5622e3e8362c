//! Tensors: shapes, sharing, text, files.

use einmesh::{AnyTensor, Error, SafeTensors, Tensor, bf16, save};
use std::fs;
use std::path::PathBuf;

#[test]
fn positions_are_row_major() {
    let x = Tensor::<i32, 3>::from_fn([2, 3, 4], |[i, j, k]| (100 * i + 10 * j + k) as i32);
    assert_eq!(x.as_slice()[0..5], [0, 1, 2, 3, 10]);
    assert_eq!(x[[1, 2, 3]], 123);
    assert_eq!(x.get([1, 2, 4]), None);
    assert_eq!(x.get([2, 0, 0]), None);
    assert_eq!(x.rows().count(), 6);
    assert_eq!(x.as_slice().as_ptr() as usize % 64, 0);
    assert_eq!(x.map(|n| n as f32 / 2.0)[[1, 0, 1]], 50.5);
}

#[test]
#[should_panic(expected = "the position [0, 3] is outside of the shape [2, 3]")]
fn a_position_outside_is_refused() {
    let _ = Tensor::<f32, 2>::zeros([2, 3])[[0, 3]];
}

#[test]
fn clones_share_until_one_is_written() {
    let first = Tensor::from([1.0_f32, 2.0]);
    let mut second = first.clone();
    assert_eq!(first.as_slice().as_ptr(), second.as_slice().as_ptr());
    assert_eq!(first.known_as(), second.known_as());
    second[[0]] = 9.0;
    assert_eq!((first[[0]], second[[0]]), (1.0, 9.0));
    assert_ne!(first.known_as(), second.known_as());
    let known = second.known_as();
    let reshaped = second.reshape([2, 1]).unwrap();
    assert_eq!(reshaped.known_as(), known);
    second.as_mut_slice()[1] = 3.0;
    assert_ne!(second.known_as(), known);
    assert_eq!(reshaped, Tensor::from([[9.0], [2.0]]));
}

#[test]
fn shapes_may_be_empty_or_without_dims() {
    let empty = Tensor::<f32, 2>::zeros([3, 0]);
    assert_eq!((empty.len(), empty.is_empty(), empty.rows().count()), (0, true, 0));
    assert_eq!(empty.to_string(), "[[], [], []]");
    assert_eq!(Tensor::<f32, 1>::from(vec![]), Tensor::default());
    let mut number = Tensor::from(2.5_f64);
    number[[]] += 1.0;
    assert_eq!((number.item(), number.to_string()), (3.5, "3.5".to_owned()));
    assert_eq!(empty.reshape([0, 7]).unwrap().shape(), [0, 7]);
}

#[test]
fn shapes_beyond_memory_are_errors() {
    let huge = [usize::MAX, 2];
    assert!(matches!(Tensor::from_vec(huge, vec![0_i64]), Err(Error::TooLarge { .. })));
    // Offsets would overflow though there are no elements.
    let hidden = Tensor::<f32, 3>::from_vec([usize::MAX, 0, 8], vec![]);
    let expected = "a tensor of shape [18446744073709551615, 0, 8] does not fit into memory";
    assert_eq!(hidden.unwrap_err().to_string(), expected);
    let few = Tensor::from_vec([2, 2], vec![1, 2, 3]).unwrap_err();
    assert_eq!(few.to_string(), "the shape [2, 2] has 4 elements, but 3 are given");
}

#[test]
fn long_dims_are_cut_in_text() {
    let x = Tensor::from_fn([9], |[i]| i as f32 / 2.0);
    assert_eq!(x.to_string(), "[0, 0.5, 1, …, 3, 3.5, 4]");
    assert_eq!(format!("{x:.1}"), "[0.0, 0.5, 1.0, …, 3.0, 3.5, 4.0]");
    assert_eq!(format!("{:?}", Tensor::from([true, false])), "bool[2] [true, false]");
}

fn temporary(name: &str) -> PathBuf {
    std::env::temp_dir().join(format!("einmesh-facade-{}-{name}", std::process::id()))
}

#[test]
fn files_give_back_what_was_saved() {
    let path = temporary("all.safetensors");
    let half = Tensor::from([bf16::from_f32(1.5), bf16::from_f32(-2.0)]);
    let truth = Tensor::from([[true], [false]]);
    let number = Tensor::from(7_i64);
    save(&path, &[("half", &half), ("truth", &truth), ("number", &number)]).unwrap();
    let file = SafeTensors::open(&path).unwrap();
    assert_eq!(file.names().collect::<Vec<_>>(), ["half", "number", "truth"]);
    assert_eq!(file.get::<bf16, 1>("half").unwrap(), half);
    assert_eq!(file.get::<f32, 1>("half").unwrap(), Tensor::from([1.5, -2.0]));
    assert_eq!(file.get::<bool, 2>("truth").unwrap(), truth);
    assert_eq!(file.get::<i32, 0>("number").unwrap().item(), 7);
    assert_eq!(file.shape("truth"), Some(vec![2, 1]));
    let messages = [
        (file.get::<f32, 0>("number").unwrap_err(), "i64 elements cannot become f32"),
        (file.get::<bf16, 2>("half").unwrap_err(), "has the shape [2], but 2 dims are expected"),
        (file.get::<bf16, 1>("hlaf").unwrap_err(), "there is no tensor `hlaf`"),
    ];
    for (error, expected) in messages {
        assert!(error.to_string().contains(expected), "{error}");
    }
    fs::remove_file(path).unwrap();
}

#[test]
fn bytes_that_are_no_truth_values_are_refused() {
    let path = temporary("bool.safetensors");
    save(&path, &[("t", &Tensor::from([true, true]))]).unwrap();
    let mut bytes = fs::read(&path).unwrap();
    *bytes.last_mut().unwrap() = 2;
    fs::write(&path, bytes).unwrap();
    let error = SafeTensors::open(&path).unwrap().get::<bool, 1>("t").unwrap_err();
    assert!(error.to_string().contains("the byte 2 is not a bool"), "{error}");
    fs::remove_file(path).unwrap();
}

#[test]
fn a_name_is_saved_once() {
    let x = Tensor::from([1.0_f32]);
    let error = save(temporary("twice.safetensors"), &[("x", &x), ("x", &x)]).unwrap_err();
    assert!(error.to_string().contains("two tensors have the name `x`"), "{error}");
}
