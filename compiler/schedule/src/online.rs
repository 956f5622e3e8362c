//! Recognising online softmax: which comprehensions are reductions over the rows of a matrix product
//! that need not be stored.
//!
//! The forms that rewriting leaves are matched by structure, in the coordinates of the product:
//!
//! ```text
//! s = Σk lhs · rhs                       z = f(s)            scores, any elementwise function
//! top = max[n | g] z                     lse = logsumexp[n | g] z
//! e = where[g] exp(z − top)              p = where[g] exp(z − lse)       weights
//! total = sum[n | g] e                   a = e / total
//! context = sum[n | g] (e, a or p) · value               out = h(context, top, total, lse)
//! ```
//!
//! The match is all or nothing: every reader of a value with the product's points must be part of it, or those
//! values would have to be stored after all. Scores and weights that a program rounds to half precision stay
//! in the accumulator's precision.

mod again;
mod delta;
mod member;
mod pick;
mod saved;
mod wide;

use crate::contraction::{self, Product};
use crate::kernel::{self, RowResult};
use crate::usage::Usage;
pub use again::recompute;
use einmesh_ir::{
    BinaryOp, Block, Comprehension, DType, Expr, Id, Index, IndexId, Literal, Op, Program, ValueId,
};
use member::Known;
pub use member::{conjuncts, is_zero};
pub use pick::separate;
pub use saved::reuse;
use std::collections::BTreeMap;
pub use wide::widened;

/// Stand for the locals of the kernel: they are no values of the program.
pub const ACC: ValueId = ValueId(u32::MAX - 1);
/// The row's largest score.
pub const TOP: ValueId = ValueId(u32::MAX - 2);
/// The row's sum of exponentials.
pub const TOTAL: ValueId = ValueId(u32::MAX - 3);
/// The row's log-sum-exp.
pub const LSE: ValueId = ValueId(u32::MAX - 4);
/// The weighted sum.
pub const CONTEXT: ValueId = ValueId(u32::MAX - 5);

/// A match. Its expressions are in the product's own indices; those of `columns` are counted on from there.
#[derive(Clone, PartialEq, Debug)]
pub struct Online {
    /// The sum of products.
    pub sum: Comprehension,
    /// How to read it, with the reduced index of the rows as `n`.
    pub product: Product,
    /// As in [`kernel::Online`].
    pub score: Expr,
    /// As in [`kernel::Online`].
    pub guard: Option<Expr>,
    /// The indices of the context that are not the rows'.
    pub columns: Vec<Index>,
    /// As in [`kernel::Context`].
    pub value: Option<Expr>,
    /// What is stored, to values of the program.
    pub results: Vec<RowResult>,
    /// All values with one number per row, those that only other members read included.
    pub rows: Vec<RowResult>,
    /// The positions of the comprehensions that it replaces, in the block.
    pub members: Vec<usize>,
}

/// Changes each block, those of loops before the one that they stand in.
fn each_block(program: &mut Program, change: impl Fn(&mut Program, &Usage, &mut Block)) {
    fn walk(block: &mut Block, change: &mut dyn FnMut(&mut Block)) {
        for op in &mut block.ops {
            if let Op::Loop(l) = op {
                walk(&mut l.body, change);
            }
        }
        change(block);
    }
    let usage = Usage::of(program);
    let mut body = std::mem::take(&mut program.body);
    walk(&mut body, &mut |block| change(program, &usage, block));
    program.body = body;
}

/// The matches in a block; no operation is in two.
pub fn find(program: &Program, usage: &Usage, ops: &[Op]) -> Vec<Online> {
    let mut found: Vec<Online> = Vec::new();
    for (position, op) in ops.iter().enumerate() {
        let Op::Compute(sum) = op else { continue };
        let taken = |position: &usize| found.iter().any(|o| o.members.contains(position));
        if taken(&position) {
            continue;
        }
        let Some(product) = contraction::classify(program, sum) else { continue };
        if let Some(online) = Match::run(program, usage, ops, position, sum, product)
            && !online.members.iter().any(taken)
        {
            found.push(online);
        }
    }
    found
}

/// A match as it grows.
#[derive(Clone)]
struct Match<'a> {
    program: &'a Program,
    sum: &'a Comprehension,
    /// The accumulator's dtype.
    wide: DType,
    /// What is known of values, by what they are to the match.
    known: BTreeMap<ValueId, Known>,
    /// What the rows are reduced over: set by the first reduction.
    rows: Option<Rows>,
    columns: Vec<Index>,
    value: Option<Expr>,
    /// The value of the weighted sum or of its epilogue, and its number and subscripts.
    wide_result: Option<(ValueId, RowResult)>,
    members: Vec<usize>,
}

/// What all reductions of a match share.
#[derive(Clone)]
struct Rows {
    n: IndexId,
    score: Expr,
    guard: Option<Expr>,
}

