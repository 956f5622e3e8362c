//! Files made to hurt: no panic, and no more memory than the file's size and 64 MB.

mod support;

use einmesh_artifact::{Artifact, validate};
use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use support::{Random, container, rehash, sample};

/// Counts what is allocated, to find the peak.
struct Counting;

static NOW: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);

// SAFETY: every call is passed on to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let now = NOW.fetch_add(layout.size(), Ordering::Relaxed) + layout.size();
        PEAK.fetch_max(now, Ordering::Relaxed);
        // SAFETY: as above.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        NOW.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: as above.
        unsafe { System.dealloc(pointer, layout) }
    }

    // A big block grows by moving its pages (mremap): old and new never exist together.
    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        let now = NOW.fetch_add(size, Ordering::Relaxed) + size;
        let now = now - layout.size();
        NOW.fetch_sub(layout.size(), Ordering::Relaxed);
        PEAK.fetch_max(now, Ordering::Relaxed);
        // SAFETY: as above.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Tests run one after the other, so that the peak is theirs.
static ALONE: Mutex<()> = Mutex::new(());

/// Reads bytes and gives the peak of what was allocated meanwhile.
fn peak_of_reading(bytes: &[u8]) -> usize {
    let before = NOW.load(Ordering::Relaxed);
    PEAK.store(before, Ordering::Relaxed);
    let _ = Artifact::read(bytes);
    PEAK.load(Ordering::Relaxed) - before
}

#[test]
fn mutated_artifacts_never_panic() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let original = sample().write();
    let manifest = original.windows(2).position(|w| w == b"{\"").unwrap();
    let images = original.len() - 32 - 8192 - 4096;
    let mut random = Random(1);
    let (mut accepted, mut refused) = (0, 0);
    for _ in 0..20_000 {
        let mut bytes = original.clone();
        for _ in 0..1 + random.below(3) {
            mutate(&mut bytes, manifest, images, &mut random);
        }
        rehash(&mut bytes);
        match Artifact::read(&bytes) {
            // A changed name or count of bytes may well be valid; then it must be valid again.
            Ok(artifact) => {
                accepted += 1;
                assert!(validate(&artifact).is_empty());
                assert_eq!(Artifact::read(&artifact.write()).unwrap(), artifact);
            }
            Err(error) => {
                refused += 1;
                assert!(!error.to_string().is_empty());
            }
        }
    }
    assert!(refused > 10_000 && accepted > 100, "{accepted} accepted, {refused} refused");
}

/// One change: mostly of the manifest, so that validation has something to find.
fn mutate(bytes: &mut Vec<u8>, manifest: usize, images: usize, random: &mut Random) {
    let at = manifest + random.below(images - manifest);
    match random.below(8) {
        0 => bytes[random.below(manifest)] = random.next() as u8,
        1 => bytes[at] ^= 1 << random.below(8),
        // A digit for a digit keeps the JSON whole and changes a number.
        2..=5 => {
            let digits = (at..images).filter(|i| bytes[*i].is_ascii_digit());
            let digits: Vec<usize> = digits.take(40).collect();
            if !digits.is_empty() {
                let digit = digits[random.below(digits.len())];
                bytes[digit] = b'0' + random.below(10) as u8;
            }
        }
        6 => {
            // A part of the manifest over another.
            let (from, length) =
                (manifest + random.below(images - manifest - 40), random.below(40));
            let piece = bytes[from..from + length].to_vec();
            let to = manifest + random.below(images - manifest - 40);
            bytes[to..to + length].copy_from_slice(&piece);
        }
        _ => {
            let end = random.below(bytes.len());
            if random.below(10) == 0 {
                bytes.truncate(end.max(40));
                bytes.resize(images + 64, 0);
            } else {
                bytes[at] = random.next() as u8;
            }
        }
    }
}

#[test]
fn hungry_manifests_stay_small() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    // What grows the most from text to memory, up to the limit of 4 MiB.
    let fillers = [
        ("\"kernels\":[{\"name\":\"\",\"phases\":[", "[],", "[]]}]"),
        (
            "\"kernels\":[{\"name\":\"\",\"phases\":[[",
            "{\"entry\":0,\"tiles\":0,\"workspace_bytes\":0,\"scratch_bytes\":0},",
            "0]]}]",
        ),
        ("\"steps\":[", "{\"swap\":{\"a\":0,\"b\":0}},", "0]"),
        ("\"steps\":[", "{\"launch\":{\"kernel\":0,\"operands\":[0],\"ints\":[]}},", "0]"),
        ("\"buffers\":[{\"name\":\"\",\"dtype\":\"f32\",\"extents\":[", "0,", "0]}]"),
        ("\"mesh\":[", "{\"name\":\"\",\"size\":1},", "0]"),
        ("\"images\":[{\"level\":\"\",\"text\":0,\"rodata\":0,\"imports\":[", "\"\",", "\"\"]}]"),
        ("\"mesh\":", "[", "]"),
        ("\"loops\":", "9", "9"),
        ("\"entry\":\"", "\\u0041", "\""),
        ("\"unknown\":[", "{},", "{}]"),
    ];
    for (start, filler, end) in fillers {
        for size in [4 << 20, 12 << 20] {
            let fixed = start.len() + end.len() + 2;
            let count = (size - fixed) / filler.len();
            let json = format!("{{{start}{}{end}}}", filler.repeat(count));
            let bytes = container("x", json.as_bytes());
            let peak = peak_of_reading(&bytes);
            // `read` copies what it is given, which `read_file` reads directly.
            let most = bytes.len() + 64_000_000;
            assert!(peak <= most, "{filler}: {peak} bytes for {}", bytes.len());
        }
    }
}

#[test]
fn sizes_that_lie_allocate_nothing() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let original = sample().write();
    // The producer's length, the section count, and the manifest's and an image's size.
    let table = 8 + 4 + 4 + "einmesh 0.1.0".len() + 4;
    for at in [12, table - 4, table + 8, table + 16 + 8] {
        for lie in [u32::MAX, 1 << 31, 1 << 24, 0] {
            let mut bytes = original.clone();
            bytes[at..at + 4].copy_from_slice(&lie.to_le_bytes());
            rehash(&mut bytes);
            assert!(Artifact::read(&bytes).is_err(), "{lie} at {at}");
            let peak = peak_of_reading(&bytes);
            assert!(peak <= bytes.len() + 10_000, "{lie} at {at}: {peak} bytes");
        }
    }
}
