//! Moving through the tokens.

use super::ParseError;
use super::lex::Token;
use super::parse::{Parsed, Parser};

impl Parser {
    pub(super) fn peek(&self) -> &Token {
        &self.tokens[self.at].0
    }

    pub(super) fn peek_second(&self) -> &Token {
        &self.tokens[(self.at + 1).min(self.tokens.len() - 1)].0
    }

    pub(super) fn next(&mut self) -> Token {
        let token = self.peek().clone();
        self.at = (self.at + 1).min(self.tokens.len() - 1);
        token
    }

    /// Where the parser stands, for [`Parser::error_at`].
    pub(super) fn position(&self) -> usize {
        self.at
    }

    pub(super) fn error<T>(&self, message: impl Into<String>) -> Parsed<T> {
        Err(ParseError { line: self.tokens[self.at].1, message: message.into() })
    }

    pub(super) fn error_at<T>(&self, position: usize, message: String) -> Parsed<T> {
        Err(ParseError { line: self.tokens[position].1, message })
    }

    pub(super) fn unexpected<T>(&self, expected: &str) -> Parsed<T> {
        let got = match self.peek() {
            Token::Word(x) | Token::Number(x) => format!("`{x}`"),
            Token::Text(x) => format!("\"{x}\""),
            Token::Value(name, id) => format!("`%{name}.{id}`"),
            Token::Symbol(x) => format!("`{x}`"),
            Token::End => "the end".to_owned(),
        };
        self.error(format!("expected {expected}, got {got}"))
    }

    /// Takes the symbol, if it comes next.
    pub(super) fn eat(&mut self, symbol: &str) -> bool {
        let found = matches!(self.peek(), Token::Symbol(s) if *s == symbol);
        self.at += usize::from(found);
        found
    }

    pub(super) fn expect(&mut self, symbol: &str) -> Parsed<()> {
        if self.eat(symbol) { Ok(()) } else { self.unexpected(&format!("`{symbol}`")) }
    }

    /// Takes the keyword, if it comes next.
    pub(super) fn eat_word(&mut self, word: &str) -> bool {
        let found = matches!(self.peek(), Token::Word(w) if w == word);
        self.at += usize::from(found);
        found
    }

    pub(super) fn expect_word(&mut self, word: &str) -> Parsed<()> {
        if self.eat_word(word) { Ok(()) } else { self.unexpected(&format!("`{word}`")) }
    }

    /// An identifier, a number or a quoted text, as a name.
    pub(super) fn name(&mut self) -> Parsed<String> {
        match self.peek().clone() {
            Token::Word(name) | Token::Number(name) | Token::Text(name) => {
                self.next();
                Ok(name)
            }
            _ => self.unexpected("a name"),
        }
    }

    /// The id after `mark`, if there is one.
    pub(super) fn id(&mut self, mark: &str) -> Parsed<Option<u32>> {
        if self.eat(mark) { Ok(Some(self.number()?)) } else { Ok(None) }
    }

    pub(super) fn number<T: std::str::FromStr>(&mut self) -> Parsed<T> {
        let negative = self.eat("-");
        let Token::Number(digits) = self.peek().clone() else {
            return self.unexpected("a number");
        };
        let signed = if negative { format!("-{digits}") } else { digits };
        match signed.parse() {
            Ok(number) => {
                self.next();
                Ok(number)
            }
            Err(_) => self.error(format!("`{signed}` is not a number that fits here")),
        }
    }

    pub(super) fn text(&mut self) -> Parsed<String> {
        match self.peek().clone() {
            Token::Text(content) => {
                self.next();
                Ok(content)
            }
            _ => self.unexpected("a quoted text"),
        }
    }

    /// Items until `close`, separated by commas.
    pub(super) fn list<T>(
        &mut self,
        close: &str,
        mut item: impl FnMut(&mut Parser) -> Parsed<T>,
    ) -> Parsed<Vec<T>> {
        let mut items = Vec::new();
        while !self.eat(close) {
            if !items.is_empty() {
                self.expect(",")?;
            }
            items.push(item(self)?);
        }
        Ok(items)
    }

    /// Names with dots between them.
    pub(super) fn path(&mut self) -> Parsed<Vec<String>> {
        let mut names = vec![self.name()?];
        while self.eat(".") {
            names.push(self.name()?);
        }
        Ok(names)
    }
}
