//! Element types.

use einmesh_artifact::DType;
use half::{bf16, f16};
use std::fmt::{self, Debug, Display, Formatter};

/// A number type that tensors are made of: `f32`, `f64`, [`bf16`], [`f16`], `i32`, `i64`, `bool` and [`Key`].
///
/// The trait is sealed: these are the types that compiled code knows.
///
/// ```
/// use einmesh::{DType, Element};
///
/// fn bytes<T: Element>(_: &[T]) -> u64 {
///     T::DTYPE.bytes()
/// }
/// assert_eq!(bytes(&[1.0_f32]), 4);
/// assert_eq!(<bool as Element>::DTYPE, DType::Bool);
/// ```
pub trait Element:
    Copy + Default + PartialEq + Debug + Display + Send + Sync + sealed::Plain + 'static
{
    /// The type's name in the language.
    const DTYPE: DType;
}

pub(crate) mod sealed {
    /// A type without padding, for which zeroed memory is a value.
    ///
    /// # Safety
    ///
    /// No byte of a value may be uninitialised, and zeros must be a value.
    pub unsafe trait Plain {
        /// Whether these bytes are values of the type. There are as many as some number of elements takes.
        fn accepts(_bytes: &[u8]) -> bool {
            true
        }
    }
}

macro_rules! element {
    ($($rust:ty => $dtype:ident),*) => {$(
        impl Element for $rust {
            const DTYPE: DType = DType::$dtype;
        }
    )*};
}

/// A key of random numbers, which the language calls `rng`: the same key gives the same numbers, on any mesh.
///
/// ```
/// use einmesh::Key;
///
/// assert_eq!(Key::from(7), Key(7));
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
#[repr(transparent)]
pub struct Key(pub u64);

impl From<u64> for Key {
    fn from(seed: u64) -> Key {
        Key(seed)
    }
}

impl Display for Key {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        Display::fmt(&self.0, f)
    }
}

element!(f32 => F32, f64 => F64, bf16 => Bf16, f16 => F16, i32 => I32, i64 => I64, bool => Bool,
    Key => Rng);

macro_rules! plain {
    ($($rust:ty),*) => {$(
        // SAFETY: a number of a fixed width, all of whose bit patterns are values.
        unsafe impl sealed::Plain for $rust {}
    )*};
}

plain!(f32, f64, bf16, f16, i32, i64, Key);

// SAFETY: `bool` is one byte, and zero is `false`.
unsafe impl sealed::Plain for bool {
    fn accepts(bytes: &[u8]) -> bool {
        bytes.iter().all(|byte| *byte <= 1)
    }
}
