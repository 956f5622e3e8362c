//! Memory that calls need for themselves, kept by each thread.

use crate::memory::ALIGNMENT;
use std::alloc::{Layout, alloc, dealloc, handle_alloc_error};
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

    fn new(bytes: usize) -> Block {
        let Some(layout) = Block::layout(bytes) else {
            return Block::EMPTY;
        };
        // SAFETY: the layout is not of zero bytes.
        let memory = unsafe { alloc(layout) };
        if memory.is_null() {
            handle_alloc_error(layout);
        }
        Block { memory, bytes }
    }

    /// `None` of no bytes.
    fn layout(bytes: usize) -> Option<Layout> {
        (bytes > 0).then(|| {
            Layout::from_size_align(bytes, ALIGNMENT)
                .expect("sizes are checked to be those of memory")
        })
    }

    pub(super) fn start(&self) -> *mut u8 {
        self.memory
    }
}

impl Drop for Block {
    fn drop(&mut self) {
        if let Some(layout) = Block::layout(self.bytes) {
            // SAFETY: it was allocated with this layout.
            unsafe { dealloc(self.memory, layout) };
        }
    }
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

/// Runs `work` with at least so many bytes.
///
/// The thread's memory is taken out of its place meanwhile: a call inside of `work`, which rayon may make while it
/// waits, finds none and gets memory of its own.
pub(super) fn with<R>(purpose: For, bytes: usize, work: impl FnOnce(*mut u8) -> R) -> R {
    if bytes == 0 {
        return work(null_mut());
    }
    let place = match purpose {
        For::Call => &OF_CALLS,
        For::Tiles => &OF_TILES,
    };
    // At the end of a thread there is no place left: then the memory is for once.
    let mut block = place.try_with(|kept| kept.replace(Block::EMPTY)).unwrap_or(Block::EMPTY);
    if block.bytes < bytes {
        drop(block);
        block = Block::new(bytes);
    }
    let result = work(block.start());
    if block.bytes <= KEPT {
        let _ = place.try_with(|kept| kept.set(block));
    }
    result
}
