//! Tiles: how a kernel's points are shared out, where their number is known only at launch.

use super::place;
use super::shape::Size;
use crate::build::{Builder, Cmp, V};

/// Positions in blocks of a number; the last one may be smaller.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Split {
    /// How many positions there are.
    pub size: Size,
    /// How many of them are in a block.
    pub block: u64,
}

/// Calls `body` for the tiles from `begin` to `end` of the product of some splits, row-major, with the first position of
/// each.
pub fn each<'c>(
    b: &Builder<'c>,
    symbols: &[V<'c>],
    splits: &[Split],
    (begin, end): (V<'c>, V<'c>),
    body: impl FnOnce(&[V<'c>]),
) {
    let (zero, one) = (b.index(0), b.index(1));
    let sizes: Vec<V<'c>> = splits.iter().map(|s| place::size(b, symbols, &s.size)).collect();
    // The first tile's position in each split: the only divisions there are.
    let mut rest = begin;
    let mut firsts: Vec<V<'c>> = Vec::new();
    for (n, (split, size)) in splits.iter().zip(&sizes).enumerate().rev() {
        let block = b.index(split.block as i64);
        let at = match n {
            0 => rest,
            _ => {
                let blocks = b.udiv(b.add(*size, b.sub(block, one)), block);
                let blocks = b.smax(blocks, one);
                let at = b.urem(rest, blocks);
                rest = b.udiv(rest, blocks);
                at
            }
        };
        firsts.insert(0, b.mul(at, block));
    }
    b.for_carried(begin, end, 1, &firsts, |_, firsts| {
        body(firsts);
        let mut next = firsts.to_vec();
        let mut carry = None;
        for (n, split) in splits.iter().enumerate().rev() {
            let more = b.add(firsts[n], b.index(split.block as i64));
            let moved = match carry {
                None => more,
                Some(carry) => b.select(carry, more, firsts[n]),
            };
            let over = b.cmp(Cmp::Ge, moved, sizes[n]);
            next[n] = if n == 0 { moved } else { b.select(over, zero, moved) };
            carry = Some(over);
        }
        next
    });
}
