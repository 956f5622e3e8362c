//! Nests: fused comprehensions as loops over vectors.
//!
//! The outer indices, flattened, are the tiles; a tile runs the stages one after the other for each of
//! its points. Each stage picks one index to lay along vector lanes, by cost: one whose elements
//! are contiguous. The order in which points are combined depends on extents only, never on tiles.

mod crossed;
pub(super) mod guard;
mod stage;
mod turn;

use super::cost::{self, Lane};
use super::env::{Binding, Flat};
use super::level::Level;
use super::phase::{PhaseShape, Phases};
use super::value::register;
use crate::build::V;
use crate::error::CompilerBug;
use einmesh_ir::{Affine, Atom, Expr, IndexId, Reducer};
use einmesh_schedule::kernel::{Kernel, Nest, Stage};

/// A tile should cost at least this much, in units of [`cost`]: two to ten microseconds, from which on sharing a
/// kernel among threads pays.
const TILE_COST: f64 = 8_000.0;

/// A nest as it is emitted.
struct Plan {
    outer: Vec<IndexId>,
    stages: Vec<(Stage, Option<IndexId>)>,
    /// If all stages have one free index, along the lanes, and it is split among tiles: positions per
    /// tile.
    chunk: Option<u64>,
    /// Points (times chunks) per tile.
    grain: u64,
    tiles: u64,
    lanes: u32,
}

/// Adds the phase of a nest.
pub fn emit<'c>(
    phases: &mut Phases<'c, '_>,
    kernel: &Kernel,
    nest: &Nest,
) -> Result<(), CompilerBug> {
    if turn::emit(phases, kernel, nest)? {
        return Ok(());
    }
    let plan = plan(kernel, nest, phases.level);
    let scratch = super::phase::local_bytes(kernel);
    let extents: Vec<(IndexId, u64)> =
        plan.outer.iter().map(|i| (*i, kernel.indices[i.0 as usize].extent)).collect();
    let points: u64 = extents.iter().map(|e| e.1).product();
    let shape = PhaseShape { tiles: plan.tiles, workspace_bytes: 0, scratch_bytes: scratch };
    phases.add(kernel, shape, |env, begin, end| {
        let b = env.b;
        let chunks = plan.chunks(kernel);
        let grain = b.index(plan.grain as i64);
        let total = b.index((points * chunks) as i64);
        let first = b.mul(begin, grain);
        let last = b.smin(b.mul(end, grain), total);
        b.for_each(first, last, 1, |at| {
            let split = b.index(chunks as i64);
            let point = if chunks == 1 { at } else { b.udiv(at, split) };
            let mut env = env.clone();
            if !extents.is_empty() {
                env = env.with_flat(Flat {
                    members: extents.clone(),
                    first: point,
                    lanes: None,
                    aligned: true,
                });
                // Positions are needed many times: compute them once.
                for (index, _) in &extents {
                    let at = env.position(*index);
                    env = env.with(*index, Binding::Uniform(at));
                }
                env.extents.flats.clear();
            }
            for (stage, lane) in &plan.stages {
                let window = plan.chunk.map(|size| {
                    let chunk = b.urem(at, split);
                    let low = b.mul(chunk, b.index(size as i64));
                    let extent = lane.map_or(1, |l| env.extent(l));
                    (low, b.smin(b.add(low, b.index(size as i64)), b.index(extent as i64)))
                });
                stage::emit(&env, stage, *lane, plan.lanes, window);
            }
        });
    })
}

impl Plan {
    fn chunks(&self, kernel: &Kernel) -> u64 {
        match (self.chunk, &self.stages[..]) {
            (Some(size), [(_, Some(lane)), ..]) => {
                kernel.indices[lane.0 as usize].extent.div_ceil(size).max(1)
            }
            _ => 1,
        }
    }
}

