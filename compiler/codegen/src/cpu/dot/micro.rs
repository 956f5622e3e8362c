//! The micro-kernels: all sums of a step's packed rows and columns.

use super::{Form, LANES, Plan};
use crate::build::{Builder, Cmp, Scalar, Ty, V};
use crate::cpu::amx;
use crate::cpu::phase::Phases;

/// The loop over pairs is unrolled so often; packed depths are multiples of it.
pub const UNROLL: u64 = 4;

/// The arguments of a micro-kernel's function.
pub struct Call<'c> {
    /// The first packed row of lhs.
    pub lhs: V<'c>,
    /// The first packed panel of rhs.
    pub rhs: V<'c>,
    /// The first of the sums.
    pub sums: V<'c>,
    /// Numbers from one row of sums to the next.
    pub stride: V<'c>,
    /// Pairs from one column of rhs to the next, if there were as many panels as columns.
    pub deepest: V<'c>,
    /// The rows, a multiple of the tile's.
    pub rows: V<'c>,
    /// The columns; a panel is computed whole.
    pub columns: V<'c>,
    /// The pairs, a multiple of the form's unit.
    pub pairs: V<'c>,
    /// Whether the sums start here, rather than being added to: 0 or 1.
    pub first: V<'c>,
    /// The configuration of tiles, if there are any.
    pub config: V<'c>,
}

impl<'c> Call<'c> {
    const TYPES: [Ty; 10] =
        [Ty::PTR, Ty::PTR, Ty::PTR, Ty::I64, Ty::I64, Ty::I64, Ty::I64, Ty::I64, Ty::I64, Ty::PTR];

    fn arguments(&self) -> [V<'c>; 10] {
        let Call { lhs, rhs, sums, stride, deepest, rows, columns, pairs, first, config } = *self;
        [lhs, rhs, sums, stride, deepest, rows, columns, pairs, first, config]
    }

    fn of(arguments: &[V<'c>]) -> Call<'c> {
        let a = |n: usize| arguments[n];
        Call {
            lhs: a(0),
            rhs: a(1),
            sums: a(2),
            stride: a(3),
            deepest: a(4),
            rows: a(5),
            columns: a(6),
            pairs: a(7),
            first: a(8),
            config: a(9),
        }
    }

    /// The panel of rhs that starts with a column.
    pub fn panel(&self, b: &Builder<'c>, column: V<'c>) -> V<'c> {
        b.address(self.rhs, Scalar::I32, b.mul(column, self.deepest))
    }

    /// The sum of a row and column.
    pub fn sum(&self, b: &Builder<'c>, row: V<'c>, column: V<'c>) -> V<'c> {
        b.address(self.sums, Scalar::F32, b.add(b.mul(row, self.stride), column))
    }

    /// A packed row of lhs.
    pub fn row(&self, b: &Builder<'c>, plan: &Plan, row: V<'c>) -> V<'c> {
        b.address(self.lhs, Scalar::I32, b.mul(row, b.index(plan.lhs_stride as i64)))
    }
}

fn name(plan: &Plan) -> String {
    match plan.form {
        Form::Dots => format!("dots_{}x{}", plan.tile_rows, plan.tile_vectors),
        Form::Tiles => format!("tiles_{}", plan.tile_vectors),
    }
}

/// Calls the micro-kernel of a plan.
pub fn call<'c>(b: &Builder<'c>, plan: &Plan, call: &Call<'c>) {
    b.call(&name(plan), &call.arguments());
}

/// Adds the micro-kernel of a plan to the module, once.
pub fn define(phases: &mut Phases<'_, '_>, plan: &Plan) {
    let name = name(plan);
    if !phases.shared.insert(name.clone()) {
        return;
    }
    let b = phases.b;
    b.function(&name, &Call::TYPES, false, |arguments| {
        let call = Call::of(arguments);
        match plan.form {
            Form::Dots => dots(b, plan, &call),
            Form::Tiles => amx::tiles(b, plan, &call),
        }
    });
}

/// A few rows by a panel of sums at a time, all in registers.
fn dots<'c>(b: &Builder<'c>, plan: &Plan, call: &Call<'c>) {
    b.for_each(b.index(0), call.columns, plan.panel() as i64, |column| {
        let panel = call.panel(b, column);
        b.for_each(b.index(0), call.rows, plan.tile_rows as i64, |row| {
            tile(b, plan, call, (call.row(b, plan, row), panel, call.sum(b, row, column)));
        });
    });
}

fn tile<'c>(
    b: &Builder<'c>,
    plan: &Plan,
    call: &Call<'c>,
    (lhs, rhs, sums): (V<'c>, V<'c>, V<'c>),
) {
    let vector = Ty::vector(Scalar::F32, LANES as u32);
    let factors = Ty::vector(Scalar::Bf16, 2 * LANES as u32);
    let (rows, vectors) = (plan.tile_rows as i64, plan.tile_vectors as i64);
    let zeros = vec![b.float(vector, 0.0); (rows * vectors) as usize];
    let at = |base: V<'c>, offset: i64| b.byte_offset(base, 4 * offset);
    let lanes = LANES as i64;
    let done = b.for_carried(b.index(0), call.pairs, UNROLL as i64, &zeros, |pair, before| {
        let mut now = before.to_vec();
        let lhs = b.address(lhs, Scalar::I32, pair);
        let rhs = b.address(rhs, Scalar::I32, b.mul(pair, b.index(plan.panel() as i64)));
        for step in 0..UNROLL as i64 {
            let row = at(rhs, step * plan.panel() as i64);
            let columns: Vec<V<'c>> =
                (0..vectors).map(|v| b.load(factors, at(row, v * lanes))).collect();
            for i in 0..rows {
                let place = at(lhs, i * plan.lhs_stride as i64 + step);
                let pair = b.load(Ty::scalar(Scalar::I32), place);
                let pair = b.regroup(b.broadcast(pair, LANES as u32), factors);
                for (v, column) in columns.iter().enumerate() {
                    let sum = &mut now[(i * vectors) as usize + v];
                    let name = "llvm.x86.avx512bf16.dpbf16ps.512";
                    *sum = b.call_intrinsic(name, &[*sum, *column, pair], vector);
                }
            }
        }
        now
    });
    let place = |n: usize| {
        let (i, v) = (n as i64 / vectors, n as i64 % vectors);
        let row = b.address(sums, Scalar::F32, b.mul(call.stride, b.index(i)));
        at(row, v * lanes)
    };
    let first = b.cmp(Cmp::Ne, call.first, b.index(0));
    b.if_else(
        first,
        || {
            for (n, sum) in done.iter().enumerate() {
                b.store(*sum, place(n));
            }
            vec![]
        },
        || {
            for (n, sum) in done.iter().enumerate() {
                let address = place(n);
                b.store(b.add(b.load(vector, address), *sum), address);
            }
            vec![]
        },
    );
}
