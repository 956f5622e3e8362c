//! The micro-kernel: a few rows of the result, a few vectors wide, in registers.

use super::{UNROLL, Vectors};
use crate::build::{Builder, Cmp, Scalar, Ty, V};
use crate::cpu::phase::Phases;

/// A kind of micro-kernel: a function that kernels of a module share.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Micro {
    /// The vectors it computes with.
    pub vectors: Vectors,
    /// Rows of the result.
    pub rows: u64,
    /// Vectors of a row.
    pub columns: u64,
    /// Whether the left factor is read transposed: its stride is from one step of the depth to the next.
    pub turned: bool,
}

/// The arguments of the micro-kernel's function.
pub struct Call<'c> {
    /// The first row.
    pub lhs: V<'c>,
    /// Elements from one row to the next.
    pub lhs_stride: V<'c>,
    /// The packed panel.
    pub rhs: V<'c>,
    /// The first of the sums.
    pub sums: V<'c>,
    /// Elements from one row of sums to the next.
    pub sum_stride: V<'c>,
    /// The depth, a multiple of [`UNROLL`].
    pub depth: V<'c>,
    /// Whether the sums are added to, rather than written: 0 or 1.
    pub adds: V<'c>,
}

impl Micro {
    fn name(&self) -> String {
        let kind = if self.vectors.scalar == Scalar::F64 { "f64" } else { "f32" };
        let turned = if self.turned { "_turned" } else { "" };
        format!("block_{kind}_{}x{}{turned}", self.rows, self.columns)
    }

    /// Adds the function to the module, once.
    pub fn define(&self, phases: &mut Phases<'_, '_>) {
        let name = self.name();
        if !phases.shared.insert(name.clone()) {
            return;
        }
        let b = phases.b;
        let arguments = [Ty::PTR, Ty::I64, Ty::PTR, Ty::PTR, Ty::I64, Ty::I64, Ty::I64];
        b.function(&name, &arguments, false, |a| {
            let call = Call {
                lhs: a[0],
                lhs_stride: a[1],
                rhs: a[2],
                sums: a[3],
                sum_stride: a[4],
                depth: a[5],
                adds: a[6],
            };
            self.body(b, &call);
        });
    }

    /// Calls it.
    pub fn call<'c>(&self, b: &Builder<'c>, call: &Call<'c>) {
        let Call { lhs, lhs_stride, rhs, sums, sum_stride, depth, adds } = *call;
        b.call(&self.name(), &[lhs, lhs_stride, rhs, sums, sum_stride, depth, adds]);
    }

    fn body<'c>(&self, b: &Builder<'c>, call: &Call<'c>) {
        let Vectors { scalar, lanes, .. } = self.vectors;
        let (rows, columns, wide) = (self.rows as i64, self.columns as i64, lanes as i64);
        let vector = self.vectors.ty();
        let at = |base: V<'c>, offset: i64| b.byte_offset(base, offset * scalar.bytes() as i64);
        let row =
            |base: V<'c>, stride: V<'c>, i: i64| b.address(base, scalar, b.mul(stride, b.index(i)));
        let lhs: Vec<V<'c>> = match self.turned {
            true => vec![],
            false => (0..rows).map(|i| row(call.lhs, call.lhs_stride, i)).collect(),
        };
        let zeros = vec![b.float(vector, 0.0); (rows * columns) as usize];
        let sums = b.for_carried(b.index(0), call.depth, UNROLL as i64, &zeros, |k, sums| {
            let mut sums = sums.to_vec();
            let panel = b.address(call.rhs, scalar, b.mul(k, b.index(columns * wide)));
            for step in 0..UNROLL as i64 {
                let right: Vec<V<'c>> = (0..columns)
                    .map(|v| b.load(vector, at(panel, (step * columns + v) * wide)))
                    .collect();
                let turned = self.turned.then(|| {
                    let depth = b.mul(b.add(k, b.index(step)), call.lhs_stride);
                    b.address(call.lhs, scalar, depth)
                });
                for i in 0..rows {
                    let factor = match turned {
                        Some(base) => at(base, i),
                        None => at(b.address(lhs[i as usize], scalar, k), step),
                    };
                    let factor = b.load(Ty::scalar(scalar), factor);
                    let factor = b.broadcast(factor, lanes as u32);
                    for (v, column) in right.iter().enumerate() {
                        let sum = &mut sums[(i * columns) as usize + v];
                        *sum = b.fma(factor, *column, *sum);
                    }
                }
            }
            sums
        });
        let place = |n: usize| {
            let (i, v) = (n as i64 / columns, n as i64 % columns);
            at(row(call.sums, call.sum_stride, i), v * wide)
        };
        b.if_else(
            b.cmp(Cmp::Ne, call.adds, b.index(0)),
            || {
                for (n, sum) in sums.iter().enumerate() {
                    let before = b.load(vector, place(n));
                    b.store(b.add(before, *sum), place(n));
                }
                vec![]
            },
            || {
                for (n, sum) in sums.iter().enumerate() {
                    b.store(*sum, place(n));
                }
                vec![]
            },
        );
    }
}
