//! Trains a perceptron: which of four arms of a spiral is a point on?

use einmesh::prelude::*;

program! {
    mod perceptron = "perceptron.ein";
}

/// A point on an arm, some way along it.
fn point(arm: usize, along: f32) -> [f32; 2] {
    let angle = 1.57 * arm as f32 + 3.0 * along;
    [2.0 * along * angle.cos(), 2.0 * along * angle.sin()]
}

/// Trains, and gives the part of the points that it puts on the right arm.
pub fn learn() -> Result<f32, Error> {
    let each = perceptron::B / perceptron::C;
    let along = |b: usize| 0.1 + 0.9 * (b % each) as f32 / each as f32;
    let x = Tensor::from_fn([perceptron::B, 2], |[b, d]| point(b / each, along(b))[d]);
    let labels: Tensor<i32, 1> = (0..perceptron::B).map(|b| (b / each) as i32).collect();

    let mut params = perceptron::begin(Key(1))?;
    for step in 0..=1000 {
        let loss = perceptron::step(&mut params, &x, &labels, 0.2)?;
        if step % 250 == 0 {
            println!("step {step:4}  loss {loss:.4}");
        }
    }
    let logits = perceptron::forward(&params, &x)?;
    let likeliest = |row: &[f32]| (0..row.len()).max_by(|a, b| row[*a].total_cmp(&row[*b]));
    let right = logits.rows().zip(&labels).filter(|(row, l)| likeliest(row) == Some(**l as usize));
    Ok(right.count() as f32 / perceptron::B as f32)
}

#[allow(dead_code)]
fn main() -> Result<(), Error> {
    println!("{:.0} % of the points are on the right arm", 100.0 * learn()?);
    Ok(())
}
