//! Shuffled orders that cost no memory: the n-th element is computed, not looked up.
//!
//! A Feistel network permutes the numbers below a power of four, whatever its round function is (Luby and
//! Rackoff 1988); numbers at or above the count are permuted again until one is below it ("cycle walking",
//! Black and Rogaway 2002), at most four times on average.

/// The rounds of the network: four make it a good permutation of few numbers too.
const ROUNDS: u64 = 6;

/// A permutation of `0..count`.
#[derive(Clone, Copy, Debug)]
pub struct Order {
    count: u64,
    /// Half the bits of a permuted number.
    half: u32,
    key: u64,
}

impl Order {
    /// The order of a pass over a source. Another seed, source or pass gives another.
    pub fn new(count: u64, seed: u64, source: u64, pass: u64) -> Order {
        let bits = u64::BITS - count.saturating_sub(1).leading_zeros();
        let key = mix(mix(mix(seed) ^ source) ^ pass);
        Order { count, half: bits.div_ceil(2).max(1), key }
    }

    /// The number at a position below the count.
    pub fn at(&self, position: u64) -> u64 {
        let mut number = position;
        loop {
            number = self.permute(number);
            if number < self.count {
                return number;
            }
        }
    }

    fn permute(&self, number: u64) -> u64 {
        let mask = (1 << self.half) - 1;
        let (mut left, mut right) = (number >> self.half, number & mask);
        for round in 0..ROUNDS {
            let turned = left ^ (mix(self.key ^ mix(right ^ (round << 56))) & mask);
            (left, right) = (right, turned);
        }
        left << self.half | right
    }
}

/// The finaliser of SplitMix64 (Steele, Lea and Flood 2014).
fn mix(x: u64) -> u64 {
    let x = x.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    x ^ (x >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_occurs_once() {
        for count in [1, 2, 3, 7, 64, 65, 1000] {
            let order = Order::new(count, 3, 1, 4);
            let mut seen: Vec<u64> = (0..count).map(|i| order.at(i)).collect();
            seen.sort_unstable();
            assert_eq!(seen, (0..count).collect::<Vec<u64>>(), "of {count}");
        }
    }

    #[test]
    fn seed_source_and_pass_change_the_order() {
        let numbers = |order: Order| (0..1000).map(|i| order.at(i)).collect::<Vec<u64>>();
        let first = numbers(Order::new(1000, 0, 0, 0));
        assert_eq!(first, numbers(Order::new(1000, 0, 0, 0)));
        for other in [(1, 0, 0), (0, 1, 0), (0, 0, 1)] {
            let (seed, source, pass) = other;
            assert_ne!(first, numbers(Order::new(1000, seed, source, pass)), "{other:?}");
        }
    }

    /// Spearman's rank correlation of position and number: its deviation for n random ones is 1/√(n − 1).
    #[test]
    fn positions_and_numbers_are_not_correlated() {
        let n = 4096;
        let mean = (n - 1) as f64 / 2.0;
        let variance = (n * n - 1) as f64 / 12.0;
        for pass in 0..8 {
            let order = Order::new(n, 0, 0, pass);
            let products = (0..n).map(|i| (i as f64 - mean) * (order.at(i) as f64 - mean));
            let correlation = products.sum::<f64>() / (n as f64 * variance);
            assert!(correlation.abs() < 4.0 / ((n - 1) as f64).sqrt(), "{correlation} in {pass}");
        }
    }
}
