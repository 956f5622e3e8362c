//! Index sets: which indices a term depends on, as bits over the block's index table.

use einmesh_ir::DimId;
use std::fmt;
use std::ops::{BitAnd, BitOr, Sub};

/// The number of an index in the block's [`crate::Table`].
pub type IndexNumber = u8;

/// The most indices a block can have; a block with more is left alone.
pub const MAX_INDICES: usize = 64;

/// A set of indices of one block.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct IndexSet(u64);

/// What an index ranges over. Index `copy` of a dim is the one a comprehension uses for its
/// `copy`-th local index of that dim; copy 0 is also the name of that dim's axis in every value.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct IndexInfo {
    /// The dim.
    pub dim: DimId,
    /// Which of the indices of this dim.
    pub copy: u32,
    /// The number of positions.
    pub extent: u64,
    /// A name for dumps and for the indices of generated comprehensions.
    pub name: String,
}

impl IndexSet {
    /// The set without elements.
    pub const EMPTY: IndexSet = IndexSet(0);

    /// The set of one index.
    pub fn single(index: IndexNumber) -> IndexSet {
        IndexSet(1 << index)
    }

    /// Whether there are no elements.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The number of elements.
    pub fn len(self) -> usize {
        self.0.count_ones() as usize
    }

    /// Whether the index is in the set.
    pub fn contains(self, index: IndexNumber) -> bool {
        self.0 >> index & 1 == 1
    }

    /// Whether every element of `self` is in `other`.
    pub fn is_subset(self, other: IndexSet) -> bool {
        self.0 & !other.0 == 0
    }

    /// Whether no index is in both.
    pub fn is_disjoint(self, other: IndexSet) -> bool {
        self.0 & other.0 == 0
    }

    /// The elements, ascending.
    pub fn iter(self) -> impl Iterator<Item = IndexNumber> {
        let mut left = self.0;
        std::iter::from_fn(move || {
            let lowest = left.trailing_zeros() as IndexNumber;
            left &= left.wrapping_sub(1);
            (usize::from(lowest) < MAX_INDICES).then_some(lowest)
        })
    }

    /// The set with its indices renamed simultaneously; `None` if two would coincide.
    pub fn renamed(self, map: &[(IndexNumber, IndexNumber)]) -> Option<IndexSet> {
        let from: IndexSet = map.iter().map(|(f, _)| *f).collect();
        let mut result = self - from;
        for (f, t) in map {
            if !self.contains(*f) {
                continue;
            }
            if result.contains(*t) {
                return None;
            }
            result = result | IndexSet::single(*t);
        }
        Some(result)
    }
}

impl FromIterator<IndexNumber> for IndexSet {
    fn from_iter<I: IntoIterator<Item = IndexNumber>>(iter: I) -> Self {
        iter.into_iter().fold(IndexSet::EMPTY, |set, i| set | IndexSet::single(i))
    }
}

impl BitOr for IndexSet {
    type Output = IndexSet;
    fn bitor(self, other: IndexSet) -> IndexSet {
        IndexSet(self.0 | other.0)
    }
}

impl BitAnd for IndexSet {
    type Output = IndexSet;
    fn bitand(self, other: IndexSet) -> IndexSet {
        IndexSet(self.0 & other.0)
    }
}

impl Sub for IndexSet {
    type Output = IndexSet;
    fn sub(self, other: IndexSet) -> IndexSet {
        IndexSet(self.0 & !other.0)
    }
}

impl fmt::Debug for IndexSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_are_listed_in_order_up_to_the_last_bit() {
        let set: IndexSet = [63, 0, 5].into_iter().collect();
        assert_eq!(set.iter().collect::<Vec<_>>(), [0, 5, 63]);
        assert_eq!(IndexSet::EMPTY.iter().next(), None);
        assert_eq!(set.renamed(&[(0, 5), (5, 0)]), Some(set), "exchanged");
        assert_eq!(set.renamed(&[(0, 5)]), None, "two would be one");
    }
}
