//! Kernels that take extents as numbers: compiled once, run at many extents between guard pages, and compared with the
//! plain evaluation of the same kernel with those extents.

use crate::common::make::{self, Rng};
use crate::common::reference::{self, Number};
use crate::common::{Call, Guarded, Loaded, Tolerance, compare};
use einmesh_artifact::Phase;
use einmesh_codegen::{Level, Options, SymbolicEmitted, SymbolicPhase, TargetKind, emit_symbolic};
use einmesh_ir::testing::{GenerateOptions, generate, make_symbolic};
use einmesh_ir::{Bounds, Program, text};
use einmesh_schedule::kernel::{Kernel, Role};
use einmesh_schedule::symbolic::SymbolicGraph;

/// The levels that there is code for, as far as this machine can run them.
fn levels() -> Vec<Level> {
    let mut levels = crate::common::levels();
    levels.retain(|level| level.base().is_none());
    levels
}

/// A program's schedule; its symbols are all its symbolic dims that have no role.
fn schedule(program: &Program) -> SymbolicGraph {
    let dims = program.dims.values().filter(|d| d.symbolic && d.role_of.is_none());
    let symbols: Vec<String> = dims.map(|d| d.name.clone()).collect();
    einmesh_schedule::symbolic(program, &symbols).expect("straight-line programs have schedules")
}

fn parsed(source: &str) -> Program {
    let spmd = text::parse(&format!("program p {{\n{source}\n}}")).expect("a valid program");
    assert_eq!(einmesh_ir::verify(&spmd), vec![]);
    spmd
}

struct Code {
    graph: SymbolicGraph,
    emitted: SymbolicEmitted,
    loaded: Vec<Loaded>,
}

impl Code {
    fn of(graph: SymbolicGraph) -> Code {
        let options = Options { target: TargetKind::Cpu(levels()), ..Options::default() };
        let emitted = emit_symbolic(&graph, &options).unwrap_or_else(|bug| panic!("{bug}"));
        let images = emitted.images.iter();
        let loaded = images.map(|(image, bytes)| Loaded::new(image, bytes)).collect();
        Code { graph, emitted, loaded }
    }

    /// The phases of a kernel of an image, at some extents.
    fn phases(&self, image: usize, kernel: usize, symbols: &[u64]) -> Vec<Phase> {
        let phase = |phase: &SymbolicPhase| Phase {
            entry: phase.entry,
            tiles: phase.tiles(symbols),
            workspace_bytes: phase.workspace_bytes,
            scratch_bytes: phase.scratch_bytes,
        };
        self.emitted.kernels[kernel][image].iter().map(phase).collect()
    }

    /// Compares every launch with the plain evaluation at some extents.
    fn check(&self, symbols: &[u64], tolerance: Tolerance) {
        for (number, launch) in self.graph.orders[0].launches.iter().enumerate() {
            let kernel: Kernel = self.graph.kernels[launch.kernel as usize].at(symbols);
            let points: u64 = kernel.indices.iter().map(|i| i.extent).product();
            if points > MOST_POINTS {
                continue;
            }
            let mut inputs = make::operands(&kernel, number as u64);
            whole(&kernel, &mut inputs);
            let ints: Vec<i64> = symbols.iter().map(|n| *n as i64).collect();
            let mut expected = inputs.clone();
            reference::run(&kernel, &mut expected, &ints);
            for image in 0..self.loaded.len() {
                let level = format!("{} for {symbols:?}", self.emitted.images[image].0.level);
                let phases = self.phases(image, launch.kernel as usize, symbols);
                let run = |step: u64| {
                    let operands: Vec<Guarded> = inputs.iter().map(|i| Guarded::of(i)).collect();
                    Call::new(&self.loaded[image], &phases, &operands, &ints).run(|_| step);
                    operands.iter().map(|o| o.bytes().to_vec()).collect::<Vec<_>>()
                };
                let actual = run(u64::MAX);
                compare(&kernel, &level, &expected, &actual, tolerance);
                assert_eq!(actual, run(1), "{}: tiles matter at {level}", kernel.name);
            }
        }
    }
}

