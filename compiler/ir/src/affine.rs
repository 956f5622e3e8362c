//! Affine forms of integer expressions: a constant plus a sum of coefficient · atom.
//!
//! Subscripts are mostly affine; their ranges prove loads in bounds, and their coefficients are
//! what sharding rules and strides are derived from.

use crate::arena::Arena;
use crate::dtype::DType;
use crate::expr::{BinaryOp, Expr, IndexId, Literal, UnaryOp};
use crate::mesh::{Mesh, MeshAxisId};
use crate::program::{Comprehension, DimId, Index, LoopVarId, Program};
use std::ops::RangeInclusive;

/// A variable of an affine form; each takes the values from 0 to its extent − 1.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Atom {
    /// An index of the comprehension.
    Index(IndexId),
    /// The counter of an enclosing loop.
    LoopVar(LoopVarId),
    /// This device's coordinate on a mesh axis.
    Coord(MeshAxisId),
}

/// `constant + Σ coefficient · atom`, over the integers.
///
/// The form does not wrap. It equals the expression it was made from as long as no partial result
/// leaves the expression's dtype, which [`Affine::range`] lets a caller check.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Affine {
    /// The value when every atom is 0.
    pub constant: i64,
    /// The terms, by ascending atom; no atom occurs twice and no coefficient is 0.
    terms: Vec<(Atom, i64)>,
}

/// Where the extents of atoms are found.
#[derive(Clone, Copy, Debug)]
pub struct Scope<'a> {
    program: &'a Program,
    indices: &'a Arena<IndexId, Index>,
    mesh: Option<&'a Mesh>,
}

impl<'a> Scope<'a> {
    /// The atoms of a comprehension in a program.
    pub fn new(program: &'a Program, comprehension: &'a Comprehension) -> Scope<'a> {
        Scope { program, indices: &comprehension.indices, mesh: None }
    }

    /// Also knows coordinates on a mesh.
    pub fn with_mesh(self, mesh: &'a Mesh) -> Scope<'a> {
        let mesh = Some(mesh);
        Scope { mesh, ..self }
    }

    /// The number of values an atom takes, at most if it counts a symbolic dim, or `None` if it is not of this scope.
    pub fn extent(&self, atom: Atom) -> Option<u64> {
        let dim = match atom {
            Atom::Index(index) => self.indices.get(index)?.dim,
            Atom::LoopVar(var) => self.program.loop_vars.get(var)?.dim,
            Atom::Coord(axis) => return Some(self.mesh?.axes.get(axis)?.size),
        };
        let dim = self.program.dims.get(dim)?;
        Some(if dim.symbolic { i32::MAX as u64 } else { dim.extent })
    }

    /// Whether an index is at a position of a dim at every point, however many positions that has.
    pub fn is_position(&self, index: IndexId, of: DimId) -> bool {
        let Some(index) = self.indices.get(index) else { return false };
        let dims = &self.program.dims;
        let roles = std::iter::successors(Some(index.dim), |dim| dims.get(*dim)?.role_of);
        roles.take(dims.len()).any(|dim| dim == of)
    }
}

impl Atom {
    /// The atom as an expression.
    pub fn to_expr(self) -> Expr {
        match self {
            Atom::Index(index) => Expr::Index(index),
            Atom::LoopVar(var) => Expr::LoopVar(var),
            Atom::Coord(axis) => Expr::Coord(axis),
        }
    }
}

impl From<Atom> for Affine {
    fn from(atom: Atom) -> Affine {
        Affine { constant: 0, terms: vec![(atom, 1)] }
    }
}

impl Affine {
    /// The form without atoms.
    pub fn constant(value: i64) -> Affine {
        Affine { constant: value, terms: Vec::new() }
    }

