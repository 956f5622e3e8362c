//! `einsum!` and `program!`: the compiler inside of rustc.
//!
//! The macro writes a small program of the language, gives it to the same compiler that the `einmesh` command
//! uses, and puts the machine code into the user's crate as bytes of its text section, one image per CPU level, with a
//! description that `einmesh_exec::embedded` calls. The user's binary has no compiler in it, and needs no linker step.
//!
//! This is the one library that links LLVM into rustc, statically: rustc carries an LLVM of its own, and the two
//! must not meet.
//!
//! Users depend on the crate `einmesh`, which re-exports the macros; what they expand to names it.

mod cache;
mod einsum;
mod image;
mod program;
mod report;

use proc_macro::TokenStream;
use quote::quote;

/// See `einmesh::einsum!`.
#[proc_macro]
pub fn einsum(input: TokenStream) -> TokenStream {
    let expanded = einsum::expand(input.into());
    expanded
        .unwrap_or_else(|error| {
            let errors = error.to_compile_error();
            // A block: in an expression's place there may be several.
            quote!({ #errors })
        })
        .into()
}

/// See `einmesh::program!`.
#[proc_macro]
pub fn program(input: TokenStream) -> TokenStream {
    program::expand(input.into()).unwrap_or_else(|error| error.to_compile_error()).into()
}
