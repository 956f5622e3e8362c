//! The range of keys of each row: what the guard's comparisons with the key amount to.

use crate::build::{Cmp, Scalar, Ty, V};
use crate::cpu::env::{Env, Flat};
use crate::cpu::nest::guard::conjuncts;
use crate::cpu::phase::ALIGN;
use einmesh_ir::{Affine, Atom, BinaryOp, Expr, IndexId};

/// A guard, taken apart.
#[derive(Default)]
pub struct Conditions<'e> {
    /// Conditions that bound the keys of a row.
    ranges: Vec<Range<'e>>,
    /// Conditions to be looked at point by point.
    pub points: Vec<&'e Expr>,
}

/// A condition that a row's keys form a range.
enum Range<'e> {
    /// All keys or none.
    Row(&'e Expr),
    /// The key compared with a number.
    Key(BinaryOp, Limit<'e>),
}

/// A number of a row.
enum Limit<'e> {
    Affine(Affine),
    Expr(&'e Expr),
}

impl<'e> Conditions<'e> {
    /// Those of a guard on the keys, which `n` counts.
    pub fn of(env: &Env<'_, '_>, guard: Option<&'e Expr>, n: IndexId) -> Conditions<'e> {
        let mut found = Conditions::default();
        for condition in conjuncts(guard) {
            match range_of(env, condition, n) {
                Some(range) => found.ranges.push(range),
                None => found.points.push(condition),
            }
        }
        found
    }
}

/// The range of keys that a condition amounts to, if it does.
fn range_of<'e>(env: &Env<'_, '_>, condition: &'e Expr, n: IndexId) -> Option<Range<'e>> {
    if !condition.mentions(n) {
        return Some(Range::Row(condition));
    }
    let Expr::Binary(op, x, y) = condition else { return None };
    if !matches!(op, BinaryOp::Lt | BinaryOp::Le | BinaryOp::Gt | BinaryOp::Ge | BinaryOp::Eq) {
        return None;
    }
    let key = |e: &Expr| *e == Expr::Index(n);
    if key(x) && !y.mentions(n) {
        return Some(Range::Key(*op, Limit::Expr(y)));
    }
    if key(y) && !x.mentions(n) {
        return Some(Range::Key(turned(*op), Limit::Expr(x)));
    }
    // x op y is the same as difference op 0.
    let difference = env.affine(x)?.sub(&env.affine(y)?)?;
    let factor = difference.coefficient(Atom::Index(n));
    let limit = difference.substitute(Atom::Index(n), &Affine::constant(0))?.scale(-factor)?;
    match factor {
        1 => Some(Range::Key(*op, Limit::Affine(limit))),
        -1 => Some(Range::Key(turned(*op), Limit::Affine(limit))),
        _ => None,
    }
}

/// The comparison with its sides exchanged.
fn turned(op: BinaryOp) -> BinaryOp {
    match op {
        BinaryOp::Lt => BinaryOp::Gt,
        BinaryOp::Le => BinaryOp::Ge,
        BinaryOp::Gt => BinaryOp::Lt,
        BinaryOp::Ge => BinaryOp::Le,
        other => other,
    }
}

/// The rows of a chunk, in groups.
#[derive(Clone, Copy, Debug)]
pub struct Rows<'p> {
    /// What counts the rows.
    pub m: &'p [IndexId],
    /// How many there are in all chunks.
    pub all: u64,
    /// Rows of a group.
    pub of_group: u64,
    /// Groups of a chunk.
    pub groups: u64,
    /// How many keys there are.
    pub keys: u64,
}

impl Rows<'_> {
    /// A row; rows beyond the last are at it.
    pub fn at<'c, 'k>(&self, env: &Env<'c, 'k>, row: V<'c>) -> Env<'c, 'k> {
        let last = env.b.index(self.all as i64 - 1);
        env.with_flat(Flat::of(env, self.m, env.b.smin(row, last), None))
    }
}

