//! The description that the runtime calls, as items of Rust.

use super::program::Program;
use crate::image::Embedded;
use einmesh_artifact::{Manifest, Phase, Step, Storage};
use std::fmt::Write;

/// What is described.
pub struct Description<'a> {
    /// The program.
    pub program: &'a Program,
    /// What it was compiled to.
    pub manifest: &'a Manifest,
    /// The size of each kernel's index space.
    pub points: Vec<u64>,
    /// The code.
    pub images: &'a [Embedded],
}

/// A list of things as an array's text.
fn list<T>(things: impl IntoIterator<Item = T>, text: impl Fn(T) -> String) -> String {
    let all: Vec<String> = things.into_iter().map(text).collect();
    format!("&[{}]", all.join(", "))
}

fn fixed(extent: &u64) -> String {
    format!("e::Extent::Fixed({extent})")
}

impl Description<'_> {
    /// The code and its description, named `EINMESH_EINSUM`; or why it cannot be called this way.
    pub fn items(&self) -> Result<String, String> {
        let mut text = String::new();
        let _ = write!(
            text,
            "#[cfg(not(all(target_arch = \"x86_64\", target_os = \"linux\")))]\n\
             ::core::compile_error!(\"einsum! has code for x86-64 Linux only\");\n"
        );
        text += "mod einmesh_code {\n";
        for (number, image) in self.images.iter().enumerate() {
            // Some code is the same at several levels.
            if self.images[..number].iter().any(|other| other.symbol == image.symbol) {
                continue;
            }
            let (symbol, bytes) = (&image.symbol, image.bytes);
            let _ = write!(
                text,
                "::core::arch::global_asm!({:?}, options(att_syntax, raw));\n\
                 unsafe extern \"C\" {{ pub safe static {symbol}: [u8; {bytes}]; }}\n",
                image.assembly
            );
        }
        text += "}\n";
        let operands =
            list(self.program.operands.iter().zip(&self.manifest.inputs), |(array, input)| {
                format!(
                    "e::Described {{ name: {:?}, indices: &{:?}, extents: {} }}",
                    array.name,
                    array.dims,
                    list(input.dims.iter().map(|d| &d.global), fixed)
                )
            });
        let result = list(self.manifest.outputs[0].dims.iter().map(|d| &d.global), fixed);
        let temporaries = list(self.temporaries(), |buffer| {
            let buffer = &self.manifest.buffers[buffer];
            let (bytes, extents) = (buffer.dtype.bytes(), list(&buffer.extents, fixed));
            format!("e::Temporary {{ element: {bytes}, extents: {extents} }}")
        });
        let operands_most = self.manifest.steps.iter().map(|step| match step {
            Step::Launch { operands, .. } => operands.len(),
            _ => 0,
        });
        let (most, count) = (operands_most.max().unwrap_or(0), self.temporaries().len());
        let _ = writeln!(
            text,
            "const _: () = ::core::assert!({most} <= ::einmesh::__private::MAX_OPERANDS && \
             {count} <= ::einmesh::__private::MAX_TEMPORARIES, \
             \"this einsum has too many steps: write a `.ein` file and use `program!`\");"
        );
        let mut code = Vec::new();
        for number in 0..self.images.len() {
            code.push(self.code(number)?);
        }
        let _ = write!(
            text,
            "static EINMESH_EINSUM: ::einmesh::__private::Einsum = {{\n\
             use ::einmesh::__private as e;\n\
             e::Einsum {{ text: {:?}, symbols: &[], operands: {operands}, result: {result}, \
             temporaries: {temporaries}, code: {}, chosen: e::Chosen::new() }} }};\n",
            self.program.equation,
            list(code, |c| c)
        );
        Ok(text)
    }

    /// The buffers that are neither operands nor the result.
    fn temporaries(&self) -> Vec<usize> {
        let buffers = self.manifest.buffers.iter().enumerate();
        buffers.filter(|(_, b)| matches!(b.storage, Storage::Arena(_))).map(|(n, _)| n).collect()
    }

    fn code(&self, image: usize) -> Result<String, String> {
        let kernels = || self.manifest.kernels.iter().flat_map(|k| &k.phases[image]);
        let workspace = kernels().map(|p| p.workspace_bytes).max().unwrap_or(0);
        let scratch = kernels().map(|p| p.scratch_bytes).max().unwrap_or(0);
        let mut steps = Vec::new();
        for step in &self.manifest.steps {
            steps.push(self.step(step, image)?);
        }
        Ok(format!(
            "e::Code {{ level: {:?}, image: e::Image(&raw const einmesh_code::{} as *const u8), steps: {}, \
             workspace_bytes: {workspace}, scratch_bytes: {scratch} }}",
            self.manifest.images[image].level,
            self.images[image].symbol,
            list(steps, |s| s)
        ))
    }

    fn step(&self, step: &Step, image: usize) -> Result<String, String> {
        match step {
            Step::Launch { kernel, operands, ints } if ints.is_empty() => {
                let kernel = *kernel as usize;
                let phases = list(&self.manifest.kernels[kernel].phases[image], phase);
                let operands = list(operands, |buffer| self.place(*buffer));
                let points = fixed(&self.points[kernel]);
                Ok(format!("e::Step {{ phases: {phases}, operands: {operands}, points: &[{points}] }}"))
            }
            _ => Err("this needs a loop, which `einsum!` does not have\nhelp: write a `.ein` file and use \
                      `program!`"
                .to_owned()),
        }
    }

    fn place(&self, buffer: u32) -> String {
        match self.manifest.buffers[buffer as usize].storage {
            Storage::Input(number) => format!("e::Place::Operand({number})"),
            Storage::Output(_) => "e::Place::Result".to_owned(),
            Storage::Arena(_) => {
                let number = self.temporaries().iter().position(|own| *own == buffer as usize);
                format!("e::Place::Temporary({})", number.expect("it is in the arena"))
            }
        }
    }
}

fn phase(phase: &Phase) -> String {
    let tiles = format!("e::Blocks {{ extent: e::Extent::Fixed({}), block: 1 }}", phase.tiles);
    format!("e::Phase {{ entry: {}, tiles: &[{tiles}] }}", phase.entry)
}
