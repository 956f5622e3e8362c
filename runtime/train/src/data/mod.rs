//! Batches of tokens from files of text.
//!
//! A *source* is a file, or all files of a directory, as one long row of tokens ([`source`]). It is cut into
//! *windows* of T + 1 tokens that overlap by one: T that the model reads, and the T that follow them. The last windows
//! of each source are kept for validation. Training visits a source's windows in an order that is
//! shuffled anew in each pass ([`order`]), and takes rows from several sources in given proportions
//! ([`mixture`]).

mod cache;
mod mixture;
mod order;
mod source;
mod tokens;

pub use mixture::{Mixture, Position};
pub use source::{Bytes, Encoder, Source};
pub use tokens::Tokens;

use crate::error::TrainError;
use order::Order;
use std::ops::Range;

/// All sources of a run, cut into windows.
pub struct Dataset {
    sources: Vec<Windows>,
    mixture: Mixture,
    /// T: the tokens of a row.
    length: u64,
    seed: u64,
    /// The part kept for validation.
    validation: f64,
}

/// A source's windows: those of training first, then those of validation.
struct Windows {
    source: Source,
    training: u64,
    validation: u64,
}

/// The rows of a batch, one after the other.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Batch {
    /// What the model reads.
    pub tokens: Vec<i32>,
    /// What follows each of them.
    pub targets: Vec<i32>,
}

impl Dataset {
    /// Cuts sources into windows of `length` tokens and their successors, the last `validation` (a part of 1)
    /// of each kept apart. Rows come from the sources in the given proportions, or by their sizes.
    pub fn new(
        sources: Vec<Source>,
        proportions: Option<&[f64]>,
        length: u64,
        validation: f64,
        seed: u64,
    ) -> Result<Dataset, TrainError> {
        let windows: Vec<Windows> = sources
            .into_iter()
            .map(|source| Windows::cut(source, length, validation))
            .collect::<Result<_, _>>()?;
        let sizes: Vec<f64> = windows.iter().map(|w| w.training as f64).collect();
        let mixture = Mixture::new(proportions.unwrap_or(&sizes), windows.len())?;
        Ok(Dataset { sources: windows, mixture, length, seed, validation })
    }

    /// The sources.
    pub fn sources(&self) -> impl Iterator<Item = &Source> {
        self.sources.iter().map(|w| &w.source)
    }

    /// The part of each source that is kept for validation.
    pub fn validation_part(&self) -> f64 {
        self.validation
    }

    /// Where a run begins.
    pub fn start(&self) -> Position {
        self.mixture.start()
    }

    /// How many windows training has, and how many validation has.
    pub fn windows(&self) -> (u64, u64) {
        let training = self.sources.iter().map(|w| w.training).sum();
        (training, self.sources.iter().map(|w| w.validation).sum())
    }

    /// The next `rows` rows of training, from a position on; the position moves on.
    pub fn training(&self, position: &mut Position, rows: u64) -> Batch {
        let mut batch = Batch::default();
        for _ in 0..rows {
            let source = self.mixture.next(position);
            let windows = &self.sources[source];
            let taken = position.taken[source] - 1;
            let pass = taken / windows.training;
            let order = Order::new(windows.training, self.seed, source as u64, pass);
            self.copy(source, order.at(taken % windows.training), &mut batch);
        }
        batch
    }

    /// Rows of validation by their numbers; those of all sources in turn.
    pub fn validation(&self, rows: Range<u64>) -> Batch {
        let mut batch = Batch::default();
        for row in rows {
            let mut rest = row;
            for (source, windows) in self.sources.iter().enumerate() {
                if rest < windows.validation {
                    self.copy(source, windows.training + rest, &mut batch);
                    break;
                }
                rest -= windows.validation;
            }
        }
        batch
    }

    fn copy(&self, source: usize, window: u64, batch: &mut Batch) {
        let begin = window * self.length;
        let tokens = &self.sources[source].source.tokens;
        tokens.copy(begin..begin + self.length, &mut batch.tokens);
        tokens.copy(begin + 1..begin + self.length + 1, &mut batch.targets);
    }
}

impl Windows {
    fn cut(source: Source, length: u64, validation: f64) -> Result<Windows, TrainError> {
        let tokens = source.tokens.len();
        let all = tokens.saturating_sub(1) / length;
        let kept = (all as f64 * validation).ceil() as u64;
        if all <= kept {
            return Err(TrainError::Mismatch(format!(
                "{} has {tokens} tokens; a row takes {length} and the one after them, and {} rows are the least\n\
                 help: give more text, or compile for shorter rows with `-D`",
                source.name,
                kept + 1
            )));
        }
        Ok(Windows { source, training: all - kept, validation: kept })
    }
}
