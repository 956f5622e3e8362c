//! Planning: from decorators to a placement for every value.
//!
//! [`Plan`] is a side table over a program, which it leaves as it is; `einmesh_spmd::partition`
//! makes it real. The sharding rules are derived from subscripts, never written per operation.
//!
//! [`plan`] goes through these steps, one file each:
//! * `mesh` checks the devices, `requests` resolves what `@shard` asks of each value;
//! * `groups` finds values that must be laid out alike, `rules` reads the sharding rule of each
//!   operation off its subscripts;
//! * then, for one mesh axis after another, `propagate` spreads splits to a fixed point and divides
//!   every operation (`settle` weighs the choices), `whole` gathers once what would be gathered
//!   several times, and `partial` delays reductions through operations that are `linear`, those
//!   whose `closure` moves the fewest bytes;
//! * `fsdp` stores parameters in parts, and divides what only makes new ones; `remat` checks what
//!   the backward pass is told.
//!
//! [`report::report`] describes a plan; [`cost`] has the formulas for bytes and work.
//!
//! Invariants of a plan without errors:
//! * an axis splits a value at most once and a comprehension at most once, and is never both in a
//!   value's `spec` and in its `partial`;
//! * the values of a loop's state are split alike, and what is partial in the loop may be whole before and after it;
//!   a store's base and its result have one sharding;
//! * axes of size 1 occur nowhere;
//! * the same program and directives give the same plan.
//!
//! What this crate must not know: syntax, how collectives are inserted, targets.

mod closure;
pub mod cost;
mod fsdp;
mod groups;
mod linear;
mod mesh;
mod partial;
mod propagate;
mod remat;
pub mod report;
mod requests;
mod rules;
mod settle;
mod whole;

use einmesh_diagnostics::Diagnostics;
use einmesh_ir::{
    Arena, Block, Directives, Id, Mesh, MeshAxisId, Op, Program, Reducer, Sharding, ValueId,
};
use groups::Groups;
use rules::Rules;
use settle::{Axis, Choice};
use std::collections::{BTreeMap, BTreeSet};

/// Where everything is.
///
/// How operands reach a comprehension follows from `shardings` and `loops`. An operand's dim that is
/// subscripted by a bare index of the same extent is needed as that index is split. Any other dim is
/// needed whole, except that
/// * a dim subscripted by an affine form in a split index needs only its block and a halo;
/// * a split dim subscripted by a loaded integer stays split where that moves fewer bytes: each
///   device reads what it has and contributes 0 otherwise, and the contributions are added up over
///   the axis (a lookup in a sharded vocabulary), scattered if the axis splits an index that they
///   have.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Plan {
    /// The devices.
    pub mesh: Mesh,
    /// How each value is held between operations. A value may be held partial; then every reader
    /// splits no index over the axis, has at most one partial factor in each additive term and one
    /// in some, and so gives a partial result in turn, in which terms without a partial factor
    /// count on one device only. Partial sums are reduced to the sharding of the value they are the
    /// sum of: by an all-reduce, or, if the axis splits one of its dims, by a reduce-scatter along
    /// that.
    pub shardings: Arena<ValueId, Sharding>,
    /// For each comprehension, named by its output: the mesh axes that split each of its indices,
    /// in the order of [`einmesh_ir::Comprehension::indices`], major to minor. An axis occurs at
    /// most once in a comprehension. A split free index splits the output; a split reduced index
    /// leaves it partial until the partitioner reduces it to the output's sharding.
    pub loops: BTreeMap<ValueId, Vec<Vec<MeshAxisId>>>,
    /// Why a mesh axis splits a value (or the loops that compute it).
    pub reasons: BTreeMap<(ValueId, MeshAxisId), Reason>,
    /// What was accepted without an effect on placement.
    pub notes: Vec<String>,
}

/// Why a value is split.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub struct Reason {
    /// The name of the dim that is split.
    pub dim: String,
    /// The decorator that asked for it, as written.
    pub decorator: String,
}

