//! Prefetch: what a loop gathers of memory that it only reads is gathered one iteration ahead.
//!
//! Under fully sharded data parallelism (Rajbhandari et al. 2020; Zhao et al. 2023) each iteration gathers its
//! layer's parameters and computes with them. Which layer comes next is known, so its parameters can be on their way
//! while this one is computed. A gather is moved, with the kernels that it alone needs, if all of it depends on
//! nothing but counters and memory that the loop does not write. What the iteration then finds gathered has two
//! places that change roles.

use crate::kernel::{Kernel, Role};
use crate::order::{Action, Order};
use einmesh_ir::{CollectiveKind, MeshAxisId, Program, ValueId};
use std::collections::{BTreeMap, BTreeSet};

/// What a loop does for its next iteration.
#[derive(Debug, Default)]
pub struct Ahead {
    /// Launches and collectives, in order.
    pub actions: Vec<Action>,
    /// Pairs of values that exchange their memory when an iteration begins: one that is written ahead, and the one
    /// that the iteration reads.
    pub handed: Vec<(ValueId, ValueId)>,
}

/// Moves gathers over these mesh axes ahead, in all loops where that can be done. May add values to the program.
pub fn gather_ahead(program: &mut Program, order: &mut Order, axes: &[MeshAxisId]) {
    if !axes.is_empty() {
        let mut actions = std::mem::take(&mut order.actions);
        visit(program, &order.kernels, &mut actions, axes);
        order.actions = actions;
    }
}

/// Visits loops, inner ones first; whether something was moved. One iteration is ahead at a time: a loop around such
/// a loop stays as it is.
fn visit(
    program: &mut Program,
    kernels: &[Kernel],
    actions: &mut [Action],
    axes: &[MeshAxisId],
) -> bool {
    let mut moved = false;
    for action in actions {
        let Action::Loop { var, condition, ahead, body, .. } = action else {
            continue;
        };
        let inside = visit(program, kernels, body, axes);
        let trips = program.dims[program.loop_vars[*var].dim].extent;
        // After a `while`'s iteration there may be no other, and what was gathered for it would be in vain.
        if !inside && condition.is_none() && trips > 1 {
            *ahead = split(program, kernels, body, axes);
        }
        moved |= inside || !ahead.actions.is_empty();
    }
    moved
}

/// Takes what can be done ahead out of a loop's body.
fn split(
    program: &mut Program,
    kernels: &[Kernel],
    body: &mut Vec<Action>,
    axes: &[MeshAxisId],
) -> Ahead {
    let chosen = choose(kernels, body, axes);
    let (early, own): (Vec<_>, Vec<_>) =
        std::mem::take(body).into_iter().enumerate().partition(|(n, _)| chosen.contains(n));
    let mut ahead = Ahead::default();
    ahead.actions.extend(early.into_iter().map(|(_, action)| action));
    body.extend(own.into_iter().map(|(_, action)| action));

    let mut read = BTreeSet::new();
    body.iter().for_each(|action| mentioned(action, &mut read));
    let mut made: Vec<ValueId> = ahead.actions.iter().flat_map(|a| writes(kernels, a)).collect();
    made.retain(|value| read.contains(value));
    let mut next: BTreeMap<ValueId, ValueId> = BTreeMap::new();
    for value in made {
        let copy = program.values.push(program.values[value].clone());
        next.insert(value, copy);
        ahead.handed.push((copy, value));
    }
    let rename = |value: &mut ValueId| *value = next.get(value).copied().unwrap_or(*value);
    for action in &mut ahead.actions {
        match action {
            Action::Launch { operands, .. } => operands.iter_mut().for_each(rename),
            Action::Collective(c) => [&mut c.input, &mut c.out].into_iter().for_each(rename),
            Action::Copy { .. } | Action::Advance { .. } | Action::Loop { .. } => {}
        }
    }
    ahead
}

