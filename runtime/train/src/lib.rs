//! Training runs: what goes on around a compiled step.
//!
//! A [`Dataset`] gives batches of tokens by their number alone, so that a run can go on from anywhere.
//! A [`Trainer`] holds the compiled step and its state in memory, feeds it batches, and saves
//! and restores everything a run depends on ([`checkpoint`]). [`metrics`] are what people and scripts read.
//!
//! Invariants:
//! * the n-th batch depends on the files, the seed and the options only, never on how often a run stopped;
//! * a checkpoint is whole or not there, at whatever moment the process or the machine dies;
//! * a run resumed on the same mesh gives the bits of one that never stopped.
//!
//! What this crate must not know: the compiler, and how text becomes tokens beyond bytes ([`Encoder`]).

pub mod checkpoint;
pub mod data;
mod error;
pub mod metrics;
mod peak;
mod state;
mod trainer;

pub use data::{Bytes, Dataset, Encoder, Mixture, Position};
pub use error::TrainError;
pub use peak::peak_flops;
pub use trainer::{StepResult, Trainer};
