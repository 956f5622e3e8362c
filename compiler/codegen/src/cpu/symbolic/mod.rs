//! Kernels whose extents are numbers at launch.
//!
//! As everywhere, a function computes tiles that are independent of each other; here their number is a product of
//! extents divided by blocks ([`Phase`]). What a tile computes, and in which order, depends on extents only.

mod address;
mod nest;
mod pack;
mod place;
mod product;
mod shape;
mod tiles;

use super::level::Level;
use super::phase::{self, ALIGN, local_bytes, phase_symbol};
use crate::build::{Builder, Scalar, Ty, V};
use crate::context::Mlir;
use crate::error::CompilerBug;
use crate::image;
use crate::pipeline;
use crate::target::{Listing, Options, TargetKind, Timing};
use crate::tuning::Sizes;
use einmesh_artifact::CodeImage;
use einmesh_ir::ValueId;
use einmesh_schedule::kernel::{Body, Role};
use einmesh_schedule::symbolic::{Extent, SymbolicGraph};
use melior::ir::{Location, Module};
use place::{Binding, Memory, Open, Place, Source};
use shape::Shape;
use std::collections::BTreeSet;
use tiles::Split;

/// The machine code of a graph.
#[derive(Debug, Default)]
pub struct SymbolicEmitted {
    /// Per kernel of the graph, and per image, its phases, to be run one after the other.
    pub kernels: Vec<Vec<Vec<Phase>>>,
    /// The images, most demanding level first.
    pub images: Vec<(CodeImage, Vec<u8>)>,
    /// The texts that were wanted.
    pub listings: Vec<Listing>,
    /// How long each step took, per image.
    pub timings: Vec<Timing>,
}

/// A function over tiles, in one image. Its numbers are the graph's symbols, in order, as i64.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Phase {
    /// The function's first byte in the image.
    pub entry: u64,
    /// There are as many tiles as the product of these.
    pub tiles: Vec<Blocks>,
    /// Bytes shared by all tiles.
    pub workspace_bytes: u64,
    /// Bytes of each call.
    pub scratch_bytes: u64,
}

/// A number of blocks: the product of some extents divided by the block, rounded up.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Blocks {
    /// The extents; their product is 1 if there are none, and fits 64 bits wherever the arrays do.
    pub extents: Vec<Extent>,
    /// The size of a block.
    pub block: u64,
}

impl Phase {
    /// The number of tiles, with the symbols' numbers.
    ///
    /// # Panics
    /// If there are fewer numbers than symbols.
    pub fn tiles(&self, symbols: &[u64]) -> u64 {
        let blocks = self.tiles.iter().map(|blocks| {
            let sizes = blocks.extents.iter().map(|e| e.at(symbols));
            sizes.fold(1u64, u64::saturating_mul).div_ceil(blocks.block)
        });
        blocks.fold(1, u64::saturating_mul)
    }
}

/// Compiles every kernel of a graph, for those levels that have vectors of their own.
pub fn emit(graph: &SymbolicGraph, options: &Options) -> Result<SymbolicEmitted, CompilerBug> {
    let TargetKind::Cpu(levels) = &options.target;
    let mut levels: Vec<Level> =
        levels.iter().map(|l| l.chain().last().copied().unwrap_or(*l)).collect();
    levels.sort();
    levels.dedup();
    let mut emitted = SymbolicEmitted::default();
    emitted.kernels.resize(graph.kernels.len(), Vec::new());
    for level in levels.into_iter().rev() {
        compile(graph, level, options, &mut emitted)?;
    }
    Ok(emitted)
}

/// Adds the image of a level.
fn compile(
    graph: &SymbolicGraph,
    level: Level,
    options: &Options,
    emitted: &mut SymbolicEmitted,
) -> Result<(), CompilerBug> {
    let mlir = Mlir::new();
    let module = Module::new(Location::unknown(&mlir.context));
    let builder = Builder::new(&mlir.context, &module);
    let mut functions = Vec::new();
    let mut shared = BTreeSet::new();
    for (number, kernel) in graph.kernels.iter().enumerate() {
        let shape = Shape::of(kernel, &graph.within);
        let symbol = phase_symbol(&format!("k{number}"), 0);
        let sizes = options.tuning.of(level);
        let function =
            function(&builder, &symbol, &shape, (level, &sizes), &mut shared).map_err(|bug| {
                bug.note(format!("at level {} in kernel {}", level.name(), kernel.kernel))
            })?;
        functions.push((symbol, function));
    }
    let compiled = pipeline::compile(&mlir, module, level.machine(), options.wanted)
        .map_err(|bug| bug.note(format!("at level {}", level.name())))?;
    let image = image::link(level.name(), std::slice::from_ref(&compiled.object))?;
    for (number, (symbol, (tiles, scratch_bytes))) in functions.into_iter().enumerate() {
        let entry = image.entries.get(&symbol).copied();
        let entry =
            entry.ok_or_else(|| CompilerBug::new(format!("`{symbol}` is not in the image")))?;
        let blocks =
            |split: Split| Blocks { extents: split.size.factors().to_vec(), block: split.block };
        let tiles = tiles.into_iter().map(blocks).collect();
        emitted.kernels[number].push(vec![Phase {
            entry,
            tiles,
            workspace_bytes: 0,
            scratch_bytes,
        }]);
    }
    let texts = [("mlir", compiled.mlir), ("llvm", compiled.llvm), ("asm", compiled.asm)];
    for (form, text) in texts {
        emitted.listings.extend(text.map(|text| Listing { form, level: level.name(), text }));
    }
    let times = compiled.times.into_iter();
    emitted.timings.extend(times.map(|(step, time)| Timing { level: level.name(), step, time }));
    emitted.images.push((image.code, image.bytes));
    Ok(())
}

