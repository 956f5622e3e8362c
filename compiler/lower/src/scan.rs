//! `scan[t](f, a[t], b[t])`: the prefixes of values along an index, combined by a function.
//!
//! It is a loop along the index that carries what is combined so far and collects it. So the order is
//! fixed, and with it every bit, on any mesh: the scanned dim is whole on each device, the indices that the
//! values have beside it are free.

use crate::call::{Application, Matched};
use crate::ctx::{Ctx, LoopScope};
use crate::emit::Emission;
use crate::reduce::indices;
use crate::scalar::short;
use crate::values::{Array, Elem, Val, substitute};
use einmesh_diagnostics::codes::language as codes;
use einmesh_diagnostics::{Diagnostic, Span};
use einmesh_ir::{
    BinaryOp, Block, Carried, Collected, DType, DimId, Expr, IndexId, Literal, Loop, LoopVar, Op,
    Reducer, ValueId,
};
use einmesh_syntax::ast::{self, ExprKind, Subscript, Subscripts};
use std::collections::BTreeMap;

/// One of the values that are scanned.
struct Scanned {
    /// The element at the brackets' index.
    body: Expr,
    dtype: DType,
    span: Span,
    /// What is combined before and after an element.
    entry: ValueId,
    init: ValueId,
}

impl<'a> Ctx<'a> {
    /// One result for each value, of its dtype: at each position the combination of all values up to it.
    pub fn scan(&mut self, subs: Option<&'a Subscripts>, args: &'a [ast::Arg], span: Span) -> Val {
        let Some((step, index, values)) = self.scan_form(subs, args, span) else {
            return Val::Poison;
        };
        let (name, subs) = index;
        let Some(outer_binding) = self.binding(name) else {
            self.unbound_result(name, subs.span);
            return Val::Poison;
        };
        let uses: Vec<&'a ast::Expr> = values.iter().map(|a| &a.value).collect();
        let Some(bound) = self.bind_brackets(subs, &uses) else {
            return Val::Poison;
        };
        let [id] = indices(&bound)[..] else { return Val::Poison };
        if self.index_vars[id].guard.is_some() || subs.guard.is_some() {
            self.report(
                Diagnostic::error(codes::GUARD, "a `scan` is over a whole dim")
                    .at(span, "here a guard restricts its index")
                    .help("choose a value that changes nothing: `where(condition, x[t], 0)`"),
            );
            return Val::Poison;
        }
        let depth = self.frame().indices.len();
        self.frame_mut().indices.extend(bound.into_iter().map(|(n, _, b)| (n, b)));
        let elements: Vec<Option<(Expr, DType, Span)>> =
            values.iter().map(|arg| self.scanned(&arg.value)).collect();
        self.frame_mut().indices.truncate(depth);
        let Some(elements) = elements.into_iter().collect::<Option<Vec<_>>>() else {
            return Val::Poison;
        };
        let bodies: Vec<&Expr> = elements.iter().map(|(body, ..)| body).collect();
        let outer = self.outer(&bodies, &[id]);
        let Some(results) = self.scan_loop(step, elements, id, &outer, span) else {
            return Val::Poison;
        };
        let at = self.position(&outer_binding);
        let load = |(value, dtype): (ValueId, DType)| {
            let subs = std::iter::once(at.clone()).chain(outer.iter().map(|i| Expr::Index(*i)));
            Val::number(Elem::Strong(dtype), Expr::load(value, subs.collect::<Vec<_>>()))
        };
        let mut results: Vec<Val> = results.into_iter().map(load).collect();
        match results.len() {
            1 => results.remove(0),
            _ => {
                let named = results.into_iter().enumerate();
                Val::Tuple(named.map(|(n, val)| (n.to_string(), val)).collect())
            }
        }
    }

