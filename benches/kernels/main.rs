//! Measures what generated code is judged by: the speed of matrix products on one thread, and the time to
//! compile the kernels of a GPT-2 forward pass.
//!
//! `cargo bench -p einmesh-benches --bench kernels [-- compile|asm|nest|gemm]`, or `-- einsum|einsum-kernels
//! [CASE..]` for the einsums of the golden suite and the products of a transformer.

#[path = "../../compiler/codegen/tests/suite/common/mod.rs"]
mod common;
mod einsums;

use common::make::*;
use common::{Guarded, compile, levels, load as load_images, run};
use einmesh_codegen::{Options, TargetKind, Wanted, emit};
use einmesh_ir::{BinaryOp, Bounds, DType, Expr, IndexId, Load, Reducer, UnaryOp};
use einmesh_schedule::KernelGraph;
use einmesh_schedule::kernel::{Contraction, Kernel};
use std::time::{Duration, Instant};

const F32: DType = DType::F32;

fn main() {
    let mut words = std::env::args().skip(1).filter(|a| !a.starts_with("--"));
    let what = words.next().unwrap_or_default();
    if what.starts_with("einsum") {
        let dtype = if what.contains("bf16") { "bf16" } else { "f32" };
        return einsums::measure(&words.collect::<Vec<_>>(), dtype, what.contains("kernels"));
    }
    let all = what.is_empty();
    if all || what == "compile" || what == "asm" {
        compile_time(what == "asm");
    }
    if all || what == "nest" {
        nests();
    }
    if all || what == "gemm" {
        for (m, n, k, transposed) in [
            (512, 3072, 768, false),
            (512, 768, 3072, false),
            (1024, 1024, 1024, false),
            (128, 50257, 768, true),
            (256, 256, 64, true),
            (256, 64, 256, false),
            (1, 3072, 768, false),
            (1, 50257, 768, true),
            (8, 3072, 768, false),
        ] {
            gemm(m, n, k, transposed);
        }
    }
}

fn gemm(m: u64, n: u64, k: u64, transposed: bool) {
    let kernel = matmul(m, n, k, transposed);
    let name = format!("{m}x{n}x{k}{}", if transposed { "T" } else { "" });
    speed(&name, &kernel, (2 * m * n * k) as f64, "GFLOP/s");
}

/// Runs a kernel for a while on one thread; prints the best rate, by processor time.
fn speed(name: &str, kernel: &Kernel, work: f64, unit: &str) {
    let emitted = compile(std::slice::from_ref(kernel));
    let loaded = load_images(&emitted);
    let ints = vec![0; kernel.ints as usize];
    for image in 0..loaded.len() {
        let mut operands: Vec<Guarded> =
            operands(kernel, 1).iter().map(|o| Guarded::of(o)).collect();
        // The first run checks that the kernel runs at all, between guard pages.
        run(&emitted, &loaded, (image, 0), &mut operands, &ints);
        let phase = &emitted.kernels[0].phases[image][0];
        let workspace = Guarded::new(phase.workspace_bytes as usize, 64);
        let scratch = Guarded::new(phase.scratch_bytes as usize, 64);
        let pointers: Vec<*mut u8> = operands.iter().map(Guarded::pointer).collect();
        let mut best = Duration::MAX;
        let started = Instant::now();
        while started.elapsed() < Duration::from_millis(300) {
            let start = cpu_time();
            let tiles = (0, phase.tiles as i64);
            let (workspace, scratch) = (workspace.pointer(), scratch.pointer());
            // SAFETY: all memory has the sizes that the phase was compiled for.
            unsafe { loaded[image].call(phase, &pointers, &ints, workspace, scratch, tiles) };
            best = best.min(cpu_time() - start);
        }
        let level = &emitted.images[image].0.level;
        println!(
            "{name} {level}: {:.1} {unit}, {:.1} us, {} tiles, scratch {} KB",
            work / best.as_secs_f64() / 1e9,
            best.as_secs_f64() * 1e6,
            phase.tiles,
            phase.scratch_bytes / 1024,
        );
    }
}

