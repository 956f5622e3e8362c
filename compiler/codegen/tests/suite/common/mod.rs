//! Runs compiled kernels: a loader of images, buffers between unreadable pages, and a plain evaluator of
//! kernels to compare with.

#![allow(dead_code)]

pub mod amx;
pub mod attention;
pub mod make;
pub mod reference;

use einmesh_artifact::{CodeImage, Phase};
use einmesh_codegen::{Emitted, Level, Options, Sizes, TargetKind, Tuning, emit};
use einmesh_ir::DType;
use einmesh_schedule::KernelGraph;
use einmesh_schedule::kernel::{Kernel, Role};
use std::ffi::c_void;

const PAGE: usize = 4096;

/// Pages of our own, freed on drop.
pub struct Pages {
    start: *mut u8,
    len: usize,
}

impl Pages {
    fn new(len: usize) -> Pages {
        let len = len.next_multiple_of(PAGE).max(PAGE);
        // SAFETY: an anonymous mapping at an address of the system's choice.
        let start = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                len,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
                -1,
                0,
            )
        };
        assert_ne!(start, libc::MAP_FAILED);
        Pages { start: start.cast(), len }
    }

    fn protect(&self, from: usize, len: usize, how: i32) {
        // SAFETY: the range is within the mapping.
        let failed = unsafe { libc::mprotect(self.start.add(from).cast(), len, how) };
        assert_eq!(failed, 0);
    }
}

impl Drop for Pages {
    fn drop(&mut self) {
        // SAFETY: the mapping is ours and nothing uses it any more.
        unsafe { libc::munmap(self.start.cast(), self.len) };
    }
}

/// An image in executable memory.
pub struct Loaded(Pages);

impl Loaded {
    pub fn new(image: &CodeImage, bytes: &[u8]) -> Loaded {
        let slots = image.imports.len() * 8;
        let pages = Pages::new(bytes.len() + slots);
        assert_eq!(bytes.len() as u64, image.text + image.rodata);
        // SAFETY: the mapping has room for the pages and the slots.
        unsafe {
            std::ptr::copy_nonoverlapping(bytes.as_ptr(), pages.start, bytes.len());
            for (i, name) in image.imports.iter().enumerate() {
                let address = match name.as_str() {
                    "memcpy" => libc::memcpy as *const () as usize,
                    "memmove" => libc::memmove as *const () as usize,
                    "memset" => libc::memset as *const () as usize,
                    other => panic!("import {other}"),
                };
                pages.start.add(bytes.len()).cast::<usize>().add(i).write(address);
            }
        }
        pages.protect(0, image.text as usize, libc::PROT_READ | libc::PROT_EXEC);
        if image.rodata > 0 {
            pages.protect(image.text as usize, image.rodata as usize, libc::PROT_READ);
        }
        Loaded(pages)
    }

    /// Calls a phase on tiles `begin..end`.
    ///
    /// # Safety
    /// The pointers are what the phase expects.
    pub unsafe fn call(
        &self,
        phase: &Phase,
        operands: &[*mut u8],
        ints: &[i64],
        workspace: *mut u8,
        scratch: *mut u8,
        (begin, end): (i64, i64),
    ) {
        type Function =
            unsafe extern "C" fn(*const *mut u8, *const i64, *mut u8, *mut u8, i64, i64);
        // SAFETY: the entry is a function of this type; the caller vouches for the rest.
        unsafe {
            let function: Function =
                std::mem::transmute(self.0.start.add(phase.entry as usize).cast::<c_void>());
            function(operands.as_ptr(), ints.as_ptr(), workspace, scratch, begin, end);
        }
    }
}

/// Memory that ends right before a page that cannot be touched.
pub struct Guarded {
    pages: Pages,
    start: usize,
    len: usize,
}

impl Guarded {
    /// At the alignment that the runtime guarantees only if `align` says so: odd lengths are then not
    /// guarded to the byte.
    pub fn new(len: usize, align: usize) -> Guarded {
        let room = len.next_multiple_of(align);
        let body = room.next_multiple_of(PAGE);
        let pages = Pages::new(body + 2 * PAGE);
        pages.protect(0, PAGE, libc::PROT_NONE);
        pages.protect(PAGE + body, PAGE, libc::PROT_NONE);
        Guarded { pages, start: PAGE + body - room, len }
    }

    pub fn of(bytes: &[u8]) -> Guarded {
        let mut memory = Guarded::new(bytes.len(), 1);
        memory.bytes_mut().copy_from_slice(bytes);
        memory
    }

    pub fn pointer(&self) -> *mut u8 {
        // SAFETY: within the mapping.
        unsafe { self.pages.start.add(self.start) }
    }

