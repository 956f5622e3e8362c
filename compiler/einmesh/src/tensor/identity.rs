//! What elements are known as to programs that have read them.

use std::sync::atomic::{AtomicU64, Ordering};

/// A number for a tensor's elements as they are now: a program that has read them need not read them again as long as
/// the number is the same. Clones have it too; who writes the elements clears it.
#[derive(Debug, Default)]
pub(crate) struct Identity(AtomicU64);

/// The next number. 64 bits are enough for all tensors of a process.
static NEXT: AtomicU64 = AtomicU64::new(1);

impl Identity {
    /// The number, given now if there is none. Two tensors of equal elements may have different ones.
    pub fn get(&self) -> u64 {
        let known = self.0.load(Ordering::Relaxed);
        if known != 0 {
            return known;
        }
        let new = NEXT.fetch_add(1, Ordering::Relaxed);
        // If another thread was first, its number holds.
        let set = self.0.compare_exchange(0, new, Ordering::Relaxed, Ordering::Relaxed);
        set.map_or_else(|other| other, |_| new)
    }

    /// The same number for other owners of the same elements.
    pub fn share(&self) -> Identity {
        Identity(AtomicU64::new(self.get()))
    }

    /// Forgets the number: the elements are going to change.
    #[inline]
    pub fn clear(&mut self) {
        *self.0.get_mut() = 0;
    }
}
