//! The facade from outside, as a user's crate sees it.

mod tensor;
mod view;
