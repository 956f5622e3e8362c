//! The grammar as pest compiles it, and one way to run it.

// The derive makes public items without documentation.
#![allow(missing_docs)]

use pest::Parser;
use pest::error::Error;
use pest::iterators::Pairs;
use std::num::NonZeroUsize;
use std::sync::Once;

#[derive(pest_derive::Parser)]
#[grammar = "grammar.pest"]
struct Grammar;

/// The most rule calls of one run of pest. An item of the largest size allowed needs a tenth of it,
/// so it is reached only if the grammar started to backtrack.
const CALL_LIMIT: usize = 400_000_000;

/// Parses `text` as `rule`.
pub(crate) fn run(rule: Rule, text: &str) -> Result<Pairs<'_, Rule>, Box<Error<Rule>>> {
    static SET_LIMIT: Once = Once::new();
    SET_LIMIT.call_once(|| pest::set_call_limit(NonZeroUsize::new(CALL_LIMIT)));
    Grammar::parse(rule, text).map_err(Box::new)
}