    pub fn bytes(&self) -> &[u8] {
        // SAFETY: mapped, initialised (by the system, if by nobody else) and ours.
        unsafe { std::slice::from_raw_parts(self.pointer(), self.len) }
    }

    pub fn bytes_mut(&mut self) -> &mut [u8] {
        // SAFETY: as above, and borrowed mutably.
        unsafe { std::slice::from_raw_parts_mut(self.pointer(), self.len) }
    }
}

/// The levels that this machine can run.
pub fn levels() -> Vec<Level> {
    let mut levels = Vec::new();
    let v4 = ["avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl"];
    let has = |name: &str| match name {
        "avx512f" => is_x86_feature_detected!("avx512f"),
        "avx512bw" => is_x86_feature_detected!("avx512bw"),
        "avx512cd" => is_x86_feature_detected!("avx512cd"),
        "avx512dq" => is_x86_feature_detected!("avx512dq"),
        _ => is_x86_feature_detected!("avx512vl"),
    };
    if v4.iter().all(|f| has(f)) {
        if is_x86_feature_detected!("avx512bf16") {
            levels.push(Level::X86_64V4Bf16);
        }
        levels.push(Level::X86_64V4);
    }
    levels.push(Level::X86_64V3);
    levels
}

/// Compiles kernels for every level that can be run here.
pub fn compile(kernels: &[Kernel]) -> Emitted {
    compile_graph(&KernelGraph { kernels: kernels.to_vec(), ..KernelGraph::default() })
}

/// Compiles the kernels of a schedule for every level that can be run here.
pub fn compile_graph(graph: &KernelGraph) -> Emitted {
    compile_tuned(graph, levels(), Tuning::default())
}

/// Compiles kernels for some levels.
pub fn compile_for(kernels: &[Kernel], levels: Vec<Level>) -> Emitted {
    let graph = KernelGraph { kernels: kernels.to_vec(), ..KernelGraph::default() };
    compile_tuned(&graph, levels, Tuning::default())
}

fn compile_tuned(graph: &KernelGraph, levels: Vec<Level>, tuning: Tuning) -> Emitted {
    let options = Options { target: TargetKind::Cpu(levels), tuning, ..Options::default() };
    match emit(graph, &options) {
        Ok(emitted) => emitted,
        Err(bug) => panic!("{bug}"),
    }
}

/// A kernel's phases with all that they are called with. Scratch memory starts out as garbage.
pub struct Call<'a> {
    loaded: &'a Loaded,
    phases: Vec<(Phase, Guarded)>,
    operands: Vec<*mut u8>,
    ints: &'a [i64],
    workspace: Guarded,
}

impl<'a> Call<'a> {
    /// Phases of an image on operands that they were compiled for, and that live as long as this.
    pub fn new(
        loaded: &'a Loaded,
        phases: &[Phase],
        operands: &'a [Guarded],
        ints: &'a [i64],
    ) -> Call<'a> {
        let garbage = |bytes: u64| {
            let mut memory = Guarded::new(bytes as usize, 64);
            memory.bytes_mut().fill(0xFF);
            memory
        };
        Call {
            loaded,
            phases: phases.iter().map(|p| (p.clone(), garbage(p.scratch_bytes))).collect(),
            operands: operands.iter().map(Guarded::pointer).collect(),
            ints,
            workspace: garbage(phases.iter().map(|p| p.workspace_bytes).max().unwrap_or(0)),
        }
    }

    /// Computes all tiles, in place: `step` of them at a time, given their number, the last ones first.
    pub fn run(&self, step: impl Fn(u64) -> u64) {
        let workspace = self.workspace.pointer();
        for (phase, scratch) in &self.phases {
            let step = step(phase.tiles).max(1);
            let mut end = phase.tiles;
            while end > 0 {
                let tiles = (end.saturating_sub(step) as i64, end as i64);
                let scratch = scratch.pointer();
                // SAFETY: operands, workspace and scratch have the sizes that the phase was compiled for.
                unsafe {
                    self.loaded.call(phase, &self.operands, self.ints, workspace, scratch, tiles);
                }
                end = tiles.0 as u64;
            }
        }
    }
}

/// Runs one kernel of an image on operands, in place. Tiles run in an order that is not the natural one,
/// several per call.
pub fn run(
    emitted: &Emitted,
    loaded: &[Loaded],
    (image, kernel): (usize, usize),
    operands: &mut [Guarded],
    ints: &[i64],
) {
    let phases = &emitted.kernels[kernel].phases[image];
    Call::new(&loaded[image], phases, operands, ints).run(|tiles| tiles / 3);
}

