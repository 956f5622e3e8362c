//! "expected …, found …".

use super::Mistake;
use crate::grammar::Rule;
use crate::lex::{KEYWORDS, Kind, Token};
use einmesh_diagnostics::{Diagnostic, Span, codes::syntax as codes};

/// What was expected and what was found, in words.
pub(super) fn describe(m: &Mistake<'_>) -> Diagnostic {
    let expected = list(&words(m));
    let found = found(m);
    let message = format!("expected {expected}, found {found}");
    let mut error = Diagnostic::error(codes::EXPECTED, message);
    let after_gap = match (m.found(), m.at.checked_sub(1).and_then(|i| m.tokens.get(i))) {
        (Some(token), Some(before)) => {
            m.text[before.end as usize..token.start as usize].contains('\n')
        }
        (None, _) => true,
        _ => false,
    };
    if after_gap && m.at > 0 {
        error = error.at(m.end(), format!("expected {expected}"));
        if let Some(token) = m.found() {
            error = error.also(token.span(m.file), "found this instead");
        }
    } else {
        let at = m.found().map_or_else(|| m.end(), |token| token.span(m.file));
        error = error.at(at, format!("expected {expected}"));
    }
    if let Some(open) = m.open_bracket(m.at) {
        let span = m.tokens[open].span(m.file);
        if line(m, span) != line(m, m.end()) {
            error = error.also(span, "in the brackets opened here");
        }
    }
    error
}

fn line(m: &Mistake<'_>, span: Span) -> usize {
    m.text[..span.start as usize].bytes().filter(|b| *b == b'\n').count()
}

/// A token as a message names it.
pub(super) fn name(text: &str, token: &Token) -> String {
    let word = token.text(text);
    match token.kind {
        Kind::Word if KEYWORDS.contains(&word) => format!("the keyword `{word}`"),
        Kind::Text | Kind::OpenText if word.len() > 30 => "a text".to_string(),
        _ if word.len() > 60 => "a long word".to_string(),
        _ => format!("`{word}`"),
    }
}

fn found(m: &Mistake<'_>) -> String {
    m.found().map_or_else(|| "the end of the file".to_string(), |token| name(m.text, &token))
}

/// `a`, `a or b`, `a, b or c`
fn list(words: &[&'static str]) -> String {
    match words {
        [] => "something else".to_string(),
        [one] => one.to_string(),
        [first @ .., last] => format!("{} or {last}", first.join(", ")),
    }
}

/// Brackets that open.
const OPENERS: &[(u8, &str)] = &[(1, "`(`"), (1, "`[`")];

/// What would have fitted, without repetition: names and expressions first, then punctuation, then
/// operators.
fn words(m: &Mistake<'_>) -> Vec<&'static str> {
    let mut words: Vec<(u8, &'static str)> =
        m.expected.iter().filter_map(|rule| word(*rule, m.entry)).collect();
    // Whether a call or subscript may follow an operand goes without saying.
    if m.at.checked_sub(1).is_some_and(|i| m.ends_operand(i))
        && words.iter().any(|word| !OPENERS.contains(word))
    {
        words.retain(|word| !OPENERS.contains(word));
    }
    // An expression may start with a name.
    if words.contains(&(0, "an expression")) {
        words.retain(|word| *word != (0, "a name"));
    }
    words.sort_unstable();
    words.dedup();
    words.into_iter().map(|(_, word)| word).collect()
}

/// A rule in words, with its rank in the list.
fn word(rule: Rule, entry: Rule) -> Option<(u8, &'static str)> {
    use Rule::*;
    Some(match rule {
        item | use_item | dims | types | consts | record | function | plan => (0, "a declaration"),
        name | dim | alias | constant | use_name | generic | binding | placed | result | field
        | fn_name => (0, "a name"),
        expr | operand | post | group | number | guard | condition | minus | kw_not | arg
        | subscript => (0, "an expression"),
        list_item | decorator_arg => (0, "an expression"),
        string => (0, "a text in quotes"),
        type_ | any_record | part_of | part | path => (0, "a type"),
        param => (0, "a parameter"),
        stmt | assign | unpack | lhs => (0, "a statement"),
        use_all => (0, "`*`"),
        block => (1, "`{`"),
        results | lparen | params => (1, "`(`"),
        comma => (1, "`,`"),
        rparen => (1, "`)`"),
        rbrack => (1, "`]`"),
        lbrace | use_some => (1, "`{`"),
        rbrace => (1, "`}`"),
        list | lbrack => (1, "`[`"),
        colon | role => (1, "`:`"),
        arrow => (1, "`->`"),
        bar => (1, "`|`"),
        rest => (1, "`..`"),
        decorator | at => (1, "a decorator"),
        equals => (2, "`=`"),
        assign_op => (2, "`=`"),
        kw_for | for_head | for_stmt => (2, "`for`"),
        kw_in => (2, "`in`"),
        kw_reversed => (2, "`reversed`"),
        kw_while | while_head | while_stmt => (2, "`while`"),
        kw_limit => (2, "`limit`"),
        kw_if | if_head | if_stmt => (2, "`if`"),
        kw_else => (2, "`else`"),
        kw_as | use_as => (2, "`as`"),
        kw_fn | fn_head => (2, "`fn`"),
        kw_inout => (2, "`inout`"),
        kw_record | record_head => (2, "`record`"),
        kw_plan | plan_head => (2, "`plan`"),
        binary_op => (3, "an operator"),
        EOI => match entry {
            stmt_alone => (4, "the next statement"),
            field_alone => (4, "`,`"),
            head_alone | compound_head_alone | record_head_alone | plan_head_alone => (4, "`{`"),
            decorator_alone => (4, "the next decorator"),
            _ => (4, "the next declaration"),
        },
        // Whether a bracket or `.` may follow goes without saying.
        _ => return None,
    })
}
