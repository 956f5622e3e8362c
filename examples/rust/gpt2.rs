//! GPT-2 from Rust, on one device and on a mesh of four: a small one, with reproducible weights.

use einmesh::prelude::*;
use einmesh_models::gpt2::{Config, weights};

program! {
    /// On one device.
    pub mod gpt = "../../models/gpt2.ein";
    dims { B = 2, T = 16, L = 2, D = 64, H = 4, V = 256, P = 32 };
    entries = [forward];
    mesh {};
}

program! {
    mod pod = "../../models/gpt2.ein";
    dims { B = 2, T = 16, L = 2, D = 64, H = 4, V = 256, P = 32 };
    entries = [forward];
    mesh { data: 2, tensor: 2 };
    plan = parallel;
}

/// The logits of some text: of one device and of the mesh.
pub fn logits() -> Result<[Tensor<f32, 3>; 2], Box<dyn std::error::Error>> {
    let path =
        std::env::temp_dir().join(format!("einmesh-gpt2-{}.safetensors", std::process::id()));
    let config = Config { L: 2, D: gpt::D, H: 4, P: gpt::P, V: gpt::V, F: 4 * gpt::D };
    einmesh_models::write(&path, &weights(&config))?;
    let (params, split) = (gpt::Params::load(&path)?, pod::Params::load(&path)?);
    std::fs::remove_file(path)?;

    let text = b"Einsums with named dims, compiled";
    let tokens = Tensor::from_fn([gpt::B, gpt::T], |[b, t]| i32::from(text[gpt::T * b + t]));
    Ok([gpt::forward(&params, &tokens)?, pod::forward(&split, &tokens)?])
}

#[allow(dead_code)]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    let [one, mesh] = logits()?;
    println!("one device:    {one:.4}");
    println!("{}: {mesh:.4}", pod::MESH);
    Ok(())
}
