//! Nests that turn an array: what is read lies side by side along one index, what is written along another.
//! Squares of vectors are transposed in registers, so that memory is read and written by the vector.

use super::TILE_COST;
use crate::build::{Cmp, Scalar, V};
use crate::cpu::cost;
use crate::cpu::env::{Binding, Env, Flat, dtype_of};
use crate::cpu::gemm::transpose;
use crate::cpu::level::Level;
use crate::cpu::phase::{PhaseShape, Phases};
use crate::cpu::value::{Val, register};
use crate::error::CompilerBug;
use einmesh_ir::{DType, IndexId, Reducer};
use einmesh_schedule::kernel::{Kernel, Nest, Stage};

/// Bodies that cost more (per point) are not repeated for all rows of a square.
const CHEAP: f64 = 12.0;
/// What a point costs, in units of [`cost`], about: a load, a store and four shuffles by the vector.
const POINT_COST: f64 = 0.5;

/// How a nest is turned.
struct Turn<'n> {
    stage: &'n Stage,
    /// All other free indices.
    outer: Vec<(IndexId, u64)>,
    /// Along which it is read.
    read: (IndexId, u64),
    /// Along which it is written.
    written: (IndexId, u64),
    lanes: u32,
    dtype: DType,
}

/// Adds the phase of a nest that turns an array; `false` if the nest is not of that kind.
pub fn emit(
    phases: &mut Phases<'_, '_>,
    kernel: &Kernel,
    nest: &Nest,
) -> Result<bool, CompilerBug> {
    let Some(turn) = turn(kernel, nest, phases.level) else {
        return Ok(false);
    };
    let lanes = u64::from(turn.lanes);
    let blocks = turn.read.1.div_ceil(lanes);
    let units = turn.outer.iter().map(|o| o.1).product::<u64>() * blocks;
    let cost = (lanes * turn.written.1) as f64 * POINT_COST;
    let grain = ((TILE_COST / cost) as u64).clamp(1, units);
    let shape = PhaseShape {
        tiles: units.div_ceil(grain),
        workspace_bytes: 0,
        scratch_bytes: crate::cpu::phase::local_bytes(kernel),
    };
    phases.add(kernel, shape, |env, begin, end| {
        let b = env.b;
        let number = |v: u64| b.index(v as i64);
        let last = b.smin(b.mul(end, number(grain)), number(units));
        b.for_each(b.mul(begin, number(grain)), last, 1, |unit| {
            let mut env = env.clone();
            if !turn.outer.is_empty() {
                env = env.with_flat(Flat {
                    members: turn.outer.clone(),
                    first: b.udiv(unit, number(blocks)),
                    lanes: None,
                    aligned: true,
                });
                for (index, _) in &turn.outer {
                    let at = env.position(*index);
                    env = env.with(*index, Binding::Uniform(at));
                }
                env.extents.flats.clear();
            }
            let first = b.mul(b.urem(unit, number(blocks)), number(lanes));
            b.for_each(b.index(0), number(turn.written.1), lanes as i64, |along| {
                turn.square(&env, first, along);
            });
        });
    })?;
    Ok(true)
}

/// How a nest is turned, if it does nothing else and gains by it.
fn turn<'n>(kernel: &Kernel, nest: &'n Nest, level: Level) -> Option<Turn<'n>> {
    let [stage] = &nest.stages[..] else {
        return None;
    };
    let dtype = dtype_of(kernel, &stage.body);
    let plain = !nest.serial
        && stage.reducer == Reducer::None
        && stage.guard.is_none()
        && !stage.target.store
        && stage.target.combine == Reducer::None
        && matches!(register(dtype), Scalar::F32 | Scalar::F64 | Scalar::I32 | Scalar::I64)
        && cost::expression(kernel, &stage.body, None) <= CHEAP;
    if !plain {
        return None;
    }
    let lanes = level.lanes(register(dtype));
    let extent = |i: &IndexId| kernel.indices[i.0 as usize].extent;
    let free: Vec<IndexId> = nest.outer.iter().chain(&stage.free).copied().collect();
    let target = &stage.target;
    let loads = stage.body.loads();
    let stride_of =
        |load: &einmesh_ir::Load, i: IndexId| cost::stride(kernel, load.value, &load.subs, i);
    let long = |i: &&IndexId| extent(i) >= u64::from(lanes);
    let written = free
        .iter()
        .filter(long)
        .find(|i| cost::stride(kernel, target.value, &target.subs, **i) == Some(1))?;
    let scattered = |load: &&einmesh_ir::Load| !matches!(stride_of(load, *written), Some(0 | 1));
    if !loads.iter().any(scattered) {
        return None;
    }
    let read = free.iter().filter(long).filter(|i| *i != written).find(|i| {
        // Every load is by the vector along it, and every subscript affine, so that no lane needs another.
        let fine = |load: &&einmesh_ir::Load| matches!(stride_of(load, **i), Some(0 | 1));
        loads.iter().all(fine)
            && loads.iter().filter(|l| scattered(l)).all(|l| stride_of(l, **i) == Some(1))
    })?;
    let of = |i: &IndexId| (*i, extent(i));
    Some(Turn {
        stage,
        outer: free.iter().filter(|i| *i != read && *i != written).map(of).collect(),
        read: of(read),
        written: of(written),
        lanes,
        dtype,
    })
}

impl Turn<'_> {
    /// A square of points: from `first` on along what is read, from `along` on along what is written.
    fn square<'c>(&self, env: &Env<'c, '_>, first: V<'c>, along: V<'c>) {
        let b = env.b;
        let lanes = u64::from(self.lanes);
        let (read_rest, written_rest) =
            (!self.read.1.is_multiple_of(lanes), !self.written.1.is_multiple_of(lanes));
        let left = |total: u64, from: V<'c>| b.sub(b.index(total as i64), from);
        let place = |lane: (IndexId, V<'c>), other: (IndexId, V<'c>), count: Option<V<'c>>| {
            let mut env =
                env.with(lane.0, Binding::Lanes(lane.1)).with(other.0, Binding::Uniform(other.1));
            env.lanes = Some(self.lanes);
            match count {
                Some(count) => {
                    let mask = env.first_lanes(count);
                    env.masked(mask)
                }
                None => env,
            }
        };
        let step = |from: V<'c>, n: usize| b.add(from, b.index(n as i64));
        let rows = (0..lanes as usize).map(|n| {
            // Positions behind the end read the last one, and are not written.
            let last = b.index(self.written.1 as i64 - 1);
            let at = step(along, n);
            let at = if written_rest { b.smin(at, last) } else { at };
            let count = read_rest.then(|| left(self.read.1, first));
            let env = place((self.read.0, first), (self.written.0, at), count);
            b.broadcast(env.eval(&self.stage.body).v, self.lanes)
        });
        let columns = transpose(b, rows.collect());
        for (n, v) in columns.into_iter().enumerate() {
            let at = step(first, n);
            let write = || {
                let count = written_rest.then(|| left(self.written.1, along));
                let env = place((self.written.0, along), (self.read.0, at), count);
                env.write(&self.stage.target, Val { v, dtype: self.dtype });
            };
            match read_rest {
                true => b.if_true(b.cmp(Cmp::Lt, at, b.index(self.read.1 as i64)), write),
                false => write(),
            }
        }
    }
}