/// Kernels with more points are left out at some extents: the plain evaluation is slow.
const MOST_POINTS: u64 = 300_000;

/// Makes floats whole numbers, so that what jumps does so at the same place however sums are rounded.
fn whole(kernel: &Kernel, operands: &mut [Vec<u8>]) {
    let values = kernel.values.iter().filter(|v| v.role != Role::Local);
    for (value, bytes) in values.zip(operands) {
        let each = bytes.chunks_mut(value.dtype.bytes() as usize);
        for place in each.filter(|_| value.dtype.is_float()) {
            let number = (reference::read(value.dtype, place).float() * 2.0).round();
            place.copy_from_slice(&reference::write(value.dtype, Number::Float(number)));
        }
    }
}

const CLOSE: Tolerance = Tolerance { relative: 1e-5, absolute: 1e-4 };

/// Extents for `n` symbols: none, one, primes, powers of two, larger than vectors and some blocks.
fn extents(n: usize) -> Vec<Vec<u64>> {
    let some = [0, 1, 7, 16, 31, 64, 67];
    let mut rng = Rng(n as u64);
    let mut all: Vec<Vec<u64>> = some.iter().map(|e| vec![*e; n]).collect();
    for _ in 0..8 {
        all.push((0..n).map(|_| some[rng.next() as usize % some.len()]).collect());
    }
    all
}

/// Checks a program at many extents.
fn check(source: &str) {
    let code = Code::of(schedule(&parsed(source)));
    for symbols in extents(code.graph.symbols.len()) {
        code.check(&symbols, CLOSE);
    }
}

#[test]
fn elementwise_work_and_reductions() {
    check(
        "dim B = 9 symbolic, T = 9 symbolic, U: T = 9 symbolic, D = 5
         input %x.0: f32[B,T,D]
         input %y.1: f32[T,D]
         %a.2: f32[B,T,D] = %x.0[b,t,d] * %y.1[t,d] + f32(t)
         %s.3: f32[B,T] = sum[d](%a.2[b,t,d])
         %m.4: f32[B,D] = max[t | t < 40](%a.2[b,t,d])
         %z.5: f32[D,T] = sum[b](%x.0[b,t,d])
         %l.6: f32[B] = logsumexp[t,d](%x.0[b,t,d])
         %i.7: i32[B] = argmax[t](%s.3[b,t])
         %c.8: f32[B,T] = sum[u:U | u <= t](%s.3[b,u])
         %o.9: f32[T,D] = (%y.1[t - 1,d else 0.5]) + %y.1[t,d]
         output %s.3 path \"s\"
         output %m.4 path \"m\"
         output %z.5 path \"z\"
         output %l.6 path \"l\"
         output %i.7 path \"i\"
         output %c.8 path \"c\"
         output %o.9 path \"o\"",
    );
}

/// The passes over a row are one launch, what they pass on being one number or an array in memory; so are they where a
/// row is of a dim that is known. Over columns they are not: memory would be walked across.
#[test]
fn passes_over_rows() {
    let rows = "dim B = 9 symbolic, T = 9 symbolic, D = 9 symbolic, K = 5
         input %x.0: f32[B,T,D]
         input %y.1: f32[B,K]
         %m.2: f32[B,T] = max[d](%x.0[b,t,d])
         %e.3: f32[B,T,D] = exp(%x.0[b,t,d] - %m.2[b,t])
         %s.4: f32[B,T] = sum[d | d < 40](%e.3[b,t,d])
         %o.5: f32[B,T,D] = %e.3[b,t,d] / (1.0 + %s.4[b,t])
         %q.6: f32[B] = sum[k](%y.1[b,k] * %y.1[b,k])
         %n.7: f32[B,K] = tanh(%y.1[b,k] / (1.0 + %q.6[b]))
         %r.8: f32[B] = sum[k](%n.7[b,k] * %n.7[b,k])
         %z.9: f32[B,K] = %n.7[b,k] / (1.0 + %r.8[b])
         output %o.5 path \"o\"
         output %z.9 path \"z\"";
    check(rows);
    assert_eq!(schedule(&parsed(rows)).orders[0].launches.len(), 2);
    let columns = "dim T = 9 symbolic, D = 9 symbolic
         input %x.0: f32[T,D]
         %s.1: f32[D] = sum[t](%x.0[t,d])
         %o.2: f32[T,D] = %x.0[t,d] - %s.1[d]
         output %o.2 path \"o\"";
    check(columns);
    assert_eq!(schedule(&parsed(columns)).orders[0].launches.len(), 2);
}

