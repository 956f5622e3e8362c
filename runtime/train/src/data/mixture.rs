//! Several sources in given proportions.

use crate::error::TrainError;
use serde::{Deserialize, Serialize};

/// How large each source's part of the rows is.
#[derive(Clone, PartialEq, Debug)]
pub struct Mixture {
    /// Adding up to 1.
    proportions: Vec<f64>,
}

/// How far a run has come in its data.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Position {
    /// The rows taken from each source.
    pub taken: Vec<u64>,
}

impl Mixture {
    /// Proportions of `sources` sources; they need not add up to 1.
    pub fn new(proportions: &[f64], sources: usize) -> Result<Mixture, TrainError> {
        let refuse = |message: String| Err(TrainError::Mismatch(message));
        if proportions.len() != sources {
            return refuse(format!(
                "there are {} proportions for {sources} sources\nhelp: give each `--data` path one number in `--mix`",
                proportions.len()
            ));
        }
        if let Some(wrong) = proportions.iter().find(|p| !(p.is_finite() && **p >= 0.0)) {
            return refuse(format!(
                "the proportion {wrong} is no number of 0 or above\nhelp: `--mix 0.7,0.3`"
            ));
        }
        let sum: f64 = proportions.iter().sum();
        if !(sum > 0.0 && sum.is_finite()) {
            return refuse("all proportions are 0\nhelp: `--mix 0.7,0.3`".to_owned());
        }
        Ok(Mixture { proportions: proportions.iter().map(|p| p / sum).collect() })
    }

    /// Where a run begins.
    pub fn start(&self) -> Position {
        Position { taken: vec![0; self.proportions.len()] }
    }

    /// The source of the next row, counted in `position`: the one that is furthest behind its part, the
    /// first of equals. After n rows each source has given its part of n, less or more than one row.
    pub fn next(&self, position: &mut Position) -> usize {
        let rows = position.taken.iter().sum::<u64>() as f64 + 1.0;
        let behind = |i: usize| self.proportions[i] * rows - position.taken[i] as f64;
        let mut best = 0;
        for source in 1..self.proportions.len() {
            if behind(source) > behind(best) {
                best = source;
            }
        }
        position.taken[best] += 1;
        best
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_kept_at_every_moment() {
        for proportions in [&[0.7, 0.3][..], &[1.0], &[5.0, 3.0, 0.0, 2.0]] {
            let mixture = Mixture::new(proportions, proportions.len()).unwrap();
            let mut position = mixture.start();
            for rows in 1..2000_u64 {
                mixture.next(&mut position);
                for (part, taken) in mixture.proportions.iter().zip(&position.taken) {
                    let off = part * rows as f64 - *taken as f64;
                    assert!(
                        off.abs() < 1.0 + 1e-9,
                        "{off} rows off after {rows} of {proportions:?}"
                    );
                }
            }
        }
    }

    #[test]
    fn wrong_proportions_are_refused() {
        let said = |p: &[f64], n| Mixture::new(p, n).unwrap_err().to_string();
        assert!(said(&[0.5], 2).contains("1 proportions for 2 sources"));
        assert!(said(&[0.5, -1.0], 2).contains("-1"));
        assert!(said(&[0.0, 0.0], 2).contains("all proportions are 0"));
        assert!(said(&[f64::NAN], 1).contains("NaN"));
    }
}
