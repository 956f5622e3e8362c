//! Images are what the manifest says, and kernels start inside of them.

use super::{Ctx, LEVELS, MAX_BYTES, MAX_IMAGES, MAX_SCRATCH, MAX_TILES, distinct};
use crate::container::sha256_hex;
use crate::manifest::{CodeImage, Phase};

const PAGE: u64 = 4096;
/// Bytes of an import's stub.
const STUB: u64 = 8;
/// The only functions that code may call.
const IMPORTS: [&str; 3] = ["memcpy", "memmove", "memset"];

pub(super) fn images(ctx: &mut Ctx, blobs: &[Vec<u8>]) {
    let images = &ctx.manifest.images;
    let counts = images.len() == blobs.len() && images.len() <= MAX_IMAGES;
    if !ctx.check(counts, "images", || {
        format!(
            "the manifest describes {}, the file holds {}; there may be {MAX_IMAGES}",
            images.len(),
            blobs.len()
        )
    }) {
        return;
    }
    for (i, (image, blob)) in images.iter().zip(blobs).enumerate() {
        check_image(ctx, image, blob, &format!("images[{i}]"));
    }
    // The loader takes the first image that the CPU can run.
    let ranks = images.iter().map(|image| LEVELS.iter().position(|l| *l == image.level));
    let ranks: Vec<Option<usize>> = ranks.collect();
    let sorted = ranks.windows(2).all(|pair| pair[0] < pair[1]);
    ctx.check(sorted, "images", || "the levels are not in order, most demanding first".to_owned());
}

fn check_image(ctx: &mut Ctx, image: &CodeImage, blob: &[u8], place: &str) {
    let known = LEVELS.contains(&image.level.as_str());
    ctx.check(known, place, || format!("its CPU level is not one of {}", LEVELS.join(", ")));
    let pages =
        image.text > 0 && image.text.is_multiple_of(PAGE) && image.rodata.is_multiple_of(PAGE);
    ctx.check(pages, place, || {
        format!(
            "text of {} and rodata of {} bytes are not whole pages of {PAGE}",
            image.text, image.rodata
        )
    });
    let total = image.text.checked_add(image.rodata);
    ctx.check(total == Some(blob.len() as u64), place, || {
        format!(
            "text of {} and rodata of {} bytes are not the blob's {}",
            image.text,
            image.rodata,
            blob.len()
        )
    });
    let allowed = image.imports.iter().all(|i| IMPORTS.contains(&i.as_str()));
    ctx.check(allowed, place, || {
        format!("it imports a function other than {}", IMPORTS.join(", "))
    });
    let unique = image.imports.len() <= IMPORTS.len() && distinct(&image.imports);
    ctx.check(unique, place, || "it imports a function twice".to_owned());
    let end = image.stubs.checked_add(STUB * image.imports.len() as u64);
    let inside = image.stubs.is_multiple_of(STUB) && end.is_some_and(|end| end <= image.text);
    ctx.check(inside, place, || "the stubs of its imports are not in its text".to_owned());
    ctx.check(sha256_hex(blob) == image.sha256, place, || {
        "its SHA-256 is not the manifest's".to_owned()
    });
}

pub(super) fn kernels(ctx: &mut Ctx) {
    let manifest = ctx.manifest;
    for (i, kernel) in manifest.kernels.iter().enumerate() {
        let place = format!("kernels[{i}]");
        ctx.name(&kernel.name, &place);
        let complete = kernel.phases.len() == manifest.images.len();
        ctx.check(complete, &place, || {
            format!(
                "it has code in {} images, there are {}",
                kernel.phases.len(),
                manifest.images.len()
            )
        });
        for (phases, image) in kernel.phases.iter().zip(&manifest.images) {
            for phase in phases {
                check_phase(ctx, phase, image, &place);
            }
        }
    }
}

fn check_phase(ctx: &mut Ctx, phase: &Phase, image: &CodeImage, place: &str) {
    ctx.check(phase.entry < image.text, place, || {
        format!(
            "its code at {} is outside of the {} bytes of text of {}",
            phase.entry, image.text, image.level
        )
    });
    ctx.check(phase.tiles <= MAX_TILES, place, || {
        format!("{} tiles, at most {MAX_TILES} are allowed", phase.tiles)
    });
    let workspace = phase.workspace_bytes <= MAX_BYTES && phase.scratch_bytes <= MAX_SCRATCH;
    ctx.check(workspace, place, || {
        format!(
            "a workspace of {} or scratch of {} bytes is more than a process can have",
            phase.workspace_bytes, phase.scratch_bytes
        )
    });
}
