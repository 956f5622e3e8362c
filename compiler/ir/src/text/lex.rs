//! From text to tokens.

use super::ParseError;

/// A word of the text form.
#[derive(Clone, PartialEq, Debug)]
pub enum Token {
    /// An identifier or keyword.
    Word(String),
    /// A number with its suffix, as written, without a sign.
    Number(String),
    /// A quoted text, unquoted.
    Text(String),
    /// `%name.id`.
    Value(String, u32),
    /// Punctuation.
    Symbol(&'static str),
    /// The end of the text.
    End,
}

/// Longer symbols before their beginnings.
const SYMBOLS: [&str; 29] = [
    ":=", "+=", "*=", "->", "<=", ">=", "==", "!=", "<", ">", "=", "+", "-", "*", "/", "%", "(",
    ")", "[", "]", "{", "}", ",", ":", "|", "@", "'", "~", ".",
];

/// The tokens of a text with their lines, `End` last. `//` starts a comment.
pub fn lex(source: &str) -> Result<Vec<(Token, usize)>, ParseError> {
    let mut tokens = Vec::new();
    for (number, line) in source.lines().enumerate() {
        let mut lexer = Lexer { rest: line, line: number + 1 };
        while let Some(token) = lexer.next()? {
            tokens.push((token, number + 1));
        }
    }
    tokens.push((Token::End, source.lines().count().max(1)));
    Ok(tokens)
}

struct Lexer<'s> {
    rest: &'s str,
    line: usize,
}

impl<'s> Lexer<'s> {
    fn error<T>(&self, message: impl Into<String>) -> Result<T, ParseError> {
        Err(ParseError { line: self.line, message: message.into() })
    }

    /// Takes the longest prefix of characters that `accept`.
    fn take(&mut self, accept: impl Fn(char) -> bool) -> &'s str {
        let end = self.rest.find(|c| !accept(c)).unwrap_or(self.rest.len());
        let (taken, rest) = self.rest.split_at(end);
        self.rest = rest;
        taken
    }

    fn next(&mut self) -> Result<Option<Token>, ParseError> {
        self.take(char::is_whitespace);
        if self.rest.starts_with("//") {
            return Ok(None);
        }
        let Some(first) = self.rest.chars().next() else {
            return Ok(None);
        };
        let second = self.rest[first.len_utf8()..].chars().next();
        let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
        Ok(Some(match first {
            '"' => Token::Text(self.text()?),
            '%' if second.is_some_and(|c| word(c) || c == '.' || c == '"') => self.value()?,
            _ if first.is_ascii_digit() => Token::Number(self.number()),
            _ if word(first) => Token::Word(self.take(word).to_owned()),
            _ => match SYMBOLS.iter().find(|s| self.rest.starts_with(**s)) {
                Some(symbol) => {
                    self.rest = &self.rest[symbol.len()..];
                    Token::Symbol(symbol)
                }
                None => return self.error(format!("unexpected character `{first}`")),
            },
        }))
    }

    /// Digits, a fraction, an exponent, a suffix.
    fn number(&mut self) -> String {
        let start = self.rest;
        let digit = |c: char| c.is_ascii_digit();
        self.take(digit);
        if let Some(fraction) = self.rest.strip_prefix('.')
            && fraction.starts_with(digit)
        {
            self.rest = fraction;
            self.take(digit);
        }
        if let Some(exponent) = self.rest.strip_prefix('e') {
            let digits = exponent.strip_prefix(['-', '+']).unwrap_or(exponent);
            if digits.starts_with(digit) {
                self.rest = digits;
                self.take(digit);
            }
        }
        self.take(|c| c.is_ascii_alphanumeric());
        start[..start.len() - self.rest.len()].to_owned()
    }

    fn text(&mut self) -> Result<String, ParseError> {
        let mut content = String::new();
        let mut chars = self.rest.char_indices().skip(1);
        while let Some((at, c)) = chars.next() {
            match c {
                '"' => {
                    self.rest = &self.rest[at + 1..];
                    return Ok(content);
                }
                '\\' => match chars.next() {
                    Some((_, 'n')) => content.push('\n'),
                    Some((_, c)) => content.push(c),
                    None => break,
                },
                c => content.push(c),
            }
        }
        self.error("a quoted text does not end")
    }

    fn value(&mut self) -> Result<Token, ParseError> {
        self.rest = &self.rest[1..];
        let quoted = if self.rest.starts_with('"') { Some(self.text()?) } else { None };
        let tail = self.take(|c| c.is_ascii_alphanumeric() || c == '_' || c == '.');
        let parts = tail.rsplit_once('.').and_then(|(name, id)| Some((name, id.parse().ok()?)));
        match (parts, quoted) {
            (Some((name, id)), None) => Ok(Token::Value(name.to_owned(), id)),
            (Some(("", id)), Some(name)) => Ok(Token::Value(name, id)),
            _ => self.error("a value is written %name.id"),
        }
    }
}
