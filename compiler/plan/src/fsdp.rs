//! `@fsdp(axis: Record)`: parameters are stored in parts and gathered where they are used.
//!
//! This does not change how the operations that read parameters are divided: they find an operand
//! split along a dim they need whole, and gather it, inside of the loop that reads one layer at a
//! time. What only makes new parameters is divided as they are stored: see `owners`.

mod owners;

use crate::groups::Groups;
use crate::mesh::{self, place};
use crate::requests::Requests;
use crate::rules::Rules;
use crate::{Plan, Reason};
use einmesh_diagnostics::codes::plan as codes;
use einmesh_diagnostics::suggest::nearest;
use einmesh_diagnostics::{Diagnostic, Diagnostics};
use einmesh_ir::directive::Fsdp;
use einmesh_ir::{Directives, Input, MeshAxisId, Program};
use std::collections::BTreeSet;

/// Splits the leaves of the records that the `@fsdp` decorators name.
pub(crate) fn apply(
    program: &Program,
    directives: &Directives,
    groups: &Groups,
    rules: &Rules,
    plan: &mut Plan,
    requests: &mut Requests,
    found: &mut Diagnostics,
) {
    for rule in &directives.fsdp {
        let mesh = &plan.mesh;
        let axis = mesh::axis(mesh, directives, &rule.axis, &rule.text, rule.span, found);
        let leaves: Vec<&Input> =
            program.inputs.iter().filter(|i| i.records.contains(&rule.record)).collect();
        if leaves.is_empty() {
            found.push(unknown_record(program, rule));
            continue;
        }
        let Some(axis) = axis else { continue };
        requests.named.insert(axis);
        if plan.mesh.axes[axis].size <= 1 {
            continue;
        }
        let mut whole: Vec<&Input> = Vec::new();
        let mut any = false;
        for leaf in leaves {
            match split(program, groups, plan, rule, axis, leaf) {
                Outcome::Split => any = true,
                Outcome::Indivisible => whole.push(leaf),
                Outcome::Taken => {}
            }
        }
        if !any && whole.is_empty() {
            let message = format!("`{}` has no effect on `{}`", rule.text, program.name);
            let warning = Diagnostic::warning(codes::NO_EFFECT, message);
            found.push(place(warning, rule.span, "every leaf is split already"));
        }
        if any {
            owners::divide(program, groups, rules, requests, plan, (axis, &rule.text));
        }
        warn_whole(program, plan, rule, axis, &whole, found);
    }
}

/// What became of a leaf.
enum Outcome {
    /// It is split now.
    Split,
    /// The axis splits it already, or others split all its dims.
    Taken,
    /// It has free dims, but no divisible one.
    Indivisible,
}

/// Splits one leaf on its first free divisible dim.
fn split(
    program: &Program,
    groups: &Groups,
    plan: &mut Plan,
    rule: &Fsdp,
    axis: MeshAxisId,
    leaf: &Input,
) -> Outcome {
    let sharding = &plan.shardings[leaf.value];
    let size = plan.mesh.axes[axis].size;
    let dims = &program.values[leaf.value].dims;
    let mut free = (stacked(leaf)..dims.len()).filter(|p| sharding.spec[*p].is_empty()).peekable();
    if sharding.splits(axis) || free.peek().is_none() {
        return Outcome::Taken;
    }
    let divisible = free.find(|position| {
        let extent = program.dims[dims[*position]].extent;
        extent > 0 && extent.is_multiple_of(size)
    });
    let Some(position) = divisible else {
        return Outcome::Indivisible;
    };
    let slot = groups.slot(leaf.value, position);
    for value in groups.members(groups.group(leaf.value)) {
        let Some(position) = groups.position(*value, slot) else {
            continue;
        };
        plan.shardings[*value].spec[position].push(axis);
        let dim = program.dims[program.values[*value].dims[position]].name.clone();
        let reason = Reason { dim, decorator: rule.text.clone() };
        plan.reasons.entry((*value, axis)).or_insert(reason);
    }
    Outcome::Split
}

/// How many of the leaf's first dims stack layers.
fn stacked(leaf: &Input) -> usize {
    leaf.tensor.matches("{}").count()
}

/// Names the leaves that stay whole.
fn warn_whole(
    program: &Program,
    plan: &Plan,
    rule: &Fsdp,
    axis: MeshAxisId,
    whole: &[&Input],
    found: &mut Diagnostics,
) {
    let Some(first) = whole.first() else { return };
    let more = match whole.len() {
        1 => String::new(),
        2 => " and one more leaf".to_owned(),
        n => format!(" and {} more leaves", n - 1),
    };
    let size = plan.mesh.axes[axis].size;
    let message = format!(
        "`{}`{more} cannot be split over the {size} devices of `{}`",
        first.path, rule.axis
    );
    let mut warning = Diagnostic::warning(codes::FSDP_INDIVISIBLE, message);
    warning = place(warning, rule.span, "every device keeps all of it");
    for leaf in whole {
        let dims = program.values[leaf.value].dims[stacked(leaf)..].iter();
        let dims: Vec<String> = dims
            .map(|d| format!("{} = {}", program.dims[*d].name, program.dims[*d].extent))
            .collect();
        warning = warning.note(format!(
            "{size} divides no free dim of `{}`: {}",
            leaf.path,
            dims.join(", ")
        ));
    }
    found.push(warning);
}

fn unknown_record(program: &Program, rule: &Fsdp) -> Diagnostic {
    let message = format!("`{}` names record `{}`, which no argument has", rule.text, rule.record);
    let error = Diagnostic::error(codes::UNKNOWN_RECORD, message);
    let error = place(error, rule.span, &format!("no argument holds a `{}`", rule.record));
    let names: BTreeSet<&str> =
        program.inputs.iter().flat_map(|i| i.records.iter().map(String::as_str)).collect();
    match nearest(&rule.record, names.iter().copied()) {
        Some(near) => error.help(format!("did you mean `{near}`?")),
        None if names.is_empty() => {
            error.note(format!("no argument of `{}` is a record", program.name))
        }
        None => {
            let all: Vec<&str> = names.into_iter().collect();
            error.help(format!("the arguments' records are `{}`", all.join("`, `")))
        }
    }
}
