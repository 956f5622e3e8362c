//! Tokens: enough to find where items and statements start, to explain mistakes and to keep comments.
//!
//! The grammar itself is pest's. Tokens never fail: what is not a token is an [`Kind::Unknown`] one.

use einmesh_diagnostics::{FileId, Span};

/// A token of the text. Files have at most 16 MiB, so places fit 32 bits.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Token {
    /// What it is.
    pub kind: Kind,
    /// Its first byte.
    pub start: u32,
    /// One past its last byte.
    pub end: u32,
    /// Whether it is the first token of its line.
    pub first: bool,
}

/// The kinds of tokens.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    /// A name or a keyword.
    Word,
    /// A number, with its suffix; also a malformed one, such as `2x`.
    Number,
    /// A text in quotes on one line.
    Text,
    /// A text whose closing quote is missing; it reaches to the end of the line.
    OpenText,
    /// Punctuation and operators.
    Punct,
    /// From `//` to the end of the line.
    Comment,
    /// A character that no token starts with.
    Unknown,
}

/// Words that cannot be names.
pub(crate) const KEYWORDS: &[&str] = &[
    "use", "dim", "type", "const", "record", "fn", "export", "plan", "inout", "for", "in",
    "reversed", "while", "limit", "if", "else", "and", "or", "not", "as",
];

/// Words that start an item.
pub(crate) const ITEM_KEYWORDS: &[&str] =
    &["use", "dim", "type", "const", "record", "fn", "export", "plan"];

/// The bytes of the punctuation or operator here, 0 if there is none. Some are not in the language, but
/// people type them.
fn punctuation(bytes: &[u8]) -> usize {
    match bytes {
        [b':' | b'+' | b'-' | b'*' | b'/' | b'<' | b'>' | b'=' | b'!', b'=', ..] => 2,
        [b'-' | b'=', b'>', ..] => 2,
        [b'.', b'.', ..] | [b'&', b'&', ..] | [b'|', b'|', ..] | [b'*', b'*', ..] => 2,
        [b'(' | b')' | b'[' | b']' | b'{' | b'}' | b',' | b':' | b'.' | b'|' | b'@' | b'=', ..] => {
            1
        }
        [b'^' | b'*' | b'/' | b'%' | b'+' | b'-' | b'<' | b'>' | b'!' | b'&' | b';', ..] => 1,
        _ => 0,
    }
}

/// All tokens, comments included.
pub(crate) fn tokens(text: &str) -> Vec<Token> {
    let bytes = text.as_bytes();
    let mut out = Vec::new();
    let (mut at, mut first) = (0, true);
    while at < bytes.len() {
        match bytes[at] {
            b'\n' => {
                first = true;
                at += 1;
            }
            b' ' | b'\t' | b'\r' => at += 1,
            _ => {
                let (kind, end) = token(text, at);
                out.push(Token { kind, start: at as u32, end: end as u32, first });
                first = false;
                at = end;
            }
        }
    }
    out
}

/// The token at a byte that is not white space.
fn token(text: &str, at: usize) -> (Kind, usize) {
    let bytes = text.as_bytes();
    let run = |from: usize, is: fn(&u8) -> bool| {
        from + bytes[from..].iter().position(|b| !is(b)).unwrap_or(bytes.len() - from)
    };
    let word = |from: usize| run(from, |b| b.is_ascii_alphanumeric() || *b == b'_');
    match bytes[at] {
        b'a'..=b'z' | b'A'..=b'Z' | b'_' => (Kind::Word, word(at)),
        b'0'..=b'9' => {
            let digits = |from| run(from, u8::is_ascii_digit);
            let is_digit = |i: usize| bytes.get(i).is_some_and(u8::is_ascii_digit);
            let mut end = digits(at);
            if bytes.get(end) == Some(&b'.') && is_digit(end + 1) {
                end = digits(end + 1);
            }
            if matches!(bytes.get(end), Some(b'e' | b'E')) {
                let sign = usize::from(matches!(bytes.get(end + 1), Some(b'+' | b'-')));
                if is_digit(end + 1 + sign) {
                    end = digits(end + 1 + sign);
                }
            }
            (Kind::Number, word(end))
        }
        b'"' => {
            let end = run(at + 1, |b| !matches!(b, b'"' | b'\n'));
            if bytes.get(end) == Some(&b'"') {
                (Kind::Text, end + 1)
            } else {
                (Kind::OpenText, end)
            }
        }
        b'/' if bytes.get(at + 1) == Some(&b'/') => (Kind::Comment, run(at, |b| *b != b'\n')),
        _ => match punctuation(&bytes[at..]) {
            0 => (Kind::Unknown, at + text[at..].chars().next().map_or(1, char::len_utf8)),
            length => (Kind::Punct, at + length),
        },
    }
}

impl Token {
    /// Its place.
    pub fn span(&self, file: FileId) -> Span {
        Span { file, start: self.start, end: self.end }
    }

    /// Its text.
    pub fn text<'t>(&self, text: &'t str) -> &'t str {
        &text[self.start as usize..self.end as usize]
    }

    /// Whether it is this punctuation or word.
    pub fn is(&self, text: &str, what: &str) -> bool {
        matches!(self.kind, Kind::Word | Kind::Punct) && self.text(text) == what
    }

    /// Whether it is one of these words.
    pub fn is_one_of(&self, text: &str, words: &[&str]) -> bool {
        self.kind == Kind::Word && words.contains(&self.text(text))
    }

    /// Whether an expression may end with it, so that a word after it starts something new.
    pub fn ends_operand(&self, text: &str) -> bool {
        match self.kind {
            Kind::Word => !KEYWORDS.contains(&self.text(text)),
            Kind::Number | Kind::Text | Kind::OpenText => true,
            Kind::Punct => matches!(self.text(text), ")" | "]" | "}"),
            Kind::Comment | Kind::Unknown => false,
        }
    }
}