/// Nests, by the bytes they must read and write.
fn nests() {
    let (b, t, d, h) = (1, 512, 768, 12);
    let attention = attention(b, t, d, h);
    speed("softmax", &attention[1], (2 * b * h * t * t * 4) as f64, "GB/s");
    speed("layer norm", &norm("ln", t, d), (2 * t * d * 4) as f64, "GB/s");
    speed("embedding", &embedding(t, d, 50257), (3 * t * d * 4) as f64, "GB/s");
    let mut m = make("gelu");
    let (x, out) = (m.read(F32, &[t, 4 * d]), m.write(F32, &[t, 4 * d]));
    let (i, j) = (m.index(t), m.index(4 * d));
    let stage = map(&[i, j], gelu(load(x, &[i, j])), to(out, &[i, j]));
    speed("gelu", &m.nest(&[], vec![stage]), (2 * t * 4 * d * 4) as f64, "GB/s");
    let mut m = make("column sum");
    let (x, out) = (m.read(F32, &[t, 4 * d]), m.write(F32, &[4 * d]));
    let (i, j) = (m.index(t), m.index(4 * d));
    let stage = reduce(Reducer::Sum, &[j], &[i], load(x, &[i, j]), to(out, &[j]));
    speed("column sum", &m.nest(&[], vec![stage]), (t * 4 * d * 4) as f64, "GB/s");
}

fn matmul(m: u64, n: u64, k: u64, transposed: bool) -> Kernel {
    let mut make = make("matmul");
    let a = make.read(F32, &[m, k]);
    let b = make.read(F32, &if transposed { [n, k] } else { [k, n] });
    let out = make.write(F32, &[m, n]);
    let acc = make.local(F32, &[]);
    let (i, j, l) = (make.index(m), make.index(n), make.index(k));
    make.contraction(Contraction {
        batch: vec![],
        m: vec![i],
        n: vec![j],
        k: vec![l],
        lhs: load(a, &[i, l]),
        rhs: load(b, &if transposed { [j, l] } else { [l, j] }),
        accumulator: F32,
        acc,
        epilogue: load(acc, &[]),
        target: to(out, &[i, j]),
    })
}

fn compile_time(listing: bool) {
    let kernels = gpt2(1, 512, 768, 12, 50257);
    let graph = KernelGraph { kernels, ..KernelGraph::default() };
    for threads in [1, 2] {
        let options = Options {
            target: TargetKind::Cpu(levels()),
            threads,
            wanted: Wanted { asm: listing, llvm: listing, mlir: listing },
            ..Options::default()
        };
        let (started, cpu) = (Instant::now(), cpu_time());
        let emitted = emit(&graph, &options).unwrap_or_else(|bug| panic!("{bug}"));
        let (total, cpu) = (started.elapsed(), cpu_time() - cpu);
        println!("{} kernels, {threads} threads: {total:?}, {cpu:?} of CPU", graph.kernels.len());
        for timing in &emitted.timings {
            println!("  {} {}: {:?}", timing.level, timing.step, timing.time);
        }
        for (image, bytes) in &emitted.images {
            println!("  {}: {} bytes", image.level, bytes.len());
        }
        for (n, listing) in emitted.listings.iter().enumerate() {
            let path = format!("/tmp/measure-{n}-{}.{}", listing.level, listing.form);
            std::fs::write(&path, &listing.text).expect("the listing can be written");
        }
    }
}

/// The processor time of this process, which does not count what others use of a shared machine.
fn cpu_time() -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the pointer is to a valid timespec.
    let failed = unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &mut time) };
    assert_eq!(failed, 0);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