/// The positions of the gathers over some of the axes that can be done ahead, and of what they need.
fn choose(kernels: &[Kernel], body: &[Action], axes: &[MeshAxisId]) -> BTreeSet<usize> {
    let mut written: BTreeMap<ValueId, usize> = BTreeMap::new();
    body.iter().for_each(|action| count_writes(kernels, action, &mut written));
    // A copied value may be one memory with its copy, and has no place of its own to be exchanged.
    let mut copied = BTreeSet::new();
    for action in body {
        if matches!(action, Action::Copy { .. } | Action::Advance { .. }) {
            mentioned(action, &mut copied);
        }
    }
    // Who writes each value that can be written ahead.
    let mut early: BTreeMap<ValueId, usize> = BTreeMap::new();
    for (position, action) in body.iter().enumerate() {
        let known = |value: &ValueId| !written.contains_key(value) || early.contains_key(value);
        let own = |value: &ValueId| written[value] == 1 && !copied.contains(value);
        let able = match action {
            Action::Launch { kernel, operands, .. } => {
                let roles = kernels[*kernel].values.iter().map(|memory| memory.role);
                operands.iter().zip(roles).all(|(value, role)| match role {
                    Role::Read => known(value),
                    Role::Write => own(value),
                    Role::Update | Role::Local => false,
                })
            }
            Action::Collective(c) => known(&c.input) && own(&c.out),
            Action::Copy { .. } | Action::Advance { .. } | Action::Loop { .. } => false,
        };
        if able {
            early.extend(writes(kernels, action).into_iter().map(|value| (value, position)));
        }
    }
    let wanted = |action: &Action| match action {
        Action::Collective(c) => {
            matches!(c.kind, CollectiveKind::AllGather { .. })
                && c.axes.iter().any(|axis| axes.contains(axis))
        }
        _ => false,
    };
    let mut waiting: Vec<usize> =
        early.values().copied().filter(|position| wanted(&body[*position])).collect();
    let mut chosen = BTreeSet::new();
    while let Some(position) = waiting.pop() {
        if chosen.insert(position) {
            let mut read = BTreeSet::new();
            mentioned(&body[position], &mut read);
            waiting.extend(read.iter().filter_map(|value| early.get(value)));
        }
    }
    chosen
}

/// What an action writes itself, but for what loops do inside.
fn writes(kernels: &[Kernel], action: &Action) -> Vec<ValueId> {
    match action {
        Action::Launch { kernel, operands, .. } => {
            let roles = kernels[*kernel].values.iter().map(|memory| memory.role);
            let written = operands.iter().zip(roles).filter(|(_, role)| *role != Role::Read);
            written.map(|(value, _)| *value).collect()
        }
        Action::Copy { to, .. } | Action::Advance { to, .. } => vec![*to],
        Action::Loop { results, .. } => results.clone(),
        Action::Collective(c) => vec![c.out],
    }
}

/// Counts the actions that write each value, those inside of loops included.
fn count_writes(kernels: &[Kernel], action: &Action, count: &mut BTreeMap<ValueId, usize>) {
    for value in writes(kernels, action) {
        *count.entry(value).or_default() += 1;
    }
    if let Action::Loop { ahead, body, .. } = action {
        for inner in ahead.actions.iter().chain(body) {
            count_writes(kernels, inner, count);
        }
    }
}

/// All values that an action has to do with.
fn mentioned(action: &Action, into: &mut BTreeSet<ValueId>) {
    match action {
        Action::Launch { operands, .. } => into.extend(operands),
        Action::Copy { from, to } | Action::Advance { from, to } => into.extend([from, to]),
        Action::Loop { condition, ahead, body, results, .. } => {
            into.extend(condition.iter().chain(results));
            into.extend(ahead.handed.iter().flat_map(|(a, b)| [*a, *b]));
            ahead.actions.iter().chain(body).for_each(|inner| mentioned(inner, into));
        }
        Action::Collective(c) => into.extend([c.input, c.out]),
    }
}
