//! Tokens in mapped files.

use memmap2::Mmap;
use std::ops::Range;

/// A long row of tokens. The file is mapped, not read: what is not looked at costs no memory.
///
/// Whoever shortens a file meanwhile kills the process with SIGBUS, as with every mapped file.
#[derive(Debug)]
pub enum Tokens {
    /// A token is a byte.
    Bytes(Mmap),
    /// A token is four bytes, little endian.
    Words(Mmap),
}

impl Tokens {
    /// How many there are.
    pub fn len(&self) -> u64 {
        match self {
            Tokens::Bytes(map) => map.len() as u64,
            Tokens::Words(map) => map.len() as u64 / 4,
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The first token of this number or above.
    pub fn first_beyond(&self, most: u64) -> Option<u64> {
        match self {
            Tokens::Bytes(map) => map.iter().map(|b| u64::from(*b)).find(|t| *t >= most),
            Tokens::Words(map) => {
                let words = map.as_chunks::<4>().0.iter();
                words.map(|w| u64::from(u32::from_le_bytes(*w))).find(|t| *t >= most)
            }
        }
    }

    /// Appends some to a list.
    pub fn copy(&self, range: Range<u64>, to: &mut Vec<i32>) {
        let (begin, end) = (range.start as usize, range.end as usize);
        match self {
            Tokens::Bytes(map) => to.extend(map[begin..end].iter().map(|b| i32::from(*b))),
            Tokens::Words(map) => {
                let words = map[4 * begin..4 * end].as_chunks::<4>().0;
                to.extend(words.iter().map(|w| i32::from_le_bytes(*w)));
            }
        }
    }
}
