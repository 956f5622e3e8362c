//! Types as written, resolved: dtypes, arrays with axes, records with their leaves.

use crate::ctx::Ctx;
use crate::dims::Axis;
use crate::names::{Def, suggest};
use crate::parts::{Lacks, innermost};
use crate::values::Elem;
use einmesh_diagnostics::codes::language as codes;
use einmesh_diagnostics::{Diagnostic, Span};
use einmesh_ir::{DType, Literal};
use einmesh_syntax::ast;

/// A resolved type.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Ty {
    Array { axes: Vec<Axis>, dtype: DType },
    Record(RecordTy),
}

/// A record type with its generics bound; its leaves have the axes of `stack` first.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct RecordTy {
    pub def: usize,
    pub args: Vec<Axis>,
    pub stack: Vec<Axis>,
    /// What its leaves lack.
    pub lacks: Lacks,
    /// Each field with its type and what its component of a checkpoint's names is.
    pub fields: Vec<(String, Ty)>,
}

/// The types that both operands of an operation are converted to without being asked: the same type,
/// the wider of two floats if it has every number of the other, or what a weak one takes.
pub(crate) fn join(a: Elem, b: Elem) -> Option<Elem> {
    use Elem::*;
    match (a, b) {
        _ if a == b => Some(a),
        (WeakInt, WeakFloat) | (WeakFloat, WeakInt) => Some(WeakFloat),
        (Strong(d), WeakInt) | (WeakInt, Strong(d)) if d.is_float() || d.is_int() => {
            Some(Strong(d))
        }
        (Strong(d), WeakFloat) | (WeakFloat, Strong(d)) if d.is_float() => Some(Strong(d)),
        (Strong(x), Strong(y)) if widens(x, y) => Some(Strong(y)),
        (Strong(x), Strong(y)) if widens(y, x) => Some(Strong(x)),
        _ => None,
    }
}

/// Whether a type is written as `record`, any record type, or a part of it.
pub(crate) fn is_any_record(ty: &ast::Type) -> bool {
    matches!(&innermost(ty).path[..], [name] if name.text == "record")
}

/// Whether every number of float `from` is a number of float `to`.
pub(crate) fn widens(from: DType, to: DType) -> bool {
    use DType::*;
    from == to || matches!((from, to), (Bf16 | F16, F32 | F64) | (F32, F64))
}

impl<'a> Ctx<'a> {
    /// Resolves a type written in the current module or function.
    pub fn ty(&mut self, ty: &'a ast::Type) -> Option<Ty> {
        if let Some(of) = &ty.of {
            let stack = self.type_axes(ty)?;
            return self.part_ty(ty, of, &stack).map(Ty::Record);
        }
        if is_any_record(ty) {
            return self.any_record(ty).map(Ty::Record);
        }
        let (inst, name) = self.qualified(self.frame().inst, &ty.path)?;
        let axes = self.type_axes(ty)?;
        if let Some(dtype) = self.dtype_named(inst, name) {
            if let Some(arg) = ty.args.first() {
                self.report(
                    Diagnostic::error(
                        codes::WRONG_ARGUMENTS,
                        format!("the dtype `{name}` takes no arguments in parentheses"),
                    )
                    .at(arg.span, "not expected")
                    .help(format!(
                        "write axes in brackets: `{name}[{}]`",
                        crate::show::list(&ty.args)
                    )),
                );
            }
            return Some(Ty::Array { axes, dtype });
        }
        match self.lookup(inst, name) {
            Some(Def::Record(def)) => {
                let args: Option<Vec<Axis>> = ty.args.iter().map(|a| self.dim_axis(a)).collect();
                self.record_ty(def, args?, axes, ty.span).map(Ty::Record)
            }
            Some(def) => {
                self.report(
                    Diagnostic::error(
                        codes::WRONG_KIND,
                        format!("`{name}` is {}, not a type", def.kind()),
                    )
                    .at(ty.span, "expected a dtype or a record"),
                );
                None
            }
            None => {
                let dtypes = DType::ALL.iter().map(|d| d.name()).chain(["float"]);
                let scope = self.insts[inst].scope.iter();
                let records =
                    scope.filter(|(_, (d, _))| matches!(d, Def::Record(_) | Def::Type(_)));
                let known: Vec<&str> = dtypes.chain(records.map(|(n, _)| n.as_str())).collect();
                let mut error =
                    Diagnostic::error(codes::UNKNOWN_NAME, format!("there is no type `{name}`"))
                        .at(ty.span, "expected a dtype or a record");
                if let Some(near) = suggest(name, known) {
                    error = error.help(format!("did you mean `{near}`?"));
                }
                self.report(error);
                None
            }
        }
    }

