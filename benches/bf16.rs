//! Products of bf16 on one thread: each level of this machine beside the others and beside f32.
//!
//! `cargo bench -p einmesh-benches --bench bf16`

#[path = "../compiler/codegen/tests/suite/common/mod.rs"]
mod common;

use common::make::*;
use common::{Guarded, Loaded, compile, load as load_images, run};
use einmesh_artifact::Phase;
use einmesh_ir::{DType, Expr};
use einmesh_schedule::kernel::{Contraction, Kernel};
use std::time::{Duration, Instant};

fn main() {
    let only = std::env::args().skip(1).find(|a| !a.starts_with("--")).unwrap_or_default();
    for (m, n, k, turned) in [
        (1024, 1024, 1024, false),
        (512, 3072, 768, false),
        (512, 768, 3072, false),
        (512, 768, 768, true),
        (128, 50257, 768, true),
        (256, 256, 64, true),
        (256, 64, 256, false),
        (32, 3072, 768, false),
        (8, 3072, 768, false),
        (4, 3072, 768, true),
    ] {
        let name = format!("{m}x{n}x{k}{}", if turned { "T" } else { "" });
        if !name.contains(&only) {
            continue;
        }
        let kernel = |from, factor| matmul((m, n, k), turned, from, factor);
        let kinds = [
            ("f32", kernel(DType::F32, DType::F32)),
            ("bf16", kernel(DType::Bf16, DType::Bf16)),
            ("f32 rounded", kernel(DType::F32, DType::Bf16)),
        ];
        compare(&name, &kinds, (2 * m * n * k) as f64);
    }
}

/// `out = a · b`, from arrays of one dtype with factors of another.
fn matmul((m, n, k): (u64, u64, u64), turned: bool, from: DType, factor: DType) -> Kernel {
    let mut make = make("matmul");
    let a = make.read(from, &[m, k]);
    let b = make.read(from, &if turned { [n, k] } else { [k, n] });
    let out = make.write(from, &[m, n]);
    let acc = make.local(DType::F32, &[]);
    let (i, j, l) = (make.index(m), make.index(n), make.index(k));
    let cast = |e: Expr, to| if from == to { e } else { Expr::cast(to, e) };
    make.contraction(Contraction {
        batch: vec![],
        m: vec![i],
        n: vec![j],
        k: vec![l],
        lhs: cast(load(a, &[i, l]), factor),
        rhs: cast(load(b, &if turned { [j, l] } else { [l, j] }), factor),
        accumulator: DType::F32,
        acc,
        epilogue: if from == DType::F32 {
            load(acc, &[])
        } else {
            Expr::cast(from, load(acc, &[]))
        },
        target: to(out, &[i, j]),
    })
}

/// A kernel of an image, ready to run again and again.
struct Ready<'l> {
    name: String,
    loaded: &'l Loaded,
    phases: &'l [Phase],
    operands: Vec<Guarded>,
    workspace: Guarded,
    scratch: Guarded,
    best: Duration,
}

impl Ready<'_> {
    fn time(&mut self) {
        let pointers: Vec<*mut u8> = self.operands.iter().map(Guarded::pointer).collect();
        let start = cpu_time();
        for phase in self.phases {
            let (workspace, scratch) = (self.workspace.pointer(), self.scratch.pointer());
            let tiles = (0, phase.tiles as i64);
            // SAFETY: all memory has the sizes that the phases were compiled for.
            unsafe { self.loaded.call(phase, &pointers, &[], workspace, scratch, tiles) };
        }
        self.best = self.best.min(cpu_time() - start);
    }
}

/// Runs all kinds in turns for a while and prints their best rates.
fn compare(name: &str, kinds: &[(&str, Kernel)], flops: f64) {
    let compiled: Vec<_> = kinds
        .iter()
        .map(|(_, kernel)| {
            let emitted = compile(std::slice::from_ref(kernel));
            let loaded = load_images(&emitted);
            (emitted, loaded)
        })
        .collect();
    let mut all = Vec::new();
    for ((kind, kernel), (emitted, loaded)) in kinds.iter().zip(&compiled) {
        for (number, (image, _)) in emitted.images.iter().enumerate() {
            let bytes = operands(kernel, 1);
            let mut operands: Vec<Guarded> = bytes.iter().map(|o| Guarded::of(o)).collect();
            run(emitted, loaded, (number, 0), &mut operands, &[]);
            let phases = &emitted.kernels[0].phases[number];
            let most = |size: fn(&Phase) -> u64| phases.iter().map(size).max().unwrap_or(0);
            all.push(Ready {
                name: format!("{kind} at {}", image.level),
                loaded: &loaded[number],
                phases,
                operands,
                workspace: Guarded::new(most(|p| p.workspace_bytes) as usize, 64),
                scratch: Guarded::new(most(|p| p.scratch_bytes) as usize, 64),
                best: Duration::MAX,
            });
        }
    }
    let started = Instant::now();
    while started.elapsed() < Duration::from_millis(1500) {
        all.iter_mut().for_each(Ready::time);
    }
    let reference = all[0].best.as_secs_f64();
    for ready in &all {
        let best = ready.best.as_secs_f64();
        println!(
            "{name} {}: {:.1} GFLOP/s, {:.1} us, {:.2} of {}",
            ready.name,
            flops / best / 1e9,
            best * 1e6,
            reference / best,
            all[0].name
        );
    }
}

/// The time that this thread has computed.
fn cpu_time() -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the pointer is to a valid timespec.
    let failed = unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &mut time) };
    assert_eq!(failed, 0);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}
