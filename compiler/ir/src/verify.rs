//! The verifier: what every program must satisfy between passes.
//!
//! It reports everything it finds, so that one broken pass shows its whole damage at once.

mod collective;
mod expression;
mod operation;
#[cfg(test)]
mod tests;

use crate::affine::Scope;
use crate::arena::{Arena, Id};
use crate::expr::IndexId;
use crate::mesh::Mesh;
use crate::program::*;
use crate::spmd::{Layout, SpmdProgram};
use einmesh_diagnostics::Span;
use std::collections::BTreeSet;
use std::fmt;

/// A broken invariant: a bug of the pass that made the program, never of the user.
#[derive(Clone, PartialEq, Debug)]
pub struct Violation {
    /// What is wrong, naming values as `%name.id`.
    pub message: String,
    /// The source of the operation, where it is known.
    pub span: Option<Span>,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

/// Everything that is wrong with a program of one device.
pub fn verify(program: &Program) -> Vec<Violation> {
    let mut ctx = Ctx::new(program, None);
    ctx.program();
    ctx.violations
}

/// Everything that is wrong with a partitioned program.
pub fn verify_spmd(spmd: &SpmdProgram) -> Vec<Violation> {
    let mut ctx = Ctx::new(&spmd.program, Some(&spmd.mesh));
    ctx.program();
    let inputs = spmd.program.inputs.iter().map(|i| (&i.path, i.value));
    ctx.layouts("input", inputs.collect(), &spmd.inputs);
    let outputs = spmd.program.outputs.iter().map(|o| (&o.path, o.value));
    ctx.layouts("output", outputs.collect(), &spmd.outputs);
    ctx.violations
}

struct Ctx<'a> {
    program: &'a Program,
    /// Present for partitioned programs.
    mesh: Option<&'a Mesh>,
    /// The values that have been assigned anywhere so far.
    assigned: BTreeSet<ValueId>,
    /// The values that may be read here.
    visible: BTreeSet<ValueId>,
    /// The loops around here.
    loops: Vec<LoopVarId>,
    /// The counters of all loops seen so far.
    counters: BTreeSet<LoopVarId>,
    /// The operation at hand, for messages.
    subject: String,
    span: Option<Span>,
    violations: Vec<Violation>,
}

