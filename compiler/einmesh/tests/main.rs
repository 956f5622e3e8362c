//! The facade from outside, as a user's crate sees it.

mod builds;
mod einsum;
mod number;
mod outside;
mod program;
mod rustc;
mod soundness;
mod tensor;
mod ui;
mod view;
