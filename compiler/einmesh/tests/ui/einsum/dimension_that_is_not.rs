use einmesh::prelude::*;

fn main() -> Result<(), Error> {
    let x = Tensor::<f32, 2>::zeros([2, 3]);
    let w = Tensor::<f32, 2>::zeros([3, 4]);
    einsum!(y[i,k] = x[i,j] * w[j,k], x, w; i = 2, j = 3, k = 4, w.2 = 4)?;
    Ok(())
}
