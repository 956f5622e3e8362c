//! Evaluates expressions to values, appending the comprehensions they need.

use crate::ctx::{Binding, Ctx};
use crate::index::bare;
use crate::names::{Def, suggest};
use crate::options::Constant;
use crate::scalar::short;
use crate::types::Ty;
use crate::values::{Array, Val};
use einmesh_diagnostics::codes::language as codes;
use einmesh_diagnostics::{Diagnostic, Span};
use einmesh_ir::{DType, Expr, Literal, UnaryOp};
use einmesh_syntax::ast::{self, ExprKind};

impl<'a> Ctx<'a> {
    /// The value of an expression. Mistakes are reported and give [`Val::Poison`].
    pub fn eval(&mut self, e: &'a ast::Expr) -> Val {
        match &e.kind {
            ExprKind::Name(name) => self.eval_name(name, e.span),
            ExprKind::Number(text) => match crate::constants::number(text) {
                Some(array) => Val::Array(array),
                None => {
                    self.report(
                        Diagnostic::error(
                            codes::WRONG_OPERAND,
                            format!("`{text}` is out of range"),
                        )
                        .at(e.span, ""),
                    );
                    Val::Poison
                }
            },
            ExprKind::Paren(inner) => self.eval(inner),
            ExprKind::Field(base, field) => self.eval_field(base, field),
            ExprKind::Subscript(base, subs) => self.load(base, subs, None),
            ExprKind::Call(callee, args) => self.call(callee, args, e),
            ExprKind::Neg(inner) => {
                let value = self.eval(inner);
                self.unary(UnaryOp::Neg, (value, inner.span))
            }
            ExprKind::Not(inner) => {
                let value = self.eval(inner);
                self.unary(UnaryOp::Not, (value, inner.span))
            }
            ExprKind::Binary(op, a, b) => {
                let left = self.eval(a);
                let right = self.eval(b);
                self.binary(*op, (left, a.span), (right, b.span))
            }
            ExprKind::Else(load, default) => {
                let mut inner: &ast::Expr = load;
                while let ExprKind::Paren(next) = &inner.kind {
                    inner = next;
                }
                match &inner.kind {
                    ExprKind::Subscript(base, subs) => self.load(base, subs, Some(default)),
                    _ => {
                        self.report(
                            Diagnostic::error(codes::WRONG_OPERAND, "`else` gives the value outside of an array: it follows a load")
                                .at(load.span, "not a load")
                                .help("write `(x[i - 1] else 0)`; for a choice use `where(condition, a, b)`"),
                        );
                        Val::Poison
                    }
                }
            }
            ExprKind::Text(_) | ExprKind::Tuple(_) => {
                let what = if matches!(e.kind, ExprKind::Text(_)) { "a text" } else { "a tuple" };
                let mut error =
                    Diagnostic::error(codes::WRONG_OPERAND, format!("{what} is not a value"))
                        .at(e.span, "");
                if what == "a tuple" {
                    error = error.help("a tuple subscripts a product axis: `w[(h,k),d]`");
                }
                self.report(error);
                Val::Poison
            }
            ExprKind::Error => Val::Poison,
        }
    }

    fn eval_name(&mut self, name: &str, span: Span) -> Val {
        if let Some(binding) = self.binding(name) {
            let position = self.position(&binding);
            return Val::Array(Array::strong(DType::I32, position));
        }
        if let Some(var) = self.frame().vars.get(name) {
            return var.val.clone();
        }
        if let Some(generic) = self.generic(name) {
            return self.dim_number(&generic.axis, generic.guard);
        }
        match name {
            "pi" => return Val::Array(Array::weak_float(std::f64::consts::PI)),
            "inf" => return Val::Array(Array::weak_float(f64::INFINITY)),
            "nan" => return Val::Array(Array::weak_float(f64::NAN)),
            "true" | "false" => {
                return Val::Array(Array::strong(
                    DType::Bool,
                    Expr::Literal(Literal::Bool(name == "true")),
                ));
            }
            _ => {}
        }
        let inst = self.frame().inst;
        match self.lookup(inst, name) {
            Some(def) => self.def_value(def, name, span),
            None => {
                self.unknown(name, span);
                Val::Poison
            }
        }
    }

