//! Transposition of a square of vectors in registers.

use crate::build::{Builder, V};

/// The columns of the matrix whose rows are given; as many rows as lanes, a power of two.
///
/// Each round exchanges, for every pair of rows whose numbers differ in one bit, the lanes whose numbers
/// have that bit and those that do not.
pub fn transpose<'c>(b: &Builder<'c>, mut rows: Vec<V<'c>>) -> Vec<V<'c>> {
    let size = rows.len();
    let mut bit = size / 2;
    while bit > 0 {
        let lanes = |upper: bool| -> Vec<i64> {
            let pick = |lane: usize| match (lane & bit != 0, upper) {
                (false, false) => lane,
                (true, false) => size + lane - bit,
                (false, true) => lane + bit,
                (true, true) => size + lane,
            };
            (0..size).map(|lane| pick(lane) as i64).collect()
        };
        let (low, high) = (lanes(false), lanes(true));
        for i in (0..size).filter(|i| i & bit == 0) {
            let (x, y) = (rows[i], rows[i + bit]);
            rows[i] = b.shuffle(x, y, &low);
            rows[i + bit] = b.shuffle(x, y, &high);
        }
        bit /= 2;
    }
    rows
}
