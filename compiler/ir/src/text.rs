//! The text form of programs: what `--emit=ir` prints and tests contain.
//!
//! ```text
//! program attention {
//!   dim B = 2, T = 8, U: T = 8, D = 16
//!
//!   input %x.0: f32[B,T,D]
//!
//!   %s.1: f32[B,T,U] = sum[d](%x.0[b,t,d] * %x.0[b,u,d])
//!   %m.2: f32[B,T] = max[u | u <= t](%s.1[b,t,u])
//!
//!   output %m.2
//! }
//! ```
//!
//! A value is `%name.id`, with its type where it is assigned. The free indices of a comprehension are
//! the lower-case names of the output's dims, `i:T` where they are called otherwise; `where[…](…)` is
//! a guard without a reduction. A load says what happens out of range: `%x.0[t - 1 else 0.0]`,
//! `%x.0[%p.1[b] clamp]`. Literals are i32 or f32 unless they carry a suffix. Where names are not unique
//! an id follows: dims and indices `b'1`, loop counters `l~0`. Origins keep their functions (`@ block.mlp`)
//! but not their spans.
//!
//! A loop's states are its `carry` and `yield` lines, the values it stacks its `collect` lines:
//!
//! ```text
//! program layers {
//!   dim L = 4, B = 2
//!
//!   input %w.0: f32[L,B]
//!   input %x.1: f32[B]
//!
//!   for l in L {
//!     carry %x.2: f32[B] = %x.1
//!     %x.3: f32[B] = %x.2[b] + %w.0[l,b]
//!     yield %x.3 -> %x.4: f32[B]
//!     collect %x.3 -> %all.5: f32[L,B] at 0
//!   }
//!   %new.6: f32[L,B] = store[b] %all.5[0,b] += %x.4[b]
//!
//!   output %new.6
//! }
//! ```
//!
//! A partitioned program has a mesh, and its inputs and outputs say how they are split:
//!
//! ```text
//! program mlp {
//!   mesh data = 2, tensor = 4
//!   dim B = 4, F = 2
//!
//!   input %x.0: f32[B,F] split [4 of 7 on data, 2 of 8 on tensor]
//!
//!   %part.1: f32[B] = sum[f](%x.0[b,f])
//!   %out.2: f32[B] = all_reduce(sum, tensor) %part.1 because f "@shard(tensor: F)"
//!
//!   output %out.2 split [4 of 7 on data]
//! }
//! ```
//!
//! [`parse`] undoes [`print()`]: the program is the same up to spans, and printing it again gives the same
//! text.

mod cursor;
mod lex;
mod parse;
mod parse_expr;
mod parse_op;
mod print;
mod print_expr;
#[cfg(test)]
mod tests;

pub use parse::{parse, parse_spmd};
pub use print::{print, print_spmd};
pub use print_expr::print_expr;

use crate::expr::{BinaryOp, UnaryOp};
use crate::program::Reducer;
use std::fmt;

/// Why a text is not a program.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ParseError {
    /// The line, from 1.
    pub line: usize,
    /// What is wrong with it.
    pub message: String,
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.message)
    }
}

impl std::error::Error for ParseError {}

/// Words that stand for themselves in expressions; an index called so is quoted.
const RESERVED: [&str; 11] =
    ["true", "false", "inf", "nan", "else", "clamp", "and", "or", "div", "where", "store"];

/// A name as it stands in the text: quoted, unless it is a plain identifier or a number.
fn quoted(name: &str) -> String {
    let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let first = name.chars().next();
    let number = name.chars().all(|c| c.is_ascii_digit());
    let identifier = first.is_some_and(|c| !c.is_ascii_digit()) && name.chars().all(word);
    if first.is_some() && (number || identifier) && !RESERVED.contains(&name) {
        name.to_owned()
    } else {
        text(name)
    }
}

/// A quoted text.
fn text(content: &str) -> String {
    let mut quoted = String::from("\"");
    for c in content.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            '\n' => quoted.push_str("\\n"),
            _ => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

/// The names of reducers.
const REDUCERS: [(Reducer, &str); 10] = [
    (Reducer::None, "none"),
    (Reducer::Sum, "sum"),
    (Reducer::Prod, "prod"),
    (Reducer::Max, "max"),
    (Reducer::Min, "min"),
    (Reducer::Any, "any"),
    (Reducer::All, "all"),
    (Reducer::ArgMax, "argmax"),
    (Reducer::ArgMin, "argmin"),
    (Reducer::LogSumExp, "logsumexp"),
];

/// The functions of one number.
const UNARY: [(UnaryOp, &str); 17] = [
    (UnaryOp::Neg, "neg"),
    (UnaryOp::Not, "not"),
    (UnaryOp::Abs, "abs"),
    (UnaryOp::Exp, "exp"),
    (UnaryOp::Log, "log"),
    (UnaryOp::Log1p, "log1p"),
    (UnaryOp::Expm1, "expm1"),
    (UnaryOp::Sqrt, "sqrt"),
    (UnaryOp::Rsqrt, "rsqrt"),
    (UnaryOp::Sin, "sin"),
    (UnaryOp::Cos, "cos"),
    (UnaryOp::Tanh, "tanh"),
    (UnaryOp::Erf, "erf"),
    (UnaryOp::Floor, "floor"),
    (UnaryOp::Ceil, "ceil"),
    (UnaryOp::Round, "round"),
    (UnaryOp::IsFinite, "isfinite"),
];

/// The functions of two numbers that are written as calls.
const CALLS: [(BinaryOp, &str); 5] = [
    (BinaryOp::Pow, "pow"),
    (BinaryOp::Min, "min"),
    (BinaryOp::Max, "max"),
    (BinaryOp::Fold, "fold"),
    (BinaryOp::Uniform, "uniform"),
];

/// The infix operators and how tightly each binds.
const INFIX: [(BinaryOp, &str, u8); 14] = [
    (BinaryOp::Or, "or", 1),
    (BinaryOp::And, "and", 2),
    (BinaryOp::Eq, "==", COMPARISON),
    (BinaryOp::Ne, "!=", COMPARISON),
    (BinaryOp::Lt, "<", COMPARISON),
    (BinaryOp::Le, "<=", COMPARISON),
    (BinaryOp::Gt, ">", COMPARISON),
    (BinaryOp::Ge, ">=", COMPARISON),
    (BinaryOp::Add, "+", 4),
    (BinaryOp::Sub, "-", 4),
    (BinaryOp::Mul, "*", 5),
    (BinaryOp::Div, "/", 5),
    (BinaryOp::FloorDiv, "div", 5),
    (BinaryOp::Rem, "%", 5),
];

/// Comparisons do not chain.
const COMPARISON: u8 = 3;
/// How tightly a sign binds.
const SIGN: u8 = 6;

/// The name that belongs to an item of a table.
fn name_in<T: PartialEq + Copy>(table: &[(T, &'static str)], item: T) -> &'static str {
    let found = table.iter().find(|(t, _)| *t == item);
    found.map_or("?", |(_, name)| name)
}

/// The item of a table that has this name.
fn named<T: Copy>(table: &[(T, &'static str)], name: &str) -> Option<T> {
    table.iter().find(|(_, n)| *n == name).map(|(item, _)| *item)
}
