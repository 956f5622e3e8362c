//! `program!`: a `.ein` file as a module.

mod input;

use crate::cache;
use einmesh_bindings::{Compiled, Entry, Options, Place, Problem};
use input::Program;
use proc_macro2::{Literal, Span, TokenStream};
use quote::quote;
use std::cell::RefCell;
use std::path::{Path, PathBuf};

/// Between the artifacts of a cached expansion and its text.
const END: &str = "---\n";

/// The module's items.
pub fn expand(input: TokenStream) -> syn::Result<TokenStream> {
    let program: Program = syn::parse2(input)?;
    let base = std::env::var_os("CARGO_MANIFEST_DIR").map_or_else(PathBuf::new, PathBuf::from);
    let options = program.options(&base);
    let failed = |problem: Problem| error(&program, &base, &problem);
    let sources = einmesh_bindings::sources(&options).map_err(failed)?;
    let body = body(&options, &sources).map_err(|wrong| match wrong {
        Wrong::Problem(problem) => failed(problem),
        Wrong::Text(error) => error,
    })?;
    // The crate is built again when one of them changes.
    let watched = sources.iter().map(|(path, _)| path.to_string_lossy().into_owned());
    let Program { attributes, visibility, name, .. } = &program;
    Ok(quote! {
        #(#attributes)*
        #[allow(dead_code, clippy::all)]
        #visibility mod #name {
            const _: &[&[::core::primitive::u8]] = &[#(::core::include_bytes!(#watched)),*];
            #body
        }
    })
}

/// Why there is no module.
enum Wrong {
    Problem(Problem),
    Text(syn::Error),
}

/// The module's items, from an earlier expansion if nothing has changed since.
fn body(options: &Options, sources: &[(PathBuf, String)]) -> Result<TokenStream, Wrong> {
    let key = format!("program\n{options:?}\n{sources:?}");
    let compute = || fresh(options).map_err(Wrong::Problem);
    let mut text = cache::get(&key, compute)?;
    let (mut artifacts, mut code) = text.split_once(END).unwrap_or(("missing\n", ""));
    if artifacts.lines().any(|path| !Path::new(path).is_file()) {
        text = fresh(options).map_err(Wrong::Problem)?;
        (artifacts, code) = text.split_once(END).unwrap_or(("", ""));
    }
    debug_assert!(artifacts.lines().all(|path| Path::new(path).is_file()), "just written");
    code.parse().map_err(|error: proc_macro2::LexError| {
        Wrong::Text(syn::Error::new(Span::call_site(), error.to_string()))
    })
}

/// Compiles: the paths of the artifacts, and the text.
fn fresh(options: &Options) -> Result<String, Problem> {
    let compiled: Compiled = einmesh_bindings::compile(options)?;
    let kept = RefCell::new(String::new());
    let artifact = |entry: &Entry| {
        let bytes = entry.artifact.write();
        match cache::keep(&bytes, "einpkg") {
            Some(path) => {
                let path = path.to_string_lossy().into_owned();
                kept.borrow_mut().push_str(&format!("{path}\n"));
                quote! { ::core::include_bytes!(#path) }
            }
            // Without a directory, as in editors, the artifact stands in the text.
            None => {
                let bytes = Literal::byte_string(&bytes);
                quote! { #bytes }
            }
        }
    };
    let module = einmesh_bindings::module(&compiled, artifact)?;
    Ok(format!("{}{END}{module}", kept.into_inner()))
}

/// A problem where it is in the user's source.
fn error(program: &Program, base: &Path, problem: &Problem) -> syn::Error {
    let span = match problem.place {
        Place::File => program.path.span(),
        Place::Definition(number) => program.definitions[number].0.span(),
        Place::Plan => program.plan.as_ref().map_or_else(Span::call_site, |plan| plan.span()),
        Place::Entry(number) => program.entries[number].span(),
    };
    // Paths are shown as they would be written here.
    let base = format!("{}/", base.display());
    let message = problem.message.replace(&base, "");
    match problem.place {
        Place::File => {
            let path = program.path.value();
            syn::Error::new(span, format!("`{path}` does not compile\n{message}"))
        }
        _ => syn::Error::new(span, message),
    }
}
