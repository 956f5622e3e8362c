//! Products of a few rows with many, both with their depths side by side in memory: vector times matrix with
//! weights `[out,in]`, and projections to a few columns. Lanes run along the depth; nothing but the few rows is
//! ever copied, and the many are read once, at the speed of memory.

use super::access::{self, Strides};
use super::epilogue::{self, Partial, Side};
use super::micro::Tile;
use super::pack::{self, Form, Pack};
use super::{FEW_ROWS, few_blocks};
use crate::build::{Builder, Cmp, Scalar, Ty, V};
use crate::cpu::env::{Env, Flat};
use crate::cpu::level::Level;
use crate::cpu::phase::{ALIGN, PhaseShape, Phases, local_bytes};
use crate::cpu::reduce::Reduction;
use crate::cpu::value::{from_memory, memory, register};
use crate::error::CompilerBug;
use crate::tuning::Sizes;
use einmesh_ir::{DType, Expr, IndexId, Reducer};
use einmesh_schedule::kernel::{Contraction, Kernel};

/// More of the many rows at a time gain nothing, and are more streams than the processor foresees.
const MOST_STREAMS: u64 = 8;

/// The sums that the micro-kernel holds, a vector each: one function for all kernels of a module.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Dots {
    scalar: Scalar,
    lanes: u64,
    few: u64,
    many: u64,
    /// What the many rows are made of.
    element: DType,
    /// Whether the depth may end within a vector.
    partial: bool,
}

/// The sizes that a product is computed with.
pub struct Plan {
    dots: Dots,
    /// The few rows, if they are read where they lie: from one to the next.
    few: Option<i64>,
    many: Strides,
    /// Whether the few rows are those of lhs.
    few_lhs: bool,
    /// The many rows there are.
    total: u64,
    depth: u64,
    batch: u64,
    blocks: u64,
    /// Whether results lie side by side along the few rows.
    along_few: bool,
}

/// How a contraction is computed this way, if that is good for it.
pub fn plan(kernel: &Kernel, c: &Contraction, level: Level, sizes: &Sizes) -> Option<Plan> {
    let size = |group: &[IndexId]| -> u64 {
        group.iter().map(|i| kernel.indices[i.0 as usize].extent).product()
    };
    let (rows, columns, depth, batch) = (size(&c.m), size(&c.n), size(&c.k), size(&c.batch));
    let scalar = register(c.accumulator);
    let lanes = u64::from(level.lanes(scalar));
    if !scalar.is_float() || depth < 4 * lanes || batch == 0 {
        return None;
    }
    let few_lhs = rows <= columns;
    let (few_size, total) = if few_lhs { (rows, columns) } else { (columns, rows) };
    let (few, many) = if few_lhs { (&c.lhs, &c.rhs) } else { (&c.rhs, &c.lhs) };
    let (few_group, many_group) = if few_lhs { (&c.m, &c.n) } else { (&c.n, &c.m) };
    if few_size == 0 || few_size > FEW_ROWS || total < few_size {
        return None;
    }
    let many = access::strides(kernel, many, c.accumulator, many_group, &c.k)?;
    if many.along != 1 {
        return None;
    }
    let few = access::strides(kernel, few, c.accumulator, few_group, &c.k)
        .filter(|s| s.along == 1 && s.element == c.accumulator);
    // A row of sums is one vector at most.
    let streams = (level.registers() - 1) / (few_size + 1);
    let streams = streams.clamp(1, MOST_STREAMS.min(lanes)).min(total);
    let last = |group: &[IndexId]| {
        let run = access::run(kernel, c.target.value, &c.target.subs, group);
        if run > 1 { run } else { 0 }
    };
    let partial = !depth.is_multiple_of(lanes);
    let element = many.element;
    let bytes = depth * memory(element).bytes();
    Some(Plan {
        dots: Dots { scalar, lanes, few: few_size, many: streams, element, partial },
        few: few.map(|s| s.across),
        many,
        few_lhs,
        total,
        depth,
        batch,
        blocks: few_blocks(total.div_ceil(streams), bytes * streams, batch, sizes),
        along_few: few_size <= lanes && last(few_group) > last(many_group),
    })
}