    /// The affine form of an integer expression; `None` if it has none (a load, a product of atoms,
    /// a division …) or a coefficient does not fit 64 bits.
    pub fn of(expr: &Expr) -> Option<Affine> {
        match expr {
            Expr::Literal(Literal::Int(dtype, value)) if dtype.is_int() => {
                Some(Affine::constant(*value))
            }
            Expr::Index(index) => Some(Atom::Index(*index).into()),
            Expr::LoopVar(var) => Some(Atom::LoopVar(*var).into()),
            Expr::Coord(axis) => Some(Atom::Coord(*axis).into()),
            Expr::Unary(UnaryOp::Neg, a) => Affine::of(a)?.scale(-1),
            Expr::Binary(BinaryOp::Add, a, b) => Affine::of(a)?.add(&Affine::of(b)?),
            Expr::Binary(BinaryOp::Sub, a, b) => Affine::of(a)?.sub(&Affine::of(b)?),
            Expr::Binary(BinaryOp::Mul, a, b) => {
                let (a, b) = (Affine::of(a)?, Affine::of(b)?);
                match (a.as_constant(), b.as_constant()) {
                    (_, Some(factor)) => a.scale(factor),
                    (Some(factor), _) => b.scale(factor),
                    _ => None,
                }
            }
            Expr::Cast(dtype, a) if dtype.is_int() => Affine::of(a),
            _ => None,
        }
    }

    /// The terms, by ascending atom, without zero coefficients.
    pub fn terms(&self) -> &[(Atom, i64)] {
        &self.terms
    }

    /// The coefficient of an atom; 0 if it does not occur.
    pub fn coefficient(&self, atom: Atom) -> i64 {
        let found = self.terms.binary_search_by_key(&atom, |(a, _)| *a);
        found.map_or(0, |at| self.terms[at].1)
    }

    /// The value, if there are no atoms.
    pub fn as_constant(&self) -> Option<i64> {
        self.terms.is_empty().then_some(self.constant)
    }

    /// The atom, if the form is exactly that.
    pub fn as_atom(&self) -> Option<Atom> {
        match self.terms[..] {
            [(atom, 1)] if self.constant == 0 => Some(atom),
            _ => None,
        }
    }

    /// The index, if the form is exactly that: the subscript `i`.
    pub fn as_index(&self) -> Option<IndexId> {
        match self.as_atom()? {
            Atom::Index(index) => Some(index),
            _ => None,
        }
    }

    /// The sum; `None` on overflow.
    pub fn add(&self, other: &Affine) -> Option<Affine> {
        let constant = self.constant.checked_add(other.constant)?;
        let mut terms: Vec<(Atom, i64)> = Vec::with_capacity(self.terms.len() + other.terms.len());
        let (mut left, mut right) = (self.terms.iter().peekable(), other.terms.iter().peekable());
        loop {
            let next = match (left.peek(), right.peek()) {
                (Some(&&(a, x)), Some(&&(b, y))) if a == b => {
                    left.next();
                    right.next();
                    (a, x.checked_add(y)?)
                }
                (Some(&&(a, x)), other) if other.is_none_or(|&&(b, _)| a < b) => {
                    left.next();
                    (a, x)
                }
                (_, Some(&&(b, y))) => {
                    right.next();
                    (b, y)
                }
                (_, None) => return Some(Affine { constant, terms }),
            };
            if next.1 != 0 {
                terms.push(next);
            }
        }
    }

    /// The difference; `None` on overflow.
    pub fn sub(&self, other: &Affine) -> Option<Affine> {
        self.add(&other.scale(-1)?)
    }

    /// The product with a number; `None` on overflow.
    pub fn scale(&self, factor: i64) -> Option<Affine> {
        if factor == 0 {
            return Some(Affine::constant(0));
        }
        let terms: Option<Vec<(Atom, i64)>> =
            self.terms.iter().map(|(atom, c)| Some((*atom, c.checked_mul(factor)?))).collect();
        Some(Affine { constant: self.constant.checked_mul(factor)?, terms: terms? })
    }

