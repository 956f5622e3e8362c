//! A program whose model is compiled by its build script.

#[allow(dead_code)]
mod mlp {
    include!(concat!(env!("OUT_DIR"), "/mlp.rs"));
}

/// The logits of parameters that say what they are.
fn logits() -> Result<einmesh::Tensor<f32, 2>, einmesh::Error> {
    let mut params = mlp::Params::zeros();
    params.fc2.bias = [0.5, 1.5, 2.5].into();
    mlp::forward(&params, [[1.0; mlp::D]; mlp::B])
}

fn main() -> Result<(), einmesh::Error> {
    println!("{}", logits()?);
    Ok(())
}

#[test]
fn the_model_runs() {
    assert_eq!(logits().unwrap().to_string(), "[[0.5, 1.5, 2.5], [0.5, 1.5, 2.5]]");
}
