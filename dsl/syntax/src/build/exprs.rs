//! Expressions: precedence climbing over the grammar's flat chains.

use super::{Builder, Children, MAX_TREE_DEPTH};
use crate::ast::*;
use crate::grammar::Rule;
use einmesh_diagnostics::{Diagnostic, Span, codes::syntax as codes};
use pest::iterators::Pair;

/// An expression and the height of its tree.
type Built = (Expr, usize);

/// How tightly operators bind, tightest last. Comparisons do not chain.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Binding {
    Or,
    And,
    Not,
    Compare,
    Add,
    Multiply,
    Negate,
    Power,
}

/// An operator between two operands.
#[derive(Clone, Copy, PartialEq)]
enum Infix {
    Binary(BinaryOp),
    Else,
}

/// What a flat chain consists of, in order.
enum Piece {
    Prefix(Prefix, Span),
    Operand(Built),
    Infix(Infix, Span),
}

#[derive(Clone, Copy, PartialEq)]
enum Prefix {
    Neg,
    Not,
}

impl Builder<'_> {
    /// The tree of an expression.
    pub(crate) fn expr(&mut self, pair: Pair<'_, Rule>) -> Expr {
        self.build(pair).0
    }

    fn build(&mut self, pair: Pair<'_, Rule>) -> Built {
        let span = self.span(&pair);
        let mut pieces = Vec::new();
        for child in Children::of(pair) {
            let at = self.span(&child);
            match child.as_rule() {
                Rule::binary_op => pieces.push(Piece::Infix(infix(child.as_str()), at)),
                _ => {
                    for part in Children::of(child) {
                        let at = self.span(&part);
                        pieces.push(match part.as_rule() {
                            Rule::minus => Piece::Prefix(Prefix::Neg, at),
                            Rule::kw_not => Piece::Prefix(Prefix::Not, at),
                            _ => Piece::Operand(self.post(part)),
                        });
                    }
                }
            }
        }
        // The common case, and the one that keeps this function's frame small where brackets nest.
        if let [Piece::Operand(_)] = &pieces[..]
            && let Some(Piece::Operand(operand)) = pieces.pop()
        {
            return operand;
        }
        climb(self, pieces, span)
    }

    /// Refuses a tree that is too deep; the whole expression then counts as an error.
    fn bounded(&mut self, built: Built) -> Built {
        if built.1 <= MAX_TREE_DEPTH {
            return built;
        }
        let span = built.0.span;
        if !self.too_deep {
            self.too_deep = true;
            let message = format!(
                "an expression may have at most {MAX_TREE_DEPTH} operators and brackets in a row"
            );
            let error = Diagnostic::error(codes::EXPRESSION_TOO_DEEP, message)
                .at(span, "this one has more");
            self.diagnostics.push(error.help("bind parts of it to names of their own"));
        }
        (Expr { kind: ExprKind::Error, span }, 1)
    }

    fn post(&mut self, pair: Pair<'_, Rule>) -> Built {
        let start = self.span(&pair);
        let mut children = Children::of(pair);
        let mut built = self.atom(children.required());
        for suffix in children {
            let span = Span { end: self.span(&suffix).end, ..start };
            let (inner, height) = built;
            let inner = Box::new(inner);
            if let ExprKind::Number(number) = &inner.kind {
                self.suffix_of_number(number, suffix.as_str(), span);
            }
            let (kind, other) = match suffix.as_rule() {
                Rule::member => {
                    (ExprKind::Field(inner, self.name(Children::of(suffix).required())), 0)
                }
                Rule::subscripts => {
                    let (subscripts, height) = self.subscripts(suffix);
                    (ExprKind::Subscript(inner, subscripts), height)
                }
                _ => {
                    let (args, height) = self.args(suffix);
                    (ExprKind::Call(inner, args), height)
                }
            };
            built = self.bounded((Expr { kind, span }, height.max(other) + 1));
        }
        built
    }

    fn atom(&mut self, pair: Pair<'_, Rule>) -> Built {
        let span = self.span(&pair);
        let kind = match pair.as_rule() {
            Rule::name => ExprKind::Name(pair.as_str().to_string()),
            Rule::number => ExprKind::Number(pair.as_str().to_string()),
            Rule::string => ExprKind::Text(self.text(pair).text),
            _ => return self.group(pair, span),
        };
        (Expr { kind, span }, 1)
    }

    fn group(&mut self, pair: Pair<'_, Rule>, span: Span) -> Built {
        let mut parts: Vec<Built> = Children::of(pair).map(|part| self.build(part)).collect();
        let height = height(&parts) + 1;
        let kind = match parts.len() {
            1 => ExprKind::Paren(Box::new(parts.remove(0).0)),
            _ => ExprKind::Tuple(parts.into_iter().map(|part| part.0).collect()),
        };
        self.bounded((Expr { kind, span }, height))
    }

    /// Subscripts and the height of their tallest expression.
    pub(super) fn subscripts(&mut self, pair: Pair<'_, Rule>) -> (Subscripts, usize) {
        let span = self.span(&pair);
        let (mut subs, mut guard, mut tallest) = (Vec::new(), None, 0);
        for child in Children::of(pair) {
            let is_guard = child.as_rule() == Rule::guard;
            let mut children = Children::of(child);
            let name = children.optional(Rule::name).map(|name| self.name(name));
            let (expr, height) = self.build(children.required());
            tallest = tallest.max(height);
            match name {
                _ if is_guard => guard = Some(Box::new(expr)),
                Some(name) => subs.push(Subscript::Ranged(name, expr)),
                None => subs.push(Subscript::Expr(expr)),
            }
        }
        (Subscripts { subs, guard, span }, tallest)
    }

    fn args(&mut self, pair: Pair<'_, Rule>) -> (Vec<Arg>, usize) {
        let mut tallest = 0;
        let args = Children::of(pair)
            .map(|arg| {
                let mut children = Children::of(arg);
                let name = children.optional(Rule::name).map(|name| self.name(name));
                let (value, height) = self.build(children.required());
                tallest = tallest.max(height);
                Arg { name, value }
            })
            .collect();
        (args, tallest)
    }
}