    /// What `record` stands for in this call.
    fn any_record(&mut self, ty: &'a ast::Type) -> Option<RecordTy> {
        let wrong = if ty.axes.is_some() || !ty.args.is_empty() {
            Some("`record` stands for a whole type, so that it takes neither axes nor arguments")
        } else if self.frame().record.is_none() {
            Some("nothing says which type `record` is here")
        } else {
            None
        };
        if let Some(message) = wrong {
            self.report(Diagnostic::error(codes::RECORD_TYPE, message).at(ty.span, "").help(
                "`record` is for the parameters and results of functions that are called with records; \
                 elsewhere name the type",
            ));
            return None;
        }
        self.frame().record.clone()
    }

    /// The dtype of this name: built in, `float` as instantiated in this call, or a `type` name.
    pub fn dtype_named(&self, inst: usize, name: &str) -> Option<DType> {
        if name == "float" {
            return Some(self.frame().float.unwrap_or(DType::F32));
        }
        DType::from_name(name).or(match self.lookup(inst, name) {
            Some(Def::Type(dtype)) => Some(dtype),
            _ => None,
        })
    }

    /// Follows modules: `m.name` is looked up in the module `m`.
    pub fn qualified<'n>(
        &mut self,
        inst: usize,
        path: &'n [ast::Name],
    ) -> Option<(usize, &'n str)> {
        let (last, modules) = path.split_last()?;
        let mut at = inst;
        for module in modules {
            match self.lookup(at, &module.text) {
                Some(Def::Module(inner)) => at = inner,
                _ => {
                    self.report(
                        Diagnostic::error(
                            codes::UNKNOWN_NAME,
                            format!("there is no module `{}`", module.text),
                        )
                        .at(module.span, "")
                        .help(format!("import one: `use \"{0}.ein\" as {0}`", module.text)),
                    );
                    return None;
                }
            }
        }
        Some((at, last.text.as_str()))
    }

    fn type_axes(&mut self, ty: &ast::Type) -> Option<Vec<Axis>> {
        let mut used = Vec::new();
        let mut axes: Vec<Axis> = Vec::new();
        let mut ok = true;
        for e in ty.axes.iter().flatten() {
            let Some(axis) = self.axis_of(e, &mut used) else {
                ok = false;
                continue;
            };
            let repeated = axis.dims.iter().enumerate().find(|(i, dim)| {
                axis.dims[..*i].contains(dim) || axes.iter().any(|a| a.dims.contains(dim))
            });
            if let Some((_, dim)) = repeated {
                let name = self.dim_name(*dim).to_owned();
                let earlier =
                    ty.axes.iter().flatten().find(|x| crate::show::expr(x).contains(&name));
                let mut error = Diagnostic::error(
                    codes::REPEATED_DIM,
                    format!("the type names the dim `{name}` twice"),
                )
                .at(e.span, "again here");
                if let Some(first) = earlier.filter(|x| x.span != e.span) {
                    error = error.also(first.span, "first here");
                }
                self.report(error.help(format!(
                    "declare a role for the second one: `dim {name}2: {name}`, then write `{name}2`"
                )));
                ok = false;
            }
            axes.push(axis);
        }
        ok.then_some(axes)
    }

    /// A record type with its generics bound.
    pub fn record_ty(
        &mut self,
        def: usize,
        args: Vec<Axis>,
        stack: Vec<Axis>,
        span: Span,
    ) -> Option<RecordTy> {
        let (inst, record) = self.records[def];
        if record.generics.len() != args.len() {
            let names: Vec<&str> = record.generics.iter().map(|g| g.text.as_str()).collect();
            let name = &record.name.text;
            let wanted = if names.is_empty() {
                name.clone()
            } else {
                format!("{name}({})", names.join(", "))
            };
            self.report(
                Diagnostic::error(
                    codes::WRONG_ARGUMENTS,
                    format!(
                        "the record `{name}` takes {} dims in parentheses, {} given",
                        names.len(),
                        args.len()
                    ),
                )
                .at(span, "")
                .also(record.name.span, "declared here")
                .help(format!("write `{wanted}`")),
            );
            return None;
        }
        if self.record_depth > 64 {
            self.report(
                Diagnostic::error(
                    codes::CYCLE,
                    format!("the record `{}` contains itself", record.name.text),
                )
                .at(record.name.span, "")
                .help("records are stored inline: break the circle"),
            );
            return None;
        }
        self.record_depth += 1;
        let generics = record.generics.iter().map(|g| g.text.clone());
        let bound =
            generics.zip(args.iter().cloned().map(|axis| crate::ctx::DimRef { axis, guard: None }));
        let bound: Vec<_> = bound.collect();
        let fields = self.in_module(inst, |ctx| {
            ctx.frame_mut().generics = bound;
            let mut fields = Vec::new();
            let mut ok = true;
            for field in &record.fields {
                if let Some(condition) = &field.condition
                    && ctx.static_condition(condition) != Some(true)
                {
                    continue;
                }
                if !ctx.expand("field", field.name.span) {
                    return None;
                }
                match ctx.ty(&field.ty) {
                    Some(ty) => fields.push((field.name.text.clone(), ty.stacked(&stack))),
                    None => ok = false,
                }
            }
            ok.then_some(fields)
        });
        self.record_depth -= 1;
        for (i, field) in record.fields.iter().enumerate() {
            if let Some(before) = record.fields[..i]
                .iter()
                .find(|f| f.name.text == field.name.text && f.condition.is_none())
            {
                self.report(
                    Diagnostic::error(
                        codes::DUPLICATE_NAME,
                        format!("the field `{}` is declared twice", field.name.text),
                    )
                    .at(field.name.span, "again here")
                    .also(before.name.span, "first here")
                    .help(format!("rename one of them, e.g. `{}2`", field.name.text)),
                );
            }
        }
        Some(RecordTy { def, args, stack, lacks: Lacks::default(), fields: fields? })
    }

    /// Evaluates a condition that must be known when compiling.
    pub fn static_condition(&mut self, e: &'a ast::Expr) -> Option<bool> {
        let value = self.eval(e);
        match &value {
            crate::values::Val::Poison => None,
            crate::values::Val::Array(array) => match array.literal() {
                Some(Literal::Bool(value)) => Some(value),
                _ => {
                    self.report(
                        Diagnostic::error(
                            codes::NOT_CONSTANT,
                            "the condition is not known when compiling",
                        )
                        .at(e.span, "must follow from `const`s and dims")
                        .help("for a choice by values use `where(condition, a, b)`"),
                    );
                    None
                }
            },
            _ => None,
        }
    }

    /// A type as written.
    pub fn ty_name(&self, ty: &Ty) -> String {
        match ty {
            Ty::Array { axes, dtype } if axes.is_empty() => dtype.name().to_owned(),
            Ty::Array { axes, dtype } => format!("{dtype}[{}]", self.axes_name(axes)),
            Ty::Record(record) => {
                let whole = self.record_name(record.def, &record.args, &record.stack);
                record.lacks.name(whole)
            }
        }
    }

    pub fn record_name(&self, def: usize, args: &[Axis], stack: &[Axis]) -> String {
        let mut name = self.records[def].1.name.text.clone();
        if !args.is_empty() {
            name += &format!(
                "({})",
                args.iter().map(|a| self.axis_name(a)).collect::<Vec<_>>().join(", ")
            );
        }
        if !stack.is_empty() {
            name += &format!("[{}]", self.axes_name(stack));
        }
        name
    }
}

