//! Built-in functions and the dispatch of calls.

use crate::ctx::Ctx;
use crate::index::bare;
use crate::names::{Def, suggest};
use crate::parts::Lacks;
use crate::scalar::short;
use crate::values::{Array, Elem, RecordVal, Val};
use einmesh_diagnostics::codes::language as codes;
use einmesh_diagnostics::{Diagnostic, Span};
use einmesh_ir::{BinaryOp, DType, UnaryOp};
use einmesh_syntax::ast::{self, ExprKind, Subscripts};

/// The names of all built-in functions.
pub(crate) const BUILTINS: &[&str] = &[
    "abs",
    "all",
    "any",
    "argmax",
    "argmin",
    "argsort",
    "ceil",
    "column_means",
    "cos",
    "div",
    "erf",
    "exp",
    "expm1",
    "floor",
    "fold",
    "grad",
    "initial",
    "isfinite",
    "leaf_means",
    "log",
    "log1p",
    "max",
    "mean",
    "min",
    "prod",
    "rank",
    "round",
    "row_means",
    "rsqrt",
    "scan",
    "sin",
    "sqrt",
    "stop",
    "sum",
    "tanh",
    "uniform",
    "where",
    "wide",
];

fn unary_function(name: &str) -> Option<UnaryOp> {
    use UnaryOp::*;
    Some(match name {
        "abs" => Abs,
        "exp" => Exp,
        "log" => Log,
        "log1p" => Log1p,
        "expm1" => Expm1,
        "sqrt" => Sqrt,
        "rsqrt" => Rsqrt,
        "sin" => Sin,
        "cos" => Cos,
        "tanh" => Tanh,
        "erf" => Erf,
        "floor" => Floor,
        "ceil" => Ceil,
        "round" => Round,
        "isfinite" => IsFinite,
        _ => return None,
    })
}

impl<'a> Ctx<'a> {
    /// `callee(args)`; `whole` is the call.
    pub fn call(
        &mut self,
        callee: &'a ast::Expr,
        args: &'a [ast::Arg],
        whole: &'a ast::Expr,
    ) -> Val {
        let (base, subs): (&'a ast::Expr, Option<&'a Subscripts>) = match &callee.kind {
            ExprKind::Subscript(base, subs) => (base, Some(subs)),
            _ => (callee, None),
        };
        if let Some(function) = self.callee(base) {
            return self.call_function(function, subs, args, base.span, whole.span);
        }
        let Some(name) = bare(base) else {
            let text = short(base);
            self.report(
                Diagnostic::error(codes::WRONG_KIND, format!("`{text}` is not a function"))
                    .at(base.span, "called here"),
            );
            self.eval_all(args);
            return Val::Poison;
        };
        if BUILTINS.contains(&name) {
            return self.builtin(name, subs, args, whole);
        }
        let inst = self.frame().inst;
        if let Some(dtype) = self.dtype_named(inst, name) {
            return self.conversion(name, dtype, subs, args, whole.span);
        }
        match self.lookup(inst, name) {
            Some(Def::Record(def)) => self.construct(def, args, whole.span),
            found => {
                let mut error = match found {
                    Some(def) => Diagnostic::error(
                        codes::WRONG_KIND,
                        format!("`{name}` is {}, not a function", def.kind()),
                    ),
                    None if self.frame().vars.contains_key(name) => Diagnostic::error(
                        codes::WRONG_KIND,
                        format!("`{name}` is a variable, not a function"),
                    ),
                    None => Diagnostic::error(
                        codes::UNKNOWN_NAME,
                        format!("there is no function `{name}`"),
                    ),
                }
                .at(base.span, "called here");
                let scopes = [inst, 0].map(|i| self.insts[i].scope.iter());
                let functions = scopes
                    .into_iter()
                    .flatten()
                    .filter(|(_, (d, _))| matches!(d, Def::Fn(_)))
                    .map(|(n, _)| n.as_str());
                if let Some(near) = suggest(name, functions.chain(BUILTINS.iter().copied())) {
                    error = error.help(format!("did you mean `{near}`?"));
                }
                self.report(error);
                if subs.is_none() {
                    self.eval_all(args);
                }
                Val::Poison
            }
        }
    }

    /// Evaluates arguments only to report what is wrong with them.
    fn eval_all(&mut self, args: &'a [ast::Arg]) {
        for arg in args {
            self.eval(&arg.value);
        }
    }

