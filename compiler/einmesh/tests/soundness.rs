//! What safe code can do to `einsum!`: operands of any shape and anywhere in memory, one as several, positions out of range.
//!
//! Operands lie right beside pages that cannot be touched, in pages that cannot be written ([`fenced`]): code that looks beside
//! an operand, or writes to one, ends the test. That is done with code for every CPU level that this machine has.

mod fenced;

use crate::number::Number;
use einmesh::prelude::*;
use einmesh::{Element, bf16, f16};
use fenced::{Fenced, Side};
use ndarray::ArrayView2;
use std::process::Command;

/// Small numbers, as many as a matrix has.
fn numbers(rows: usize, columns: usize) -> Vec<i64> {
    (0..rows * columns).map(|n| (n as i64 * 7 + n as i64 / 5) % 5 - 2).collect()
}

/// The same elements at either side of the memory they lie in, as matrices.
fn places<T: Number>(rows: usize, columns: usize) -> [Fenced<T>; 2] {
    let elements: Vec<T> = numbers(rows, columns).into_iter().map(T::of).collect();
    [Side::Before, Side::Behind].map(|side| Fenced::new(&elements, side))
}

/// A view of fenced elements where they lie.
fn matrix<T: Element>(elements: &[T], rows: usize, columns: usize) -> ArrayView2<'_, T> {
    let view = ArrayView2::from_shape((rows, columns), elements).expect("there are as many");
    assert_eq!(view.as_ptr(), elements.as_ptr());
    view
}

/// Einsums of one `x[i,j]` and one `w[j,k]` on both sides of their memory, beside what they are.
///
/// The brackets hold what is said of extents: nothing, or numbers.
macro_rules! einsums {
    ($i:tt, $j:tt, $k:tt, [$($ij:tt)*] [$($jk:tt)*] [$($ijk:tt)*] [$($rows:tt)*]) => {{
        let (i, j, k): (usize, usize, usize) = ($i, $j, $k);
        let (x, w) = (numbers(i, j), numbers(j, k));
        let at_x = |a: usize, b: usize| x[a * j + b];
        let at_w = |b: usize, c: usize| w[b * k + c];
        let ids: Vec<i32> = (0..i as i32).map(|n| if n % 3 == 2 { i32::MIN + n } else { 2 * n }).collect();
        let (xs, ws) = (places::<f32>(i, j), places::<f32>(j, k));
        let all_ids = [Side::Before, Side::Behind].map(|side| Fenced::new(&ids, side));
        for ((x, w), id) in xs.iter().zip(&ws).zip(&all_ids) {
            let (x, w, id) = (matrix(x, i, j), matrix(w, j, k), &id[..]);
            let product = einsum!("i j, j k -> i k", x, w $($ijk)*).expect("it fits");
            let dot = |[a, c]: [usize; 2]| (0..j).map(|b| at_x(a, b) * at_w(b, c)).sum::<i64>() as f32;
            assert_eq!(product, Tensor::from_fn([i, k], dot));
            let rows = einsum!("i j -> i", x $($ij)*).expect("it fits");
            assert_eq!(rows, Tensor::from_fn([i], |[a]| (0..j).map(|b| at_x(a, b)).sum::<i64>() as f32));
            let columns = einsum!("i j -> j", x $($ij)*).expect("it fits");
            assert_eq!(columns, Tensor::from_fn([j], |[b]| (0..i).map(|a| at_x(a, b)).sum::<i64>() as f32));
            let turned = einsum!("j k -> k j", w $($jk)*).expect("it fits");
            assert_eq!(turned, Tensor::from_fn([k, j], |[c, b]| at_w(b, c) as f32));
            // Both factors are one array.
            let gram = einsum!("j k, j l -> k l", w, w).expect("it fits");
            let dot = |[c, d]: [usize; 2]| (0..j).map(|b| at_w(b, c) * at_w(b, d)).sum::<i64>() as f32;
            assert_eq!(gram, Tensor::from_fn([k, k], dot));
            let guarded = einsum!(y[i] = max[j | j <= i](x[i,j]), x $($ij)*).expect("it fits");
            let top = |[a]: [usize; 1]| (0..j.min(a + 1)).map(|b| at_x(a, b) as f32).fold(f32::NEG_INFINITY, f32::max);
            assert_eq!(guarded, Tensor::from_fn([i], top));
            let beside = einsum!(y[i,j] = (x[i - 1,j] else 0) + (x[i,j + 2] else 0), x $($ij)*);
            let sum = |[a, b]: [usize; 2]| {
                let above = if a > 0 { at_x(a - 1, b) } else { 0 };
                (above + if b + 2 < j { at_x(a, b + 2) } else { 0 }) as f32
            };
            assert_eq!(beside.expect("it fits"), Tensor::from_fn([i, j], sum));
            let taken = einsum!(y[i,k] = w[id[i],k], w, id $($rows)*);
            let near = |[a, c]: [usize; 2]| at_w((ids[a].max(0) as usize).min(j - 1), c) as f32;
            assert_eq!(taken.expect("it fits"), Tensor::from_fn([i, k], near));
            let weights = einsum!(a[i,j] = softmax[j](x[i,j]), x $($ij)*).expect("it fits");
            assert!(weights.rows().all(|row| (row.iter().sum::<f32>() - 1.0).abs() < 1e-5));
        }
    }};
}

