//! Elementwise comprehensions over the same points that read each other: the averages of an optimizer and the
//! parameters that it makes of them. In one nest each array is read once.

use super::{Ctx, Group, Unit};
use einmesh_ir::{Comprehension, DimId, Expr, Reducer, ValueId};

impl Ctx<'_> {
    /// Joins an elementwise comprehension with the nests of elementwise ones whose values it reads at its own points.
    pub(super) fn join_pointwise(&mut self, position: usize, c: &Comprehension) -> bool {
        let Some(dims) = self.pointwise(c) else {
            return false;
        };
        if !self.keeps_parallelism(c, &dims[..dims.len() - 1]) {
            return false;
        }
        let joins = |ctx: &Self, group: &Group| {
            let Unit::Nest { outer: None, members } = &group.unit else {
                return false;
            };
            let produced: Vec<ValueId> = members.iter().map(|m| m.out).collect();
            c.loaded().iter().any(|v| produced.contains(v))
                && members.iter().all(|m| ctx.pointwise(m).as_ref() == Some(&dims))
                && ctx.along(c, &produced, &dims)
                && !ctx.read_between(group, position)
        };
        let mut joined: Vec<Group> = Vec::new();
        for g in (0..self.groups.len()).rev() {
            if joins(self, &self.groups[g]) {
                joined.push(self.groups.remove(g));
            }
        }
        let Some(first) = joined.iter().map(|g| g.first).min() else {
            return false;
        };
        let mut members: Vec<Comprehension> = Vec::new();
        for group in joined.into_iter().rev() {
            let Unit::Nest { members: some, .. } = group.unit else {
                unreachable!("only nests join");
            };
            members.extend(some);
        }
        members.push(c.clone());
        let unit = Unit::Nest { outer: None, members };
        self.groups.push(Group { first, last: position, unit });
        true
    }

    /// The dims of an elementwise comprehension, if they differ and memory is walked along the last of them.
    fn pointwise(&self, c: &Comprehension) -> Option<Vec<DimId>> {
        if c.reducer != Reducer::None || c.store.is_some() {
            return None;
        }
        let dims = self.free_dims(c);
        let last = c.free_indices().last()?;
        let distinct = dims.iter().enumerate().all(|(at, d)| !dims[..at].contains(d));
        let straight = c.exprs().flat_map(Expr::loads).all(|load| match load.subs.split_last() {
            Some((end, rest)) => {
                let ends = *end == Expr::Index(last) || !end.mentions(last);
                ends && !rest.iter().any(|s| s.mentions(last))
            }
            None => true,
        });
        (distinct && straight).then_some(dims)
    }
}
