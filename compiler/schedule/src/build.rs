//! From fused comprehensions to [`Kernel`]s: local numbering of values, indices and launch numbers.

use crate::fuse::Multiply;
use crate::inline::zero;
use crate::kernel::{
    self, Body, Context, Contraction, Kernel, Memory, Nest, Range, Role, RowResult, Stage, Target,
};
use crate::online::{ACC, CONTEXT, LSE, Online, TOP, TOTAL};
use crate::sweep::{self, Sweep};
use crate::usage::Usage;
use einmesh_ir::{
    Argsort, BinaryOp, Comprehension, DType, DimId, Expr, Id, IndexId, LoopVarId, MeshAxisId,
    Program, Reducer, ValueId,
};

/// A kernel with what it is launched on.
#[derive(Debug)]
pub struct Launch {
    /// The kernel.
    pub kernel: Kernel,
    /// The program's values for the kernel's operands.
    pub operands: Vec<ValueId>,
    /// The numbers passed.
    pub ints: Vec<Number>,
}

/// Stands for the accumulator of a kernel's n-th product until [`Ctx::finish`]: it is no value of the program.
fn accumulator(number: usize) -> ValueId {
    ValueId::from_index(u32::MAX as usize - number)
}

/// A number known only when a kernel is launched.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Number {
    /// The counter of an enclosing loop.
    LoopVar(LoopVarId),
    /// The device's coordinate.
    Coord(MeshAxisId),
}

/// At most so many of a kernel's values give it its name.
const NAMED: usize = 6;

/// A kernel's name: those of the values it computes, or of the first ones and how many more there are.
fn joined(names: &[&str]) -> String {
    match names.len() {
        0..=NAMED => names.join("+"),
        n => format!("{}+{} more", names[..NAMED - 1].join("+"), n - NAMED + 1),
    }
}

/// Matrix products with their epilogues as a kernel. Batch, rows, depth and the left factor are those of the first.
pub fn products(program: &Program, products: &[Multiply]) -> Launch {
    let mut ctx = Ctx::new(program);
    for multiply in products {
        ctx.operand(multiply.writer().out, Role::Write);
    }
    let mut contractions: Vec<Contraction> = Vec::new();
    for (number, multiply) in products.iter().enumerate() {
        let contraction = ctx.contraction(multiply, accumulator(number), contractions.first());
        contractions.push(contraction);
    }
    let names: Vec<&str> =
        products.iter().map(|p| program.values[p.writer().out].name.as_str()).collect();
    let body = match contractions.len() {
        1 => Body::Contraction(contractions.remove(0)),
        _ => Body::Siblings(contractions),
    };
    ctx.finish(joined(&names), body)
}

/// Reductions over the rows of a matrix product as a kernel.
pub fn online(program: &Program, found: &Online) -> Launch {
    let mut ctx = Ctx::new(program);
    for result in &found.results {
        ctx.operand(result.target.value, Role::Write);
    }
    let mut own: Vec<IndexId> =
        found.sum.indices.ids().map(|i| ctx.index(program, &found.sum, i)).collect();
    let columns: Vec<IndexId> = found
        .columns
        .iter()
        .map(|index| {
            let id = ctx.range(program, index.dim);
            ctx.indices[id.index()].name.clone_from(&index.name);
            id
        })
        .collect();
    own.extend(&columns);
    let product = &found.product;
    let accumulator = product.dtype.accumulator();
    for local in [ACC, TOP, TOTAL, LSE] {
        ctx.local(local, Memory { dtype: accumulator, extents: vec![], role: Role::Local });
    }
    if found.value.is_some() {
        ctx.local(CONTEXT, Memory { dtype: accumulator, extents: vec![], role: Role::Local });
    }
    let context = found.value.as_ref().map(|value| Context {
        v: columns,
        value: ctx.localise(value, &own),
        acc: CONTEXT,
    });
    let results: Vec<RowResult> = found
        .results
        .iter()
        .map(|result| {
            let value = ctx.localise(&result.value, &own);
            let subs = result.target.subs.iter().map(|s| ctx.localise(s, &own)).collect();
            RowResult { wide: result.wide, value, target: Target { subs, ..result.target.clone() } }
        })
        .collect();
    let names: Vec<&str> =
        results.iter().map(|r| program.values[r.target.value].name.as_str()).collect();
    let name = joined(&names);
    let group = |ids: &[IndexId]| ids.iter().map(|i| own[i.index()]).collect();
    let body = Body::Online(kernel::Online {
        batch: group(&product.batch),
        m: group(&product.m),
        n: own[product.n[0].index()],
        k: group(&product.k),
        lhs: ctx.localise(&product.lhs, &own),
        rhs: ctx.localise(&product.rhs, &own),
        accumulator,
        acc: ACC,
        score: ctx.localise(&found.score, &own),
        guard: found.guard.as_ref().map(|g| ctx.localise(g, &own)),
        top: TOP,
        total: TOTAL,
        lse: LSE,
        context,
        results,
    });
    ctx.finish(name, body)
}

