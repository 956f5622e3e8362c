//! Slips that several tokens make together.

use super::Mistake;
use crate::grammar::Rule;
use crate::lex::{KEYWORDS, Kind, Token};
use einmesh_diagnostics::{Diagnostic, Span, codes::syntax as codes};

/// In this order, since earlier ones are more specific.
pub(super) fn find(m: &Mistake<'_>) -> Option<Diagnostic> {
    space_before_bracket(m)
        .or_else(|| missing_result(m))
        .or_else(|| missing_colon(m))
        .or_else(|| missing_type(m))
        .or_else(|| conditional_expression(m))
        .or_else(|| keyword_as_name(m))
        .or_else(|| wrong_equals(m))
        .or_else(|| foreign_statement(m))
        .or_else(|| not_a_statement(m))
        .or_else(|| missing_comma(m))
        .or_else(|| trailing_comma(m))
        .or_else(|| missing_operator(m))
}

/// `softmax [u](x)`, `fn f (x: f32)`, `f32 [B]`, `@mesh (data: 2)`
fn space_before_bracket(m: &Mistake<'_>) -> Option<Diagnostic> {
    let token = m.found()?;
    let bracket = token.text(m.text);
    let before = m.at.checked_sub(1).filter(|i| *i >= m.range.start)?;
    let gap = m.tokens[before].end < token.start;
    let callee = m.tokens[before].kind == Kind::Word || matches!(m.word(before), ")" | "]");
    if m.ends_early() || !gap || !matches!(bracket, "(" | "[") || !callee || !m.ends_operand(before)
    {
        return None;
    }
    // Where a comma is missing the bracket may well be meant to stand apart.
    if bracket == "(" && m.expects(Rule::comma) && m.word(before) == ")" {
        return None;
    }
    let mut error =
        Diagnostic::error(codes::SPACE_BEFORE_BRACKET, format!("a space before `{bracket}`"))
            .at(token.span(m.file), format!("this `{bracket}` must touch what it belongs to"));
    let callee = m.short(before..before + 1).filter(|_| m.tokens[before].kind == Kind::Word);
    let rest = m.after_bracket(m.at).and_then(|end| m.short(m.at..end));
    error = match (callee, rest) {
        (Some(callee), Some(rest)) => error.help(format!("write `{callee}{rest}`")),
        _ => error.help("remove the space"),
    };
    Some(
        error.note(
            "newlines count as spaces, so a bracket that touches nothing starts something new",
        ),
    )
}

/// `fn f(x: f32) { … }`
fn missing_result(m: &Mistake<'_>) -> Option<Diagnostic> {
    if !m.expects(Rule::arrow) || m.entry != Rule::head_alone && m.entry != Rule::item_alone {
        return None;
    }
    let error =
        Diagnostic::error(codes::MISSING_RESULT, "a function states the type of its result");
    let head = m.short(m.range.start..m.at).unwrap_or("fn f(x: f32)");
    if m.found().is_some_and(|t| t.is(m.text, ":")) && !m.ends_early() {
        return Some(
            error.at(m.place(), "`->` is expected here").help(format!("write `{head} -> …`")),
        );
    }
    Some(
        error
            .at(m.end(), "`->` and a type are expected here")
            .help(format!("write `{head} -> f32`, with the type that it returns"))
            .note("several results have names: `-> (mean: f32, var: f32)`"),
    )
}

/// `fn f(x f32)`, `record R { a f32 }`, `@mesh(data 2)`
fn missing_colon(m: &Mistake<'_>) -> Option<Diagnostic> {
    let token = m.found().filter(|t| !m.ends_early() && m.starts_operand(t) && !t.first)?;
    let name =
        m.at.checked_sub(1).filter(|i| *i >= m.range.start && m.tokens[*i].kind == Kind::Word)?;
    let typed = m.expected == [Rule::colon];
    let keyed = m.entry == Rule::decorator_alone && m.expects(Rule::colon);
    if !typed && !keyed || token.is(m.text, "(") {
        return None;
    }
    let at = m.tokens[name].span(m.file);
    let code = if typed { codes::MISSING_TYPE } else { codes::EXPECTED };
    let error = Diagnostic::error(code, "a `:` is missing");
    let corrected = format!("write `{}: {}`", m.word(name), token.text(m.text));
    Some(error.at(Span { start: at.end, ..at }, "`:` is expected here").help(corrected))
}

