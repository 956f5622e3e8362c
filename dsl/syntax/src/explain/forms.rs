//! Forms of other languages: array literals, slices, numbers without digits before the point.

use super::Mistake;
use crate::grammar::Rule;
use crate::lex::Kind;
use einmesh_diagnostics::{Diagnostic, codes::syntax as codes};

pub(super) fn find(m: &Mistake<'_>) -> Option<Diagnostic> {
    if m.ends_early() {
        return None;
    }
    array_literal(m).or_else(|| slice(m)).or_else(|| leading_point(m)).or_else(|| missing_at(m))
}

/// `x = [1, 2]`
fn array_literal(m: &Mistake<'_>) -> Option<Diagnostic> {
    let token = m.found().filter(|t| t.is(m.text, "[") || t.is(m.text, "{"))?;
    if !m.expects_operand() {
        return None;
    }
    let error = Diagnostic::error(codes::EXPECTED, "there are no array literals");
    Some(
        error
            .at(token.span(m.file), "an expression is expected here")
            .help("an array is computed by an indexed statement, `x[i] = …`, or is an argument"),
    )
}

/// `x[:, 0]`
fn slice(m: &Mistake<'_>) -> Option<Diagnostic> {
    let token = m.found().filter(|t| t.is(m.text, ":"))?;
    let open = m.open_bracket(m.at)?;
    if m.word(open) != "[" {
        return None;
    }
    let error = Diagnostic::error(codes::EXPECTED, "there are no slices");
    Some(
        error
            .at(token.span(m.file), "a subscript is expected here")
            .help("each axis has a subscript, and an index runs over all of it: `x[b,0]`"),
    )
}

/// `.5`
fn leading_point(m: &Mistake<'_>) -> Option<Diagnostic> {
    let token = m.found().filter(|t| t.is(m.text, "."))?;
    let digits = m.token(m.at + 1).filter(|t| t.kind == Kind::Number && t.start == token.end)?;
    if !m.expects_operand() {
        return None;
    }
    let digits = digits.text(m.text);
    Some(
        Diagnostic::error(codes::NUMBER, format!("`.{digits}` is not a number"))
            .at(token.span(m.file), "a digit is expected before the point")
            .help(format!("write `0.{digits}`")),
    )
}

/// `plan p for f { mesh(data: 2) }`
fn missing_at(m: &Mistake<'_>) -> Option<Diagnostic> {
    let token = m.found().filter(|t| t.kind == Kind::Word)?;
    if m.entry != Rule::decorator_alone || m.at != m.range.start {
        return None;
    }
    let word = token.text(m.text);
    Some(
        Diagnostic::error(codes::EXPECTED, format!("expected a decorator, found `{word}`"))
            .at(token.span(m.file), "`@` is missing before this")
            .help(format!("write `@{word}`")),
    )
}