/// Sums over the points of matrix products as a kernel.
pub fn sweep(program: &Program, found: &Sweep) -> Launch {
    let mut ctx = Ctx::new(program);
    for sum in &found.sums {
        ctx.operand(sum.target.value, Role::Write);
    }
    let own: Vec<IndexId> = found
        .indices
        .iter()
        .map(|index| {
            let id = ctx.range(program, index.dim);
            ctx.indices[id.index()].name.clone_from(&index.name);
            id
        })
        .collect();
    let accumulator = found.accumulator;
    let products = found.products.iter().map(|p| p.acc);
    for local in products.chain(found.points.iter().map(|p| p.local)).chain([sweep::SUM]) {
        ctx.local(local, Memory { dtype: accumulator, extents: vec![], role: Role::Local });
    }
    let group = |ids: &[IndexId]| -> Vec<IndexId> { ids.iter().map(|i| own[i.index()]).collect() };
    let products = found.products.iter().map(|p| kernel::Factors {
        k: group(&p.k),
        lhs: ctx.localise(&p.lhs, &own),
        rhs: ctx.localise(&p.rhs, &own),
        acc: p.acc,
    });
    let products = products.collect();
    let points = found
        .points
        .iter()
        .map(|p| kernel::Point { local: p.local, value: ctx.localise(&p.value, &own) });
    let points = points.collect();
    let sums = found.sums.iter().map(|s| kernel::PointSum {
        v: group(&s.v),
        value: ctx.localise(&s.value, &own),
        result: ctx.localise(&s.result, &own),
        target: Target {
            subs: s.target.subs.iter().map(|e| ctx.localise(e, &own)).collect(),
            ..s.target.clone()
        },
        ..s.clone()
    });
    let sums: Vec<kernel::PointSum> = sums.collect();
    let names: Vec<&str> =
        sums.iter().map(|s| program.values[s.target.value].name.as_str()).collect();
    let name = joined(&names);
    let body = Body::Sweep(kernel::Sweep {
        batch: group(&found.batch),
        m: group(&found.m),
        n: own[found.n.index()],
        accumulator,
        products,
        guard: found.guard.as_ref().map(|g| ctx.localise(g, &own)),
        points,
        sums,
    });
    ctx.finish(name, body)
}

/// The kernel index of each of the epilogue's indices: they walk the sum's points in other names.
fn rename_to(epilogue: &Comprehension, sum: &Comprehension, own: &[IndexId]) -> Vec<IndexId> {
    let load = epilogue.exprs().flat_map(Expr::loads).find(|l| l.value == sum.out);
    let load = load.expect("an epilogue reads the sum");
    let of = |i: IndexId| {
        let position = load.subs.iter().position(|s| *s == Expr::Index(i));
        own[position.expect("an epilogue has the sum's points")]
    };
    epilogue.indices.ids().map(of).collect()
}

