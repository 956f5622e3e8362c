//! Buffers lie inside of the memory they name.

use super::{Ctx, MAX_BYTES, MAX_RANK};
use crate::manifest::{Buffer, Storage};

/// What the arena's parts are aligned to.
const ALIGNMENT: u64 = 64;

pub(super) fn buffers(ctx: &mut Ctx) {
    let manifest = ctx.manifest;
    ctx.check(manifest.arena_bytes <= MAX_BYTES, "arena_bytes", || {
        format!("{} bytes are more than a process can have", manifest.arena_bytes)
    });
    for (i, buffer) in manifest.buffers.iter().enumerate() {
        check_buffer(ctx, buffer, &format!("buffers[{i}]"));
    }
}

fn check_buffer(ctx: &mut Ctx, buffer: &Buffer, place: &str) {
    ctx.name(&buffer.name, place);
    ctx.check(buffer.extents.len() <= MAX_RANK, place, || {
        format!("{} dims, at most {MAX_RANK} are allowed", buffer.extents.len())
    });
    let Some(bytes) = buffer.bytes().filter(|n| *n <= MAX_BYTES) else {
        let problem =
            || format!("the extents {:?} are more than a process can have", buffer.extents);
        ctx.check(false, place, problem);
        return;
    };
    let manifest = ctx.manifest;
    match buffer.storage {
        Storage::Arena(offset) => {
            ctx.check(offset.is_multiple_of(ALIGNMENT), place, || {
                format!("its arena offset {offset} is not a multiple of {ALIGNMENT}")
            });
            let end = offset.checked_add(bytes);
            let inside = end.is_some_and(|end| end <= manifest.arena_bytes);
            ctx.check(inside, place, || {
                format!(
                    "{bytes} bytes from arena offset {offset} exceed the arena's {}",
                    manifest.arena_bytes
                )
            });
        }
        Storage::Input(input) => {
            ctx.index(input, manifest.inputs.len(), "input", place);
        }
        Storage::Output(output) => {
            ctx.index(output, manifest.outputs.len(), "output", place);
        }
    }
}
