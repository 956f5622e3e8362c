//! `einsum!` with extents that are known when it is compiled.

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
