//! `einsum!`: from what the user wrote to code and the call of it.
//!
//! [`input`] reads the macro's tokens, [`program`] writes the program in the language, the compiler compiles
//! it, [`describe`] writes the description that the runtime calls. What does not depend on the operands' expressions is
//! kept from one build to the next.

mod compiled;
mod describe;
mod input;
mod program;
mod text;

use crate::cache;
use crate::report;
use compiled::Compiled;
use einmesh_artifact::DType;
use einmesh_driver::{Failure, Request, Source};
use input::Input;
use proc_macro2::{Span, TokenStream};
use program::Program;
use quote::{format_ident, quote, quote_spanned};
use syn::spanned::Spanned;

/// What diagnostics call the program's text.
pub const NAME: &str = "einsum!";

/// Expands one use of the macro.
pub fn expand(tokens: TokenStream) -> syn::Result<TokenStream> {
    let input: Input = syn::parse2(tokens)?;
    let program = Program::of(&input)?;
    let code = cache::get(&program.key(), || compile(&program))?;
    let code: TokenStream = code.parse()?;
    Ok(call(&input, &program, &code))
}

/// The machine code and its description, as items.
fn compile(program: &Program) -> syn::Result<String> {
    let source = Source::Text { name: NAME.to_owned(), text: program.text.clone() };
    let request = Request::new(source, "einsum");
    let (session, compiled) = match program.symbols.is_empty() {
        true => {
            let (session, products) = einmesh_driver::compile(&request);
            (session, products.map(Compiled::of_static))
        }
        false => {
            let (session, products) = einmesh_driver::compile_symbolic(&request, &program.symbols);
            (session, products.map(Compiled::of_symbolic))
        }
    };
    let failed = |message: String| syn::Error::new(program.places.whole, message);
    match compiled {
        Ok(compiled) => Ok(describe::items(program, &compiled.map_err(failed)?)),
        Err(Failure::Diagnosed) => {
            let (found, sources) = (session.diagnostics.iter(), &session.sources);
            Err(report::errors(found, sources, &program.places))
        }
        Err(Failure::Unreadable { path, why }) => {
            Err(failed(format!("cannot read `{path}`: {why}")))
        }
        Err(Failure::Bug(bug)) => Err(failed(format!("{bug}\n{}", program.text))),
    }
}

/// The expression that the macro becomes.
fn call(input: &Input, program: &Program, code: &TokenStream) -> TokenStream {
    let expressions: Vec<&syn::Expr> = input.operands.iter().map(|o| &o.expression).collect();
    let names: Vec<syn::Ident> = (0..expressions.len())
        .map(|n| format_ident!("operand{n}", span = Span::mixed_site()))
        .collect();
    let operands = program.operands.iter().zip(&names).zip(&expressions).map(
        |((operand, name), expression)| {
            let (element, rank) = (rust_type(operand.element), operand.dims.len());
            // An operand of another type is an error at the operand.
            let span = expression.span();
            quote_spanned!(span=> ::einmesh::__private::view::<#element, #rank>(#name))
        },
    );
    let (element, rank) = (rust_type(program.result.element), program.result.dims.len());
    let count = expressions.len();
    quote! {
        // Temporaries in the operands live until the call has ended.
        match (#(&#expressions,)*) {
            (#(#names,)*) => {
                #code
                // SAFETY: the description is that of code that was compiled for it, and operands are
                // checked against it.
                unsafe {
                    ::einmesh::__private::call::<#element, #rank, #count>(
                        &EINMESH_EINSUM,
                        [#(&#operands as &dyn ::einmesh::__private::Operand,)*],
                    )
                }
            }
        }
    }
}

fn rust_type(element: DType) -> TokenStream {
    let name = format_ident!("{}", element.name());
    match element {
        DType::Bf16 | DType::F16 => quote!(::einmesh::#name),
        _ => quote!(::core::primitive::#name),
    }
}
