//! Whether operands' shapes fit, and what they say of the extents that were left open.

use super::{Einsum, Extent};
use std::fmt;

/// At most so many extents may be open: they are kept without allocating.
pub const MAX_SYMBOLS: usize = 16;

/// An extent that was left open may not be larger: code counts positions in 32 bits.
const MAX_EXTENT: u64 = i32::MAX as u64;

/// The extents of one call.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Shapes {
    symbols: [i64; MAX_SYMBOLS],
}

/// Why operands do not fit.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Mismatch {
    /// An operand has another extent than was compiled in, or than an operand before it has.
    Extent {
        /// What the user wrote.
        einsum: &'static str,
        /// The operand.
        operand: &'static str,
        /// The dimension, outermost first.
        position: usize,
        /// What it is subscripted with.
        index: &'static str,
        /// What it has to be.
        expected: u64,
        /// Where that comes from: an operand, or `None` if it was written in the macro.
        from: Option<&'static str>,
        /// What it is.
        got: u64,
    },
    /// A part of a dimension is larger than it.
    Within {
        /// What the user wrote.
        einsum: &'static str,
        /// The part's extent.
        less: u64,
        /// The dimension's.
        more: u64,
    },
    /// An array would have more bytes than an address has values.
    TooLarge {
        /// What the user wrote.
        einsum: &'static str,
        /// What is too large.
        what: &'static str,
    },
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Mismatch::Extent { einsum, operand, position, index, expected, from, got } => {
                write!(
                    f,
                    "dimension {position} (`{index}`) of `{operand}` is {got}, but `{index}` is {expected} "
                )?;
                match from {
                    None => write!(f, "by the macro's extents")?,
                    Some(other) => write!(f, "in `{other}`")?,
                }
                write!(f, "\nin `einsum!({einsum})`")
            }
            Mismatch::Within { einsum, less, more } => {
                write!(
                    f,
                    "an index of extent {less} subscripts a dimension of {more} in `einsum!({einsum})`"
                )
            }
            Mismatch::TooLarge { einsum, what } => {
                write!(f, "{what} of `einsum!({einsum})` is larger than code or memory can have it")
            }
        }
    }
}

impl std::error::Error for Mismatch {}

impl Shapes {
    pub(super) fn symbols(&self) -> &[i64; MAX_SYMBOLS] {
        &self.symbols
    }

    /// The extent in this call.
    pub fn extent(&self, extent: Extent) -> u64 {
        match extent {
            Extent::Fixed(extent) => extent,
            Extent::Symbol(symbol) => self.symbols[symbol as usize] as u64,
        }
    }

    /// The product of extents; `None` if it exceeds what memory can have.
    pub(super) fn product(&self, first: u64, extents: &[Extent]) -> Option<u64> {
        let all = extents.iter().map(|e| self.extent(*e));
        // An array without elements has none, however large its other extents are.
        if all.clone().any(|e| e == 0) {
            return Some(0);
        }
        let product = all.clone().try_fold(first, |n, extent| n.checked_mul(extent))?;
        (product <= isize::MAX as u64).then_some(product)
    }
}

impl Einsum {
    /// What the operands' shapes say of the extents, if they fit.
    ///
    /// # Panics
    ///
    /// If there are other than [`Einsum::operands`] shapes, or one has another number of dimensions: the macro passes
    /// what it has counted.
    pub fn shapes_of(&self, shapes: &[&[usize]]) -> Result<Shapes, Mismatch> {
        assert_eq!(shapes.len(), self.operands.len(), "one shape per operand");
        let mut known = Shapes { symbols: [-1; MAX_SYMBOLS] };
        for (operand, shape) in self.operands.iter().zip(shapes) {
            assert_eq!(
                shape.len(),
                operand.extents.len(),
                "as many extents as the operand has dimensions"
            );
            for (position, (extent, got)) in operand.extents.iter().zip(*shape).enumerate() {
                // Larger ones are refused below; a symbol that is not known yet is negative.
                let got = (*got as u64).min(i64::MAX as u64);
                let expected = match *extent {
                    Extent::Fixed(expected) => expected,
                    Extent::Symbol(symbol) => {
                        let known = &mut known.symbols[symbol as usize];
                        if *known < 0 {
                            *known = got as i64;
                        }
                        *known as u64
                    }
                };
                if got != expected {
                    return Err(Mismatch::Extent {
                        einsum: self.text,
                        operand: operand.name,
                        position,
                        index: operand.indices[position],
                        expected,
                        from: self.says(*extent),
                        got,
                    });
                }
            }
        }
        let open = known.symbols.iter().zip(self.symbols);
        if let Some((_, index)) = open.clone().find(|(extent, _)| **extent as u64 > MAX_EXTENT) {
            return Err(Mismatch::TooLarge { einsum: self.text, what: index });
        }
        match self.within.iter().find(|(less, more)| known.extent(*less) > known.extent(*more)) {
            None => Ok(known),
            Some((less, more)) => {
                let (less, more) = (known.extent(*less), known.extent(*more));
                Err(Mismatch::Within { einsum: self.text, less, more })
            }
        }
    }

    /// The first operand that has an extent, if it was left open: it says what the extent is.
    fn says(&self, extent: Extent) -> Option<&'static str> {
        let Extent::Symbol(_) = extent else { return None };
        self.operands
            .iter()
            .find(|operand| operand.extents.contains(&extent))
            .map(|operand| operand.name)
    }
}