/// Comprehensions that share outer dims as a kernel.
pub fn nest(
    program: &Program,
    usage: &Usage,
    outer: Option<&[DimId]>,
    members: &[Comprehension],
) -> Launch {
    let mut ctx = Ctx::new(program);
    let outer: Vec<DimId> = match (outer, members) {
        (Some(dims), [_, _, ..]) => dims.to_vec(),
        _ => single_outer(program, &members[0]),
    };
    let shared: Vec<IndexId> = outer
        .iter()
        .map(|d| {
            let member = &members[0];
            let index = member.free_indices().find(|i| member.indices[*i].dim == *d);
            ctx.index(program, member, index.expect("members have the outer dims"))
        })
        .collect();
    for member in members {
        let uses = usage.get(member.out);
        let inside = members.iter().filter(|m| m.reads().contains(&member.out)).count();
        let dims = &program.values[member.out].dims;
        let own: Vec<DimId> = dims.iter().copied().filter(|d| !outer.contains(d)).collect();
        // The size of scratch memory is known.
        let known = !own.iter().any(|d| program.dims[*d].symbolic);
        if members.len() > 1 && uses.other == 0 && uses.comprehensions == inside && known {
            let extents = own.iter().map(|d| program.dims[*d].extent).collect();
            let dtype = program.values[member.out].dtype;
            ctx.local(member.out, Memory { dtype, extents, role: Role::Local });
        } else {
            let updates = member.store.is_some();
            ctx.operand(member.out, if updates { Role::Update } else { Role::Write });
        }
    }
    let mut serial = false;
    let mut stages = Vec::new();
    for member in members {
        let ids: Vec<IndexId> = member
            .indices
            .ids()
            .map(|i| {
                let at = outer.iter().position(|d| *d == member.indices[i].dim);
                match at {
                    Some(position) if !member.is_reduced(i) => shared[position],
                    _ => ctx.index(program, member, i),
                }
            })
            .collect();
        serial |= member.store.as_ref().is_some_and(|s| s.combine != Reducer::None);
        stages.push(ctx.stage(program, member, &ids, &outer, &shared));
    }
    let names: Vec<&str> = members.iter().map(|m| program.values[m.out].name.as_str()).collect();
    ctx.finish(joined(&names), Body::Nest(Nest { outer: shared, serial, stages }))
}

/// The dims of a lone comprehension that are walked outside: all free ones, but for the one that
/// runs along memory, if it is free.
fn single_outer(program: &Program, c: &Comprehension) -> Vec<DimId> {
    let mut outer: Vec<DimId> = c.free_indices().map(|i| c.indices[i].dim).collect();
    let along_reduced = c.exprs().flat_map(Expr::loads).any(|load| {
        let last = load.subs.last();
        last.is_some_and(
            |s| matches!(s, Expr::Index(i) if c.is_reduced(*i) && !is_one(program, c, *i)),
        )
    });
    if c.reducer == Reducer::None || !along_reduced {
        outer.pop();
    }
    outer
}

fn is_one(program: &Program, c: &Comprehension, index: IndexId) -> bool {
    program.dims[c.indices[index].dim].extent == 1
}

/// A sort as a kernel.
pub fn argsort(program: &Program, op: &Argsort) -> Launch {
    let mut ctx = Ctx::new(program);
    ctx.operand(op.input, Role::Read);
    ctx.operand(op.out, Role::Write);
    let body = Body::Argsort { input: op.input, output: op.out, position: op.position };
    ctx.finish(program.values[op.out].name.clone(), body)
}

/// A kernel that writes one iteration's value into the stack of a loop's values.
pub fn collect(
    program: &Program,
    value: ValueId,
    result: ValueId,
    position: usize,
    var: LoopVarId,
) -> Launch {
    let mut ctx = Ctx::new(program);
    ctx.operand(result, Role::Update);
    ctx.operand(value, Role::Read);
    let dims = &program.values[value].dims;
    let ids: Vec<IndexId> = dims.iter().map(|d| ctx.range(program, *d)).collect();
    let mut subs: Vec<Expr> = ids.iter().map(|i| Expr::Index(*i)).collect();
    let body = Expr::load(value, subs.clone());
    subs.insert(position, ctx.number(Number::LoopVar(var)));
    let (free, outer) = match ids.split_last() {
        Some((last, rest)) => (vec![*last], rest.to_vec()),
        None => (Vec::new(), Vec::new()),
    };
    let stage = Stage {
        free,
        reduced: Vec::new(),
        reducer: Reducer::None,
        guard: None,
        body,
        target: Target { value: result, subs, combine: Reducer::None, store: false },
    };
    let nest = Nest { outer, serial: false, stages: vec![stage] };
    ctx.finish(program.values[result].name.clone(), Body::Nest(nest))
}

/// The numbering of one kernel. Values keep the program's ids until [`Ctx::finish`].
struct Ctx<'a> {
    program: &'a Program,
    operands: Vec<(ValueId, Role)>,
    locals: Vec<(ValueId, Memory)>,
    indices: Vec<Range>,
    ints: Vec<Number>,
}

impl<'a> Ctx<'a> {
    fn new(program: &'a Program) -> Self {
        Ctx { program, operands: vec![], locals: vec![], indices: vec![], ints: vec![] }
    }

