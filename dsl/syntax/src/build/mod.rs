//! From pest's pairs to the tree.
//!
//! Pest has checked the shape, so a production is read by taking its children in order. The tree's
//! depth is bounded here ([`MAX_TREE_DEPTH`]): everything after may recurse over it.

mod exprs;
mod items;
mod slips;
mod stmts;

use crate::ast::{Name, Text};
use crate::grammar::Rule;
use einmesh_diagnostics::{Diagnostics, FileId, Span};
use pest::iterators::{Pair, Pairs};

/// The most levels of an expression's tree, operators, calls and brackets together.
pub const MAX_TREE_DEPTH: usize = 1024;

/// Builds the trees of one file.
pub(crate) struct Builder<'d> {
    /// The file.
    pub file: FileId,
    /// All of its text.
    pub source: &'d str,
    /// Where the text given to pest starts in the file.
    pub base: usize,
    /// What was found to be wrong.
    pub diagnostics: &'d mut Diagnostics,
    /// Whether an expression was too deep; said once per item, since every level above would repeat it.
    pub too_deep: bool,
}

/// The children of a production, without keywords and punctuation.
pub(crate) struct Children<'t> {
    rest: std::iter::Peekable<Pairs<'t, Rule>>,
}

impl<'t> Children<'t> {
    pub(crate) fn of(pair: Pair<'t, Rule>) -> Self {
        Children { rest: pair.into_inner().peekable() }
    }

    fn skip_fixed(&mut self) {
        while self.rest.next_if(|pair| is_fixed(pair.as_rule())).is_some() {}
    }

    /// The next child, which the grammar says is there.
    fn required(&mut self) -> Pair<'t, Rule> {
        self.next().expect("the grammar requires this child")
    }

    /// The next child if it is of this production.
    fn optional(&mut self, rule: Rule) -> Option<Pair<'t, Rule>> {
        self.skip_fixed();
        self.rest.next_if(|pair| pair.as_rule() == rule)
    }
}

impl<'t> Iterator for Children<'t> {
    type Item = Pair<'t, Rule>;

    fn next(&mut self) -> Option<Pair<'t, Rule>> {
        self.skip_fixed();
        self.rest.next()
    }
}

impl Builder<'_> {
    fn span(&self, pair: &Pair<'_, Rule>) -> Span {
        let span = pair.as_span();
        self.range(span.start(), span.end())
    }

    fn range(&self, start: usize, end: usize) -> Span {
        Span { file: self.file, start: (self.base + start) as u32, end: (self.base + end) as u32 }
    }

    fn name(&self, pair: Pair<'_, Rule>) -> Name {
        Name { text: pair.as_str().to_string(), span: self.span(&pair) }
    }

    fn text(&self, pair: Pair<'_, Rule>) -> Text {
        Text { text: pair.as_str().trim_matches('"').to_string(), span: self.span(&pair) }
    }
}

/// Whether a rule is a keyword or punctuation whose presence says nothing more.
/// `export`, `inout` and `reversed` are optional, so they count.
fn is_fixed(rule: Rule) -> bool {
    use Rule::*;
    matches!(
        rule,
        kw_use
            | kw_dim
            | kw_type
            | kw_const
            | kw_record
            | kw_fn
            | kw_plan
            | kw_for
            | kw_in
            | kw_while
            | kw_limit
            | kw_if
            | kw_else
            | kw_as
            | lparen
            | rparen
            | lbrack
            | rbrack
            | lbrace
            | rbrace
            | comma
            | colon
            | equals
            | arrow
            | dot
            | bar
            | at
            | EOI
    )
}