    fn conversion(
        &mut self,
        name: &str,
        dtype: DType,
        subs: Option<&'a Subscripts>,
        args: &'a [ast::Arg],
        span: Span,
    ) -> Val {
        let ([arg], None) = (args, subs) else {
            self.report(
                Diagnostic::error(
                    codes::WRONG_ARGUMENTS,
                    format!("`{name}(…)` converts one value"),
                )
                .at(span, "")
                .help(format!("write `{name}(x)`")),
            );
            return Val::Poison;
        };
        let value = self.eval(&arg.value);
        self.cast(dtype, (value, arg.value.span))
    }

    fn builtin(
        &mut self,
        name: &str,
        subs: Option<&'a Subscripts>,
        args: &'a [ast::Arg],
        whole: &'a ast::Expr,
    ) -> Val {
        let span = whole.span;
        if let Some(named) = args.iter().find_map(|a| a.name.as_ref()) {
            self.report(
                Diagnostic::error(
                    codes::WRONG_ARGUMENTS,
                    format!("`{name}` has no parameter `{}`", named.text),
                )
                .at(named.span, "")
                .help("the arguments of built-in functions have no names"),
            );
            return Val::Poison;
        }
        match (name, subs) {
            ("grad", _) => return self.grad(subs, args, span),
            ("scan", _) => return self.scan(subs, args, span),
            ("uniform", _) => return self.uniform(subs, args, span),
            ("argsort", Some(subs)) => return self.argsort(subs, args, span),
            (_, Some(subs)) if name == "mean" || crate::reduce::reducer(name).is_some() => {
                return self.reduction(name, subs, args, span);
            }
            (_, Some(subs)) => {
                self.report(
                    Diagnostic::error(
                        codes::BRACKETS,
                        format!("`{name}` takes no indices in brackets"),
                    )
                    .at(subs.span, "")
                    .help(format!("apply it to elements: `{name}(…)`")),
                );
                return Val::Poison;
            }
            ("fold", None) => return self.fold_key(args, span),
            ("initial", None) => {
                self.report(
                    Diagnostic::error(codes::INITIAL, "nothing says what record this is")
                        .at(span, "")
                        .help("bind it to a name with its type: `p: Params = initial(key)`"),
                );
                return Val::Poison;
            }
            ("argsort" | "argmax" | "argmin", None) => {
                self.report(
                    Diagnostic::error(
                        codes::BRACKETS,
                        format!("`{name}` needs the index it runs along"),
                    )
                    .at(span, "")
                    .help(format!("write `{name}[i](x[i])`")),
                );
                return Val::Poison;
            }
            _ => {}
        }
        let values: Vec<(Val, Span)> =
            args.iter().map(|a| (self.eval(&a.value), a.value.span)).collect();
        let expected = match name {
            "where" => 3..=3,
            "div" => 2..=2,
            "max" | "min" => 1..=usize::MAX,
            _ => 1..=1,
        };
        if !expected.contains(&values.len()) {
            let usage = match name {
                "where" => "where(condition, a, b)".to_owned(),
                "div" => "div(a, b)".to_owned(),
                "max" | "min" => format!("{name}(a, b)"),
                _ => format!("{name}(x)"),
            };
            self.report(
                Diagnostic::error(
                    codes::WRONG_ARGUMENTS,
                    format!("`{name}` got {} arguments", values.len()),
                )
                .at(span, "")
                .help(format!("write `{usage}`")),
            );
            return Val::Poison;
        }
        self.apply_builtin(name, values)
    }

    fn apply_builtin(&mut self, name: &str, values: Vec<(Val, Span)>) -> Val {
        if let Some(op) = unary_function(name) {
            return values.into_iter().next().map_or(Val::Poison, |v| self.unary(op, v));
        }
        let mut values = values.into_iter();
        let Some(first) = values.next() else {
            return Val::Poison;
        };
        match name {
            "where" => match (values.next(), values.next()) {
                (Some(then), Some(otherwise)) => self.select(first, then, otherwise),
                _ => Val::Poison,
            },
            "div" => match values.next() {
                Some(second) => self.pairwise(BinaryOp::FloorDiv, first, second),
                None => Val::Poison,
            },
            "max" | "min" if values.len() > 0 => {
                let op = if name == "max" { BinaryOp::Max } else { BinaryOp::Min };
                values
                    .fold(first, |acc, next| {
                        let whole = acc.1.to(next.1);
                        (self.pairwise(op, acc, next), whole)
                    })
                    .0
            }
            "stop" => self.stopped(first.0),
            "rank" => self.rank(first),
            "wide" => self.widened(first),
            _ => match Lacks::of_means(name) {
                Some(lacks) => self.means(name, lacks, first),
                None => self.whole_reduction(name, first),
            },
        }
    }

