//! The CPU target: vector loops and a matrix product, for each CPU level.

mod address;
mod argsort;
mod cost;
mod env;
mod expr;
mod gemm;
mod level;
mod math;
mod narrow;
mod nest;
mod online;
mod phase;
mod reduce;
mod value;

pub use level::Level;

use crate::build::Builder;
use crate::context::Mlir;
use crate::error::CompilerBug;
use crate::image;
use crate::pipeline::{self, Compiled};
use crate::target::{Emission, Listing, Options, Target, Timing};
use einmesh_artifact::Phase;
use einmesh_schedule::kernel::{Body, Kernel};
use melior::ir::{Location, Module};
use phase::{PhaseShape, Phases, phase_symbol};
use std::collections::BTreeSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

/// x86-64, at one or several levels.
#[derive(Clone, Debug)]
pub struct Cpu {
    /// The levels, most demanding first.
    pub levels: Vec<Level>,
}

/// Kernels are compiled in modules of at most so many: enough work for several threads, few enough
/// modules to share what they have in common. Never chosen by the number of threads, since it shows in the image.
const MODULE: usize = 8;

/// A kernel of more operations is a mistake, not a kernel: the largest of GPT-2 have about a thousand. The
/// bound keeps the passes, whose time grows with it, bounded as well.
const MOST_OPERATIONS: usize = 200_000;

/// The kernels of one module at one level, compiled.
struct Part {
    compiled: Compiled,
    shapes: Vec<Vec<PhaseShape>>,
}

impl Target for Cpu {
    fn emit(&self, kernels: &[Kernel], options: &Options) -> Result<Vec<Emission>, CompilerBug> {
        let modules: Vec<&[Kernel]> = match kernels.is_empty() {
            true => vec![kernels],
            false => {
                kernels.chunks(kernels.len().div_ceil(kernels.len().div_ceil(MODULE))).collect()
            }
        };
        let mut jobs = Vec::new();
        for level in &self.levels {
            let mut first = 0;
            for module in &modules {
                jobs.push((*level, first, *module));
                first += module.len();
            }
        }
        let results: Vec<Mutex<Option<Result<Part, CompilerBug>>>> =
            jobs.iter().map(|_| Mutex::new(None)).collect();
        let next = AtomicUsize::new(0);
        let work = || loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            let Some((level, first, module)) = jobs.get(number) else {
                return;
            };
            let part = compile(*level, *first, module, options);
            *results[number].lock().expect("no job panics while it holds the lock") = Some(part);
        };
        std::thread::scope(|scope| {
            for _ in 1..options.threads.clamp(1, jobs.len()) {
                scope.spawn(work);
            }
            work();
        });
        let mut parts = results.into_iter().map(|slot| {
            let part = slot.into_inner().expect("no job panics while it holds the lock");
            part.unwrap_or_else(|| Err(CompilerBug::new("a module was not compiled")))
        });
        let of_level = |level: &Level| {
            let parts: Result<Vec<Part>, CompilerBug> =
                parts.by_ref().take(modules.len()).collect();
            assemble(*level, parts?)
        };
        self.levels.iter().map(of_level).collect()
    }
}

/// Puts the modules of a level together.
fn assemble(level: Level, parts: Vec<Part>) -> Result<Emission, CompilerBug> {
    let started = Instant::now();
    let objects: Vec<Vec<u8>> = parts.iter().map(|p| p.compiled.object.clone()).collect();
    let image = image::link(level.name(), &objects)?;
    let mut phases = Vec::new();
    for shapes in parts.iter().flat_map(|p| &p.shapes) {
        let symbol = symbol(phases.len());
        let phase = |(number, shape): (usize, &PhaseShape)| {
            let name = phase_symbol(&symbol, number);
            let entry = image.entries.get(&name);
            Ok(Phase {
                entry: *entry
                    .ok_or_else(|| CompilerBug::new(format!("`{name}` is not in the image")))?,
                tiles: shape.tiles,
                workspace_bytes: shape.workspace_bytes,
                scratch_bytes: shape.scratch_bytes,
            })
        };
        let of_kernel: Result<Vec<Phase>, CompilerBug> =
            shapes.iter().enumerate().map(phase).collect();
        phases.push(of_kernel?);
    }
    let mut timings = Vec::new();
    let mut listings = Vec::new();
    for part in parts {
        let compiled = part.compiled;
        for (step, time) in &compiled.times {
            timings.push(Timing { level: level.name(), step, time: *time });
        }
        let texts = [("mlir", compiled.mlir), ("llvm", compiled.llvm), ("asm", compiled.asm)];
        for (form, text) in texts {
            listings.extend(text.map(|text| Listing { form, level: level.name(), text }));
        }
    }
    timings.push(Timing { level: level.name(), step: "link", time: started.elapsed() });
    Ok(Emission { phases, image: image.code, bytes: image.bytes, listings, timings })
}

fn symbol(kernel: usize) -> String {
    format!("k{kernel}")
}

/// Builds and compiles one module.
fn compile(
    level: Level,
    first: usize,
    kernels: &[Kernel],
    options: &Options,
) -> Result<Part, CompilerBug> {
    let started = Instant::now();
    let mlir = Mlir::new();
    let context_ready = started.elapsed();
    let module = Module::new(Location::unknown(&mlir.context));
    let mut shapes = Vec::new();
    let mut shared = BTreeSet::new();
    let builder = Builder::new(&mlir.context, &module);
    for (number, kernel) in kernels.iter().enumerate() {
        let mut phases = Phases {
            b: &builder,
            level,
            sizes: options.tuning.of(level),
            symbol: symbol(first + number),
            shapes: vec![],
            shared: &mut shared,
        };
        let before = builder.operations();
        build(&mut phases, kernel)
            .and_then(|()| match builder.operations() - before {
                more if more > MOST_OPERATIONS => {
                    Err(CompilerBug::new(format!("{more} operations are too many for a kernel")))
                }
                _ => Ok(()),
            })
            .map_err(|bug| bug.note(format!("at level {} in kernel {kernel}", level.name())))?;
        shapes.push(phases.shapes);
    }
    let built = started.elapsed();
    let names: Vec<&str> = kernels.iter().map(|k| k.name.as_str()).collect();
    let mut compiled = pipeline::compile(&mlir, module, level.machine(), options.wanted)
        .map_err(|bug| bug.note(format!("at level {} in kernels {names:?}", level.name())))?;
    let before = [("context", context_ready), ("build", built - context_ready)];
    compiled.times.splice(0..0, before);
    Ok(Part { compiled, shapes })
}

/// Adds the phases of a kernel.
fn build(phases: &mut Phases<'_, '_>, kernel: &Kernel) -> Result<(), CompilerBug> {
    match &kernel.body {
        Body::Nest(nest) => nest::emit(phases, kernel, nest),
        Body::Contraction(contraction) => {
            match gemm::plan(kernel, contraction, phases.level, &phases.sizes) {
                Some((plan, contraction)) => gemm::emit(phases, kernel, &contraction, &plan),
                None => {
                    let kernel = narrow::as_nest(kernel, contraction, phases.level);
                    build(phases, &kernel)
                }
            }
        }
        Body::Online(online) => online::emit(phases, kernel, online),
        Body::Argsort { input, output, position } => {
            argsort::emit(phases, kernel, (*input, *output), *position)
        }
    }
}
