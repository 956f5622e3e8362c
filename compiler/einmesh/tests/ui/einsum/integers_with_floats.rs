use einmesh::prelude::*;

fn main() -> Result<(), Error> {
    let x = Tensor::<f32, 2>::zeros([2, 3]);
    let w = Tensor::<f32, 2>::zeros([3, 4]);
    let n = Tensor::<i32, 1>::zeros([3]);
    einsum!(y[i] = x[i,j] * n[j], x, n; i = 2, j = 3, n: i32)?;
    Ok(())
}
