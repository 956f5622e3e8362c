//! What a call costs: products of two matrices of 4 × 4, with the memory of their results.

use crate::products::{Matrix, Product};
use crate::Run;
use einmesh::prelude::*;

/// A run is of so many calls.
pub const CALLS: usize = 1000;

/// The calls of a run: `one` shows its result.
fn calls(mut one: impl FnMut(&mut dyn FnMut(&[f32])) -> Result<(), String> + 'static) -> Run {
    Box::new(move |show| (0..CALLS).try_for_each(|_| one(show)))
}

fn matrices() -> [Tensor<f32, 2>; 2] {
    [Tensor::from_fn([4, 4], |[i, j]| (i + 2 * j) as f32), Tensor::from_fn([4, 4], |[i, j]| (3 * i + j) as f32)]
}

/// By `einsum!`, with extents known.
pub fn known() -> Run {
    let [x, y] = matrices();
    calls(move |show| {
        let result = einsum!("i j, j k -> i k", x, y; i = 4, j = 4, k = 4).map_err(|e| e.to_string())?;
        show(result.as_slice());
        Ok(())
    })
}

/// By `einsum!`, with extents open.
pub fn open() -> Run {
    let [x, y] = matrices();
    calls(move |show| {
        let result = einsum!("i j, j k -> i k", x, y).map_err(|e| e.to_string())?;
        show(result.as_slice());
        Ok(())
    })
}

/// By a crate's product.
pub fn crates(product: impl Product) -> Run {
    let [x, y] = matrices();
    let matrix = |start| Matrix { start, rows: 4, columns: 4, strides: [4, 1] };
    calls(move |show| {
        let mut result = vec![0.0; 16];
        // SAFETY: all three are 4 × 4.
        unsafe {
            let [x, y] = [&x, &y].map(|x| matrix(x.as_slice().as_ptr()));
            let into = Matrix { start: result.as_mut_ptr(), rows: 4, columns: 4, strides: [4, 1] };
            product.product(into, x, y, true);
        }
        show(&result);
        Ok(())
    })
}