    /// The form with `by` in the place of `atom`; `None` on overflow.
    pub fn substitute(&self, atom: Atom, by: &Affine) -> Option<Affine> {
        let factor = self.coefficient(atom);
        let mut rest = self.clone();
        rest.terms.retain(|(a, _)| *a != atom);
        rest.add(&by.scale(factor)?)
    }

    /// The value when each atom has the value that `value_of` gives it; wraps.
    pub fn evaluate(&self, mut value_of: impl FnMut(Atom) -> i64) -> i64 {
        self.terms
            .iter()
            .fold(self.constant, |sum, (atom, c)| sum.wrapping_add(c.wrapping_mul(value_of(*atom))))
    }

    /// The smallest and largest value over all positions of the atoms, saturated to 64 bits; an empty
    /// range if some atom has no position. `None` if an atom is not of the scope.
    pub fn range(&self, scope: &Scope<'_>) -> Option<RangeInclusive<i64>> {
        self.range_with(|atom| scope.extent(atom))
    }

    /// As [`Affine::range`], with the extents that `extent_of` gives.
    pub fn range_with(
        &self,
        extent_of: impl Fn(Atom) -> Option<u64>,
    ) -> Option<RangeInclusive<i64>> {
        let (mut low, mut high) = (i128::from(self.constant), i128::from(self.constant));
        for (atom, coefficient) in &self.terms {
            let Some(last) = extent_of(*atom)?.checked_sub(1) else {
                #[allow(clippy::reversed_empty_ranges)]
                return Some(0..=-1);
            };
            let reach = i128::from(*coefficient).saturating_mul(i128::from(last));
            low = low.saturating_add(reach.min(0));
            high = high.saturating_add(reach.max(0));
        }
        let saturate = |x: i128| x.clamp(i128::from(i64::MIN), i128::from(i64::MAX)) as i64;
        Some(saturate(low)..=saturate(high))
    }

