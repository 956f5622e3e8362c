//! The CPU target: vector loops and a matrix product, for each CPU level.

mod address;
mod amx;
mod argsort;
mod block;
mod collapse;
mod cost;
mod dot;
mod env;
mod expr;
mod gemm;
mod layer;
mod level;
mod math;
mod narrow;
mod nest;
mod online;
mod phase;
mod reduce;
mod scalar;
mod spread;
mod sweep;
pub mod symbolic;
mod value;

pub use level::Level;

use crate::build::Builder;
use crate::context::Mlir;
use crate::error::CompilerBug;
use crate::image;
use crate::pipeline::{self, Compiled};
use crate::target::{Emission, Listing, Options, Target, Timing};
use einmesh_artifact::Phase;
use einmesh_schedule::kernel::{Body, Contraction, Kernel};
use layer::Layer;
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

/// A kernel of more operations is a mistake, not a kernel: the largest of GPT-2 have about a thousand. The
/// bound keeps the passes, whose time grows with it, bounded as well.
const MOST_OPERATIONS: usize = 200_000;

/// The kernels of one module at one level, compiled.
struct Part {
    compiled: Compiled,
    /// Per kernel its number, the symbol its phases' names start with, and the phases.
    shapes: Vec<(usize, String, Vec<PhaseShape>)>,
}

impl Target for Cpu {
    fn emit(&self, kernels: &[Kernel], options: &Options) -> Result<Vec<Emission>, CompilerBug> {
        let layers = layer::layers(&self.levels, kernels, &options.tuning);
        let modules = |layer| spread::modules(kernels, layer).into_iter();
        let jobs: Vec<(&Layer, Vec<usize>)> =
            layers.iter().flat_map(|l| modules(&l.own).map(move |module| (l, module))).collect();
        let results: Vec<Mutex<Option<Result<Part, CompilerBug>>>> =
            jobs.iter().map(|_| Mutex::new(None)).collect();
        let next = AtomicUsize::new(0);
        let work = || loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            let Some((layer, own)) = jobs.get(number) else {
                return;
            };
            let part = compile(layer, own, kernels, options);
            *results[number].lock().expect("no job panics while it holds the lock") = Some(part);
        };
        std::thread::scope(|scope| {
            for _ in 1..options.threads.clamp(1, jobs.len()) {
                scope.spawn(work);
            }
            work();
        });
        let mut parts: Vec<Vec<Part>> = layers.iter().map(|_| vec![]).collect();
        for (slot, (layer, _)) in results.into_iter().zip(&jobs) {
            let part = slot.into_inner().expect("no job panics while it holds the lock");
            let part =
                part.unwrap_or_else(|| Err(CompilerBug::new("a module was not compiled")))?;
            let number = layers.iter().position(|l| l.level == layer.level);
            parts[number.expect("jobs are of these layers")].push(part);
        }
        let numbers = (0..layers.len()).rev();
        numbers.map(|number| assemble(&layers, number, &parts, kernels.len())).collect()
    }
}

