//! Owned tensors.

mod any;
mod convert;
mod format;
mod identity;
mod index;

pub use any::AnyTensor;
pub(crate) use any::bytes;
pub(crate) use format::debug;
pub(crate) use identity::Identity;

use crate::element::Element;
use crate::error::Error;
use crate::storage::Storage;
use std::marker::PhantomData;

/// An array of numbers with `N` dims, row-major, in memory of its own that begins at a multiple of 64 bytes.
///
/// Clones share the memory until one of them is written, so that they cost nothing.
///
/// ```
/// use einmesh::Tensor;
///
/// let zeros = Tensor::<f32, 2>::zeros([2, 3]);
/// let table = Tensor::from_fn([2, 3], |[i, j]| (10 * i + j) as f32);
/// let given = Tensor::from_vec([2, 3], vec![0.0, 1.0, 2.0, 10.0, 11.0, 12.0])?;
/// assert_eq!(table, given);
/// assert_ne!(table, zeros);
/// assert_eq!(table[[1, 2]], 12.0);
/// assert_eq!(table.iter().sum::<f32>(), 36.0);
/// # Ok::<(), einmesh::Error>(())
/// ```
pub struct Tensor<T: Element, const N: usize> {
    shape: [usize; N],
    storage: Storage,
    identity: Identity,
    elements: PhantomData<T>,
}

impl<T: Element, const N: usize> Tensor<T, N> {
    /// A tensor of zeros (`false`).
    ///
    /// Panics if the shape takes more bytes than an address space has, as `Vec` does.
    pub fn zeros(shape: [usize; N]) -> Tensor<T, N> {
        let bytes = bytes_of::<T, N>(shape).unwrap_or_else(|error| panic!("{error}"));
        Tensor::new(shape, Storage::zeroed(bytes))
    }

    /// A tensor of one number everywhere. Panics as [`Tensor::zeros`] does.
    pub fn full(shape: [usize; N], value: T) -> Tensor<T, N> {
        Tensor::from_fn(shape, |_| value)
    }

    /// A tensor whose elements are a function of their positions. Panics as [`Tensor::zeros`] does.
    pub fn from_fn(shape: [usize; N], mut element: impl FnMut([usize; N]) -> T) -> Tensor<T, N> {
        let mut tensor = Tensor::zeros(shape);
        let mut at = [0; N];
        for slot in tensor.as_mut_slice() {
            *slot = element(at);
            // Counts on, the last dim fastest.
            for (position, extent) in at.iter_mut().zip(shape).rev() {
                *position += 1;
                if *position < extent {
                    break;
                }
                *position = 0;
            }
        }
        tensor
    }

    /// A tensor of these elements, in row-major order.
    pub fn from_vec(shape: [usize; N], elements: Vec<T>) -> Result<Tensor<T, N>, Error> {
        Tensor::from_slice(shape, &elements)
    }

    /// A tensor of a copy of these elements, in row-major order.
    pub fn from_slice(shape: [usize; N], elements: &[T]) -> Result<Tensor<T, N>, Error> {
        let expected = bytes_of::<T, N>(shape)? / size_of::<T>();
        if elements.len() != expected {
            return Err(Error::Length { shape: shape.to_vec(), expected, got: elements.len() });
        }
        // SAFETY: there are as many elements as the shape has, and all are written.
        unsafe {
            Tensor::filled(shape, |target: *mut T| {
                target.copy_from_nonoverlapping(elements.as_ptr(), expected);
                Ok(())
            })
        }
    }

    /// A tensor whose elements `fill` writes, given the place of the first.
    ///
    /// # Safety
    ///
    /// If `fill` returns `Ok`, it has written all elements.
    #[inline]
    pub(crate) unsafe fn filled(
        shape: [usize; N],
        fill: impl FnOnce(*mut T) -> Result<(), Error>,
    ) -> Result<Tensor<T, N>, Error> {
        let mut storage = Storage::try_uninit(bytes_of::<T, N>(shape)?)
            .ok_or_else(|| Error::TooLarge { shape: shape.to_vec() })?;
        fill(storage.start_mut().cast())?;
        Ok(Tensor::new(shape, storage))
    }

    /// A tensor whose bytes `fill` writes, zeros at first. What it says is wrong, or else that the bytes are no
    /// elements, is the inner error.
    pub(crate) fn from_bytes(
        shape: [usize; N],
        fill: impl FnOnce(&mut [u8]) -> Result<(), String>,
    ) -> Result<Result<Tensor<T, N>, String>, Error> {
        let bytes = bytes_of::<T, N>(shape)?;
        let mut storage = Storage::zeroed(bytes);
        // SAFETY: the storage is new, has this many bytes, and they are initialised.
        let target = unsafe { std::slice::from_raw_parts_mut(storage.make_mut(), bytes) };
        Ok(fill(target).and_then(|()| match T::accepts(target) {
            true => Ok(Tensor::new(shape, storage)),
            false => Err(format!("some bytes are no elements of type {}", T::DTYPE.name())),
        }))
    }

    #[inline]
    fn new(shape: [usize; N], storage: Storage) -> Tensor<T, N> {
        Tensor { shape, storage, identity: Identity::default(), elements: PhantomData }
    }

    /// The extents, outermost first.
    #[inline]
    pub fn shape(&self) -> [usize; N] {
        self.shape
    }

    /// How many elements there are.
    #[inline]
    pub fn len(&self) -> usize {
        // It did not overflow when the memory was allocated.
        self.shape.iter().product()
    }

