//! Kernels that take extents as numbers: compiled once, run at many extents between guard pages, and compared with the
//! plain evaluation of the same kernel with those extents.

use crate::common::make::{self, Rng};
use crate::common::{Guarded, Loaded, Tolerance, compare, reference};
use einmesh_codegen::{Level, Options, SymbolicEmitted, TargetKind, emit_symbolic};
use einmesh_ir::{Program, text};
use einmesh_schedule::kernel::Kernel;
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

    /// Runs a kernel of an image on operands, in place, so many tiles at a time.
    fn run(&self, image: usize, kernel: usize, operands: &[Guarded], symbols: &[u64], step: u64) {
        let pointers: Vec<*mut u8> = operands.iter().map(Guarded::pointer).collect();
        let ints: Vec<i64> = symbols.iter().map(|n| *n as i64).collect();
        for phase in &self.emitted.kernels[kernel][image] {
            let mut scratch = Guarded::new(phase.scratch_bytes as usize, 64);
            scratch.bytes_mut().fill(0xFF);
            let phase_at = einmesh_artifact::Phase {
                entry: phase.entry,
                tiles: phase.tiles(symbols),
                workspace_bytes: phase.workspace_bytes,
                scratch_bytes: phase.scratch_bytes,
            };
            let mut end = phase_at.tiles as i64;
            while end > 0 {
                let begin = (end - step.min(end as u64) as i64).max(0);
                let (workspace, scratch) = (std::ptr::null_mut(), scratch.pointer());
                // SAFETY: operands and scratch have the sizes that the phase asks for; there is no workspace.
                unsafe {
                    self.loaded[image].call(
                        &phase_at,
                        &pointers,
                        &ints,
                        workspace,
                        scratch,
                        (begin, end),
                    );
                }
                end = begin;
            }
        }
    }

    /// Compares every launch with the plain evaluation at some extents.
    fn check(&self, symbols: &[u64], tolerance: Tolerance) {
        for (number, launch) in self.graph.launches.iter().enumerate() {
            let kernel: Kernel = self.graph.kernels[launch.kernel as usize].at(symbols);
            let inputs = make::operands(&kernel, number as u64);
            let ints: Vec<i64> = symbols.iter().map(|n| *n as i64).collect();
            let mut expected = inputs.clone();
            reference::run(&kernel, &mut expected, &ints);
            for image in 0..self.loaded.len() {
                let level = format!("{} for {symbols:?}", self.emitted.images[image].0.level);
                let run = |step: u64| {
                    let operands: Vec<Guarded> = inputs.iter().map(|i| Guarded::of(i)).collect();
                    self.run(image, launch.kernel as usize, &operands, symbols, step);
                    operands.iter().map(|o| o.bytes().to_vec()).collect::<Vec<_>>()
                };
                let actual = run(u64::MAX);
                compare(&kernel, &level, &expected, &actual, tolerance);
                assert_eq!(actual, run(1), "{}: tiles matter at {level}", kernel.name);
            }
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