/// Places every value and divides every comprehension of a program.
///
/// The plan is well formed even if there are errors; what they concern is left out of it.
pub fn plan(program: &Program, directives: &Directives) -> (Plan, Diagnostics) {
    let mut found = Diagnostics::new();
    let Some(mesh) = mesh::resolve(directives, &mut found) else {
        return (Plan::replicated(program, Mesh::default()), found);
    };
    let groups = Groups::of(program);
    let rules = Rules::of(program, &groups);
    let mut requests = requests::resolve(program, directives, &mesh, &groups, &mut found);
    let mut plan = Plan::replicated(program, mesh);
    for id in requests.order.clone() {
        let size = plan.mesh.axes[id].size;
        if size <= 1 {
            continue;
        }
        let mut axis = Axis {
            program,
            groups: &groups,
            rules: &rules,
            id,
            size,
            states: requests.states(id, groups.len()),
            choices: vec![Choice::Whole; rules.all.len()],
            partial: BTreeSet::new(),
            spread: plan.spread(),
            reasons: BTreeMap::new(),
        };
        propagate::propagate(&mut axis);
        whole::gather_once(&mut axis);
        // Where parameters are stored in parts, gradients are scattered to them as they arise.
        let name = &plan.mesh.axes[id].name;
        partial::delay(&mut axis, directives.fsdp.iter().all(|rule| rule.axis != *name));
        plan.adopt(axis);
    }
    plan.restore_own_orders(&requests);
    fsdp::apply(program, directives, &groups, &rules, &mut plan, &mut requests, &mut found);
    plan.notes = remat::check(program, directives, &mut found);
    requests::warn_unused(directives, &plan.mesh, &requests.named, &mut found);
    (plan, found)
}

impl Plan {
    /// The plan in which every device does everything.
    pub fn replicated(program: &Program, mesh: Mesh) -> Plan {
        fn visit(block: &Block, loops: &mut BTreeMap<ValueId, Vec<Vec<MeshAxisId>>>) {
            for op in &block.ops {
                match op {
                    Op::Compute(c) => {
                        loops.insert(c.out, vec![Vec::new(); c.indices.len()]);
                    }
                    Op::Loop(l) => visit(&l.body, loops),
                    Op::Argsort(_) | Op::Collective(_) => {}
                }
            }
        }
        let shardings = program.values.values().map(|v| Sharding::replicated(v.dims.len()));
        let shardings = shardings.collect();
        let mut loops = BTreeMap::new();
        visit(&program.body, &mut loops);
        Plan { mesh, shardings, loops, reasons: BTreeMap::new(), notes: Vec::new() }
    }

    /// For each value, on how many devices its parts are.
    fn spread(&self) -> Vec<u64> {
        let axes = self.shardings.values().map(|s| s.spec.iter().flatten());
        axes.map(|axes| axes.map(|a| self.mesh.axes[*a].size).product()).collect()
    }

    /// Takes over what was decided on one axis.
    fn adopt(&mut self, axis: Axis) {
        for (number, rule) in axis.rules.all.iter().enumerate() {
            if let (Choice::Index(index), true) = (axis.choices[number], rule.is_comprehension)
                && let Some(split) = self.loops.get_mut(&rule.out.value)
            {
                split[index].push(axis.id);
            }
        }
        for value in axis.program.values.ids() {
            if let Some(position) = axis.position(value) {
                self.shardings[value].spec[position].push(axis.id);
                let decorator = axis.split(value).map(|s| s.decorator.clone()).unwrap_or_default();
                let dim = propagate::dim_name(&axis, value, position);
                self.reasons.insert((value, axis.id), Reason { dim, decorator });
            }
        }
        for value in axis.partial {
            let partial = &mut self.shardings[value].partial;
            partial.push((axis.id, Reducer::Sum));
            partial.sort_by_key(|(a, _)| a.index());
        }
        // How a value is computed says more about its collectives than how it is held.
        for (value, reason) in axis.reasons {
            self.reasons.insert((value, axis.id), reason);
        }
    }

    /// Orders the axes of a dim as the value's own decorator lists them.
    fn restore_own_orders(&mut self, requests: &requests::Requests) {
        for ((value, position), order) in &requests.own_order {
            let axes = &mut self.shardings[*value].spec[*position];
            axes.sort_by_key(|axis| order.iter().position(|a| a == axis).unwrap_or(order.len()));
        }
    }
}