    /// Whether there are no elements.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The elements, in row-major order.
    #[inline]
    pub fn as_slice(&self) -> &[T] {
        // SAFETY: the storage has this many elements, which were written when the tensor was made; it is aligned to
        // 64 bytes and not written while it is borrowed, since writing takes a unique reference or copies.
        unsafe { std::slice::from_raw_parts(self.storage.as_ptr().cast(), self.len()) }
    }

    /// The elements, in row-major order, to write. If clones share the memory, they keep what they have.
    #[inline]
    pub fn as_mut_slice(&mut self) -> &mut [T] {
        self.identity.clear();
        let length = self.len();
        // SAFETY: as in `as_slice`; the memory is this tensor's alone from now on.
        unsafe { std::slice::from_raw_parts_mut(self.storage.make_mut().cast(), length) }
    }

    /// What the elements are known as.
    #[inline]
    pub(crate) fn identity(&self) -> &Identity {
        &self.identity
    }

    /// The same elements in another shape. The memory is shared.
    ///
    /// ```
    /// # use einmesh::Tensor;
    /// let x = Tensor::from([[1, 2, 3], [4, 5, 6]]);
    /// assert_eq!(x.reshape([3, 2])?, Tensor::from([[1, 2], [3, 4], [5, 6]]));
    /// assert!(x.reshape([4]).is_err());
    /// # Ok::<(), einmesh::Error>(())
    /// ```
    pub fn reshape<const M: usize>(&self, shape: [usize; M]) -> Result<Tensor<T, M>, Error> {
        let expected = bytes_of::<T, M>(shape)? / size_of::<T>();
        match expected == self.len() {
            true => Ok(self.with_shape(shape)),
            false => Err(Error::Length { shape: shape.to_vec(), expected, got: self.len() }),
        }
    }

    /// The same elements in a shape that has as many.
    fn with_shape<const M: usize>(&self, shape: [usize; M]) -> Tensor<T, M> {
        let (storage, identity) = (self.storage.clone(), self.identity.share());
        Tensor { shape, storage, identity, elements: PhantomData }
    }

    /// A tensor of a function of each element.
    pub fn map<U: Element>(&self, function: impl FnMut(T) -> U) -> Tensor<U, N> {
        let mut function = function;
        let mut elements = self.iter();
        Tensor::from_fn(self.shape, |_| match elements.next() {
            Some(element) => function(*element),
            None => U::default(),
        })
    }

    /// The element at a position; `None` beyond the extents.
    #[inline]
    pub fn get(&self, position: [usize; N]) -> Option<&T> {
        self.offset(position).map(|offset| &self.as_slice()[offset])
    }

    /// Where the element at a position is in row-major order.
    #[inline]
    fn offset(&self, position: [usize; N]) -> Option<usize> {
        let mut offset = 0;
        for (position, extent) in position.into_iter().zip(self.shape) {
            if position >= extent {
                return None;
            }
            offset = offset * extent + position;
        }
        Some(offset)
    }

    /// The elements, in row-major order.
    #[inline]
    pub fn iter(&self) -> std::slice::Iter<'_, T> {
        self.as_slice().iter()
    }

    /// The elements along the last dim, for each position of the others in row-major order.
    ///
    /// ```
    /// # use einmesh::Tensor;
    /// let x = Tensor::from([[1, 5, 3], [9, 2, 4]]);
    /// let largest: Vec<_> = x.rows().map(|row| row.iter().max()).collect();
    /// assert_eq!(largest, [Some(&5), Some(&9)]);
    /// ```
    pub fn rows(&self) -> std::slice::ChunksExact<'_, T> {
        let length = self.shape.last().copied().unwrap_or(1);
        self.as_slice().chunks_exact(length.max(1))
    }

    /// A copy of the elements, in row-major order.
    pub fn to_vec(&self) -> Vec<T> {
        self.as_slice().to_vec()
    }
}

impl<T: Element> Tensor<T, 0> {
    /// The only element of a tensor without dims.
    ///
    /// ```
    /// assert_eq!(einmesh::Tensor::from(2.5_f32).item(), 2.5);
    /// ```
    #[inline]
    pub fn item(&self) -> T {
        self.as_slice()[0]
    }
}

impl<T: Element, const N: usize> Clone for Tensor<T, N> {
    /// The same elements in the same memory.
    #[inline]
    fn clone(&self) -> Tensor<T, N> {
        self.with_shape(self.shape)
    }
}

impl<T: Element, const N: usize> Default for Tensor<T, N> {
    /// A tensor without elements; if there are no dims, zero.
    fn default() -> Tensor<T, N> {
        Tensor::zeros([0; N])
    }
}

impl<T: Element, const N: usize> PartialEq for Tensor<T, N> {
    /// Whether shapes and elements are equal. As everywhere, NaN is not equal to itself.
    fn eq(&self, other: &Tensor<T, N>) -> bool {
        self.shape == other.shape && self.as_slice() == other.as_slice()
    }
}

/// The bytes of a shape, which fit into an address space.
#[inline]
fn bytes_of<T, const N: usize>(shape: [usize; N]) -> Result<usize, Error> {
    let too_large = || Error::TooLarge { shape: shape.to_vec() };
    // Zero extents do not hide that the others are too large: offsets are products of them.
    let mut extents = shape.iter();
    let bytes = extents.try_fold(size_of::<T>(), |n, extent| n.checked_mul((*extent).max(1)));
    // Room for the alignment and the counts beside the elements.
    let fits = |bytes: &usize| *bytes <= isize::MAX as usize - 4096;
    match bytes.filter(fits) {
        None => Err(too_large()),
        Some(_) if shape.contains(&0) => Ok(0),
        Some(bytes) => Ok(bytes),
    }
}
