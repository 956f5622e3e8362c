//! The module's text.

use crate::compile::{Compiled, Entry};
use crate::names::ident;
use crate::problem::{Place, Problem};
use crate::records::{Records, described, element, literal, places};
use einmesh_artifact::Manifest;
use einmesh_ir::DType;
use einmesh_lower::{Argument, AxisType, Type};
use proc_macro2::TokenStream;
use quote::quote;
use std::collections::BTreeMap;

/// The items of a module that calls the entries. `artifact` gives the expression of an entry's artifact, a
/// `&'static [u8]`.
pub fn module(
    compiled: &Compiled,
    artifact: impl Fn(&Entry) -> TokenStream,
) -> Result<TokenStream, Problem> {
    for entry in &compiled.entries {
        check(entry)?;
    }
    let artifacts = compiled.entries.iter().map(|entry| {
        let (name, artifact) = (&entry.name, artifact(entry));
        quote! { (#name, #artifact) }
    });
    let mut records = Records::default();
    let functions: Vec<TokenStream> = (0..compiled.entries.len())
        .map(|number| function(&mut records, number, &compiled.entries[number]))
        .collect();
    let roots = roots(&mut records, compiled);
    let (constants, structs) = (constants(compiled), records.tokens());
    Ok(quote! {
        /// The compiled entries, and what they have in memory.
        pub static MODEL: ::einmesh::Model = ::einmesh::Model::new(&[#(#artifacts),*]);
        #constants
        #structs
        #(#roots)*
        #(#functions)*
    })
}

/// Signature and manifest were made from one program: they must say the same of every leaf.
fn check(entry: &Entry) -> Result<(), Problem> {
    let Manifest { inputs, outputs, .. } = &entry.artifact.manifest;
    let given = entry.signature.arguments.iter().map(|argument| &argument.ty);
    let returned = entry.signature.arguments.iter().filter(|argument| argument.inout);
    let results = entry.signature.results.iter().map(|(_, ty)| ty);
    let leaves = |types: Vec<&Type>| {
        let mut all: Vec<(String, Vec<u64>)> = Vec::new();
        for ty in types {
            ty.arrays(&mut |dtype, axes: &[AxisType]| {
                let extents = axes.iter().map(AxisType::extent).collect();
                all.push((dtype.name().to_owned(), extents));
            });
        }
        all
    };
    let said = |tensors: &[einmesh_artifact::Tensor]| -> Vec<(String, Vec<u64>)> {
        tensors.iter().map(|t| (t.dtype.name().to_owned(), t.whole_shape())).collect()
    };
    let results = results.chain(returned.map(|argument| &argument.ty)).collect();
    match leaves(given.collect()) == said(inputs) && leaves(results) == said(outputs) {
        true => Ok(()),
        false => {
            let name = &entry.name;
            let message = format!(
                "the declaration of `{name}` and its artifact differ: this is a bug in Einmesh"
            );
            Err(Problem::new(Place::File, message))
        }
    }
}

/// The dims' extents and the mesh.
fn constants(compiled: &Compiled) -> TokenStream {
    // A generic dim may have another extent in each entry; then none of them is its.
    let mut dims: BTreeMap<&str, Option<u64>> = BTreeMap::new();
    for entry in &compiled.entries {
        let arguments = entry.signature.arguments.iter().map(|argument| &argument.ty);
        for ty in arguments.chain(entry.signature.results.iter().map(|(_, ty)| ty)) {
            ty.arrays(&mut |_, axes: &[AxisType]| {
                for (name, extent) in axes.iter().flat_map(|axis| &axis.dims) {
                    let known = dims.entry(name).or_insert(Some(*extent));
                    *known = known.filter(|known| known == extent);
                }
            });
        }
    }
    let named = |name: &str| name.starts_with(char::is_alphabetic) && name != "MODEL";
    let dims = dims.into_iter().filter(|(name, _)| named(name) && *name != "MESH");
    let dims = dims.filter_map(|(name, extent)| Some((ident(name), extent? as usize)));
    let dims = dims.map(|(name, extent)| {
        let doc = format!("The extent of `{name}`.");
        quote! {
            #[doc = #doc]
            #[allow(non_upper_case_globals)]
            pub const #name: ::core::primitive::usize = #extent;
        }
    });
    let meshes = compiled.entries.iter().map(|entry| &entry.artifact.manifest.mesh);
    let mut meshes: Vec<_> = meshes.collect();
    meshes.dedup();
    let mesh = match &meshes[..] {
        [mesh] => {
            let axes = mesh.iter().map(|axis| {
                let (name, size) = (&axis.name, axis.size as usize);
                quote! { (::std::borrow::Cow::Borrowed(#name), #size) }
            });
            quote! {
                /// The devices that all entries are compiled for.
                pub const MESH: ::einmesh::Mesh = ::einmesh::Mesh::new(&[#(#axes),*]);
            }
        }
        _ => TokenStream::new(),
    };
    quote! { #(#dims)* #mesh }
}

/// What the structs of arguments can do besides: they come from checkpoints and go there.
fn roots(records: &mut Records, compiled: &Compiled) -> Vec<TokenStream> {
    // A struct that stands for types with different extents has no one shape.
    let mut roots: BTreeMap<String, (usize, &Argument, bool)> = BTreeMap::new();
    for (number, entry) in compiled.entries.iter().enumerate() {
        for argument in &entry.signature.arguments {
            if matches!(argument.ty, Type::Record { .. }) {
                let name = records.ty(&argument.ty).to_string();
                let known = roots.entry(name).or_insert((number, argument, true));
                known.2 &= known.1.ty == argument.ty;
            }
        }
    }
    let unique = roots.into_values().filter(|(.., unique)| *unique);
    unique.map(|(entry, argument, _)| root(records, entry, argument)).collect()
}

fn root(records: &mut Records, entry: usize, argument: &Argument) -> TokenStream {
    let name = records.ty(&argument.ty);
    let path = &argument.name;
    let loaded = literal(records, &argument.ty, &mut |dtype, axes| {
        let (element, rank) = (element(dtype), axes.len());
        let item = (rank == 0).then(|| quote! { .item() });
        quote! { leaves.take::<#element, #rank>()? #item }
    });
    let zeros = literal(records, &argument.ty, &mut |dtype, axes| {
        let extents = axes.iter().map(|axis| axis.extent() as usize);
        match axes.is_empty() {
            true => {
                let element = element(dtype);
                quote! { <#element as ::core::default::Default>::default() }
            }
            false => quote! { ::einmesh::Tensor::zeros([#(#extents),*]) },
        }
    });
    let saved = places(&quote! { self }, &argument.ty).into_iter();
    let pushed = saved.map(|(leaf, _)| quote! { leaves.push(&#leaf)?; });
    quote! {
        impl #name {
            /// Reads a checkpoint: safetensors, under the names that the file gives its leaves. Elements of other
            /// float types are converted.
            pub fn load(
                path: impl ::core::convert::AsRef<::std::path::Path>,
            ) -> ::core::result::Result<Self, ::einmesh::Error> {
                let mut leaves = MODEL.load(#entry, #path, path.as_ref())?;
                ::core::result::Result::Ok(#loaded)
            }

            /// Writes a checkpoint that [`Self::load`] reads.
            pub fn save(
                &self,
                path: impl ::core::convert::AsRef<::std::path::Path>,
            ) -> ::core::result::Result<(), ::einmesh::Error> {
                let mut leaves = MODEL.save(#entry, #path)?;
                #(#pushed)*
                leaves.write(path.as_ref())
            }

            /// Zeros everywhere.
            pub fn zeros() -> Self {
                #zeros
            }
        }
    }
}

/// The function that calls an entry.
fn function(records: &mut Records, number: usize, entry: &Entry) -> TokenStream {
    let name = ident(&entry.name);
    let (mut declared, mut bound, mut updated) = (Vec::new(), Vec::new(), Vec::new());
    let mut input = 0_usize;
    let mut output = 0_usize;
    for (_, ty) in &entry.signature.results {
        ty.arrays(&mut |_, _| output += 1);
    }
    for argument in &entry.signature.arguments {
        let variable = ident(&argument.name);
        declared.push(parameter(records, argument));
        for (place, rank) in places(&quote! { #variable }, &argument.ty) {
            let is_leaf = matches!(argument.ty, Type::Record { .. });
            let borrowed = if is_leaf {
                quote! { &#place }
            } else {
                quote! { &#variable }
            };
            bound.push(quote! { __call.bind(#input, #borrowed)?; });
            input += 1;
            if argument.inout {
                let target = if is_leaf {
                    quote! { &mut #place }
                } else {
                    quote! { #variable }
                };
                updated.push(match rank {
                    0 => quote! { __call.update_number(#output, #target)?; },
                    _ => quote! { __call.update(#output, #target)?; },
                });
                output += 1;
            }
        }
    }
    let (ty, value) = results(records, entry);
    let docs = docs(entry);
    quote! {
        #(#[doc = #docs])*
        pub fn #name(#(#declared),*) -> ::core::result::Result<#ty, ::einmesh::Error> {
            let mut __call = MODEL.call(#number)?;
            #(#bound)*
            __call.run()?;
            let __results = #value;
            #(#updated)*
            ::core::result::Result::Ok(__results)
        }
    }
}

fn parameter(records: &mut Records, argument: &Argument) -> TokenStream {
    let name = ident(&argument.name);
    let ty = records.ty(&argument.ty);
    match (&argument.ty, argument.inout) {
        (_, true) => quote! { #name: &mut #ty },
        (Type::Record { .. }, false) => quote! { #name: &#ty },
        (Type::Array { axes, .. }, false) if axes.is_empty() => quote! { #name: #ty },
        (Type::Array { dtype, axes }, false) => {
            let (element, rank) = (element(*dtype), axes.len());
            quote! { #name: impl ::einmesh::AsView<#element, #rank> }
        }
    }
}

/// The type and the value of what a call returns.
fn results(records: &mut Records, entry: &Entry) -> (TokenStream, TokenStream) {
    let mut output = 0_usize;
    let mut leaf = |_: DType, axes: &[AxisType]| {
        let number = output;
        output += 1;
        match axes.is_empty() {
            true => quote! { __call.number(#number)? },
            false => quote! { __call.output(#number)? },
        }
    };
    match &entry.signature.results[..] {
        [] => (quote! { () }, quote! { () }),
        [(_, ty)] => (records.ty(ty), literal(records, ty, &mut leaf)),
        several => {
            let name = ident(&records.results(&entry.name, several));
            let fields: Vec<TokenStream> = several
                .iter()
                .map(|(field, ty)| {
                    let (field, value) = (ident(field), literal(records, ty, &mut leaf));
                    quote! { #field: #value }
                })
                .collect();
            (quote! { #name }, quote! { #name { #(#fields),* } })
        }
    }
}

/// The declaration, and every array with its extents.
fn docs(entry: &Entry) -> Vec<String> {
    let mut lines = vec![format!(" `{}`", entry.written), String::new()];
    let arguments = entry.signature.arguments.iter();
    let arguments = arguments.map(|a| (&a.name, &a.ty));
    let results = entry.signature.results.iter().map(|(name, ty)| (name, ty));
    for (name, ty) in arguments.chain(results) {
        lines.push(format!(" * `{name}`: `{}`", described(ty)));
    }
    lines
}
