//! The facade from outside, as a user's crate sees it.

mod einsum;
mod program;
mod tensor;
mod ui;
mod view;
