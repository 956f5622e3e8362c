//! The model files' companions: reproducible weights and batches, and summaries to compare results by.
//!
//! The models are the `.ein` files beside this crate; the standard library is in `std/`. Here is what
//! examples, tests and benchmarks need to run them without downloading anything: tensors that are a
//! pure function of their names ([`generator`]), GPT-2's in the Hugging Face layout ([`gpt2`]).

pub mod checksum;
pub mod generator;
pub mod gpt2;
pub mod tensor;

pub use checksum::Checksum;
pub use tensor::{Data, Tensor, read, write};