/// Products of every form: rows and columns in any order, several indices of each kind, epilogues, dtypes.
#[test]
fn matrix_products() {
    check(
        "dim M = 9 symbolic, K = 9 symbolic, N = 9 symbolic
         input %x.0: f32[M,K]
         input %y.1: f32[K,N]
         input %z.2: f32[N,K]
         input %b.3: f32[N]
         %p.4: f32[M,N] = sum[k](%x.0[m,k] * %y.1[k,n])
         %q.5: f32[M,N] = sum[k](%x.0[m,k] * %z.2[n,k])
         %r.6: f32[N,M] = sum[k](%x.0[m,k] * %y.1[k,n])
         %s.7: f32[M,N] = max(%p.4[m,n] * 0.5 + %b.3[n], 0.0)
         %t.8: f32[M,N] = sum[k](exp(%x.0[m,k]) * %y.1[k,n])
         %w.9: f32[K,N] = sum[m](%x.0[m,k] * %q.5[m,n])
         output %q.5 path \"q\"
         output %r.6 path \"r\"
         output %s.7 path \"s\"
         output %t.8 path \"t\"
         output %w.9 path \"w\"",
    );
}

/// More than a block of rows, of columns, and more steps than one, each beside little of the others.
#[test]
fn products_of_several_blocks() {
    let code = Code::of(schedule(&parsed(
        "dim M = 9 symbolic, K = 9 symbolic, N = 9 symbolic, J = 9 symbolic
         input %x.0: f32[M,K,J]
         input %y.1: f32[K,N]
         input %z.2: f64[J,K,N]
         %p.3: f32[J,M,N] = sum[k](%x.0[m,k,j] * %y.1[k,n])
         %q.4: f64[M,N] = sum[k,j](f64(%x.0[m,k,j]) * %z.2[j,k,n])
         output %p.3 path \"p\"
         output %q.4 path \"q\"",
    )));
    let most =
        [[420, 3, 5, 2], [3, 1700, 9, 2], [3, 2, 1100, 4], [200, 40, 33, 1], [5, 900, 40, 1]];
    for symbols in most {
        code.check(&symbols, CLOSE);
    }
}

#[test]
fn products_of_many_indices_and_dtypes() {
    check(
        "dim B = 9 symbolic, T = 9 symbolic, D = 9 symbolic, H = 9 symbolic, K = 4, U: T = 9 symbolic
         input %x.0: f32[B,T,D]
         input %w.1: f32[D,H,K]
         input %h.2: bf16[D,H]
         input %g.3: f64[T,D,B]
         input %i.4: i32[T]
         %q.5: f32[B,T,H,K] = sum[d](%x.0[b,t,d] * %w.1[d,h,k])
         %s.6: f32[B,H,T,U] = sum[k](%q.5[b,t,h,k] * %q.5[b,u,h,k])
         %c.7: f32[B,T,H,K] = sum[u:U | u <= t](%s.6[b,h,t,u] * %q.5[b,u,h,k])
         %e.8: bf16[T,H] = sum[d,b](bf16(%x.0[b,t,d]) * %h.2[d,h])
         %f.9: f64[H,T] = sum[b,d](%g.3[t,d,b] * f64(%h.2[d,h]))
         %n.10: f32[B,T,K] = sum[d](%x.0[b,%i.4[t],d clamp] * (%w.1[d - 1,0,k else 2.0]))
                  output %c.7 path \"c\"
         output %e.8 path \"e\"
         output %f.9 path \"f\"
         output %n.10 path \"n\"",
    );
}

