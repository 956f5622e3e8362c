//! The suite's einsums by `einsum!`, each with extents known and open.

use crate::Run;
use einmesh::prelude::*;

/// `name: einsum, [operand / rank], [extent = number]` for each.
macro_rules! suite {
    ($($name:literal: $einsum:literal, [$($x:ident / $rank:literal),+], [$($dim:ident = $extent:literal),+];)+) => {
        /// An einsum that is compiled for its extents.
        pub fn known(name: &str, operands: Vec<(Vec<usize>, Vec<f32>)>) -> Result<Run, String> {
            let mut operands = operands.into_iter();
            match name {
                $($name => {
                    $(let $x: Tensor<f32, $rank> = tensor(operands.next())?;)+
                    Ok(Box::new(move |show| {
                        let result = einsum!($einsum, $($x),+; $($dim = $extent),+).map_err(told)?;
                        show(result.as_slice());
                        Ok(())
                    }))
                })+
                _ => Err(format!("there is no einsum `{name}`")),
            }
        }

        /// An einsum that is compiled for any extents.
        pub fn open(name: &str, operands: Vec<(Vec<usize>, Vec<f32>)>) -> Result<Run, String> {
            let mut operands = operands.into_iter();
            match name {
                $($name => {
                    $(let $x: Tensor<f32, $rank> = tensor(operands.next())?;)+
                    Ok(Box::new(move |show| {
                        let result = einsum!($einsum, $($x),+).map_err(told)?;
                        show(result.as_slice());
                        Ok(())
                    }))
                })+
                _ => Err(format!("there is no einsum `{name}`")),
            }
        }
    };
}

suite! {
    "qkv_proj": "b t d, d c h k -> c b t h k", [x / 3, y / 4], [b = 2, t = 256, d = 768, c = 3, h = 12, k = 64];
    "scores": "b t h k, b s h k -> b h t s", [x / 4, y / 4], [b = 2, t = 256, h = 12, k = 64, s = 256];
    "context": "b h t s, b s h k -> b t h k", [x / 4, y / 4], [b = 2, h = 12, t = 256, s = 256, k = 64];
    "out_proj": "b t h k, h k d -> b t d", [x / 4, y / 3], [b = 2, t = 256, h = 12, k = 64, d = 768];
    "mlp_up": "b t d, d f -> b t f", [x / 3, y / 2], [b = 2, t = 256, d = 768, f = 3072];
    "mlp_down": "b t f, f d -> b t d", [x / 3, y / 2], [b = 2, t = 256, f = 3072, d = 768];
    "lm_head": "b t d, v d -> b t v", [x / 3, y / 2], [b = 2, t = 256, d = 768, v = 8192];
    "gqa_scores": "b t g r k, b s g k -> b g r t s", [x / 5, y / 4], [b = 2, t = 256, g = 4, r = 3, k = 64, s = 256];
    "moe_dispatch": "s e c, s d -> e c d", [x / 3, y / 2], [s = 512, e = 8, c = 128, d = 768];
    "moe_ffn": "e c d, e d f -> e c f", [x / 3, y / 3], [e = 8, c = 128, d = 768, f = 1024];
    "moe_combine": "s e c, e c d -> s d", [x / 3, y / 3], [s = 512, e = 8, c = 128, d = 768];
    "lora": "b t d, d r, r f -> b t f", [x / 3, y / 2, z / 2], [b = 2, t = 256, d = 768, r = 8, f = 3072];
    "linear_attention": "b t h k, b s h k, b s h v -> b t h v", [x / 4, y / 4, z / 4], [b = 1, t = 1024, h = 12, k = 64, s = 1024, v = 64];
    "bilinear": "b i, o i j, b j -> b o", [x / 2, y / 3, z / 2], [b = 256, i = 128, o = 64, j = 128];
    "chain_bottleneck": "a b, b c, c d, d e -> a e", [x / 2, y / 2, z / 2, w / 2], [a = 2048, b = 16, c = 2048, d = 16, e = 2048];
    "chain_skewed": "a b, b c, c d, d e -> a e", [x / 2, y / 2, z / 2, w / 2], [a = 1024, b = 1024, c = 1024, d = 1024, e = 4];
    "ring_mps": "a i b, b j c, c k d, d l a -> i j k l", [x / 3, y / 3, z / 3, w / 3], [a = 16, i = 16, b = 16, j = 16, c = 16, k = 16, d = 16, l = 16];
    "tucker": "a b c, a i, b j, c k -> i j k", [x / 3, y / 2, z / 2, w / 2], [a = 32, b = 32, c = 32, i = 128, j = 128, k = 128];
    "cp_hyperedge": "i r, j r, k r -> i j k", [x / 2, y / 2, z / 2], [i = 128, r = 32, j = 128, k = 128];
    "batched_ring_trace": "z a b, z b c, z c a -> z", [x / 3, y / 3, z / 3], [z = 64, a = 128, b = 128, c = 128];
    "grad_attn_v": "b h t s, b t h k -> b s h k", [x / 4, y / 4], [b = 2, h = 12, t = 256, s = 256, k = 64];
    "grad_attn_p": "b t h k, b s h k -> b h t s", [x / 4, y / 4], [b = 2, t = 256, h = 12, k = 64, s = 256];
    "grad_attn_q": "b h t s, b s h k -> b t h k", [x / 4, y / 4], [b = 2, h = 12, t = 256, s = 256, k = 64];
    "grad_attn_k": "b h t s, b t h k -> b s h k", [x / 4, y / 4], [b = 2, h = 12, t = 256, s = 256, k = 64];
    "grad_w_up": "b t d, b t f -> d f", [x / 3, y / 3], [b = 2, t = 256, d = 768, f = 3072];
    "grad_x_up": "b t f, d f -> b t d", [x / 3, y / 2], [b = 2, t = 256, f = 3072, d = 768];
    "grad_w_qkv": "b t d, c b t h k -> d c h k", [x / 3, y / 5], [b = 2, t = 256, d = 768, c = 3, h = 12, k = 64];
    "transpose_only": "b t h k -> b h k t", [x / 4], [b = 2, t = 256, h = 12, k = 64];
    "reduce_only": "b h t s -> b h t", [x / 4], [b = 2, h = 12, t = 256, s = 256];
}

fn tensor<const N: usize>(operand: Option<(Vec<usize>, Vec<f32>)>) -> Result<Tensor<f32, N>, String> {
    let (shape, numbers) = operand.ok_or("an operand is missing")?;
    let shape = shape.try_into().map_err(|_| format!("an operand does not have {N} dimensions"))?;
    Tensor::from_vec(shape, numbers).map_err(told)
}

fn told(error: Error) -> String {
    error.to_string()
}
