//! The tests of code generation, in one binary: it links LLVM, which weighs 200 MB.
//!
//! Kernels are compiled, loaded, and run between guard pages, and compared with a plain evaluator.

mod common;
mod contraction;
mod emission;
mod exhaustive;
mod image;
mod math;
mod nest;
mod online;
mod pairs;
mod panels;
mod random;
mod semantics;
mod siblings;
mod special;
mod sweep;
mod symbolic;
mod tuning;