    /// An expression of integer dtype `dtype` with this form: positive terms first, the constant last,
    /// no factor 1 and no addend 0.
    pub fn to_expr(&self, dtype: DType) -> Expr {
        let literal = |value: i64| Expr::Literal(Literal::Int(dtype, value));
        let term = |atom: Atom, factor: i64| {
            let atom = match dtype {
                DType::I32 => atom.to_expr(),
                _ => Expr::cast(dtype, atom.to_expr()),
            };
            match factor {
                1 => atom,
                _ => Expr::binary(BinaryOp::Mul, atom, literal(factor)),
            }
        };
        let mut sum: Option<Expr> = None;
        for (atom, c) in self.terms.iter().filter(|(_, c)| *c > 0) {
            let next = term(*atom, *c);
            sum = Some(match sum {
                Some(sum) => Expr::binary(BinaryOp::Add, sum, next),
                None => next,
            });
        }
        let leading_constant = sum.is_none() && self.constant != 0;
        if leading_constant {
            sum = Some(literal(self.constant));
        }
        for (atom, c) in self.terms.iter().filter(|(_, c)| *c < 0) {
            sum = Some(match (sum, c.checked_neg()) {
                (Some(sum), Some(size)) => Expr::binary(BinaryOp::Sub, sum, term(*atom, size)),
                (Some(sum), None) => Expr::binary(BinaryOp::Add, sum, term(*atom, *c)),
                (None, Some(1)) => Expr::unary(UnaryOp::Neg, term(*atom, 1)),
                (None, _) => term(*atom, *c),
            });
        }
        let sum = sum.unwrap_or_else(|| literal(0));
        match (leading_constant, self.constant.signum()) {
            (true, _) | (_, 0) => sum,
            (false, -1) if self.constant != i64::MIN => {
                Expr::binary(BinaryOp::Sub, sum, literal(-self.constant))
            }
            _ => Expr::binary(BinaryOp::Add, sum, literal(self.constant)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn index(i: u32) -> Expr {
        Expr::Index(IndexId(i))
    }

    fn binary(op: BinaryOp, a: Expr, b: Expr) -> Expr {
        Expr::binary(op, a, b)
    }

    #[test]
    fn collects_terms_and_drops_those_that_cancel() {
        // 2 * (i1 + 3) - i0 + i0 - (-i1)
        let double =
            binary(BinaryOp::Mul, Expr::int(2), binary(BinaryOp::Add, index(1), Expr::int(3)));
        let less = binary(BinaryOp::Sub, double, index(0));
        let again = binary(BinaryOp::Add, less, index(0));
        let expr = binary(BinaryOp::Sub, again, Expr::unary(UnaryOp::Neg, index(1)));
        let affine = Affine::of(&expr).unwrap();
        assert_eq!(affine.constant, 6);
        assert_eq!(affine.terms(), [(Atom::Index(IndexId(1)), 3)]);
        assert_eq!(affine.coefficient(Atom::Index(IndexId(0))), 0);
    }

    #[test]
    fn refuses_what_is_not_affine() {
        let square = binary(BinaryOp::Mul, index(0), index(0));
        assert_eq!(Affine::of(&square), None);
        let quotient = binary(BinaryOp::FloorDiv, index(0), Expr::int(2));
        assert_eq!(Affine::of(&quotient), None);
        assert_eq!(Affine::of(&Expr::float(DType::F32, 1.0)), None);
        let max = Expr::Literal(Literal::Int(DType::I64, i64::MAX));
        assert_eq!(Affine::of(&binary(BinaryOp::Add, max.clone(), max)), None);
    }

    #[test]
    fn ranges_span_all_positions() {
        let expr = binary(BinaryOp::Sub, index(0), binary(BinaryOp::Mul, index(1), Expr::int(2)));
        let affine = Affine::of(&expr).unwrap();
        let extents = [5, 4];
        let extent_of = |atom: Atom| match atom {
            Atom::Index(i) => extents.get(i.0 as usize).copied(),
            _ => None,
        };
        assert_eq!(affine.range_with(extent_of), Some(-6..=4));
        let empty = affine.range_with(|_| Some(0)).unwrap();
        assert!(empty.is_empty());
        assert_eq!(affine.range_with(|_| None), None);
    }

    #[test]
    fn substitution_composes() {
        let outer = Affine::of(&binary(BinaryOp::Mul, index(0), Expr::int(3))).unwrap();
        let by = Affine::of(&binary(BinaryOp::Sub, index(1), Expr::int(1))).unwrap();
        let result = outer.substitute(Atom::Index(IndexId(0)), &by).unwrap();
        assert_eq!(result.constant, -3);
        assert_eq!(result.terms(), [(Atom::Index(IndexId(1)), 3)]);
    }

    #[test]
    fn expressions_have_the_form_they_were_made_from() {
        let atoms = [Atom::Index(IndexId(0)), Atom::LoopVar(LoopVarId(1))];
        for dtype in [DType::I32, DType::I64] {
            for constant in [-3, 0, 2, i64::MIN] {
                for a in [-2, -1, 0, 1, 2] {
                    for b in [-2, -1, 0, 1, 2] {
                        let mut form = Affine::constant(constant);
                        for (atom, c) in atoms.into_iter().zip([a, b]) {
                            form = form.add(&Affine::from(atom).scale(c).unwrap()).unwrap();
                        }
                        assert_eq!(Affine::of(&form.to_expr(dtype)), Some(form));
                    }
                }
            }
        }
    }

    #[test]
    fn plain_subscripts_stay_plain() {
        let form = Affine::of(&index(4)).unwrap();
        assert_eq!(form.as_index(), Some(IndexId(4)));
        assert_eq!(form.to_expr(DType::I32), index(4));
        let previous = Affine::of(&binary(BinaryOp::Add, index(4), Expr::int(-1))).unwrap();
        assert_eq!(previous.to_expr(DType::I32), binary(BinaryOp::Sub, index(4), Expr::int(1)));
    }
}
