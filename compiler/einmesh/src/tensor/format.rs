//! Tensors as text.

use super::Tensor;
use crate::element::Element;
use std::fmt::{self, Debug, Display, Formatter};

/// Along each dim at most this many positions are shown at the beginning, and as many at the end.
const SHOWN: usize = 3;

impl<T: Element, const N: usize> Display for Tensor<T, N> {
    /// Nested brackets, as arrays are written; long dims are cut in the middle. A precision (`{:.3}`) is that of the elements.
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        nested(&self.shape, self.as_slice(), f)
    }
}

impl<T: Element, const N: usize> Debug for Tensor<T, N> {
    /// The type and the shape, then as [`Display`].
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        debug(&self.shape, self.as_slice(), f)
    }
}

pub(crate) fn debug<T: Element>(
    shape: &[usize],
    elements: &[T],
    f: &mut Formatter<'_>,
) -> fmt::Result {
    write!(f, "{}{shape:?} ", T::DTYPE.name())?;
    nested(shape, elements, f)
}

fn nested<T: Display>(shape: &[usize], elements: &[T], f: &mut Formatter<'_>) -> fmt::Result {
    let Some((extent, inner)) = shape.split_first() else {
        return elements[0].fmt(f);
    };
    let each = elements.len() / (*extent).max(1);
    let cut = *extent > 2 * SHOWN;
    f.write_str("[")?;
    for position in (0..*extent).filter(|i| !cut || *i < SHOWN || *i >= extent - SHOWN) {
        if position > 0 {
            f.write_str(", ")?;
        }
        if cut && position == extent - SHOWN {
            f.write_str("…, ")?;
        }
        nested(inner, &elements[position * each..][..each], f)?;
    }
    f.write_str("]")
}