/// Puts the modules of a layer, and of those it lies over, together.
fn assemble(
    layers: &[Layer],
    number: usize,
    parts: &[Vec<Part>],
    kernels: usize,
) -> Result<Emission, CompilerBug> {
    let started = Instant::now();
    let level = layers[number].level;
    let below: Vec<usize> = std::iter::successors(Some(number), |n| layers[*n].base).collect();
    let all = || below.iter().rev().flat_map(|n| &parts[*n]);
    let objects: Vec<Vec<u8>> = all().map(|p| p.compiled.object.clone()).collect();
    let image = image::link(level.name(), &objects)?;
    let mut phases = vec![Vec::new(); kernels];
    // Those of the layers above take the place of those below.
    for (kernel, symbol, shapes) in all().flat_map(|p| &p.shapes) {
        let phase = |(number, shape): (usize, &PhaseShape)| {
            let name = phase_symbol(symbol, number);
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
        phases[*kernel] = of_kernel?;
    }
    let mut timings = Vec::new();
    let mut listings = Vec::new();
    for part in &parts[number] {
        let compiled = &part.compiled;
        for (step, time) in &compiled.times {
            timings.push(Timing { level: level.name(), step, time: *time });
        }
        let texts = [("mlir", &compiled.mlir), ("llvm", &compiled.llvm), ("asm", &compiled.asm)];
        for (form, text) in texts {
            let text = text.clone();
            listings.extend(text.map(|text| Listing { form, level: level.name(), text }));
        }
    }
    timings.push(Timing { level: level.name(), step: "link", time: started.elapsed() });
    Ok(Emission { phases, image: image.code, bytes: image.bytes, listings, timings })
}

/// What the functions of a kernel are called: as no other's in an image.
fn symbol(layer: &Layer, kernel: usize) -> String {
    match layer.base {
        None => format!("k{kernel}"),
        Some(base) => format!("k{kernel}_{base}"),
    }
}

/// Builds and compiles one module.
fn compile(
    layer: &Layer,
    own: &[usize],
    kernels: &[Kernel],
    options: &Options,
) -> Result<Part, CompilerBug> {
    let level = layer.level;
    let started = Instant::now();
    let mlir = Mlir::new();
    let context_ready = started.elapsed();
    let module = Module::new(Location::unknown(&mlir.context));
    let mut shapes = Vec::new();
    let mut shared = BTreeSet::new();
    let builder = Builder::new(&mlir.context, &module);
    for number in own {
        let kernel = &kernels[*number];
        let mut phases = Phases {
            b: &builder,
            level,
            sizes: options.tuning.of(level),
            symbol: symbol(layer, *number),
            shapes: vec![],
            shared: &mut shared,
        };
        let before = builder.operations();
        build(&mut phases, &collapse::collapsed(kernel))
            .and_then(|()| match builder.operations() - before {
                more if more > MOST_OPERATIONS => {
                    Err(CompilerBug::new(format!("{more} operations are too many for a kernel")))
                }
                _ => Ok(()),
            })
            .map_err(|bug| bug.note(format!("at level {} in kernel {kernel}", level.name())))?;
        shapes.push((*number, phases.symbol, phases.shapes));
    }
    let built = started.elapsed();
    let names: Vec<&str> = own.iter().map(|k| kernels[*k].name.as_str()).collect();
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
        Body::Contraction(c) => contraction(phases, kernel, c),
        Body::Siblings(siblings) => {
            let (level, sizes) = (phases.level, phases.sizes);
            let pairs = |c: &Contraction| dot::plan(kernel, c, level, &sizes).is_some();
            // Products of pairs are computed one after the other.
            let together = !siblings.iter().any(pairs);
            if together && gemm::emit_together(phases, kernel, siblings)? {
                return Ok(());
            }
            siblings.iter().try_for_each(|c| contraction(phases, kernel, c))
        }
        Body::Online(online) => online::emit(phases, kernel, online),
        Body::Sweep(sweep) => sweep::emit(phases, kernel, sweep),
        Body::Argsort { input, output, position } => {
            argsort::emit(phases, kernel, (*input, *output), *position)
        }
    }
}

/// Adds the phases of a matrix product.
fn contraction(
    phases: &mut Phases<'_, '_>,
    kernel: &Kernel,
    contraction: &Contraction,
) -> Result<(), CompilerBug> {
    let (level, sizes) = (phases.level, phases.sizes);
    if let Some((plan, contraction)) = dot::plan(kernel, contraction, level, &sizes) {
        return dot::emit(phases, kernel, &contraction, &plan);
    }
    match gemm::emit(phases, kernel, contraction)? {
        true => Ok(()),
        false => {
            let kernel = narrow::as_nest(kernel, contraction, level);
            build(phases, &kernel)
        }
    }
}
