//! The micro-kernel: a few rows by a few vectors of sums, all in registers.
//!
//! Its operands may lie anywhere in memory: rows and depths of the left one are any distance apart, depths of
//! the right one as well, with the columns of one depth side by side. It reads exactly what it is told to.

use crate::build::{Builder, Cmp, Scalar, Ty, V};
use crate::cpu::phase::Phases;
use crate::cpu::value::{from_memory, memory};
use einmesh_ir::DType;
use std::collections::BTreeSet;

/// The sums that a micro-kernel holds: one function for all kernels of a module.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Tile {
    /// The type of sums and operands, f32 or f64.
    pub scalar: Scalar,
    /// Lanes of a vector.
    pub lanes: u64,
    /// Rows.
    pub rows: u64,
    /// Vectors in a row.
    pub vectors: u64,
    /// What the right operand is made of: numbers of `scalar`, or of bf16 that are to be f32.
    pub rhs: DType,
}

/// The arguments of a micro-kernel. Distances are in elements.
#[derive(Clone, Copy)]
pub struct Call<'c> {
    /// The left operand at the first row and depth.
    pub lhs: V<'c>,
    /// From one row of it to the next.
    pub lhs_row: V<'c>,
    /// From one depth of it to the next.
    pub lhs_depth: V<'c>,
    /// The right operand at the first depth and column.
    pub rhs: V<'c>,
    /// From one depth of it to the next.
    pub rhs_depth: V<'c>,
    /// How far ahead of what is read, in bytes, the right operand is asked for.
    pub ahead: V<'c>,
    /// How many depths there are.
    pub depth: V<'c>,
    /// Sums to start from.
    pub from: V<'c>,
    /// From one row of them to the next.
    pub from_row: V<'c>,
    /// Whether to start from 0 instead: 0 or 1. Then `from` is not read.
    pub first: V<'c>,
    /// Where the first row of sums goes.
    pub into: V<'c>,
    /// From one row of it to the next.
    pub into_row: V<'c>,
}

impl Tile {
    /// A tile for operands of one type.
    pub fn of(scalar: Scalar, lanes: u64, rows: u64, vectors: u64) -> Tile {
        let rhs = if scalar == Scalar::F64 { DType::F64 } else { DType::F32 };
        Tile { scalar, lanes, rows, vectors, rhs }
    }

    /// Columns of sums.
    pub fn columns(&self) -> u64 {
        self.vectors * self.lanes
    }

    /// Sums.
    pub fn elements(&self) -> u64 {
        self.rows * self.columns()
    }

    fn name(&self) -> String {
        let kind = if self.scalar == Scalar::F64 { "f64" } else { "f32" };
        format!("gemm_{kind}_{}_{}x{}", self.rhs, self.rows, self.vectors)
    }

    /// Adds the micro-kernel to the module, once.
    pub fn define(&self, phases: &mut Phases<'_, '_>) {
        self.define_once(phases.b, phases.shared);
    }

    /// Adds the micro-kernel to a module, unless it is among its functions.
    pub fn define_once(&self, b: &Builder<'_>, functions: &mut BTreeSet<String>) {
        if !functions.insert(self.name()) {
            return;
        }
        let (pointer, number) = (Ty::PTR, Ty::I64);
        let arguments = [
            pointer, number, number, pointer, number, number, number, pointer, number, number,
            pointer, number,
        ];
        b.function(&self.name(), &arguments, false, |a| {
            let call = Call {
                lhs: a[0],
                lhs_row: a[1],
                lhs_depth: a[2],
                rhs: a[3],
                rhs_depth: a[4],
                ahead: a[5],
                depth: a[6],
                from: a[7],
                from_row: a[8],
                first: a[9],
                into: a[10],
                into_row: a[11],
            };
            self.body(b, &call);
        });
    }

