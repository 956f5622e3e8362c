//! `einsum!` with extents that are known when it is compiled.

use crate::number::Number;
use einmesh::prelude::*;

/// Numbers that are sums of few small powers of two: their products and sums are exact.
fn numbers<const N: usize>(shape: [usize; N], seed: u64) -> Tensor<f32, N> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    Tensor::from_fn(shape, |_| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state % 17) as f32 - 8.0
    })
}

#[test]
fn a_projection() {
    let (x, w) = (numbers([2, 5, 7], 1), numbers([7, 3, 4], 2));
    let y = einsum!("b t d, d h k -> b t h k", x, w; b = 2, t = 5, d = 7, h = 3, k = 4)
        .expect("it fits");
    let expected = Tensor::from_fn([2, 5, 3, 4], |[b, t, h, k]| {
        (0..7).map(|d| x[[b, t, d]] * w[[d, h, k]]).sum::<f32>()
    });
    assert_eq!(y, expected);
}

#[test]
fn statements_with_a_bias() {
    let (x, w, bias) = (numbers([4, 6], 3), numbers([6, 5], 4), numbers([5], 5));
    let y = einsum!(y[b,o] = x[b,i] * w[i,o] + bias[o], x, w, bias; b = 4, i = 6, o = 5)
        .expect("it fits");
    let expected = Tensor::from_fn([4, 5], |[b, o]| {
        (0..6).map(|i| x[[b, i]] * w[[i, o]]).sum::<f32>() + bias[[o]]
    });
    assert_eq!(y, expected);
}

#[test]
fn strings_with_diagonals_traces_and_outer_products() {
    let (x, y) = (numbers([4, 4], 6), numbers([3], 7));
    let trace = einsum!("ii->", x; i = 4).expect("it fits");
    assert_eq!(trace, Tensor::from((0..4).map(|i| x[[i, i]]).sum::<f32>()));
    let diagonal = einsum!("ii->i", x; i = 4).expect("it fits");
    assert_eq!(diagonal, Tensor::from_fn([4], |[i]| x[[i, i]]));
    let outer = einsum!("i,j->ji", y, y; i = 3, j = 3).expect("it fits");
    assert_eq!(outer, Tensor::from_fn([3, 3], |[j, i]| y[[i]] * y[[j]]));
    let transposed = einsum!("row column -> column row", x; row = 4, column = 4).expect("it fits");
    assert_eq!(transposed, Tensor::from_fn([4, 4], |[i, j]| x[[j, i]]));
    let same = einsum!("ij->ij", x; i = 4, j = 4).expect("it fits");
    assert_eq!(same, x);
}

#[test]
fn chains_have_intermediate_values() {
    let (a, b, c) = (numbers([9, 2], 8), numbers([2, 9], 9), numbers([9, 5], 10));
    let product = einsum!("ab,bc,cd->ad", a, b, c; a = 9, b = 2, c = 9, d = 5).expect("it fits");
    let expected = Tensor::from_fn([9, 5], |[i, l]| {
        let inner = |j: usize| (0..9).map(|k| b[[j, k]] * c[[k, l]]).sum::<f32>();
        (0..2).map(|j| a[[i, j]] * inner(j)).sum::<f32>()
    });
    assert_eq!(product, expected);
}

#[test]
fn statements_with_guards_reductions_and_functions() {
    let s = numbers([5, 5], 11);
    let top = einsum!(m[t] = max[u | u <= t](s[t,u]), s; t = 5, u = 5).expect("it fits");
    let expected =
        Tensor::from_fn([5], |[t]| (0..=t).map(|u| s[[t, u]]).fold(f32::NEG_INFINITY, f32::max));
    assert_eq!(top, expected);
    // One operand, subscripted by two indices in one place.
    let gram = einsum!(g[t,u] = s[t,d] * s[u,d], s; t = 5, d = 5).expect("it fits");
    let expected =
        Tensor::from_fn([5, 5], |[t, u]| (0..5).map(|d| s[[t, d]] * s[[u, d]]).sum::<f32>());
    assert_eq!(gram, expected);
    let before =
        einsum!(y[t] = (x[t - 1] else 0.0) + x[t], x = &s.as_slice()[..5]; t = 5).expect("it fits");
    let x = &s.as_slice()[..5];
    assert_eq!(before, Tensor::from_fn([5], |[t]| if t == 0 { x[0] } else { x[t - 1] + x[t] }));
    let rows = einsum!(a[t,u] = softmax[u](s[t,u]), s; t = 5, u = 5).expect("it fits");
    for row in rows.as_slice().chunks(5) {
        assert!((row.iter().sum::<f32>() - 1.0).abs() < 1e-6, "{row:?}");
    }
    let scalar = einsum!(n = sum[t,u](s[t,u] ^ 2), s; t = 5, u = 5).expect("it fits");
    assert_eq!(scalar, Tensor::from(s.iter().map(|x| x * x).sum::<f32>()));
}