/// Adds the phase of such a product.
pub fn emit(
    phases: &mut Phases<'_, '_>,
    kernel: &Kernel,
    c: &Contraction,
    plan: &Plan,
) -> Result<(), CompilerBug> {
    plan.dots.define(phases);
    let size = |elements: u64| (elements * plan.dots.scalar.bytes()).next_multiple_of(ALIGN);
    let packed = match plan.few {
        Some(_) => 0,
        None => size(plan.dots.few * plan.packed_row()),
    };
    let sums = size(plan.dots.few.max(plan.dots.many) * plan.dots.lanes);
    let shape = PhaseShape {
        tiles: plan.batch * plan.blocks,
        workspace_bytes: 0,
        scratch_bytes: local_bytes(kernel) + packed + sums,
    };
    phases.add_raw(kernel, shape, |env, _, scratch, begin, end| {
        let sums = env.b.byte_offset(scratch, packed as i64);
        let ctx = Ctx { plan, c, packed: scratch, sums };
        env.b.for_each(begin, end, 1, |tile| ctx.tile(env, tile));
    })
}

impl Plan {
    /// Elements from one packed row to the next.
    fn packed_row(&self) -> u64 {
        self.depth.next_multiple_of(self.dots.lanes)
    }
}

struct Ctx<'c, 'p> {
    plan: &'p Plan,
    c: &'p Contraction,
    packed: V<'c>,
    sums: V<'c>,
}

impl<'c> Ctx<'c, '_> {
    /// A block of the many rows.
    fn tile(&self, env: &Env<'c, '_>, tile: V<'c>) {
        let b = env.b;
        let (plan, c) = (self.plan, self.c);
        let number = |v: u64| b.index(v as i64);
        let zero = b.index(0);
        let (batch, block) = (b.udiv(tile, number(plan.blocks)), b.urem(tile, number(plan.blocks)));
        let env = &match c.batch[..] {
            [] => env.clone(),
            ref group => env.with_flat(Flat::of(env, group, batch, None)),
        };
        let sides = [(&c.lhs, &c.m), (&c.rhs, &c.n)];
        let [(few, few_group), (many, many_group)] =
            if plan.few_lhs { sides } else { [sides[1], sides[0]] };
        let at = |operand: &Expr, group: &[IndexId], first: V<'c>| {
            let place = env.with_flat(Flat::of(env, group, first, None));
            place.with_flat(Flat::of(&place, &c.k, zero, None)).operand(operand)
        };
        let (few_at, few_row) = match plan.few {
            Some(distance) => (at(few, few_group, zero), b.index(distance)),
            None => {
                let pack = Pack {
                    operand: few,
                    across: few_group,
                    along: &c.k,
                    first: zero,
                    count: number(plan.dots.few),
                    total: plan.dots.few,
                    depth: zero,
                    depths: number(plan.depth),
                    into: self.packed,
                    dtype: c.accumulator,
                };
                let form = Form { tile: plan.dots.tile(), whole_depth: !plan.dots.partial };
                pack::rows(env, form, &pack, plan.packed_row());
                (self.packed, number(plan.packed_row()))
            }
        };
        // Groups of rows; the last starts early rather than being smaller, and stores some results again.
        let groups = plan.total.div_ceil(plan.dots.many);
        let first = |block: V<'c>| b.udiv(b.mul(block, number(groups)), number(plan.blocks));
        let (begin, end) = (first(block), first(b.add(block, number(1))));
        b.for_each(begin, end, 1, |group| {
            let row = b.mul(group, number(plan.dots.many));
            let row = b.smin(row, number(plan.total - plan.dots.many));
            let many_at = at(many, many_group, row);
            let (few_sums, many_sums) = match plan.along_few {
                true => (1, plan.dots.lanes),
                false => (plan.dots.lanes, 1),
            };
            let call = [
                few_at,
                few_row,
                many_at,
                b.index(plan.many.across),
                number(plan.depth),
                self.sums,
                number(few_sums),
                number(many_sums),
            ];
            b.call(&plan.dots.name(), &call);
            let few = Side { group: few_group, first: zero, count: number(plan.dots.few) };
            let many = Side { group: many_group, first: row, count: number(plan.dots.many) };
            let (outer, inner) = if plan.along_few { (many, few) } else { (few, many) };
            let lanes = plan.dots.lanes;
            let sums = (self.sums, lanes);
            epilogue::store(env, c, (lanes, Partial::Only), sums, &outer, &inner);
        });
    }
}

