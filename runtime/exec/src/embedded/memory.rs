//! Memory that calls need for themselves, kept by each thread.

use crate::memory::ALIGNMENT;
use std::alloc::{Layout, alloc, dealloc};
use std::cell::Cell;
use std::ptr::null_mut;

/// A thread gives back what is larger than this after a call.
const KEPT: usize = 16 << 20;

/// Uninitialised memory, aligned for kernels.
pub(super) struct Block {
    memory: *mut u8,
    bytes: usize,
}

impl Block {
    const EMPTY: Block = Block { memory: null_mut(), bytes: 0 };

    /// `None` if there is no such memory.
    fn new(bytes: usize) -> Option<Block> {
        let Some(layout) = layout(bytes) else {
            return Some(Block::EMPTY);
        };
        // SAFETY: the layout is not of zero bytes.
        let memory = unsafe { alloc(layout) };
        (!memory.is_null()).then_some(Block { memory, bytes })
    }

    pub(super) fn start(&self) -> *mut u8 {
        self.memory
    }
}

impl Drop for Block {
    fn drop(&mut self) {
        if let Some(layout) = layout(self.bytes) {
            // SAFETY: it was allocated with this layout.
            unsafe { dealloc(self.memory, layout) };
        }
    }
}

/// How memory of so many bytes is asked for; `None` of no bytes.
pub(super) fn layout(bytes: usize) -> Option<Layout> {
    (bytes > 0).then(|| {
        Layout::from_size_align(bytes, ALIGNMENT).expect("sizes are checked to be those of memory")
    })
}

thread_local! {
    /// Of calls: intermediate values and the workspace.
    static OF_CALLS: Cell<Block> = const { Cell::new(Block::EMPTY) };
    /// Of tiles.
    static OF_TILES: Cell<Block> = const { Cell::new(Block::EMPTY) };
}

/// Which memory is wanted.
#[derive(Clone, Copy)]
pub(super) enum For {
    /// A call, which may wait for other threads and meanwhile make another call.
    Call,
    /// Tiles of a kernel, which nothing interrupts.
    Tiles,
}

/// Runs `work` with at least so many bytes; `None` if there is no such memory.
///
/// The thread's memory is taken out of its place meanwhile: a call inside of `work`, which rayon may make while it
/// waits, finds none and gets memory of its own.
pub(super) fn with<R>(purpose: For, bytes: usize, work: impl FnOnce(*mut u8) -> R) -> Option<R> {
    if bytes == 0 {
        return Some(work(null_mut()));
    }
    let place = match purpose {
        For::Call => &OF_CALLS,
        For::Tiles => &OF_TILES,
    };
    // At the end of a thread there is no place left: then the memory is for once.
    let mut block = place.try_with(|kept| kept.replace(Block::EMPTY)).unwrap_or(Block::EMPTY);
    if block.bytes < bytes {
        drop(block);
        block = Block::new(bytes)?;
    }
    let result = work(block.start());
    if block.bytes <= KEPT {
        let _ = place.try_with(|kept| kept.set(block));
    }
    Some(result)
}
