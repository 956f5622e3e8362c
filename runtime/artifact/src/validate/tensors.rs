//! The signature agrees with the buffers, and each tensor with its split.

use super::{Ctx, MAX_RANK};
use crate::manifest::{Buffer, DimLayout, Storage, Tensor};
use std::collections::BTreeSet;

/// The most columns of a panel; more than any register tile has.
const MAX_WIDTH: u64 = 1024;

pub(super) fn signature(ctx: &mut Ctx) {
    let manifest = ctx.manifest;
    for (i, input) in manifest.inputs.iter().enumerate() {
        let place = format!("inputs[{i}]");
        ctx.check(input.donor.is_none(), &place, || "an input has a donor".to_owned());
        let Some(buffer) = tensor(ctx, input, &place) else {
            continue;
        };
        ctx.check(buffer.storage == Storage::Input(i as u32), &place, || {
            format!("its buffer {} is not its own memory", input.buffer)
        });
    }
    for (i, output) in manifest.outputs.iter().enumerate() {
        let place = format!("outputs[{i}]");
        let Some(buffer) = tensor(ctx, output, &place) else {
            continue;
        };
        ctx.check(output.panels.is_none(), &place, || "an output lies in panels".to_owned());
        let own = match buffer.storage {
            Storage::Output(other) => other == i as u32,
            Storage::Input(_) | Storage::Arena(_) => true,
        };
        ctx.check(own, &place, || {
            format!("its buffer {} is another output's memory", output.buffer)
        });
        if let Some(donor) = output.donor {
            check_donor(ctx, output, buffer, donor, &place);
        }
    }
    for (i, buffer) in manifest.buffers.iter().enumerate() {
        check_alias(ctx, buffer, &format!("buffers[{i}]"));
    }
    distinct_names(ctx, manifest.inputs.iter().map(|t| &t.path), "inputs");
    distinct_names(ctx, manifest.outputs.iter().map(|t| &t.path), "outputs");
    let donors: Vec<u32> = manifest.outputs.iter().filter_map(|t| t.donor).collect();
    let distinct: BTreeSet<u32> = donors.iter().copied().collect();
    ctx.check(distinct.len() == donors.len(), "outputs", || {
        "two outputs take over the same input's memory".to_owned()
    });
}

/// Checks a tensor and gives its buffer, if that exists.
fn tensor<'a>(ctx: &mut Ctx<'a>, tensor: &Tensor, place: &str) -> Option<&'a Buffer> {
    ctx.name(&tensor.path, place);
    ctx.name(&tensor.tensor, place);
    let manifest = ctx.manifest;
    if !ctx.index(tensor.buffer, manifest.buffers.len(), "buffer", place) {
        return None;
    }
    let small = tensor.dims.len() <= MAX_RANK && tensor.axes.len() <= MAX_RANK;
    if !ctx.check(small, place, || format!("more than {MAX_RANK} dims or axes")) {
        return None;
    }
    for dim in &tensor.dims {
        check_dim(ctx, dim, place);
    }
    let split: Vec<u32> = tensor.dims.iter().flat_map(|d| d.axes.iter().copied()).collect();
    ctx.mesh_axes(&split, place);
    let grouped: u64 = tensor.axes.iter().map(|n| u64::from(*n)).sum();
    let stacked = tensor.stacked();
    let complete = stacked as u64 + grouped == tensor.dims.len() as u64;
    ctx.check(complete, place, || {
        format!(
            "{stacked} stacked dims and axes of {grouped} dims are not its {} dims",
            tensor.dims.len()
        )
    });
    let elements = tensor.dims.iter().try_fold(1u64, |n, d| n.checked_mul(d.global));
    let bytes = elements.and_then(|n| n.checked_mul(tensor.dtype.bytes()));
    ctx.check(bytes.is_some_and(|n| n <= super::MAX_BYTES), place, || {
        "the whole tensor is more than a process can have".to_owned()
    });
    let buffer = &manifest.buffers[tensor.buffer as usize];
    if !check_panels(ctx, tensor, place) {
        return None;
    }
    let local: Vec<u64> = tensor.dims.iter().map(|d| d.local).collect();
    // Values of other shapes may have had the memory before: its size is what matters.
    let extents = tensor.buffer_extents().unwrap_or_else(|| vec![u64::MAX]);
    let bytes = extents.iter().try_fold(tensor.dtype.bytes(), |n, e| n.checked_mul(*e));
    ctx.check(bytes == buffer.bytes(), place, || {
        format!(
            "its shard {:?}{local:?} has another size than its buffer {:?}{:?}",
            tensor.dtype, buffer.dtype, buffer.extents
        )
    });
    Some(buffer)
}