    fn pairwise(&mut self, op: BinaryOp, a: (Val, Span), b: (Val, Span)) -> Val {
        let span = a.1.to(b.1);
        self.leafwise(vec![a, b], &mut |ctx, mut args| {
            let b = args.pop()?;
            let a = args.pop()?;
            ctx.arithmetic(op, a, b, span)
        })
    }

    /// `wide(x)`: the float in the dtype that its sums accumulate in: f32 for half precision, itself else.
    fn widened(&mut self, value: (Val, Span)) -> Val {
        self.leafwise(vec![value], &mut |ctx, mut args| {
            let (a, span) = args.pop()?;
            let dtype = a.elem.default_dtype();
            if !a.elem.is_floatish() {
                ctx.report(
                    Diagnostic::error(
                        codes::WRONG_OPERAND,
                        format!("`wide` is not defined for {dtype}"),
                    )
                    .at(span, format!("this is {dtype}"))
                    .help("convert it: `f32(…)`"),
                );
                return None;
            }
            Some(match a.elem {
                Elem::Strong(_) => ctx.adapted(a, dtype.accumulator()),
                _ => a,
            })
        })
    }

    /// `rank(r)`: for each leaf the number of its axes, those of stacking not counted.
    fn rank(&mut self, (value, span): (Val, Span)) -> Val {
        fn ranks(value: Val, stack: usize) -> Val {
            match value {
                Val::Array(a) => {
                    Val::Array(Array::weak_int(a.axes.len().saturating_sub(stack) as i64))
                }
                Val::Record(r) => {
                    let stack = r.stack.len();
                    let fields = r.fields.into_iter().map(|(n, v)| (n, ranks(v, stack))).collect();
                    Val::Record(RecordVal { fields, ..r })
                }
                other => other,
            }
        }
        if let Val::Tuple(_) = value {
            self.report(
                Diagnostic::error(codes::WRONG_OPERAND, "`rank` of several results")
                    .at(span, "")
                    .help("unpack them first: `(a, b) = …`"),
            );
            return Val::Poison;
        }
        ranks(value, 0)
    }

    /// `sum(x)`: every element of every leaf.
    fn whole_reduction(&mut self, name: &str, (value, span): (Val, Span)) -> Val {
        if value.is_poison() {
            return Val::Poison;
        }
        if let Val::Array(a) = &value
            && a.axes.is_empty()
        {
            self.report(
                Diagnostic::error(codes::BRACKETS, format!("`{name}` of a single number"))
                    .at(span, "has no axes left to reduce")
                    .help(format!("name the index: `{name}[t](…)`")),
            );
            return Val::Poison;
        }
        let mut leaves: Vec<Array> = Vec::new();
        value.leaves("", &mut |_, leaf| leaves.push(leaf.clone()));
        if name == "mean" && leaves.len() > 1 {
            self.report(
                Diagnostic::error(codes::WRONG_OPERAND, "`mean` of a record")
                    .at(span, "")
                    .help("say what is averaged: `sum(x) / n`, or `mean` of one leaf"),
            );
            return Val::Poison;
        }
        let mut total: Option<Array> = None;
        for leaf in leaves {
            let logical = leaf.elem;
            let dtype = logical.default_dtype();
            let scalar = Array::scalar(leaf.elem, leaf.body);
            let scalar =
                if dtype.is_float() { self.adapted(scalar, dtype.accumulator()) } else { scalar };
            let part = match leaf.params.is_empty() {
                true => Some(scalar),
                // Partial sums of leaves stay in the accumulator's dtype until all are added.
                false => {
                    let logical = if dtype.is_float() && name == "sum" {
                        Elem::Strong(dtype.accumulator())
                    } else {
                        logical
                    };
                    self.reduced(name, leaf.params, None, logical, scalar, span)
                }
            };
            let Some(part) = part else { return Val::Poison };
            total = match total {
                None => Some(part),
                Some(before) => {
                    let op = match name {
                        "sum" => BinaryOp::Add,
                        "prod" => BinaryOp::Mul,
                        "max" => BinaryOp::Max,
                        "min" => BinaryOp::Min,
                        "any" => BinaryOp::Or,
                        _ => BinaryOp::And,
                    };
                    self.arithmetic(op, (before, span), (part, span), span)
                }
            };
        }
        total.map_or(Val::Poison, Val::Array)
    }
}
