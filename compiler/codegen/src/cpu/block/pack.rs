//! Factors of products, packed.

use super::Vectors;
use crate::build::V;
use crate::cpu::env::{Env, Flat};
use crate::cpu::gemm::{contiguous, transpose};
use crate::cpu::value::cast;
use einmesh_ir::{Expr, IndexId};

/// A factor as a matrix.
#[derive(Clone, Copy)]
pub struct Operand<'e> {
    /// Its elements.
    pub expr: &'e Expr,
    /// The indices that count its rows.
    pub rows: &'e [IndexId],
    /// The indices that count its columns.
    pub columns: &'e [IndexId],
    /// Its vectors.
    pub vectors: Vectors,
}

impl Operand<'_> {
    fn extent(env: &Env<'_, '_>, group: &[IndexId]) -> u64 {
        group.iter().map(|i| env.extent(*i)).product()
    }

    /// A row; rows beyond the last are it.
    pub fn at_row<'c, 'k>(&self, env: &Env<'c, 'k>, row: V<'c>) -> Env<'c, 'k> {
        let last = Self::extent(env, self.rows).saturating_sub(1);
        let row = env.b.smin(row, env.b.index(last as i64));
        env.with_flat(Flat::of(env, self.rows, row, None))
    }

    /// The elements of a row that `env` is at, from a column on in the lanes, 0 beyond the last.
    pub fn along<'c>(&self, env: &Env<'c, '_>, column: V<'c>) -> V<'c> {
        let columns = Self::extent(env, self.columns);
        let flat = Flat::of(env, self.columns, column, Some(self.vectors.lanes));
        let whole = columns.is_multiple_of(self.vectors.lanes);
        let count = (!whole).then(|| env.b.sub(env.b.index(columns as i64), column));
        lanewise(env, self.vectors, flat, count, self.expr)
    }

    /// Packs `count` rows from `first` on, row-major, `stride` elements apart. Rows beyond the last repeat it.
    pub fn pack_rows<'c>(
        &self,
        env: &Env<'c, '_>,
        into: V<'c>,
        stride: u64,
        (first, count): (V<'c>, u64),
    ) {
        let b = env.b;
        let (zero, lanes) = (b.index(0), self.vectors.lanes);
        let columns = b.index(Self::extent(env, self.columns) as i64);
        b.for_each(zero, b.index(count as i64), 1, |row| {
            let env = self.at_row(env, b.add(first, row));
            b.for_each(zero, columns, lanes as i64, |column| {
                let offset = b.add(b.mul(row, b.index(stride as i64)), column);
                let place = b.address(into, self.vectors.scalar, offset);
                b.store(self.along(&env, column), place);
            });
        });
    }

    /// Packs the rows `block + from .. block + to`, whole panels of `panel` vectors: panel after panel, column-major,
    /// 0 in columns up to a multiple of the lanes. Rows beyond the last repeat it, or are 0.
    pub fn pack_turned<'c>(
        &self,
        env: &Env<'c, '_>,
        into: V<'c>,
        panel: u64,
        block: V<'c>,
        (from, to): (V<'c>, V<'c>),
    ) {
        let b = env.b;
        let Vectors { scalar, lanes, .. } = self.vectors;
        let width = panel * lanes;
        let (rows, columns) = (Self::extent(env, self.rows), Self::extent(env, self.columns));
        let number = |n: u64| b.index(n as i64);
        let padded = number(columns.next_multiple_of(lanes));
        let across = contiguous(env.kernel, self.expr, self.columns)
            || !contiguous(env.kernel, self.expr, self.rows);
        b.for_each(from, to, width as i64, |top| {
            let base = b.address(into, scalar, b.mul(top, padded));
            let store = |value: V<'c>, column: V<'c>, vector: u64| {
                let offset = b.add(b.mul(column, number(width)), number(vector * lanes));
                b.store(value, b.address(base, scalar, offset));
            };
            for vector in 0..panel {
                let first = b.add(b.add(block, top), number(vector * lanes));
                if across {
                    b.for_each(b.index(0), number(columns), lanes as i64, |column| {
                        let vectors = (0..lanes)
                            .map(|row| {
                                let env = self.at_row(env, b.add(first, number(row)));
                                self.along(&env, column)
                            })
                            .collect();
                        for (at, vectors) in transpose(b, vectors).into_iter().enumerate() {
                            store(vectors, b.add(column, b.index(at as i64)), vector);
                        }
                    });
                } else {
                    b.for_each(b.index(0), padded, 1, |column| {
                        let within = b.smin(column, number(columns.saturating_sub(1)));
                        let env = env.with_flat(Flat::of(env, self.columns, within, None));
                        let flat = Flat::of(&env, self.rows, first, Some(lanes));
                        let whole = rows.is_multiple_of(width);
                        let count = (!whole).then(|| b.sub(number(rows), first));
                        let value = lanewise(&env, self.vectors, flat, count, self.expr);
                        let beyond = b.cmp(crate::build::Cmp::Ne, column, within);
                        store(b.select(beyond, b.float(value.ty, 0.0), value), column, vector);
                    });
                }
            }
        });
    }

    /// Packs the rows `block + from .. block + to`, and zeros up to a multiple of [`super::UNROLL`]: panel after panel
    /// of `panel` vectors of columns, `held` rows apart, row-major. All rows must exist.
    pub fn pack_panels<'c>(
        &self,
        env: &Env<'c, '_>,
        into: V<'c>,
        (panel, held): (u64, u64),
        block: V<'c>,
        (from, to): (V<'c>, V<'c>),
    ) {
        let b = env.b;
        let Vectors { scalar, lanes, .. } = self.vectors;
        let width = panel * lanes;
        let columns = Self::extent(env, self.columns);
        let number = |n: u64| b.index(n as i64);
        let end = super::round_up(b, to, super::UNROLL);
        b.for_each(b.index(0), number(columns), width as i64, |column| {
            let base = b.address(into, scalar, b.mul(column, number(held)));
            let place = |row: V<'c>, vector: u64| {
                let offset = b.add(b.mul(row, number(width)), number(vector * lanes));
                b.address(base, scalar, offset)
            };
            b.for_each(from, to, 1, |row| {
                let env = env.with_flat(Flat::of(env, self.rows, b.add(block, row), None));
                for vector in 0..panel {
                    let first = b.add(column, number(vector * lanes));
                    let flat = Flat::of(&env, self.columns, first, Some(lanes));
                    let whole = columns.is_multiple_of(width);
                    let count = (!whole).then(|| b.sub(number(columns), first));
                    let value = lanewise(&env, self.vectors, flat, count, self.expr);
                    b.store(value, place(row, vector));
                }
            });
            b.for_each(to, end, 1, |row| {
                for vector in 0..panel {
                    b.store(b.float(self.vectors.ty(), 0.0), place(row, vector));
                }
            });
        });
    }
}

/// An expression with a group along the lanes, 0 in all but the first `count`; without one, all lanes are in range.
pub fn lanewise<'c>(
    env: &Env<'c, '_>,
    vectors: Vectors,
    flat: Flat<'c>,
    count: Option<V<'c>>,
    expr: &Expr,
) -> V<'c> {
    let b = env.b;
    let mut env = env.with_flat(flat);
    env.lanes = Some(vectors.lanes as u32);
    let Some(count) = count else {
        let value = cast(b, env.eval(expr), vectors.dtype).v;
        return b.broadcast(value, vectors.lanes as u32);
    };
    let mask = env.first_lanes(count);
    let env = env.masked(mask);
    let value = cast(b, env.eval(expr), vectors.dtype).v;
    b.select(mask, value, b.float(vectors.ty(), 0.0))
}