/// Panels name distinct dims, and have some columns.
fn check_panels(ctx: &mut Ctx, tensor: &Tensor, place: &str) -> bool {
    let Some(panels) = &tensor.panels else {
        return true;
    };
    let named: Vec<u32> = panels.across.iter().chain(&panels.along).copied().collect();
    let distinct: BTreeSet<u32> = named.iter().copied().collect();
    let exist = named.iter().all(|d| (*d as usize) < tensor.dims.len());
    let sound = exist && distinct.len() == named.len() && (1..=MAX_WIDTH).contains(&panels.width);
    ctx.check(sound, place, || format!("its dims do not make {panels:?}"))
}

fn check_dim(ctx: &mut Ctx, dim: &DimLayout, place: &str) {
    ctx.name(&dim.name, place);
    if !ctx.mesh_axes(&dim.axes, place) {
        return;
    }
    let devices = ctx.manifest.group_size(&dim.axes);
    let held = dim.local.checked_mul(devices);
    ctx.check(held.is_some_and(|n| n >= dim.global), place, || {
        format!(
            "dim {}: {devices} devices with {} positions each do not hold {}",
            dim.name, dim.local, dim.global
        )
    });
    let unsplit = !dim.axes.is_empty() || dim.local == dim.global;
    ctx.check(unsplit, place, || {
        format!(
            "dim {} is not split, but its local extent {} is not {}",
            dim.name, dim.local, dim.global
        )
    });
}

fn check_donor(ctx: &mut Ctx, output: &Tensor, buffer: &Buffer, donor: u32, place: &str) {
    let inputs = &ctx.manifest.inputs;
    if !ctx.index(donor, inputs.len(), "input", place) {
        return;
    }
    let input = &inputs[donor as usize];
    ctx.check(input.same_layout(output), place, || {
        format!("it takes over the memory of input {}, which differs in type or split", input.path)
    });
    ctx.check(buffer.storage == Storage::Input(donor), place, || {
        format!("it takes over the memory of input {}, but its buffer is elsewhere", input.path)
    });
}

/// A buffer in a tensor's memory is at most as large as the tensor's own.
fn check_alias(ctx: &mut Ctx, buffer: &Buffer, place: &str) {
    let manifest = ctx.manifest;
    let owner = match buffer.storage {
        Storage::Arena(_) => return,
        Storage::Input(i) => &manifest.inputs[i as usize],
        Storage::Output(i) => &manifest.outputs[i as usize],
    };
    let Some(own) = manifest.buffers.get(owner.buffer as usize) else {
        return;
    };
    ctx.check(buffer.bytes() == own.bytes(), place, || {
        format!("it has another size than {}, whose memory it is", owner.path)
    });
    // An output's memory belongs to the output's buffer; otherwise nobody would allocate it.
    let owned = own.storage == buffer.storage;
    ctx.check(owned, place, || {
        format!("it is in the memory of {}, which has none of its own", owner.path)
    });
}

fn distinct_names<'a>(ctx: &mut Ctx, names: impl Iterator<Item = &'a String>, place: &str) {
    let mut seen: BTreeSet<&String> = BTreeSet::new();
    for name in names {
        ctx.check(seen.insert(name), place, || format!("{name} occurs twice"));
    }
}
