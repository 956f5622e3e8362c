//! What the decorators ask of each value, before propagation.

mod dims;
mod padding;
mod values;

use crate::groups::Groups;
use crate::mesh::{self, place};
use crate::settle::State;
use einmesh_diagnostics::codes::plan as codes;
use einmesh_diagnostics::{Diagnostic, Diagnostics, Span};
use einmesh_ir::{DimId, Directives, Mesh, MeshAxisId, Program, ValueId};
use std::collections::{BTreeMap, BTreeSet};

/// The requests on one group and axis.
#[derive(Clone, PartialEq, Debug)]
struct Asked {
    state: State,
    /// The decorator, as written.
    text: String,
    span: Option<Span>,
}

/// What is asked for.
pub(crate) struct Requests {
    asked: BTreeMap<(usize, MeshAxisId), Asked>,
    /// All axes of the mesh in the order in which they split a dim, major to minor: that of the
    /// decorators.
    pub(crate) order: Vec<MeshAxisId>,
    /// Where a value's own decorator lists the axes of one dim in an order of its own.
    pub(crate) own_order: BTreeMap<(ValueId, usize), Vec<MeshAxisId>>,
    /// The axes that a decorator names.
    pub(crate) named: BTreeSet<MeshAxisId>,
}

impl Requests {
    /// Whether no decorator says how a group is held over an axis.
    pub(crate) fn is_open(&self, group: usize, axis: MeshAxisId) -> bool {
        !self.asked.contains_key(&(group, axis))
    }

    /// The states of all groups before propagation over an axis.
    pub(crate) fn states(&self, axis: MeshAxisId, groups: usize) -> Vec<State> {
        let asked = |group| self.asked.get(&(group, axis)).map(|asked| asked.state.clone());
        (0..groups).map(|group| asked(group).unwrap_or(State::Open)).collect()
    }
}

/// Resolves the `@shard` decorators; mistakes are reported and left out.
pub(crate) fn resolve(
    program: &Program,
    directives: &Directives,
    mesh: &Mesh,
    groups: &Groups,
    found: &mut Diagnostics,
) -> Requests {
    let mut ctx = Ctx {
        program,
        directives,
        mesh,
        groups,
        found,
        requests: Requests {
            asked: BTreeMap::new(),
            order: Vec::new(),
            own_order: BTreeMap::new(),
            named: BTreeSet::new(),
        },
    };
    let dims: Vec<Option<MeshAxisId>> =
        directives.shard.iter().map(|rule| ctx.axis(&rule.axis, &rule.text, rule.span)).collect();
    for (number, rule) in directives.shard_values.iter().enumerate() {
        ctx.shard_value(directives.shard.len() + number, rule);
    }
    ctx.shard_dims(&dims);
    ctx.check_padding(&dims);
    for axis in mesh.axes.ids() {
        ctx.name(axis);
    }
    ctx.requests
}

struct Ctx<'a> {
    program: &'a Program,
    directives: &'a Directives,
    mesh: &'a Mesh,
    groups: &'a Groups,
    found: &'a mut Diagnostics,
    requests: Requests,
}

impl Ctx<'_> {
    fn axis(&mut self, name: &str, text: &str, span: Option<Span>) -> Option<MeshAxisId> {
        let axis = mesh::axis(self.mesh, self.directives, name, text, span, self.found)?;
        self.requests.named.insert(axis);
        self.name(axis);
        Some(axis)
    }

    fn name(&mut self, axis: MeshAxisId) {
        if !self.requests.order.contains(&axis) {
            self.requests.order.push(axis);
        }
    }

    fn dim_name(&self, dim: DimId) -> &str {
        &self.program.dims[dim].name
    }

    fn warn_no_effect(&mut self, text: &str, span: Option<Span>, why: &str) {
        let entry = &self.program.name;
        let message = format!("`{text}` has no effect on `{entry}`");
        self.found.push(place(Diagnostic::warning(codes::NO_EFFECT, message), span, why));
    }
}

/// Warns of mesh axes that split nothing.
pub(crate) fn warn_unused(
    directives: &Directives,
    mesh: &Mesh,
    named: &BTreeSet<MeshAxisId>,
    found: &mut Diagnostics,
) {
    for (id, axis) in mesh.axes.iter() {
        if !named.contains(&id) && axis.size > 1 {
            let message = format!("no decorator uses mesh axis `{}`", axis.name);
            let label = format!("its {} devices all do the same", axis.size);
            let warning = Diagnostic::warning(codes::UNUSED_MESH_AXIS, message)
                .help(format!("split something over it: `@shard({}: B)`", axis.name));
            found.push(place(warning, directives.mesh_span, &label));
        }
    }
}