#[test]
fn all_element_types() {
    macro_rules! product {
        ($($element:ident)*) => {$(
            let x = Tensor::from_fn([3, 4], |[i, j]| number::<$element>(i + j));
            let y = Tensor::from_fn([4], |[j]| number::<$element>(j));
            let z = einsum!("i j, j -> i", x, y; i = 3, j = 4, $element).expect("it fits");
            let expected = |[i]: [usize; 1]| number::<$element>((0..4).map(|j| (i + j) * j).sum());
            assert_eq!(z, Tensor::from_fn([3], expected));
        )*};
    }
    product!(f64 bf16 f16 i64 i32);
    let x = Tensor::from_fn([4], |[i]| i % 2 == 0);
    let y = einsum!(y[i] = not x[i], x; i = 4, bool).expect("it fits");
    assert_eq!(y, Tensor::from([false, true, false, true]));
}

fn number<T: Number>(n: usize) -> T {
    T::of(n as i64)
}

#[test]
fn mixed_element_types() {
    let (table, ids) = (numbers([7, 3], 12), vec![6_i64, 0, 3]);
    let rows = einsum!(x[t,d] = table[ids[t],d], table, ids; t = 3, d = 3, table.0 = 7, ids: i64);
    let expected = Tensor::from_fn([3, 3], |[t, d]| table[[ids[t] as usize, d]]);
    assert_eq!(rows.expect("it fits"), expected);
    // An index that is out of range takes the nearest row, and never what lies beside the table.
    let outside = einsum!(x[t,d] = table[ids[t],d], table, ids = [99_i64, -7, i64::MIN];
        t = 3, d = 3, table.0 = 7, ids: i64);
    let expected = Tensor::from_fn([3, 3], |[t, d]| table[[[6, 0, 0][t], d]]);
    assert_eq!(outside.expect("it fits"), expected);
    let half = Tensor::from([bf16::from_f32(1.5), bf16::from_f32(2.0)]);
    let sum =
        einsum!(s = f32(h[i]) * x[i], h = half, x = [1.0, 10.0]; i = 2, h: bf16).expect("it fits");
    assert_eq!(sum, Tensor::from(21.5));
}

#[test]
fn operands_are_whatever_is_an_array() {
    struct Layer {
        weight: Tensor<f32, 2>,
    }
    let layer = Layer { weight: Tensor::from([[1.0, 2.0], [3.0, 4.0]]) };
    let vector = vec![1.0_f32, 10.0];
    let product = Tensor::from([21.0, 43.0]);
    assert_eq!(einsum!("ij,j->i", layer.weight, vector; i = 2, j = 2).expect("it fits"), product);
    assert_eq!(
        einsum!("ij,j->i", &&layer.weight, &vector[..]; i = 2, j = 2).expect("it fits"),
        product
    );
    let array = ndarray::arr2(&[[1.0_f32, 3.0], [2.0, 4.0]]);
    let turned = einsum!("ij,j->i", array.t(), vector; i = 2, j = 2).expect("it fits");
    assert_eq!(turned, product, "what is not row-major is copied");
    let temporary = einsum!("ij,j->i", layer.weight.map(|x| x + 1.0), vec![1.0; 2]; i = 2, j = 2);
    assert_eq!(temporary.expect("it fits"), Tensor::from([5.0, 9.0]));
    // Both operands may be the same array.
    let square =
        einsum!("ij,jk->ik", layer.weight, layer.weight; i = 2, j = 2, k = 2).expect("it fits");
    assert_eq!(square, Tensor::from([[7.0, 10.0], [15.0, 22.0]]));
}

#[test]
fn the_names_of_the_surroundings_do_not_matter() {
    // Those that the expansion uses itself.
    let (operand0, operand1) = (Tensor::from([1.0, 2.0]), Tensor::from([3.0, 4.0]));
    let product = einsum!("i,i->", operand1, operand0; i = 2).expect("it fits");
    assert_eq!(product, Tensor::from(11.0));
    fn generic<T>(_: T) -> f32 {
        einsum!("i->", [1.0, 2.0]; i = 2).expect("it fits")[[]]
    }
    assert_eq!(generic(1) + generic("x"), 6.0);
}

#[test]
fn wrong_shapes_are_errors() {
    let (x, w) = (numbers([2, 3], 1), numbers([4, 5], 2));
    let error = einsum!("i j, j k -> i k", x, w; i = 2, j = 3, k = 5).expect_err("3 is not 4");
    let text = "dimension 0 (`j`) of `w` is 4, but `j` is 3 by the macro's extents\n\
                in `einsum!(\"i j, j k -> i k\")`";
    assert_eq!(error.to_string(), text);
    assert!(matches!(error, Error::Operands(_)));
}