fn plan(kernel: &Kernel, nest: &Nest, level: Level) -> Plan {
    let lanes = lanes(kernel, nest, level);
    let extent = |i: &IndexId| kernel.indices[i.0 as usize].extent;
    let mut outer = nest.outer.clone();
    let mut stages: Vec<(Stage, Option<IndexId>)> = Vec::new();
    let alone = nest.stages.len() == 1;
    for stage in &nest.stages {
        let mut stage = stage.clone();
        if alone {
            // All free points are alike: any free index may be the one along the lanes.
            outer.append(&mut stage.free);
        }
        let free: &[IndexId] = if alone { &outer } else { &stage.free };
        let mut best: (f64, Option<IndexId>) = (cost::stage(kernel, &stage, None), None);
        for index in free.iter().rev().filter(|i| lanes_are_free(kernel, &stage, nest.serial, **i))
        {
            let lane = Lane::new(*index, extent(index), lanes);
            let cost = cost::stage(kernel, &stage, Some(lane));
            if extent(index) > 1 && cost < best.0 {
                best = (cost, Some(*index));
            }
        }
        for index in stage.reduced.iter().rev() {
            let lane = Lane::new(*index, extent(index), lanes);
            let cost = cost::stage(kernel, &stage, Some(lane));
            if extent(index) > 1 && cost < best.0 {
                best = (cost, Some(*index));
            }
        }
        let lane = best.1;
        if alone {
            // A serial nest keeps its order: the lanes move inside of the other indices, which does not
            // change the order in which any one element is combined.
            if let Some(at) = outer.iter().position(|i| Some(*i) == lane) {
                stage.free = vec![outer.remove(at)];
            }
        }
        stages.push((stage, lane));
    }
    let points: u64 = outer.iter().map(extent).product();
    let work: f64 = stages
        .iter()
        .map(|(stage, lane)| {
            let lane = lane.map(|l| Lane::new(l, extent(&l), lanes));
            let all = stage.free.iter().chain(&stage.reduced).map(extent);
            cost::stage(kernel, stage, lane) * all.product::<u64>() as f64
        })
        .sum::<f64>()
        .max(1.0);
    let mut plan = Plan { outer, stages, chunk: None, grain: 1, tiles: 1, lanes };
    if nest.serial {
        plan.grain = points.max(1);
        return plan;
    }
    let first = plan.stages.first().and_then(|s| s.1);
    let shared = |(stage, lane): &(Stage, Option<IndexId>)| {
        lane.is_some() && *lane == first && stage.free.as_slice() == lane.as_slice()
    };
    let splits = match plan.stages.iter().all(shared) {
        true => first.map(|lane| extent(&lane)),
        false => None,
    };
    match splits {
        Some(extent) if work >= 2.0 * TILE_COST => {
            let parts = (work / TILE_COST) as u64;
            let size = (extent / parts).next_multiple_of(u64::from(4 * lanes)).max(1);
            plan.chunk = Some(size);
        }
        _ => plan.grain = ((TILE_COST / work) as u64).clamp(1, points.max(1)),
    }
    plan.tiles = (points * plan.chunks(kernel)).div_ceil(plan.grain);
    plan
}

/// Whether points that differ in `index` may be written side by side.
fn lanes_are_free(_kernel: &Kernel, stage: &Stage, serial: bool, index: IndexId) -> bool {
    if !serial {
        return true;
    }
    // In a serial nest points may share a place, but not if a subscript tells them apart.
    let tells =
        |sub: &Expr| Affine::of(sub).is_some_and(|f| f.coefficient(Atom::Index(index)) != 0);
    stage.target.subs.iter().any(tells)
}

/// Lanes per vector: as many as the widest numbers that are computed with allow, so that a vector is
/// one register for those.
pub fn lanes(kernel: &Kernel, nest: &Nest, level: Level) -> u32 {
    let mut bytes = 4;
    for stage in &nest.stages {
        let exprs = std::iter::once(&stage.body).chain(&stage.guard);
        for expr in exprs {
            expr.walk(&mut |e| {
                // Subscripts count too, harmlessly: those of 64 bits make gathers, which are slow anyway.
                bytes = bytes.max(register(super::env::dtype_of(kernel, e)).bytes());
            });
        }
        if stage.reducer != Reducer::None {
            let dtype = super::env::dtype_of(kernel, &stage.body);
            bytes = bytes.max(register(dtype).bytes());
        }
    }
    level.vector_bytes() / bytes as u32
}

/// A window of positions, from the first to just after the last.
type Window<'c> = (V<'c>, V<'c>);
