//! From text to tree.

use crate::ast::File;
use crate::build::Builder;
use crate::grammar::{Rule, run};
use crate::lex::{Kind, Token, tokens};
use crate::{limits, split};
use einmesh_diagnostics::{Diagnostic, Diagnostics, FileId, Span, codes::syntax as codes};

/// Reads a file's text: the tree of what could be read, and what is wrong with the rest.
pub fn parse(file: FileId, text: &str) -> (File, Diagnostics) {
    let mut ctx = Ctx {
        file,
        text,
        tree: File::default(),
        diagnostics: Diagnostics::new(),
    };
    match limits::check(file, text) {
        Some(refusal) => ctx.diagnostics.push(refusal),
        None => ctx.file(),
    }
    (ctx.tree, ctx.diagnostics)
}

struct Ctx<'t> {
    file: FileId,
    text: &'t str,
    tree: File,
    diagnostics: Diagnostics,
}

impl Ctx<'_> {
    fn file(&mut self) {
        let mut all = tokens(self.text);
        all.retain(|token| token.kind != Kind::Comment);
        for range in split::items(self.text, &all) {
            self.item(&all[range]);
        }
    }

    fn item(&mut self, tokens: &[Token]) {
        let (start, end) = (tokens[0].start, tokens[tokens.len() - 1].end);
        match run(Rule::item_alone, &self.text[start..end]) {
            Ok(mut pairs) => {
                let mut builder = Builder {
                    file: self.file,
                    source: self.text,
                    base: start,
                    diagnostics: &mut self.diagnostics,
                    too_deep: false,
                };
                let item = pairs.next().expect("the grammar requires an item");
                self.tree.items.push(builder.item(item));
            }
            Err(error) => {
                let at = match error.location {
                    pest::error::InputLocation::Pos(at)
                    | pest::error::InputLocation::Span((at, _)) => start + at,
                };
                let span = Span {
                    file: self.file,
                    start: at as u32,
                    end: (at as u32 + 1).min(end as u32),
                };
                self.diagnostics
                    .push(Diagnostic::error(codes::EXPECTED, error.variant.message()).at(span, ""));
            }
        }
    }
}
