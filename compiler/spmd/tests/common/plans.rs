//! Random meshes and well-formed plans.

use super::Rng;
use einmesh_ir::directive::ShardDims;
use einmesh_ir::{
    Arena, Block, Comprehension, DType, DimId, Directives, Mesh, MeshAxisId, Op, Program, Reducer,
    Sharding,
};
use einmesh_plan::Plan;

/// One to three axes with at most 12 devices.
pub fn mesh(rng: &mut Rng) -> Mesh {
    loop {
        let sizes: Vec<u64> =
            (0..1 + rng.below(3)).map(|_| *rng.pick(&[1, 2, 2, 3, 4, 6])).collect();
        if sizes.iter().product::<u64>() <= 12 {
            return Mesh::new(["x", "y", "z"].into_iter().zip(sizes));
        }
    }
}

/// A plan of one of the kinds below.
pub fn any(rng: &mut Rng, program: &Program, mesh: &Mesh) -> Plan {
    match rng.below(4) {
        0 => by_dims(rng, program, mesh),
        1 => planned(rng, program, mesh),
        _ => arbitrary(rng, program, mesh),
    }
}

/// A plan in which each axis splits the same dims everywhere, so that most operands fit.
pub fn by_dims(rng: &mut Rng, program: &Program, mesh: &Mesh) -> Plan {
    let mut dims: Vec<DimId> = program.dims.ids().collect();
    rng.shuffle(&mut dims);
    let count = dims.len();
    let split: Vec<(MeshAxisId, Vec<DimId>)> =
        axes(rng, mesh).into_iter().map(|a| (a, dims.split_off(dims.len() - count / 3))).collect();
    let place = |of: &[DimId]| {
        let mut spec = vec![Vec::new(); of.len()];
        for (axis, wanted) in &split {
            let first = of.iter().position(|d| wanted.contains(d));
            if let Some(at) = first {
                spec[at].push(*axis);
            }
        }
        spec
    };
    let mut plan = Plan { mesh: mesh.clone(), ..Plan::default() };
    let values = program.values.values();
    plan.shardings =
        values.map(|v| Sharding { spec: place(&v.dims), partial: Vec::new() }).collect();
    each_comprehension(&program.body, &mut |c| {
        let of: Vec<DimId> = c.indices.values().map(|i| i.dim).collect();
        plan.loops.insert(c.out, place(&of));
    });
    plan
}

/// What the planner makes of random `@shard` decorators.
pub fn planned(rng: &mut Rng, program: &Program, mesh: &Mesh) -> Plan {
    let mut directives = Directives::default();
    let mut dims: Vec<DimId> = program.dims.ids().collect();
    rng.shuffle(&mut dims);
    for axis in mesh.axes.values() {
        directives.mesh.push((axis.name.clone(), axis.size));
        let count = 1 + rng.below(2);
        directives.shard.push(ShardDims {
            axis: axis.name.clone(),
            dims: dims.split_off(dims.len() - count).into_iter().map(|d| (d, None)).collect(),
            pad: true,
            text: format!("@shard({})", axis.name),
            span: None,
        });
    }
    let (plan, found) = einmesh_plan::plan(program, &directives);
    if found.has_errors() { by_dims(rng, program, mesh) } else { plan }
}

/// Any placements that the contract allows.
pub fn arbitrary(rng: &mut Rng, program: &Program, mesh: &Mesh) -> Plan {
    let mut plan = Plan { mesh: mesh.clone(), ..Plan::default() };
    let mut shardings: Arena<_, Sharding> = Arena::new();
    for (id, value) in program.values.iter() {
        let mut sharding = Sharding::replicated(value.dims.len());
        let input = program.inputs.iter().any(|i| i.value == id);
        let reducers: &[Reducer] = match value.dtype {
            DType::Bool => &[Reducer::Any, Reducer::All],
            DType::Key => &[],
            _ => &[Reducer::Sum, Reducer::Sum, Reducer::Max, Reducer::Min, Reducer::Prod],
        };
        let reducer = if reducers.is_empty() { None } else { Some(*rng.pick(reducers)) };
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
    each_comprehension(&program.body, &mut |c| {
        let mut split = vec![Vec::new(); c.indices.len()];
        for axis in axes(rng, mesh) {
            if !split.is_empty() && rng.chance(70) {
                let index = rng.below(split.len());
                split[index].push(axis);
            }
        }
        plan.loops.insert(c.out, split);
    });
    plan
}

/// The axes in random order.
fn axes(rng: &mut Rng, mesh: &Mesh) -> Vec<MeshAxisId> {
    let mut axes: Vec<MeshAxisId> = mesh.axes.ids().collect();
    rng.shuffle(&mut axes);
    axes
}

fn each_comprehension(block: &Block, visit: &mut impl FnMut(&Comprehension)) {
    for op in &block.ops {
        match op {
            Op::Compute(c) => visit(c),
            Op::Loop(l) => each_comprehension(&l.body, visit),
            Op::Argsort(_) | Op::Collective(_) => {}
        }
    }
}
