//! Expressions, by precedence climbing.

use super::lex::Token;
use super::parse::{Parsed, Parser};
use super::{CALLS, COMPARISON, INFIX, SIGN, UNARY, named};
use crate::arena::Arena;
use crate::dtype::DType;
use crate::expr::{BinaryOp, Bounds, Expr, IndexId, Literal, Load, UnaryOp};
use crate::program::{Index, LoopVarId};

/// Expressions may be nested this deeply, so that no text exhausts the stack.
const MAX_DEPTH: usize = 500;

type Indices = Arena<IndexId, Index>;

impl Parser {
    /// An expression over these indices.
    pub(super) fn expr(&mut self, indices: &Indices) -> Parsed<Expr> {
        self.infix(indices, 0)
    }

    /// An expression whose operators bind at least as tightly as `level`.
    fn infix(&mut self, indices: &Indices, level: u8) -> Parsed<Expr> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return self.error(format!("the expression is nested more than {MAX_DEPTH} deep"));
        }
        let mut left = self.signed(indices)?;
        while let Some((op, binding)) = self.operator().filter(|(_, b)| *b >= level) {
            self.next();
            let right = self.infix(indices, binding + 1)?;
            left = Expr::binary(op, left, right);
            if binding == COMPARISON && self.operator().is_some_and(|(_, b)| b == COMPARISON) {
                return self.error("comparisons do not chain: use parentheses");
            }
        }
        self.depth -= 1;
        Ok(left)
    }

    fn operator(&self) -> Option<(BinaryOp, u8)> {
        let symbol = match self.peek() {
            Token::Symbol(symbol) => *symbol,
            Token::Word(word) => word.as_str(),
            _ => return None,
        };
        INFIX.iter().find(|(_, s, _)| *s == symbol).map(|(op, _, binding)| (*op, *binding))
    }

    fn signed(&mut self, indices: &Indices) -> Parsed<Expr> {
        if !self.eat("-") {
            return self.atom(indices);
        }
        match self.peek().clone() {
            Token::Number(number) => {
                let literal = self.literal(&number, true)?;
                self.next();
                Ok(literal)
            }
            Token::Word(word) if word == "inf" => {
                self.next();
                self.special(f64::NEG_INFINITY)
            }
            _ => {
                let operand = self.infix(indices, SIGN)?;
                Ok(Expr::unary(UnaryOp::Neg, operand))
            }
        }
    }

    /// `inf` or `nan`, with the dtype that may follow.
    fn special(&mut self, value: f64) -> Parsed<Expr> {
        if !self.eat(".") {
            return Ok(Expr::float(DType::F32, value));
        }
        let name = self.name()?;
        match self.dtype_of(&name) {
            Some(dtype) => Ok(Expr::float(dtype, value)),
            None => self.error(format!("`{name}` is not a dtype")),
        }
    }

    fn atom(&mut self, indices: &Indices) -> Parsed<Expr> {
        match self.peek().clone() {
            Token::Number(number) => {
                let literal = self.literal(&number, false)?;
                self.next();
                Ok(literal)
            }
            Token::Value(..) => self.load(indices),
            Token::Symbol("(") => {
                self.next();
                let inner = self.expr(indices)?;
                self.expect(")")?;
                Ok(inner)
            }
            Token::Word(word) if *self.peek_second() == Token::Symbol("(") => {
                self.call(indices, &word)
            }
            Token::Word(word) => {
                self.next();
                match word.as_str() {
                    "true" | "false" => Ok(Expr::Literal(Literal::Bool(word == "true"))),
                    "inf" => self.special(f64::INFINITY),
                    "nan" => self.special(f64::NAN),
                    _ => self.variable(indices, &word),
                }
            }
            Token::Text(name) => {
                self.next();
                self.variable(indices, &name)
            }
            _ => self.error("expected an expression"),
        }
    }

    /// An index, or the counter of a loop around.
    fn variable(&mut self, indices: &Indices, name: &str) -> Parsed<Expr> {
        if let Some(id) = self.id("~")? {
            return match self.loops.iter().any(|(n, var)| n == name && var.0 == id) {
                true => Ok(Expr::LoopVar(LoopVarId(id))),
                false => self.error(format!("there is no loop `{name}~{id}` around")),
            };
        }
        if let Some(id) = self.id("'")? {
            return match indices.get(IndexId(id)) {
                Some(index) if index.name == name => Ok(Expr::Index(IndexId(id))),
                _ => self.error(format!("there is no index `{name}'{id}`")),
            };
        }
        let mut same = indices.iter().filter(|(_, index)| index.name == name);
        match (same.next(), same.next()) {
            (Some((index, _)), None) => return Ok(Expr::Index(index)),
            (Some(_), _) => {
                return self
                    .error(format!("several indices are called `{name}`: write `{name}'id`"));
            }
            (None, _) => {}
        }
        match self.loops.iter().rev().find(|(n, _)| n == name) {
            Some((_, var)) => Ok(Expr::LoopVar(*var)),
            None => self.error(format!("there is no index or loop counter `{name}` here")),
        }
    }

    fn load(&mut self, indices: &Indices) -> Parsed<Expr> {
        let value = self.value()?;
        let (mut subs, mut bounds) = (Vec::new(), Bounds::Proven);
        if self.eat("[") {
            let last = |p: &Parser| match p.peek() {
                Token::Word(word) => word == "clamp" || word == "else",
                token => *token == Token::Symbol("]"),
            };
            while !last(self) {
                if !subs.is_empty() {
                    self.expect(",")?;
                }
                subs.push(self.expr(indices)?);
            }
            if self.eat_word("clamp") {
                bounds = Bounds::Clamp;
            } else if self.eat_word("else") {
                bounds = Bounds::Else(Box::new(self.expr(indices)?));
            }
            self.expect("]")?;
        }
        Ok(Expr::Load(Load { value, subs, bounds }))
    }

    fn call(&mut self, indices: &Indices, function: &str) -> Parsed<Expr> {
        let start = self.position();
        self.next();
        self.next();
        if function == "coord" {
            let axis = self.axis()?;
            self.expect(")")?;
            return Ok(Expr::Coord(axis));
        }
        let mut arguments = self.list(")", |p| p.expr(indices))?.into_iter();
        let taken = (arguments.next(), arguments.next(), arguments.next(), arguments.next());
        let built = match taken {
            (Some(a), None, ..) => match (named(&UNARY, function), self.dtype_of(function)) {
                (Some(op), _) => Some(Expr::unary(op, a)),
                (_, Some(dtype)) => Some(Expr::cast(dtype, a)),
                _ => None,
            },
            (Some(a), Some(b), None, _) => named(&CALLS, function).map(|op| Expr::binary(op, a, b)),
            (Some(c), Some(a), Some(b), None) if function == "select" => {
                Some(Expr::select(c, a, b))
            }
            _ => None,
        };
        match built {
            Some(expr) => Ok(expr),
            None => self.error_at(
                start,
                format!("there is no function `{function}` of that many arguments"),
            ),
        }
    }

    /// A number as a literal of the dtype of its suffix.
    pub(super) fn literal(&self, number: &str, negative: bool) -> Parsed<Expr> {
        let mut dtypes = DType::ALL.into_iter();
        let suffix = dtypes.find(|d| number.ends_with(d.name()));
        let digits = suffix.map_or(number, |d| &number[..number.len() - d.name().len()]);
        let signed = if negative { format!("-{digits}") } else { digits.to_owned() };
        let float = digits.contains(['.', 'e']);
        let literal = match (float, suffix.unwrap_or(DType::F32)) {
            // Through f64 it could be rounded twice.
            (true, DType::F32) => {
                signed.parse::<f32>().ok().map(|x| Literal::Float(DType::F32, x.into()))
            }
            (true, dtype) => signed.parse().ok().map(|x| Literal::Float(dtype, dtype.round(x))),
            (false, _) => {
                signed.parse().ok().map(|x| Literal::Int(suffix.unwrap_or(DType::I32), x))
            }
        };
        match literal {
            Some(literal) => Ok(Expr::Literal(literal)),
            None => self.error(format!("`{number}` is not a number")),
        }
    }
}