    fn def_value(&mut self, def: Def, name: &str, span: Span) -> Val {
        match def {
            Def::Dim(dim) => {
                let dim = self.same_dim(dim);
                self.dim_number(&crate::dims::Axis::one(dim), None)
            }
            Def::Const(id) => self.const_value(id),
            other => {
                let mut error = Diagnostic::error(
                    codes::WRONG_KIND,
                    format!("`{name}` is {}, not a value", other.kind()),
                )
                .at(span, "");
                error = match other {
                    Def::Fn(_) => error.help(format!("call it: `{name}(…)`")),
                    Def::Record(_) => error.help(format!("construct one: `{name}(field: …)`")),
                    Def::Type(_) => error.help(format!("convert to it: `{name}(…)`")),
                    _ => error,
                };
                self.report(error);
                Val::Poison
            }
        }
    }

    pub fn unknown(&mut self, name: &str, span: Span) {
        let inst = self.frame().inst;
        if let Some(axis) = self.dim_of_index(name) {
            let dim = self.axis_name(&axis);
            self.report(
                Diagnostic::error(
                    codes::UNBOUND_INDEX,
                    format!("the index `{name}` is not bound here"),
                )
                .at(span, format!("would range over {dim}"))
                .help(format!(
                    "bind it on the left, `y[{name}] = …`, or by a reduction, `sum[{name}](…)`"
                ))
                .note(format!("the extent is written `{dim}`")),
            );
            return;
        }
        if DType::from_name(name).is_some() || name == "float" {
            self.report(
                Diagnostic::error(codes::WRONG_KIND, format!("`{name}` is a dtype, not a value"))
                    .at(span, "")
                    .help(format!("convert to it: `{name}(…)`")),
            );
            return;
        }
        let loops = self.frame().loops.iter();
        if let Some(l) = loops.rev().find(|l| l.collected.iter().any(|c| c.name == name)) {
            let counter = l.name.clone();
            self.report(
                Diagnostic::error(
                    codes::COLLECTED,
                    format!("`{name}` is collected over `{counter}` and known after the loop only"),
                )
                .at(span, "used inside of the loop")
                .help("name this iteration's value without the counter, and collect that"),
            );
            return;
        }
        let mut known: Vec<String> = self.frame().vars.keys().cloned().collect();
        known.extend(self.insts[inst].scope.keys().cloned());
        known.extend(self.frame().indices.iter().map(|(n, _)| n.clone()));
        let mut error =
            Diagnostic::error(codes::UNKNOWN_NAME, format!("there is no `{name}` here"))
                .at(span, "not found");
        if let Some(near) = suggest(name, known.iter().map(String::as_str)) {
            error = error.help(format!("did you mean `{near}`?"));
        } else if crate::builtins::BUILTINS.contains(&name) {
            error = error.help(format!("`{name}` is a function: `{name}(…)`"));
        }
        self.report(error);
    }

    /// A dim as a number; with a guard, the number of positions that are not excluded.
    fn dim_number(
        &mut self,
        axis: &crate::dims::Axis,
        guard: Option<(Vec<einmesh_ir::IndexId>, Expr)>,
    ) -> Val {
        let Some((params, guard)) = guard else {
            return Val::Array(self.points_array(&axis.dims));
        };
        let fresh = self.fresh_params(std::slice::from_ref(axis));
        let map = params.into_iter().zip(fresh.iter().map(|i| Expr::Index(*i))).collect();
        let guard = crate::values::substitute(guard, &map);
        let count =
            self.reduce(DType::I32, fresh, einmesh_ir::Reducer::Sum, Some(guard), Expr::int(1));
        Val::number(crate::values::Elem::WeakInt, count)
    }

    /// The value of a constant: from the command line, the import, or its declaration.
    pub fn const_value(&mut self, id: usize) -> Val {
        if let Some(value) = &self.consts[id].value {
            return value.clone();
        }
        let (inst, decl, given, busy) = {
            let c = &self.consts[id];
            (c.inst, c.decl, c.given, c.busy)
        };
        let name = &decl.name.text;
        if busy {
            self.report(
                Diagnostic::error(
                    codes::CYCLE,
                    format!("the constant `{name}` is defined by itself"),
                )
                .at(decl.name.span, "needed for its own value")
                .help(format!("give it a value: `const {name} = 1.0`")),
            );
            return Val::Poison;
        }
        self.consts[id].busy = true;
        let defined = self.defined(id, name);
        let mut value = match (defined, given) {
            (Some(constant), _) => Val::Array(constant_array(constant)),
            (None, Some((from, e))) => self.in_module(from, |ctx| ctx.eval(e)),
            (None, None) => self.in_module(inst, |ctx| ctx.eval(&decl.value)),
        };
        if let Some(ty) = &decl.ty
            && let Some(ty) = self.in_module(inst, |ctx| ctx.ty(ty))
        {
            let because = decl.ty.as_ref().map(|t| (t.span, "declared here".to_owned()));
            value = self.coerce(
                value,
                &ty,
                decl.value.span,
                &format!("the constant `{name}`"),
                because,
            );
        }
        if let Val::Array(array) = &value
            && array.literal().is_none()
        {
            self.report(
                Diagnostic::error(
                    codes::NOT_CONSTANT,
                    format!("the value of `{name}` is not known when compiling"),
                )
                .at(decl.value.span, "")
                .help("constants are numbers, truth values, dims, and arithmetic with them"),
            );
            value = Val::Poison;
        }
        self.consts[id].busy = false;
        self.consts[id].value = Some(value.clone());
        value
    }

