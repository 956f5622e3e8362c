//! GPT-2 with reproducible weights, named and laid out as in the Hugging Face checkpoint.

use crate::tensor::Tensor;
use crate::weights::{self, Init, RESIDUAL, WIDE, Weight, checkpoint};

/// A GPT-2's extents; the names are those of `models/gpt2.ein`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(non_snake_case)]
pub struct Config {
    /// Layers.
    pub L: usize,
    /// Width of the residual stream.
    pub D: usize,
    /// Attention heads.
    pub H: usize,
    /// Positions in the table of positions.
    pub P: usize,
    /// Tokens in the vocabulary.
    pub V: usize,
    /// Width of the feed-forward layer.
    pub F: usize,
}

impl Config {
    /// Four small layers.
    pub const TINY: Config = Config { L: 4, D: 256, H: 4, P: 256, V: 8192, F: 1024 };
    /// The 124M model of Radford et al. 2019, with a table of 256 positions.
    pub const SMALL: Config = Config { L: 12, D: 768, H: 12, P: 256, V: 50257, F: 3072 };

    /// The `-D` definitions of this configuration.
    pub fn definitions(&self) -> Vec<(&'static str, usize)> {
        let Config { L, D, H, P, V, F } = *self;
        vec![("L", L), ("D", D), ("H", H), ("P", P), ("V", V), ("F", F)]
    }
}

/// The weights: ±2⁻⁵, ±2⁻⁷ for the projections into the residual stream, norms 1, biases 0.
pub fn weights(config: &Config) -> Vec<Tensor> {
    checkpoint(specification(config))
}

fn specification(config: &Config) -> Vec<Weight> {
    let Config { L, D, P, V, F, .. } = *config;
    let mut all = vec![
        ("wte.weight".to_owned(), vec![V, D], WIDE),
        ("wpe.weight".to_owned(), vec![P, D], WIDE),
    ];
    for l in 0..L {
        let layer = [
            ("ln_1.weight", vec![D], Init::Ones),
            ("ln_1.bias", vec![D], Init::Zeros),
            ("attn.c_attn.weight", vec![D, 3 * D], WIDE),
            ("attn.c_attn.bias", vec![3 * D], Init::Zeros),
            ("attn.c_proj.weight", vec![D, D], RESIDUAL),
            ("attn.c_proj.bias", vec![D], Init::Zeros),
            ("ln_2.weight", vec![D], Init::Ones),
            ("ln_2.bias", vec![D], Init::Zeros),
            ("mlp.c_fc.weight", vec![D, F], WIDE),
            ("mlp.c_fc.bias", vec![F], Init::Zeros),
            ("mlp.c_proj.weight", vec![F, D], RESIDUAL),
            ("mlp.c_proj.bias", vec![D], Init::Zeros),
        ];
        all.extend(layer.map(|(name, shape, init)| (format!("h.{l}.{name}"), shape, init)));
    }
    all.push(("ln_f.weight".to_owned(), vec![D], Init::Ones));
    all.push(("ln_f.bias".to_owned(), vec![D], Init::Zeros));
    all
}

/// A batch of pseudo-random tokens: `tokens` and the `targets` that follow them.
pub fn batch(config: &Config, rows: usize, length: usize) -> [Tensor; 2] {
    weights::batch(config.V, rows, length)
}

/// Text as GPT-2 tokens without merges: one token per byte, in the order of GPT-2's vocabulary, where
/// the printable bytes come first (ids 0–187) and the others after them (188–255).
pub fn byte_tokens(text: &[u8]) -> Vec<i32> {
    let printable = |b: u8| matches!(b, 0x21..=0x7E | 0xA1..=0xAC | 0xAE..=0xFF);
    let mut id = [0i32; 256];
    let mut next = 0;
    for wanted in [true, false] {
        for byte in 0..=255u8 {
            if printable(byte) == wanted {
                id[usize::from(byte)] = next;
                next += 1;
            }
        }
    }
    text.iter().map(|b| id[usize::from(*b)]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::weights::parameters;

    #[test]
    fn the_small_model_has_124_million_parameters() {
        assert_eq!(parameters(&specification(&Config::SMALL)), 123_849_984);
    }

    #[test]
    fn bytes_have_the_ids_of_the_published_vocabulary() {
        // "!" is 0, "A" is 32, the space ("Ġ") is 220, the newline ("Ċ") is 198.
        assert_eq!(byte_tokens(b"!A \n"), [0, 32, 220, 198]);
    }
}
