use einmesh::prelude::*;

fn main() -> Result<(), Error> {
    let x = Tensor::<f32, 1>::zeros([8]);
    einsum!(y[t] = x[t] + x[t + 1], x)?;
    Ok(())
}
