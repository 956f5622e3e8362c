//! Rows that a backward loop would reduce once more: the forward loop has reduced the same ones, made of the values that
//! it stacks for the backward loop. With its results it stacks the few numbers that it has of each row, and the backward loop
//! reads them (Dao et al. 2022, section 3.1: of a softmax its rows' statistics are saved).

use super::{CONTEXT, Online, TOTAL, conjuncts, each_block, find, float, mean};
use crate::fuse::reads;
use crate::inline;
use crate::kernel::RowResult;
use crate::usage::Usage;
use einmesh_ir::{
    BinaryOp, Block, Bounds, Collected, Comprehension, Expr, Id, Index, IndexId, Loop, LoopVarId,
    Op, Program, Reducer, Value, ValueId,
};

/// So many times smaller is a stack of rows' numbers than one that the rows are computed from.
const SMALLER: u64 = 8;

/// Has loops read what earlier loops have reduced.
pub fn reuse(program: &mut Program) {
    each_block(program, block);
}

fn block(program: &mut Program, usage: &Usage, block: &mut Block) {
    for later in 1..block.ops.len() {
        let (before, after) = block.ops.split_at_mut(later);
        let Op::Loop(backward) = &mut after[0] else { continue };
        for op in before {
            if let Op::Loop(forward) = op {
                pair(program, usage, forward, backward);
            }
        }
    }
}

/// Drops the later loop's reductions that the earlier one has done.
fn pair(program: &mut Program, usage: &Usage, forward: &mut Loop, backward: &mut Loop) {
    let extent = |l: &Loop| program.dims[program.loop_vars[l.var].dim].extent;
    let ends = forward.condition.is_some() || backward.condition.is_some();
    if ends || extent(forward) != extent(backward) {
        return;
    }
    let done = find(program, usage, &forward.body.ops);
    let mut dropped: Vec<ValueId> = Vec::new();
    for again in find(program, usage, &backward.body.ops) {
        let replaced = |r: &RowResult| only_computed_with(usage, backward, r.target.value);
        if !again.results.iter().all(replaced) {
            continue;
        }
        let instead = done.iter().find_map(|done| {
            Reuse { program, forward, backward: backward.var, done, again: &again }.results()
        });
        let Some(instead) = instead else { continue };
        for producer in instead {
            let producer = stacked(program, forward, backward.var, producer);
            for op in &mut backward.body.ops {
                if let Op::Compute(c) = op
                    && c.loaded().contains(&producer.out)
                {
                    inline::substitute(program, c, &producer);
                }
            }
        }
        // Only its results are read outside of a match, and nobody reads them any more.
        dropped.extend(again.members.iter().flat_map(|at| backward.body.ops[*at].defines()));
    }
    let is_dropped = |op: &Op| matches!(op, Op::Compute(c) if dropped.contains(&c.out));
    backward.body.ops.retain(|op| !is_dropped(op));
}

/// Whether only comprehensions of a loop's body read a value.
fn only_computed_with(usage: &Usage, l: &Loop, value: ValueId) -> bool {
    let here = l.body.ops.iter().filter(|op| matches!(op, Op::Compute(_)));
    let here = here.filter(|op| reads(op).contains(&value)).count();
    usage.find(value).is_some_and(|uses| uses.other == 0 && uses.comprehensions == here)
}

/// Two matches, which may reduce the same rows.
struct Reuse<'a> {
    program: &'a Program,
    forward: &'a Loop,
    backward: LoopVarId,
    done: &'a Online,
    again: &'a Online,
}

