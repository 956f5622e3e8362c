//! One comprehension as part of a match.

use super::{CONTEXT, LSE, Match, Rows, TOP, TOTAL, further, mean, row_result};
use crate::contraction;
use crate::usage::Usage;
use einmesh_ir::{
    BinaryOp, Bounds, Comprehension, Expr, Index, IndexId, Reducer, UnaryOp, ValueId,
};

/// What a value is to a match. `order` has the product's index of each of its dims.
#[derive(Clone, PartialEq, Debug)]
pub enum Known {
    /// A function of the product at the same point.
    Score {
        /// Per dim.
        order: Vec<IndexId>,
        /// The function.
        score: Expr,
    },
    /// The exponential of the score minus [`TOP`], or minus [`LSE`] if `normalised`.
    Weight {
        /// Per dim.
        order: Vec<IndexId>,
        /// As above.
        normalised: bool,
        /// Whether it is 0 where the guard is false.
        guarded: bool,
    },
    /// One of [`TOP`], [`TOTAL`] and [`LSE`].
    Row {
        /// Per dim.
        order: Vec<IndexId>,
        /// It.
        value: Expr,
    },
    /// The weighted sum.
    Context {
        /// Per dim, the context's own indices included.
        order: Vec<IndexId>,
        /// It, normalised if its weights are.
        value: Expr,
    },
}

impl Known {
    /// Whether it has all the product's points.
    pub fn has_all_points(&self) -> bool {
        matches!(self, Known::Score { .. } | Known::Weight { .. })
    }

    /// The product's index of each dim.
    pub fn order(&self) -> &[IndexId] {
        match self {
            Known::Score { order, .. }
            | Known::Weight { order, .. }
            | Known::Row { order, .. }
            | Known::Context { order, .. } => order,
        }
    }
}

/// A comprehension's indices in the product's coordinates.
pub struct Places(pub Vec<Option<IndexId>>);

