//! Slips in single tokens: what is in no program, or only in those of other languages.

use super::Mistake;
use crate::lex::{Kind, Token};
use einmesh_diagnostics::{Diagnostic, FileId, codes::syntax as codes};

pub(super) fn find(m: &Mistake<'_>) -> Option<Diagnostic> {
    if m.ends_early() {
        return None;
    }
    let token = m.found()?;
    lexical(m.file, m.text, &token).or_else(|| operator(m, &token))
}

/// Texts, numbers and characters that are wrong wherever they stand.
pub(super) fn lexical(file: FileId, text: &str, token: &Token) -> Option<Diagnostic> {
    let word = token.text(text);
    match token.kind {
        Kind::OpenText => Some(
            Diagnostic::error(codes::OPEN_TEXT, "a text is not closed")
                .at(token.span(file), "`\"` is missing at its end")
                .help("a text ends on the line it starts on: add `\"`"),
        ),
        Kind::Number => number(file, word, token),
        Kind::Unknown => {
            let message = format!("the character {} is not part of the language", show(word));
            let error = Diagnostic::error(codes::UNKNOWN_CHARACTER, message)
                .at(token.span(file), "unknown");
            Some(match replacement(word) {
                Some(help) => error.help(help),
                None => error,
            })
        }
        _ => None,
    }
}

fn show(word: &str) -> String {
    match word.chars().next() {
        Some(c) if c.is_control() || c.is_whitespace() => format!("U+{:04X}", c as u32),
        _ => format!("`{word}`"),
    }
}

/// What to write for a character of mathematics, typography or other languages.
fn replacement(word: &str) -> Option<&'static str> {
    Some(match word {
        "×" | "·" | "⋅" | "∗" => "write `*`",
        "÷" => "write `/`",
        "−" | "–" | "—" => "write `-`",
        "≤" => "write `<=`",
        "≥" => "write `>=`",
        "≠" => "write `!=`",
        "→" => "write `->`",
        "∧" => "write `and`",
        "∨" => "write `or`",
        "¬" | "~" => "write `not`",
        "∑" | "Σ" => "write `sum[i](…)`; an index that two factors share is summed by itself",
        "√" => "write `sqrt(…)`",
        "“" | "”" | "„" | "‘" | "’" | "'" => {
            "texts stand in straight double quotes: `\"…\"`"
        }
        "#" => "comments start with `//`",
        "?" => "a choice is written `where(condition, a, b)`",
        "\\" => "newlines need no mark: a statement goes on until it is complete",
        "$" | "`" => "names consist of letters, digits and `_`",
        "\u{a0}" | "\u{feff}" | "\u{200b}" => "remove this invisible character",
        _ if word.chars().all(char::is_alphabetic) => {
            "names consist of the letters a–z and A–Z, digits and `_`"
        }
        _ => return None,
    })
}

/// A word that starts like a number and is none.
fn number(file: FileId, word: &str, token: &Token) -> Option<Diagnostic> {
    let digits = word.bytes().take_while(|b| b.is_ascii_digit() || *b == b'.').count();
    let exponent =
        word[digits..].strip_prefix(['e', 'E']).map(|rest| rest.trim_start_matches(['+', '-']));
    let after = match exponent {
        Some(rest) if rest.starts_with(|c: char| c.is_ascii_digit()) => {
            rest.trim_start_matches(|c: char| c.is_ascii_digit())
        }
        _ => &word[digits..],
    };
    if after.is_empty() || matches!(after, "KiB" | "MiB" | "GiB") {
        return None;
    }
    let value = &word[..word.len() - after.len()];
    let error = Diagnostic::error(codes::NUMBER, format!("`{word}` is not a number"))
        .at(token.span(file), format!("`{after}` cannot follow a number"));
    Some(match after {
        "KB" | "MB" | "GB" | "K" | "M" | "G" | "k" | "kB" => {
            error.help("sizes are written with `KiB`, `MiB` or `GiB`: `70GiB`")
        }
        "f" | "f32" | "f64" | "f16" | "bf16" | "i32" | "i64" => error.help(format!(
            "numbers have no dtype of their own: write `{value}`, or cast the expression"
        )),
        _ if word.bytes().all(|b| b.is_ascii_digit() || b == b'_') => {
            error.help(format!("numbers have no separators: write `{}`", word.replace('_', "")))
        }
        _ if value == "0" && after.starts_with(['x', 'b', 'o']) => {
            error.help("numbers are decimal")
        }
        _ => error.help(format!("for a product write `{value} * {after}`")),
    })
}

/// Operators of other languages.
fn operator(m: &Mistake<'_>, token: &Token) -> Option<Diagnostic> {
    if token.kind != Kind::Punct {
        return None;
    }
    let word = token.text(m.text);
    let at = token.span(m.file);
    let error = |message: &str| {
        Diagnostic::error(codes::FOREIGN_OPERATOR, message).at(at, "not an operator here")
    };
    let between = |with: &str| {
        let (left, right) = (m.at.checked_sub(1)?, m.at + 1);
        let simple = |at: usize| {
            m.tokens.get(at).is_some_and(|t| {
                matches!(t.kind, Kind::Word | Kind::Number) && t.ends_operand(m.text)
            })
        };
        (simple(left) && simple(right))
            .then(|| format!("write `{} {with} {}`", m.word(left), m.word(right)))
    };
    let instead = |with: &str| between(with).unwrap_or_else(|| format!("write `{with}`"));
    Some(match word {
        "&&" | "&" => error(&format!("`{word}` is written `and`")).help(instead("and")),
        "||" => error("`||` is written `or`").help(instead("or")),
        "!" => error("`!` is written `not`").help(format!("write `not {}`", m.word(m.at + 1))),
        "=>" => error("`=>` is not an operator")
            .help("a comparison is written `>=`, a result type `->`"),
        ";" => error("statements are not separated by `;`")
            .help("remove it: a statement ends where it is complete"),
        "-=" | "*=" | "/=" => {
            let left = m.short(m.range.start..m.at).unwrap_or("x");
            let op = &word[..1];
            error(&format!("there is no `{word}`"))
                .help(format!("write `{left} = {left} {op} …`"))
                .note("what stores into an array is `:=`, `+=`, `max=` and `min=`")
        }
        "*" if m.before(1) == "*" => power(m),
        "**" => power(m),
        "/" if m.before(1) == "/" => {
            error("`//` starts a comment").help("floor division is `div(a, b)`")
        }
        "*" if m.before(1) == "/" => error("comments start with `//`")
            .help("there are no block comments: start each line with `//`"),
        ".." => error("there are no ranges")
            .help("a loop runs over a dim: declare `dim N = 10` and write `for n in N { … }`"),
        _ => return None,
    })
}

fn power(m: &Mistake<'_>) -> Diagnostic {
    let error = Diagnostic::error(codes::FOREIGN_OPERATOR, "`**` is written `^`")
        .at(m.place(), "not an operator");
    error.help("write `^`, as in `x^2`")
}
