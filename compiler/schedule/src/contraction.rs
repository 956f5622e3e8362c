//! Recognising sums of products: which comprehensions are matrix products, and how.

use crate::inline;
use einmesh_ir::{
    BinaryOp, Comprehension, DType, Expr, IndexId, Literal, Program, Reducer, UnaryOp,
};

/// A comprehension read as `Σ over k of lhs · rhs`, times a coefficient.
#[derive(Clone, PartialEq, Debug)]
pub struct Product {
    /// Free indices of both factors.
    pub batch: Vec<IndexId>,
    /// Free indices of the left factor only (and those of neither).
    pub m: Vec<IndexId>,
    /// Free indices of the right factor only.
    pub n: Vec<IndexId>,
    /// The reduced indices.
    pub k: Vec<IndexId>,
    /// The left factor.
    pub lhs: Expr,
    /// The right factor.
    pub rhs: Expr,
    /// Factors without indices, still to be multiplied.
    pub coefficients: Vec<Expr>,
    /// The dtype of the factors, in which they are multiplied.
    pub dtype: DType,
}

/// More factors than this are left to the nest; rewriting has split longer products already.
const MAX_FACTORS: usize = 6;

/// The reduced indices, in the order in which the left factor is subscripted with them: then they lie in memory as one,
/// in whatever order the source names them.
fn summed(c: &Comprehension, lhs: &Expr) -> Vec<IndexId> {
    let mut subscripts = Vec::new();
    lhs.walk(&mut |e| {
        if let Expr::Index(index) = e {
            subscripts.push(*index);
        }
    });
    let mut k: Vec<IndexId> = c.reduced_indices().collect();
    k.sort_by_key(|index| subscripts.iter().position(|i| i == index));
    k
}

/// Reads a comprehension as a product, if it is one that a matrix kernel computes well.
pub fn classify(program: &Program, c: &Comprehension) -> Option<Product> {
    if c.reducer != Reducer::Sum || c.store.is_some() {
        return None;
    }
    let dtype = program.dtype_of(&c.body);
    if !dtype.is_float() {
        return None;
    }
    let (factors, coefficients) = split(program, c);
    if factors.len() < 2 || factors.len() > MAX_FACTORS {
        return None;
    }
    let (left, right) = halves(program, c, &factors);
    let product = |side: &[Expr]| {
        let mut all = side.iter().cloned();
        let first = all.next().expect("each half has a factor");
        all.fold(first, |a, b| Expr::binary(BinaryOp::Mul, a, b))
    };
    let (lhs, rhs) = (product(&left), product(&right));
    let group = |l: bool, r: bool| -> Vec<IndexId> {
        c.free_indices().filter(|i| lhs.mentions(*i) == l && rhs.mentions(*i) == r).collect()
    };
    let mut m = group(true, false);
    m.extend(group(false, false));
    m.sort();
    let (batch, n) = (group(true, true), group(false, true));
    if m.is_empty() && n.is_empty() {
        return None;
    }
    let k = summed(c, &lhs);
    let (lhs, rhs) = match &c.guard {
        None => (lhs, rhs),
        Some(guard) => {
            // Only where both factors can be masked: one zero times the other's NaN is not zero. A masked
            // factor is evaluated all the same, so that its loads must be in range.
            let both = [&lhs, &rhs];
            if !inline::in_range_everywhere(both.into_iter())
                || m.iter().chain(&n).any(|i| guard.mentions(*i))
            {
                return None;
            }
            let mask = |e: Expr| Expr::select(guard.clone(), e, inline::zero(dtype));
            (mask(lhs), mask(rhs))
        }
    };
    Some(Product { batch, m, n, k, lhs, rhs, coefficients, dtype })
}

/// As [`classify`], of a comprehension whose guard may exclude whole sums: then the product has all of them, and the guard
/// is told, where the sum is not 0.
pub fn excluding(program: &Program, c: &Comprehension) -> Option<(Product, Option<Expr>)> {
    let guard = c.guard.clone().filter(|g| !c.reduced_indices().any(|i| g.mentions(i)));
    if guard.is_none() {
        return Some((classify(program, c)?, None));
    }
    let product = classify(program, &Comprehension { guard: None, ..c.clone() })?;
    // Factors are evaluated where the guard is false, too.
    let anywhere = inline::in_range_everywhere([&product.lhs, &product.rhs].into_iter());
    anywhere.then_some((product, guard))
}

/// The factors of the body that have indices, and those that have none.
pub fn split(program: &Program, c: &Comprehension) -> (Vec<Expr>, Vec<Expr>) {
    let mut factors = Vec::new();
    let mut coefficients = Vec::new();
    let mut rest = vec![&c.body];
    while let Some(e) = rest.pop() {
        match e {
            Expr::Binary(BinaryOp::Mul, a, b) => rest.extend([&**b, &**a]),
            Expr::Unary(UnaryOp::Neg, a) => {
                let minus = Expr::Literal(Literal::Float(program.dtype_of(a), -1.0));
                coefficients.push(minus);
                rest.push(a);
            }
            e if c.indices.ids().any(|i| e.mentions(i)) => factors.push(e.clone()),
            e => coefficients.push(e.clone()),
        }
    }
    (factors, coefficients)
}

/// Splits factors into two products such that the packed operands are smallest.
fn halves(program: &Program, c: &Comprehension, factors: &[Expr]) -> (Vec<Expr>, Vec<Expr>) {
    let size = |side: &[Expr]| -> u128 {
        let used = c.indices.iter().filter(|(i, _)| side.iter().any(|e| e.mentions(*i)));
        used.map(|(_, index)| u128::from(program.dims[index.dim].extent)).product()
    };
    let choices = 1..(1u32 << (factors.len() - 1));
    let side = |mask: u32, of: bool| -> Vec<Expr> {
        let numbered = factors.iter().enumerate();
        numbered.filter(|(i, _)| ((mask >> i & 1) == 1) == of).map(|(_, e)| e.clone()).collect()
    };
    // The last factor is always in the right half: a mask and its complement are the same split.
    let best = choices
        .map(|mask| (side(mask, true), side(mask, false)))
        .min_by_key(|(l, r)| size(l).saturating_add(size(r)));
    best.expect("two factors or more have a split")
}