impl Reuse<'_> {
    /// Each result of the later match, as a comprehension of an iteration's values of the earlier loop; `None` if the
    /// matches differ, or too much would have to be stacked.
    fn results(&self) -> Option<Vec<Comprehension>> {
        if !self.same_rows() {
            return None;
        }
        self.again.results.iter().map(|r| self.producer(r, self.number(r)?)).collect()
    }

    /// Whether the matches reduce the same numbers.
    fn same_rows(&self) -> bool {
        let (a, b) = (self.done, self.again);
        let dims = |ids: &mut dyn Iterator<Item = &Index>| ids.map(|i| i.dim).collect::<Vec<_>>();
        let (p, q) = (&a.product, &b.product);
        let same = |x: &Option<Expr>, y: &Option<Expr>| *x == y.as_ref().map(|e| self.forwards(e));
        dims(&mut a.sum.indices.values()) == dims(&mut b.sum.indices.values())
            && (&p.batch, &p.m, &p.n, &p.k, p.dtype) == (&q.batch, &q.m, &q.n, &q.k, q.dtype)
            && p.lhs == self.forwards(&q.lhs)
            && p.rhs == self.forwards(&q.rhs)
            && a.score == self.forwards(&b.score)
            && self.same_guard()
            && (b.value.is_none() || same(&a.value, &b.value))
            && (b.value.is_none() || dims(&mut a.columns.iter()) == dims(&mut b.columns.iter()))
    }

    /// Whether the guards have the same conditions.
    fn same_guard(&self) -> bool {
        let guard = self.again.guard.as_ref().map(|g| self.forwards(g));
        let (ours, theirs) = (conjuncts(self.done.guard.as_ref()), conjuncts(guard.as_ref()));
        ours.iter().all(|c| theirs.contains(c)) && theirs.iter().all(|c| ours.contains(c))
    }

    /// An expression of the later loop with the earlier one's values in place of slices of their stacks.
    fn forwards(&self, expr: &Expr) -> Expr {
        let counter = Expr::LoopVar(self.forward.var);
        expr.clone().map(&mut |e| match e {
            Expr::LoopVar(var) if var == self.backward => counter.clone(),
            Expr::Load(mut load) => {
                let mut stacks = self.forward.collected.iter();
                let at_counter =
                    |c: &&Collected| c.result == load.value && load.subs[c.position] == counter;
                if let Some(c) = stacks.find(at_counter)
                    && load.bounds == Bounds::Proven
                {
                    load.value = original(&self.forward.body, c.value);
                    load.subs.remove(c.position);
                }
                Expr::Load(load)
            }
            other => other,
        })
    }

    /// A result as an expression of the earlier loop's values, in the product's indices.
    fn number(&self, result: &RowResult) -> Option<Expr> {
        let wide = self.again.product.dtype.accumulator();
        let load = |r: &RowResult| {
            let exact = self.program.values[r.target.value].dtype == wide;
            exact.then(|| Expr::load(r.target.value, r.target.subs.clone()))
        };
        let row = |value: &Expr| self.done.rows.iter().find(|r| r.value == *value).and_then(load);
        if !result.wide {
            return row(&result.value);
        }
        let done = self.done.results.iter().find(|r| r.wide)?;
        let there = load(done)?;
        if done.value == result.value {
            return Some(there);
        }
        let (context, total) = (Expr::load(CONTEXT, []), Expr::load(TOTAL, []));
        let sum = row(&total)?;
        // In a row without points the sum is 0, whatever the mean is said to be.
        let unless_empty = |number: Expr| {
            let zero = float(wide, 0.0);
            Expr::select(Expr::binary(BinaryOp::Eq, sum.clone(), zero.clone()), zero, number)
        };
        let ratio = Expr::binary(BinaryOp::Div, context.clone(), total.clone());
        let is_mean = done.value == mean(wide) || done.value == ratio;
        if is_mean && result.value == mean(wide) {
            return Some(unless_empty(there));
        }
        let weighed = match is_mean {
            true => unless_empty(Expr::binary(BinaryOp::Mul, there, sum.clone())),
            false if done.value == context => there,
            false => return None,
        };
        let known = |l: &&einmesh_ir::Load| [CONTEXT, TOTAL].contains(&l.value);
        if !result.value.loads().iter().all(known) {
            return None;
        }
        Some(result.value.clone().map(&mut |e| match e {
            e if e == context => weighed.clone(),
            e if e == total => sum.clone(),
            other => other,
        }))
    }

    /// The comprehension of a result, if what it reads is stacked or small.
    fn producer(&self, result: &RowResult, number: Expr) -> Option<Comprehension> {
        let (program, out) = (self.program, result.target.value);
        let dim = program.loop_vars[self.forward.var].dim;
        let largest = self.done.sum.loaded().into_iter().map(|v| program.elements(v)).max()?;
        let fits = |value: ValueId| {
            self.forward.collected.iter().any(|c| c.value == value)
                || program.elements(value).saturating_mul(SMALLER) <= largest
                    && !program.values[value].dims.contains(&dim)
        };
        let place = |i: IndexId| {
            let at = result.target.subs.iter().position(|s| *s == Expr::Index(i))?;
            Some(IndexId::from_index(at))
        };
        if !number.loads().iter().all(|load| fits(load.value)) {
            return None;
        }
        let mut placed = true;
        let body = number.map(&mut |e| match e {
            Expr::Index(i) => {
                placed &= place(i).is_some();
                Expr::Index(place(i).unwrap_or(i))
            }
            other => other,
        });
        let Value { name, dims, .. } = &program.values[out];
        let indices = dims.iter().map(|dim| Index { name: name.clone(), dim: *dim });
        placed.then(|| Comprehension {
            out,
            indices: indices.collect(),
            free: dims.len(),
            reducer: Reducer::None,
            guard: None,
            body,
            store: None,
        })
    }
}

/// What a value is a copy of, as the stack of a loop's state is one of copies; or itself.
fn original(body: &Block, value: ValueId) -> ValueId {
    let copied = body.ops.iter().find_map(|op| match op {
        Op::Compute(c) if c.out == value && c.guard.is_none() && c.store.is_none() => {
            let Expr::Load(load) = &c.body else { return None };
            let whole = load.subs.iter().cloned().eq(c.indices.ids().map(Expr::Index));
            let plain = c.reducer == Reducer::None && load.bounds == Bounds::Proven;
            (plain && whole).then_some(load.value)
        }
        _ => None,
    });
    copied.unwrap_or(value)
}

/// A comprehension of the later loop that reads stacks of the earlier loop's values in their place.
fn stacked(
    program: &mut Program,
    forward: &mut Loop,
    counter: LoopVarId,
    mut producer: Comprehension,
) -> Comprehension {
    producer.body = producer.body.map(&mut |e| match e {
        Expr::Load(mut load) => {
            let known = forward.collected.iter().find(|c| c.value == load.value).copied();
            let c = known.unwrap_or_else(|| {
                let mut stack = program.values[load.value].clone();
                stack.dims.insert(0, program.loop_vars[forward.var].dim);
                let result = program.values.push(stack);
                let new = Collected { value: load.value, result, position: 0 };
                forward.collected.push(new);
                new
            });
            load.value = c.result;
            load.subs.insert(c.position, Expr::LoopVar(counter));
            Expr::Load(load)
        }
        other => other,
    });
    producer
}