/// `fn f(x, y)`, `-> (logits)`
fn missing_type(m: &Mistake<'_>) -> Option<Diagnostic> {
    let name = m.at.checked_sub(1).filter(|i| *i > m.range.start)?;
    let in_head = matches!(m.entry, Rule::head_alone | Rule::item_alone)
        && matches!(m.word(0), "fn" | "export");
    if !in_head || m.expected != [Rule::colon] || m.tokens[name].kind != Kind::Word {
        return None;
    }
    let word = m.word(name);
    let what = match (m.range.start..name).any(|i| m.word(i) == "->") {
        true => "result",
        false => "parameter",
    };
    Some(
        Diagnostic::error(codes::MISSING_TYPE, format!("the {what} `{word}` has no type"))
            .at(m.tokens[name].span(m.file), "`:` and a type are expected after this")
            .help(format!("write its type, such as `{word}: f32` or `{word}: f32[B,T]`")),
    )
}

/// `=`, `==`, `:=` and `:` for one another.
fn wrong_equals(m: &Mistake<'_>) -> Option<Diagnostic> {
    if m.ends_early() {
        return None;
    }
    let token = m.found()?;
    let word = token.text(m.text);
    let error = |message: &str, label: &str| {
        Diagnostic::error(codes::WRONG_EQUALS, message).at(token.span(m.file), label)
    };
    let bracket = m.open_bracket(m.at).map(|open| m.word(open));
    let binds = matches!(m.entry, Rule::stmt_alone) && bracket.is_none();
    Some(match word {
        "=" if matches!(m.entry, Rule::compound_head_alone)
            || m.expects(Rule::binary_op)
            || m.expects(Rule::colon) =>
        {
            let key = m.before(1);
            if bracket == Some("(") && matches!(m.before(2), "(" | ",") {
                let value = m.word(m.at + 1);
                return Some(
                    error("a named argument is written with `:`", "`:` is expected here")
                        .help(format!("write `{key}: {value}`")),
                );
            }
            if binds {
                return Some(
                    error("a statement has one `=`", "a second one")
                        .help("to bind two names write two statements; a comparison is `==`"),
                );
            }
            error("`=` binds a name; it does not compare", "not an operator")
                .help(format!("write `{key} == {}`", m.word(m.at + 1)))
        }
        "==" if m.expects(Rule::assign_op) || m.expects(Rule::equals) => {
            error("`==` compares; it does not bind", "`=` is expected here")
                .help(format!("write `{} = …`", m.before(1)))
        }
        ":=" if m.expects(Rule::equals) && m.before(1) == ")" => {
            error("`:=` stores into an array that exists", "`=` is expected here")
                .help("several results are bound with `=`: `(a, b) = …`")
        }
        ":=" if m.expects(Rule::equals) || m.expects(Rule::colon) && !binds => {
            error("`:=` stores into an array that exists", "`=` is expected here")
                .help(format!("a declaration takes `=`: `{} = …`", m.before(1)))
        }
        _ => return None,
    })
}

/// `x = if a { b } else { c }`
fn conditional_expression(m: &Mistake<'_>) -> Option<Diagnostic> {
    let token = m.found()?;
    if !token.is(m.text, "if") || !m.expects_operand() {
        return None;
    }
    let error = Diagnostic::error(codes::EXPECTED, "`if` is a statement, not an expression")
        .at(token.span(m.file), "an expression is expected here");
    Some(
        error
            .help("choose a value with `where(condition, a, b)`")
            .note("`if` is decided when the program is compiled; `where` for each element"),
    )
}

/// `type = 3`, `fn in(…)`
fn keyword_as_name(m: &Mistake<'_>) -> Option<Diagnostic> {
    let first = m.tokens.get(m.range.start)?;
    let assigned = m.entry == Rule::compound_head_alone
        && ["=", ":=", "+=", "[", ".", ":"].contains(&m.word(m.range.start + 1));
    if assigned {
        return Some(keyword(m, first));
    }
    let token = m.found().filter(|_| !m.ends_early())?;
    let word = token.text(m.text);
    let wants_name = m.expects_operand()
        || m.expected.iter().any(|rule| {
            use Rule::*;
            matches!(
                rule,
                name | lhs
                    | stmt
                    | assign
                    | dim
                    | alias
                    | constant
                    | field
                    | param
                    | result
                    | generic
                    | binding
                    | use_name
                    | fn_name
                    | type_
                    | path
                    | arg
                    | subscript
                    | list_item
                    | decorator_arg
            )
        });
    let operator = matches!(word, "and" | "or" | "else" | "as");
    if token.kind != Kind::Word
        || !KEYWORDS.contains(&word)
        || !wants_name
        || operator && m.expects_operand()
    {
        return None;
    }
    Some(keyword(m, &token))
}

fn keyword(m: &Mistake<'_>, token: &Token) -> Diagnostic {
    let word = token.text(m.text);
    Diagnostic::error(codes::KEYWORD_AS_NAME, format!("`{word}` is a keyword and cannot be a name"))
        .at(token.span(m.file), "a name is expected here")
        .help(format!("call it `{word}_`, or something that says more"))
}

