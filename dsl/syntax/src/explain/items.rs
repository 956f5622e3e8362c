//! Text between items.

use super::expected;
use crate::lex::{ITEM_KEYWORDS, KEYWORDS, Kind, Token};
use crate::recover::statements::starts_assignment;
use einmesh_diagnostics::{Diagnostic, FileId, codes::syntax as codes, suggest::nearest};

/// What people from elsewhere write for an item's keyword.
const FOREIGN: &[(&str, &str)] = &[
    ("let", "const"),
    ("val", "const"),
    ("var", "const"),
    ("def", "fn"),
    ("func", "fn"),
    ("function", "fn"),
    ("fun", "fn"),
    ("kernel", "fn"),
    ("pub", "export"),
    ("public", "export"),
    ("struct", "record"),
    ("class", "record"),
    ("data", "record"),
    ("import", "use"),
    ("include", "use"),
    ("from", "use"),
    ("mod", "use"),
    ("index", "dim"),
    ("axis", "dim"),
    ("size", "dim"),
    ("schedule", "plan"),
    ("mesh", "plan"),
    ("dtype", "type"),
];

/// Says what is wrong with tokens that do not start with an item's keyword; `before` stands before
/// them.
pub(crate) fn unknown_item(
    file: FileId,
    text: &str,
    before: &[Token],
    tokens: &[Token],
) -> Diagnostic {
    let first = &tokens[0];
    let word = first.text(text);
    let at = first.span(file);
    let error = |message: String, label: &str| {
        Diagnostic::error(codes::UNKNOWN_ITEM, message).at(at, label)
    };
    if let Some(error) = super::tokens::lexical(file, text, first) {
        return error;
    }
    if first.kind == Kind::Punct && matches!(word, ")" | "]" | "}") {
        return Diagnostic::error(codes::BRACKETS, format!("this `{word}` closes nothing"))
            .at(at, "no bracket is open here")
            .help("remove it, or open a bracket before it");
    }
    if word == "@" {
        return error("a decorator stands alone".to_string(), "not before a declaration")
            .help("decorators stand before a statement, or in a plan: `plan pod for forward { @mesh(data: 2) }`");
    }
    let lists = ["dim", "const", "type"];
    let list = before.iter().rev().find(|t| t.first && t.is_one_of(text, KEYWORDS));
    let is_statement = starts_assignment(text, tokens, 0);
    if is_statement && let Some(list) = list.filter(|list| list.is_one_of(text, &lists)) {
        let last = before.last().map_or(at, |t| t.span(file));
        let comma = einmesh_diagnostics::Span { start: last.end, ..last };
        let keyword = list.text(text);
        return Diagnostic::error(codes::MISSING_COMMA, "a comma is missing")
            .at(comma, format!("`,` is missing, or `{keyword}` before `{word}`"))
            .also(at, "this would be the next one")
            .help(format!("separate them by `,`, or start a new `{keyword}`"));
    }
    if let Some((_, keyword)) = FOREIGN.iter().find(|(foreign, _)| *foreign == word) {
        return error(format!("`{word}` starts no declaration"), "unknown here")
            .help(format!("write `{keyword}`"));
    }
    if is_statement {
        return error("a statement stands outside of a function".to_string(), "not in a function")
            .help(format!(
                "a constant is declared with `const {word} = …`; a value is computed in a `fn`"
            ));
    }
    let known = nearest(word, ITEM_KEYWORDS.iter().copied().filter(|k| *k != "export"));
    let error = error(
        format!("expected a declaration, found {}", expected::name(text, first)),
        "unknown here",
    );
    match known {
        Some(known) if first.kind == Kind::Word => error.help(format!("did you mean `{known}`?")),
        _ => error
            .note("a file consists of `use`, `dim`, `type`, `const`, `record`, `fn` and `plan`"),
    }
}