impl Ty {
    /// The same type with more axes in front of every leaf.
    pub fn stacked(self, stack: &[Axis]) -> Ty {
        let prefix = |axes: Vec<Axis>| stack.iter().cloned().chain(axes).collect();
        match self {
            Ty::Array { axes, dtype } => Ty::Array { axes: prefix(axes), dtype },
            Ty::Record(record) => Ty::Record(RecordTy {
                stack: prefix(record.stack),
                fields: record.fields.into_iter().map(|(n, t)| (n, t.stacked(stack))).collect(),
                ..record
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_lossless_float_widening_is_implicit() {
        use DType::*;
        let strong = Elem::Strong;
        assert_eq!(join(strong(Bf16), strong(F32)), Some(strong(F32)));
        assert_eq!(join(strong(F64), strong(F16)), Some(strong(F64)));
        assert_eq!(join(strong(Bf16), strong(F16)), None);
        assert_eq!(join(strong(I32), strong(F32)), None);
        assert_eq!(join(strong(I32), strong(I64)), None);
        assert_eq!(join(strong(I32), Elem::WeakFloat), None);
        assert_eq!(join(Elem::WeakInt, strong(Bf16)), Some(strong(Bf16)));
        assert_eq!(join(Elem::WeakInt, strong(Bool)), None);
    }
}
