//! Products of matrices by the crates that have them.

use ndarray::{ArrayView2, ArrayViewMut2, ShapeBuilder, linalg::general_mat_mul};

/// A matrix in memory: strides of rows and columns, in elements.
#[derive(Clone, Copy)]
pub struct Matrix<P> {
    pub start: P,
    pub rows: usize,
    pub columns: usize,
    pub strides: [usize; 2],
}

/// A crate's product of matrices of f32.
pub trait Product: Copy + Send + Sync + 'static {
    /// `into = left · right`, by one thread if so wanted and the crate can be told.
    ///
    /// # Safety
    ///
    /// The matrices lie in memory, and nothing else uses that of `into`, which has been written before.
    unsafe fn product(self, into: Matrix<*mut f32>, left: Matrix<*const f32>, right: Matrix<*const f32>, alone: bool);
}

/// `ndarray` with `matrixmultiply`, whose number of threads is its environment's.
#[derive(Clone, Copy)]
pub struct Ndarray;

impl Product for Ndarray {
    unsafe fn product(self, into: Matrix<*mut f32>, left: Matrix<*const f32>, right: Matrix<*const f32>, _: bool) {
        let view = |m: Matrix<*const f32>| {
            let shape = (m.rows, m.columns).strides((m.strides[0], m.strides[1]));
            // SAFETY: as the caller says.
            unsafe { ArrayView2::from_shape_ptr(shape, m.start) }
        };
        let shape = (into.rows, into.columns).strides((into.strides[0], into.strides[1]));
        // SAFETY: as the caller says.
        let mut into = unsafe { ArrayViewMut2::from_shape_ptr(shape, into.start) };
        general_mat_mul(1.0, &view(left), &view(right), 0.0, &mut into);
    }
}

#[derive(Clone, Copy)]
pub struct Faer {
    pub threads: usize,
}

impl Product for Faer {
    unsafe fn product(self, into: Matrix<*mut f32>, left: Matrix<*const f32>, right: Matrix<*const f32>, alone: bool) {
        use faer::linalg::matmul::matmul;
        use faer::{Accum, MatMut, MatRef, Par};
        let view = |m: Matrix<*const f32>| {
            let [rows, columns] = m.strides.map(|s| s as isize);
            // SAFETY: as the caller says.
            unsafe { MatRef::from_raw_parts(m.start, m.rows, m.columns, rows, columns) }
        };
        let [rows, columns] = into.strides.map(|s| s as isize);
        // SAFETY: as the caller says.
        let into = unsafe { MatMut::from_raw_parts_mut(into.start, into.rows, into.columns, rows, columns) };
        let par = if alone || self.threads < 2 { Par::Seq } else { Par::rayon(self.threads) };
        matmul(into, Accum::Replace, view(left), view(right), 1.0, par);
    }
}

#[derive(Clone, Copy)]
pub struct Gemm {
    pub threads: usize,
}

impl Product for Gemm {
    unsafe fn product(self, into: Matrix<*mut f32>, left: Matrix<*const f32>, right: Matrix<*const f32>, alone: bool) {
        use gemm::Parallelism;
        let strides = |strides: [usize; 2]| strides.map(|s| s as isize);
        let ([di, dj], [li, lj], [ri, rj]) = (strides(into.strides), strides(left.strides), strides(right.strides));
        let parallelism =
            if alone || self.threads < 2 { Parallelism::None } else { Parallelism::Rayon(self.threads) };
        // SAFETY: as the caller says.
        unsafe {
            gemm::gemm(
                into.rows, into.columns, left.columns, into.start, dj, di, false, left.start, lj, li, right.start, rj,
                ri, 0.0, 1.0, false, false, false, parallelism,
            );
        }
    }
}
