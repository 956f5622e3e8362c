//! Where an adjoint goes: the transpose of a load.
//!
//! `value[e₀…]` in a comprehension over the indices `i…` contributes `Σ over i… with e₀ = d₀ … of adjoint`
//! to the element `d…` of the value's adjoint. Affine subscripts with a unit coefficient are solved for
//! an index, so that the transpose of a contraction is a contraction; what follows from solved indices
//! is compared; all else is added at computed places.

use crate::Ctx;
use crate::adjoint::{Part, unused};
use crate::build::*;
use einmesh_ir::*;
use std::collections::BTreeMap;

/// What the points of a comprehension are.
pub struct Space<'c> {
    /// All indices.
    pub indices: &'c Arena<IndexId, Index>,
    /// The points that count.
    pub guard: &'c Option<Expr>,
}

/// How a position of a load is met.
enum Meets {
    /// By an index that was solved for.
    Solved,
    /// It is the same for all points.
    Fixed(Expr),
    /// By comparison.
    Compared,
}

impl Ctx<'_> {
    /// Contributes the adjoint of a load over all points of a space.
    pub fn place(&mut self, space: &Space<'_>, load: &Load, adjoint: Expr) {
        let value = load.value;
        let part = match self.solve(space, load) {
            Some((solved, meets)) => self.gathered(space, load, adjoint, solved, meets),
            None => Some(self.scattered(space, load, adjoint)),
        };
        if let Some(part) = part {
            self.contribute(value, part);
        }
    }

    /// Solves the subscripts for indices. The forms are over the indices `n + i` for the space's index
    /// `i`, and `j` for the j-th of n positions. `None` if some position depends on an index that is not
    /// solved for and is not solvable itself.
    fn solve(
        &self,
        space: &Space<'_>,
        load: &Load,
    ) -> Option<(BTreeMap<IndexId, Affine>, Vec<Meets>)> {
        let n = load.subs.len();
        let shift = |i: IndexId| IndexId::from_index(n + i.index());
        let shifted = |e: &Expr| {
            e.clone().map(&mut |e| match e {
                Expr::Index(i) => Expr::Index(shift(i)),
                other => other,
            })
        };
        let exprs: Vec<Expr> = load.subs.iter().map(shifted).collect();
        // What is clamped is affine only where nothing is to be clamped.
        let form = |at: usize| {
            let (form, inside) = self.form(space, load, at)?;
            let shifted = form.terms().iter().try_fold(
                Affine::constant(form.constant),
                |sum, (atom, c)| {
                    let atom = match atom {
                        Atom::Index(i) => Atom::Index(shift(*i)),
                        other => *other,
                    };
                    sum.add(&Affine::from(atom).scale(*c)?)
                },
            )?;
            (inside || load.bounds != Bounds::Clamp).then_some(shifted)
        };
        let mut forms: Vec<Option<Affine>> = (0..n).map(form).collect();
        let mut solved: BTreeMap<IndexId, Affine> = BTreeMap::new();
        let mut open: Vec<usize> = (0..n).collect();
        let extent = |i: IndexId| extent_of(self.program, space, i.index() - n);
        loop {
            // Plain subscripts first, then those with the fewest ways to solve them.
            let mut best: Option<(usize, usize, IndexId)> = None;
            for at in &open {
                let Some(form) = &forms[*at] else { continue };
                let candidates: Vec<IndexId> = form
                    .terms()
                    .iter()
                    .filter_map(|(atom, c)| match atom {
                        Atom::Index(i) if c.abs() == 1 && i.index() >= n => Some(*i),
                        _ => None,
                    })
                    .collect();
                // What remains is summed over: the smaller, the better.
                let Some(index) = candidates.iter().copied().max_by_key(|i| extent(*i)) else {
                    continue;
                };
                let effort = if form.as_index().is_some() { 0 } else { candidates.len() };
                if best.is_none_or(|(least, ..)| effort < least) {
                    best = Some((effort, *at, index));
                }
            }
            let Some((_, at, index)) = best else { break };
            open.retain(|p| *p != at);
            let form = forms[at].take()?;
            let atom = Atom::Index(index);
            let sign = form.coefficient(atom);
            let rest = form.substitute(atom, &Affine::constant(0))?;
            let here = Affine::from(Atom::Index(IndexId::from_index(at)));
            let solution = here.sub(&rest)?.scale(sign)?;
            for other in forms.iter_mut().flatten() {
                *other = other.substitute(atom, &solution)?;
            }
            for other in solved.values_mut() {
                *other = other.substitute(atom, &solution)?;
            }
            solved.insert(index, solution);
        }
        let mut meets: Vec<Meets> = (0..n).map(|_| Meets::Solved).collect();
        for at in open {
            let mut fixed = true;
            let mut known = true;
            exprs[at].walk(&mut |e| match e {
                Expr::Index(i) => {
                    fixed = false;
                    known &= solved.contains_key(i);
                }
                Expr::Load(_) => fixed = false,
                _ => {}
            });
            meets[at] = match (fixed, known) {
                (true, _) => Meets::Fixed(self.met(space, load, at, exprs[at].clone())),
                (false, true) => Meets::Compared,
                (false, false) => return None,
            };
        }
        Some((solved, meets))
    }

    /// The affine form of a subscript, and whether it is in range at all points.
    fn form(&self, space: &Space<'_>, load: &Load, at: usize) -> Option<(Affine, bool)> {
        let form = Affine::of(&load.subs[at])?;
        let extent = self.program.extents(load.value)[at];
        let range = form.range_with(|atom| match atom {
            Atom::Index(i) => Some(extent_of(self.program, space, i.index())),
            Atom::LoopVar(var) => Some(self.program.dims[self.program.loop_vars[var].dim].extent),
            Atom::Coord(_) => None,
        })?;
        let inside = *range.start() >= 0 && i128::from(*range.end()) < i128::from(extent);
        Some((form, inside))
    }

    /// The position that a subscript selects, as far as the load moves it.
    fn met(&self, space: &Space<'_>, load: &Load, at: usize, e: Expr) -> Expr {
        let inside = self.form(space, load, at).is_some_and(|(_, inside)| inside);
        match load.bounds {
            Bounds::Clamp if !inside => {
                let extent = self.program.extents(load.value)[at];
                clamped(self.program.dtype_of(&e), e, extent)
            }
            _ => e,
        }
    }

    /// The transpose as a comprehension over the value's dims; `None` if no point meets an element.
    fn gathered(
        &mut self,
        space: &Space<'_>,
        load: &Load,
        adjoint: Expr,
        solved: BTreeMap<IndexId, Affine>,
        meets: Vec<Meets>,
    ) -> Option<Part> {
        let value = load.value;
        let n = load.subs.len();
        let dims = self.program.values[value].dims.clone();
        let mut indices: Arena<IndexId, Index> = Arena::new();
        let mut kept: Vec<DimId> = Vec::new();
        let mut fixed: Vec<(usize, Expr)> = Vec::new();
        // From the indices of the forms to those of the new comprehension.
        let mut new: BTreeMap<IndexId, IndexId> = BTreeMap::new();
        for (at, meet) in meets.iter().enumerate() {
            if let Meets::Fixed(e) = meet {
                fixed.push((at, e.clone()));
                continue;
            }
            let plain = load.subs[at].clone();
            let base = match plain {
                Expr::Index(i) => space.indices[i].name.clone(),
                _ => self.program.dims[dims[at]].name.to_lowercase(),
            };
            let digit = base.starts_with(|c: char| c.is_ascii_digit());
            let base = if digit { format!("n{base}") } else { base };
            let name = unused(&indices, &base);
            new.insert(IndexId::from_index(at), indices.push(Index { name, dim: dims[at] }));
            kept.push(dims[at]);
        }
        let free = indices.len();
        for (id, index) in space.indices.iter() {
            let shifted = IndexId::from_index(n + id.index());
            if !solved.contains_key(&shifted) {
                let name = unused(&indices, &index.name);
                new.insert(shifted, indices.push(Index { name, dim: index.dim }));
            }
        }
        let renamed = |e: Expr| {
            e.map(&mut |e| match e {
                Expr::Index(i) => Expr::Index(new[&i]),
                other => other,
            })
        };
        let solution = |i: IndexId| solved.get(&i).map(|form| renamed(form.to_expr(DType::I32)));
        // An expression of the space in the new indices.
        let moved = |e: Expr| {
            e.map(&mut |e| match e {
                Expr::Index(i) => {
                    let shifted = IndexId::from_index(n + i.index());
                    solution(shifted).unwrap_or_else(|| Expr::Index(new[&shifted]))
                }
                other => other,
            })
        };
        let mut guard: Option<Expr> = None;
        for index in solved.keys() {
            let dim = space.indices[IndexId::from_index(index.index() - n)].dim;
            let extent = self.program.dims[dim].extent;
            // A plain position over the whole dim needs no condition.
            let covered = solved[index].as_index().is_some_and(|at| {
                at.index() < n && self.program.dims[dims[at.index()]].extent == extent
            });
            if !covered {
                guard = both(guard, solution(*index).map(|e| within(DType::I32, e, extent)));
            }
        }
        // Conditions are looked at everywhere, also where a solution is out of range.
        let narrowed = guard.is_some();
        let looked_at = |e: Expr| if narrowed { safe(e) } else { e };
        guard = both(guard, space.guard.clone().map(moved).map(looked_at));
        for (at, meet) in meets.iter().enumerate() {
            if let Meets::Compared = meet {
                let e = looked_at(moved(load.subs[at].clone()));
                let e = self.met(space, load, at, e);
                let here = Expr::Index(new[&IndexId::from_index(at)]);
                let here = match self.program.dtype_of(&e) {
                    DType::I32 => here,
                    wide => Expr::cast(wide, here),
                };
                guard = both(guard, Some(compare(BinaryOp::Eq, here, e)));
            }
        }
        let mut body = moved(adjoint);
        if narrowed {
            // Later stages may evaluate all points and select afterwards.
            body = padded(self.program, body);
        }
        let reducer = if free < indices.len() { Reducer::Sum } else { Reducer::None };
        if reducer == Reducer::Sum {
            body = unrounded(self.program, body);
        }
        // Passed on as it is, an adjoint needs no copy.
        if let Expr::Load(Load { value: whole, subs, bounds: Bounds::Proven }) = &body
            && guard.is_none()
            && reducer == Reducer::None
            && subs.iter().cloned().eq(indices.ids().map(Expr::Index))
            && self.program.values[*whole].dims == kept
            && self.program.values[*whole].dtype == self.program.values[value].dtype
        {
            return Some(Part::Dense { value: *whole, fixed });
        }
        let out = self.derived(value, kept);
        let mut c = Comprehension { out, indices, free, reducer, guard, body, store: None };
        simplify_comprehension(self.program, &mut c);
        if c.guard == Some(Expr::Literal(Literal::Bool(false))) {
            return None;
        }
        self.push(c);
        Some(Part::Dense { value: out, fixed })
    }

    /// The transpose as a store that adds at the load's places.
    fn scattered(&mut self, space: &Space<'_>, load: &Load, adjoint: Expr) -> Part {
        let value = load.value;
        let mentioned = |i: IndexId| load.subs.iter().any(|s| s.mentions(i));
        let (own, other): (Vec<IndexId>, Vec<IndexId>) =
            space.indices.ids().partition(|i| mentioned(*i));
        let mut subs: Vec<Expr> = (0..load.subs.len())
            .map(|at| self.met(space, load, at, load.subs[at].clone()))
            .collect();
        if other.is_empty() {
            let store = Some(Store { base: value, subs, combine: Reducer::Sum });
            return Part::Scatter(Comprehension {
                out: value,
                indices: space.indices.clone(),
                free: space.indices.len(),
                reducer: Reducer::None,
                guard: space.guard.clone(),
                body: adjoint,
                store,
            });
        }
        // Sum first what goes to the same place.
        let mut indices: Arena<IndexId, Index> = Arena::new();
        let mut new: BTreeMap<IndexId, IndexId> = BTreeMap::new();
        let own_dims: Vec<DimId> = own.iter().map(|i| space.indices[*i].dim).collect();
        let sum_dims = self.distinct(&own_dims, &[]);
        for (id, dim) in own.iter().zip(&sum_dims) {
            let name = space.indices[*id].name.clone();
            new.insert(*id, indices.push(Index { name, dim: *dim }));
        }
        let over = indices.clone();
        for id in &other {
            new.insert(*id, indices.push(space.indices[*id].clone()));
        }
        let renamed = |e: Expr| {
            e.map(&mut |e| match e {
                Expr::Index(i) => Expr::Index(new[&i]),
                other => other,
            })
        };
        let body = unrounded(self.program, renamed(adjoint));
        let guard = space.guard.clone().map(renamed);
        let sum = self.derived(value, sum_dims);
        let free = own.len();
        let reducer = Reducer::Sum;
        self.push(Comprehension { out: sum, indices, free, reducer, guard, body, store: None });
        // Where the guard excluded all points a 0 is added, at a place that is clamped to be one.
        subs = subs.into_iter().map(renamed).map(safe).collect();
        let body = Expr::load(sum, over.ids().map(Expr::Index).collect::<Vec<_>>());
        let free = over.len();
        let reducer = Reducer::None;
        let store = Some(Store { base: value, subs, combine: Reducer::Sum });
        Part::Scatter(Comprehension {
            out: value,
            indices: over,
            free,
            reducer,
            guard: None,
            body,
            store,
        })
    }
}