/// Loads all images.
pub fn load(emitted: &Emitted) -> Vec<Loaded> {
    emitted.images.iter().map(|(image, bytes)| Loaded::new(image, bytes)).collect()
}

/// How far a result may be from the reference: `relative · |reference| + absolute`.
#[derive(Clone, Copy)]
pub struct Tolerance {
    pub relative: f64,
    pub absolute: f64,
}

pub const EXACT: Tolerance = Tolerance { relative: 0.0, absolute: 0.0 };

/// Compiles and runs each kernel on pseudo-random operands at every level, and compares with the plain
/// evaluation.
pub fn check_all(cases: &[(Kernel, Tolerance)]) {
    check_with(cases, Tuning::default(), make::operands);
}

/// Sizes so small that a small problem has several steps, blocks and groups.
pub fn small_blocks(level: Level, block_rows: u64, block_columns: u64, blocks: u64) -> Sizes {
    Sizes {
        step_bytes: 256,
        block_rows,
        block_columns,
        packed_rows: 14,
        blocks,
        block_flops: 1,
        ..Sizes::built_in(level)
    }
}

/// As [`check_all`], with code of other sizes than the built-in ones.
pub fn check_tuned(cases: &[(Kernel, Tolerance)], sizes: impl Fn(Level) -> Sizes) {
    let mut tuning = Tuning::default();
    for level in levels() {
        tuning.set(level, sizes(level));
    }
    check_with(cases, tuning, make::operands);
}

/// As [`check_all`], with NaN, infinities and zeros of both signs among the operands.
pub fn check_special(cases: &[(Kernel, Tolerance)]) {
    check_with(cases, Tuning::default(), |kernel, seed| {
        let mut operands = make::operands(kernel, seed);
        make::add_special(kernel, &mut operands);
        operands
    });
}

/// As [`check_all`], on operands of the caller's choice.
pub fn check_with(
    cases: &[(Kernel, Tolerance)],
    tuning: Tuning,
    operands: impl Fn(&Kernel, u64) -> Vec<Vec<u8>>,
) {
    let kernels: Vec<Kernel> = cases.iter().map(|c| c.0.clone()).collect();
    let mut levels = levels();
    if levels.contains(&Level::X86_64V4Bf16) {
        // Tiles are there in any case, in software if need be; the level's other instructions must be.
        amx::provide();
        levels.insert(0, Level::X86_64V4Amx);
    }
    let graph = KernelGraph { kernels, ..KernelGraph::default() };
    let emitted = compile_tuned(&graph, levels, tuning);
    let loaded = load(&emitted);
    for (number, (kernel, tolerance)) in cases.iter().enumerate() {
        let inputs = operands(kernel, number as u64);
        let ints: Vec<i64> = (0..i64::from(kernel.ints)).map(|i| i + 1).collect();
        let mut expected = inputs.clone();
        reference::run(kernel, &mut expected, &ints);
        for image in 0..loaded.len() {
            let mut actual: Vec<Guarded> = inputs.iter().map(|i| Guarded::of(i)).collect();
            run(&emitted, &loaded, (image, number), &mut actual, &ints);
            let actual: Vec<Vec<u8>> = actual.iter().map(|a| a.bytes().to_vec()).collect();
            let level = &emitted.images[image].0.level;
            compare(kernel, level, &expected, &actual, *tolerance);
        }
    }
}

/// As [`check_all`], for one kernel.
pub fn check(kernel: Kernel, tolerance: Tolerance) {
    check_all(&[(kernel, tolerance)]);
}

pub fn compare(
    kernel: &Kernel,
    level: &str,
    expected: &[Vec<u8>],
    actual: &[Vec<u8>],
    tolerance: Tolerance,
) {
    let operands = kernel.values.iter().filter(|v| v.role != Role::Local);
    for (position, memory) in operands.enumerate() {
        let size = memory.dtype.bytes() as usize;
        let pairs = expected[position].chunks(size).zip(actual[position].chunks(size));
        for (element, (want, got)) in pairs.enumerate() {
            if want == got {
                continue;
            }
            let place = || {
                format!(
                    "{} at {level}: operand {position} element {element} of {:?}",
                    kernel.name, memory.extents
                )
            };
            let (want, got) = (
                reference::read(memory.dtype, want).float(),
                reference::read(memory.dtype, got).float(),
            );
            let close = (want - got).abs() <= tolerance.relative * want.abs() + tolerance.absolute;
            let alike = want == got || want.is_nan() && got.is_nan();
            assert!(close || alike, "{}: {want} expected, {got} found", place());
        }
    }
}

/// Bytes of an array of a dtype.
pub fn bytes_of(dtype: DType, extents: &[u64]) -> usize {
    (extents.iter().product::<u64>() * dtype.bytes()) as usize
}
