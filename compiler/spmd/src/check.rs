//! Which plans are well-formed.

use crate::grid::combines;
use einmesh_ir::{Block, Id, MeshAxisId, Op, Program, Reducer, Value};
use einmesh_plan::Plan;

/// What is wrong with a plan for a program; empty if it is well-formed.
///
/// Each value has a placement with one list of axes per dim; each comprehension has axes for each
/// of its indices; an axis occurs at most once in a placement and in a comprehension; partial
/// values have one reducer, which combines elements of their type; arguments are not partial.
pub fn check(program: &Program, plan: &Plan) -> Vec<String> {
    let mut checker = Checker { program, plan, found: Vec::new() };
    checker.mesh();
    checker.shardings();
    checker.block(&program.body);
    checker.found
}

struct Checker<'a> {
    program: &'a Program,
    plan: &'a Plan,
    found: Vec<String>,
}

impl Checker<'_> {
    fn mesh(&mut self) {
        for axis in self.plan.mesh.axes.values().filter(|a| a.size == 0) {
            self.found.push(format!("mesh axis `{}` has no devices", axis.name));
        }
    }

    /// Each axis exists and occurs once.
    fn axes<'a>(&mut self, place: &str, axes: impl Iterator<Item = &'a MeshAxisId>) {
        let mut seen: Vec<MeshAxisId> = Vec::new();
        for axis in axes {
            match self.plan.mesh.axes.get(*axis) {
                None => self.found.push(format!("{place}: there is no mesh axis {axis:?}")),
                Some(a) if seen.contains(axis) => {
                    self.found.push(format!("{place}: mesh axis `{}` occurs twice", a.name));
                }
                Some(_) => seen.push(*axis),
            }
        }
    }

    fn shardings(&mut self) {
        let (values, shardings) = (self.program.values.len(), self.plan.shardings.len());
        if values != shardings {
            self.found.push(format!("{values} values, but {shardings} placements"));
            return;
        }
        for (id, sharding) in self.plan.shardings.iter() {
            let Value { name, dtype, dims, .. } = &self.program.values[id];
            let place = format!("value {id:?} `{name}`");
            if sharding.spec.len() != dims.len() {
                let (specs, dims) = (sharding.spec.len(), dims.len());
                self.found.push(format!("{place}: {dims} dims, but {specs} lists of axes"));
            }
            let partial = sharding.partial.iter().map(|(a, _)| a);
            self.axes(&place, sharding.spec.iter().flatten().chain(partial));
            let mut reducers: Vec<Reducer> = sharding.partial.iter().map(|(_, r)| *r).collect();
            reducers.dedup();
            if reducers.len() > 1 {
                self.found.push(format!("{place}: partial with several reducers"));
            }
            if let Some(reducer) = reducers.into_iter().find(|r| !combines(*r, *dtype)) {
                self.found.push(format!("{place}: {reducer:?} does not combine {dtype}"));
            }
        }
        for input in &self.program.inputs {
            if !self.plan.shardings[input.value].partial.is_empty() {
                self.found.push(format!("argument `{}` is partial", input.path));
            }
        }
    }

    fn block(&mut self, block: &Block) {
        for op in &block.ops {
            match op {
                Op::Compute(c) => {
                    let place = format!("comprehension of {:?}", c.out);
                    match self.plan.loops.get(&c.out) {
                        None => self.found.push(format!("{place}: no axes for its indices")),
                        Some(axes) if axes.len() != c.indices.len() => {
                            let (have, want) = (axes.len(), c.indices.len());
                            self.found.push(format!("{place}: {want} indices, but {have} lists"));
                        }
                        Some(axes) => self.axes(&place, axes.iter().flatten()),
                    }
                    if c.out.index() >= self.program.values.len() {
                        self.found.push(format!("{place}: there is no such value"));
                    }
                }
                Op::Loop(l) => self.block(&l.body),
                Op::Argsort(_) => {}
                Op::Collective(c) => {
                    self.found.push(format!("the program has a collective already: {:?}", c.out));
                }
            }
        }
    }
}
