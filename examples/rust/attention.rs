//! Causal attention in ten lines, with the extents of whatever it is given.

use einmesh::prelude::*;

type Heads = Tensor<f32, 4>;

/// Attention of queries [b,t,h,k] over keys and values [b,u,h,k].
pub fn attention(q: &Heads, key: &Heads, value: &Heads) -> Result<Heads, Error> {
    let scale = Tensor::from((q.shape()[3] as f32).powf(-0.5));
    let s = einsum!(s[b,h,t,u] = q[b,t,h,k] * key[b,u,h,k] * scale, q, key, scale)?;
    let a = einsum!(a[b,h,t,u] = softmax[u | u <= t](s[b,h,t,u]), s)?;
    einsum!("b h t u, b u h k -> b t h k", a, value)
}

#[allow(dead_code)]
fn main() -> Result<(), Error> {
    let number = |[b, t, h, k]: [usize; 4]| ((7 * b + 5 * t + 3 * h + k) % 11) as f32 / 11.0;
    let (x, y) = (Tensor::from_fn([1, 6, 2, 4], number), Tensor::from_fn([1, 6, 2, 4], number));
    println!("{:.3}", attention(&x, &x, &y)?);
    Ok(())
}
