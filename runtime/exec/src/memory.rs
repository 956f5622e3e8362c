//! Memory regions.

use crate::error::RunError;
use memmap2::{Advice, MmapMut, MmapRaw, UncheckedAdvice};

/// What buffers are aligned to.
pub(crate) const ALIGNMENT: usize = 64;
/// From this size on, huge pages are asked for.
const HUGE: usize = 2 << 20;
/// A multiple of the size of a page on every system.
const PAGES: usize = 64 << 10;

/// A block of memory, zeroed at first, that devices share as raw pointers.
///
/// It never moves and lives until it is dropped. Who writes what and when is the session's protocol
/// (see `README.md`); Rust's references never point into it while a run is under way.
pub(crate) struct Region {
    map: MmapRaw,
}

impl Region {
    /// Memory of at least this size. Pages are taken from the system when they are first touched.
    pub(crate) fn new(bytes: u64, what: &'static str) -> Result<Region, RunError> {
        let fail = |source| RunError::Memory {
            bytes,
            what,
            help: "use smaller dims, more memory, or fewer devices",
            source,
        };
        let length = usize::try_from(bytes).map_err(|e| fail(std::io::Error::other(e)))?;
        // A mapping cannot be empty.
        let map = MmapMut::map_anon(length.max(1)).map_err(fail)?;
        if length >= HUGE {
            // Only a hint: a kernel without huge pages refuses it, and nothing is lost.
            let _ = map.advise(Advice::HugePage);
        }
        Ok(Region { map: MmapRaw::from(map) })
    }

    /// The address of the byte at `offset`.
    pub(crate) fn at(&self, offset: u64) -> *mut u8 {
        debug_assert!(offset <= self.map.len() as u64);
        self.map.as_mut_ptr().wrapping_add(offset as usize)
    }

    /// Whether an address is one of this memory.
    pub(crate) fn contains(&self, address: *const u8) -> bool {
        self.offset(address) < self.map.len()
    }

    fn offset(&self, address: *const u8) -> usize {
        address.addr().wrapping_sub(self.map.as_ptr().addr())
    }

    /// Gives the system back the pages that lie wholly in a range of this memory: their contents are lost, and
    /// they are zeroed when they are next touched.
    ///
    /// # Safety
    ///
    /// Nothing may read or write the range meanwhile, or have a reference into it.
    pub(crate) unsafe fn release(&self, address: *const u8, bytes: usize) {
        let begin = self.offset(address);
        debug_assert!(begin + bytes <= self.map.len(), "a range of this memory");
        let (from, to) = (begin.next_multiple_of(PAGES), (begin + bytes) / PAGES * PAGES);
        if from < to {
            // SAFETY: the caller vouches that nobody looks at the range, whose pages stay mapped. If the system
            // refuses, the memory is only kept for longer.
            let _ = unsafe {
                self.map.unchecked_advise_range(UncheckedAdvice::DontNeed, from, to - from)
            };
        }
    }
}

/// Gives out aligned offsets one after the other.
#[derive(Default)]
pub(crate) struct Offsets {
    next: u64,
}

impl Offsets {
    /// The offset of a new block.
    pub(crate) fn reserve(&mut self, bytes: u64) -> u64 {
        let offset = self.next;
        // An overflow leaves a size that no system can give: the allocation reports it.
        self.next = offset.saturating_add(aligned(bytes));
        offset
    }

    /// The bytes given out.
    pub(crate) fn total(&self) -> u64 {
        self.next
    }
}

/// The size rounded up to the alignment.
pub(crate) fn aligned(bytes: u64) -> u64 {
    bytes.checked_next_multiple_of(ALIGNMENT as u64).unwrap_or(u64::MAX)
}
