//! A launch as a program of the IR: memory that is read becomes inputs, stages become comprehensions.

use einmesh_interp::{Precision, Tensor, evaluate};
use einmesh_ir::{
    Arena, Argsort, BinaryOp, Builder, Comprehension, DType, DimId, Expr, Id, Index, IndexId,
    Literal, Op, Program, Reducer, Store, UnaryOp, ValueId,
};
use einmesh_schedule::kernel::{
    Body, Contraction, Kernel, Nest, Online, Role, Stage, Sweep, Target,
};
use std::collections::BTreeMap;

/// Runs a kernel on the contents of its operands; gives the operands' contents afterwards.
pub fn launch(kernel: &Kernel, operands: &[Tensor], ints: &[i64]) -> Vec<Tensor> {
    let mut lift = Lift::new(kernel, ints);
    match &kernel.body {
        Body::Nest(nest) => lift.nest(nest),
        Body::Contraction(contraction) => lift.contraction(contraction),
        Body::Siblings(siblings) => siblings.iter().for_each(|c| lift.contraction(c)),
        Body::Online(online) => lift.online(online),
        Body::Sweep(sweep) => lift.sweep(sweep),
        Body::Argsort { input, output, position } => {
            let input = lift.held[input.index()];
            // A permutation has its input's dims.
            let dims = lift.builder.program.values[input].dims.clone();
            let out = lift.builder.value("sorted", DType::I32, &dims);
            lift.builder.program.body.ops.push(Op::Argsort(Argsort {
                out,
                input,
                position: *position,
            }));
            lift.held[output.index()] = out;
        }
    }
    let held = lift.held[..operands.len()].to_vec();
    for value in &held {
        lift.builder.output(*value);
    }
    // Outputs need distinct paths.
    let mut program: Program = lift.builder.finish();
    for (n, output) in program.outputs.iter_mut().enumerate() {
        output.path = format!("operand{n}");
    }
    match evaluate(&program, operands, Precision::Program) {
        Ok(results) => results,
        Err(error) => panic!("{error:?}\n{kernel:#?}\n{program:#?}"),
    }
}

struct Lift<'a> {
    kernel: &'a Kernel,
    ints: &'a [i64],
    builder: Builder,
    /// The dim of each kernel index.
    dims: Vec<DimId>,
    /// The value that holds each memory now.
    held: Vec<ValueId>,
    /// The outer indices of the nest at hand: they lead the subscripts of locals.
    outer: Vec<IndexId>,
    /// Those of locals that have others.
    outer_of: BTreeMap<ValueId, Vec<IndexId>>,
}

impl<'a> Lift<'a> {
    fn new(kernel: &'a Kernel, ints: &'a [i64]) -> Self {
        let mut builder = Builder::new("launch");
        let dims = kernel.indices.iter().map(|i| builder.dim(&i.name, i.extent)).collect();
        let mut held = Vec::new();
        for (n, memory) in kernel.values.iter().enumerate() {
            let name = format!("m{n}");
            let axes: Vec<DimId> = memory
                .extents
                .iter()
                .enumerate()
                .map(|(a, e)| builder.dim(&format!("M{n}_{a}"), *e))
                .collect();
            held.push(match memory.role {
                Role::Local => builder.value(&name, memory.dtype, &axes),
                _ => builder.input(&name, memory.dtype, &axes),
            });
        }
        Lift { kernel, ints, builder, dims, held, outer: Vec::new(), outer_of: BTreeMap::new() }
    }

    /// A new value of a memory's type.
    fn fresh(&mut self, name: &str, memory: ValueId) -> ValueId {
        let of = self.builder.program.values[self.held[memory.index()]].clone();
        self.builder.value(name, of.dtype, &of.dims)
    }

    fn nest(&mut self, nest: &Nest) {
        self.outer.clone_from(&nest.outer);
        for stage in &nest.stages {
            self.stage(stage);
        }
    }

    fn stage(&mut self, stage: &Stage) {
        let role = self.kernel.values[stage.target.value.index()].role;
        let free: Vec<IndexId> = self.outer.iter().chain(&stage.free).copied().collect();
        if stage.target.store {
            let out = self.fresh("stored", stage.target.value);
            let subs = stage.target.subs.clone();
            let base = self.held[stage.target.value.index()];
            let store = Some((base, subs, stage.target.combine));
            self.compute(
                out,
                &free,
                &stage.reduced,
                stage.reducer,
                &stage.guard,
                &stage.body,
                store,
            );
            self.held[stage.target.value.index()] = out;
            return;
        }
        let dtype = self.kernel.values[stage.target.value.index()].dtype;
        let dims: Vec<DimId> = free.iter().map(|i| self.dims[i.index()]).collect();
        let value = self.builder.value("stage", dtype, &dims);
        self.compute(value, &free, &stage.reduced, stage.reducer, &stage.guard, &stage.body, None);
        if role == Role::Local {
            self.held[stage.target.value.index()] = value;
        } else {
            self.write(value, &free, &stage.target);
        }
    }

