//! Steps name what exists, within the loops they stand in, and do not run forever.

use super::ahead::{Homes, check_ahead};
use super::collectives::check_collective;
use super::{Ctx, MAX_DEPTH, MAX_EXECUTIONS};
use crate::manifest::{Buffer, DType, Int, Step, Storage};

pub(super) fn steps(ctx: &mut Ctx) {
    let mut enclosing: Vec<u32> = Vec::new();
    let written = Written::of(ctx);
    let executions = block(ctx, &ctx.manifest.steps, &mut enclosing, &written, "steps");
    ctx.check(executions <= MAX_EXECUTIONS, "steps", || {
        format!("{executions} steps in one run, at most {MAX_EXECUTIONS} are allowed")
    });
}

/// Which inputs may be written, those of which an output is the new value; and where buffers may lie.
pub(super) struct Written {
    inputs: Vec<bool>,
    homes: Homes,
}

impl Written {
    fn of(ctx: &Ctx) -> Written {
        let new_values = ctx.manifest.new_values();
        Written {
            inputs: new_values.iter().map(Option::is_some).collect(),
            homes: Homes::of(ctx.manifest),
        }
    }

    pub(super) fn check(&self, ctx: &mut Ctx, buffer: &Buffer, place: &str) {
        let allowed = match buffer.storage {
            Storage::Input(i) => self.inputs[i as usize],
            Storage::Arena(_) | Storage::Output(_) => true,
        };
        ctx.check(allowed, place, || {
            format!("it writes {}, an input that is not donated", buffer.name)
        });
    }
}

/// Checks a list of steps and counts how many are executed.
fn block(
    ctx: &mut Ctx,
    steps: &[Step],
    enclosing: &mut Vec<u32>,
    written: &Written,
    place: &str,
) -> u64 {
    let mut executions: u64 = 0;
    for (i, step) in steps.iter().enumerate() {
        let place = format!("{place}[{i}]");
        executions = executions.saturating_add(check_step(ctx, step, enclosing, written, &place));
        if ctx.findings.len() >= super::MAX_FINDINGS {
            break;
        }
    }
    executions
}

/// Checks a step and counts how many are executed by it.
fn check_step(
    ctx: &mut Ctx,
    step: &Step,
    enclosing: &mut Vec<u32>,
    written: &Written,
    place: &str,
) -> u64 {
    match step {
        Step::Launch { kernel, operands, ints } => {
            let manifest = ctx.manifest;
            ctx.index(*kernel, manifest.kernels.len(), "kernel", place);
            for operand in operands {
                ctx.index(*operand, manifest.buffers.len(), "buffer", place);
            }
            for int in ints {
                check_int(ctx, *int, enclosing, place);
            }
        }
        Step::Loop { counter, extent, condition, ahead, steps, .. } => {
            ctx.index(*counter, ctx.manifest.loops as usize, "loop counter", place);
            if let Some(condition) = condition {
                check_condition(ctx, *condition, place);
            }
            let free = !enclosing.contains(counter);
            ctx.check(free, place, || {
                format!("loop counter {counter} belongs to an enclosing loop")
            });
            let shallow = enclosing.len() < MAX_DEPTH;
            if !ctx.check(shallow, place, || format!("more than {MAX_DEPTH} nested loops")) {
                return 0;
            }
            enclosing.push(*counter);
            let inner = block(ctx, steps, enclosing, written, &format!("{place}.loop.steps"));
            let early = format!("{place}.loop.ahead.steps");
            let early = block(ctx, &ahead.steps, enclosing, written, &early);
            enclosing.pop();
            if !ahead.is_empty() {
                ctx.check(condition.is_none(), place, || {
                    "a loop that may end early does nothing ahead".to_owned()
                });
                for (next, now) in &ahead.handed {
                    if let Some(pair) = pair(ctx, *next, *now, place) {
                        pair.iter().for_each(|buffer| written.check(ctx, buffer, place));
                    }
                }
                if ctx.findings.is_empty() {
                    check_ahead(ctx, ahead, steps, &written.homes, place);
                }
            }
            return extent.saturating_mul(inner.saturating_add(early).saturating_add(1));
        }
        Step::Copy { from, to } => {
            if let Some([_, to]) = pair(ctx, *from, *to, place) {
                written.check(ctx, to, place);
            }
        }
        Step::Swap { a, b } => {
            if let Some([a, b]) = pair(ctx, *a, *b, place) {
                written.check(ctx, a, place);
                written.check(ctx, b, place);
            }
        }
        Step::Collective { kind, axes, input, output } => {
            if let Some([input, output]) = buffers(ctx, *input, *output, place) {
                written.check(ctx, output, place);
                if ctx.mesh_axes(axes, place) {
                    check_collective(
                        ctx,
                        kind,
                        ctx.manifest.group_size(axes),
                        input,
                        output,
                        place,
                    );
                }
            }
        }
    }
    1
}

fn check_condition(ctx: &mut Ctx, condition: u32, place: &str) {
    let buffers = &ctx.manifest.buffers;
    if ctx.index(condition, buffers.len(), "buffer", place) {
        let Buffer { name, dtype, .. } = &buffers[condition as usize];
        let one = buffers[condition as usize].elements() == Some(1);
        ctx.check(one && *dtype == DType::Bool, place, || {
            format!("the loop's condition {name} is not one truth value")
        });
    }
}

fn check_int(ctx: &mut Ctx, int: Int, enclosing: &[u32], place: &str) {
    match int {
        Int::Counter(counter) => {
            ctx.check(enclosing.contains(&counter), place, || {
                format!("loop counter {counter} is not of an enclosing loop")
            });
        }
        Int::Coord(axis) => {
            ctx.index(axis, ctx.manifest.mesh.len(), "mesh axis", place);
        }
    }
}

fn buffers<'a>(ctx: &mut Ctx<'a>, a: u32, b: u32, place: &str) -> Option<[&'a Buffer; 2]> {
    let all = &ctx.manifest.buffers;
    let known = [a, b].map(|i| ctx.index(i, all.len(), "buffer", place));
    (known == [true; 2]).then(|| [a, b].map(|i| &all[i as usize]))
}

/// Two buffers of the same size.
fn pair<'a>(ctx: &mut Ctx<'a>, a: u32, b: u32, place: &str) -> Option<[&'a Buffer; 2]> {
    let [a, b] = buffers(ctx, a, b, place)?;
    ctx.check(a.bytes() == b.bytes(), place, || {
        format!("{} and {} differ in size", a.name, b.name)
    });
    Some([a, b])
}
