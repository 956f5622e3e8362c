//! Contractions that are too narrow or too small for the matrix product's tiles, and those of integers:
//! written as nests.

use super::cost::{self, Lane};
use super::env::dtype_of;
use super::level::Level;
use super::value::register;
use einmesh_ir::{BinaryOp, Expr, IndexId, Load, Reducer, ValueId};
use einmesh_schedule::kernel::{Body, Contraction, Kernel, Memory, Nest, Role, Stage, Target};

/// The same computation as a nest: a stage that sums and a stage that stores.
///
/// Either the lanes run along the sum, or along the last index of one side, with the sums of a whole row
/// in a local array.
pub fn as_nest(kernel: &Kernel, contraction: &Contraction, level: Level) -> Kernel {
    let c = contraction;
    let factor = |e: &Expr| match dtype_of(kernel, e) == c.accumulator {
        true => e.clone(),
        false => Expr::cast(c.accumulator, e.clone()),
    };
    let body = Expr::binary(BinaryOp::Mul, factor(&c.lhs), factor(&c.rhs));
    let mut sum = Stage {
        free: vec![],
        reduced: c.k.clone(),
        reducer: Reducer::Sum,
        guard: None,
        body,
        target: Target { value: c.acc, subs: vec![], combine: Reducer::None, store: false },
    };
    let mut outer: Vec<IndexId> = [&c.batch[..], &c.m, &c.n].concat();
    if let Some(kernel) = sums_only(kernel, c, &sum, &outer) {
        return kernel;
    }
    let row = row_index(kernel, c, &sum, level);
    let mut kernel = kernel.clone();
    let mut epilogue = c.epilogue.clone();
    let mut free = vec![];
    if let Some(row) = row {
        outer.retain(|i| *i != row);
        let acc = &mut kernel.values[c.acc.0 as usize];
        *acc = Memory {
            dtype: acc.dtype,
            extents: vec![kernel.indices[row.0 as usize].extent],
            role: Role::Local,
        };
        sum.target.subs = vec![Expr::Index(row)];
        sum.free = vec![row];
        free = vec![row];
        epilogue = subscripted(epilogue, c.acc, row);
    }
    let store = Stage {
        free,
        reduced: vec![],
        reducer: Reducer::None,
        guard: None,
        body: epilogue,
        target: c.target.clone(),
    };
    kernel.body = Body::Nest(Nest { outer, serial: false, stages: vec![sum, store] });
    kernel
}

/// One stage that stores its sums, if there is nothing else to do to them: they stay in registers.
fn sums_only(kernel: &Kernel, c: &Contraction, sum: &Stage, outer: &[IndexId]) -> Option<Kernel> {
    let kept = matches!(&c.epilogue, Expr::Load(load) if load.value == c.acc);
    let alike = kernel.values[c.target.value.0 as usize].dtype == c.accumulator;
    if !kept || !alike || c.target.combine != Reducer::None || c.target.store {
        return None;
    }
    let stage = Stage { target: c.target.clone(), ..sum.clone() };
    let body = Body::Nest(Nest { outer: outer.to_vec(), serial: false, stages: vec![stage] });
    Some(Kernel { body, ..kernel.clone() })
}

/// The index along which a row of sums should be kept, if that is better than lanes along the sum.
fn row_index(kernel: &Kernel, c: &Contraction, sum: &Stage, level: Level) -> Option<IndexId> {
    let lanes = level.lanes(register(c.accumulator));
    let extent = |i: IndexId| kernel.indices[i.0 as usize].extent;
    let price =
        |index: IndexId| cost::stage(kernel, sum, Some(Lane::new(index, extent(index), lanes)));
    let along_sum = c.k.iter().map(|i| price(*i)).fold(f64::INFINITY, f64::min);
    let rows = [c.n.last(), c.m.last()].into_iter().flatten();
    let (best, row) = rows
        .filter(|i| extent(**i) > 1)
        .map(|i| (price(*i), *i))
        .min_by(|a, b| a.0.total_cmp(&b.0))?;
    (best < along_sum).then_some(row)
}

fn subscripted(expr: Expr, acc: ValueId, row: IndexId) -> Expr {
    expr.map(&mut |e| match e {
        Expr::Load(load) if load.value == acc => {
            Expr::Load(Load { subs: vec![Expr::Index(row)], ..load })
        }
        other => other,
    })
}
