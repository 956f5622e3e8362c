//! Sums over a softmax's rows of weights times another product, as its gradient has them: with the weighted sum of that
//! product's factor, which attention computes anyway, they need no points (Dao et al. 2022, appendix B.4):
//!
//! ```text
//! Σn w · (Σv l · r) = Σv l · (Σn w · r)
//! ```

use super::member::{Known, Places, conjuncts};
use super::{Match, TOTAL, oriented};
use crate::contraction::{self, Product};
use crate::inline;
use crate::usage::distinct_indices;
use einmesh_ir::{
    Arena, BinaryOp, Bounds, Comprehension, Expr, Id, Index, IndexId, Literal, Load, Op, Program,
    Reducer, UnaryOp, Value, ValueId,
};

/// What stands for such a sum.
pub struct Delta {
    /// The weighted sum `Σn w · r`, if no comprehension is it.
    pub context: Option<Comprehension>,
    /// `Σv l · context`.
    pub sum: Comprehension,
    /// Its product with what does not depend on n.
    pub result: Comprehension,
}

/// Another product that is read at a row's points.
struct Other<'a> {
    c: &'a Comprehension,
    /// The comprehension's index for each free index of the product.
    at: Vec<IndexId>,
    /// The factor that does not depend on n.
    l: Expr,
    /// The factor that does.
    r: Expr,
    coefficients: Vec<Expr>,
}

/// A comprehension without points, if it is such a sum.
pub fn rewrite(
    softmax: &Match<'_>,
    product: &Product,
    program: &mut Program,
    ops: &[Op],
    c: &Comprehension,
) -> Option<Delta> {
    let rows = softmax.rows.as_ref()?;
    let places = softmax.places(c)?;
    let n = match c.reduced_indices().collect::<Vec<_>>()[..] {
        [n] if places.0[n.index()] == Some(rows.n) => n,
        _ => return None,
    };
    if c.reducer != Reducer::Sum || c.store.is_some() || places.0.contains(&None) {
        return None;
    }
    let guarded_here = match &c.guard {
        Some(guard) => softmax.is_guard(Some(&softmax.apart(guard, &places)?)),
        None => false,
    };
    let (mut over, mut under) = (Vec::new(), Vec::new());
    factors(program, inside(c), &mut over, &mut under);
    let own = over.iter().position(|f| weight(softmax, f).is_some())?;
    let (w, Known::Weight { normalised, guarded, .. }) = weight(softmax, &over[own])? else {
        return None;
    };
    let (normalised, w) = (*normalised, w.clone());
    if c.guard.is_some() != guarded_here || !(guarded_here || *guarded || rows.guard.is_none()) {
        return None;
    }
    over.remove(own);
    let (at, other) = over
        .iter()
        .enumerate()
        .find_map(|(at, f)| Some((at, read(softmax, program, ops, c, n, f)?)))?;
    over.remove(at);
    over.extend(other.coefficients.iter().cloned());
    let m = oriented(product.clone(), rows.n)?.m;
    let of_row = |i: IndexId| {
        let place = other.at.get(i.index()).and_then(|own| places.0[own.index()]);
        place.is_some_and(|p| m.contains(&p))
    };
    let points_left = |e: &Expr| {
        e.mentions(n)
            || e.loads()
                .iter()
                .any(|l| softmax.known.get(&l.value).is_some_and(|k| k.has_all_points()))
    };
    let r_of_row = other.c.indices.ids().any(|i| of_row(i) && other.r.mentions(i));
    if r_of_row || over.iter().chain(&under).any(points_left) {
        return None;
    }

    // The rows' indices are the comprehension's, those of the other product's sum follow.
    let rank = c.free;
    let moved = |i: IndexId| match other.at.get(i.index()) {
        Some(own) => *own,
        None => IndexId::from_index(rank + i.index() - other.at.len()),
    };
    let summed: Vec<Index> =
        other.c.reduced_indices().map(|i| other.c.indices[i].clone()).collect();
    let found = ops.iter().find_map(|op| match op {
        Op::Compute(o) => context(softmax, program, &places, &other, o),
        _ => None,
    });
    let (made, load, is_normalised) = match found {
        Some(Found { out, subs, normalised }) => {
            let subs: Vec<Expr> = subs.into_iter().map(|i| Expr::Index(moved(i))).collect();
            (None, Expr::load(out, subs), normalised)
        }
        None if softmax.value.is_none() && (*guarded || rows.guard.is_none()) => {
            let made = weighted(program, c, n, &w, &other, &summed)?;
            let subs = (0..made.free).map(|i| Expr::Index(IndexId::from_index(i)));
            let load = Expr::load(made.out, subs.collect::<Vec<_>>());
            (Some(made), load, normalised)
        }
        None => return None,
    };
    if is_normalised != normalised {
        let total = total(softmax, c, &places)?;
        if is_normalised { &mut over } else { &mut under }.push(total);
    }

    let dtype = program.dtype_of(&c.body);
    let as_body = |program: &Program, e: Expr| match program.dtype_of(&e) {
        own if own == dtype => e,
        _ => Expr::cast(dtype, e),
    };
    let times = |a: Expr, b: Expr| Expr::binary(BinaryOp::Mul, a, b);
    let l = other.l.clone().map(&mut |e| match e {
        Expr::Index(i) => Expr::Index(moved(i)),
        other => other,
    });
    let own: Vec<Index> = c.free_indices().map(|i| c.indices[i].clone()).collect();
    let body = times(as_body(program, l), as_body(program, load));
    let out = program.values.push(program.values[c.out].clone());
    let sum = Comprehension {
        out,
        indices: own.iter().chain(&summed).cloned().collect(),
        free: rank,
        reducer: Reducer::Sum,
        guard: None,
        body,
        store: None,
    };
    let here: Vec<Expr> = c.free_indices().map(Expr::Index).collect();
    let mut number = as_body(program, Expr::load(out, here));
    for factor in over {
        number = times(number, as_body(program, factor));
    }
    for divisor in under {
        // Nothing is summed in a row without points, whose total is 0.
        let divisor = as_body(program, divisor);
        let zero = inline::zero(dtype);
        let empty = Expr::binary(BinaryOp::Eq, divisor.clone(), zero.clone());
        let quotient = Expr::binary(BinaryOp::Div, number, divisor);
        number = Expr::select(empty, zero, quotient);
    }
    let result = Comprehension {
        out: c.out,
        indices: own.into_iter().collect::<Arena<IndexId, Index>>(),
        free: rank,
        reducer: Reducer::None,
        guard: None,
        body: number,
        store: None,
    };
    Some(Delta { context: made, sum, result })
}

