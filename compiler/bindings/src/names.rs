//! The language's names as Rust's.

use proc_macro2::{Ident, Span};

/// A name as an identifier: keywords become raw ones, or get an underscore where those are not allowed.
pub(crate) fn ident(name: &str) -> Ident {
    match syn::parse_str::<Ident>(name) {
        Ok(ident) => ident,
        Err(_) if matches!(name, "self" | "Self" | "super" | "crate" | "_") => {
            Ident::new(&format!("{name}_"), Span::call_site())
        }
        Err(_) => Ident::new_raw(name, Span::call_site()),
    }
}

/// The name of the struct of a record type: `Block`, `Blocks` if it is stacked, `ParamsRows` for `rows(Params)`.
pub(crate) fn record(declared: &str, stacked: usize) -> String {
    let mut words: Vec<String> = Vec::new();
    for word in declared.split(|c: char| !c.is_alphanumeric() && c != '_') {
        if !word.is_empty() {
            words.push(capitalised(word));
        }
    }
    // The record first, then what is taken of it.
    words.reverse();
    let name = words.concat();
    match stacked {
        0 => name,
        _ => plural(&name),
    }
}

/// `ForwardOutput` of `forward`.
pub(crate) fn output(entry: &str) -> String {
    let words: Vec<String> = entry.split('_').map(capitalised).collect();
    format!("{}Output", words.concat())
}

fn capitalised(word: &str) -> String {
    let mut letters = word.chars();
    let first = letters.next().into_iter().flat_map(char::to_uppercase);
    first.chain(letters).collect()
}

fn plural(name: &str) -> String {
    match name.ends_with(['s', 'x', 'z']) || name.ends_with("ch") || name.ends_with("sh") {
        true => format!("{name}es"),
        false => format!("{name}s"),
    }
}
