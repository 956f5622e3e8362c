//! The static proof that the condition of a loop is the same on all devices.
//!
//! For each value, the mesh axes along which devices may hold different numbers are found: those that
//! split an argument, those whose coordinate an expression reads, and those of whatever is read. A
//! reduction or gathering of all devices along an axis makes them equal along it; any other
//! communication may make them differ. States of loops are followed until nothing is added.

use einmesh_ir::verify::Violation;
use einmesh_ir::{
    Arena, Block, Collective, CollectiveKind, Comprehension, Expr, Loop, MeshAxisId, Op,
    SpmdProgram, ValueId,
};
use std::collections::BTreeSet;

type Axes = BTreeSet<MeshAxisId>;

/// The loops whose condition may differ between devices.
pub(crate) fn conditions(spmd: &SpmdProgram) -> Vec<Violation> {
    let varies = spmd.program.values.ids().map(|_| Axes::new()).collect();
    let mut ctx = Ctx { spmd, varies, found: Vec::new() };
    for (input, layout) in spmd.program.inputs.iter().zip(&spmd.inputs) {
        let axes = layout.dims.iter().flat_map(|d| d.axes.iter().copied());
        let axes = ctx.several(axes);
        ctx.add(input.value, axes);
    }
    ctx.block(&spmd.program.body);
    ctx.found
}

struct Ctx<'a> {
    spmd: &'a SpmdProgram,
    varies: Arena<ValueId, Axes>,
    found: Vec<Violation>,
}

impl Ctx<'_> {
    /// The axes that have several devices.
    fn several(&self, axes: impl Iterator<Item = MeshAxisId>) -> Axes {
        axes.filter(|a| self.spmd.mesh.axes.get(*a).is_some_and(|a| a.size > 1)).collect()
    }

    /// Adds to the axes along which a value varies; returns whether there are new ones.
    fn add(&mut self, value: ValueId, axes: Axes) -> bool {
        let all = &mut self.varies[value];
        let before = all.len();
        all.extend(axes);
        all.len() > before
    }

    fn block(&mut self, block: &Block) {
        for op in &block.ops {
            match op {
                Op::Compute(c) => {
                    let axes = self.computed(c);
                    self.add(c.out, axes);
                }
                Op::Argsort(a) => {
                    let axes = self.varies[a.input].clone();
                    self.add(a.out, axes);
                }
                Op::Collective(c) => {
                    let axes = self.communicated(c);
                    self.add(c.out, axes);
                }
                Op::Loop(l) => self.repeat(l),
            }
        }
    }

    fn computed(&self, c: &Comprehension) -> Axes {
        let mut coordinates = Axes::new();
        for expr in c.exprs() {
            expr.walk(&mut |e| {
                if let Expr::Coord(axis) = e {
                    coordinates.insert(*axis);
                }
            });
        }
        let read = c.reads().into_iter().flat_map(|v| self.varies[v].iter().copied());
        self.several(coordinates.into_iter().chain(read))
    }

    fn communicated(&self, c: &Collective) -> Axes {
        let mut axes = self.varies[c.input].clone();
        match c.kind {
            CollectiveKind::AllReduce(_) | CollectiveKind::AllGather { .. } => {
                axes.retain(|a| !c.axes.contains(a));
            }
            CollectiveKind::ReduceScatter { .. }
            | CollectiveKind::AllToAll { .. }
            | CollectiveKind::CollectivePermute { .. } => {
                axes.extend(self.several(c.axes.iter().copied()));
            }
        }
        axes
    }

    fn repeat(&mut self, l: &Loop) {
        for state in &l.carried {
            let axes = self.varies[state.init].clone();
            self.add(state.entry, axes);
        }
        let before = self.found.len();
        loop {
            // What is found while states are still growing is found again.
            self.found.truncate(before);
            self.block(&l.body);
            let grows = l.carried.iter().filter(|state| {
                let axes = self.varies[state.exit].clone();
                self.add(state.entry, axes)
            });
            if grows.count() == 0 {
                break;
            }
        }
        for state in &l.carried {
            let axes = self.varies[state.entry].clone();
            self.add(state.result, axes);
        }
        for collected in &l.collected {
            let axes = self.varies[collected.value].clone();
            self.add(collected.result, axes);
        }
        if let Some(condition) = l.condition
            && let Some(axis) = self.varies[condition].first()
        {
            let name = self.spmd.program.name_of(condition);
            let axis = &self.spmd.mesh.axes[*axis].name;
            let message = format!("the loop's condition {name} may differ along `{axis}`");
            let span = self.spmd.program.values[condition].origin.span;
            self.found.push(Violation { message, span });
        }
    }
}