    /// Writes a value's elements to their places in a target.
    fn write(&mut self, value: ValueId, free: &[IndexId], target: &Target) {
        let out = self.fresh("written", target.value);
        let subs = free.iter().map(|i| Expr::Index(*i)).collect::<Vec<_>>();
        let body = Expr::load(value, subs);
        let base = self.held[target.value.index()];
        let store = Some((base, target.subs.clone(), Reducer::None));
        self.compute_raw(out, free, &[], Reducer::None, None, body, store);
        self.held[target.value.index()] = out;
    }

    fn contraction(&mut self, c: &Contraction) {
        let groups = c.batch.iter().chain(&c.m).chain(&c.n);
        let free: Vec<IndexId> = groups.copied().collect();
        let dims: Vec<DimId> = free.iter().map(|i| self.dims[i.index()]).collect();
        let acc = self.builder.value("acc", c.accumulator, &dims);
        let product = Expr::binary(BinaryOp::Mul, c.lhs.clone(), c.rhs.clone());
        self.compute(acc, &free, &c.k, Reducer::Sum, &None, &product, None);
        self.held[c.acc.index()] = acc;
        self.outer.clone_from(&free);
        let dtype = self.kernel.values[c.target.value.index()].dtype;
        let value = self.builder.value("epilogue", dtype, &dims);
        self.compute(value, &free, &[], Reducer::None, &None, &c.epilogue, None);
        self.write(value, &free, &c.target);
    }

    /// A local with the points of `free`.
    fn local(&mut self, id: ValueId, free: &[IndexId]) -> ValueId {
        let dims: Vec<DimId> = free.iter().map(|i| self.dims[i.index()]).collect();
        let dtype = self.kernel.values[id.index()].dtype;
        let value = self.builder.value("local", dtype, &dims);
        self.held[id.index()] = value;
        self.outer_of.insert(id, free.to_vec());
        value
    }

    fn online(&mut self, o: &Online) {
        let rows: Vec<IndexId> = o.batch.iter().chain(&o.m).copied().collect();
        let points: Vec<IndexId> = rows.iter().copied().chain([o.n]).collect();
        let wide = |e: &Expr| Expr::cast(o.accumulator, e.clone());
        let times = |a: Expr, b: Expr| Expr::binary(BinaryOp::Mul, a, b);
        let acc = self.local(o.acc, &points);
        let product = times(wide(&o.lhs), wide(&o.rhs));
        self.compute(acc, &points, &o.k, Reducer::Sum, &None, &product, None);
        // Scores take the product's place.
        let dims: Vec<DimId> = points.iter().map(|i| self.dims[i.index()]).collect();
        let scores = self.builder.value("score", o.accumulator, &dims);
        self.compute(scores, &points, &[], Reducer::None, &None, &o.score, None);
        self.held[o.acc.index()] = scores;
        let score = Expr::load(o.acc, []);
        let weight = Expr::binary(BinaryOp::Sub, score.clone(), Expr::load(o.top, []));
        let weight = Expr::unary(UnaryOp::Exp, weight);
        let reductions = [
            (o.top, Reducer::Max, &score),
            (o.total, Reducer::Sum, &weight),
            (o.lse, Reducer::LogSumExp, &score),
        ];
        for (local, reducer, body) in reductions {
            let out = self.local(local, &rows);
            self.compute(out, &rows, &[o.n], reducer, &o.guard, body, None);
        }
        let mut all = rows.clone();
        if let Some(context) = &o.context {
            all.extend(&context.v);
            let out = self.local(context.acc, &all);
            let body = times(weight, wide(&context.value));
            self.compute(out, &all, &[o.n], Reducer::Sum, &o.guard, &body, None);
        }
        for result in &o.results {
            let free = if result.wide { &all } else { &rows };
            let dims: Vec<DimId> = free.iter().map(|i| self.dims[i.index()]).collect();
            let dtype = self.kernel.values[result.target.value.index()].dtype;
            let value = self.builder.value("result", dtype, &dims);
            self.compute(value, free, &[], Reducer::None, &None, &result.value, None);
            self.write(value, free, &result.target);
        }
    }

