//! Phases: functions over tiles, in the runtime's calling convention.

use super::env::{self, Binding, Env, Known, Source, row_major};
use super::level::Level;
use super::value::memory;
use crate::build::{Builder, Scalar, Ty, V};
use crate::error::CompilerBug;
use crate::tuning::Sizes;
use einmesh_schedule::kernel::{Kernel, Memory, Role};

/// What the runtime must know of a phase, besides where it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PhaseShape {
    /// The number of tiles.
    pub tiles: u64,
    /// Bytes shared by all tiles.
    pub workspace_bytes: u64,
    /// Bytes of each call.
    pub scratch_bytes: u64,
}

/// The phases of one kernel, as they are added.
pub struct Phases<'c, 'b> {
    /// Where functions go.
    pub b: &'b Builder<'c>,
    /// The CPU level.
    pub level: Level,
    /// The sizes that the level's code is generated with.
    pub sizes: Sizes,
    /// What the functions' names start with.
    pub symbol: String,
    /// The phases so far.
    pub shapes: Vec<PhaseShape>,
    /// The functions that phases share, in this module, by name.
    pub shared: &'b mut std::collections::BTreeSet<String>,
}

/// Scratch memory is handed out in multiples of this.
pub const ALIGN: u64 = 64;

/// Bytes of scratch memory that a local needs.
pub fn bytes(memory_of: &Memory) -> u64 {
    let elements: u64 = memory_of.extents.iter().product();
    (elements * memory(memory_of.dtype).bytes()).next_multiple_of(ALIGN)
}

/// Bytes of scratch memory that a kernel's locals need.
pub fn local_bytes(kernel: &Kernel) -> u64 {
    kernel.values.iter().filter(|v| v.role == Role::Local).map(bytes).sum()
}

/// The name of a phase's function.
pub fn phase_symbol(symbol: &str, phase: usize) -> String {
    format!("{symbol}_p{phase}")
}

impl<'c> Phases<'c, '_> {
    /// Adds a phase; `body` gets the place outside of all loops, the first tile, and the one after the
    /// last.
    pub fn add(
        &mut self,
        kernel: &Kernel,
        shape: PhaseShape,
        body: impl FnOnce(&Env<'c, '_>, V<'c>, V<'c>),
    ) -> Result<(), CompilerBug> {
        self.add_raw(kernel, shape, |env, _, _, begin, end| body(env, begin, end))
    }

    /// As [`Phases::add`]; `body` also gets the workspace, and the scratch memory after the locals.
    pub fn add_raw(
        &mut self,
        kernel: &Kernel,
        shape: PhaseShape,
        body: impl FnOnce(&Env<'c, '_>, V<'c>, V<'c>, V<'c>, V<'c>),
    ) -> Result<(), CompilerBug> {
        let name = phase_symbol(&self.symbol, self.shapes.len());
        let b = self.b;
        let arguments = [Ty::PTR, Ty::PTR, Ty::PTR, Ty::PTR, Ty::I64, Ty::I64];
        b.function(&name, &arguments, true, |a| {
            let (operands, ints, workspace, scratch) = (a[0], a[1], a[2], a[3]);
            let mut sources = Vec::new();
            let mut next_operand = 0;
            let mut next_local = 0;
            for value in &kernel.values {
                let pointer = match value.role {
                    Role::Local => {
                        let pointer = b.byte_offset(scratch, next_local);
                        next_local += bytes(value) as i64;
                        pointer
                    }
                    _ => {
                        let slot = b.byte_offset(operands, 8 * next_operand);
                        next_operand += 1;
                        b.load(Ty::PTR, slot)
                    }
                };
                sources.push(Source::Memory(env::Memory {
                    pointer,
                    extents: value.extents.clone(),
                    strides: row_major(&value.extents),
                }));
            }
            let ints = (0..i64::from(kernel.ints))
                .map(|i| b.load(Ty::scalar(Scalar::I64), b.byte_offset(ints, 8 * i)))
                .collect();
            let env = Env {
                b,
                kernel,
                bindings: vec![Binding::Unbound; kernel.indices.len()],
                sources,
                ints,
                lanes: None,
                mask: None,
                known: vec![],
                extents: Known::default(),
            };
            body(&env, workspace, b.byte_offset(scratch, next_local), a[4], a[5]);
        });
        self.shapes.push(shape);
        Ok(())
    }
}