impl Dots {
    fn name(&self) -> String {
        let Dots { few, many, .. } = self;
        let kind = if self.scalar == Scalar::F64 { "f64" } else { "f32" };
        let rest = if self.partial { "_rest" } else { "" };
        format!("dots_{kind}_{}_{few}x{many}{rest}", self.element)
    }

    /// The lanes, for packing.
    fn tile(&self) -> Tile {
        Tile::of(self.scalar, self.lanes, self.few, 1)
    }

    fn define(&self, phases: &mut Phases<'_, '_>) {
        if !phases.shared.insert(self.name()) {
            return;
        }
        let b = phases.b;
        let (pointer, number) = (Ty::PTR, Ty::I64);
        let arguments = [pointer, number, pointer, number, number, pointer, number, number];
        b.function(&self.name(), &arguments, false, |a| self.body(b, a));
    }

    fn body<'c>(&self, b: &Builder<'c>, a: &[V<'c>]) {
        let lanes = self.lanes as i64;
        let element = memory(self.element);
        let row = |base: V<'c>, ty: Scalar, distance: V<'c>, i: u64| {
            b.address(base, ty, b.mul(distance, b.index(i as i64)))
        };
        let few: Vec<V<'c>> = (0..self.few).map(|i| row(a[0], self.scalar, a[1], i)).collect();
        let many: Vec<V<'c>> = (0..self.many).map(|i| row(a[2], element, a[3], i)).collect();
        let depth = a[4];
        let next_rows = b.mul(a[3], b.index(self.many as i64));
        let vector = Ty::vector(self.scalar, self.lanes as u32);
        let step = |at: V<'c>, sums: &[V<'c>], mask: Option<V<'c>>| -> Vec<V<'c>> {
            let read = |base: V<'c>, ty: Scalar| {
                let (address, ty) = (b.address(base, ty, at), vector.with(ty));
                match mask {
                    None => b.load(ty, address),
                    Some(mask) => b.masked_load(ty, address, mask),
                }
            };
            let mut next = sums.to_vec();
            let short = self.few >= 4 || self.element == DType::Bf16;
            if mask.is_none() && short {
                // The rows after these will be next, and are too short to be foreseen.
                many.iter()
                    .for_each(|row| b.prefetch(b.address(*row, element, b.add(at, next_rows))));
            }
            let many: Vec<V<'c>> =
                many.iter().map(|m| from_memory(b, read(*m, element), self.element)).collect();
            for (i, few) in few.iter().enumerate() {
                let x = read(*few, self.scalar);
                for (j, y) in many.iter().enumerate() {
                    let sum = &mut next[i * many.len() + j];
                    *sum = b.fma(x, *y, *sum);
                }
            }
            next
        };
        let zeros = vec![b.float(vector, 0.0); (self.few * self.many) as usize];
        let zero = b.index(0);
        let whole = match self.partial {
            true => b.mul(b.udiv(depth, b.index(lanes)), b.index(lanes)),
            false => depth,
        };
        let mut sums = b.for_carried(zero, whole, lanes, &zeros, |at, sums| step(at, sums, None));
        if self.partial {
            let left = b.convert(b.sub(depth, whole), Scalar::I32);
            let numbers = b.step(vector.with(Scalar::I32));
            let mask = b.cmp(Cmp::Lt, numbers, left);
            sums = step(whole, &sums, Some(mask));
        }
        let dtype = if self.scalar == Scalar::F64 { DType::F64 } else { DType::F32 };
        let reduction = Reduction { reducer: Reducer::Sum, dtype };
        for (n, sum) in sums.iter().enumerate() {
            let (i, j) = (n as u64 / self.many, n as u64 % self.many);
            let total = reduction.across(b, &[*sum])[0];
            let place = row(row(a[5], self.scalar, a[6], i), self.scalar, a[7], j);
            b.store(total, place);
        }
    }
}
