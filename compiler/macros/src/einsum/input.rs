//! The macro's input: an equation, operands, and after a semicolon what is known of extents and element types.

use super::program::{element_type, element_types};
use einmesh_artifact::DType;
use proc_macro2::{TokenStream, TokenTree};
use syn::parse::{Parse, ParseStream};
use syn::{Ident, LitInt, LitStr, Token};

/// What stands between the parentheses.
pub struct Input {
    /// What is computed.
    pub equation: Equation,
    /// The operands, in order.
    pub operands: Vec<Operand>,
    /// What is known of them.
    pub settings: Vec<Setting>,
}

/// The two ways to write an einsum.
pub enum Equation {
    /// `"b i j, b j k -> b i k"`
    String(LitStr),
    /// `out[b,i,k] = a[b,i,j] * c[b,j,k]`
    Statement(TokenStream),
}

/// `x`, `x = &model.x` or any expression.
pub struct Operand {
    /// What the statement calls it: the name before `=`, or the expression if that is a name.
    pub name: Option<Ident>,
    /// Its value.
    pub expression: syn::Expr,
}

/// One item after the semicolon.
pub enum Setting {
    /// `b = 4`: an index's extent.
    Extent {
        /// The index.
        index: Ident,
        /// Its extent.
        extent: u64,
    },
    /// `table.0 = 50257`: the extent of a dimension that no index ranges over.
    Dimension {
        /// The operand.
        operand: Ident,
        /// The dimension.
        position: LitInt,
        /// Its extent.
        extent: u64,
    },
    /// `tokens: i64`: the element type of an operand, or of the result.
    Type {
        /// Whose.
        name: Ident,
        /// Which.
        element: DType,
    },
    /// `f64`: the element type of all that have no other.
    AllTypes(Ident, DType),
}

impl Parse for Input {
    fn parse(input: ParseStream) -> syn::Result<Input> {
        if input.is_empty() {
            return Err(input.error(
                "expected an equation: `einsum!(\"b i j, b j k -> b i k\", x, y)` or \
                 `einsum!(out[b,i,k] = x[b,i,j] * y[b,j,k], x, y)`",
            ));
        }
        let equation = match input.peek(LitStr) {
            true => Equation::String(input.parse()?),
            false => Equation::Statement(until_comma(input)?),
        };
        let mut operands = Vec::new();
        while input.peek(Token![,]) {
            input.parse::<Token![,]>()?;
            if input.is_empty() || input.peek(Token![;]) {
                break;
            }
            operands.push(input.parse()?);
        }
        let mut settings = Vec::new();
        if input.peek(Token![;]) {
            input.parse::<Token![;]>()?;
            let list = input.parse_terminated(Setting::parse, Token![,])?;
            settings.extend(list);
        }
        if !input.is_empty() {
            return Err(input.error("expected `,` and an operand, or `;` and extents"));
        }
        Ok(Input { equation, operands, settings })
    }
}

/// The tokens of a statement: all before a comma or semicolon that is in no brackets.
fn until_comma(input: ParseStream) -> syn::Result<TokenStream> {
    let mut tokens = TokenStream::new();
    while !input.is_empty() && !input.peek(Token![,]) && !input.peek(Token![;]) {
        tokens.extend([input.parse::<TokenTree>()?]);
    }
    Ok(tokens)
}

impl Parse for Operand {
    fn parse(input: ParseStream) -> syn::Result<Operand> {
        if input.peek(syn::Ident) && input.peek2(Token![=]) && !input.peek2(Token![==]) {
            let name: Ident = input.parse()?;
            input.parse::<Token![=]>()?;
            return Ok(Operand { name: Some(name), expression: input.parse()? });
        }
        let expression: syn::Expr = input.parse()?;
        let name = named(&expression).cloned();
        Ok(Operand { name, expression })
    }
}

/// The name that an expression is: `x` or `&x`.
fn named(expression: &syn::Expr) -> Option<&Ident> {
    match expression {
        syn::Expr::Path(path) => path.path.get_ident(),
        syn::Expr::Reference(reference) => named(&reference.expr),
        _ => None,
    }
}

impl Parse for Setting {
    fn parse(input: ParseStream) -> syn::Result<Setting> {
        let name: Ident = input.parse()?;
        if input.peek(Token![:]) {
            input.parse::<Token![:]>()?;
            let element: Ident = input.parse()?;
            let known = element_type(&element.to_string());
            let known = known.ok_or_else(|| unknown_type(&element))?;
            return Ok(Setting::Type { name, element: known });
        }
        if input.peek(Token![.]) {
            input.parse::<Token![.]>()?;
            let position: LitInt = input.parse()?;
            input.parse::<Token![=]>()?;
            return Ok(Setting::Dimension { operand: name, position, extent: extent(input)? });
        }
        if input.peek(Token![=]) {
            input.parse::<Token![=]>()?;
            return Ok(Setting::Extent { index: name, extent: extent(input)? });
        }
        match element_type(&name.to_string()) {
            Some(element) => Ok(Setting::AllTypes(name, element)),
            None => Err(syn::Error::new(
                name.span(),
                format!("expected `{name} = EXTENT`, or an element type: {}", element_types()),
            )),
        }
    }
}

fn extent(input: ParseStream) -> syn::Result<u64> {
    let literal: LitInt = input.parse().map_err(|error| {
        syn::Error::new(
            error.span(),
            "expected an integer: the macro sees literals only; leave the index out for an extent \
             that is known when it runs",
        )
    })?;
    match literal.base10_parse()? {
        0 => Err(syn::Error::new(
            literal.span(),
            "an extent that is known is at least 1; leave the index out if there may be no elements",
        )),
        extent => Ok(extent),
    }
}

fn unknown_type(name: &Ident) -> syn::Error {
    let message = format!("`{name}` is no element type; there are {}", element_types());
    syn::Error::new(name.span(), message)
}
