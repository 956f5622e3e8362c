//! What stands in `program! { … }`.

use einmesh_bindings::Options;
use proc_macro2::{Ident, Span, TokenStream};
use std::path::Path;
use syn::ext::IdentExt;
use syn::parse::{Parse, ParseStream};
use syn::punctuated::Punctuated;
use syn::{Attribute, LitInt, LitStr, Result, Token, Visibility, braced, bracketed};

/// `pub mod gpt = "models/gpt2.ein"; dims { B = 2 }; mesh { data: 2 }; shard { data: B }; plan = pod; entries = [forward];`
pub struct Program {
    pub attributes: Vec<Attribute>,
    pub visibility: Visibility,
    pub name: Ident,
    pub path: LitStr,
    /// Names and values.
    pub definitions: Vec<(Ident, String)>,
    pub mesh: Option<Vec<(Ident, u64)>>,
    pub shard: Option<Vec<(Ident, Vec<Ident>)>>,
    pub plan: Option<Ident>,
    pub entries: Vec<Ident>,
}

/// The keys that may follow the file.
const KEYS: &str = "`dims`, `mesh`, `shard`, `plan` and `entries`";

impl Parse for Program {
    fn parse(input: ParseStream) -> Result<Program> {
        let attributes = input.call(Attribute::parse_outer)?;
        let visibility = input.parse()?;
        input.parse::<Token![mod]>()?;
        let name = input.parse()?;
        input.parse::<Token![=]>()?;
        let path = input.parse()?;
        let mut program = Program {
            attributes,
            visibility,
            name,
            path,
            definitions: Vec::new(),
            mesh: None,
            shard: None,
            plan: None,
            entries: Vec::new(),
        };
        let mut given: Vec<Ident> = Vec::new();
        loop {
            if !input.is_empty() {
                input.parse::<Token![;]>()?;
            }
            if input.is_empty() {
                return Ok(program);
            }
            let key = input.call(Ident::parse_any)?;
            if given.contains(&key) {
                return Err(syn::Error::new(key.span(), format!("`{key}` is given twice")));
            }
            program.key(&key, input)?;
            given.push(key);
        }
    }
}

impl Program {
    fn key(&mut self, key: &Ident, input: ParseStream) -> Result<()> {
        match key.to_string().as_str() {
            "dims" => self.definitions = list(input, definition)?,
            "mesh" => {
                self.mesh = Some(list(input, |input| {
                    let axis = colon(input)?;
                    let size: LitInt = input.parse()?;
                    match size.base10_parse()? {
                        0 => {
                            Err(syn::Error::new(size.span(), "a mesh axis has at least one device"))
                        }
                        size => Ok((axis, size)),
                    }
                })?);
            }
            "shard" => self.shard = Some(list(input, |input| Ok((colon(input)?, dims(input)?)))?),
            "plan" => {
                input.parse::<Token![=]>()?;
                self.plan = Some(input.call(Ident::parse_any)?);
            }
            "entries" => {
                input.parse::<Token![=]>()?;
                self.entries = names(input)?;
            }
            other => {
                let message = format!("there is no key `{other}`: there are {KEYS}");
                return Err(syn::Error::new(key.span(), message));
            }
        }
        Ok(())
    }

    /// What it asks of the compiler. The file is relative to the package's directory.
    pub fn options(&self, base: &Path) -> Options {
        let mut options = Options::new(base.join(self.path.value()));
        let definitions = self.definitions.iter();
        options.definitions =
            definitions.map(|(name, value)| (text(name), value.clone())).collect();
        let mesh = self.mesh.as_ref();
        options.mesh =
            mesh.map(|axes| axes.iter().map(|(axis, size)| (text(axis), *size)).collect());
        let shard = self.shard.as_ref();
        options.shard = shard.map(|axes| {
            axes.iter().map(|(axis, dims)| (text(axis), dims.iter().map(text).collect())).collect()
        });
        options.plan = self.plan.as_ref().map(text);
        options.entries = self.entries.iter().map(text).collect();
        options
    }
}

/// A name without what makes a keyword one.
fn text(name: &Ident) -> String {
    name.unraw().to_string()
}

/// `{ a, b, c }`
fn list<T>(input: ParseStream, item: impl FnMut(ParseStream) -> Result<T>) -> Result<Vec<T>> {
    let content;
    braced!(content in input);
    let mut item = item;
    let mut items = Vec::new();
    while !content.is_empty() {
        items.push(item(&content)?);
        if !content.is_empty() {
            content.parse::<Token![,]>()?;
        }
    }
    Ok(items)
}

/// `B = 4`, `W = bf16`, `eps = 1e-6`, `tied = false`
fn definition(input: ParseStream) -> Result<(Ident, String)> {
    let name = input.call(Ident::parse_any)?;
    input.parse::<Token![=]>()?;
    let mut value = TokenStream::new();
    let mut span: Option<Span> = None;
    while !input.is_empty() && !input.peek(Token![,]) {
        let token: proc_macro2::TokenTree = input.parse()?;
        span.get_or_insert(token.span());
        value.extend([token]);
    }
    let text = value.to_string().replace([' ', '_'], "");
    match span {
        Some(_) => Ok((name, text)),
        None => Err(input.error("expected a value, such as `4`, `bf16` or `1e-6`")),
    }
}

/// `data:`
fn colon(input: ParseStream) -> Result<Ident> {
    let name = input.call(Ident::parse_any)?;
    input.parse::<Token![:]>()?;
    Ok(name)
}

/// `B` or `[H, F, V]`
fn dims(input: ParseStream) -> Result<Vec<Ident>> {
    match input.peek(syn::token::Bracket) {
        true => names(input),
        false => Ok(vec![input.call(Ident::parse_any)?]),
    }
}

/// `[a, b]`
fn names(input: ParseStream) -> Result<Vec<Ident>> {
    let content;
    bracketed!(content in input);
    let names: Punctuated<Ident, Token![,]> =
        content.parse_terminated(Ident::parse_any, Token![,])?;
    Ok(names.into_iter().collect())
}
