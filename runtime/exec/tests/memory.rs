//! Hostile safetensors headers need no more memory than the file's size and 64 MB.

use einmesh_exec::tensors::parse_header;
use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};

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
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[test]
fn hungry_headers_stay_small() {
    let entry = |name: String, shape: &str| {
        format!("\"{name}\":{{\"dtype\":\"U8\",\"shape\":[{shape}],\"data_offsets\":[0,0]}},")
    };
    let many = |shape: &str, size: usize| {
        let mut header = String::from("{");
        let mut i = 0;
        while header.len() + 200 < size {
            header.push_str(&entry(format!("{i:x}"), shape));
            i += 1;
        }
        header.pop();
        header + "}"
    };
    let zeros = "0,".repeat(15) + "0";
    for size in [4 << 20, 12 << 20, 13 << 20] {
        let escaped = format!("{{\"{}", "\\u0041".repeat(size / 6 - 8));
        let metadata =
            format!("{{\"__metadata__\":{{\"a\":\"{}\"}}}}", "\\n".repeat(size / 2 - 40));
        let nested = "[".repeat(size);
        let ignored = format!("{{\"__metadata__\":{}", "[".repeat(size - 40));
        let headers = [many("0", size), many(&zeros, size), escaped, metadata, nested, ignored];
        for (i, header) in headers.into_iter().enumerate() {
            let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
            bytes.extend(header.into_bytes());
            let before = NOW.load(Ordering::Relaxed);
            PEAK.store(before, Ordering::Relaxed);
            let _ = parse_header(&bytes);
            let peak = PEAK.load(Ordering::Relaxed) - before;
            // The file itself is mapped, and not counted here.
            assert!(peak <= 64_000_000, "header {i} of {size} bytes: {peak}");
        }
    }
}
