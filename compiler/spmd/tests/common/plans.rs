//! Random meshes and well-formed plans.

use super::Rng;
use einmesh_ir::{Arena, Block, DType, Mesh, MeshAxisId, Op, Program, Reducer, Sharding};
use einmesh_plan::Plan;

/// One to three axes with at most 12 devices.
pub fn mesh(rng: &mut Rng) -> Mesh {
    loop {
        let sizes: Vec<u64> = (0..1 + rng.below(3))
            .map(|_| *rng.pick(&[1, 2, 2, 3, 4, 6]))
            .collect();
        if sizes.iter().product::<u64>() <= 12 {
            return Mesh::new(["x", "y", "z"].into_iter().zip(sizes));
        }
    }
}

/// Any placements that the contract allows.
pub fn plan(rng: &mut Rng, program: &Program, mesh: &Mesh) -> Plan {
    let mut plan = Plan {
        mesh: mesh.clone(),
        ..Plan::default()
    };
    let mut shardings: Arena<_, Sharding> = Arena::new();
    for (id, value) in program.values.iter() {
        let mut sharding = Sharding::replicated(value.dims.len());
        let input = program.inputs.iter().any(|i| i.value == id);
        let reducers: &[Reducer] = match value.dtype {
            DType::Bool => &[Reducer::Any, Reducer::All],
            DType::Key => &[],
            _ => &[
                Reducer::Sum,
                Reducer::Sum,
                Reducer::Max,
                Reducer::Min,
                Reducer::Prod,
            ],
        };
        let reducer = if reducers.is_empty() {
            None
        } else {
            Some(*rng.pick(reducers))
        };
        for axis in axes(rng, mesh) {
            match (rng.below(100), reducer) {
                (0..60, _) if !value.dims.is_empty() => {
                    let dim = rng.below(value.dims.len());
                    sharding.spec[dim].push(axis);
                }
                (60..80, Some(reducer)) if !input => sharding.partial.push((axis, reducer)),
                _ => {}
            }
        }
        sharding.partial.sort();
        shardings.push(sharding);
    }
    plan.shardings = shardings;
    loops(rng, &program.body, &mut plan);
    plan
}

/// The axes in random order.
fn axes(rng: &mut Rng, mesh: &Mesh) -> Vec<MeshAxisId> {
    let mut axes: Vec<MeshAxisId> = mesh.axes.ids().collect();
    rng.shuffle(&mut axes);
    axes
}

fn loops(rng: &mut Rng, block: &Block, plan: &mut Plan) {
    for op in &block.ops {
        match op {
            Op::Compute(c) => {
                let mut split = vec![Vec::new(); c.indices.len()];
                for axis in axes(rng, &plan.mesh) {
                    if !split.is_empty() && rng.chance(70) {
                        let index = rng.below(split.len());
                        split[index].push(axis);
                    }
                }
                plan.loops.insert(c.out, split);
            }
            Op::Loop(l) => loops(rng, &l.body, plan),
            Op::Argsort(_) | Op::Collective(_) => {}
        }
    }
}
