//! Every example runs.

#[path = "attention.rs"]
mod attention;
#[path = "gpt2.rs"]
mod gpt2;
#[path = "matmul.rs"]
mod matmul;
#[path = "perceptron.rs"]
mod perceptron;

use einmesh::prelude::*;

#[test]
fn the_perceptron_learns() {
    let right = perceptron::learn().unwrap();
    assert!(right > 0.9, "{right} of the points are on the right arm");
}

#[test]
fn a_mesh_writes_the_same_logits() {
    let [one, pod] = gpt2::logits().unwrap();
    assert_eq!(one.shape(), [gpt2::gpt::B, gpt2::gpt::T, gpt2::gpt::V]);
    let far = one.iter().zip(&pod).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    // Sums of 64 products in another order, through two layers, of logits below one.
    assert!(far < 1e-4, "{far}");
    assert!(one.iter().any(|x| x.abs() > 1e-3), "the weights were loaded");
}

#[test]
fn products_with_known_and_open_extents_are_alike() {
    // Numbers whose products and sums are exact.
    let x = Tensor::from_fn([256, 256], |[i, j]| ((3 * i + j) % 7) as f32 - 3.0);
    let y = Tensor::from_fn([256, 256], |[i, j]| ((i + 2 * j) % 5) as f32 - 2.0);
    let [known, open] = matmul::products(&x, &y).unwrap();
    let at = |[i, k]: [usize; 2]| (0..256).map(|j| x[[i, j]] * y[[j, k]]).sum::<f32>();
    assert_eq!(known, Tensor::from_fn([256, 256], at));
    assert_eq!(known, open);
}

#[test]
fn attention_looks_back_only() {
    let number = |[b, t, h, k]: [usize; 4]| ((7 * b + 5 * t + 3 * h + k) % 11) as f32 / 11.0;
    let x = Tensor::from_fn([2, 7, 3, 5], number);
    let out = attention::attention(&x, &x, &x).unwrap();
    for b in 0..2 {
        for h in 0..3 {
            for t in 0..7 {
                let dot = |u: usize| (0..5).map(|k| x[[b, t, h, k]] * x[[b, u, h, k]]).sum::<f32>();
                let weights: Vec<f32> = (0..=t).map(|u| (dot(u) * 5f32.powf(-0.5)).exp()).collect();
                let total: f32 = weights.iter().sum();
                for k in 0..5 {
                    let expected =
                        (0..=t).map(|u| weights[u] * x[[b, u, h, k]]).sum::<f32>() / total;
                    let got = out[[b, t, h, k]];
                    // Weights are from 0 to 1, and so are the numbers: a few roundings of them.
                    assert!((got - expected).abs() < 1e-5, "{got} is not {expected}");
                }
            }
        }
    }
}