    /// Calls the micro-kernel, which has been defined.
    pub fn call<'c>(&self, b: &Builder<'c>, c: &Call<'c>) {
        let arguments = [
            c.lhs,
            c.lhs_row,
            c.lhs_depth,
            c.rhs,
            c.rhs_depth,
            c.ahead,
            c.depth,
            c.from,
            c.from_row,
            c.first,
            c.into,
            c.into_row,
        ];
        b.call(&self.name(), &arguments);
    }

    fn body<'c>(&self, b: &Builder<'c>, call: &Call<'c>) {
        let bytes = self.scalar.bytes() as i64;
        let (rows, vectors) = (self.rows as i64, self.vectors as i64);
        let sums = self.start(b, call);
        let distance = |elements: V<'c>| b.mul(elements, b.index(bytes));
        let element = memory(self.rhs);
        let (vector_bytes, raw) =
            ((self.lanes * element.bytes()) as i64, Ty::vector(element, self.lanes as u32));
        let rhs_depth = b.mul(call.rhs_depth, b.index(element.bytes() as i64));
        let lhs_depth = distance(call.lhs_depth);
        let lhs_rows = Rows::new(b, distance(call.lhs_row), rows);
        let mut carried = vec![call.lhs, call.rhs];
        carried.extend(&sums);
        let zero = b.index(0);
        let done = b.for_carried(zero, call.depth, 1, &carried, |_, carried| {
            let (lhs, rhs) = (carried[0], carried[1]);
            let mut next = carried.to_vec();
            let column = |v: i64| b.load(raw, b.byte_offset(rhs, v * vector_bytes));
            let columns: Vec<V<'c>> =
                (0..vectors).map(|v| from_memory(b, column(v), self.rhs)).collect();
            let soon = b.address(rhs, Scalar::I8, call.ahead);
            for line in (0..vectors * vector_bytes).step_by(64) {
                b.prefetch(b.byte_offset(soon, line));
            }
            for i in 0..rows {
                let factor = b.load(Ty::scalar(self.scalar), lhs_rows.address(b, lhs, i));
                let factor = b.broadcast(factor, self.lanes as u32);
                for (v, column) in columns.iter().enumerate() {
                    let sum = &mut next[2 + (i * vectors) as usize + v];
                    *sum = b.fma(factor, *column, *sum);
                }
            }
            next[0] = b.address(lhs, Scalar::I8, lhs_depth);
            next[1] = b.address(rhs, Scalar::I8, rhs_depth);
            next
        });
        let into_row = distance(call.into_row);
        for (n, sum) in done[2..].iter().enumerate() {
            let (i, v) = (n as i64 / vectors, n as i64 % vectors);
            let row = b.address(call.into, Scalar::I8, b.mul(into_row, b.index(i)));
            b.store(*sum, self.at(b, row, v));
        }
    }

    /// The address of a vector in a row.
    fn at<'c>(&self, b: &Builder<'c>, row: V<'c>, vector: i64) -> V<'c> {
        b.byte_offset(row, vector * (self.lanes * self.scalar.bytes()) as i64)
    }

    /// The sums to start from.
    fn start<'c>(&self, b: &Builder<'c>, call: &Call<'c>) -> Vec<V<'c>> {
        let vector = Ty::vector(self.scalar, self.lanes as u32);
        let first = b.cmp(Cmp::Ne, call.first, b.index(0));
        b.if_else(
            first,
            || vec![b.float(vector, 0.0); (self.rows * self.vectors) as usize],
            || {
                let row = |i: i64| {
                    let offset = b.mul(call.from_row, b.index(i));
                    b.address(call.from, self.scalar, offset)
                };
                let rows = (0..self.rows as i64).map(row);
                let of = |row| (0..self.vectors as i64).map(move |v| (row, v));
                rows.flat_map(of).map(|(row, v)| b.load(vector, self.at(b, row, v))).collect()
            },
        )
    }
}

/// The distances of rows from the first, in terms of a few that are held in registers: x86 adds 2, 4 or 8
/// times a register to an address for nothing.
struct Rows<'c> {
    /// 1, 3, 5, … times the distance of rows.
    odd: Vec<V<'c>>,
}

impl<'c> Rows<'c> {
    fn new(b: &Builder<'c>, row: V<'c>, rows: i64) -> Rows<'c> {
        let odd = (1..rows.max(2)).step_by(2).map(|i| b.mul(row, b.index(i))).collect();
        Rows { odd }
    }

    fn address(&self, b: &Builder<'c>, base: V<'c>, row: i64) -> V<'c> {
        if row == 0 {
            return base;
        }
        let shift = row.trailing_zeros().min(3);
        let times = [Scalar::I8, Scalar::I16, Scalar::I32, Scalar::I64][shift as usize];
        let odd = row >> shift;
        match self.odd.get((odd / 2) as usize) {
            Some(distance) if odd % 2 == 1 => b.address(base, times, *distance),
            // 16, 32, …: more rows than any tile has.
            _ => b.address(base, Scalar::I8, b.mul(self.odd[0], b.index(row))),
        }
    }
}