    /// The function, the index with its brackets, and the values.
    #[allow(clippy::type_complexity)]
    fn scan_form(
        &mut self,
        subs: Option<&'a Subscripts>,
        args: &'a [ast::Arg],
        span: Span,
    ) -> Option<((usize, Span), (&'a str, &'a Subscripts), &'a [ast::Arg])> {
        let index = subs.and_then(|subs| match &subs.subs[..] {
            [Subscript::Expr(ast::Expr { kind: ExprKind::Name(name), .. })] => {
                Some((name.as_str(), subs))
            }
            _ => None,
        });
        let (Some(index), Some((step, values))) = (index, args.split_first()) else {
            self.report(
                Diagnostic::error(codes::BRACKETS, "`scan` is along one index, with a function")
                    .at(span, "")
                    .help("write `y[t] = scan[t](step, x[t])`"),
            );
            return None;
        };
        let Some(id) = self.callee(&step.value) else {
            self.report(
                Diagnostic::error(
                    codes::WRONG_KIND,
                    format!("`{}` is not a function", short(&step.value)),
                )
                .at(step.value.span, "`scan` combines with a function")
                .help("declare one: `fn step(a1: f32, a2: f32) -> f32 = …`"),
            );
            return None;
        };
        let function = self.fns[id].1;
        let given = values.len();
        let fits = given > 0
            && function.params.len() == 2 * given
            && function.params.iter().all(|p| !p.inout);
        if !fits {
            let name = &function.name.text;
            self.report(
                Diagnostic::error(
                    codes::SCAN,
                    format!("`{name}` does not combine {}", crate::call::plural(given, "value")),
                )
                .at(step.value.span, format!("takes ({})", crate::call::parameters(function)))
                .also(function.name.span, "declared here")
                .help(
                    "for n values the function takes 2n numbers, what is combined before and then what \
                     comes next, and gives n",
                ),
            );
            return None;
        }
        Some(((id, step.value.span), index, values))
    }

    /// An element of a value that is scanned.
    fn scanned(&mut self, e: &'a ast::Expr) -> Option<(Expr, DType, Span)> {
        match self.eval(e) {
            Val::Array(a) if a.axes.is_empty() => {
                let dtype = a.elem.default_dtype();
                Some((self.converted(a.body, a.elem, dtype), dtype, e.span))
            }
            Val::Poison => None,
            other => {
                let what = self.describe(&other);
                self.report(
                    Diagnostic::error(codes::UNSUBSCRIPTED, format!("`scan` of {what}"))
                        .at(e.span, "")
                        .help(format!("subscript it: `{}[…]`", short(e))),
                );
                None
            }
        }
    }

    /// Emits the loop. Each result has the scanned dim first, then those of `outer`.
    fn scan_loop(
        &mut self,
        (step, name_span): (usize, Span),
        elements: Vec<(Expr, DType, Span)>,
        id: IndexId,
        outer: &[IndexId],
        span: Span,
    ) -> Option<Vec<(ValueId, DType)>> {
        let hint = self.hint.clone();
        let mut dims: Vec<DimId> = Vec::new();
        let mut all: Vec<Scanned> = Vec::new();
        for (body, dtype, span) in elements {
            let init = self.emit(elementwise(dtype, outer, zero(dtype)));
            dims.clone_from(&self.program.values[init].dims);
            let entry = self.value(dtype, dims.clone());
            all.push(Scanned { body, dtype, span, entry, init });
        }
        let dim = self.index_vars[id].dim;
        let dim = if dims.contains(&dim) { self.alias_dim(dim, &dims) } else { dim };
        let name = self.index_vars[id].name.clone();
        let var = self.program.loop_vars.push(LoopVar { name: name.clone(), dim });
        let first_value = self.program.values.len();
        self.frame_mut().loops.push(LoopScope { name, var, first_value, collected: vec![] });
        self.entries.push(all.iter().map(|s| s.entry).collect());
        self.blocks.push(Block::default());
        let here = BTreeMap::from([(id, Expr::LoopVar(var))]);
        let next: Vec<Expr> = all.iter().map(|s| substitute(s.body.clone(), &here)).collect();
        let before = all.iter().map(|s| Expr::load(s.entry, outer.iter().map(|i| Expr::Index(*i))));
        let numbers: Vec<Expr> = before.chain(next.iter().cloned()).collect();
        let combined = self.combined(step, &all, numbers, outer, name_span, span);
        self.hint = hint;
        let exits = combined.map(|combined| {
            let first = Expr::binary(BinaryOp::Eq, Expr::LoopVar(var), Expr::int(0));
            let each = all.iter().zip(next).zip(combined);
            let each: Vec<(DType, Expr)> =
                each.map(|((s, x), y)| (s.dtype, Expr::select(first.clone(), x, y))).collect();
            let emit = |(dtype, body)| self.emit(elementwise(dtype, outer, body));
            each.into_iter().map(emit).collect::<Vec<ValueId>>()
        });
        let body = self.blocks.pop().unwrap_or_default();
        self.entries.pop();
        self.frame_mut().loops.pop();
        let stacked: Vec<DimId> = std::iter::once(dim).chain(dims.iter().copied()).collect();
        let (mut carried, mut collected) = (Vec::new(), Vec::new());
        for (s, exit) in all.iter().zip(exits?) {
            let result = self.value(s.dtype, dims.clone());
            carried.push(Carried { init: s.init, entry: s.entry, exit, result });
            let result = self.value(s.dtype, stacked.clone());
            collected.push(Collected { value: exit, result, position: 0 });
        }
        let results = collected.iter().zip(&all).map(|(c, s)| (c.result, s.dtype)).collect();
        let (reversed, condition) = (false, None);
        self.push(Op::Loop(Loop { var, reversed, condition, carried, collected, body }));
        Some(results)
    }