/// Programs that nobody thought of. `EINMESH_FUZZ=1000` runs more than the usual number.
#[test]
fn random_programs() {
    let wanted = std::env::var("EINMESH_FUZZ").ok().and_then(|n| n.parse().ok());
    let options =
        GenerateOptions { loops: false, stores: false, sorts: false, ..Default::default() };
    let sizes = [1, 2, 3, 7, 16, 17, 33];
    for seed in 0..wanted.unwrap_or(24) {
        let (mut program, _) = generate(seed, &options);
        make_symbolic(&mut program);
        let code = Code::of(schedule(&program));
        let mut rng = Rng(seed);
        for round in 0..6 {
            let any = |_| sizes[rng.next() as usize % sizes.len()];
            let mut symbols: Vec<u64> = code.graph.symbols.iter().map(any).collect();
            // Of nothing there is no element to be confined to.
            if round == 0 && !clamps(&program) {
                let at = rng.next() as usize % symbols.len();
                symbols[at] = 0;
            }
            code.check(&symbols, Tolerance { relative: 1e-3, absolute: 1e-2 });
        }
    }
}

/// Whether some subscript is confined to its extent.
fn clamps(program: &Program) -> bool {
    let ops = program.body.ops.iter();
    let computed = ops.filter_map(|op| match op {
        einmesh_ir::Op::Compute(c) => Some(c),
        _ => None,
    });
    let mut loads = computed.flat_map(|c| c.exprs()).flat_map(|e| e.loads());
    loads.any(|load| load.bounds == Bounds::Clamp)
}

/// The time of a call on one thread, the least of many, in microseconds: of a symbolic kernel and of the kernel that was
/// compiled for the extents.
fn times(code: &Code, symbols: &[u64]) -> (f64, f64) {
    let kernel = code.graph.kernels[0].at(symbols);
    let fixed = crate::common::compile_for(std::slice::from_ref(&kernel), levels());
    let loaded = crate::common::load(&fixed);
    let inputs = make::operands(&kernel, 1);
    let operands: Vec<Guarded> = inputs.iter().map(|i| aligned(i)).collect();
    let ints: Vec<i64> = symbols.iter().map(|n| *n as i64).collect();
    let own = Call::new(&code.loaded[0], &code.phases(0, 0, symbols), &operands, &ints);
    let fixed = Call::new(&loaded[0], &fixed.kernels[0].phases[0], &operands, &ints);
    let mut best = (f64::INFINITY, f64::INFINITY);
    let begin = std::time::Instant::now();
    let now = || {
        let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        // SAFETY: the clock exists, and the time is written to what we own.
        unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &mut time) };
        time.tv_sec as f64 * 1e6 + time.tv_nsec as f64 / 1e3
    };
    while begin.elapsed().as_millis() < 700 {
        let often = if best.0 < 20.0 { 100 } else { 1 };
        let start = now();
        (0..often).for_each(|_| own.run(|tiles| tiles));
        let middle = now();
        (0..often).for_each(|_| fixed.run(|tiles| tiles));
        let end = now();
        let each = |from: f64, to: f64| (to - from) / f64::from(often);
        best = (best.0.min(each(start, middle)), best.1.min(each(middle, end)));
    }
    best
}

/// Operands at the start of a line of the cache, as the runtime has them, and far from a page that cannot be touched:
/// processors take long for a masked load or store that reaches into one.
fn aligned(bytes: &[u8]) -> Guarded {
    let mut memory = Guarded::new(bytes.len() + 256, 64);
    memory.bytes_mut()[..bytes.len()].copy_from_slice(bytes);
    memory
}

