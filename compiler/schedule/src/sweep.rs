//! Recognising sums over the points of matrix products that need not be stored: the gradients of attention.
//!
//! What rewriting leaves is matched by structure, in the coordinates of the points:
//!
//! ```text
//! s = Σk q · key            d = Σv d_o · val             products with the same points
//! a = where[g] exp(f(s) − top) / total                    any elementwise functions of products, rows and columns
//! b = where[g] a · (d − delta)
//! d_q = Σn b · key          d_key = Σm b · q              sums that these weigh
//! d_val = Σm a · d_o
//! ```
//!
//! The match is all or nothing: every reader of a value with those points must be part of it. Points are only taken for
//! such if there are two products, and an exponential is taken relative to a number of the row: other chains of
//! products, as two layers of a perceptron, are faster as matrix kernels of their own. [`crate::online::recompute`]
//! makes the match possible where the forward computation reads the points too.

mod place;

use crate::contraction::{self, Product};
use crate::fuse::reads;
use crate::inline;
use crate::kernel::{Factors, Point, PointSum, Target};
use crate::online::{conjuncts, is_zero};
use crate::usage::{Usage, distinct_indices};
use einmesh_ir::{
    BinaryOp, Bounds, Comprehension, DType, Expr, Id, Index, IndexId, Op, Program, Reducer,
    UnaryOp, ValueId,
};
use std::collections::BTreeMap;

/// Stands for a finished sum: it is no value of the program.
pub const SUM: ValueId = ValueId(u32::MAX - 1);

/// Stands for the n-th product.
fn product_local(n: usize) -> ValueId {
    ValueId::from_index(u32::MAX as usize - 2 - n)
}

/// Packed operands have at most so many numbers per row or key, all products and sums together.
const MOST_NUMBERS: u64 = 1024;

/// A match. Its expressions are in indices of its own; each point's local is the value that it would be stored as.
#[derive(Clone, PartialEq, Debug)]
pub struct Sweep {
    /// The indices: those of the points, then those of products and sums.
    pub indices: Vec<Index>,
    /// As in [`crate::kernel::Sweep`].
    pub batch: Vec<IndexId>,
    /// As above.
    pub m: Vec<IndexId>,
    /// As above.
    pub n: IndexId,
    /// As above.
    pub accumulator: DType,
    /// As above.
    pub products: Vec<Factors>,
    /// As above.
    pub guard: Option<Expr>,
    /// As above.
    pub points: Vec<Point>,
    /// As above; targets are values of the program.
    pub sums: Vec<PointSum>,
    /// The positions of the comprehensions that it replaces, in the block.
    pub members: Vec<usize>,
}

/// The matches in a block; no operation is in two.
pub fn find(program: &Program, usage: &Usage, ops: &[Op]) -> Vec<Sweep> {
    let mut found: Vec<Sweep> = Vec::new();
    for (position, op) in ops.iter().enumerate() {
        let Op::Compute(sum) = op else { continue };
        let taken = |position: &usize| found.iter().any(|s| s.members.contains(position));
        if taken(&position) {
            continue;
        }
        let Some(product) = contraction::classify(program, sum) else { continue };
        if let Some(sweep) = Match::run(program, usage, ops, position, product)
            && !sweep.members.iter().any(taken)
            && !read_before(&sweep, ops)
        {
            found.push(sweep);
        }
    }
    found
}

/// The match that begins with the product at a position, wherever its results are read.
pub fn at(program: &Program, usage: &Usage, ops: &[Op], position: usize) -> Option<Sweep> {
    let Op::Compute(sum) = &ops[position] else { return None };
    Match::run(program, usage, ops, position, contraction::classify(program, sum)?)
}

/// Whether a result is read before the last member, where the kernel runs.
fn read_before(sweep: &Sweep, ops: &[Op]) -> bool {
    let last = sweep.members.last().copied().unwrap_or(0);
    let outside = (0..last).filter(|at| !sweep.members.contains(at));
    let mut read = outside.flat_map(|at| reads(&ops[at]));
    read.any(|v| sweep.sums.iter().any(|s| s.target.value == v))
}

/// What is known of a value with all points.
struct Known {
    /// Per dim, the index of the points.
    order: Vec<IndexId>,
    /// Whether it is 0 where the guard is false.
    guarded: bool,
}

/// A match as it grows.
struct Match<'a> {
    program: &'a Program,
    usage: &'a Usage,
    ops: &'a [Op],
    /// The accumulator's dtype.
    wide: DType,
    indices: Vec<Index>,
    /// How many of them are those of the points.
    rank: usize,
    known: BTreeMap<ValueId, Known>,
    /// The factors, in either order.
    products: Vec<Factors>,
    guard: Option<Expr>,
    points: Vec<Point>,
    /// Sums, with what they reduce.
    sums: Vec<(Vec<IndexId>, PointSum)>,
    /// Whether some sum needs that there is no guard.
    everywhere: bool,
    members: Vec<usize>,
}

