//! The driver: the whole compiler in one function.
//!
//! [`compile`] calls the stages from source text to artifact, top to bottom. Verifying, timing and
//! dumping happen in its `step` wrapper ([`session`]) and nowhere else. Of all compiler crates only
//! this one reads files, and it reads source files only.

mod orders;
mod pipeline;
mod products;
mod request;
mod session;
mod sources;
mod stage;
mod symbolic;

pub use einmesh_codegen::{Level, Sizes, Tuning};
pub use pipeline::{assemble, compile, interface};
pub use products::{CollectiveRow, Products};
pub use request::{Goal, Request, Source};
pub use session::{CompilerBug, Failure, Session};
pub use sources::{PRELUDE, check, read};
pub use stage::Stage;
pub use symbolic::{SymbolicProducts, compile_symbolic};
