//! Tensors that are a pure function of a seed, exact in f32.
//!
//! Element i of a tensor hashes its row-major position with MurmurHash3's finalizer; a tensor's seed is
//! the 32-bit FNV-1a hash of its name. All arithmetic wraps at 32 bits:
//!
//! ```text
//! h = i · 2654435761 + seed;  h ^= h >> 16;  h *= 0x85EBCA6B;  h ^= h >> 13;  h *= 0xC2B2AE35;  h ^= h >> 16
//! uniform = ((h >> 8) · 2⁻²⁴ − 0.5) · scale        token = h mod vocabulary
//! ```

/// The seed of a named tensor: FNV-1a of its UTF-8 name.
pub fn seed(name: &str) -> u32 {
    name.bytes().fold(0x811C_9DC5, |h, b| (h ^ u32::from(b)).wrapping_mul(0x0100_0193))
}

/// The hash of position `i`.
pub fn hash(i: u32, seed: u32) -> u32 {
    let mut h = i.wrapping_mul(2_654_435_761).wrapping_add(seed);
    h ^= h >> 16;
    h = h.wrapping_mul(0x85EB_CA6B);
    h ^= h >> 13;
    h = h.wrapping_mul(0xC2B2_AE35);
    h ^ (h >> 16)
}

/// The number at position `i`, in ±`scale`/2. Exact if `scale` is a power of two.
pub fn uniform_at(i: u32, seed: u32, scale: f64) -> f64 {
    (f64::from(hash(i, seed) >> 8) * (-24f64).exp2() - 0.5) * scale
}

/// `count` numbers in ±`scale`/2.
pub fn uniform(count: usize, seed: u32, scale: f64) -> Vec<f32> {
    (0..count as u32).map(|i| uniform_at(i, seed, scale) as f32).collect()
}

/// `count` token ids below `vocabulary`.
pub fn tokens(count: usize, seed: u32, vocabulary: u32) -> Vec<i32> {
    (0..count as u32).map(|i| (hash(i, seed) % vocabulary) as i32).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agrees_with_the_published_values() {
        let seed = seed("einsum-check");
        assert_eq!(seed, 1_401_351_143);
        let hashes: Vec<u32> = (0..4).map(|i| hash(i, seed)).collect();
        assert_eq!(hashes, [2_372_535_905, 32_820_085, 3_703_535_987, 3_912_866_314]);
        let numbers = uniform(3, seed, 1.0);
        assert_eq!(numbers, [0.052_399_04, -0.492_358_5, 0.362_296_64]);
        assert_eq!(tokens(3, seed, 8192), [1633, 2933, 6515]);
    }
}