/// A comprehension's indices among the match's.
type Places = Vec<Option<IndexId>>;

impl<'a> Match<'a> {
    fn run(
        program: &'a Program,
        usage: &'a Usage,
        ops: &'a [Op],
        position: usize,
        product: Product,
    ) -> Option<Sweep> {
        let Op::Compute(sum) = &ops[position] else { return None };
        let indices: Vec<Index> = sum.free_indices().map(|i| sum.indices[i].clone()).collect();
        let rank = indices.len();
        let mut this = Match {
            program,
            usage,
            ops,
            wide: product.dtype.accumulator(),
            indices,
            rank,
            known: BTreeMap::new(),
            products: vec![],
            guard: None,
            points: vec![],
            sums: vec![],
            everywhere: false,
            members: vec![],
        };
        let places = sum.free_indices().map(|i| Some(IndexId::from_index(i.index()))).collect();
        this.product(position, sum, product, places)?;
        for (at, op) in ops.iter().enumerate().skip(position + 1) {
            if this.members.contains(&at) || !reads(op).iter().any(|v| this.known.contains_key(v)) {
                continue;
            }
            let Op::Compute(c) = op else { return None };
            match c.reducer {
                _ if c.store.is_some() => return None,
                Reducer::None => this.elementwise(c)?,
                Reducer::Sum => this.sum(c)?,
                _ => return None,
            }
            this.members.push(at);
        }
        this.finish()
    }

    /// Takes in a product; its reduced indices are added to the match's.
    fn product(
        &mut self,
        at: usize,
        sum: &Comprehension,
        product: Product,
        mut places: Places,
    ) -> Option<()> {
        if product.dtype.accumulator() != self.wide {
            return None;
        }
        let order: Vec<IndexId> = places.iter().copied().collect::<Option<_>>()?;
        let mut k = Vec::new();
        for index in sum.reduced_indices() {
            places.push(Some(self.further(&sum.indices[index])));
            k.extend(places.last().copied().flatten());
        }
        let acc = product_local(self.products.len());
        let mut value = Expr::load(acc, []);
        for coefficient in &product.coefficients {
            let factor = self.wide(coefficient, &places)?;
            value = Expr::binary(BinaryOp::Mul, value, factor);
        }
        let (lhs, rhs) = (self.apart(&product.lhs, &places)?, self.apart(&product.rhs, &places)?);
        self.products.push(Factors { k, lhs, rhs, acc });
        self.points.push(Point { local: sum.out, value });
        self.known.insert(sum.out, Known { order, guarded: false });
        self.members.push(at);
        Some(())
    }

    /// Takes in an elementwise function of points, and the products that it reads besides.
    fn elementwise(&mut self, c: &Comprehension) -> Option<()> {
        let places = self.places(c)?;
        let order: Vec<IndexId> = places.iter().copied().collect::<Option<_>>()?;
        if order.len() != self.rank {
            return None;
        }
        for load in c.exprs().flat_map(Expr::loads) {
            if !self.known.contains_key(&load.value) {
                // What is no product is read from memory.
                let _ = self.join(&load.subs, load.value, &places);
            }
        }
        let guarded = match &c.guard {
            Some(guard) => self.is_guard(self.apart(guard, &places)?)?,
            None => false,
        };
        let body = self.wide(&c.body, &places)?;
        let guarded = self.vanishes(&body)? || guarded;
        let value = self.inside(body);
        self.points.push(Point { local: c.out, value });
        self.known.insert(c.out, Known { order, guarded });
        Some(())
    }

    /// Takes in a product of the block that is read at the points.
    fn join(&mut self, subs: &[Expr], value: ValueId, places: &Places) -> Option<()> {
        let defined = |op: &Op| matches!(op, Op::Compute(c) if c.out == value);
        let at = self.ops.iter().position(defined)?;
        let Op::Compute(sum) = &self.ops[at] else { return None };
        let (product, guard) = contraction::excluding(self.program, sum)?;
        if self.usage.get(value).other > 0 || subs.len() != self.rank {
            return None;
        }
        let load = einmesh_ir::Load { value, subs: subs.to_vec(), bounds: Bounds::Proven };
        let own = distinct_indices(&load)?;
        let placed: Places = own.iter().map(|i| places[i.index()]).collect();
        let extents = own.iter().map(|i| self.extent(places[i.index()]));
        if !extents.eq(self.program.extents(value).into_iter().map(Some)) {
            return None;
        }
        let guarded = match guard {
            Some(guard) => self.is_guard(self.apart(&guard, &placed)?)?,
            None => false,
        };
        self.product(at, sum, product, placed)?;
        self.known.entry(value).and_modify(|k| k.guarded = guarded);
        Some(())
    }

