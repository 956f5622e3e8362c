//! Results where they are wanted: kernels write a loop's collected values into their stacks, and new states over the
//! donated inputs that they take the place of, rather than into memory of their own that is then copied.

use crate::build::Number;
use crate::inline::zero;
use crate::kernel::{Body, Kernel, Nest, Role};
use crate::order::{Action, Order, intern};
use einmesh_ir::{Collected, DType, Expr, Id, Loop, LoopVarId, Program, Reducer, ValueId};

/// Makes the kernels of a loop's body read and write a collected value in its stack; whether they could be.
///
/// They can if one of them writes the value and only kernels read it.
pub fn into_stack(
    program: &Program,
    kernels: &mut Vec<Kernel>,
    body: &mut [Action],
    l: &Loop,
    collected: &Collected,
) -> bool {
    let value = collected.value;
    let again = l.collected.iter().filter(|c| c.value == value).count() > 1;
    let carried = l.carried.iter().any(|c| c.exit == value) || l.condition == Some(value);
    if again || carried || writers(kernels, body, value, true) != Some(1) {
        return false;
    }
    let stack = program.extents(collected.result)[collected.position];
    redirect(kernels, body, collected, stack, l.var);
    true
}

/// How many kernels write a value, if nothing else has to do with it.
fn writers(
    kernels: &[Kernel],
    actions: &[Action],
    value: ValueId,
    outermost: bool,
) -> Option<usize> {
    let mut count = 0;
    for action in actions {
        match action {
            Action::Launch { kernel, operands, .. } => {
                let kernel = &kernels[*kernel];
                let Some(at) = operands.iter().position(|v| *v == value) else {
                    continue;
                };
                match (kernel.values[at].role, &kernel.body) {
                    (_, Body::Argsort { .. }) | (Role::Update | Role::Local, _) => return None,
                    (Role::Write, _) if outermost => count += 1,
                    (Role::Write, _) => return None,
                    (Role::Read, _) => {}
                }
            }
            // Nothing is done ahead yet: that is decided when all results have their places.
            Action::Loop { condition, body, results, .. } => {
                if *condition == Some(value) || results.contains(&value) {
                    return None;
                }
                writers(kernels, body, value, false)?;
            }
            _ if mentions(action, value) => return None,
            _ => {}
        }
    }
    Some(count)
}

/// Whether an action has to do with a value.
fn mentions(action: &Action, value: ValueId) -> bool {
    match action {
        Action::Launch { operands, .. } => operands.contains(&value),
        Action::Copy { from, to } | Action::Advance { from, to } => *from == value || *to == value,
        Action::Collective(c) => c.input == value || c.out == value,
        Action::Loop { condition, body, results, .. } => {
            *condition == Some(value)
                || results.contains(&value)
                || body.iter().any(|a| mentions(a, value))
        }
    }
}

/// Makes launches work on a place of the stack instead of the value.
fn redirect(
    kernels: &mut Vec<Kernel>,
    actions: &mut [Action],
    collected: &Collected,
    stack: u64,
    var: LoopVarId,
) {
    for action in actions {
        match action {
            Action::Launch { kernel, operands, ints } => {
                let Some(at) = operands.iter().position(|v| *v == collected.value) else {
                    continue;
                };
                let number = Number::LoopVar(var);
                let slot = ints.iter().position(|n| *n == number).unwrap_or_else(|| {
                    ints.push(number);
                    ints.len() - 1
                });
                operands[at] = collected.result;
                let mut own = kernels[*kernel].clone();
                own.ints = u32::try_from(ints.len()).expect("fewer than 2^32 launch numbers");
                let memory = &mut own.values[at];
                memory.extents.insert(collected.position, stack);
                if memory.role == Role::Write {
                    memory.role = Role::Update;
                }
                let (at, counter) = (ValueId::from_index(at), LoopVarId::from_index(slot));
                insert_sub(&mut own.body, at, collected.position, &Expr::LoopVar(counter));
                *kernel = intern(kernels, own);
            }
            Action::Loop { body, .. } => redirect(kernels, body, collected, stack, var),
            _ => {}
        }
    }
}

