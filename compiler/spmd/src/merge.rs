//! Fewer collectives: sums that are added are reduced once, and nothing is moved twice.

use crate::context::Ctx;
use crate::linear::commutes;
use crate::path::local_bytes;
use einmesh_ir::{
    Arena, Block, Collective, Comprehension, Expr, MeshAxisId, Op, Program, Reducer, SpmdProgram,
    Value, ValueId,
};
use einmesh_plan::Plan;
use std::collections::{BTreeMap, BTreeSet};

/// Holds sums partial that have one reader, which adds several of them up: `a·b + c·d` is reduced
/// once. A plan of the planner has this already; others gain by it.
pub(crate) fn add_before_reducing(program: &Program, plan: Plan) -> Plan {
    let mut uses = Uses::default();
    uses.block(&program.body);
    uses.read.extend(program.outputs.iter().map(|o| (o.value, usize::MAX)));
    let mut ctx = Ctx::new(program, plan);
    let axes: Vec<MeshAxisId> = ctx.grid.mesh.axes.ids().collect();
    for axis in axes {
        for (number, reader) in uses.all.iter().enumerate() {
            ctx.try_adding(&uses, number, reader, axis);
        }
    }
    ctx.plan
}

/// The comprehensions of a program, and who reads what.
#[derive(Default)]
struct Uses {
    /// Each with the number of its block.
    all: Vec<(usize, Comprehension)>,
    written: BTreeMap<ValueId, usize>,
    /// Values with the numbers of the comprehensions that read them; other readers count as
    /// [`usize::MAX`].
    read: BTreeSet<(ValueId, usize)>,
    blocks: usize,
}

impl Uses {
    fn block(&mut self, block: &Block) {
        let here = self.blocks;
        self.blocks += 1;
        for op in &block.ops {
            let mut other = |value| self.read.insert((value, usize::MAX));
            match op {
                Op::Compute(c) => {
                    let number = self.all.len();
                    self.read.extend(c.reads().into_iter().map(|v| (v, number)));
                    self.written.insert(c.out, number);
                    self.all.push((here, c.clone()));
                }
                Op::Argsort(a) => {
                    other(a.input);
                }
                Op::Collective(c) => {
                    other(c.input);
                }
                Op::Loop(l) => {
                    l.carried.iter().for_each(|c| {
                        other(c.init);
                        other(c.exit);
                    });
                    l.collected.iter().for_each(|c| {
                        other(c.value);
                    });
                    self.block(&l.body);
                }
            }
        }
    }

    fn only_reader(&self, value: ValueId, number: usize) -> bool {
        let mut readers = self.read.range((value, 0)..=(value, usize::MAX));
        readers.all(|(_, reader)| *reader == number)
    }
}

impl Ctx {
    fn split_loops(&self, c: &Comprehension) -> &[Vec<MeshAxisId>] {
        self.plan.loops.get(&c.out).map_or(&[], Vec::as_slice)
    }

    /// Holds the operands of a reader partial over the axis, if they are sums over it that only the
    /// reader reads, several, and their sum is no larger than they are together.
    fn try_adding(
        &mut self,
        uses: &Uses,
        number: usize,
        (block, reader): &(usize, Comprehension),
        axis: MeshAxisId,
    ) {
        let elementwise = reader.store.is_none() && reader.reducer == Reducer::None;
        let free = |axes: &Vec<MeshAxisId>| !axes.contains(&axis);
        if !elementwise || !self.split_loops(reader).iter().all(free) {
            return;
        }
        let sums: Vec<ValueId> = reader
            .body
            .loads()
            .into_iter()
            .map(|load| load.value)
            .filter(|value| {
                let Some((within, writer)) = uses.written.get(value).map(|n| &uses.all[*n]) else {
                    return false;
                };
                let split = self.split_loops(writer).iter().skip(writer.free);
                let held = self.held(*value);
                let dtype = self.global.values[*value].dtype;
                within == block
                    && writer.store.is_none()
                    && writer.reducer == Reducer::Sum
                    && split.flatten().any(|a| *a == axis)
                    && held.partial.is_empty()
                    && !held.splits(axis)
                    && dtype.accumulator() == dtype
                    && uses.only_reader(*value, number)
            })
            .collect::<BTreeSet<_>>()
            .into_iter()
            .collect();
        let elements =
            |ctx: &Ctx, v: ValueId| local_bytes(&ctx.grid, &ctx.global.extents(v), ctx.held(v), 1);
        let apart: u64 = sums.iter().map(|v| elements(self, *v)).sum();
        if sums.len() < 2 || elements(self, reader.out) > apart {
            return;
        }
        for sum in &sums {
            self.plan.shardings[*sum].partial.push((axis, Reducer::Sum));
        }
        let in_guard = |e: &Expr| e.loads().iter().any(|l| sums.contains(&l.value));
        let guarded = reader.guard.as_ref().is_some_and(in_guard);
        if guarded || !commutes(self, axis, Reducer::Sum, &reader.body) {
            for sum in &sums {
                self.plan.shardings[*sum].partial.clear();
            }
        }
    }
}

