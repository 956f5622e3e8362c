//! Validation: everything a reader relies on without checking it again.
//!
//! It collects what it finds, up to [`MAX_FINDINGS`]. Later checks index lists that earlier ones have
//! found sound, so the groups run in order and stop at the first group with findings.

mod ahead;
mod code;
mod collectives;
mod memory;
mod steps;
mod tensors;

use crate::container::Artifact;
use crate::error::Finding;
use crate::manifest::{FORMAT, Manifest};

/// The CPU levels code can be compiled for, most demanding first.
pub const LEVELS: [&str; 4] = ["x86-64-v4-amx", "x86-64-v4-bf16", "x86-64-v4", "x86-64-v3"];

/// The most images: one per level.
pub(crate) const MAX_IMAGES: usize = LEVELS.len();
/// The most bytes of a manifest's JSON. The hungriest text, a list of empty lists, grows twelvefold
/// in memory: 4 MiB stay below 64 MB.
pub(crate) const MAX_MANIFEST_BYTES: u64 = 4 << 20;
/// The most bytes of a name or a source location.
pub(crate) const MAX_STRING: usize = 1024;
/// The most findings reported.
const MAX_FINDINGS: usize = 20;
/// The most devices.
const MAX_DEVICES: u64 = 1 << 16;
/// The most mesh axes.
const MAX_AXES: usize = 16;
/// The most dims of a tensor or buffer.
const MAX_RANK: usize = 64;
/// The most bytes of one buffer or arena: what a process can address.
const MAX_BYTES: u64 = 1 << 47;
/// The most loop counters.
const MAX_LOOPS: u32 = 1024;
/// The deepest nesting of loops. Below it serde_json's own limit is never met.
const MAX_DEPTH: usize = 32;
/// The most steps executed in one run, loops unrolled.
const MAX_EXECUTIONS: u64 = 1_000_000_000;
/// The most tiles of a phase.
const MAX_TILES: u64 = 1 << 40;
/// The most bytes of scratch memory of one call.
const MAX_SCRATCH: u64 = 1 << 32;

/// Everything that is wrong with an artifact; empty if nothing is.
pub fn validate(artifact: &Artifact) -> Vec<Finding> {
    let mut ctx = Ctx { manifest: &artifact.manifest, findings: Vec::new() };
    let groups: [&dyn Fn(&mut Ctx); 6] = [
        &|ctx| header(ctx),
        &|ctx| code::images(ctx, &artifact.images),
        &|ctx| memory::buffers(ctx),
        &|ctx| tensors::signature(ctx),
        &|ctx| code::kernels(ctx),
        &|ctx| steps::steps(ctx),
    ];
    for group in groups {
        group(&mut ctx);
        if !ctx.findings.is_empty() {
            break;
        }
    }
    ctx.findings
}

struct Ctx<'a> {
    manifest: &'a Manifest,
    findings: Vec<Finding>,
}

impl Ctx<'_> {
    /// Records a finding unless something holds.
    fn check(&mut self, holds: bool, place: &str, problem: impl FnOnce() -> String) -> bool {
        if !holds && self.findings.len() < MAX_FINDINGS {
            self.findings.push(Finding { place: place.to_owned(), problem: problem() });
        }
        holds
    }

    /// A name that may be shown on a terminal and used in a file.
    fn name(&mut self, name: &str, place: &str) -> bool {
        let plain = name.len() <= MAX_STRING && !name.chars().any(char::is_control);
        self.check(plain, place, || {
            format!("a name has control characters or more than {MAX_STRING} bytes")
        })
    }

    /// An index of a list.
    fn index(&mut self, index: u32, length: usize, what: &str, place: &str) -> bool {
        self.check((index as usize) < length, place, || {
            format!("{what} {index} does not exist; there are {length}")
        })
    }

    /// A list of mesh axes: in range, without repetition.
    fn mesh_axes(&mut self, axes: &[u32], place: &str) -> bool {
        let length = self.manifest.mesh.len();
        let known = axes.iter().all(|a| self.index(*a, length, "mesh axis", place));
        let distinct = axes.len() <= length && distinct(axes);
        known && self.check(distinct, place, || "a mesh axis is named twice".to_owned())
    }
}

/// Whether no item occurs twice. For short lists.
fn distinct<T: PartialEq>(items: &[T]) -> bool {
    items.iter().enumerate().all(|(i, a)| !items[..i].contains(a))
}

fn header(ctx: &mut Ctx) {
    let manifest = ctx.manifest;
    ctx.check(manifest.format == FORMAT, "format", || {
        format!("{}, expected {FORMAT}", manifest.format)
    });
    ctx.name(&manifest.producer, "producer");
    ctx.name(&manifest.entry, "entry");
    ctx.check(manifest.mesh.len() <= MAX_AXES, "mesh", || {
        format!("{} axes, at most {MAX_AXES} are allowed", manifest.mesh.len())
    });
    for axis in &manifest.mesh {
        ctx.name(&axis.name, "mesh");
    }
    let sizes = manifest.mesh.iter().map(|a| a.size);
    let devices = sizes.clone().try_fold(1u64, |n, size| n.checked_mul(size));
    let sane = devices.is_some_and(|n| (1..=MAX_DEVICES).contains(&n));
    ctx.check(sane, "mesh", || {
        format!(
            "the sizes {:?} do not give 1 to {MAX_DEVICES} devices",
            sizes.collect::<Vec<u64>>()
        )
    });
    ctx.check(manifest.loops <= MAX_LOOPS, "loops", || {
        format!("{}, at most {MAX_LOOPS} are allowed", manifest.loops)
    });
    for row in &manifest.report.collectives {
        let names = [&row.op, &row.source, &row.index, &row.decorator];
        for name in names.into_iter().chain(&row.axes) {
            ctx.name(name, "report.collectives");
        }
    }
}