fn norm(name: &str, rows: u64, d: u64) -> Kernel {
    let mut m = make(name);
    let x = m.read(F32, &[rows, d]);
    let (gain, bias) = (m.read(F32, &[12, d]), m.read(F32, &[12, d]));
    let out = m.write(F32, &[rows, d]);
    let (mean, variance) = (m.local(F32, &[]), m.local(F32, &[]));
    let (t, i) = (m.index(rows), m.index(d));
    m.ints(1);
    let layer = || Expr::LoopVar(einmesh_ir::LoopVarId(0));
    let centred = || sub(load(x, &[t, i]), load(mean, &[]));
    let scale = Expr::float(F32, 1.0 / d as f64);
    let stages = vec![
        reduce(Reducer::Sum, &[], &[i], mul(load(x, &[t, i]), scale.clone()), to(mean, &[])),
        reduce(Reducer::Sum, &[], &[i], mul(centred(), mul(centred(), scale)), to(variance, &[])),
        map(
            &[i],
            add(
                mul(
                    mul(
                        centred(),
                        Expr::unary(
                            UnaryOp::Rsqrt,
                            add(load(variance, &[]), Expr::float(F32, 1e-5)),
                        ),
                    ),
                    Expr::load(gain, [layer(), idx(i)]),
                ),
                Expr::load(bias, [layer(), idx(i)]),
            ),
            to(out, &[t, i]),
        ),
    ];
    m.nest(&[t], stages)
}

fn gelu(x: Expr) -> Expr {
    let f = |v: f64| Expr::float(F32, v);
    let cube = mul(x.clone(), mul(x.clone(), x.clone()));
    let inner = mul(f(0.797_884_560_802_865_4), add(x.clone(), mul(f(0.044715), cube)));
    mul(mul(f(0.5), x), add(f(1.0), Expr::unary(UnaryOp::Tanh, inner)))
}

/// `out = epilogue(x · w[layer] + bias[layer])`.
fn linear(name: &str, rows: u64, d: u64, f: u64, residual: bool, act: bool) -> Kernel {
    let mut m = make(name);
    let x = m.read(F32, &[rows, d]);
    let (w, bias) = (m.read(F32, &[12, d, f]), m.read(F32, &[12, f]));
    let skip = m.read(F32, &[rows, f]);
    let out = m.write(F32, &[rows, f]);
    let acc = m.local(F32, &[]);
    let (t, i, j) = (m.index(rows), m.index(d), m.index(f));
    m.ints(1);
    let layer = || Expr::LoopVar(einmesh_ir::LoopVarId(0));
    let mut epilogue = add(load(acc, &[]), Expr::load(bias, [layer(), idx(j)]));
    if act {
        epilogue = gelu(epilogue);
    }
    if residual {
        epilogue = add(epilogue, load(skip, &[t, j]));
    }
    m.contraction(Contraction {
        batch: vec![],
        m: vec![t],
        n: vec![j],
        k: vec![i],
        lhs: load(x, &[t, i]),
        rhs: Expr::load(w, [layer(), idx(i), idx(j)]),
        accumulator: F32,
        acc,
        epilogue,
        target: to(out, &[t, j]),
    })
}

fn projection(part: i64, b: u64, t: u64, d: u64, h: u64) -> Kernel {
    let k = d / h;
    let mut m = make("qkv");
    let x = m.read(F32, &[b, t, d]);
    let (w, bias) = (m.read(F32, &[12, d, 3, h, k]), m.read(F32, &[12, 3, h, k]));
    let out = m.write(F32, &[b, t, h, k]);
    let acc = m.local(F32, &[]);
    let (ib, it, id) = (m.index(b), m.index(t), m.index(d));
    let (ih, ik) = (m.index(h), m.index(k));
    m.ints(1);
    let layer = || Expr::LoopVar(einmesh_ir::LoopVarId(0));
    m.contraction(Contraction {
        batch: vec![],
        m: vec![ib, it],
        n: vec![ih, ik],
        k: vec![id],
        lhs: load(x, &[ib, it, id]),
        rhs: Expr::load(w, [layer(), idx(id), Expr::int(part), idx(ih), idx(ik)]),
        accumulator: F32,
        acc,
        epilogue: add(
            load(acc, &[]),
            Expr::load(bias, [layer(), Expr::int(part), idx(ih), idx(ik)]),
        ),
        target: to(out, &[ib, it, ih, ik]),
    })
}