/// A comprehension's body where its guard holds.
fn inside(c: &Comprehension) -> Expr {
    let guard = conjuncts(c.guard.as_ref());
    c.body.clone().map(&mut |e| match e {
        Expr::Select(condition, then, otherwise) => {
            match conjuncts(Some(&condition)).iter().all(|c| guard.contains(c)) {
                true => *then,
                false => Expr::Select(condition, then, otherwise),
            }
        }
        other => other,
    })
}

/// The factors of a number, and what it is divided by; conversions between floats do not count.
fn factors(program: &Program, expr: Expr, over: &mut Vec<Expr>, under: &mut Vec<Expr>) {
    match expr {
        Expr::Binary(BinaryOp::Mul, a, b) => {
            factors(program, *a, over, under);
            factors(program, *b, over, under);
        }
        Expr::Binary(BinaryOp::Div, a, b) => {
            factors(program, *a, over, under);
            factors(program, *b, under, over);
        }
        Expr::Unary(UnaryOp::Neg, a) => {
            over.push(Expr::Literal(Literal::Float(program.dtype_of(&a), -1.0)));
            factors(program, *a, over, under);
        }
        Expr::Cast(_, a) if program.dtype_of(&a).is_float() => factors(program, *a, over, under),
        other => over.push(other),
    }
}

/// The load of a weight that an expression is.
fn weight<'e, 'm>(softmax: &'m Match<'_>, expr: &'e Expr) -> Option<(&'e Load, &'m Known)> {
    match expr {
        Expr::Load(load) => {
            let known = softmax.known.get(&load.value)?;
            matches!(known, Known::Weight { .. }).then_some((load, known))
        }
        _ => None,
    }
}

/// The other product, if an expression is its load at the points.
fn read<'a>(
    softmax: &Match<'_>,
    program: &Program,
    ops: &'a [Op],
    c: &Comprehension,
    n: IndexId,
    expr: &Expr,
) -> Option<Other<'a>> {
    let Expr::Load(load) = expr else { return None };
    let at = distinct_indices(load)?;
    if softmax.known.contains_key(&load.value) || at.len() != c.indices.len() {
        return None;
    }
    let extents = at.iter().map(|i| program.dims[c.indices[*i].dim].extent);
    if load.bounds != Bounds::Proven || !extents.eq(program.extents(load.value)) {
        return None;
    }
    let of = ops.iter().find_map(|op| match op {
        Op::Compute(of) if of.out == load.value => Some(of),
        _ => None,
    })?;
    let (product, guard) = contraction::excluding(program, of)?;
    if let Some(guard) = guard {
        // Where it excludes sums, the softmax has no points.
        let here = guard.map(&mut |e| match e {
            Expr::Index(i) => Expr::Index(at[i.index()]),
            other => other,
        });
        let places = softmax.places(c)?;
        if !softmax.is_guard(Some(&softmax.apart(&here, &places)?)) {
            return None;
        }
    }
    let along = IndexId::from_index(at.iter().position(|i| *i == n)?);
    let (l, r) = match product.lhs.mentions(along) {
        true => (product.rhs, product.lhs),
        false => (product.lhs, product.rhs),
    };
    let fits = !l.mentions(along) && r.mentions(along);
    fits.then_some(Other { c: of, at, l, r, coefficients: product.coefficients })
}

/// A comprehension that is the weighted sum.
struct Found {
    out: ValueId,
    /// The other product's index of each dim.
    subs: Vec<IndexId>,
    normalised: bool,
}