/// All of [`einsums`] with these numbers compiled in.
macro_rules! known {
    ($($i:literal $j:literal $k:literal),*) => {$(
        einsums!($i, $j, $k, [; i = $i, j = $j] [; j = $j, k = $k] [; i = $i, j = $j, k = $k]
            [; i = $i, k = $k, w.0 = $j]);
    )*};
}

#[test]
fn known_extents_stay_within_operands() {
    known!(1 1 1, 3 7 17, 33 17 1, 7 33 3);
}

#[test]
fn open_extents_stay_within_operands() {
    const SIZES: [usize; 5] = [1, 3, 7, 17, 33];
    for i in SIZES {
        for j in SIZES {
            for k in SIZES {
                einsums!(i, j, k, [] [] [] []);
            }
        }
    }
}

#[test]
fn threads_stay_within_operands() {
    // Products of so much are shared among threads.
    for (i, j, k) in [(97, 83, 71), (3, 517, 389)] {
        let (xs, ws) = (places::<f32>(i, j), places::<f32>(j, k));
        for (x, w) in xs.iter().zip(&ws) {
            let (x, w) = (matrix(x, i, j), matrix(w, j, k));
            let product = einsum!("i j, j k -> i k", x, w).expect("it fits");
            let dot = |[a, c]: [usize; 2]| (0..j).map(|b| x[[a, b]] * w[[b, c]]).sum::<f32>();
            assert_eq!(product, Tensor::from_fn([i, k], dot));
        }
    }
}

#[test]
fn all_element_types_stay_within_operands() {
    macro_rules! types {
        ($($element:ident)*) => {$(
            for (i, j, k) in [(1, 3, 7), (17, 33, 1), (3, 17, 33), (7, 7, 7), (5, 13, 7)] {
                let (x, w) = (numbers(i, j), numbers(j, k));
                let dot = |[a, c]: [usize; 2]| (0..j).map(|b| x[a * j + b] * w[b * k + c]).sum();
                let expected = Tensor::from_fn([i, k], |at| <$element>::of(dot(at)));
                let twice = Tensor::from_fn([j, i], |[b, a]| <$element>::of(2 * x[a * j + b]));
                for (x, w) in places::<$element>(i, j).iter().zip(&places(j, k)) {
                    let (x, w) = (matrix(x, i, j), matrix(w, j, k));
                    let open = einsum!("i j, j k -> i k", x, w; $element).expect("it fits");
                    assert_eq!(open, expected);
                    let sum = einsum!(y[j,i] = x[i,j] + x[i,j], x; $element).expect("it fits");
                    assert_eq!(sum, twice);
                    if (i, j, k) == (5, 13, 7) {
                        let known = einsum!("i j, j k -> i k", x, w; i = 5, j = 13, k = 7, $element);
                        assert_eq!(known.expect("it fits"), expected);
                    }
                }
            }
        )*};
    }
    types!(f32 f64 bf16 f16 i64 i32);
    for count in [1, 3, 7, 17, 33, 65] {
        for x in places::<bool>(1, count) {
            let expected = x.iter().map(|x| !x).collect::<Vec<bool>>();
            assert_eq!(
                einsum!(y[i] = not x[i], x = x[..]; bool).expect("it fits"),
                Tensor::from(expected)
            );
        }
    }
}