    /// Takes in a sum that a point weighs.
    fn sum(&mut self, c: &Comprehension) -> Option<()> {
        let mut places = self.places(c)?;
        let (factors, coefficients) = contraction::split(self.program, c);
        let weight = |e: &Expr| -> Option<ValueId> {
            let mut e = e;
            while let Expr::Cast(dtype, inner) = e {
                (dtype.accumulator() == self.wide).then_some(())?;
                e = inner;
            }
            match e {
                Expr::Load(load) => self.known.contains_key(&load.value).then_some(load.value),
                _ => None,
            }
        };
        let at = factors.iter().position(|f| weight(f).is_some())?;
        let weight = weight(&factors[at])?;
        let guarded = match &c.guard {
            Some(guard) => self.is_guard(self.apart(guard, &places)?)?,
            None => self.known[&weight].guarded,
        };
        self.everywhere |= !guarded;
        let reduced: Vec<IndexId> =
            c.reduced_indices().map(|i| places[i.index()]).collect::<Option<_>>()?;
        let mut v = Vec::new();
        for index in c.free_indices() {
            if places[index.index()].is_none() {
                let new = self.further(&c.indices[index]);
                places[index.index()] = Some(new);
                v.push(new);
            }
        }
        if c.indices.len() - v.len() != self.rank || self.weighs_less(&factors[at], &places, weight)
        {
            return None;
        }
        let mut rest = factors.iter().enumerate().filter(|(n, _)| *n != at).map(|(_, f)| f);
        let mut value = self.apart(rest.next()?, &places)?;
        for factor in rest {
            value = Expr::binary(BinaryOp::Mul, value, self.apart(factor, &places)?);
        }
        let mut result = Expr::load(SUM, []);
        for coefficient in &coefficients {
            let factor = self.wide(coefficient, &places)?;
            result = Expr::binary(BinaryOp::Mul, result, factor);
        }
        let dtype = self.program.values[c.out].dtype;
        let result = if dtype == self.wide { result } else { Expr::cast(dtype, result) };
        let subs = c.free_indices().filter_map(|i| places[i.index()]).map(Expr::Index).collect();
        let target = Target { value: c.out, subs, combine: Reducer::None, store: false };
        let sum = PointSum { of_columns: false, weight, v, value, acc: SUM, result, target };
        self.sums.push((reduced, sum));
        Some(())
    }

    /// Whether a weight is not read at its own point.
    fn weighs_less(&self, factor: &Expr, places: &Places, weight: ValueId) -> bool {
        let own = |load: &&einmesh_ir::Load| {
            let at = load.subs.iter().map(|s| match s {
                Expr::Index(i) => places[i.index()],
                _ => None,
            });
            load.bounds == Bounds::Proven
                && at.eq(self.known[&weight].order.iter().map(|i| Some(*i)))
        };
        !factor.loads().iter().all(own)
    }

    /// The match, if nobody else needs the values that would not be stored.
    fn finish(mut self) -> Option<Sweep> {
        self.members.sort();
        let only_inside = |value: &ValueId| {
            let reads = |at: &&usize| reads(&self.ops[**at]).contains(value);
            let uses = self.usage.get(*value);
            uses.other == 0 && uses.comprehensions == self.members.iter().filter(reads).count()
        };
        let guarded = self.guard.is_none() || !self.everywhere;
        if self.products.len() < 2 || !guarded || !self.known.keys().all(only_inside) {
            return None;
        }
        let loads_along = |n: IndexId| -> usize {
            let loads = self.points.iter().flat_map(|p| p.value.loads());
            loads.filter(|l| l.subs.iter().any(|s| s.mentions(n))).count()
        };
        let mut choices: Vec<IndexId> = self
            .sums
            .iter()
            .filter_map(|(reduced, _)| match reduced[..] {
                [n] => Some(n),
                _ => None,
            })
            .collect();
        choices.sort_by_key(|n| (loads_along(*n), *n));
        choices.dedup();
        choices.into_iter().find_map(|n| self.oriented(n))
    }

