//! Every example runs.

#[path = "gpt2.rs"]
mod gpt2;
#[path = "perceptron.rs"]
mod perceptron;

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
