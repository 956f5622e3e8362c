//! Einsums and transformers with named dimensions, compiled ahead of time, inside Rust.
//!
//! A [`Tensor`] is an array with a number of dims that its type says. What computes on it is machine code that was
//! compiled with your crate: there is no compiler in your binary, and nothing is linked but this runtime.
//!
//! ```
//! use einmesh::prelude::*;
//!
//! let mut x = Tensor::from([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]);
//! x[[1, 2]] = 7.0;
//! assert_eq!(x.shape(), [2, 3]);
//! assert_eq!(x.to_string(), "[[1, 2, 3], [4, 5, 7]]");
//! ```
//!
//! # Three ways to compile
//!
//! * [`einsum!`](macro@einsum): one einsum where it is needed.
//!
//!   ```
//!   # #[cfg(feature = "macros")] {
//!   use einmesh::prelude::*;
//!
//!   let y = einsum!("b i, i o -> b o", [[1.0, 2.0]], [[1.0, 0.0], [10.0, 1.0]]; b = 1, i = 2, o = 2)?;
//!   assert_eq!(y, Tensor::from([[21.0, 2.0]]));
//!   # }
//!   # Ok::<(), einmesh::Error>(())
//!   ```
//! * [`program!`](macro@program): a `.ein` file as a module. Its functions are functions, its records are structs of
//!   tensors, and a mesh and a plan say how it is spread over devices.
//! * `einmesh-build`, for `build.rs`: the same module, compiled before the crate.
//!
//! [`Program`] runs artifacts that `einmesh build` has written, with arguments that are known at run time only.
//!
//! # Arguments
//!
//! Whatever is an array serves as an argument, without a copy: `&Tensor`, slices and `Vec`s (one dim), nested
//! arrays, numbers (no dim) and, with the feature `ndarray`, the arrays and views of that crate. [`AsView`] is the
//! trait behind it.
//!
//! # Errors
//!
//! Everything that can go wrong at run time is an [`Error`], which names the argument, what was expected and what
//! was given. The number of dims and the element type are checked by rustc.
//!
//! # Features
//!
//! * `macros`, on by default: the two macros. They compile inside of rustc, and need LLVM 22 where the crate is built.
//! * `ndarray`: arrays of the crate `ndarray` as arguments, and [`From`] both ways.

mod einsum;
mod element;
mod error;
mod files;
mod mesh;
#[cfg(feature = "ndarray")]
mod ndarray;
mod program;
mod storage;
mod tensor;
mod view;

pub use einmesh_artifact::DType;
#[cfg(feature = "macros")]
pub use einsum::einsum;
pub use element::{Element, Key};
pub use error::Error;
pub use files::{SafeTensors, save};
pub use half::{bf16, f16};
pub use mesh::Mesh;
#[cfg(feature = "macros")]
pub use program::program;
pub use program::{Model, Program};
pub use tensor::{AnyTensor, Tensor};
pub use view::{AsView, TensorView};

/// The names that most programs need: `use einmesh::prelude::*`.
pub mod prelude {
    pub use crate::{AsView, Element, Error, Key, SafeTensors, Tensor, TensorView, bf16, f16};
    #[cfg(feature = "macros")]
    pub use crate::{einsum, program};
}

/// What the expansions of macros call. Not for use by hand: it changes without notice.
#[doc(hidden)]
pub mod __private;

#[cfg(target_endian = "big")]
compile_error!("files and artifacts are little endian, and so must be the machine");