fn extent_of(program: &Program, space: &Space<'_>, index: usize) -> u64 {
    program.dims[space.indices[IndexId::from_index(index)].dim].extent
}

/// The sum of these numbers is rounded once: to narrow each of them first is left out.
fn unrounded(program: &Program, body: Expr) -> Expr {
    match body {
        Expr::Cast(narrow, wide)
            if narrow.is_float() && program.dtype_of(&wide) == narrow.accumulator() =>
        {
            *wide
        }
        other => other,
    }
}

/// The expression with loads that give 0 out of range; where that cannot be, simplification will find it.
fn padded(program: &Program, e: Expr) -> Expr {
    e.map(&mut |e| match e {
        Expr::Load(Load { value, subs, bounds: Bounds::Proven }) => {
            let zero = match program.values[value].dtype {
                DType::Bool => Literal::Bool(false),
                d if d.is_float() => Literal::Float(d, 0.0),
                d => Literal::Int(d, 0),
            };
            let bounds = Bounds::Else(Box::new(Expr::Literal(zero)));
            Expr::Load(Load { value, subs, bounds })
        }
        other => other,
    })
}

/// The expression with loads that stay in range wherever it is evaluated.
pub fn safe(e: Expr) -> Expr {
    e.map(&mut |e| match e {
        Expr::Load(Load { value, subs, bounds: Bounds::Proven }) => {
            Expr::Load(Load { value, subs, bounds: Bounds::Clamp })
        }
        other => other,
    })
}