impl Match<'_> {
    /// Takes in a comprehension that reads values with the product's points.
    pub(super) fn member(&mut self, c: &Comprehension) -> Option<()> {
        if c.store.is_some() {
            return None;
        }
        let places = self.places(c)?;
        let guard = match &c.guard {
            Some(guard) => Some(self.apart(guard, &places)?),
            None => None,
        };
        let order = || -> Option<Vec<IndexId>> {
            c.free_indices().map(|i| places.0[i.0 as usize]).collect()
        };
        let reduced: Vec<IndexId> = c.reduced_indices().collect();
        let known = match (c.reducer, &reduced[..]) {
            (Reducer::None, []) => self.elementwise(c, &places, guard, order()?)?,
            (Reducer::Max | Reducer::LogSumExp, [n]) => {
                let n = places.0[n.0 as usize]?;
                let score = self.score(&c.body, &places)?;
                self.reduces(Rows { n, score, guard })?;
                let local = if c.reducer == Reducer::Max { TOP } else { LSE };
                Known::Row { order: order()?, value: Expr::load(local, []) }
            }
            (Reducer::Sum, [n]) => {
                let n = places.0[n.0 as usize]?;
                self.weighted(c, places, guard, n)?
            }
            _ => return None,
        };
        self.known.insert(c.out, known);
        Some(())
    }

    /// A score or a weight.
    fn elementwise(
        &self,
        c: &Comprehension,
        places: &Places,
        guard: Option<Expr>,
        order: Vec<IndexId>,
    ) -> Option<Known> {
        if let Some((normalised, guarded)) = self.weight(&c.body, places) {
            let guarded = guarded || guard.is_some();
            if guard.is_some() && !self.is_guard(guard.as_ref()) {
                return None;
            }
            return Some(Known::Weight { order, normalised, guarded });
        }
        if guard.is_some() {
            return None;
        }
        Some(Known::Score { order, score: self.score(&c.body, places)? })
    }

    /// The sum of weights, or of weights times values.
    fn weighted(
        &mut self,
        c: &Comprehension,
        mut places: Places,
        guard: Option<Expr>,
        n: IndexId,
    ) -> Option<Known> {
        let (factors, coefficients) = contraction::split(self.program, c);
        let at = factors.iter().position(|f| self.weight(f, &places).is_some())?;
        let (normalised, guarded) = self.weight(&factors[at], &places)?;
        let rows = self.rows.as_ref()?;
        // Points that the guard excludes are left out here, or have no weight.
        let excluded = rows.guard.is_none() || guarded || guard.is_some();
        if n != rows.n || !excluded || guard.is_some() && !self.is_guard(guard.as_ref()) {
            return None;
        }
        let rest: Vec<&Expr> =
            factors.iter().enumerate().filter(|(i, _)| *i != at).map(|(_, f)| f).collect();
        let rows_of = |places: &Places| -> Option<Vec<IndexId>> {
            c.free_indices().map(|i| places.0[i.0 as usize]).collect()
        };
        if rest.is_empty() && coefficients.is_empty() && !normalised {
            let order = rows_of(&places)?;
            return Some(Known::Row { order, value: Expr::load(TOTAL, []) });
        }
        if rest.is_empty() || self.value.is_some() {
            return None;
        }
        for index in c.free_indices() {
            if places.0[index.0 as usize].is_none() {
                places.0[index.0 as usize] = Some(further(self.sum, self.columns.len()));
                let Index { name, dim } = &c.indices[index];
                self.columns.push(Index { name: name.clone(), dim: *dim });
            }
        }
        let mut value: Option<Expr> = None;
        for factor in rest {
            let factor = self.apart(factor, &places)?;
            value = Some(match value {
                None => factor,
                Some(value) => Expr::binary(BinaryOp::Mul, value, factor),
            });
        }
        self.value = value;
        let order = rows_of(&places)?;
        let mut number = match normalised {
            false => Expr::load(CONTEXT, []),
            true => mean(self.wide),
        };
        for coefficient in &coefficients {
            let factor = self.widened(coefficient)?;
            number = Expr::binary(BinaryOp::Mul, number, factor);
        }
        let stored = self.narrowed(number.clone(), c.out);
        self.wide_result = Some((c.out, row_result(true, stored, c.out, &order)));
        Some(Known::Context { order, value: number })
    }

    /// Takes in the only reader of the weighted sum, if it is elementwise.
    pub(super) fn epilogue(&mut self, c: &Comprehension, usage: &Usage) -> bool {
        let Some((context, _)) = self.wide_result.clone() else { return false };
        let uses = usage.get(context);
        let alone = uses.comprehensions == 1 && uses.other == 0 && c.loaded().contains(&context);
        let elementwise = c.reducer == Reducer::None && c.store.is_none() && c.guard.is_none();
        if !alone
            || !elementwise
            || !matches!(self.known.get(&context), Some(Known::Context { .. }))
        {
            return false;
        }
        let result = (|| {
            let places = self.places_of(c, |known| matches!(known, Known::Context { .. }))?;
            let order: Option<Vec<IndexId>> = places.0.iter().copied().collect();
            let order = order?;
            if order.len() != self.known[&context].order().len() {
                return None;
            }
            let body = self.translated(c.body.clone(), &places, |known, of| match known {
                Known::Row { value, .. } | Known::Context { value, .. } => {
                    Some(self.narrowed(value.clone(), of))
                }
                Known::Score { .. } | Known::Weight { .. } => None,
            })?;
            Some((c.out, row_result(true, body, c.out, &order)))
        })();
        match result {
            Some(result) => {
                self.wide_result = Some(result);
                true
            }
            None => false,
        }
    }

    /// Where a comprehension's indices are, told by its loads of values with all points.
    pub(super) fn places(&self, c: &Comprehension) -> Option<Places> {
        self.places_of(c, Known::has_all_points)
    }

    fn places_of(&self, c: &Comprehension, tells: impl Fn(&Known) -> bool) -> Option<Places> {
        let mut places = Places(vec![None; c.indices.len()]);
        for load in c.exprs().flat_map(Expr::loads) {
            let Some(known) = self.known.get(&load.value).filter(|k| tells(k)) else { continue };
            for (sub, place) in load.subs.iter().zip(known.order()) {
                let Expr::Index(index) = sub else { return None };
                let slot = &mut places.0[index.0 as usize];
                if slot.is_some_and(|p| p != *place)
                    || self.extent(*place) != self.extent_in(c, *index)
                {
                    return None;
                }
                *slot = Some(*place);
            }
        }
        let mut seen: Vec<IndexId> = places.0.iter().flatten().copied().collect();
        let all = seen.len();
        seen.sort();
        seen.dedup();
        (seen.len() == all).then_some(places)
    }

    fn extent(&self, place: IndexId) -> u64 {
        let own = self.sum.indices.len();
        let index = match place.0 as usize {
            i if i < own => &self.sum.indices[place],
            i => &self.columns[i - own],
        };
        self.program.dims[index.dim].extent
    }

    fn extent_in(&self, c: &Comprehension, index: IndexId) -> u64 {
        self.program.dims[c.indices[index].dim].extent
    }

    /// An expression in the product's coordinates, with what the match computes in place of loads, as `number`
    /// says; `None` if it reads what that has no number for, or reads it elsewhere than at its own point.
    fn translated(
        &self,
        expr: Expr,
        places: &Places,
        number: impl Fn(&Known, ValueId) -> Option<Expr>,
    ) -> Option<Expr> {
        let mut fits = true;
        let expr = expr.map(&mut |e| match e {
            Expr::Index(i) => match places.0[i.0 as usize] {
                Some(place) => Expr::Index(place),
                None => {
                    fits = false;
                    Expr::Index(i)
                }
            },
            Expr::Load(load) => match self.known.get(&load.value) {
                None => Expr::Load(load),
                Some(known) => {
                    let order = known.order().iter().map(|i| Expr::Index(*i));
                    let here = load.bounds == Bounds::Proven && load.subs.iter().cloned().eq(order);
                    match number(known, load.value).filter(|_| here) {
                        Some(number) => number,
                        None => {
                            fits = false;
                            Expr::Load(load)
                        }
                    }
                }
            },
            other => other,
        });
        fits.then_some(expr)
    }

    /// An expression that reads nothing the match computes.
    pub(super) fn apart(&self, expr: &Expr, places: &Places) -> Option<Expr> {
        self.translated(expr.clone(), places, |_, _| None)
    }

    /// An expression in the accumulator's precision, of scores and rows.
    fn wide(&self, expr: &Expr, places: &Places) -> Option<Expr> {
        self.translated(self.widened(expr)?, places, |known, _| match known {
            Known::Score { score, .. } => Some(score.clone()),
            Known::Row { value, .. } => Some(value.clone()),
            Known::Weight { .. } | Known::Context { .. } => None,
        })
    }

    /// A score: an expression of the product at the same point, and of nothing else that the match computes.
    fn score(&self, body: &Expr, places: &Places) -> Option<Expr> {
        let only_scores = body
            .loads()
            .iter()
            .all(|l| matches!(self.known.get(&l.value), None | Some(Known::Score { .. })));
        match only_scores {
            true => self.wide(body, places),
            false => None,
        }
    }

    /// Notes what is reduced, or checks that it is the same.
    fn reduces(&mut self, rows: Rows) -> Option<()> {
        let Some(before) = &self.rows else {
            self.rows = Some(rows);
            return Some(());
        };
        let same = before.n == rows.n
            && alike(&before.score, &rows.score)
            && self.is_guard(rows.guard.as_ref());
        same.then_some(())
    }

    pub(super) fn is_guard(&self, guard: Option<&Expr>) -> bool {
        let ours = self.rows.as_ref().map(|r| conjuncts(r.guard.as_ref()));
        ours.is_some_and(|ours| {
            let theirs = conjuncts(guard);
            ours.len() == theirs.len() && theirs.iter().all(|c| ours.contains(c))
        })
    }

    /// Whether an expression is a weight: if so, whether it is normalised and whether it is 0 where the
    /// guard is false.
    fn weight(&self, expr: &Expr, places: &Places) -> Option<(bool, bool)> {
        let rows = self.rows.as_ref()?;
        let float = |e: &Expr| {
            let dtype = self.program.dtype_of(e);
            dtype.is_float() && dtype.accumulator() == self.wide
        };
        match expr {
            Expr::Cast(_, inner) if float(expr) && float(inner) => self.weight(inner, places),
            Expr::Select(guard, inner, zero) if is_zero(zero) => {
                let guard = self.apart(guard, places)?;
                let (normalised, _) = self.weight(inner, places)?;
                self.is_guard(Some(&guard)).then_some((normalised, true))
            }
            Expr::Load(load) => match self.known.get(&load.value)? {
                Known::Weight { order, normalised, guarded } => {
                    let at = load.subs.iter().map(|s| match s {
                        Expr::Index(i) => places.0[i.0 as usize],
                        _ => None,
                    });
                    at.eq(order.iter().map(|i| Some(*i))).then_some((*normalised, *guarded))
                }
                _ => None,
            },
            Expr::Binary(BinaryOp::Div, e, total) => {
                let (normalised, guarded) = self.weight(e, places)?;
                let total = self.wide(total, places)?;
                (!normalised && total == Expr::load(TOTAL, [])).then_some((true, guarded))
            }
            Expr::Unary(UnaryOp::Exp, exponent) => {
                let exponent = self.wide(exponent, places)?;
                let mut terms = terms(&exponent);
                let is_row = |t: &(bool, Expr)| {
                    !t.0 && (t.1 == Expr::load(TOP, []) || t.1 == Expr::load(LSE, []))
                };
                let at = terms.iter().position(is_row)?;
                let normalised = terms.remove(at).1 == Expr::load(LSE, []);
                same_terms(terms, &rows.score).then_some((normalised, false))
            }
            _ => None,
        }
    }
}

