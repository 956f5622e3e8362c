//! What a plan makes the partitioner do, read off the contract of [`Plan`].

use einmesh_ir::{Block, Comprehension, Expr, Loop, MeshAxisId, Op, Program, Reducer, ValueId};
use einmesh_plan::Plan;

/// A value's sharding, written `[B@data, T, D]` and `+data` for each axis it is partial over.
pub fn shown(program: &Program, plan: &Plan, value: ValueId) -> String {
    let sharding = &plan.shardings[value];
    let axes = |axes: &[MeshAxisId]| -> String {
        axes.iter().map(|a| format!("@{}", plan.mesh.axes[*a].name)).collect()
    };
    let dims = program.values[value].dims.iter().zip(&sharding.spec);
    let dims: Vec<String> =
        dims.map(|(d, split)| format!("{}{}", program.dims[*d].name, axes(split))).collect();
    let partial: String =
        sharding.partial.iter().map(|(a, _)| format!("+{}", plan.mesh.axes[*a].name)).collect();
    format!("[{}]{partial}", dims.join(", "))
}

/// Every comprehension, loops entered.
pub fn comprehensions(program: &Program) -> Vec<&Comprehension> {
    fn visit<'a>(block: &'a Block, found: &mut Vec<&'a Comprehension>) {
        for op in &block.ops {
            match op {
                Op::Compute(c) => found.push(c),
                Op::Loop(l) => visit(&l.body, found),
                Op::Argsort(_) | Op::Collective(_) => {}
            }
        }
    }
    let mut found = Vec::new();
    visit(&program.body, &mut found);
    found
}

/// Every loop, those inside of others included.
fn loops(block: &Block) -> Vec<&Loop> {
    let each = block.ops.iter().filter_map(|op| match op {
        Op::Loop(l) => Some(l),
        _ => None,
    });
    each.flat_map(|l| std::iter::once(l).chain(loops(&l.body))).collect()
}

/// Where results are combined over an axis: `all_reduce sum proj`, first those of operations, then those that
/// loops carry partial.
pub fn reductions(program: &Program, plan: &Plan, axis: &str) -> Vec<String> {
    let axis = plan.mesh.axis(axis).expect("an axis of the mesh");
    let mut found = Vec::new();
    for c in comprehensions(program) {
        let Some(reducer) = partial_result(plan, c, axis) else {
            continue;
        };
        let out = &plan.shardings[c.out];
        if out.partial.contains(&(axis, Reducer::Sum)) {
            continue;
        }
        let kind = if out.splits(axis) { "reduce_scatter" } else { "all_reduce" };
        let reducer = format!("{reducer:?}").to_lowercase();
        found.push(format!("{kind} {reducer} {}", program.values[c.out].name));
    }
    let partial = |value: ValueId| plan.shardings[value].partial.contains(&(axis, Reducer::Sum));
    for state in loops(&program.body).iter().flat_map(|l| &l.carried) {
        assert_eq!(partial(state.entry), partial(state.exit));
        if partial(state.entry) && !partial(state.result) {
            found.push(format!("all_reduce sum {}", program.values[state.result].name));
        }
    }
    found
}

/// How the result of a comprehension has to be combined over an axis, if at all.
fn partial_result(plan: &Plan, c: &Comprehension, axis: MeshAxisId) -> Option<Reducer> {
    let loops = &plan.loops[&c.out];
    if let Some(index) = loops.iter().position(|axes| axes.contains(&axis)) {
        return (index >= c.free).then_some(c.reducer);
    }
    for load in c.body.loads() {
        let held = &plan.shardings[load.value];
        let looked_up = |(sub, axes): (&Expr, &Vec<MeshAxisId>)| {
            !sub.loads().is_empty() && axes.contains(&axis)
        };
        if held.partial.iter().any(|(a, _)| *a == axis)
            || load.subs.iter().zip(&held.spec).any(looked_up)
        {
            return Some(Reducer::Sum);
        }
    }
    None
}

/// Operands that are gathered over an axis: `w for q`.
pub fn gathers(program: &Program, plan: &Plan, axis: &str) -> Vec<String> {
    let axis = plan.mesh.axis(axis).expect("an axis of the mesh");
    let mut found = Vec::new();
    for c in comprehensions(program) {
        let loops = &plan.loops[&c.out];
        let split = loops.iter().position(|axes| axes.contains(&axis));
        for load in c.body.loads() {
            let held = &plan.shardings[load.value];
            let Some(position) = held.spec.iter().position(|axes| axes.contains(&axis)) else {
                continue;
            };
            let in_place = match &load.subs[position] {
                Expr::Index(i) => {
                    let extent = program.dims[c.indices[*i].dim].extent;
                    Some(i.0 as usize) == split && extent == program.extents(load.value)[position]
                }
                sub => split.is_none() && !sub.loads().is_empty(),
            };
            if !in_place {
                let name = |v: ValueId| &program.values[v].name;
                found.push(format!("{} for {}", name(load.value), name(c.out)));
            }
        }
    }
    found
}

/// What `Plan` promises.
pub fn check_invariants(program: &Program, plan: &Plan) {
    let once = |mut axes: Vec<MeshAxisId>, what: &str| {
        let count = axes.len();
        axes.sort();
        axes.dedup();
        assert_eq!(axes.len(), count, "an axis occurs twice in {what}");
        assert!(axes.iter().all(|a| plan.mesh.axes[*a].size > 1), "{what}");
    };
    assert_eq!(plan.shardings.len(), program.values.len());
    for (value, sharding) in plan.shardings.iter() {
        let name = &program.values[value].name;
        assert_eq!(sharding.spec.len(), program.values[value].dims.len(), "{name}");
        let partial = sharding.partial.iter().map(|(axis, _)| *axis);
        once(sharding.spec.iter().flatten().copied().chain(partial).collect(), name);
        for axis in sharding.spec.iter().flatten() {
            assert!(plan.reasons.contains_key(&(value, *axis)), "no reason for {name}");
        }
    }
    for c in comprehensions(program) {
        let name = &program.values[c.out].name;
        let loops = &plan.loops[&c.out];
        assert_eq!(loops.len(), c.indices.len(), "{name}");
        once(loops.iter().flatten().copied().collect(), name);
        for load in c.exprs().flat_map(Expr::loads) {
            for (axis, _) in &plan.shardings[load.value].partial {
                assert!(loops.iter().all(|axes| !axes.contains(axis)), "{name} splits {axis:?}");
            }
        }
        for (axis, reducer) in &plan.shardings[c.out].partial {
            let result = match &c.store {
                Some(store) => Some(store.combine),
                None => partial_result(plan, c, *axis),
            };
            assert_eq!(result, Some(*reducer), "{name} is held partial but not computed so");
        }
    }
}