/// Computes and communicates once what is computed and communicated several times in a block or
/// one around it.
pub(crate) fn share(spmd: &mut SpmdProgram) {
    let mut sharing = Sharing {
        values: spmd.program.values.clone(),
        kept: spmd.program.outputs.iter().map(|o| o.value).collect(),
        same: BTreeMap::new(),
        known: vec![BTreeMap::new()],
    };
    sharing.block(&mut spmd.program.body);
}

struct Sharing {
    values: Arena<ValueId, Value>,
    /// Results, and what loops pass on, keep values of their own.
    kept: BTreeSet<ValueId>,
    /// Values that are gone, with those that stand for them.
    same: BTreeMap<ValueId, ValueId>,
    /// What the enclosing blocks compute, by what it is computed from.
    known: Vec<BTreeMap<String, ValueId>>,
}

impl Sharing {
    fn block(&mut self, block: &mut Block) {
        block.ops.retain_mut(|op| {
            self.rename(op);
            let Some((out, key)) = self.computation(op) else {
                return true;
            };
            match self.known.iter().find_map(|known| known.get(&key)) {
                Some(earlier) if !self.kept.contains(&out) => {
                    self.same.insert(out, *earlier);
                    false
                }
                Some(_) => true,
                None => {
                    self.known.last_mut().expect("in a block").insert(key, out);
                    true
                }
            }
        });
    }

    /// Makes an operation read what stands for its operands.
    fn rename(&mut self, op: &mut Op) {
        let same = |value: &mut ValueId, sharing: &Sharing| {
            if let Some(other) = sharing.same.get(value) {
                *value = *other;
            }
        };
        match op {
            Op::Compute(c) => {
                for e in c.exprs_mut() {
                    let taken = std::mem::replace(e, Expr::int(0));
                    *e = taken.map(&mut |mut e| {
                        if let Expr::Load(load) = &mut e {
                            same(&mut load.value, self);
                        }
                        e
                    });
                }
                if let Some(store) = &mut c.store {
                    same(&mut store.base, self);
                }
            }
            Op::Argsort(a) => same(&mut a.input, self),
            Op::Collective(c) => same(&mut c.input, self),
            Op::Loop(l) => {
                l.carried.iter_mut().for_each(|c| same(&mut c.init, self));
                self.kept.extend(l.carried.iter().map(|c| c.exit));
                self.kept.extend(l.collected.iter().map(|c| c.value));
                self.known.push(BTreeMap::new());
                self.block(&mut l.body);
                self.known.pop();
                l.carried.iter_mut().for_each(|c| same(&mut c.exit, self));
                l.collected.iter_mut().for_each(|c| same(&mut c.value, self));
            }
        }
    }

    /// What an operation assigns, and a text that is the same for all that compute the same.
    fn computation(&self, op: &Op) -> Option<(ValueId, String)> {
        match op {
            Op::Compute(c) => {
                let space: Vec<_> = c.indices.values().map(|i| i.dim).collect();
                let Value { dtype, dims, .. } = &self.values[c.out];
                let what = (space, c.free, c.reducer, &c.guard, &c.body, &c.store, dtype, dims);
                Some((c.out, format!("{what:?}")))
            }
            Op::Collective(Collective { kind, axes, input, out, .. }) => {
                Some((*out, format!("{:?}", (kind, axes, input))))
            }
            Op::Argsort(a) => Some((a.out, format!("sort {:?}", (a.input, a.position)))),
            Op::Loop(_) => None,
        }
    }
}