    /// The match with `n` as the columns.
    fn oriented(&self, n: IndexId) -> Option<Sweep> {
        let points = (0..self.rank).map(IndexId::from_index);
        let first = &self.products[0];
        let only = |a: &Expr, b: &Expr| -> Vec<IndexId> {
            points.clone().filter(|i| a.mentions(*i) && !b.mentions(*i)).collect()
        };
        let m = match (only(&first.lhs, &first.rhs), only(&first.rhs, &first.lhs)) {
            (m, columns) | (columns, m) if columns == [n] => m,
            _ => return None,
        };
        let batch: Vec<IndexId> = points.filter(|i| *i != n && !m.contains(i)).collect();
        let mentions = |e: &Expr, group: &[IndexId]| group.iter().any(|i| e.mentions(*i));
        let mut products = self.products.clone();
        for product in &mut products {
            if product.lhs.mentions(n) {
                std::mem::swap(&mut product.lhs, &mut product.rhs);
            }
            if product.lhs.mentions(n) || mentions(&product.rhs, &m) {
                return None;
            }
        }
        let mut sums = Vec::new();
        for (reduced, sum) in &self.sums {
            let of_columns = *reduced != [n];
            let same = reduced.len() == m.len() && m.iter().all(|i| reduced.contains(i));
            let foreign = if of_columns { sum.value.mentions(n) } else { mentions(&sum.value, &m) };
            if of_columns && !same || foreign {
                return None;
            }
            sums.push(PointSum { of_columns, ..sum.clone() });
        }
        let locals: Vec<ValueId> =
            products.iter().map(|p| p.acc).chain(self.points.iter().map(|p| p.local)).collect();
        let of_row = |e: &Expr| {
            let local = |l: &&einmesh_ir::Load| locals.contains(&l.value);
            !e.mentions(n) && !e.loads().iter().any(local)
        };
        let mut relative = false;
        let mut points = self.points.clone();
        for point in &mut points {
            point.value.walk(&mut |e| {
                if let Expr::Unary(UnaryOp::Exp, exponent) = e {
                    let loads = exponent.loads();
                    let row = |l: &&einmesh_ir::Load| {
                        let of = |i: &IndexId| l.subs.contains(&Expr::Index(*i));
                        !l.subs.iter().any(|s| s.mentions(n)) && m.iter().any(of)
                    };
                    relative |= loads.iter().any(row);
                }
            });
            let value = std::mem::replace(&mut point.value, inline::zero(DType::Bool));
            point.value = value.map(&mut |e| match e {
                // A row's reciprocal is taken once.
                Expr::Binary(BinaryOp::Div, x, y) if of_row(&y) => {
                    let one = crate::online::float(self.wide, 1.0);
                    Expr::binary(BinaryOp::Mul, *x, Expr::binary(BinaryOp::Div, one, *y))
                }
                other => other,
            });
        }
        let size = |group: &[IndexId]| -> u64 {
            group.iter().filter_map(|i| self.extent(Some(*i))).product()
        };
        let depths = products.iter().map(|p| size(&p.k)).sum::<u64>();
        let numbers = depths + sums.iter().map(|s| size(&s.v)).sum::<u64>();
        if !relative || numbers > MOST_NUMBERS {
            return None;
        }
        Some(Sweep {
            indices: self.indices.clone(),
            batch,
            m,
            n,
            accumulator: self.wide,
            products,
            guard: self.guard.clone(),
            points,
            sums,
            members: self.members.clone(),
        })
    }

    /// Notes a guard, or checks that it is the same.
    fn is_guard(&mut self, guard: Expr) -> Option<bool> {
        match &self.guard {
            None => self.guard = Some(guard),
            Some(ours) => {
                let (ours, theirs) = (conjuncts(Some(ours)), conjuncts(Some(&guard)));
                let same = ours.len() == theirs.len() && theirs.iter().all(|c| ours.contains(c));
                same.then_some(())?;
            }
        }
        Some(true)
    }

    /// Whether an expression is 0 where the guard is false; a selection of 0 may tell what the guard is.
    fn vanishes(&mut self, expr: &Expr) -> Option<bool> {
        Some(match expr {
            Expr::Load(load) => self.known.get(&load.value).is_some_and(|k| k.guarded),
            Expr::Binary(BinaryOp::Mul, a, b) => self.vanishes(a)? || self.vanishes(b)?,
            Expr::Binary(BinaryOp::Div, a, _) | Expr::Unary(UnaryOp::Neg, a) | Expr::Cast(_, a) => {
                self.vanishes(a)?
            }
            Expr::Binary(BinaryOp::Add | BinaryOp::Sub, a, b) => {
                let (a, b) = (self.vanishes(a)?, self.vanishes(b)?);
                a && b
            }
            Expr::Select(condition, _, zero) if is_zero(zero) => {
                self.is_guard((**condition).clone()).is_some()
            }
            _ => false,
        })
    }

    /// An expression where the guard holds.
    fn inside(&self, expr: Expr) -> Expr {
        let ours = conjuncts(self.guard.as_ref());
        expr.map(&mut |e| match e {
            Expr::Select(condition, then, otherwise) => {
                match conjuncts(Some(&condition)).iter().all(|c| ours.contains(c)) {
                    true => *then,
                    false => Expr::Select(condition, then, otherwise),
                }
            }
            other => other,
        })
    }
}
