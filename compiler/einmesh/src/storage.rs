//! Shared memory for elements, aligned to cache lines.

use std::fmt;
use std::mem::MaybeUninit;
use std::sync::Arc;

/// The alignment of every tensor's first element.
pub(crate) const ALIGNMENT: usize = 64;

/// A cache line. It may be uninitialised, so that memory need not be zeroed before it is filled.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
struct Line([MaybeUninit<u8>; ALIGNMENT]);

/// Bytes that several tensors may share until one is written.
#[derive(Clone)]
pub(crate) struct Storage {
    // One allocation for the counts and the lines.
    lines: Arc<[Line]>,
}

impl Storage {
    /// Memory that is not initialised.
    #[inline]
    pub(crate) fn uninit(bytes: usize) -> Storage {
        let lines = Arc::<[Line]>::new_uninit_slice(bytes.div_ceil(ALIGNMENT));
        // SAFETY: a line is a value whatever its bytes are, uninitialised ones included.
        Storage { lines: unsafe { lines.assume_init() } }
    }

    /// Zeros.
    pub(crate) fn zeroed(bytes: usize) -> Storage {
        let lines = Arc::<[Line]>::new_zeroed_slice(bytes.div_ceil(ALIGNMENT));
        // SAFETY: as in `uninit`.
        Storage { lines: unsafe { lines.assume_init() } }
    }

    /// The first byte.
    #[inline]
    pub(crate) fn as_ptr(&self) -> *const u8 {
        self.lines.as_ptr().cast()
    }

    /// The first byte, of memory that is not shared from now on: what others share is copied.
    #[inline]
    pub(crate) fn make_mut(&mut self) -> *mut u8 {
        Arc::make_mut(&mut self.lines).as_mut_ptr().cast()
    }
}

impl fmt::Debug for Storage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} lines at {:p}", self.lines.len(), self.as_ptr())
    }
}