/// Whether an expression is the constant 0 of a float type.
pub fn is_zero(expr: &Expr) -> bool {
    matches!(expr, Expr::Literal(l) if match l {
        einmesh_ir::Literal::Float(_, x) => *x == 0.0,
        _ => false,
    })
}

/// The conditions of a guard, all of which must hold.
pub fn conjuncts(guard: Option<&Expr>) -> Vec<&Expr> {
    match guard {
        None => vec![],
        Some(Expr::Binary(BinaryOp::And, a, b)) => {
            [conjuncts(Some(a)), conjuncts(Some(b))].concat()
        }
        Some(other) => vec![other],
    }
}

/// The terms of a sum, and whether each is added.
fn terms(expr: &Expr) -> Vec<(bool, Expr)> {
    let negated = |terms: Vec<(bool, Expr)>| terms.into_iter().map(|(plus, e)| (!plus, e));
    match expr {
        Expr::Binary(BinaryOp::Add, a, b) => [terms(a), terms(b)].concat(),
        Expr::Binary(BinaryOp::Sub, a, b) => {
            terms(a).into_iter().chain(negated(terms(b))).collect()
        }
        Expr::Unary(UnaryOp::Neg, a) => negated(terms(a)).collect(),
        other => vec![(true, other.clone())],
    }
}

/// Whether two sums have the same terms, in any order.
fn alike(a: &Expr, b: &Expr) -> bool {
    same_terms(terms(a), b)
}

fn same_terms(mut found: Vec<(bool, Expr)>, score: &Expr) -> bool {
    for term in terms(score) {
        match found.iter().position(|t| *t == term) {
            Some(at) => found.remove(at),
            None => return false,
        };
    }
    found.is_empty()
}