    /// What the function makes of the numbers combined before and those that come next.
    fn combined(
        &mut self,
        step: usize,
        all: &[Scanned],
        numbers: Vec<Expr>,
        outer: &[IndexId],
        name_span: Span,
        span: Span,
    ) -> Option<Vec<Expr>> {
        if !self.may_call(step, name_span) {
            return None;
        }
        let function = self.fns[step].1;
        let matched: Vec<Matched<'a>> =
            function.params.iter().map(|param| Matched { param, given: None }).collect();
        let typed = all.iter().chain(all).zip(numbers);
        let values = typed.map(|(s, x)| Some((Val::number(Elem::Strong(s.dtype), x), s.span)));
        let how = Application {
            generics: vec![],
            bound: vec![],
            lifts: outer.to_vec(),
            indexed: false,
            name_span,
            span,
        };
        let (result, _) = self.inlined(step, &matched, values.collect(), &how)?;
        let parts: Vec<Val> = match result? {
            Val::Tuple(parts) => parts.into_iter().map(|(_, val)| val).collect(),
            one => vec![one],
        };
        let numbers: Option<Vec<Array>> = parts
            .into_iter()
            .map(|part| match part {
                Val::Array(a) if a.axes.is_empty() => Some(a),
                _ => None,
            })
            .collect();
        let Some(numbers) = numbers.filter(|n| n.len() == all.len()) else {
            let count = crate::call::plural(all.len(), "number");
            self.report(
                Diagnostic::error(
                    codes::SCAN,
                    format!("`{}` does not give {count}", function.name.text),
                )
                .at(span, "scans as many values")
                .also(function.name.span, "declared here")
                .help("its results are the values combined: as many, and of the same types"),
            );
            return None;
        };
        let what = format!("the result of `{}`", function.name.text);
        let mut bodies = Vec::new();
        for (number, s) in numbers.into_iter().zip(all) {
            let because = Some((s.span, "this is scanned".to_owned()));
            bodies.push(self.implicit(number, s.dtype, span, &what, because)?.body);
        }
        Some(bodies)
    }
}

fn elementwise(dtype: DType, free: &[IndexId], body: Expr) -> Emission {
    let free = free.to_vec();
    Emission { dtype, free, reduced: vec![], reducer: Reducer::None, guard: None, body }
}

fn zero(dtype: DType) -> Expr {
    Expr::Literal(match dtype {
        DType::Bool => Literal::Bool(false),
        d if d.is_float() => Literal::Float(d, 0.0),
        d => Literal::Int(d, 0),
    })
}
