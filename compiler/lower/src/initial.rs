//! `p: R = initial(key)`: a record whose leaves start as their fields say.
//!
//! A leaf's numbers are functions of the key, the leaf's path and the position in the leaf, so that they are
//! the same on every mesh. Normal ones are made of two uniform ones (Box and Muller 1958).

use crate::ctx::{Ctx, DimRef};
use crate::dims::Axis;
use crate::index::bare;
use crate::show;
use crate::subscript::wide;
use crate::types::{RecordTy, Ty};
use crate::values::{Array, Elem, RecordVal, Val};
use einmesh_diagnostics::codes::language as codes;
use einmesh_diagnostics::{Diagnostic, Span};
use einmesh_ir::{BinaryOp, DType, Expr, IndexId, UnaryOp};
use einmesh_syntax::ast::{self, ExprKind};

/// How a leaf starts.
#[derive(Clone, Debug)]
pub(crate) enum Initialiser {
    Zeros,
    Ones,
    /// Normal numbers of this standard deviation.
    Normal(Expr),
    /// Numbers between minus this and this.
    Uniform(Expr),
}

impl<'a> Ctx<'a> {
    /// The arguments of a call of `initial`.
    pub fn initial_call(&self, e: &'a ast::Expr) -> Option<&'a [ast::Arg]> {
        let ExprKind::Call(callee, args) = &e.kind else {
            return None;
        };
        let own = self.lookup(self.frame().inst, "initial").is_some();
        (bare(callee) == Some("initial") && !own).then_some(args)
    }

    /// A record of a type with the starting values of its fields.
    pub fn initial(&mut self, record: &RecordTy, args: &'a [ast::Arg], span: Span) -> Val {
        let [arg] = args else {
            self.report(
                Diagnostic::error(
                    codes::WRONG_ARGUMENTS,
                    format!("`initial` takes one key, {} arguments given", args.len()),
                )
                .at(span, "")
                .help("write `initial(key)` with a key of type `rng`"),
            );
            return Val::Poison;
        };
        let Some(key) = self.key(&arg.value) else {
            return Val::Poison;
        };
        if !self.draw(&key, &[], arg.value.span) {
            return Val::Poison;
        }
        let mut missing = Vec::new();
        let value = self.initial_record(record, &key, "", None, &mut missing);
        if let Some((path, declared)) = missing.first() {
            let more = match missing.len() {
                1 => String::new(),
                n => format!(", nor do {} other leaves", n - 1),
            };
            self.report(
                Diagnostic::error(
                    codes::INITIAL,
                    format!("`{path}` does not say how it starts{more}"),
                )
                .at(span, "")
                .also(*declared, "declared here")
                .help(
                    "add an initialiser: `= zeros`, `= ones`, `= normal(0.02)` or `= uniform(0.1)`",
                ),
            );
            return Val::Poison;
        }
        value
    }

    fn initial_record(
        &mut self,
        record: &RecordTy,
        key: &Expr,
        path: &str,
        around: Option<&Initialiser>,
        missing: &mut Vec<(String, Span)>,
    ) -> Val {
        let decl = self.records[record.def].1;
        let mut fields = Vec::new();
        for (name, ty) in &record.fields {
            let Some(field) = decl.fields.iter().find(|f| f.name.text == *name) else {
                continue;
            };
            let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
            let own = match &field.init {
                Some(init) => match self.initialiser(record.def, &record.args, init) {
                    Some(own) => Some(own),
                    None => return Val::Poison,
                },
                None => around.cloned(),
            };
            let value = match (ty, own) {
                (Ty::Record(inner), own) => {
                    self.initial_record(inner, key, &path, own.as_ref(), missing)
                }
                (Ty::Array { axes, dtype }, Some(how)) => {
                    Val::Array(self.initial_leaf(axes, *dtype, &how, key, &path))
                }
                (Ty::Array { .. }, None) => {
                    missing.push((path, field.name.span));
                    Val::Poison
                }
            };
            fields.push((name.clone(), value));
        }
        let RecordTy { def, args, stack, lacks, .. } = record.clone();
        Val::Record(RecordVal { def, args, stack, lacks, fields })
    }

    fn initial_leaf(
        &mut self,
        axes: &[Axis],
        dtype: DType,
        how: &Initialiser,
        key: &Expr,
        path: &str,
    ) -> Array {
        let params = self.fresh_params(axes);
        let number = |n: f64| Expr::float(DType::F32, n);
        let body = match how {
            Initialiser::Zeros => number(0.0),
            Initialiser::Ones => number(1.0),
            Initialiser::Normal(deviation) => {
                let (u, v) = (self.drawn(key, path, 0, &params), self.drawn(key, path, 1, &params));
                // 1 − u is never 0.
                let log = Expr::unary(UnaryOp::Log, Expr::binary(BinaryOp::Sub, number(1.0), u));
                let radius = Expr::binary(BinaryOp::Mul, number(-2.0), log);
                let radius = Expr::unary(UnaryOp::Sqrt, radius);
                let angle =
                    Expr::binary(BinaryOp::Mul, number(std::f64::consts::TAU as f32 as f64), v);
                let normal = Expr::binary(BinaryOp::Mul, radius, Expr::unary(UnaryOp::Cos, angle));
                Expr::binary(BinaryOp::Mul, deviation.clone(), normal)
            }
            Initialiser::Uniform(bound) => {
                let u = self.drawn(key, path, 0, &params);
                let twice = Expr::binary(BinaryOp::Mul, number(2.0), u);
                let spread = Expr::binary(BinaryOp::Sub, twice, number(1.0));
                Expr::binary(BinaryOp::Mul, bound.clone(), spread)
            }
        };
        let body = self.converted(body, Elem::Strong(DType::F32), dtype);
        Array { axes: axes.to_vec(), elem: Elem::Strong(dtype), params, body }
    }

    /// A number in [0, 1) for each position of a leaf.
    fn drawn(&mut self, key: &Expr, path: &str, which: i64, params: &[IndexId]) -> Expr {
        let number = |n: i64| Expr::Literal(einmesh_ir::Literal::Int(DType::I64, n));
        let leaf = Expr::binary(BinaryOp::Fold, key.clone(), number(name_hash(path)));
        let own = Expr::binary(BinaryOp::Fold, leaf, wide(Expr::int(which)));
        Expr::binary(BinaryOp::Uniform, own, self.flat_position(params))
    }

    /// What stands after a field's type; its numbers may use the record's generic dims and constants.
    pub fn initialiser(
        &mut self,
        def: usize,
        args: &[Axis],
        init: &'a ast::Expr,
    ) -> Option<Initialiser> {
        if let ExprKind::Name(name) = &init.kind {
            match name.as_str() {
                "zeros" => return Some(Initialiser::Zeros),
                "ones" => return Some(Initialiser::Ones),
                _ => {}
            }
        }
        let call = match &init.kind {
            ExprKind::Call(callee, args) => bare(callee).zip(Some(&args[..])),
            _ => None,
        };
        let (name, arg) = match call {
            Some((name @ ("normal" | "uniform"), [arg])) if arg.name.is_none() => (name, arg),
            _ => {
                self.report(
                    Diagnostic::error(
                        codes::WRONG_ARGUMENTS,
                        format!("`{}` is not an initialiser", show::expr(init)),
                    )
                    .at(init.span, "")
                    .help(
                        "the initialisers are `zeros`, `ones`, `normal(0.02)` and `uniform(0.1)`",
                    ),
                );
                return None;
            }
        };
        let (inst, record) = self.records[def];
        let names = record.generics.iter().map(|g| g.text.clone());
        let bound: Vec<(String, DimRef)> =
            names.zip(args.iter().cloned().map(|axis| DimRef { axis, guard: None })).collect();
        let number = self.in_module(inst, |ctx| {
            ctx.frame_mut().generics = bound;
            ctx.eval(&arg.value)
        });
        let scale = match number {
            Val::Poison => return None,
            Val::Array(a)
                if a.axes.is_empty() && a.body.loads().is_empty() && a.elem.is_floatish() =>
            {
                self.converted(a.body, a.elem, DType::F32)
            }
            other => {
                let what = self.describe(&other);
                self.report(
                    Diagnostic::error(
                        codes::NOT_CONSTANT,
                        format!("expected a constant number, found {what}"),
                    )
                    .at(arg.value.span, "")
                    .help("write a number, or an expression of constants and dims: `normal(0.02 * L^-0.5)`"),
                );
                return None;
            }
        };
        Some(match name {
            "normal" => Initialiser::Normal(scale),
            _ => Initialiser::Uniform(scale),
        })
    }
}

/// FNV-1a of a leaf's path: draws of different leaves have different keys.
fn name_hash(path: &str) -> i64 {
    let step = |h: u64, b: u8| (h ^ u64::from(b)).wrapping_mul(0x0000_0100_0000_01B3);
    path.bytes().fold(0xCBF2_9CE4_8422_2325, step) as i64
}
