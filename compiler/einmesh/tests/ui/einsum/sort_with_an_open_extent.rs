use einmesh::prelude::*;

fn main() -> Result<(), Error> {
    let x = Tensor::<f32, 1>::zeros([8]);
    let _: Tensor<i32, 1> = einsum!(y[t] = argsort[t](x[t]), x; y: i32)?;
    Ok(())
}
