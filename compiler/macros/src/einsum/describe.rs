//! The description that the runtime calls, as items of Rust.

use super::compiled::{Compiled, Launch, Phase, Place};
use super::program::Program;
use crate::image::{self, Embedded};
use einmesh_schedule::symbolic::Extent;
use std::fmt::Write;

/// A list of things as an array's text.
fn list<T>(things: impl IntoIterator<Item = T>, text: impl Fn(T) -> String) -> String {
    let all: Vec<String> = things.into_iter().map(text).collect();
    format!("&[{}]", all.join(", "))
}

fn extent(extent: &Extent) -> String {
    match extent {
        Extent::Fixed(positions) => format!("e::Extent::Fixed({positions})"),
        Extent::Symbol(symbol) => format!("e::Extent::Symbol({symbol})"),
    }
}

fn extents(all: &[Extent]) -> String {
    list(all, extent)
}

/// The code and its description, named `EINMESH_EINSUM`.
pub fn items(program: &Program, compiled: &Compiled) -> String {
    let images = compiled.images.iter().map(|(code, bytes)| image::embed(code, bytes));
    let images: Vec<Embedded> = images.collect();
    let mut text = String::new();
    let _ = writeln!(
        text,
        "#[cfg(not(all(target_arch = \"x86_64\", target_os = \"linux\")))]\n\
         ::core::compile_error!(\"einsum! has code for x86-64 Linux only\");"
    );
    code(&mut text, &images);
    limits(&mut text, compiled);
    let operands = list(program.operands.iter().zip(&compiled.operands), |(array, own)| {
        format!(
            "e::Described {{ name: {:?}, indices: &{:?}, extents: {} }}",
            array.name,
            array.dims,
            extents(own)
        )
    });
    let temporaries = list(&compiled.orders, |order| {
        list(&order.temporaries, |(element, own)| {
            format!("e::Temporary {{ element: {element}, extents: {} }}", extents(own))
        })
    });
    let within =
        list(&compiled.within, |(less, more)| format!("({}, {})", extent(less), extent(more)));
    let levels = list(images.iter().enumerate(), |(number, image)| level(compiled, number, image));
    let _ = writeln!(
        text,
        "static EINMESH_EINSUM: ::einmesh::__private::Einsum = {{\n\
         use ::einmesh::__private as e;\n\
         e::Einsum {{ text: {:?}, symbols: &{:?}, within: {within}, operands: {operands}, result: {}, \
         temporaries: {temporaries}, code: {levels}, chosen: e::Chosen::new() }} }};",
        program.equation,
        compiled.symbols.iter().map(|s| s.to_lowercase()).collect::<Vec<String>>(),
        extents(&compiled.result),
    );
    text
}

/// The machine code, in a module of its own.
fn code(text: &mut String, images: &[Embedded]) {
    *text += "mod einmesh_code {\n";
    for (number, image) in images.iter().enumerate() {
        // Some code is the same at several levels.
        if images[..number].iter().any(|other| other.symbol == image.symbol) {
            continue;
        }
        let _ = writeln!(
            text,
            "::core::arch::global_asm!({:?}, options(att_syntax, raw));\n\
             unsafe extern \"C\" {{ pub safe static {}: [u8; {}]; }}",
            image.assembly, image.symbol, image.bytes
        );
    }
    *text += "}\n";
}

/// What the runtime has room for.
fn limits(text: &mut String, compiled: &Compiled) {
    let operands = launches(compiled).map(|launch| launch.operands.len()).max();
    let temporaries = compiled.orders.iter().map(|order| order.temporaries.len()).max();
    let counts = [
        (operands.unwrap_or(0), "MAX_OPERANDS"),
        (temporaries.unwrap_or(0), "MAX_TEMPORARIES"),
        (compiled.symbols.len(), "MAX_SYMBOLS"),
    ];
    for (count, most) in counts {
        let _ = writeln!(
            text,
            "const _: () = ::core::assert!({count} <= ::einmesh::__private::{most}, \
             \"this einsum is too large: write a `.ein` file and use `program!`\");"
        );
    }
}

fn launches(compiled: &Compiled) -> impl Iterator<Item = &Launch> {
    compiled.orders.iter().flat_map(|order| &order.launches)
}

/// The code of one level.
fn level(compiled: &Compiled, number: usize, image: &Embedded) -> String {
    let phases = || launches(compiled).flat_map(|launch| &launch.phases[number]);
    let workspace = phases().map(|p| p.workspace_bytes).max().unwrap_or(0);
    let scratch = phases().map(|p| p.scratch_bytes).max().unwrap_or(0);
    let orders =
        list(&compiled.orders, |order| list(&order.launches, |launch| step(launch, number)));
    format!(
        "e::Code {{ level: {:?}, image: e::Image(&raw const einmesh_code::{} as *const u8), orders: {orders}, \
         workspace_bytes: {workspace}, scratch_bytes: {scratch} }}",
        compiled.images[number].0.level, image.symbol
    )
}

fn step(launch: &Launch, image: usize) -> String {
    let phases = list(&launch.phases[image], phase);
    let operands = list(&launch.operands, |place| match place {
        Place::Operand(number) => format!("e::Place::Operand({number})"),
        Place::Result => "e::Place::Result".to_owned(),
        Place::Temporary(number) => format!("e::Place::Temporary({number})"),
    });
    let points = extents(&launch.points);
    format!("e::Step {{ phases: {phases}, operands: {operands}, points: {points} }}")
}

fn phase(phase: &Phase) -> String {
    let tiles = list(&phase.tiles, |(own, block)| {
        format!("e::Blocks {{ extents: {}, block: {block} }}", extents(own))
    });
    format!("e::Phase {{ entry: {}, tiles: {tiles} }}", phase.entry)
}
