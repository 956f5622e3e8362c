//! The micro-kernel: a few rows by a panel of sums, all in registers.

use super::{Plan, UNROLL};
use crate::build::{Builder, Cmp, Scalar, Ty, V};
use crate::cpu::phase::Phases;

/// The arguments of the micro-kernel's function.
pub struct Call<'c> {
    /// The first packed row of lhs.
    pub lhs: V<'c>,
    /// The packed panel of rhs.
    pub rhs: V<'c>,
    /// The first of the sums.
    pub sums: V<'c>,
    /// Elements from one row of sums to the next.
    pub stride: V<'c>,
    /// The depth, a multiple of [`UNROLL`].
    pub depth: V<'c>,
    /// Whether the sums start here, rather than being added to: 0 or 1.
    pub first: V<'c>,
}

/// Calls the micro-kernel of a plan, which is one function for all kernels of the module.
pub fn call<'c>(phases: &mut Shared<'_>, b: &Builder<'c>, plan: &Plan, call: &Call<'c>) {
    let name = name(plan);
    phases.used.insert(name.clone());
    b.call(&name, &[call.lhs, call.rhs, call.sums, call.stride, call.depth, call.first]);
}

/// The functions that have been called.
pub struct Shared<'s> {
    /// Their names.
    pub used: &'s mut std::collections::BTreeSet<String>,
}

fn name(plan: &Plan) -> String {
    let Plan { scalar, tile_rows, tile_vectors, .. } = plan;
    let kind = if *scalar == Scalar::F64 { "f64" } else { "f32" };
    format!("gemm_{kind}_{tile_rows}x{tile_vectors}")
}

/// Adds the micro-kernel of a plan to the module, once.
pub fn define(phases: &mut Phases<'_, '_>, plan: &Plan) {
    let name = name(plan);
    if !phases.shared.insert(name.clone()) {
        return;
    }
    let b = phases.b;
    let arguments = [Ty::PTR, Ty::PTR, Ty::PTR, Ty::I64, Ty::I64, Ty::I64];
    b.function(&name, &arguments, false, |a| {
        let call =
            Call { lhs: a[0], rhs: a[1], sums: a[2], stride: a[3], depth: a[4], first: a[5] };
        body(b, plan, &call);
    });
}

fn body<'c>(b: &Builder<'c>, plan: &Plan, call: &Call<'c>) {
    let scalar = plan.scalar;
    let vector = Ty::vector(scalar, plan.lanes as u32);
    let (rows, vectors) = (plan.tile_rows as i64, plan.tile_vectors as i64);
    let lhs_stride = plan.lhs_stride() as i64;
    let zeros = vec![b.float(vector, 0.0); (rows * vectors) as usize];
    let at = |base: V<'c>, offset: i64| b.byte_offset(base, offset * scalar.bytes() as i64);
    let sums = b.for_carried(b.index(0), call.depth, UNROLL as i64, &zeros, |k, sums| {
        let mut sums = sums.to_vec();
        let lhs = b.address(call.lhs, scalar, k);
        let rhs = b.address(call.rhs, scalar, b.mul(k, b.index(plan.panel() as i64)));
        for step in 0..UNROLL as i64 {
            let row = at(rhs, step * plan.panel() as i64);
            let columns: Vec<V<'c>> =
                (0..vectors).map(|v| b.load(vector, at(row, v * plan.lanes as i64))).collect();
            for i in 0..rows {
                let factor = b.load(Ty::scalar(scalar), at(lhs, i * lhs_stride + step));
                let factor = b.broadcast(factor, plan.lanes as u32);
                for (v, column) in columns.iter().enumerate() {
                    let sum = &mut sums[(i * vectors) as usize + v];
                    *sum = b.fma(factor, *column, *sum);
                }
            }
        }
        sums
    });
    let place = |n: usize| {
        let (i, v) = (n as i64 / vectors, n as i64 % vectors);
        let row = b.address(call.sums, scalar, b.mul(call.stride, b.index(i)));
        at(row, v * plan.lanes as i64)
    };
    let first = b.cmp(Cmp::Ne, call.first, b.index(0));
    b.if_else(
        first,
        || {
            for (n, sum) in sums.iter().enumerate() {
                b.store(*sum, place(n));
            }
            vec![]
        },
        || {
            for (n, sum) in sums.iter().enumerate() {
                let address = place(n);
                let before = b.load(vector, address);
                b.store(b.add(before, *sum), address);
            }
            vec![]
        },
    );
}