    fn operand(&mut self, value: ValueId, role: Role) {
        if !self.operands.iter().any(|(v, _)| *v == value) {
            self.operands.push((value, role));
        }
    }

    fn local(&mut self, value: ValueId, memory: Memory) {
        self.locals.push((value, memory));
    }

    fn range(&mut self, program: &Program, dim: DimId) -> IndexId {
        let dim = &program.dims[dim];
        self.indices.push(Range { name: dim.name.to_lowercase(), extent: dim.extent });
        IndexId::from_index(self.indices.len() - 1)
    }

    fn index(&mut self, program: &Program, c: &Comprehension, index: IndexId) -> IndexId {
        let id = self.range(program, c.indices[index].dim);
        self.indices[id.index()].name.clone_from(&c.indices[index].name);
        id
    }

    fn number(&mut self, number: Number) -> Expr {
        let slot = match self.ints.iter().position(|n| *n == number) {
            Some(slot) => slot,
            None => {
                self.ints.push(number);
                self.ints.len() - 1
            }
        };
        Expr::LoopVar(LoopVarId::from_index(slot))
    }

    /// A product with its epilogue; with the batch, rows and depth of another one.
    fn contraction(
        &mut self,
        multiply: &Multiply,
        acc: ValueId,
        other: Option<&Contraction>,
    ) -> Contraction {
        let program = self.program;
        let Multiply { sum, product, epilogue } = multiply;
        let shared = |index: IndexId| {
            let other = other?;
            let groups =
                [(&product.batch, &other.batch), (&product.m, &other.m), (&product.k, &other.k)];
            groups
                .into_iter()
                .find_map(|(own, theirs)| Some(theirs[own.iter().position(|i| *i == index)?]))
        };
        // The sum's indices are the kernel's; the epilogue's are renamed to them.
        let own: Vec<IndexId> = sum
            .indices
            .ids()
            .map(|i| shared(i).unwrap_or_else(|| self.index(program, sum, i)))
            .collect();
        let renamed = epilogue.as_ref().map(|e| rename_to(e, sum, &own));
        let lhs = self.localise(&product.lhs, &own);
        let rhs = self.localise(&product.rhs, &own);
        let mut scaled = Expr::load(acc, []);
        let (factor_type, out_type) = (product.dtype, program.values[sum.out].dtype);
        let accumulator = factor_type.accumulator();
        for coefficient in &product.coefficients {
            let wide = cast(factor_type, accumulator, coefficient.clone());
            scaled = Expr::binary(BinaryOp::Mul, scaled, wide);
        }
        let finished = cast(accumulator, out_type, scaled);
        let stored = match epilogue {
            None => finished,
            Some(e) => e.body.clone().map(&mut |node| match node {
                Expr::Load(load) if load.value == sum.out => finished.clone(),
                other => other,
            }),
        };
        self.local(acc, Memory { dtype: accumulator, extents: Vec::new(), role: Role::Local });
        let epilogue_ids = renamed.as_deref().unwrap_or(&own);
        // The sum's coefficients have no indices, so that one table serves the whole expression.
        let stored = self.localise(&stored, epilogue_ids);
        let writer = multiply.writer();
        let subs = writer.free_indices().map(|i| Expr::Index(epilogue_ids[i.index()])).collect();
        let target = Target { value: writer.out, subs, combine: Reducer::None, store: false };
        let group = |ids: &[IndexId]| ids.iter().map(|i| own[i.index()]).collect();
        Contraction {
            batch: group(&product.batch),
            m: group(&product.m),
            n: group(&product.n),
            k: group(&product.k),
            lhs,
            rhs,
            accumulator,
            acc,
            epilogue: stored,
            target,
        }
    }

    /// Translates a comprehension's expression: its index i becomes `ids[i]`.
    fn localise(&mut self, expr: &Expr, ids: &[IndexId]) -> Expr {
        expr.clone().map(&mut |e| match e {
            Expr::Index(i) => Expr::Index(ids[i.index()]),
            Expr::LoopVar(var) => self.number(Number::LoopVar(var)),
            Expr::Coord(axis) => self.number(Number::Coord(axis)),
            Expr::Load(load) => {
                if !self.locals.iter().any(|(v, _)| *v == load.value) {
                    self.operand(load.value, Role::Read);
                }
                Expr::Load(load)
            }
            other => other,
        })
    }