/// Each level in a process of its own: a process keeps the one that it has chosen.
#[test]
fn all_levels_stay_within_operands() {
    let program = std::env::current_exe().expect("this is a program");
    let lower = einmesh_artifact::LEVELS.iter().skip(1);
    for level in lower {
        let mut command = Command::new(&program);
        command.args(["stay_within_operands", "--skip=all_levels"]).env("EINMESH_CPU", level);
        let output = command.output().expect("it runs");
        let said = String::from_utf8_lossy(&output.stdout);
        let said = format!("{said}{}", String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "{level}: {}\n{said}", output.status);
        assert!(said.contains("test result: ok. 4 passed"), "{level}: {said}");
    }
}

/// At most addresses of an element, no vector would lie.
#[test]
fn operands_may_lie_anywhere() {
    let elements: Vec<i64> = numbers(1, 200);
    macro_rules! types {
        ($($element:ident)*) => {$(
            let all: Vec<$element> = elements.iter().map(|n| <$element>::of(*n)).collect();
            for first in 0..64 {
                let (x, w) = (matrix(&all[first..first + 51], 17, 3), matrix(&all[first + 1..first + 40], 3, 13));
                let (i, j, k) = (17, 3, 13);
                let dot = |[a, c]: [usize; 2]| {
                    let terms = (0..j).map(|b| elements[first + a * j + b] * elements[first + 1 + b * k + c]);
                    <$element>::of(terms.sum())
                };
                let expected = Tensor::from_fn([i, k], dot);
                assert_eq!(einsum!("i j, j k -> i k", x, w; $element).expect("it fits"), expected);
                let known = einsum!("i j, j k -> i k", x, w; i = 17, j = 3, k = 13, $element);
                assert_eq!(known.expect("it fits"), expected);
            }
        )*};
    }
    types!(f32 f64 bf16 f16 i64 i32);
}

#[test]
fn one_array_may_be_several_operands() {
    let all: Vec<f32> = numbers(1, 60).into_iter().map(|n| n as f32).collect();
    // Overlapping parts of one array, and one array as all.
    let (x, y) = (matrix(&all[..42], 7, 6), matrix(&all[5..47], 6, 7));
    let dot = |[i, k]: [usize; 2]| (0..6).map(|j| x[[i, j]] * y[[j, k]]).sum::<f32>();
    assert_eq!(einsum!("i j, j k -> i k", x, y).expect("it fits"), Tensor::from_fn([7, 7], dot));
    let square = matrix(&all[..36], 6, 6);
    let cube = einsum!("a b, b c, c d -> a d", square, square, &&square).expect("it fits");
    let twice = |a: usize, c: usize| (0..6).map(|b| square[[a, b]] * square[[b, c]]).sum::<f32>();
    let at = |[a, d]: [usize; 2]| (0..6).map(|c| twice(a, c) * square[[c, d]]).sum::<f32>();
    assert_eq!(cube, Tensor::from_fn([6, 6], at));
    // The result is new memory, whatever it replaces.
    let mut own = Tensor::from_slice([6, 6], &all[..36]).expect("there are 36");
    let kept = own.clone();
    own = einsum!("i j -> j i", own).expect("it fits");
    assert_eq!(own, Tensor::from_fn([6, 6], |[j, i]| kept[[i, j]]));
}