/// Gives all subscripts of a value another one.
fn insert_sub(body: &mut Body, value: ValueId, position: usize, sub: &Expr) {
    for expr in body.exprs_mut() {
        replace_loads(expr, &mut |load| {
            if load.value == value {
                load.subs.insert(position, sub.clone());
            }
        });
    }
    for target in body.targets_mut() {
        if target.value == value {
            target.subs.insert(position, sub.clone());
        }
    }
}

fn replace_loads(expr: &mut Expr, change: &mut impl FnMut(&mut einmesh_ir::Load)) {
    let taken = std::mem::replace(expr, zero(DType::Bool));
    *expr = taken.map(&mut |node| match node {
        Expr::Load(mut load) => {
            change(&mut load);
            Expr::Load(load)
        }
        other => other,
    });
}

/// Makes nests that compute a new state from the input of the same path, of which they are the last readers, write over it.
pub fn over_inputs(program: &Program, order: &mut Order) {
    for output in &program.outputs {
        let new = output.value;
        let mut inputs = program.inputs.iter().filter(|i| i.donated && i.path == output.path);
        let Some(old) = inputs.next().map(|i| i.value) else {
            continue;
        };
        let alike = program.values[old].dtype == program.values[new].dtype
            && program.extents(old) == program.extents(new);
        let kept = program.outputs.iter().any(|o| o.value == old);
        if old == new || !alike || kept {
            continue;
        }
        let writes = |action: &Action| {
            matches!(action, Action::Launch { operands, .. }
                if operands.contains(&new) && operands.contains(&old))
        };
        // Every later action would find the new state.
        let Some(at) = order.actions.iter().rposition(|a| mentions(a, old)) else {
            continue;
        };
        if !writes(&order.actions[at]) || order.actions[..at].iter().any(|a| mentions(a, new)) {
            continue;
        }
        let Action::Launch { kernel, operands, .. } = &mut order.actions[at] else {
            continue;
        };
        let place = |value| operands.iter().position(|v| *v == value);
        let (Some(from), Some(to)) = (place(old), place(new)) else {
            continue;
        };
        let Some(own) = updated(&order.kernels[*kernel], from, to) else {
            continue;
        };
        operands.remove(from);
        *kernel = intern(&mut order.kernels, own);
        order.actions.insert(at, Action::Copy { from: old, to: new });
    }
}

/// A nest that finds in the operand `to`, which it writes, what it read from `from` before; `None` if it would find new
/// elements among them.
fn updated(kernel: &Kernel, from: usize, to: usize) -> Option<Kernel> {
    let Body::Nest(nest) = &kernel.body else {
        return None;
    };
    let (old, new) = (ValueId::from_index(from), ValueId::from_index(to));
    if kernel.values[to].role != Role::Write || !reads_before_writing(nest, old, new) {
        return None;
    }
    let mut own = kernel.clone();
    own.values.remove(from);
    let moved = |value: ValueId| {
        let value = if value == old { new } else { value };
        ValueId::from_index(value.index() - usize::from(value.index() > from))
    };
    for expr in own.body.exprs_mut() {
        replace_loads(expr, &mut |load| load.value = moved(load.value));
    }
    for target in own.body.targets_mut() {
        target.value = moved(target.value);
    }
    own.values[moved(new).index()].role = Role::Update;
    Some(own)
}

/// Whether each element of `old` is read only before the element of `new` in its place is written, by the same outer
/// point: then they can be one memory.
fn reads_before_writing(nest: &Nest, old: ValueId, new: ValueId) -> bool {
    let mut writes = nest.stages.iter().enumerate().filter(|(_, s)| s.target.value == new);
    let (Some((last, writer)), None) = (writes.next(), writes.next()) else {
        return false;
    };
    let target = &writer.target;
    let plain = !target.store && target.combine == Reducer::None && writer.reduced.is_empty();
    let is_outer = |sub: &Expr| matches!(sub, Expr::Index(i) if nest.outer.contains(i));
    let reads = nest.stages.iter().enumerate().all(|(at, stage)| {
        let exprs = std::iter::once(&stage.body).chain(&stage.guard).chain(&stage.target.subs);
        exprs.flat_map(Expr::loads).filter(|l| l.value == old).all(|load| {
            let same = |only: &dyn Fn(&Expr) -> bool| {
                target.subs.iter().zip(&load.subs).all(|(a, b)| !only(a) || a == b)
            };
            at < last && same(&is_outer) || at == last && same(&|_| true)
        })
    });
    plain && reads && !nest.serial
}
