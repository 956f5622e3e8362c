//! What a step does, ready to be cut into ranges that any thread may do.

use super::launch::{Failure, Work, guard, thread_number};
use super::machine::Machine;
use crate::collective::{Members, Pattern, compute};
use crate::module::Phase;
use einmesh_artifact::{DType, Reduction};

/// The operands and numbers of a launch, for each device one after the other.
#[derive(Default)]
pub(super) struct Arguments {
    pub(super) operands: Vec<*mut u8>,
    pub(super) operands_each: usize,
    pub(super) ints: Vec<i64>,
    pub(super) ints_each: usize,
    /// The bytes of all operands.
    pub(super) bytes: u64,
}

// SAFETY: tasks only read the lists; what the pointers lead to is written by the tasks as the
// kernel's tiles allow.
unsafe impl Sync for Arguments {}

/// A kernel's phase: all tiles of all devices.
pub(super) struct Tiles<'a> {
    pub(super) machine: &'a Machine,
    pub(super) phase: &'a Phase,
    pub(super) arguments: &'a Arguments,
    /// Whether it runs beside other launches, which have the devices' other workspaces.
    pub(super) ahead: bool,
}

impl Work for Tiles<'_> {
    fn total(&self) -> u64 {
        self.phase.tiles * self.machine.devices.len() as u64
    }

    fn bytes(&self) -> u64 {
        self.arguments.bytes
    }

    fn run(&self, begin: u64, end: u64) -> Result<(), Failure> {
        let Tiles { machine, phase, arguments, ahead } = self;
        let each = phase.tiles;
        let mut next = begin;
        while next < end {
            let device = (next / each) as usize;
            let tile = next % each;
            let count = (each - tile).min(end - next);
            guard(device as u64, || {
                let operands = &arguments.operands[device * arguments.operands_each..];
                let ints = &arguments.ints[device * arguments.ints_each..];
                let thread = thread_number();
                // SAFETY: this is the call that the manifest describes. The operands are the
                // device's buffers, with the sizes that validation checked; each tile is computed by
                // one call; the scratch memory is this thread's, and no task is started inside of
                // the call that could take the thread; the workspace is that of launches in turn, or of
                // those ahead, and of either there is one at a time.
                unsafe {
                    (phase.function)(
                        operands.as_ptr(),
                        ints.as_ptr(),
                        machine.workspace(device, *ahead),
                        machine.scratch(thread),
                        tile as i64,
                        (tile + count) as i64,
                    );
                }
            })?;
            next += count;
        }
        Ok(())
    }
}

/// A copy of a whole buffer on every device.
pub(super) struct Copy {
    /// The bytes of each device's buffer.
    pub(super) each: u64,
    /// Each device's source and destination.
    pub(super) addresses: Vec<(usize, usize)>,
}

impl Copy {
    /// Whether the ranges may be copied in any order: source and destination are apart.
    pub(super) fn is_apart(&self) -> bool {
        self.addresses.iter().all(|(from, to)| from.abs_diff(*to) as u64 >= self.each)
    }
}

impl Work for Copy {
    fn total(&self) -> u64 {
        self.each * self.addresses.len() as u64
    }

    fn bytes(&self) -> u64 {
        self.total()
    }

    fn run(&self, begin: u64, end: u64) -> Result<(), Failure> {
        let mut next = begin;
        while next < end {
            let (device, offset) = ((next / self.each) as usize, next % self.each);
            let count = (self.each - offset).min(end - next);
            let (from, to) = self.addresses[device];
            // SAFETY: both buffers have `each` bytes, and the range lies inside of them; they are apart.
            unsafe {
                let from = (from as *const u8).add(offset as usize);
                let to = (to as *mut u8).add(offset as usize);
                to.copy_from_nonoverlapping(from, count as usize);
            }
            next += count;
        }
        Ok(())
    }
}

/// A collective in all groups.
pub(super) struct Exchange {
    pub(super) pattern: Pattern,
    pub(super) reduction: Option<Reduction>,
    pub(super) dtype: DType,
    /// Of each group: the rank that stands for it in messages, and the members.
    pub(super) groups: Vec<(u64, Members)>,
    /// The bytes that all devices give.
    pub(super) bytes: u64,
}

// SAFETY: tasks only read the lists; the memory they lead to is read and written as `run` argues.
unsafe impl Sync for Exchange {}

impl Work for Exchange {
    fn total(&self) -> u64 {
        self.pattern.elements * self.groups.len() as u64
    }

    fn bytes(&self) -> u64 {
        self.bytes
    }

    fn run(&self, begin: u64, end: u64) -> Result<(), Failure> {
        let each = self.pattern.elements;
        let mut next = begin;
        while next < end {
            let (group, from) = ((next / each) as usize, next % each);
            let count = (each - from).min(end - next);
            let (rank, members) = &self.groups[group];
            guard(*rank, || {
                // SAFETY: validation checked the buffers' extents against the collective's.
                // Ranges of different tasks are disjoint, inputs are written by nobody during
                // the step, and overlapping inputs and outputs have been refused.
                unsafe {
                    let end = from + count;
                    compute(&self.pattern, self.reduction, self.dtype, members, from, end);
                }
            })?;
            next += count;
        }
        Ok(())
    }
}