#[test]
fn extents_that_are_known_when_it_runs() {
    for (rows, depth, columns) in
        [(1, 1, 1), (4, 4, 4), (0, 3, 2), (3, 0, 2), (17, 31, 33), (70, 300, 65)]
    {
        let (x, w, bias) =
            (numbers([rows, depth], 1), numbers([depth, columns], 2), numbers([columns], 3));
        let at = |i: usize, k: usize| (0..depth).map(|j| x[[i, j]] * w[[j, k]]).sum::<f32>();
        let product = einsum!("i j, j k -> i k", x, w).expect("it fits");
        assert_eq!(product, Tensor::from_fn([rows, columns], |[i, k]| at(i, k)));
        let affine = einsum!(y[i,k] = x[i,j] * w[j,k] + bias[k], x, w, bias).expect("it fits");
        assert_eq!(affine, Tensor::from_fn([rows, columns], |[i, k]| at(i, k) + bias[[k]]));
        let sums = einsum!("i j -> i", x).expect("it fits");
        assert_eq!(sums, Tensor::from_fn([rows], |[i]| (0..depth).map(|j| x[[i, j]]).sum::<f32>()));
    }
}

#[test]
fn chains_with_open_extents_are_right_whichever_end_is_first() {
    for [t, d, r, f] in
        [[5, 40, 2, 33], [2, 40, 30, 33], [33, 2, 30, 1], [0, 3, 3, 3], [3, 3, 0, 3]]
    {
        let (x, a, b) = (numbers([t, d], 31), numbers([d, r], 32), numbers([r, f], 33));
        let y = einsum!("t d, d r, r f -> t f", x, a, b).expect("it fits");
        let low =
            Tensor::from_fn([t, r], |[t, r]| (0..d).map(|d| x[[t, d]] * a[[d, r]]).sum::<f32>());
        let expected =
            Tensor::from_fn([t, f], |[t, f]| (0..r).map(|r| low[[t, r]] * b[[r, f]]).sum::<f32>());
        assert_eq!(y, expected);
    }
}

#[test]
fn some_extents_are_known_and_others_not() {
    for rows in [0, 1, 5, 64] {
        let (x, w) = (numbers([rows, 6], 4), numbers([6, 5], 5));
        let product = einsum!("i j, j k -> i k", x, w; j = 6, k = 5).expect("it fits");
        let at = |[i, k]: [usize; 2]| (0..6).map(|j| x[[i, j]] * w[[j, k]]).sum::<f32>();
        assert_eq!(product, Tensor::from_fn([rows, 5], at));
    }
}

#[test]
fn open_extents_must_agree() {
    let (x, w) = (numbers([2, 3], 1), numbers([4, 5], 2));
    let error = einsum!("i j, j k -> i k", x, w).expect_err("3 is not 4");
    let text =
        "dimension 0 (`j`) of `w` is 4, but `j` is 3 in `x`\nin `einsum!(\"i j, j k -> i k\")`";
    assert_eq!(error.to_string(), text);
    // Operands without elements, whose result no memory has.
    let wide = Tensor::<f32, 2>::zeros([i32::MAX as usize, 0]);
    let high = Tensor::<f32, 2>::zeros([0, i32::MAX as usize]);
    let error = einsum!("i j, j k -> i k", wide, high).expect_err("it is too large");
    assert!(matches!(error, Error::TooLarge { .. }), "{error}");
}

#[test]
fn guards_functions_and_gathers_with_open_extents() {
    for n in [1, 2, 7, 40] {
        let s = numbers([n, n], 11);
        let top = einsum!(m[t] = max[u | u <= t](s[t,u]), s).expect("it fits");
        let at = |[t]: [usize; 1]| (0..=t).map(|u| s[[t, u]]).fold(f32::NEG_INFINITY, f32::max);
        assert_eq!(top, Tensor::from_fn([n], at));
        let rows = einsum!(a[t,u] = softmax[u](s[t,u]), s).expect("it fits");
        for row in rows.as_slice().chunks(n) {
            assert!((row.iter().sum::<f32>() - 1.0).abs() < 1e-5, "{row:?}");
        }
        let gram = einsum!(g[t,u] = s[t,d] * s[u,d], s).expect("it fits");
        let at = |[t, u]: [usize; 2]| (0..n).map(|d| s[[t, d]] * s[[u, d]]).sum::<f32>();
        assert_eq!(gram, Tensor::from_fn([n, n], at));
        let trace = einsum!("ii->", s).expect("it fits");
        assert_eq!(trace, Tensor::from((0..n).map(|i| s[[i, i]]).sum::<f32>()));
        let ids: Vec<i32> = (0..n as i32).rev().collect();
        let turned = einsum!(y[t,d] = s[ids[t],d], s, ids).expect("it fits");
        assert_eq!(turned, Tensor::from_fn([n, n], |[t, d]| s[[n - 1 - t, d]]));
        let chain = einsum!("ab,bc,cd->ad", s, s, s).expect("it fits");
        let twice = |a: usize, c: usize| (0..n).map(|b| s[[a, b]] * s[[b, c]]).sum::<f32>();
        let at = |[a, d]: [usize; 2]| (0..n).map(|c| twice(a, c) * s[[c, d]]).sum::<f32>();
        assert_eq!(chain, Tensor::from_fn([n, n], at));
    }
}