/// `let x = 3`, `return x`
fn foreign_statement(m: &Mistake<'_>) -> Option<Diagnostic> {
    if m.entry != Rule::stmt_alone {
        return None;
    }
    let first = m.tokens.get(m.range.start)?;
    let word = first.text(m.text);
    let alone = m.at == m.range.start + 1;
    let help = match word {
        "let" | "var" | "mut" | "auto" | "const" if alone => {
            "a statement needs no keyword: `x = …`"
        }
        "return" if alone => {
            "a function returns what is bound to `out`, or to the names of its results: `out = …`"
        }
        "elif" | "elsif" if alone => "write `else if`",
        "break" | "continue" | "pass" if alone => {
            "loops run over their whole dim; bound one with `while … limit …`"
        }
        _ => return None,
    };
    let error =
        Diagnostic::error(codes::NOT_A_STATEMENT, format!("there is no `{word}` statement"));
    Some(error.at(first.span(m.file), "not a statement").help(help))
}

/// `f(x)`, `x < y`, `f(x) = 3`
fn not_a_statement(m: &Mistake<'_>) -> Option<Diagnostic> {
    if m.entry != Rule::stmt_alone || !m.expects(Rule::assign_op) {
        return None;
    }
    let whole = m.tokens[m.range.start].span(m.file).to(m.tokens[m.range.end - 1].span(m.file));
    let assigns = m.range.clone().find(|i| matches!(m.word(*i), "=" | ":=" | "+="));
    if let Some(assigns) = assigns {
        let left = m.tokens[m.range.start].span(m.file).to(m.tokens[assigns - 1].span(m.file));
        return Some(
            Diagnostic::error(codes::NOT_A_STATEMENT, "the left side is not a place")
                .at(left, "a name with fields and subscripts is expected")
                .help("for example `x`, `x[b,t]` or `cache[l].k[b,s]`"),
        );
    }
    let error = Diagnostic::error(codes::NOT_A_STATEMENT, "a value stands alone")
        .at(whole, "this is computed and not used");
    Some(match m.short(m.range.clone()) {
        Some(text) => error.help(format!("bind it to a name: `y = {text}`")),
        None => error.help("bind it to a name: `y = …`"),
    })
}

/// `f(a b)`, `dim B C`, fields on two lines
fn missing_comma(m: &Mistake<'_>) -> Option<Diagnostic> {
    let token = m.found().filter(|_| !m.ends_early())?;
    let before = m.at.checked_sub(1).filter(|i| *i >= m.range.start)?;
    let next_field = m.entry == Rule::field_alone && m.word(m.at + 1) == ":";
    let next = m.starts_operand(&token) || token.is(m.text, "inout");
    if !m.ends_operand(before) || !next || !(m.expects(Rule::comma) || next_field) {
        return None;
    }
    let at = Span { file: m.file, start: m.tokens[before].end, end: m.tokens[before].end };
    let error = Diagnostic::error(codes::MISSING_COMMA, "a comma is missing")
        .at(at, "`,` is expected here");
    Some(match m.short(before..m.at + 1) {
        Some(_) => error.help(format!("write `{}, {}`", m.word(before), token.text(m.text))),
        None => error.help("add `,`"),
    })
}

/// `f(a, b,)`
fn trailing_comma(m: &Mistake<'_>) -> Option<Diagnostic> {
    let token = m.found()?;
    if m.before(1) != "," || !(m.ends_early() || matches!(token.text(m.text), ")" | "]" | "}")) {
        return None;
    }
    let comma = m.tokens[m.at - 1].span(m.file);
    let error = Diagnostic::error(codes::EXPECTED, "nothing follows this comma")
        .at(comma, "remove it, or add what follows");
    Some(error.note("only the fields of a record may end with a comma"))
}

/// `2 x`, `a b`
fn missing_operator(m: &Mistake<'_>) -> Option<Diagnostic> {
    let token = m.found().filter(|_| !m.ends_early())?;
    let before = m.at.checked_sub(1).filter(|i| *i >= m.range.start)?;
    if !m.expects(Rule::binary_op) || !m.ends_operand(before) || !m.starts_operand(&token) {
        return None;
    }
    let message = format!("expected an operator, found {}", super::expected::name(m.text, &token));
    let error = Diagnostic::error(codes::EXPECTED, message)
        .at(token.span(m.file), "an operator is missing before this");
    let simple = |at: usize| matches!(m.tokens[at].kind, Kind::Word | Kind::Number);
    Some(match simple(before) && simple(m.at) {
        true => {
            error.help(format!("for a product write `{} * {}`", m.word(before), token.text(m.text)))
        }
        false => error,
    })
}
