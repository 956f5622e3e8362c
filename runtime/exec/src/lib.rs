//! The runtime: loads artifacts and runs them on virtual CPU devices.
//!
//! A [`Module`] is an artifact's code, mapped and ready to call. A [`Session`] gives each device of
//! the module's mesh its memory, takes whole tensors in ([`Session::bind`]), runs the steps
//! ([`Session::run`]) and gives whole tensors back ([`Session::output`]).
//!
//! Invariants:
//! * results are bitwise equal for any number of threads: tiles are independent, and every
//!   reduction of a collective combines its members in the group's order;
//! * a panic or an endless kernel ends as an error that names the step and the rank, never as a hang,
//!   and the session refuses to run afterwards;
//! * files from outside (artifacts, safetensors, npy) are checked before anything in them is believed.
//!
//! What this crate must not know: the compiler. `README.md` describes the execution protocol and why
//! devices run in lock-step.

mod collective;
#[cfg(feature = "command")]
pub mod command;
mod cpu;
pub mod embedded;
mod error;
mod memory;
mod module;
mod session;
pub mod tensors;

pub use cpu::{best as cpu_level, runs as cpu_runs};
pub use error::RunError;
pub use module::{Module, TileFn};
pub use session::{Options, Results, Session, StepTime};