/// Whether a comprehension is `Σn w · r`, with any weight of the softmax.
fn context(
    softmax: &Match<'_>,
    program: &Program,
    places: &Places,
    other: &Other<'_>,
    o: &Comprehension,
) -> Option<Found> {
    let Some(Known::Context { .. }) = softmax.known.get(&o.out) else { return None };
    let (factors, coefficients) = contraction::split(program, o);
    let (w, r) = match &factors[..] {
        [a, b] if weight(softmax, a).is_some() => (a, b),
        [a, b] if weight(softmax, b).is_some() => (b, a),
        _ => return None,
    };
    let (_, Known::Weight { normalised, .. }) = weight(softmax, w)? else { return None };
    if !coefficients.is_empty() {
        return None;
    }
    // Its indices as those of the other product, by way of the points.
    let mut map: Vec<Option<IndexId>> = softmax
        .places(o)?
        .0
        .iter()
        .map(|place| {
            let own = places.0.iter().position(|p| p == place && p.is_some())?;
            let at = other.at.iter().position(|i| i.index() == own)?;
            Some(IndexId::from_index(at))
        })
        .collect();
    if !same(r, &other.r, &mut map) {
        return None;
    }
    let subs: Vec<IndexId> = o.free_indices().map(|i| map[i.index()]).collect::<Option<_>>()?;
    let all = other.c.reduced_indices().all(|i| subs.contains(&i));
    let count = subs.len() + 1 == other.c.indices.len();
    (all && count).then_some(Found { out: o.out, subs, normalised: *normalised })
}

/// Whether expressions are the same with the first one's indices renamed; finds out how.
fn same(a: &Expr, b: &Expr, map: &mut Vec<Option<IndexId>>) -> bool {
    let mut all = |a: &[Expr], b: &[Expr]| {
        a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b, map))
    };
    match (a, b) {
        (Expr::Index(a), Expr::Index(b)) => match map[a.index()] {
            Some(known) => known == *b,
            None if map.contains(&Some(*b)) => false,
            None => {
                map[a.index()] = Some(*b);
                true
            }
        },
        (Expr::Load(a), Expr::Load(b)) => {
            let plain = a.bounds == Bounds::Proven && b.bounds == Bounds::Proven;
            plain && a.value == b.value && all(&a.subs, &b.subs)
        }
        (Expr::Unary(x, a), Expr::Unary(y, b)) => x == y && same(a, b, map),
        (Expr::Cast(x, a), Expr::Cast(y, b)) => x == y && same(a, b, map),
        (Expr::Binary(x, a, c), Expr::Binary(y, b, d)) => {
            x == y && same(a, b, map) && same(c, d, map)
        }
        (Expr::Literal(_) | Expr::LoopVar(_) | Expr::Coord(_), _) => a == b,
        _ => false,
    }
}

/// `Σn w · r`, as a comprehension of its own.
fn weighted(
    program: &mut Program,
    c: &Comprehension,
    n: IndexId,
    w: &Load,
    other: &Other<'_>,
    summed: &[Index],
) -> Option<Comprehension> {
    let last = IndexId::from_index(c.free + summed.len());
    let moved = |i: IndexId| match other.at.get(i.index()) {
        Some(own) if *own == n => last,
        Some(own) => *own,
        None => IndexId::from_index(c.free + i.index() - other.at.len()),
    };
    let r = other.r.clone().map(&mut |e| match e {
        Expr::Index(i) => Expr::Index(moved(i)),
        other => other,
    });
    let w = Expr::Load(w.clone()).map(&mut |e| match e {
        Expr::Index(i) if i == n => Expr::Index(last),
        other => other,
    });
    let own = c.free_indices().map(|i| c.indices[i].clone());
    let indices: Vec<Index> =
        own.chain(summed.iter().cloned()).chain([c.indices[n].clone()]).collect();
    let dims: Vec<_> = indices[..last.index()].iter().map(|i| i.dim).collect();
    let distinct = dims.iter().enumerate().all(|(at, d)| !dims[..at].contains(d));
    if !distinct || program.dtype_of(&r) != program.dtype_of(&w) {
        return None;
    }
    let Value { name, dtype, origin, .. } = program.values[c.out].clone();
    let out = program.values.push(Value { name, dtype, dims, origin });
    Some(Comprehension {
        out,
        indices: indices.into_iter().collect(),
        free: last.index(),
        reducer: Reducer::Sum,
        guard: None,
        body: Expr::binary(BinaryOp::Mul, w, r),
        store: None,
    })
}

/// The load of a row's sum of exponentials.
fn total(softmax: &Match<'_>, c: &Comprehension, places: &Places) -> Option<Expr> {
    softmax.known.iter().find_map(|(value, known)| match known {
        Known::Row { order, value: number } if *number == Expr::load(TOTAL, []) => {
            let sub = |place: &IndexId| {
                let own = c.free_indices().find(|i| places.0[i.index()] == Some(*place))?;
                Some(Expr::Index(own))
            };
            let subs: Option<Vec<Expr>> = order.iter().map(sub).collect();
            Some(Expr::load(*value, subs?))
        }
        _ => None,
    })
}
