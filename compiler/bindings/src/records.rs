//! Records as Rust structs.

use crate::names::{self, ident};
use einmesh_ir::DType;
use einmesh_lower::{AxisType, Type};
use proc_macro2::TokenStream;
use quote::quote;

/// The structs of a module, in the order in which they are first used.
#[derive(Default)]
pub(crate) struct Records {
    all: Vec<Record>,
}

/// A struct.
struct Record {
    name: String,
    /// The name without what tells it from others of that name.
    base: String,
    doc: String,
    fields: Vec<(String, Field)>,
    /// What there is to say about each field.
    docs: Vec<String>,
}

/// A field's type. Extents are no part of it: records that differ in them only are one struct.
#[derive(Clone, PartialEq)]
enum Field {
    Array { dtype: DType, rank: usize },
    Record(String),
}

impl Records {
    /// The Rust type of a value that is given or returned.
    pub fn ty(&mut self, ty: &Type) -> TokenStream {
        self.field(ty).tokens()
    }

    /// A struct for the several results of an entry.
    pub fn results(&mut self, entry: &str, results: &[(String, Type)]) -> String {
        let doc = format!("What `{entry}` gives.");
        self.record(names::output(entry), doc, results)
    }

    fn field(&mut self, ty: &Type) -> Field {
        match ty {
            Type::Array { dtype, axes } => Field::Array { dtype: *dtype, rank: axes.len() },
            Type::Record { name, stacked, fields, .. } => {
                let doc = match stacked {
                    0 => format!("`record {name}`"),
                    1 => {
                        format!("`record {name}`, stacked: each leaf has one more dim, the first.")
                    }
                    n => {
                        format!("`record {name}`, stacked: each leaf has {n} more dims, the first.")
                    }
                };
                Field::Record(self.record(names::record(name, *stacked), doc, fields))
            }
        }
    }

    fn record(&mut self, base: String, doc: String, types: &[(String, Type)]) -> String {
        let fields: Vec<(String, Field)> =
            types.iter().map(|(name, ty)| (name.clone(), self.field(ty))).collect();
        let alike = |r: &&mut Record| r.base == base && r.fields == fields;
        if let Some(known) = self.all.iter_mut().find(alike) {
            // A generic record is used with different extents, which its fields then do not tell.
            for (doc, (_, ty)) in known.docs.iter_mut().zip(types) {
                if *doc != described(ty) {
                    *doc = without_extents(ty);
                }
            }
            return known.name.clone();
        }
        let taken = |name: &str| self.all.iter().any(|r| r.name == name);
        let name = match taken(&base) {
            false => base.clone(),
            true => {
                let numbered = (2..).map(|n| format!("{base}{n}"));
                numbered.into_iter().find(|name| !taken(name)).unwrap_or_default()
            }
        };
        let docs = types.iter().map(|(_, ty)| described(ty)).collect();
        self.all.push(Record { name: name.clone(), base, doc, fields, docs });
        name
    }

    /// The structs.
    pub fn tokens(&self) -> TokenStream {
        let structs = self.all.iter().map(|record| {
            let (name, doc) = (ident(&record.name), &record.doc);
            let fields = record.fields.iter().zip(&record.docs).map(|((name, field), doc)| {
                let (name, ty) = (ident(name), field.tokens());
                let doc = format!("`{doc}`");
                quote! { #[doc = #doc] pub #name: #ty, }
            });
            quote! {
                #[doc = #doc]
                #[derive(Clone, Debug, PartialEq)]
                pub struct #name { #(#fields)* }
            }
        });
        quote! { #(#structs)* }
    }
}

impl Field {
    fn tokens(&self) -> TokenStream {
        match self {
            Field::Array { dtype, rank: 0 } => element(*dtype),
            Field::Array { dtype, rank } => {
                let element = element(*dtype);
                quote! { ::einmesh::Tensor<#element, #rank> }
            }
            Field::Record(name) => {
                let name = ident(name);
                quote! { #name }
            }
        }
    }
}

/// The Rust type of elements.
pub(crate) fn element(dtype: DType) -> TokenStream {
    match dtype {
        DType::F64 => quote! { ::core::primitive::f64 },
        DType::F32 => quote! { ::core::primitive::f32 },
        DType::I64 => quote! { ::core::primitive::i64 },
        DType::I32 => quote! { ::core::primitive::i32 },
        DType::Bool => quote! { ::core::primitive::bool },
        DType::Bf16 => quote! { ::einmesh::bf16 },
        DType::F16 => quote! { ::einmesh::f16 },
        DType::Key => quote! { ::einmesh::Key },
    }
}

/// An array's type with its extents: `f32[B = 2, T = 64]`.
pub(crate) fn described(ty: &Type) -> String {
    match ty {
        Type::Record { written, .. } => written.clone(),
        Type::Array { dtype, axes } if axes.is_empty() => dtype.name().to_owned(),
        Type::Array { dtype, axes } => {
            let axes: Vec<String> = axes.iter().map(axis).collect();
            format!("{}[{}]", dtype.name(), axes.join(", "))
        }
    }
}

fn axis(axis: &AxisType) -> String {
    let extent = axis.extent().to_string();
    match axis.written == extent {
        true => extent,
        false => format!("{} = {extent}", axis.written),
    }
}

/// A value of a type, whose leaves are given in the order of the fields.
pub(crate) fn literal(
    records: &mut Records,
    ty: &Type,
    leaf: &mut impl FnMut(DType, &[AxisType]) -> TokenStream,
) -> TokenStream {
    match ty {
        Type::Array { dtype, axes } => leaf(*dtype, axes),
        Type::Record { fields, .. } => {
            let name = records.ty(ty);
            let fields: Vec<TokenStream> = fields
                .iter()
                .map(|(field, ty)| {
                    let (field, value) = (ident(field), literal(records, ty, leaf));
                    quote! { #field: #value }
                })
                .collect();
            quote! { #name { #(#fields),* } }
        }
    }
}

/// The places of a value's leaves, from the place of the value.
pub(crate) fn places(place: &TokenStream, ty: &Type) -> Vec<(TokenStream, usize)> {
    match ty {
        Type::Array { axes, .. } => vec![(place.clone(), axes.len())],
        Type::Record { fields, .. } => {
            let each = fields.iter().flat_map(|(field, ty)| {
                let field = ident(field);
                places(&quote! { #place.#field }, ty)
            });
            each.collect()
        }
    }
}

fn without_extents(ty: &Type) -> String {
    match ty {
        Type::Record { name, .. } => name.clone(),
        Type::Array { dtype, axes } => format!("{} with {} dims", dtype.name(), axes.len()),
    }
}
