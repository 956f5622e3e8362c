//! The counter-based random number generator, bit for bit.
//!
//! Both functions are pure functions of a key and a number, so results depend neither on the mesh
//! nor on the order of evaluation. They are built from the finalizer of SplitMix64 (Steele, Lea and
//! Flood 2014, with the constants of Stafford's variant 13) and use only 64-bit integer operations
//! that wrap, one shift to take the top bits, and one exact multiplication by a power of two:
//! generated code emits the same operations.

/// What one step of the sequence adds: ⌊2⁶⁴ / golden ratio⌋, made odd.
pub const STEP: u64 = 0x9E37_79B9_7F4A_7C15;
/// Separates the numbers that [`uniform`] draws from the keys that [`fold`] derives.
pub const DRAW: u64 = 0xD1B5_4A32_D192_ED03;
/// The first factor of [`mix`].
pub const MIX_1: u64 = 0xBF58_476D_1CE4_E5B9;
/// The second factor of [`mix`].
pub const MIX_2: u64 = 0x94D0_49BB_1331_11EB;

/// The finalizer of SplitMix64: a bijection in which every input bit affects every output bit.
pub fn mix(z: u64) -> u64 {
    let z = (z ^ (z >> 30)).wrapping_mul(MIX_1);
    let z = (z ^ (z >> 27)).wrapping_mul(MIX_2);
    z ^ (z >> 31)
}

/// An independent key: `mix(mix(key + STEP) + x · STEP)`.
pub fn fold(key: u64, x: i64) -> u64 {
    mix(mix(key.wrapping_add(STEP)).wrapping_add((x as u64).wrapping_mul(STEP)))
}

/// The random number of a key at a logical position, in `[0, 1)`: the top 24 bits of
/// `mix(mix(key xor DRAW) + position · STEP)`, times 2⁻²⁴.
pub fn uniform(key: u64, position: i64) -> f32 {
    let counter = (position as u64).wrapping_mul(STEP);
    let bits = mix(mix(key ^ DRAW).wrapping_add(counter)) >> 40;
    // At most 24 bits: the conversion and the product are exact.
    bits as f32 * (1.0 / 16_777_216.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mix_is_splitmix64() {
        // The first outputs of the reference implementation with seed 1234567.
        let mut state = 1_234_567_u64;
        let mut next = || {
            state = state.wrapping_add(STEP);
            mix(state)
        };
        assert_eq!(next(), 6_457_827_717_110_365_317);
        assert_eq!(next(), 3_203_168_211_198_807_973);
    }

    #[test]
    fn uniform_is_in_range_and_has_the_right_mean() {
        let numbers: Vec<f64> = (0..20_000).map(|p| f64::from(uniform(7, p))).collect();
        assert!(numbers.iter().all(|x| (0.0..1.0).contains(x)));
        let mean = numbers.iter().sum::<f64>() / 20_000.0;
        // The standard error of the mean is 1/√12/√20000 ≈ 0.002.
        assert!((mean - 0.5).abs() < 0.01, "{mean}");
    }

    #[test]
    fn keys_and_positions_all_matter() {
        assert_ne!(uniform(1, 0), uniform(2, 0));
        assert_ne!(uniform(1, 0), uniform(1, -1));
        assert_ne!(fold(1, 0), 1);
        assert_ne!(fold(1, 2), fold(2, 1));
        assert_ne!(fold(fold(1, 2), 3), fold(fold(1, 3), 2));
    }
}
