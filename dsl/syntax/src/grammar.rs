//! The grammar as pest compiles it, and one way to run it.

// The derive makes public items without documentation.
#![allow(missing_docs)]

use pest::Parser;
use pest::error::{ErrorVariant, InputLocation};
use pest::iterators::Pairs;
use std::num::NonZeroUsize;
use std::sync::Once;

#[derive(pest_derive::Parser)]
#[grammar = "grammar.pest"]
struct Grammar;

/// The most rule calls of one run of pest. The densest item of the largest size needs a quarter of it (some
/// hundred calls a byte), so it is reached only if the grammar started to backtrack.
const CALL_LIMIT: usize = 400_000_000;

/// Where and why pest stopped.
pub(crate) struct Failure {
    /// The byte that nothing fits.
    pub at: usize,
    /// What would fit there.
    pub expected: Vec<Rule>,
    /// Whether it ran into a limit instead.
    pub gave_up: bool,
}

/// Parses `text` as `rule`.
pub(crate) fn run(rule: Rule, text: &str) -> Result<Pairs<'_, Rule>, Failure> {
    static SET_LIMIT: Once = Once::new();
    SET_LIMIT.call_once(|| pest::set_call_limit(NonZeroUsize::new(CALL_LIMIT)));
    Grammar::parse(rule, text).map_err(|error| {
        let (InputLocation::Pos(at) | InputLocation::Span((at, _))) = error.location;
        match error.variant {
            ErrorVariant::ParsingError { positives, .. } => {
                Failure { at, expected: positives, gave_up: false }
            }
            ErrorVariant::CustomError { .. } => Failure { at, expected: Vec::new(), gave_up: true },
        }
    })
}
