//! Spaces between the tokens of a line.

use super::outline::{Bracket, Outline, Start};
use crate::lex::{KEYWORDS, Kind};

/// Whether a space stands between two tokens that follow one another on a line; `bracket` is the
/// innermost one that is open there.
pub(super) fn between(o: &Outline<'_>, left: usize, right: usize, bracket: Bracket) -> bool {
    use Kind::Punct;
    if o.starts[right] != Start::Nothing {
        return true;
    }
    let is_open = |at: usize| matches!(o.word(at), "(" | "[") && o.tokens[at].kind == Punct;
    match (o.tokens[left].kind, o.word(left)) {
        (Punct, "(" | "[" | "." | "@" | "^") => return false,
        (Punct, "-") if o.is_unary(left) => return false,
        (Punct, "{") => return !o.is(right, "}"),
        (Punct, ",") => return bracket != Bracket::Subscripts { spaced: false },
        _ => {}
    }
    match (o.tokens[right].kind, o.word(right)) {
        (Punct, ")" | "]" | "," | "." | ":" | "^") => return false,
        (Punct, "=") if o.is_store(left) => return false,
        _ => {}
    }
    // A bracket after an operand belongs to it; the one of an import's bindings stands apart.
    let operand = o.tokens[left].ends_operand(o.text) && o.tokens[left].kind != Kind::Text;
    let keyword = o.tokens[left].is_one_of(o.text, KEYWORDS);
    let belongs = is_open(right) && operand && !keyword && !o.is(left, "}");
    !belongs
}
