//! Expressions of comprehensions in a match's coordinates.

use super::{Match, Places};
use crate::online::widened;
use einmesh_ir::{Bounds, Comprehension, Expr, Id, Index, IndexId};

impl Match<'_> {
    /// Where a comprehension's indices are, told by its loads of values with all points.
    pub(super) fn places(&self, c: &Comprehension) -> Option<Places> {
        let mut places: Places = vec![None; c.indices.len()];
        for load in c.exprs().flat_map(Expr::loads) {
            let Some(known) = self.known.get(&load.value) else { continue };
            for (sub, place) in load.subs.iter().zip(&known.order) {
                let Expr::Index(index) = sub else { return None };
                let slot = &mut places[index.index()];
                let extent = self.program.dims[c.indices[*index].dim].extent;
                if slot.is_some_and(|p| p != *place) || self.extent(Some(*place)) != Some(extent) {
                    return None;
                }
                *slot = Some(*place);
            }
        }
        let mut seen: Vec<IndexId> = places.iter().flatten().copied().collect();
        let all = seen.len();
        seen.sort();
        seen.dedup();
        (seen.len() == all).then_some(places)
    }

    /// The extent of a place.
    pub(super) fn extent(&self, place: Option<IndexId>) -> Option<u64> {
        Some(self.program.dims[self.indices[place?.index()].dim].extent)
    }

    /// A new index of the match.
    pub(super) fn further(&mut self, index: &Index) -> IndexId {
        self.indices.push(index.clone());
        IndexId::from_index(self.indices.len() - 1)
    }

    /// An expression that reads no point, in the match's coordinates.
    pub(super) fn apart(&self, expr: &Expr, places: &Places) -> Option<Expr> {
        let reads = expr.loads().iter().any(|l| self.known.contains_key(&l.value));
        if reads { None } else { self.translated(expr.clone(), places) }
    }

    /// An expression in the accumulator's precision and the match's coordinates, with locals for points.
    pub(super) fn wide(&self, expr: &Expr, places: &Places) -> Option<Expr> {
        let own = |value| self.known.contains_key(&value);
        self.translated(widened(self.program, self.wide, &own, expr)?, places)
    }

    /// `None` if it reads points elsewhere than at its own, or has indices that have no place.
    fn translated(&self, expr: Expr, places: &Places) -> Option<Expr> {
        let mut fits = true;
        let expr = expr.map(&mut |e| match e {
            Expr::Index(i) => match places.get(i.index()).copied().flatten() {
                Some(place) => Expr::Index(place),
                None => {
                    fits = false;
                    Expr::Index(i)
                }
            },
            Expr::Load(load) => match self.known.get(&load.value) {
                None => Expr::Load(load),
                Some(known) => {
                    let order = known.order.iter().map(|i| Expr::Index(*i));
                    fits &= load.bounds == Bounds::Proven && load.subs.iter().cloned().eq(order);
                    Expr::load(load.value, [])
                }
            },
            other => other,
        });
        fits.then_some(expr)
    }
}