    fn sweep(&mut self, s: &Sweep) {
        let rows: Vec<IndexId> = s.batch.iter().chain(&s.m).copied().collect();
        let points: Vec<IndexId> = rows.iter().copied().chain([s.n]).collect();
        let wide = |e: &Expr| Expr::cast(s.accumulator, e.clone());
        let times = |a: Expr, b: Expr| Expr::binary(BinaryOp::Mul, a, b);
        for product in &s.products {
            let acc = self.local(product.acc, &points);
            let body = times(wide(&product.lhs), wide(&product.rhs));
            self.compute(acc, &points, &product.k, Reducer::Sum, &None, &body, None);
        }
        for point in &s.points {
            let value = self.local(point.local, &points);
            self.compute(value, &points, &[], Reducer::None, &s.guard, &point.value, None);
        }
        for sum in &s.sums {
            let (own, summed) = match sum.of_columns {
                true => (vec![s.n], s.m.clone()),
                false => (s.m.clone(), vec![s.n]),
            };
            let groups = s.batch.iter().chain(&own).chain(&sum.v);
            let free: Vec<IndexId> = groups.copied().collect();
            let acc = self.local(sum.acc, &free);
            let body = times(Expr::load(sum.weight, []), wide(&sum.value));
            self.compute(acc, &free, &summed, Reducer::Sum, &s.guard, &body, None);
            let dims: Vec<DimId> = free.iter().map(|i| self.dims[i.index()]).collect();
            let dtype = self.kernel.values[sum.target.value.index()].dtype;
            let value = self.builder.value("result", dtype, &dims);
            self.compute(value, &free, &[], Reducer::None, &None, &sum.result, None);
            self.write(value, &free, &sum.target);
        }
    }

    #[allow(clippy::too_many_arguments)]
    fn compute(
        &mut self,
        out: ValueId,
        free: &[IndexId],
        reduced: &[IndexId],
        reducer: Reducer,
        guard: &Option<Expr>,
        body: &Expr,
        store: Option<(ValueId, Vec<Expr>, Reducer)>,
    ) {
        let guard = guard.as_ref().map(|g| self.resolve(g));
        let body = self.resolve(body);
        self.compute_raw(out, free, reduced, reducer, guard, body, store);
    }

    #[allow(clippy::too_many_arguments)]
    fn compute_raw(
        &mut self,
        out: ValueId,
        free: &[IndexId],
        reduced: &[IndexId],
        reducer: Reducer,
        guard: Option<Expr>,
        body: Expr,
        store: Option<(ValueId, Vec<Expr>, Reducer)>,
    ) {
        let order: Vec<IndexId> = free.iter().chain(reduced).copied().collect();
        let renumber = |e: Expr| {
            e.map(&mut |node| match node {
                Expr::Index(i) => {
                    let position = order.iter().position(|o| *o == i);
                    Expr::Index(IndexId::from_index(position.expect("an index of the stage")))
                }
                other => other,
            })
        };
        let indices: Arena<IndexId, Index> = order
            .iter()
            .map(|i| Index {
                name: self.kernel.indices[i.index()].name.clone(),
                dim: self.dims[i.index()],
            })
            .collect();
        let store = store.map(|(base, subs, combine)| {
            let subs = subs.iter().map(|s| renumber(self.resolve(s))).collect();
            Store { base, subs, combine }
        });
        self.builder.program.body.ops.push(Op::Compute(Comprehension {
            out,
            indices,
            free: free.len(),
            reducer,
            guard: guard.map(renumber),
            body: renumber(body),
            store,
        }));
    }

    /// Launch numbers as constants, memory as the values that hold it, locals at their outer point.
    fn resolve(&self, e: &Expr) -> Expr {
        e.clone().map(&mut |node| match node {
            Expr::LoopVar(slot) => Expr::Literal(Literal::Int(DType::I32, self.ints[slot.index()])),
            Expr::Load(mut load) if self.is_memory(load.value) => {
                if self.kernel.values[load.value.index()].role == Role::Local {
                    let outer = self.outer_of.get(&load.value).unwrap_or(&self.outer);
                    let outer = outer.iter().map(|i| Expr::Index(*i));
                    load.subs = outer.chain(load.subs).collect();
                }
                load.value = self.held[load.value.index()];
                Expr::Load(load)
            }
            other => other,
        })
    }

    fn is_memory(&self, value: ValueId) -> bool {
        value.index() < self.kernel.values.len()
    }
}