#[test]
fn nothing_is_read_of_operands_without_elements() {
    for side in [Side::Before, Side::Behind] {
        let none = Fenced::<f32>::new(&[], side);
        for n in [1, 5, 64, 257] {
            let (tall, wide) = (matrix(&none, n, 0), matrix(&none, 0, n));
            let sums = einsum!("i j, j k -> i k", tall, wide).expect("it fits");
            assert_eq!(sums, Tensor::zeros([n, n]));
            assert_eq!(einsum!("i j -> j", tall).expect("it fits").shape(), [0]);
            assert_eq!(einsum!("i j ->", wide).expect("it fits"), Tensor::from(0.0));
            let least = einsum!(m[i] = min[j](x[i,j]), x = tall).expect("it fits");
            assert_eq!(least, Tensor::full([n], f32::INFINITY));
            let turned = einsum!("i j -> j i", tall).expect("it fits");
            assert_eq!(turned.shape(), [0, n]);
            // No position lies in a table without rows.
            let ids: Vec<i32> = (0..n as i32).collect();
            let rows = einsum!(y[i,k] = w[id[i],k], w = wide, id = ids).expect("it fits");
            assert_eq!(rows, Tensor::zeros([n, n]));
            let sums = einsum!(y[k] = sum[i](w[id[i],k]), w = wide, id = ids).expect("it fits");
            assert_eq!(sums, Tensor::zeros([n]));
            let row = einsum!(y[k] = w[id,k], w = wide, id = 3).expect("it fits");
            assert_eq!(row, Tensor::zeros([n]));
        }
    }
}

#[test]
fn results_that_no_memory_has_are_errors() {
    let most = i32::MAX as usize;
    let tall = Tensor::<f32, 2>::zeros([most, 0]);
    // Positions are counted in 32 bits, and 2⁶⁴ bytes are no size; 2⁶³ less some are one, but who has them?
    for (n, expected) in [
        (1 << 32, "k of"),
        (most, "a tensor of shape [2147483647, 2147483647] does not fit into memory"),
        (1 << 30, "a tensor of shape [2147483647, 1073741824] does not fit into memory"),
    ] {
        let wide = Tensor::<f32, 2>::zeros([0, n]);
        let error =
            einsum!("i j, j k -> i k", tall, wide).expect_err("it is too large").to_string();
        assert!(error.starts_with(expected), "{n}: {error}");
    }
    // An intermediate value as large.
    let wide = Tensor::<f32, 2>::zeros([0, 1 << 30]);
    let error = einsum!(y[i] = max[k](sum[j](x[i,j] * w[j,k])), x = tall, w = wide);
    let error = error.expect_err("it is too large").to_string();
    assert!(error.starts_with("an intermediate value of"), "{error}");
    // What has no elements fits.
    assert_eq!(einsum!("i j ->", tall).expect("it fits"), Tensor::from(0.0));
}

#[test]
fn wrong_shapes_are_errors_whatever_lies_behind() {
    let elements = numbers(7, 5).into_iter().map(|n| n as f32).collect::<Vec<f32>>();
    let fenced = Fenced::new(&elements, Side::Behind);
    let x = matrix(&fenced, 7, 5);
    for (rows, columns) in [(5, 7), (1, 35), (35, 1)] {
        let w = matrix(&fenced, rows, columns);
        let fits = einsum!("i j, j k -> i k", x, w).is_ok();
        assert_eq!(fits, rows == 5);
        assert!(einsum!("i j, i j -> i j", x, w).is_err());
        assert!(einsum!("i j, j k -> i k", x, w; i = 7, j = 5, k = 6).is_err());
        assert!(einsum!("i i -> i", w).is_err());
    }
}

#[test]
fn integers_without_a_quotient_end_nothing() {
    macro_rules! types {
        ($($element:ident)*) => {$(
            let (x, y) = ([$element::MIN, 7, -7, 0, 7], [-1, 0, 0, 0, -2]);
            let down = einsum!(z[i] = div(x[i], y[i]), x, y; $element).expect("it fits");
            assert_eq!(down, Tensor::from([$element::MIN, 0, 0, 0, -4]));
            let rest = einsum!(z[i] = x[i] % y[i], x, y; i = 5, $element).expect("it fits");
            assert_eq!(rest, Tensor::from([0, 0, 0, 0, -1]));
            let near = einsum!(z[i] = $element(x[i]), x = [f32::NAN, 1e30, f32::NEG_INFINITY]; z: $element);
            assert_eq!(near.expect("it fits"), Tensor::from([0, $element::MAX, $element::MIN]));
        )*};
    }
    types!(i32 i64);
}