    /// The value that `-D` gives a constant: by the name the root file knows it by, or by its own.
    fn defined(&self, id: usize, name: &str) -> Option<Constant> {
        let root = self.insts.get(1).and_then(|i| i.scope.get(name));
        if matches!(root, Some((def, _)) if *def != Def::Const(id)) {
            return None;
        }
        let int =
            || self.options.dims.get(name).and_then(|v| i64::try_from(*v).ok()).map(Constant::Int);
        self.options.consts.get(name).copied().or_else(int)
    }

    fn eval_field(&mut self, base: &'a ast::Expr, field: &'a ast::Name) -> Val {
        // `m.name` in an imported module.
        let inst = self.frame().inst;
        if let Some(name) = bare(base)
            && !self.frame().vars.contains_key(name)
            && let Some(Def::Module(module)) = self.lookup(inst, name)
        {
            return match self.insts[module].scope.get(&field.text).copied() {
                Some((def, _)) => self.def_value(def, &field.text, field.span),
                None => {
                    let known = self.insts[module].scope.keys().map(String::as_str);
                    let mut error = Diagnostic::error(
                        codes::UNKNOWN_NAME,
                        format!("the module `{name}` has no `{}`", field.text),
                    )
                    .at(field.span, "not found");
                    if let Some(near) = suggest(&field.text, known) {
                        error = error.help(format!("did you mean `{near}`?"));
                    }
                    self.report(error);
                    Val::Poison
                }
            };
        }
        match self.eval(base) {
            Val::Record(record) => {
                if let Some((_, value)) = record.fields.iter().find(|(n, _)| *n == field.text) {
                    return value.clone();
                }
                self.no_field(&record, field);
                Val::Poison
            }
            Val::Poison => Val::Poison,
            other => {
                let what = self.describe(&other);
                let mut error =
                    Diagnostic::error(codes::UNKNOWN_FIELD, format!("{what} has no fields"))
                        .at(field.span, "a field is expected of a record")
                        .also(base.span, format!("this is {what}"));
                if let Val::Tuple(parts) = &other {
                    let names: Vec<&str> = parts.iter().map(|(n, _)| n.as_str()).collect();
                    error = error.help(format!(
                        "unpack the results: `({}) = {}`",
                        names.join(", "),
                        short(base)
                    ));
                }
                self.report(error);
                Val::Poison
            }
        }
    }

    pub fn no_field(&mut self, record: &crate::values::RecordVal, field: &ast::Name) {
        let (_, decl) = self.records[record.def];
        let name = self.record_name(record.def, &record.args, &[]);
        if let Some(absent) = decl.fields.iter().find(|f| f.name.text == field.text) {
            let condition = absent.condition.as_ref().map(crate::show::expr).unwrap_or_default();
            self.report(
                Diagnostic::error(
                    codes::ABSENT_FIELD,
                    format!(
                        "`{name}` has no `{}` here, because `{condition}` is false",
                        field.text
                    ),
                )
                .at(field.span, "used here")
                .also(absent.name.span, "declared with a condition")
                .help(format!("use it under the same condition: `if {condition} {{ … }}`")),
            );
            return;
        }
        let mut error = Diagnostic::error(
            codes::UNKNOWN_FIELD,
            format!("`{name}` has no field `{}`", field.text),
        )
        .at(field.span, "not found")
        .also(decl.name.span, "the record is declared here");
        error = match suggest(&field.text, decl.fields.iter().map(|f| f.name.text.as_str())) {
            Some(near) => error.help(format!("did you mean `{near}`?")),
            None => {
                let names: Vec<&str> = decl.fields.iter().map(|f| f.name.text.as_str()).collect();
                error.help(format!("its fields are {}", names.join(", ")))
            }
        };
        self.report(error);
    }