/// How fast symbolic kernels are beside those that know their extents. Run on request, on a quiet machine:
/// `cargo test -p einmesh-codegen --test suite symbolic::speed -- --ignored --nocapture`.
#[test]
#[ignore = "prints times; nothing is asserted of them"]
fn speed() {
    let cases: [(&str, &str, &[&[u64]]); 8] = [
        (
            "m k, k n -> m n",
            "dim M = 9 symbolic, K = 9 symbolic, N = 9 symbolic
             input %x.0: f32[M,K]
             input %y.1: f32[K,N]
             %p.2: f32[M,N] = sum[k](%x.0[m,k] * %y.1[k,n])
             output %p.2",
            &[
                &[4; 3],
                &[16; 3],
                &[64; 3],
                &[256; 3],
                &[1024; 3],
                &[8, 1024, 1024],
                &[1, 1024, 1024],
            ],
        ),
        (
            "m k, n k -> m n",
            "dim M = 9 symbolic, K = 9 symbolic, N = 9 symbolic
             input %x.0: f32[M,K]
             input %y.1: f32[N,K]
             %p.2: f32[M,N] = sum[k](%x.0[m,k] * %y.1[n,k])
             output %p.2",
            &[&[64; 3], &[256; 3], &[1024; 3]],
        ),
        (
            "k m, k n -> m n",
            "dim M = 9 symbolic, K = 9 symbolic, N = 9 symbolic
             input %x.0: f32[K,M]
             input %y.1: f32[K,N]
             %p.2: f32[M,N] = sum[k](%x.0[k,m] * %y.1[k,n])
             output %p.2",
            &[&[64; 3], &[256; 3], &[1024; 3]],
        ),
        (
            "b t d, d h k -> b t h k",
            "dim B = 9 symbolic, T = 9 symbolic, D = 9 symbolic, H = 9 symbolic, K = 9 symbolic
             input %x.0: f32[B,T,D]
             input %w.1: f32[D,H,K]
             %p.2: f32[B,T,H,K] = sum[d](%x.0[b,t,d] * %w.1[d,h,k])
             output %p.2",
            &[&[2, 32, 64, 4, 16], &[4, 128, 512, 8, 64]],
        ),
        (
            "b t h k, b u h k -> b h t u",
            "dim B = 9 symbolic, T = 9 symbolic, U = 9 symbolic, H = 9 symbolic, K = 9 symbolic
             input %x.0: f32[B,T,H,K]
             input %w.1: f32[B,U,H,K]
             %p.2: f32[B,H,T,U] = sum[k](%x.0[b,t,h,k] * %w.1[b,u,h,k])
             output %p.2",
            &[&[2, 256, 256, 4, 64]],
        ),
        (
            "i j -> i",
            "dim I = 9 symbolic, J = 9 symbolic
             input %x.0: f32[I,J]
             %p.1: f32[I] = sum[j](%x.0[i,j])
             output %p.1",
            &[&[16, 16], &[256, 256], &[1024, 1024]],
        ),
        (
            "softmax",
            "dim I = 9 symbolic, J = 9 symbolic
             input %x.0: f32[I,J]
             %m.1: f32[I] = max[j](%x.0[i,j])
             %e.2: f32[I,J] = exp(%x.0[i,j] - %m.1[i])
             %s.3: f32[I] = sum[j](%e.2[i,j])
             %p.4: f32[I,J] = %e.2[i,j] / %s.3[i]
             output %p.4",
            &[&[16, 16], &[256, 256], &[1024, 1024]],
        ),
        (
            "i j, i j -> i j",
            "dim I = 9 symbolic, J = 9 symbolic
             input %x.0: f32[I,J]
             input %y.1: f32[I,J]
             %p.2: f32[I,J] = %x.0[i,j] * %y.1[i,j]
             output %p.2",
            &[&[16, 16], &[256, 256]],
        ),
    ];
    for (name, source, all) in cases {
        let code = Code::of(schedule(&parsed(source)));
        for symbols in all {
            let (own, fixed) = times(&code, symbols);
            let ratio = fixed / own;
            println!(
                "{name} {symbols:?}: {own:.2} us, fixed extents {fixed:.2} us, ratio {ratio:.2}"
            );
        }
    }
}
