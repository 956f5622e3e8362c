use einmesh::prelude::*;

fn main() -> Result<(), Error> {
    let x = Tensor::<f32, 2>::zeros([2, 3]);
    let w = Tensor::<f32, 2>::zeros([3, 4]);
    einsum!("ij,jk->ik", x, w; i = 2, j = 3, k = 4, l = 5)?;
    Ok(())
}