    /// A value as a value of a type: numbers fill arrays and records, floats widen without loss, leaves of
    /// records may stay wider than declared. Anything else is reported.
    pub fn coerce(
        &mut self,
        val: Val,
        ty: &Ty,
        span: Span,
        what: &str,
        because: Option<(Span, String)>,
    ) -> Val {
        match (val, ty) {
            (Val::Poison, _) => Val::Poison,
            (Val::Array(array), Ty::Array { axes, dtype }) => {
                if array.axes.is_empty() && !axes.is_empty() {
                    let params = self.fresh_params(axes);
                    let Some(array) = self.implicit(array, *dtype, span, what, because) else {
                        return Val::Poison;
                    };
                    return Val::Array(Array { axes: axes.clone(), params, ..array });
                }
                if !self.same_axes(&array.axes, axes) {
                    let found = self.describe(&Val::Array(array));
                    let wanted = self.ty_name(ty);
                    self.axes_mismatch(&found, &wanted, span, what, because);
                    return Val::Poison;
                }
                match self.implicit(array, *dtype, span, what, because) {
                    Some(array) => Val::Array(Array { axes: axes.clone(), ..array }),
                    None => Val::Poison,
                }
            }
            (Val::Array(array), Ty::Record(record)) if array.axes.is_empty() => {
                let mut fields = Vec::new();
                for (name, field) in &record.fields {
                    let value =
                        self.coerce(Val::Array(array.clone()), field, span, what, because.clone());
                    fields.push((name.clone(), value));
                }
                Val::Record(crate::values::RecordVal {
                    def: record.def,
                    args: record.args.clone(),
                    stack: record.stack.clone(),
                    lacks: record.lacks,
                    fields,
                })
            }
            (Val::Record(value), Ty::Record(record)) => {
                let same = value.def == record.def
                    && value.lacks == record.lacks
                    && self.same_axes(&value.args, &record.args)
                    && self.same_axes(&value.stack, &record.stack);
                if !same {
                    let found = self.describe(&Val::Record(value));
                    let wanted = self.ty_name(ty);
                    self.axes_mismatch(&found, &wanted, span, what, because);
                    return Val::Poison;
                }
                let mut fields = Vec::new();
                for ((name, field), (_, ty)) in value.fields.into_iter().zip(&record.fields) {
                    let field = match (&field, ty) {
                        // A leaf that was replaced by a wider one keeps its dtype.
                        (Val::Array(a), Ty::Array { axes, dtype }) if wider(a, *dtype) => {
                            let ty =
                                Ty::Array { axes: axes.clone(), dtype: a.elem.default_dtype() };
                            self.coerce(field, &ty, span, what, because.clone())
                        }
                        _ => self.coerce(field, ty, span, what, because.clone()),
                    };
                    fields.push((name, field));
                }
                Val::Record(crate::values::RecordVal { fields, ..value })
            }
            (other, _) => {
                let found = self.describe(&other);
                let wanted = self.ty_name(ty);
                self.axes_mismatch(&found, &wanted, span, what, because);
                Val::Poison
            }
        }
    }

    fn axes_mismatch(
        &mut self,
        found: &str,
        wanted: &str,
        span: Span,
        what: &str,
        because: Option<(Span, String)>,
    ) {
        let mut error =
            Diagnostic::error(codes::AXES, format!("{what}: expected `{wanted}`, found {found}"))
                .at(span, format!("this is {found}"));
        if let Some((place, message)) = because {
            error = error.also(place, message);
        }
        if let Some(axes) =
            wanted.split_once('[').map(|(_, a)| a.trim_end_matches(']').to_lowercase())
            && !found.contains('(')
            && found.contains('[')
        {
            error = error.help(format!("index it: `y[{axes}] = …`"));
        }
        self.report(error);
    }
}

fn wider(array: &Array, dtype: DType) -> bool {
    match array.elem {
        crate::values::Elem::Strong(own) => own != dtype && crate::types::widens(dtype, own),
        _ => false,
    }
}

/// A constant of the command line as a value.
pub(crate) fn constant_array(constant: Constant) -> Array {
    match constant {
        Constant::Int(v) => Array::weak_int(v),
        Constant::Float(v) => Array::weak_float(v),
        Constant::Bool(v) => Array::strong(DType::Bool, Expr::Literal(Literal::Bool(v))),
    }
}

/// Whether a binding is a loop's counter.
pub(crate) fn is_counter(binding: &Binding) -> bool {
    matches!(binding, Binding::Counter(..))
}