fn attention(b: u64, t: u64, d: u64, h: u64) -> Vec<Kernel> {
    let k = d / h;
    let scores = {
        let mut m = make("scores");
        let (q, key) = (m.read(F32, &[b, t, h, k]), m.read(F32, &[b, t, h, k]));
        let out = m.write(F32, &[b, h, t, t]);
        let acc = m.local(F32, &[]);
        let (ib, it, iu) = (m.index(b), m.index(t), m.index(t));
        let (ih, ik) = (m.index(h), m.index(k));
        m.contraction(Contraction {
            batch: vec![ib, ih],
            m: vec![it],
            n: vec![iu],
            k: vec![ik],
            lhs: load(q, &[ib, it, ih, ik]),
            rhs: load(key, &[ib, iu, ih, ik]),
            accumulator: F32,
            acc,
            epilogue: mul(load(acc, &[]), Expr::float(F32, 0.125)),
            target: to(out, &[ib, ih, it, iu]),
        })
    };
    let softmax = {
        let mut m = make("softmax");
        let x = m.read(F32, &[b, h, t, t]);
        let out = m.write(F32, &[b, h, t, t]);
        let (most, sum) = (m.local(F32, &[]), m.local(F32, &[]));
        let row = m.local(F32, &[t]);
        let (ib, ih, it, iu) = (m.index(b), m.index(h), m.index(t), m.index(t));
        let s = || load(x, &[ib, ih, it, iu]);
        let causal = || Expr::binary(BinaryOp::Le, idx(iu), idx(it));
        let stages = vec![
            guarded(causal(), reduce(Reducer::Max, &[], &[iu], s(), to(most, &[]))),
            guarded(causal(), map(&[iu], exp(sub(s(), load(most, &[]))), to(row, &[iu]))),
            reduce(Reducer::Sum, &[], &[iu], load(row, &[iu]), to(sum, &[])),
            map(&[iu], div(load(row, &[iu]), load(sum, &[])), to(out, &[ib, ih, it, iu])),
        ];
        m.nest(&[ib, ih, it], stages)
    };
    let values = {
        let mut m = make("values");
        let (a, v) = (m.read(F32, &[b, h, t, t]), m.read(F32, &[b, t, h, k]));
        let out = m.write(F32, &[b, t, h, k]);
        let acc = m.local(F32, &[]);
        let (ib, it, iu) = (m.index(b), m.index(t), m.index(t));
        let (ih, ik) = (m.index(h), m.index(k));
        m.contraction(Contraction {
            batch: vec![ib, ih],
            m: vec![it],
            n: vec![ik],
            k: vec![iu],
            lhs: load(a, &[ib, ih, it, iu]),
            rhs: load(v, &[ib, iu, ih, ik]),
            accumulator: F32,
            acc,
            epilogue: load(acc, &[]),
            target: to(out, &[ib, it, ih, ik]),
        })
    };
    vec![scores, softmax, values]
}

fn embedding(t: u64, d: u64, v: u64) -> Kernel {
    let mut m = make("embedding");
    let (wte, wpe) = (m.read(F32, &[v, d]), m.read(F32, &[1024, d]));
    let tokens = m.read(DType::I32, &[t]);
    let out = m.write(F32, &[t, d]);
    let (it, id): (IndexId, IndexId) = (m.index(t), m.index(d));
    let gathered = Expr::Load(Load {
        value: wte,
        subs: vec![load(tokens, &[it]), idx(id)],
        bounds: Bounds::Clamp,
    });
    let body = add(gathered, load(wpe, &[it, id]));
    m.nest(&[], vec![map(&[it, id], body, to(out, &[it, id]))])
}

/// The kernels of GPT-2's forward pass.
fn gpt2(b: u64, t: u64, d: u64, h: u64, v: u64) -> Vec<Kernel> {
    let rows = b * t;
    let mut kernels = vec![embedding(rows, d, v), norm("ln", rows, d)];
    kernels.extend((0..3).map(|part| projection(part, b, t, d, h)));
    kernels.extend(attention(b, t, d, h));
    kernels.push(linear("proj", rows, d, d, true, false));
    kernels.push(linear("fc", rows, d, 4 * d, false, true));
    kernels.push(linear("fc_proj", rows, 4 * d, d, true, false));
    kernels.push(matmul(rows, v, d, true));
    kernels
}
