//! Shared memory for elements, aligned to cache lines.

use std::fmt;
use std::mem::MaybeUninit;
use std::sync::Arc;

/// The alignment of every tensor's first element.
pub(crate) const ALIGNMENT: usize = 64;

/// Eight bytes, which may be uninitialised, so that memory need not be zeroed before it is filled.
type Word = MaybeUninit<u64>;
const WORD: usize = size_of::<Word>();

/// So many bytes may be more than there are; of fewer, nobody asks twice.
const LARGE: usize = 1 << 30;

/// Bytes that several tensors may share until one is written.
///
/// They begin at the first cache line of the allocation, which has as much more as that may take: allocators are
/// several times faster where no alignment is asked of them, and most of the time of a small einsum is theirs.
#[derive(Clone)]
pub(crate) struct Storage {
    // One allocation for the counts and the words.
    words: Arc<[Word]>,
    bytes: usize,
}

/// The words that some bytes take.
fn words_of(bytes: usize) -> usize {
    bytes.div_ceil(WORD) + (ALIGNMENT - WORD) / WORD
}

impl Storage {
    /// Memory that is not initialised.
    #[inline]
    pub(crate) fn uninit(bytes: usize) -> Storage {
        let words = Arc::<[Word]>::new_uninit_slice(words_of(bytes));
        // SAFETY: a word is a value whatever its bytes are, uninitialised ones included.
        Storage { words: unsafe { words.assume_init() }, bytes }
    }

    /// As [`Storage::uninit`]; `None` if there is no such memory, as far as that is known before it is written.
    #[inline]
    pub(crate) fn try_uninit(bytes: usize) -> Option<Storage> {
        if bytes >= LARGE {
            // Memory of an `Arc` cannot be asked for yet without ending the process if there is none.
            let mut trial = Vec::<u8>::new();
            trial.try_reserve_exact(words_of(bytes) * WORD).ok()?;
            // An allocation that nobody looks at would not be made.
            std::hint::black_box(&mut trial);
        }
        Some(Storage::uninit(bytes))
    }

    /// Zeros.
    pub(crate) fn zeroed(bytes: usize) -> Storage {
        let words = Arc::<[Word]>::new_zeroed_slice(words_of(bytes));
        // SAFETY: as in `uninit`.
        Storage { words: unsafe { words.assume_init() }, bytes }
    }

    /// The first byte.
    #[inline]
    pub(crate) fn as_ptr(&self) -> *const u8 {
        let start = self.words.as_ptr().cast::<u8>();
        start.wrapping_add(start.addr().wrapping_neg() % ALIGNMENT)
    }

    /// The first byte, of memory that is not shared from now on: what others share is copied.
    #[inline]
    pub(crate) fn make_mut(&mut self) -> *mut u8 {
        if Arc::get_mut(&mut self.words).is_none() {
            let mut own = Storage::uninit(self.bytes);
            // SAFETY: both have this many bytes, and the new ones are nobody else's.
            unsafe { own.start_mut().copy_from_nonoverlapping(self.as_ptr(), self.bytes) };
            *self = own;
        }
        self.start_mut()
    }

    /// As [`Storage::make_mut`], of memory that is not shared.
    #[inline]
    pub(crate) fn start_mut(&mut self) -> *mut u8 {
        let words = Arc::get_mut(&mut self.words).expect("the memory is not shared");
        let start = words.as_mut_ptr().cast::<u8>();
        start.wrapping_add(start.addr().wrapping_neg() % ALIGNMENT)
    }
}

impl fmt::Debug for Storage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes at {:p}", self.bytes, self.as_ptr())
    }
}
