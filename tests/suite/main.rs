//! The integration tests that need the whole compiler, in one binary: it links LLVM.
//!
//! `EINMESH_FUZZ=N` sets the number of random programs (default 2,000).

mod attention;
mod attention_gradient;
mod bert;
mod bf16;
mod cli;
mod compiled;
mod control;
mod decode;
mod dropout;
mod einsum;
mod fuzz;
mod gpt2;
mod layering;
mod llama;
mod model;
mod optimizers;
mod passes;
mod sampling;
mod train;
mod train_meshes;
