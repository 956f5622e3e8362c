//! Arithmetic: operand types, conversions, constants, and what is done leaf by leaf.

use crate::constants::{fold, fold_unary, literal_as};
use crate::ctx::{Binding, Ctx};
use crate::dims::Axis;
use crate::show;
use crate::types::{join, widens};
use crate::values::{Array, Elem, RecordVal, Val};
use einmesh_diagnostics::codes::language as codes;
use einmesh_diagnostics::{Diagnostic, Span};
use einmesh_ir::{BinaryOp, DType, Expr, Literal, UnaryOp};
use einmesh_syntax::ast;

/// A function of elements, each with the place of its operand.
pub(crate) type Elementwise<'f, 'a> =
    dyn FnMut(&mut Ctx<'a>, Vec<(Array, Span)>) -> Option<Array> + 'f;

impl<'a> Ctx<'a> {
    /// An expression converted between dtypes; constants are rounded now.
    pub fn converted(&self, body: Expr, from: Elem, to: DType) -> Expr {
        if from == Elem::Strong(to) {
            return body;
        }
        if let Expr::Literal(literal) = body
            && let Some(rounded) = literal_as(literal, to)
        {
            return rounded;
        }
        match body {
            // A weak choice is converted branch by branch, so that its constants are rounded once.
            Expr::Select(c, a, b) if !matches!(from, Elem::Strong(_)) => {
                Expr::select(*c, self.converted(*a, from, to), self.converted(*b, from, to))
            }
            body => Expr::cast(to, body),
        }
    }

    /// The array with elements of another dtype.
    pub fn adapted(&self, array: Array, to: DType) -> Array {
        let body = self.converted(array.body, array.elem, to);
        Array { elem: Elem::Strong(to), body, ..array }
    }

    /// As [`Ctx::adapted`] if that is an implicit conversion; an error otherwise.
    pub fn implicit(
        &mut self,
        array: Array,
        to: DType,
        span: Span,
        what: &str,
        because: Option<(Span, String)>,
    ) -> Option<Array> {
        let fits = match array.elem {
            Elem::Strong(from) => widens(from, to) && (from.is_float() || from == to),
            Elem::WeakInt => to.is_float() || to.is_int(),
            Elem::WeakFloat => to.is_float(),
        };
        if let (true, Some(Literal::Int(_, v)), DType::I32) = (fits, array.literal(), to)
            && i32::try_from(v).is_err()
        {
            self.report(
                Diagnostic::error(codes::DTYPE, format!("{v} does not fit i32"))
                    .at(span, "")
                    .help("use i64: `i64(…)`"),
            );
            return None;
        }
        if !fits {
            let from = array.elem.name();
            let mut error =
                Diagnostic::error(codes::DTYPE, format!("{what}: expected {to}, found {from}"))
                    .at(span, format!("this is {from}"));
            if let Some((place, message)) = because {
                error = error.also(place, message);
            }
            if to != DType::Key && array.elem != Elem::Strong(DType::Key) {
                error = error.help(format!("convert it: `{to}({})`", self.quoted(span)));
            }
            self.report(error.note("only a float that loses nothing is widened implicitly: bf16 and f16 to f32, f32 to f64"));
            return None;
        }
        Some(self.adapted(array, to))
    }

    /// Whether the current statement has indices, so that arrays must be subscripted.
    pub fn pointwise(&self) -> bool {
        self.frame().indices.iter().any(|(_, b)| matches!(b, Binding::Indices(..)))
    }

    /// Applies a function to values leaf by leaf; numbers are used with every leaf.
    pub fn leafwise(&mut self, mut args: Vec<(Val, Span)>, apply: &mut Elementwise<'_, 'a>) -> Val {
        if args.iter().any(|(v, _)| v.is_poison()) {
            return Val::Poison;
        }
        if let Some((_, span)) = args.iter().find(|(v, _)| matches!(v, Val::Tuple(_))) {
            self.report(
                Diagnostic::error(
                    codes::WRONG_OPERAND,
                    "several results cannot be used as one value",
                )
                .at(*span, "this has several results")
                .help("unpack them first: `(a, b) = …`"),
            );
            return Val::Poison;
        }
        if self.spread_all(&mut args).is_none() {
            return Val::Poison;
        }
        let model = args.iter().find_map(|(v, span)| match v {
            Val::Record(record) => Some((record.clone(), *span)),
            _ => None,
        });
        let Some((model, model_span)) = model else {
            let arrays = args.into_iter().filter_map(|(v, span)| match v {
                Val::Array(array) => Some((array, span)),
                _ => None,
            });
            let arrays: Vec<(Array, Span)> = arrays.collect();
            return self.aligned(arrays, apply).map_or(Val::Poison, Val::Array);
        };
        let mut fields: Vec<(String, Val)> = Vec::new();
        for (position, (name, _)) in model.fields.iter().enumerate() {
            let mut parts: Vec<(Val, Span)> = Vec::new();
            for (val, span) in &args {
                let part = match val {
                    Val::Record(r)
                        if r.fields.get(position).is_some_and(|(n, _)| n == name)
                            && r.def == model.def =>
                    {
                        r.fields[position].1.clone()
                    }
                    Val::Array(a) if a.axes.is_empty() => val.clone(),
                    _ => {
                        let other = self.describe(val);
                        let own = self.record_name(model.def, &model.args, &model.stack);
                        self.report(
                            Diagnostic::error(
                                codes::RECORD_MISMATCH,
                                format!("`{own}` and {other} cannot be combined leaf by leaf"),
                            )
                            .at(*span, format!("this is {other}"))
                            .also(model_span, format!("this is `{own}`"))
                            .help("records combine with records of the same type and with numbers"),
                        );
                        return Val::Poison;
                    }
                };
                parts.push((part, *span));
            }
            fields.push((name.clone(), self.leafwise(parts, apply)));
        }
        Val::Record(RecordVal { fields, ..model })
    }

    /// Brings arrays to the same parameters and applies a function to their elements.
    fn aligned(
        &mut self,
        mut arrays: Vec<(Array, Span)>,
        apply: &mut Elementwise<'_, 'a>,
    ) -> Option<Array> {
        let model = arrays.iter().find(|(a, _)| !a.axes.is_empty()).cloned();
        let Some((model, model_span)) = model else {
            return apply(self, arrays);
        };
        if self.pointwise() {
            let axes = self.axes_name(&model.axes);
            let index = model
                .axes
                .iter()
                .map(|a| self.axis_name(a).to_lowercase())
                .collect::<Vec<_>>()
                .join(",");
            self.report(
                Diagnostic::error(
                    codes::UNSUBSCRIPTED,
                    "an array without subscripts in an indexed statement",
                )
                .at(model_span, format!("this still has the axes [{axes}]"))
                .help(format!("subscript it: `{}[{index}]`", self.quoted(model_span))),
            );
            return None;
        }
        let subs: Vec<Expr> = model.params.iter().map(|p| Expr::Index(*p)).collect();
        for (array, span) in &mut arrays {
            if array.axes.is_empty() {
                continue;
            }
            if !self.same_axes(&array.axes, &model.axes) {
                let (a, b) = (self.axes_name(&model.axes), self.axes_name(&array.axes));
                self.report(
                    Diagnostic::error(
                        codes::AXES,
                        format!("arrays with the axes [{a}] and [{b}] cannot be combined whole"),
                    )
                    .at(*span, format!("this has [{b}]"))
                    .also(model_span, format!("this has [{a}]"))
                    .help("name the indices on the left and subscript both sides: `y[…] = …`"),
                );
                return None;
            }
            *array = Array::scalar(array.elem, array.at(&subs));
        }
        let result = apply(self, arrays)?;
        Some(Array { axes: model.axes, params: model.params, ..result })
    }

    /// Whether two lists of axes are the same, anonymous extents compared by number.
    pub fn same_axes(&mut self, a: &[Axis], b: &[Axis]) -> bool {
        a.len() == b.len() && a.iter().zip(b).all(|(x, y)| self.same_axis(x, y))
    }

    pub fn same_axis(&mut self, a: &Axis, b: &Axis) -> bool {
        if a == b {
            return true;
        }
        a.dims.len() == b.dims.len()
            && a.dims.iter().zip(&b.dims).all(|(x, y)| {
                x == y
                    || (self.dims[*x].anonymous
                        && self.dims[*y].anonymous
                        && self.extent(*x) == self.extent(*y))
            })
    }

    /// What messages call a value's type.
    pub fn describe(&self, val: &Val) -> String {
        match val {
            Val::Poison => "…".to_owned(),
            Val::Array(a) if a.axes.is_empty() => format!("`{}`", a.elem.name()),
            Val::Array(a) => format!("`{}[{}]`", a.elem.name(), self.axes_name(&a.axes)),
            Val::Record(r) => {
                let whole = self.record_name(r.def, &r.args, &r.stack);
                format!("`{}`", r.lacks.name(whole))
            }
            Val::Tuple(parts) => {
                let names: Vec<&str> = parts.iter().map(|(n, _)| n.as_str()).collect();
                format!("the results ({})", names.join(", "))
            }
        }
    }

    /// Which operand to convert to what, so that both have one type.
    fn cast_help(&self, a: (Elem, Span), b: (Elem, Span)) -> Option<String> {
        use DType::*;
        let target = |from: Elem, other: Elem| match (from, other) {
            (Elem::Strong(x), Elem::Strong(y)) if x.is_int() && y.is_float() => Some(y),
            (Elem::Strong(x), Elem::WeakFloat) if x.is_int() => Some(F32),
            (Elem::Strong(I32), Elem::Strong(I64)) => Some(I64),
            (Elem::Strong(Bool), Elem::Strong(y)) if y.is_int() || y.is_float() => Some(y),
            (Elem::Strong(Bool), Elem::WeakInt) => Some(I32),
            _ => None,
        };
        if let Some(to) = target(a.0, b.0) {
            return Some(format!("convert one side: `{to}({})`", self.quoted(a.1)));
        }
        if let Some(to) = target(b.0, a.0) {
            return Some(format!("convert one side: `{to}({})`", self.quoted(b.1)));
        }
        let halves = [Elem::Strong(Bf16), Elem::Strong(F16)];
        (halves.contains(&a.0) && halves.contains(&b.0)).then(|| {
            format!(
                "convert both sides: `f32({})` and `f32({})`",
                self.quoted(a.1),
                self.quoted(b.1)
            )
        })
    }

    /// `a op b` as written.
    pub fn binary(&mut self, op: ast::BinaryOp, a: (Val, Span), b: (Val, Span)) -> Val {
        let span = a.1.to(b.1);
        let op = match op {
            ast::BinaryOp::Pow => BinaryOp::Pow,
            ast::BinaryOp::Mul => BinaryOp::Mul,
            ast::BinaryOp::Div => BinaryOp::Div,
            ast::BinaryOp::Rem => BinaryOp::Rem,
            ast::BinaryOp::Add => BinaryOp::Add,
            ast::BinaryOp::Sub => BinaryOp::Sub,
            ast::BinaryOp::Eq => BinaryOp::Eq,
            ast::BinaryOp::Ne => BinaryOp::Ne,
            ast::BinaryOp::Lt => BinaryOp::Lt,
            ast::BinaryOp::Le => BinaryOp::Le,
            ast::BinaryOp::Gt => BinaryOp::Gt,
            ast::BinaryOp::Ge => BinaryOp::Ge,
            ast::BinaryOp::And => BinaryOp::And,
            ast::BinaryOp::Or => BinaryOp::Or,
        };
        self.leafwise(vec![a, b], &mut |ctx, mut args| {
            let (b, b_span) = args.pop()?;
            let (a, a_span) = args.pop()?;
            ctx.arithmetic(op, (a, a_span), (b, b_span), span)
        })
    }

    /// An operation on two numbers.
    pub fn arithmetic(
        &mut self,
        op: BinaryOp,
        a: (Array, Span),
        b: (Array, Span),
        span: Span,
    ) -> Option<Array> {
        use BinaryOp::*;
        let ((a, a_span), (b, b_span)) = (a, b);
        if let Some(folded) = fold(op, &a, &b) {
            return Some(folded);
        }
        let sign = symbol(op);
        if matches!(op, And | Or) {
            for (side, place) in [(&a, a_span), (&b, b_span)] {
                if side.elem != Elem::Strong(DType::Bool) {
                    let from = side.elem.name();
                    self.report(
                        Diagnostic::error(
                            codes::WRONG_OPERAND,
                            format!("`{sign}` combines truth values, not {from}"),
                        )
                        .at(place, format!("this is {from}"))
                        .help("compare it: `… != 0`"),
                    );
                    return None;
                }
            }
            return Some(Array::strong(DType::Bool, Expr::binary(op, a.body, b.body)));
        }
        let Some(elem) = join(a.elem, b.elem) else {
            let (x, y) = (a.elem.name(), b.elem.name());
            let mut error = Diagnostic::error(codes::DTYPE, format!("`{sign}` of {x} and {y}"))
                .at(b_span, format!("this is {y}"))
                .also(a_span, format!("this is {x}"))
                .note("only a float that loses nothing is widened implicitly: bf16 and f16 to f32, f32 to f64");
            if let Some(help) = self.cast_help((a.elem, a_span), (b.elem, b_span)) {
                error = error.help(help);
            }
            self.report(error);
            return None;
        };
        let numeric = !matches!(elem, Elem::Strong(DType::Bool | DType::Key));
        let fine = match op {
            Eq | Ne => elem != Elem::Strong(DType::Key),
            Div => numeric && elem.is_floatish(),
            FloorDiv => numeric && !matches!(elem, Elem::WeakFloat) && !elem_is_float(elem),
            _ => numeric,
        };
        if !fine {
            let kind = elem.name();
            let mut error = Diagnostic::error(
                codes::WRONG_OPERAND,
                format!("`{sign}` is not defined for {kind}"),
            )
            .at(span, format!("the operands are {kind}"));
            error = match (op, elem) {
                (Div, Elem::Strong(d)) if d.is_int() => {
                    error.help("`/` is for floats: use `div(a, b)`, which rounds down, or convert: `f32(a) / f32(b)`")
                }
                (FloorDiv, _) => error.help("`div` is for integers: use `/`, or `floor(a / b)`"),
                (_, Elem::Strong(DType::Bool)) => error.help("convert it: `i32(…)` or `f32(…)`"),
                _ => error,
            };
            self.report(error);
            return None;
        }
        // Weak operands that are not constants (a restricted dim's count) get their default type.
        let dtype = match elem {
            Elem::WeakFloat => DType::F32,
            other => other.default_dtype(),
        };
        let body = Expr::binary(
            op,
            self.converted(a.body, a.elem, dtype),
            self.converted(b.body, b.elem, dtype),
        );
        if op.is_comparison() {
            return Some(Array::strong(DType::Bool, body));
        }
        let elem = if matches!(elem, Elem::Strong(_)) { elem } else { Elem::Strong(dtype) };
        Some(Array::scalar(elem, body))
    }

    /// `-e`, `not e`, and the functions of one number.
    pub fn unary(&mut self, op: UnaryOp, a: (Val, Span)) -> Val {
        self.leafwise(vec![a], &mut |ctx, mut args| {
            let (a, span) = args.pop()?;
            ctx.unary_array(op, a, span)
        })
    }

    fn unary_array(&mut self, op: UnaryOp, a: Array, span: Span) -> Option<Array> {
        if let Some(folded) = fold_unary(op, &a) {
            return Some(folded);
        }
        let dtype = a.elem.default_dtype();
        let name = unary_name(op);
        if op == UnaryOp::IsFinite && dtype.is_float() {
            let body = self.converted(a.body, a.elem, dtype);
            return Some(Array::strong(DType::Bool, Expr::unary(op, body)));
        }
        let (dtype, fine) = match op {
            UnaryOp::Not => (dtype, dtype == DType::Bool),
            UnaryOp::Neg | UnaryOp::Abs => (dtype, dtype.is_float() || dtype.is_int()),
            _ if a.elem == Elem::WeakInt => (DType::F32, true),
            _ => (dtype, dtype.is_float()),
        };
        if !fine {
            let from = a.elem.name();
            let mut error = Diagnostic::error(
                codes::WRONG_OPERAND,
                format!("`{name}` is not defined for {from}"),
            )
            .at(span, format!("this is {from}"));
            error = match op {
                UnaryOp::Not => error.help(format!("compare it: `{} == 0`", self.quoted(span))),
                _ => error.help(format!("convert it: `{name}(f32({}))`", self.quoted(span))),
            };
            self.report(error);
            return None;
        }
        let body = self.converted(a.body, a.elem, dtype);
        Some(Array::strong(dtype, Expr::unary(op, body)))
    }

    /// `f32(e)`: an explicit conversion.
    pub fn cast(&mut self, to: DType, a: (Val, Span)) -> Val {
        self.leafwise(vec![a], &mut |ctx, mut args| {
            let (a, span) = args.pop()?;
            if let Some(literal) = a.literal() {
                let number = match literal {
                    Literal::Int(_, v) => v as f64,
                    Literal::Float(_, v) => v,
                    Literal::Bool(v) => f64::from(u8::from(v)),
                };
                let converted = match to {
                    DType::Bool => Some(Expr::Literal(Literal::Bool(number != 0.0))),
                    DType::I32 => literal_as(Literal::Int(DType::I64, number as i64), to),
                    _ => literal_as(literal, to),
                };
                if let Some(body) = converted {
                    return Some(Array { elem: Elem::Strong(to), body, ..a });
                }
            }
            let from = a.elem.default_dtype();
            if (from == DType::Key) != (to == DType::Key) {
                ctx.report(
                    Diagnostic::error(
                        codes::WRONG_OPERAND,
                        format!("{from} cannot be converted to {to}"),
                    )
                    .at(span, "")
                    .help("draw a number from a key: `uniform[i](key)`"),
                );
                return None;
            }
            Some(ctx.adapted(a, to))
        })
    }

    /// `where(c, a, b)`.
    pub fn select(
        &mut self,
        condition: (Val, Span),
        then: (Val, Span),
        otherwise: (Val, Span),
    ) -> Val {
        self.leafwise(vec![condition, then, otherwise], &mut |ctx, args| {
            let [(c, c_span), (a, a_span), (b, b_span)]: [(Array, Span); 3] =
                args.try_into().ok()?;
            if c.elem != Elem::Strong(DType::Bool) {
                let from = c.elem.name();
                ctx.report(
                    Diagnostic::error(
                        codes::WRONG_OPERAND,
                        format!("the condition of `where` is {from}, not bool"),
                    )
                    .at(c_span, "")
                    .help(format!("compare it: `{} != 0`", ctx.quoted(c_span))),
                );
                return None;
            }
            if let Some(Literal::Bool(value)) = c.literal()
                && (a.elem == b.elem || (a.literal().is_some() && b.literal().is_some()))
            {
                return Some(if value { a } else { b });
            }
            let Some(elem) = join(a.elem, b.elem) else {
                let (x, y) = (a.elem.name(), b.elem.name());
                let mut error = Diagnostic::error(
                    codes::DTYPE,
                    format!("the branches of `where` are {x} and {y}"),
                )
                .at(b_span, format!("this is {y}"))
                .also(a_span, format!("this is {x}"));
                if let Some(help) = ctx.cast_help((a.elem, a_span), (b.elem, b_span)) {
                    error = error.help(help);
                }
                ctx.report(error);
                return None;
            };
            // A choice between two literals stays weak: `where(c, 16, 0)` takes the type of what it meets.
            let (a, b) = match elem {
                Elem::Strong(dtype) => {
                    (ctx.converted(a.body, a.elem, dtype), ctx.converted(b.body, b.elem, dtype))
                }
                _ => (a.body, b.body),
            };
            Some(Array::scalar(elem, Expr::select(c.body, a, b)))
        })
    }
}

fn elem_is_float(elem: Elem) -> bool {
    matches!(elem, Elem::Strong(d) if d.is_float())
}

fn symbol(op: BinaryOp) -> &'static str {
    use BinaryOp::*;
    match op {
        Add => "+",
        Sub => "-",
        Mul => "*",
        Div => "/",
        FloorDiv => "div",
        Rem => "%",
        Pow => "^",
        Min => "min",
        Max => "max",
        Eq => "==",
        Ne => "!=",
        Lt => "<",
        Le => "<=",
        Gt => ">",
        Ge => ">=",
        And => "and",
        Or => "or",
        Fold => "fold",
        Uniform => "uniform",
    }
}

/// The name of a function of one number in source.
pub(crate) fn unary_name(op: UnaryOp) -> &'static str {
    use UnaryOp::*;
    match op {
        Neg => "-",
        Not => "not",
        Abs => "abs",
        Exp => "exp",
        Log => "log",
        Log1p => "log1p",
        Expm1 => "expm1",
        Sqrt => "sqrt",
        Rsqrt => "rsqrt",
        Sin => "sin",
        Cos => "cos",
        Tanh => "tanh",
        Erf => "erf",
        Floor => "floor",
        Ceil => "ceil",
        Round => "round",
        IsFinite => "isfinite",
    }
}

/// Shows an expression for a help line, shortened when it is long.
pub(crate) fn short(e: &ast::Expr) -> String {
    let text = show::expr(e);
    if text.chars().count() <= 60 { text } else { "…".to_owned() }
}
