//! From text to tree.

use crate::ast::{File, Item};
use crate::build::Builder;
use crate::grammar::{Rule, run};
use crate::lex::{ITEM_KEYWORDS, Kind, Token, tokens};
use crate::recover::statements::starts_assignment;
use crate::recover::{Broken, recover};
use crate::{explain, limits, split};
use einmesh_diagnostics::{Diagnostic, Diagnostics, FileId, codes::syntax as codes};

/// Reads a file's text: the tree of what could be read, and what is wrong with the rest.
pub fn parse(file: FileId, text: &str) -> (File, Diagnostics) {
    let mut ctx = Ctx { file, text, tree: File::default(), diagnostics: Diagnostics::new() };
    match limits::check(file, text) {
        Some(refusal) => ctx.diagnostics.push(refusal),
        None => ctx.file(),
    }
    (ctx.tree, sorted(ctx.diagnostics))
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
        let mut before = Before::Whole;
        for range in split::items(self.text, &all) {
            let mistakes = self.diagnostics.iter().len();
            if mistakes >= limits::MAX_MISTAKES {
                return self.stop(&all[range.start]);
            }
            let tokens = &all[range.clone()];
            if tokens[0].is_one_of(self.text, ITEM_KEYWORDS) {
                self.item(tokens, all.get(range.end).copied());
                let broken = self.diagnostics.iter().len() > mistakes;
                before = if broken { Before::Broken } else { Before::Whole };
            } else {
                // After a mistake, text that belongs to no item is most likely its consequence.
                let follows = match before {
                    Before::Whole => false,
                    Before::Broken => starts_assignment(self.text, tokens, 0),
                    Before::Unknown => true,
                };
                if !follows {
                    let error =
                        explain::unknown_item(self.file, self.text, &all[..range.start], tokens);
                    self.diagnostics.push(error);
                }
                before = Before::Unknown;
            }
        }
    }

    fn item(&mut self, tokens: &[Token], next: Option<Token>) {
        let whole = tokens[0].span(self.file).to(tokens[tokens.len() - 1].span(self.file));
        if (whole.end - whole.start) as usize > limits::MAX_ITEM_BYTES {
            return self.diagnostics.push(limits::item_too_long(whole));
        }
        let item: Option<Item> =
            match run(Rule::item_alone, &self.text[whole.start as usize..whole.end as usize]) {
                Ok(mut pairs) => {
                    let mut builder = Builder {
                        file: self.file,
                        source: self.text,
                        base: whole.start as usize,
                        diagnostics: &mut self.diagnostics,
                        too_deep: false,
                    };
                    pairs.next().map(|pair| builder.item(pair))
                }
                Err(failure) if failure.gave_up => {
                    return self.diagnostics.push(limits::item_too_complex(whole));
                }
                Err(failure) => {
                    let broken = Broken { file: self.file, text: self.text, tokens, next };
                    recover(&broken, &failure, &mut self.diagnostics)
                }
            };
        self.tree.items.extend(item);
    }

    fn stop(&mut self, at: &Token) {
        let message = format!("there are at least {} mistakes", limits::MAX_MISTAKES);
        let error = Diagnostic::error(codes::TOO_MANY, message);
        self.diagnostics.push(error.at(at.span(self.file), "the file is not read from here on"));
    }
}

/// What stands before an item.
enum Before {
    /// An item without mistakes, or nothing.
    Whole,
    /// An item with mistakes.
    Broken,
    /// Text that is no item.
    Unknown,
}

/// In the order of the text.
fn sorted(diagnostics: Diagnostics) -> Diagnostics {
    let mut all: Vec<Diagnostic> = diagnostics.iter().cloned().collect();
    all.sort_by_key(|d| d.labels.first().map_or(0, |label| label.span.start));
    let mut sorted = Diagnostics::new();
    all.into_iter().for_each(|d| sorted.push(d));
    sorted
}