/// The ranges of a chunk's rows, in scratch memory: i32, of each row and of each group of rows.
pub struct Bounds<'c> {
    /// Per row, the first key.
    pub low: V<'c>,
    /// Per row, the one after the last.
    pub high: V<'c>,
    /// Per group, the least of the first keys.
    pub group_low: V<'c>,
    /// Per group, the largest of those after the last.
    pub group_high: V<'c>,
}

impl Bounds<'_> {
    /// Bytes of each array.
    pub fn bytes(rows: Rows<'_>) -> [u64; 4] {
        let size = |count: u64| (count * 4).next_multiple_of(ALIGN);
        let (rows, groups) = (size(rows.groups * rows.of_group), size(rows.groups));
        [rows, rows, groups, groups]
    }
}

impl<'c> Bounds<'c> {
    /// A bound as i64.
    pub fn get(&self, env: &Env<'c, '_>, array: V<'c>, at: V<'c>) -> V<'c> {
        let b = env.b;
        let raw = b.load(Ty::scalar(Scalar::I32), b.address(array, Scalar::I32, at));
        b.convert(raw, Scalar::I64)
    }

    fn set(&self, env: &Env<'c, '_>, array: V<'c>, at: V<'c>, value: V<'c>) {
        let b = env.b;
        b.store(b.convert(value, Scalar::I32), b.address(array, Scalar::I32, at));
    }

    /// Fills the arrays for a chunk, with keys confined to a part; returns the least and the largest bound.
    pub fn fill(
        &self,
        env: &Env<'c, '_>,
        (rows, conditions): (Rows<'_>, &Conditions<'_>),
        first_row: V<'c>,
        part: (V<'c>, V<'c>),
    ) -> (V<'c>, V<'c>) {
        let b = env.b;
        let zero = b.index(0);
        let none = [b.index(rows.keys as i64), zero];
        let widest = |carried: &[V<'c>], low: V<'c>, high: V<'c>| {
            vec![b.smin(carried[0], low), b.smax(carried[1], high)]
        };
        let all = b.for_carried(zero, b.index(rows.groups as i64), 1, &none, |group, all| {
            let size = rows.of_group as i64;
            let top = b.mul(group, b.index(size));
            let of_group = b.for_carried(zero, b.index(size), 1, &none, |r, carried| {
                let row = b.add(top, r);
                let place = rows.at(env, b.add(first_row, row));
                let (low, high) = range(&place, conditions, part);
                // An empty range must not widen the group's.
                let empty = b.cmp(Cmp::Ge, low, high);
                let (low, high) = (b.select(empty, none[0], low), b.select(empty, none[1], high));
                self.set(env, self.low, row, low);
                self.set(env, self.high, row, high);
                widest(carried, low, high)
            });
            self.set(env, self.group_low, group, of_group[0]);
            self.set(env, self.group_high, group, of_group[1]);
            widest(all, of_group[0], of_group[1])
        });
        (all[0], all[1])
    }
}

/// The keys of a row.
fn range<'c>(
    env: &Env<'c, '_>,
    conditions: &Conditions<'_>,
    part: (V<'c>, V<'c>),
) -> (V<'c>, V<'c>) {
    let b = env.b;
    let (mut low, mut high) = part;
    for condition in &conditions.ranges {
        let (op, limit) = match condition {
            Range::Row(condition) => {
                high = b.select(env.eval(condition).v, high, b.index(0));
                continue;
            }
            Range::Key(op, Limit::Affine(limit)) => (op, env.affine_value(limit)),
            Range::Key(op, Limit::Expr(limit)) => (op, env.eval_i64(limit)),
        };
        let next = b.add(limit, b.index(1));
        match op {
            BinaryOp::Lt => high = b.smin(high, limit),
            BinaryOp::Le => high = b.smin(high, next),
            BinaryOp::Gt => low = b.smax(low, next),
            BinaryOp::Ge => low = b.smax(low, limit),
            _ => (low, high) = (b.smax(low, limit), b.smin(high, next)),
        }
    }
    (low, high)
}
