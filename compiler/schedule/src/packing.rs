//! Offsets for blocks of memory with known lives, such that those alive together do not overlap: dynamic
//! storage allocation, offline. The problem is NP-hard, so several orders of first fit are tried, and the
//! best is improved by hill climbing as long as it is above the lower bound.
//!
//! Everything is deterministic: the same blocks get the same offsets.

use std::cmp::Reverse;

/// A block of memory, alive from position `start` to position `end`, both included.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Block {
    /// Its bytes.
    pub bytes: u64,
    /// Where its life begins.
    pub start: usize,
    /// Where it ends.
    pub end: usize,
}

/// Where blocks are.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Packing {
    /// The offset of each block.
    pub offsets: Vec<u64>,
    /// Bytes from 0 to the end of the last.
    pub bytes: u64,
}

/// How often a packing above the bound is improved at most, and how many pairs of blocks are looked at in
/// all: some milliseconds, however many blocks there are.
const STEPS: usize = 1000;
const WORK: usize = 4_000_000;

/// The most bytes alive at one position: no packing takes less.
pub fn lower_bound(blocks: &[Block]) -> u64 {
    // The most is reached where some block begins.
    let alive = |at: usize| {
        let those = blocks.iter().filter(|b| b.start <= at && at <= b.end);
        those.map(|b| b.bytes).sum::<u64>()
    };
    blocks.iter().map(|b| alive(b.start)).max().unwrap_or(0)
}

/// Gives blocks their offsets. They should be multiples of the alignment, and so will the offsets be.
pub fn pack(blocks: &[Block]) -> Packing {
    let bound = lower_bound(blocks);
    let length = |b: &Block| (b.end - b.start + 1) as u128;
    // First fit does well with the large and the lasting first; which counts more depends on the program.
    let orders = [
        first(blocks, |b| (u128::from(b.bytes), 0)),
        first(blocks, |b| (u128::from(b.bytes) * length(b), b.bytes)),
        first(blocks, |b| (length(b), b.bytes)),
        first(blocks, |b| (u128::MAX - b.start as u128, b.bytes)),
    ];
    let packings = orders.map(|order| (first_fit(blocks, &order), order));
    let (mut best, mut order) =
        packings.into_iter().min_by_key(|(packing, _)| packing.bytes).expect("there are orders");
    // Reproducible numbers: the steps of MMIX's generator (Knuth).
    let mut state = 1u64;
    let mut below = |n: usize| {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % n
    };
    let mut steps = (WORK / (blocks.len() * blocks.len()).max(1)).min(STEPS);
    while best.bytes > bound && steps > 0 {
        steps -= 1;
        // Two blocks change places, every other time one of those that end at the very top.
        let top = |i: usize| best.offsets[i] + blocks[i].bytes == best.bytes;
        let tops: Vec<usize> = (0..order.len()).filter(|p| top(order[*p])).collect();
        let one = match steps % 2 {
            0 => tops[below(tops.len())],
            _ => below(order.len()),
        };
        let other = below(order.len());
        order.swap(one, other);
        let packing = first_fit(blocks, &order);
        match packing.bytes <= best.bytes {
            true => best = packing,
            false => order.swap(one, other),
        }
    }
    best
}

/// The blocks with the largest of `key` first.
fn first(blocks: &[Block], key: impl Fn(&Block) -> (u128, u64)) -> Vec<usize> {
    let mut order: Vec<usize> = (0..blocks.len()).collect();
    order.sort_by_key(|i| Reverse(key(&blocks[*i])));
    order
}

/// Places blocks in an order, each at the lowest offset that is free for its whole life.
fn first_fit(blocks: &[Block], order: &[usize]) -> Packing {
    let mut packing = Packing { offsets: vec![0; blocks.len()], bytes: 0 };
    let mut placed: Vec<usize> = Vec::with_capacity(order.len());
    for &id in order {
        let block = &blocks[id];
        let together = placed.iter().filter(|other| {
            let other = &blocks[**other];
            block.start <= other.end && other.start <= block.end
        });
        let mut taken: Vec<(u64, u64)> = together
            .map(|other| (packing.offsets[*other], packing.offsets[*other] + blocks[*other].bytes))
            .collect();
        taken.sort_unstable();
        let mut offset = 0;
        for (start, end) in taken {
            if offset + block.bytes <= start {
                break;
            }
            offset = offset.max(end);
        }
        packing.offsets[id] = offset;
        packing.bytes = packing.bytes.max(offset + block.bytes);
        placed.push(id);
    }
    packing
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reproducible numbers below `below`.
    struct Numbers(u64);

    impl Numbers {
        fn next(&mut self, below: u64) -> u64 {
            self.0 = self
                .0
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            (self.0 >> 33) % below
        }
    }

    /// Blocks as programs have them: most live for a moment, some for long; sizes of a few kinds.
    fn random(seed: u64) -> Vec<Block> {
        let mut n = Numbers(seed);
        let count = 5 + n.next(60);
        let sizes = [64, 64 * 3, 1024, 4096, 4096 * 3, 4096 * 4];
        let block = |_| {
            let start = n.next(100) as usize;
            let length = if n.next(4) == 0 { 40 } else { 5 };
            let end = start + n.next(length) as usize;
            Block { bytes: sizes[n.next(sizes.len() as u64) as usize], start, end }
        };
        (0..count).map(block).collect()
    }

    #[test]
    fn blocks_alive_together_are_apart() {
        for seed in 0..300 {
            let blocks = random(seed);
            let packing = pack(&blocks);
            assert_eq!(packing, pack(&blocks));
            assert!(packing.bytes >= lower_bound(&blocks));
            for (i, a) in blocks.iter().enumerate() {
                assert!(packing.offsets[i] + a.bytes <= packing.bytes);
                for (j, b) in blocks.iter().enumerate().skip(i + 1) {
                    let together = a.start <= b.end && b.start <= a.end;
                    let (x, y) = (packing.offsets[i], packing.offsets[j]);
                    assert!(!together || x + a.bytes <= y || y + b.bytes <= x, "seed {seed}");
                }
            }
        }
    }

    #[test]
    fn packings_are_close_to_the_bound() {
        let mut worst = (0, 1.0);
        for seed in 0..300 {
            let blocks = random(seed);
            let ratio = pack(&blocks).bytes as f64 / lower_bound(&blocks) as f64;
            worst = if ratio > worst.1 { (seed, ratio) } else { worst };
        }
        assert!(worst.1 <= 1.05, "seed {}: {:.3} of the lower bound", worst.0, worst.1);
    }

    #[test]
    fn hill_climbing_finds_what_first_fit_does_not() {
        let block = |bytes, start, end| Block { bytes, start, end };
        let blocks =
            [block(4, 0, 1), block(3, 1, 3), block(3, 3, 5), block(4, 5, 6), block(2, 2, 4)];
        let by_size = first_fit(&blocks, &[0, 3, 1, 2, 4]);
        assert!(by_size.bytes > lower_bound(&blocks));
        assert_eq!(pack(&blocks).bytes, lower_bound(&blocks));
    }
}