    fn stage(
        &mut self,
        program: &Program,
        c: &Comprehension,
        ids: &[IndexId],
        outer: &[DimId],
        shared: &[IndexId],
    ) -> Stage {
        let body_type = program.dtype_of(&c.body);
        let wide = match c.reducer {
            Reducer::Sum | Reducer::Prod | Reducer::LogSumExp => body_type.accumulator(),
            _ => body_type,
        };
        let body = cast(body_type, wide, self.localise(&c.body, ids));
        let guard = c.guard.as_ref().map(|g| self.localise(g, ids));
        let subs: Vec<Expr> = match &c.store {
            Some(store) => store.subs.iter().map(|s| self.localise(s, ids)).collect(),
            None => {
                let local = self.locals.iter().any(|(v, _)| *v == c.out);
                let all = c.free_indices().map(|i| (c.indices[i].dim, ids[i.index()]));
                let kept = all.filter(|(d, _)| !local || !outer.contains(d));
                kept.map(|(_, id)| Expr::Index(id)).collect()
            }
        };
        let free =
            c.free_indices().map(|i| ids[i.index()]).filter(|i| !shared.contains(i)).collect();
        let target = Target {
            value: c.out,
            subs,
            combine: c.store.as_ref().map_or(Reducer::None, |s| s.combine),
            store: c.store.is_some(),
        };
        let reduced = c.reduced_indices().map(|i| ids[i.index()]).collect();
        let stage = Stage { free, reduced, reducer: c.reducer, guard, body, target };
        self.drop_outer_of_locals(program, stage, outer)
    }

    /// Locals belong to one outer point: their loads keep the inner subscripts only.
    fn drop_outer_of_locals(&self, program: &Program, mut stage: Stage, outer: &[DimId]) -> Stage {
        let exprs =
            std::iter::once(&mut stage.body).chain(&mut stage.guard).chain(&mut stage.target.subs);
        for expr in exprs {
            let taken = std::mem::replace(expr, zero(DType::Bool));
            *expr = taken.map(&mut |node| match node {
                Expr::Load(mut load) if self.locals.iter().any(|(v, _)| *v == load.value) => {
                    let dims = &program.values[load.value].dims;
                    let mut kept = dims.iter().map(|d| !outer.contains(d));
                    load.subs.retain(|_| kept.next().unwrap_or(true));
                    Expr::Load(load)
                }
                other => other,
            });
        }
        stage
    }

    /// Renumbers values: operands in launch order, then locals.
    fn finish(self, name: String, mut body: Body) -> Launch {
        let order: Vec<ValueId> = self
            .operands
            .iter()
            .map(|(v, _)| *v)
            .chain(self.locals.iter().map(|(v, _)| *v))
            .collect();
        let of = |value: ValueId| {
            let position = order.iter().position(|v| *v == value);
            ValueId::from_index(position.expect("every value of a kernel is numbered"))
        };
        renumber(&mut body, &of);
        let memory = |(value, role): &(ValueId, Role)| Memory {
            dtype: self.program.values[*value].dtype,
            extents: self.program.extents(*value),
            role: *role,
        };
        let operands = self.operands.iter().map(memory);
        let values = operands.chain(self.locals.iter().map(|(_, m)| m.clone())).collect();
        let ints = u32::try_from(self.ints.len()).expect("fewer than 2^32 launch numbers");
        Launch {
            kernel: Kernel { name, values, indices: self.indices, ints, body },
            operands: self.operands.into_iter().map(|(v, _)| v).collect(),
            ints: self.ints,
        }
    }
}

/// Replaces every value id in a kernel's body.
fn renumber(body: &mut Body, of: &impl Fn(ValueId) -> ValueId) {
    for expr in body.exprs_mut() {
        let taken = std::mem::replace(expr, zero(DType::Bool));
        *expr = taken.map(&mut |node| match node {
            Expr::Load(mut load) => {
                load.value = of(load.value);
                Expr::Load(load)
            }
            other => other,
        });
    }
    for target in body.targets_mut() {
        target.value = of(target.value);
    }
    for value in body.named_mut() {
        *value = of(*value);
    }
}

fn cast(from: DType, to: DType, e: Expr) -> Expr {
    if from == to { e } else { Expr::cast(to, e) }
}

#[cfg(test)]
mod tests {
    use super::joined;

    #[test]
    fn names_of_many_values_are_short() {
        assert_eq!(joined(&["a"; 6]), "a+a+a+a+a+a");
        assert_eq!(joined(&["a"; 7]), "a+a+a+a+a+2 more");
    }
}
