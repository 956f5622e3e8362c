//! The model files' companions: reproducible weights and batches, and summaries to compare results by.
//!
//! The models are the `.ein` files beside this crate; the standard library is in `std/`. Here is what
//! examples, tests and benchmarks need to run them without downloading anything: tensors that are a
//! pure function of their names ([`generator`]), those of GPT-2, LLaMA and BERT in the Hugging Face
//! layout ([`gpt2`], [`llama`], [`bert`]).

pub mod bert;
pub mod checksum;
pub mod generator;
pub mod gpt2;
pub mod llama;
pub mod tensor;
pub mod weights;

pub use checksum::Checksum;
pub use tensor::{Data, Tensor, read, write};
