//! Choosing the next token, as `sample` does in `models/` where a program does it: by temperature, then
//! the likeliest k, then of these as many as hold the mass p, then Gumbel-max.

use einmesh_ir::rng;

/// How tokens are chosen.
#[derive(Clone, Copy, Debug)]
pub struct Sampling {
    /// What logits are divided by; 0 takes the likeliest token.
    pub temperature: f32,
    /// How many candidates there are at most.
    pub top_k: Option<usize>,
    /// The mass of the candidates: the fewest that hold this much.
    pub top_p: f32,
    /// The key of the random numbers.
    pub seed: u64,
}

impl Sampling {
    /// The token of a step: a function of the logits, the seed and the step's number alone. `None` if
    /// no logit is a number.
    pub fn choose(&self, logits: &[f32], step: usize) -> Option<u32> {
        if self.temperature == 0.0 {
            return likeliest(logits).map(|token| token as u32);
        }
        let scaled: Vec<f32> = logits.iter().map(|z| z / self.temperature).collect();
        let mut order: Vec<usize> = (0..scaled.len()).filter(|i| !scaled[*i].is_nan()).collect();
        // As a stable descending sort: equal ones by their number.
        order.sort_unstable_by(|a, b| scaled[*b].total_cmp(&scaled[*a]).then(a.cmp(b)));
        order.truncate(self.top_k.unwrap_or(usize::MAX));
        let top = scaled[*order.first()?];
        let weights: Vec<f32> = order.iter().map(|i| (scaled[*i] - top).exp()).collect();
        let total: f32 = weights.iter().sum();
        let key = rng::fold(rng::fold(self.seed, step as i64), 0);
        let mut before = 0.0;
        let mut best: Option<(f32, usize)> = None;
        for (position, (token, weight)) in order.iter().zip(&weights).enumerate() {
            // The mass before the first candidate is 0: it always stays.
            if before >= self.top_p {
                break;
            }
            before += weight / total;
            let noise = -(-rng::uniform(key, position as i64).ln()).ln();
            let score = scaled[*token] + noise;
            if best.is_none_or(|(most, _)| score > most) {
                best = Some((score, *token));
            }
        }
        best.map(|(_, token)| token as u32)
    }
}

/// The position of the largest number, the lowest of equal ones.
fn likeliest(logits: &[f32]) -> Option<usize> {
    let mut best: Option<(f32, usize)> = None;
    for (token, z) in logits.iter().enumerate().filter(|(_, z)| !z.is_nan()) {
        if best.is_none_or(|(most, _)| *z > most) {
            best = Some((*z, token));
        }
    }
    best.map(|(_, token)| token)
}