fn height(parts: &[Built]) -> usize {
    parts.iter().map(|part| part.1).max().unwrap_or(0)
}

/// Builds the tree of a chain with an operator stack, so that a long chain does not recurse.
fn climb(builder: &mut Builder<'_>, pieces: Vec<Piece>, whole: Span) -> Built {
    let mut operands: Vec<Built> = Vec::new();
    let mut operators: Vec<(Operator, Span)> = Vec::new();
    for piece in pieces {
        match piece {
            Piece::Operand(built) => operands.push(built),
            Piece::Prefix(prefix, at) => {
                if prefix == Prefix::Not
                    && operators.last().is_some_and(|(op, _)| op.binding() > Binding::Not)
                {
                    builder.misplaced_not(at, whole);
                }
                operators.push((Operator::Prefix(prefix), at));
            }
            Piece::Infix(infix, at) => {
                let next = Operator::Infix(infix);
                while let Some((top, _)) = operators.last() {
                    let reduces = match next.binding() {
                        // Right associative: `2^3^4` is `2^(3^4)`.
                        Binding::Power => false,
                        binding => top.binding() >= binding,
                    };
                    if !reduces {
                        break;
                    }
                    if next.binding() == Binding::Compare && top.binding() == Binding::Compare {
                        builder.chained_comparison(operators[operators.len() - 1].1, at, whole);
                    }
                    reduce(builder, &mut operands, &mut operators);
                }
                operators.push((next, at));
            }
        }
    }
    while !operators.is_empty() {
        reduce(builder, &mut operands, &mut operators);
    }
    operands.pop().expect("the grammar requires an operand")
}

/// Applies the operator on top to the operands on top.
fn reduce(
    builder: &mut Builder<'_>,
    operands: &mut Vec<Built>,
    operators: &mut Vec<(Operator, Span)>,
) {
    let (operator, at) = operators.pop().expect("called with an operator");
    let (right, mut height) = operands.pop().expect("an operator has a right operand");
    let expr = match operator {
        Operator::Prefix(prefix) => {
            let span = at.to(right.span);
            let kind = match prefix {
                Prefix::Neg => ExprKind::Neg(Box::new(right)),
                Prefix::Not => ExprKind::Not(Box::new(right)),
            };
            Expr { kind, span }
        }
        Operator::Infix(infix) => {
            let (left, left_height) = operands.pop().expect("an infix operator has a left operand");
            height = height.max(left_height);
            let span = left.span.to(right.span);
            let kind = match infix {
                Infix::Binary(op) => ExprKind::Binary(op, Box::new(left), Box::new(right)),
                Infix::Else => ExprKind::Else(Box::new(left), Box::new(right)),
            };
            Expr { kind, span }
        }
    };
    let built = builder.bounded((expr, height + 1));
    operands.push(built);
}

/// An operator on the stack.
#[derive(Clone, Copy, PartialEq)]
enum Operator {
    Prefix(Prefix),
    Infix(Infix),
}

impl Operator {
    fn binding(self) -> Binding {
        use BinaryOp::*;
        match self {
            Operator::Prefix(Prefix::Neg) => Binding::Negate,
            Operator::Prefix(Prefix::Not) => Binding::Not,
            Operator::Infix(Infix::Else) => Binding::Power,
            Operator::Infix(Infix::Binary(op)) => match op {
                Pow => Binding::Power,
                Mul | Div | Rem => Binding::Multiply,
                Add | Sub => Binding::Add,
                Eq | Ne | Lt | Le | Gt | Ge => Binding::Compare,
                And => Binding::And,
                Or => Binding::Or,
            },
        }
    }
}

fn infix(text: &str) -> Infix {
    use BinaryOp::*;
    Infix::Binary(match text {
        "else" => return Infix::Else,
        "^" => Pow,
        "*" => Mul,
        "/" => Div,
        "%" => Rem,
        "+" => Add,
        "-" => Sub,
        "==" => Eq,
        "!=" => Ne,
        "<" => Lt,
        "<=" => Le,
        ">" => Gt,
        ">=" => Ge,
        "and" => And,
        _ => Or,
    })
}
