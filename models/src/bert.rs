//! BERT encoders with reproducible weights, named and laid out as in the Hugging Face checkpoints.

use crate::generator::{seed, tokens};
use crate::tensor::{Data, Tensor};
use crate::weights::{Init, RESIDUAL, WIDE, Weight, checkpoint};

/// An encoder's extents; the names are those of `models/bert.ein`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(non_snake_case)]
pub struct Config {
    /// Layers.
    pub L: usize,
    /// Width of the states.
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
    /// The shape of all-MiniLM-L6-v2.
    pub const MINILM: Config = Config { L: 6, D: 384, H: 12, P: 512, V: 30522, F: 1536 };

    /// The `-D` definitions of this configuration.
    pub fn definitions(&self) -> Vec<(&'static str, usize)> {
        let Config { L, D, H, P, V, F } = *self;
        vec![("L", L), ("D", D), ("H", H), ("P", P), ("V", V), ("F", F)]
    }
}

/// The weights: ±2⁻⁵, ±2⁻⁷ for biases and the projections into the residual stream, norms 1.
pub fn weights(config: &Config) -> Vec<Tensor> {
    checkpoint(specification(config))
}

fn specification(config: &Config) -> Vec<Weight> {
    let Config { L, D, P, V, F, .. } = *config;
    let norm = |name: &str| {
        [
            (format!("{name}.LayerNorm.weight"), vec![D], Init::Ones),
            (format!("{name}.LayerNorm.bias"), vec![D], RESIDUAL),
        ]
    };
    let linear = |name: &str, shape: [usize; 2], init: Init| {
        [
            (format!("{name}.weight"), shape.to_vec(), init),
            (format!("{name}.bias"), vec![shape[0]], RESIDUAL),
        ]
    };
    let mut all = vec![
        ("embeddings.word_embeddings.weight".to_owned(), vec![V, D], WIDE),
        ("embeddings.position_embeddings.weight".to_owned(), vec![P, D], WIDE),
        ("embeddings.token_type_embeddings.weight".to_owned(), vec![2, D], WIDE),
    ];
    all.extend(norm("embeddings"));
    for l in 0..L {
        let path = |name: &str| format!("encoder.layer.{l}.{name}");
        for head in ["query", "key", "value"] {
            all.extend(linear(&path(&format!("attention.self.{head}")), [D, D], WIDE));
        }
        all.extend(linear(&path("attention.output.dense"), [D, D], RESIDUAL));
        all.extend(norm(&path("attention.output")));
        all.extend(linear(&path("intermediate.dense"), [F, D], WIDE));
        all.extend(linear(&path("output.dense"), [D, F], RESIDUAL));
        all.extend(norm(&path("output")));
    }
    all
}

/// Pseudo-random `tokens` and their `mask`: row r has `lengths[r]` tokens, then padding.
pub fn batch(config: &Config, lengths: &[usize], length: usize) -> [Tensor; 2] {
    let all = tokens(lengths.len() * length, seed("tokens"), config.V as u32);
    let is_text = lengths.iter().flat_map(|n| (0..length).map(move |t| t < *n));
    let mask: Vec<i32> = is_text.map(i32::from).collect();
    let tensor = |name: &str, data: Vec<i32>| Tensor {
        name: name.to_owned(),
        shape: vec![lengths.len(), length],
        data: Data::I32(data),
    };
    [tensor("tokens", all), tensor("mask", mask)]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::weights::parameters;

    #[test]
    fn minilm_has_the_parameters_of_its_checkpoint_without_the_pooler() {
        assert_eq!(parameters(&specification(&Config::MINILM)), 22_565_376);
    }
}