/// Adds a kernel's function, and those that it shares with others; returns its tiles and the bytes of scratch memory it needs.
fn function(
    b: &Builder<'_>,
    symbol: &str,
    shape: &Shape,
    (level, sizes): (Level, &Sizes),
    functions: &mut BTreeSet<String>,
) -> Result<(Vec<Split>, u64), CompilerBug> {
    let room = ALIGN + local_bytes(&shape.kernel);
    let loops = |plan: nest::Plan<'_>| {
        define(b, symbol, shape, |place, _, begin, end| plan.emit(place, begin, end));
        (plan.tiles, room)
    };
    match &shape.kernel.body {
        Body::Nest(nest) => Ok(loops(nest::plan(shape, (&nest.outer, &nest.stages), None, level))),
        Body::Contraction(c) => match product::plan(shape, c, level, sizes) {
            Some(plan) => {
                plan.define(b, functions);
                define(b, symbol, shape, |place, scratch, begin, end| {
                    plan.emit(place, scratch, begin, end);
                });
                let scratch = room + plan.scratch_bytes();
                Ok((plan.tiles, scratch))
            }
            None => {
                let sum = [nest::sum_of_products(shape, c)];
                Ok(loops(nest::plan(shape, (&[], &sum), Some((c.acc, &c.epilogue)), level)))
            }
        },
        _ => Err(CompilerBug::new("a symbolic kernel that is neither a nest nor a product")),
    }
}

/// Adds a function in the runtime's calling convention; `body` gets the place outside of all loops, the scratch memory
/// after the first [`ALIGN`] bytes and the locals, the first tile, and the one after the last.
fn define<'c>(
    b: &Builder<'c>,
    symbol: &str,
    shape: &Shape,
    body: impl FnOnce(&Place<'c, '_>, V<'c>, V<'c>, V<'c>),
) {
    let arguments = [Ty::PTR, Ty::PTR, Ty::PTR, Ty::PTR, Ty::I64, Ty::I64];
    b.function(symbol, &arguments, true, |a| {
        let (operands, ints, scratch) = (a[0], a[1], a[3]);
        let number = |n: u32| b.load(Ty::I64, b.byte_offset(ints, 8 * i64::from(n)));
        let symbols: Vec<V<'c>> = (0..shape.kernel.ints).map(number).collect();
        let (mut next, mut local) = (0, ALIGN as i64);
        let sources = shape.kernel.values.iter().enumerate().map(|(number, value)| {
            let pointer = match value.role {
                Role::Local => {
                    let pointer = b.byte_offset(scratch, local);
                    local += phase::bytes(value) as i64;
                    pointer
                }
                _ => {
                    next += 8;
                    b.load(Ty::PTR, b.byte_offset(operands, next - 8))
                }
            };
            memory(b, shape, (ValueId(number as u32), pointer), &symbols, scratch)
        });
        let sources = sources.collect();
        let indices = shape.indices.iter().map(|s| place::size(b, &symbols, s)).collect();
        let place = Place {
            b,
            kernel: &shape.kernel,
            bindings: vec![Binding::Unbound; shape.indices.len()],
            sources,
            ints: symbols,
            lanes: None,
            mask: None,
            known: vec![],
            extents: Open { shape, indices },
        };
        body(&place, b.byte_offset(scratch, local), a[4], a[5]);
    });
}

/// An operand. If it may be read where it is empty, zeros at the start of the scratch memory are in its place.
fn memory<'c>(
    b: &Builder<'c>,
    shape: &Shape,
    (value, pointer): (ValueId, V<'c>),
    symbols: &[V<'c>],
    scratch: V<'c>,
) -> Source<'c> {
    let sizes = &shape.values[value.0 as usize];
    let extents: Vec<V<'c>> = sizes.iter().map(|s| place::size(b, symbols, s)).collect();
    let mut strides = vec![b.index(1); extents.len()];
    for dim in (1..extents.len()).rev() {
        strides[dim - 1] = b.mul(strides[dim], extents[dim]);
    }
    let mut kernel = shape.kernel.clone();
    let unsafely = kernel.body.exprs_mut().iter().any(|e| address::reads_unsafely(shape, value, e));
    let zero = b.index(0);
    let mut source = Memory { pointer, extents, strides, empty: None };
    if unsafely && sizes.iter().any(|s| s.known().is_none_or(|n| n == 0)) {
        let none = |extent: &V<'c>| b.cmp(crate::build::Cmp::Eq, *extent, zero);
        let empty = source.extents.iter().map(none).reduce(|x, y| b.or(x, y));
        b.store(b.int(Ty::vector(Scalar::I64, (ALIGN / 8) as u32), 0), scratch);
        source.pointer = empty.map_or(pointer, |empty| b.select(empty, scratch, pointer));
        source.empty = empty;
    }
    Source::Memory(source)
}
