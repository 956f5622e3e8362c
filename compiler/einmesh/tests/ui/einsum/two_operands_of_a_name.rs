use einmesh::prelude::*;

fn main() -> Result<(), Error> {
    let x = Tensor::<f32, 2>::zeros([2, 3]);
    let w = Tensor::<f32, 2>::zeros([3, 4]);
    einsum!(y[i] = x[i,j] * x[i,j], x, x; i = 2, j = 3)?;
    Ok(())
}
