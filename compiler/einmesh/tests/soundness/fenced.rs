//! Arrays beside which nothing can be read.

use einmesh::Element;
use std::ops::Deref;
use std::ptr::null_mut;

/// On which side of the elements the memory ends, to the byte.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Side {
    /// Nothing lies before the first, which begins a page.
    Before,
    /// Nothing lies behind the last. The first is aligned to its size, and seldom to more.
    Behind,
}

/// Elements between two pages that cannot be touched, in pages that cannot be written.
pub struct Fenced<T> {
    pages: *mut libc::c_void,
    bytes: usize,
    start: *const T,
    count: usize,
}

impl<T: Element> Fenced<T> {
    /// A copy of the elements.
    pub fn new(elements: &[T], side: Side) -> Fenced<T> {
        // SAFETY: sysconf only answers.
        let page = unsafe { libc::sysconf(libc::_SC_PAGESIZE) } as usize;
        let length = size_of_val(elements);
        // A page for no elements: their address lies in it or at its end.
        let body = length.max(1).next_multiple_of(page);
        let bytes = body + 2 * page;
        let offset = match side {
            Side::Before => page,
            Side::Behind => page + body - length,
        };
        // SAFETY: new pages, of which those in the middle are filled, and are the only ones that are touched. A page's end
        // less some elements is aligned to an element, whose size is a power of two.
        unsafe {
            let private = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
            let pages = libc::mmap(null_mut(), bytes, libc::PROT_NONE, private, -1, 0);
            assert_ne!(pages, libc::MAP_FAILED, "{}", std::io::Error::last_os_error());
            let middle = pages.byte_add(page);
            let writable = libc::PROT_READ | libc::PROT_WRITE;
            assert_eq!(libc::mprotect(middle, body, writable), 0);
            let start = pages.byte_add(offset).cast::<T>();
            start.copy_from_nonoverlapping(elements.as_ptr(), elements.len());
            assert_eq!(libc::mprotect(middle, body, libc::PROT_READ), 0);
            Fenced { pages, bytes, start, count: elements.len() }
        }
    }
}

impl<T> Deref for Fenced<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        // SAFETY: they were copied there, and nobody can write them.
        unsafe { std::slice::from_raw_parts(self.start, self.count) }
    }
}

impl<T> Drop for Fenced<T> {
    fn drop(&mut self) {
        // SAFETY: the pages were mapped at once, and nobody borrows from them any more.
        unsafe { libc::munmap(self.pages, self.bytes) };
    }
}
