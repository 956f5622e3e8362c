//! The facade from outside, as a user's crate sees it.

mod einsum;
mod outside;
mod program;
mod soundness;
mod tensor;
mod ui;
mod view;