impl<'a> Ctx<'a> {
    fn new(program: &'a Program, mesh: Option<&'a Mesh>) -> Ctx<'a> {
        Ctx {
            program,
            mesh,
            assigned: BTreeSet::new(),
            visible: BTreeSet::new(),
            loops: Vec::new(),
            counters: BTreeSet::new(),
            subject: format!("program `{}`", program.name),
            span: None,
            violations: Vec::new(),
        }
    }

    fn report(&mut self, message: impl fmt::Display) {
        let message = format!("{}: {message}", self.subject);
        self.violations.push(Violation { message, span: self.span });
    }

    fn check(&mut self, holds: bool, message: impl FnOnce() -> String) {
        if !holds {
            self.report(message());
        }
    }

    fn scope<'s>(&'s self, comprehension: &'s Comprehension) -> Scope<'s> {
        let scope = Scope::new(self.program, comprehension);
        match self.mesh {
            Some(mesh) => scope.with_mesh(mesh),
            None => scope,
        }
    }

    fn program(&mut self) {
        let program = self.program;
        self.declarations();
        // An id outside of its arena makes everything else meaningless.
        if !self.violations.is_empty() {
            return;
        }
        for input in &program.inputs {
            self.assign(input.value);
            let stacked = input.tensor.matches("{}").count();
            self.axes("input", &input.path, input.value, &input.axes, stacked);
            if input.donated {
                self.donation(input);
            }
        }
        self.unique_paths("inputs", program.inputs.iter().map(|i| i.path.as_str()));
        self.block(&program.body);
        self.subject = format!("program `{}`", program.name);
        self.span = None;
        for output in &program.outputs {
            self.read(output.value);
            let stacked = output.tensor.matches("{}").count();
            self.axes("output", &output.path, output.value, &output.axes, stacked);
        }
        self.unique_paths("outputs", program.outputs.iter().map(|o| o.path.as_str()));
    }

    /// Ids within their arenas, and dims distinct.
    fn declarations(&mut self) {
        let program = self.program;
        for (id, dim) in program.dims.iter() {
            if let Some(of) = dim.role_of {
                self.check(of.index() < program.dims.len() && of != id, || {
                    format!("dim `{}` is a role of a dim that does not exist", dim.name)
                });
            }
        }
        for (id, value) in program.values.iter() {
            let known = value.dims.iter().all(|d| d.index() < program.dims.len());
            self.check(known, || format!("{} has an unknown dim", program.name_of(id)));
            let extents = value.dims.iter().filter_map(|d| program.dims.get(*d));
            let bytes = extents.map(|d| d.extent).try_fold(value.dtype.bytes(), u64::checked_mul);
            let countable = bytes.is_some_and(|b| i64::try_from(b).is_ok());
            self.check(countable, || format!("{} has too many elements", program.name_of(id)));
            let mut seen = BTreeSet::new();
            let distinct = value.dims.iter().all(|d| seen.insert(*d));
            self.check(distinct, || format!("{} names a dim twice", program.signature_of(id)));
        }
        for (id, var) in program.loop_vars.iter() {
            self.check(var.dim.index() < program.dims.len(), || {
                format!("loop counter {id:?} `{}` has an unknown dim", var.name)
            });
        }
    }

    fn axes(&mut self, what: &str, path: &str, value: ValueId, axes: &[usize], stacked: usize) {
        let Some(info) = self.program.values.get(value) else {
            return;
        };
        let counted = stacked + axes.iter().sum::<usize>();
        self.check(counted == info.dims.len(), || {
            let dims = info.dims.len();
            format!("{what} `{path}` describes {counted} dims of a value with {dims}")
        });
    }

    fn donation(&mut self, input: &Input) {
        let output = self.program.outputs.iter().find(|o| o.path == input.path);
        let Some(output) = output else {
            return self.report(format!("donated input `{}` has no output", input.path));
        };
        let matches = self.same_type(input.value, output.value);
        self.check(matches, || {
            format!("donated input `{}` has an output of another type", input.path)
        });
    }

    fn unique_paths<'p>(&mut self, what: &str, paths: impl Iterator<Item = &'p str>) {
        let mut seen = BTreeSet::new();
        for path in paths {
            self.check(seen.insert(path), || format!("two {what} have the path `{path}`"));
        }
    }

    fn same_type(&self, a: ValueId, b: ValueId) -> bool {
        match (self.program.values.get(a), self.program.values.get(b)) {
            (Some(a), Some(b)) => a.dtype == b.dtype && a.dims == b.dims,
            _ => false,
        }
    }

    /// Marks a value as assigned here; returns whether it exists.
    fn assign(&mut self, value: ValueId) -> bool {
        if self.program.values.get(value).is_none() {
            self.report(format!("{value:?} is assigned but not declared"));
            return false;
        }
        let first = self.assigned.insert(value);
        let name = || format!("{} is assigned twice", self.program.name_of(value));
        if !first {
            self.report(name());
        }
        self.visible.insert(value);
        true
    }

    /// Checks that a value may be read here; returns whether it exists.
    fn read(&mut self, value: ValueId) -> bool {
        if self.program.values.get(value).is_none() {
            self.report(format!("{value:?} is read but not declared"));
            return false;
        }
        if !self.visible.contains(&value) {
            let name = self.program.name_of(value);
            let why = if self.assigned.contains(&value) {
                "outside of the block that assigns it"
            } else {
                "before it is assigned"
            };
            self.report(format!("{name} is read {why}"));
        }
        true
    }

    fn block(&mut self, block: &Block) {
        for op in &block.ops {
            let defines = op.defines();
            let names: Vec<String> = defines.iter().map(|v| self.program.name_of(*v)).collect();
            self.subject = names.join(", ");
            let first = defines.first().and_then(|v| self.program.values.get(*v));
            self.span = first.and_then(|v| v.origin.span);
            match op {
                Op::Compute(comprehension) => self.comprehension(comprehension),
                Op::Loop(body) => self.repetition(body),
                Op::Argsort(sort) => self.argsort(sort),
                Op::Collective(collective) => self.collective(collective),
            }
        }
    }

    fn layouts(&mut self, what: &str, values: Vec<(&String, ValueId)>, layouts: &[Layout]) {
        let (program, mesh) = (self.program, self.mesh.expect("layouts are of a mesh"));
        self.check(values.len() == layouts.len(), || {
            format!("{} {what}s have {} layouts", values.len(), layouts.len())
        });
        for ((path, value), layout) in values.into_iter().zip(layouts) {
            let Some(info) = program.values.get(value) else {
                continue;
            };
            self.check(info.dims.len() == layout.dims.len(), || {
                format!("the layout of {what} `{path}` has another number of dims")
            });
            let mut seen = BTreeSet::new();
            for (dim, split) in info.dims.iter().zip(&layout.dims) {
                let dim = &program.dims[*dim];
                if split.axes.iter().any(|a| mesh.axes.get(*a).is_none()) {
                    self.report(format!(
                        "the layout of {what} `{path}` names an unknown mesh axis"
                    ));
                    continue;
                }
                let distinct = split.axes.iter().all(|a| seen.insert(*a));
                self.check(distinct, || {
                    format!("the layout of {what} `{path}` uses a mesh axis twice")
                });
                let devices = mesh.size_of(&split.axes).max(1);
                let local = split.global.div_ceil(devices);
                self.check(split.local == local && dim.extent == local, || {
                    format!(
                        "the layout of {what} `{path}` gives {} of {}'s {} positions to each of {devices} \
                         devices, the program has {}",
                        split.local, dim.name, split.global, dim.extent
                    )
                });
            }
        }
    }
}

/// The dims of a comprehension's indices.
fn dims_of(indices: &Arena<IndexId, Index>) -> Vec<DimId> {
    indices.values().map(|i| i.dim).collect()
}
