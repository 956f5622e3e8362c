//! Calls: the steps on the caller's memory, with rayon's threads where there is much to do.

use super::memory::{self, For};
use super::{Chosen, Code, Einsum, Extent, Mismatch, Phase, Place, Shapes, Step};
use crate::cpu;
use crate::error::RunError;
use crate::memory::aligned;
use crate::module::TileFn;
use rayon::prelude::*;
use std::alloc::handle_alloc_error;

/// So many points of an index space are worth waking a thread for: a matrix product of them takes some 20 µs.
const SHARED_POINTS: u64 = 1 << 19;
/// Tasks per thread at most: enough that uneven tiles balance.
const TASKS_PER_THREAD: u64 = 4;
/// Kernels have at most so many operands: their addresses are kept without allocating.
pub const MAX_OPERANDS: usize = 32;
/// There are at most so many intermediate values, likewise.
pub const MAX_TEMPORARIES: usize = 16;

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// An operand or an intermediate value has a wrong size.
    #[error(transparent)]
    Mismatch(#[from] Mismatch),
    /// The CPU cannot run the code.
    #[error(transparent)]
    Cpu(#[from] RunError),
}

impl Code {
    /// The order with the least to do.
    fn best(&self, shapes: &Shapes) -> usize {
        let points = |steps: &[Step]| -> f64 {
            let extents =
                |step: &Step| step.points.iter().map(|e| shapes.extent(*e) as f64).product::<f64>();
            steps.iter().map(extents).sum()
        };
        if self.orders.len() < 2 {
            return 0;
        }
        let all = self.orders.iter().map(|steps| points(steps)).enumerate();
        all.min_by(|a, b| a.1.total_cmp(&b.1)).map_or(0, |(order, _)| order)
    }
}

/// What the tiles of a launch get.
struct Arguments<'a> {
    operands: &'a [*mut u8],
    symbols: *const i64,
    workspace: *mut u8,
}

// SAFETY: tasks only read the lists; what the pointers lead to is written by tiles, which are independent.
unsafe impl Sync for Arguments<'_> {}

impl Einsum {
    /// Computes the result.
    ///
    /// # Safety
    ///
    /// `operands` are arrays of [`Einsum::operands`]' element types and of the shapes that `shapes` was made from,
    /// row-major and dense; `result` is memory of the result's size and element type that nothing else looks at. All
    /// are aligned to their elements. The description is one that the macro wrote.
    pub unsafe fn call(
        &self,
        operands: &[*const u8],
        result: *mut u8,
        shapes: &Shapes,
    ) -> Result<(), CallError> {
        let code = self.code()?;
        let order = code.best(shapes);
        let mut bytes = aligned(code.workspace_bytes);
        let mut temporaries = [0u64; MAX_TEMPORARIES];
        let what = "an intermediate value";
        for (place, temporary) in temporaries.iter_mut().zip(self.temporaries[order]) {
            *place = bytes;
            let own = shapes.product(temporary.element, temporary.extents);
            let end = own.and_then(|own| bytes.checked_add(aligned(own)));
            let end = end.filter(|end| *end <= isize::MAX as u64 / 2);
            bytes = end.ok_or(Mismatch::TooLarge { einsum: self.text, what })?;
        }
        let done = memory::with(For::Call, bytes as usize, |memory| {
            for step in code.orders[order] {
                let mut addresses = [std::ptr::null_mut(); MAX_OPERANDS];
                for (address, place) in addresses.iter_mut().zip(step.operands) {
                    *address = match *place {
                        // Kernels only read their operands.
                        Place::Operand(number) => operands[number as usize].cast_mut(),
                        Place::Result => result,
                        Place::Temporary(number) => {
                            memory.wrapping_add(temporaries[number as usize] as usize)
                        }
                    };
                }
                let arguments = Arguments {
                    operands: &addresses[..step.operands.len()],
                    symbols: shapes.symbols().as_ptr(),
                    workspace: memory,
                };
                let points = shapes.product(1, step.points).unwrap_or(u64::MAX);
                for phase in step.phases {
                    // SAFETY: the caller vouches for the operands, and the macro for the code.
                    unsafe { self.phase(code, phase, &arguments, shapes, points) };
                }
            }
        });
        Ok(done.ok_or(Mismatch::TooLarge { einsum: self.text, what })?)
    }

    /// # Safety
    ///
    /// As [`Einsum::call`].
    unsafe fn phase(
        &self,
        code: &Code,
        phase: &Phase,
        arguments: &Arguments<'_>,
        shapes: &Shapes,
        points: u64,
    ) {
        let product = |all: &[Extent]| {
            all.iter().fold(1u64, |n, extent| n.saturating_mul(shapes.extent(*extent)))
        };
        // Dividing takes longer than anything else here, and most often it is by 1.
        let blocks = phase.tiles.iter().map(|b| match b.block {
            1 => product(b.extents),
            block => product(b.extents).div_ceil(block),
        });
        // Of more tiles than this none could have been given memory.
        let tiles = blocks.fold(1u64, u64::saturating_mul).min(i64::MAX as u64);
        let entry = code.image.0.wrapping_add(phase.entry as usize);
        // SAFETY: the macro found a phase's function to begin there.
        let function = unsafe { std::mem::transmute::<*const u8, TileFn>(entry) };
        let run = |begin: u64, end: u64| {
            let bytes = code.scratch_bytes as usize;
            let done = memory::with(For::Tiles, bytes, |scratch| {
                // SAFETY: the operands are as the code expects them, each tile is computed by one call, and the
                // scratch memory is this thread's.
                unsafe {
                    function(
                        arguments.operands.as_ptr(),
                        arguments.symbols,
                        arguments.workspace,
                        scratch,
                        begin as i64,
                        end as i64,
                    );
                }
            });
            // A few megabytes at most.
            if let (None, Some(layout)) = (done, memory::layout(bytes)) {
                handle_alloc_error(layout);
            }
        };
        if points < SHARED_POINTS || tiles < 2 {
            return if tiles > 0 {
                run(0, tiles)
            };
        }
        let threads = rayon::current_num_threads() as u64;
        if threads < 2 {
            return run(0, tiles);
        }
        let tasks = tiles.min(threads * TASKS_PER_THREAD);
        let at = |task: u64| (u128::from(tiles) * u128::from(task) / u128::from(tasks)) as u64;
        (0..tasks).into_par_iter().for_each(|task| run(at(task), at(task + 1)));
    }

    /// The code that this CPU runs.
    fn code(&self) -> Result<&'static Code, RunError> {
        let choose = || {
            let limit = cpu::limit();
            let allowed = cpu::allowed(limit.as_deref()).ok()?;
            self.code.iter().position(|code| allowed.contains(&code.level) && cpu::runs(code.level))
        };
        let Chosen(chosen) = &self.chosen;
        match *chosen.get_or_init(choose) {
            Some(number) => Ok(&self.code[number]),
            None => {
                let limit = cpu::limit();
                let allowed = cpu::allowed(limit.as_deref())?;
                let levels: Vec<&str> = self.code.iter().map(|code| code.level).collect();
                Err(RunError::Cpu { available: levels.join(", "), cpu: cpu::level(allowed) })
            }
        }
    }
}