impl<'a> Match<'a> {
    /// The match of a product alone.
    fn new(
        program: &'a Program,
        position: usize,
        sum: &'a Comprehension,
        product: &Product,
    ) -> Option<Match<'a>> {
        let wide = product.dtype.accumulator();
        let mut score = Expr::load(ACC, []);
        let mut this = Match {
            program,
            sum,
            wide,
            known: BTreeMap::new(),
            rows: None,
            columns: vec![],
            value: None,
            wide_result: None,
            members: vec![position],
        };
        for coefficient in &product.coefficients {
            let factor = this.widened(coefficient)?;
            score = Expr::binary(BinaryOp::Mul, score, factor);
        }
        let order: Vec<IndexId> = sum.free_indices().collect();
        this.known.insert(sum.out, Known::Score { order, score });
        Some(this)
    }

    fn run(
        program: &'a Program,
        usage: &Usage,
        ops: &[Op],
        position: usize,
        sum: &'a Comprehension,
        product: Product,
    ) -> Option<Online> {
        let mut this = Match::new(program, position, sum, &product)?;
        let mut outside: Vec<(ValueId, usize)> = Vec::new();
        for (at, op) in ops.iter().enumerate().skip(position + 1) {
            let reads = crate::fuse::reads(op);
            let full = reads.iter().any(|v| this.known.get(v).is_some_and(Known::has_all_points));
            let any = reads.iter().any(|v| this.known.contains_key(v));
            match op {
                Op::Compute(c) if full => {
                    this.member(c)?;
                    this.members.push(at);
                }
                Op::Compute(c) if any && this.epilogue(c, usage) => this.members.push(at),
                _ if full => return None,
                _ => outside.extend(reads.into_iter().map(|v| (v, at))),
            }
        }
        this.finish(usage, ops, product, &outside)
    }

    /// The match, if nobody else needs the values that would not be stored.
    fn finish(
        mut self,
        usage: &Usage,
        ops: &[Op],
        product: Product,
        outside: &[(ValueId, usize)],
    ) -> Option<Online> {
        let rows = self.rows.take()?;
        let product = oriented(product, rows.n)?;
        let last = *self.members.last()?;
        let inside = |value: ValueId| {
            let reads = |at: &&usize| crate::fuse::reads(&ops[**at]).contains(&value);
            self.members.iter().filter(reads).count()
        };
        let only_inside = |value: ValueId| {
            let uses = usage.get(value);
            uses.other == 0 && uses.comprehensions == inside(value)
        };
        let (mut results, mut rows_of) = (Vec::new(), Vec::new());
        for (value, known) in &self.known {
            if known.has_all_points() {
                if !only_inside(*value) {
                    return None;
                }
                continue;
            }
            let Known::Row { order, value: number } = known else { continue };
            let number = self.narrowed(number.clone(), *value);
            let row = row_result(false, number, *value, order);
            if !only_inside(*value) {
                results.push((*value, row.clone()));
            }
            rows_of.push(row);
        }
        results.extend(self.wide_result);
        if results.is_empty() {
            return None;
        }
        // The kernel runs where its last member stood.
        if outside.iter().any(|(v, at)| *at < last && results.iter().any(|(out, _)| out == v)) {
            return None;
        }
        if self.value.as_ref().is_some_and(|v| product.m.iter().any(|i| v.mentions(*i))) {
            return None;
        }
        Some(Online {
            sum: self.sum.clone(),
            product,
            score: rows.score,
            guard: rows.guard,
            columns: self.columns,
            value: self.value,
            results: results.into_iter().map(|(_, result)| result).collect(),
            rows: rows_of,
            members: self.members,
        })
    }

    /// An expression of the accumulator's dtype as a value of the program has it.
    fn narrowed(&self, number: Expr, value: ValueId) -> Expr {
        match self.program.values[value].dtype {
            dtype if dtype == self.wide => number,
            dtype => Expr::cast(dtype, number),
        }
    }
}

/// A result whose dims run along `order`.
fn row_result(wide: bool, value: Expr, out: ValueId, order: &[IndexId]) -> RowResult {
    let subs = order.iter().map(|i| Expr::Index(*i)).collect();
    let combine = einmesh_ir::Reducer::None;
    let target = kernel::Target { value: out, subs, combine, store: false };
    RowResult { wide, value, target }
}

/// The mean of what is weighed: 0 in a row without points, which has no weights.
fn mean(dtype: DType) -> Expr {
    let (total, zero) = (Expr::load(TOTAL, []), float(dtype, 0.0));
    let empty = Expr::binary(BinaryOp::Eq, total.clone(), zero.clone());
    Expr::select(empty, zero, Expr::binary(BinaryOp::Div, Expr::load(CONTEXT, []), total))
}

/// The product with `n` as the only index of its right factor: other such indices take part in the batch,
/// which the left factor need not mention.
fn oriented(mut product: Product, n: IndexId) -> Option<Product> {
    if product.m.contains(&n) {
        std::mem::swap(&mut product.m, &mut product.n);
        std::mem::swap(&mut product.lhs, &mut product.rhs);
    }
    if !product.n.contains(&n) || product.lhs.mentions(n) {
        return None;
    }
    let (rest, n) = product.n.into_iter().partition(|i| *i != n);
    product.n = n;
    product.batch.extend::<Vec<IndexId>>(rest);
    product.batch.sort();
    Some(product)
}

/// A number of a float dtype.
pub fn float(dtype: DType, value: f64) -> Expr {
    Expr::Literal(Literal::Float(dtype, value))
}

/// The id of the n-th index after a comprehension's own.
fn further(sum: &Comprehension, n: usize) -> IndexId {
    IndexId::from_index(sum.indices.len() + n)
}
