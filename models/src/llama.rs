//! LLaMA with reproducible weights, named and laid out as in the Hugging Face checkpoints.

use crate::tensor::Tensor;
use crate::weights::{self, Init, RESIDUAL, WIDE, Weight, checkpoint};

/// A LLaMA's extents; the names are those of `models/llama.ein`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(non_snake_case)]
pub struct Config {
    /// Layers.
    pub L: usize,
    /// Width of the residual stream.
    pub D: usize,
    /// Query heads.
    pub H: usize,
    /// Key and value heads.
    pub G: usize,
    /// Tokens in the vocabulary.
    pub V: usize,
    /// Width of the feed-forward layer.
    pub F: usize,
}

impl Config {
    /// Four small layers.
    pub const TINY: Config = Config { L: 4, D: 256, H: 8, G: 2, V: 8192, F: 704 };
    /// The shape of a 124M model.
    pub const SMALL: Config = Config { L: 12, D: 768, H: 12, G: 4, V: 32000, F: 2048 };

    /// The `-D` definitions of this configuration.
    pub fn definitions(&self) -> Vec<(&'static str, usize)> {
        let Config { L, D, H, G, V, F } = *self;
        vec![("L", L), ("D", D), ("H", H), ("G", G), ("V", V), ("F", F)]
    }
}

/// The weights: ±2⁻⁵, ±2⁻⁷ for the projections into the residual stream, norms 1.
pub fn weights(config: &Config) -> Vec<Tensor> {
    checkpoint(specification(config))
}

fn specification(config: &Config) -> Vec<Weight> {
    let Config { L, D, H, G, V, F } = *config;
    let shared = G * (D / H);
    let mut all = vec![("model.embed_tokens.weight".to_owned(), vec![V, D], WIDE)];
    for l in 0..L {
        let layer = [
            ("input_layernorm.weight", vec![D], Init::Ones),
            ("self_attn.q_proj.weight", vec![D, D], WIDE),
            ("self_attn.k_proj.weight", vec![shared, D], WIDE),
            ("self_attn.v_proj.weight", vec![shared, D], WIDE),
            ("self_attn.o_proj.weight", vec![D, D], RESIDUAL),
            ("post_attention_layernorm.weight", vec![D], Init::Ones),
            ("mlp.gate_proj.weight", vec![F, D], WIDE),
            ("mlp.up_proj.weight", vec![F, D], WIDE),
            ("mlp.down_proj.weight", vec![D, F], RESIDUAL),
        ];
        let prefix = format!("model.layers.{l}");
        all.extend(layer.map(|(name, shape, init)| (format!("{prefix}.{name}"), shape, init)));
    }
    all.push(("model.norm.weight".to_owned(), vec![D], Init::Ones));
    all.push(("lm_head.weight".to_owned(), vec![V, D], WIDE));
    all
}

/// A batch of pseudo-random tokens: `tokens` and the `targets` that follow them.
pub fn batch(config: &Config, rows: usize, length: usize) -> [Tensor; 2] {
    weights::batch(config.V, rows, length)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::weights::parameters;

    #[test]
    fn the_tiny_model_has_seven_million_parameters() {
        assert_eq!(parameters(&specification(&Config::TINY)), 7_014_656);
    }
}
