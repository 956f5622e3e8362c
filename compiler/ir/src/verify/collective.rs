//! Collectives: their groups, and shapes against the mesh.

use super::Ctx;
use super::operation::combines;
use crate::program::Reducer;
use crate::spmd::{Collective, CollectiveKind};
use std::collections::BTreeSet;

impl Ctx<'_> {
    pub(super) fn collective(&mut self, c: &Collective) {
        let read = self.read(c.input);
        if !self.assign(c.out) || !read {
            return;
        }
        let Some(mesh) = self.mesh else {
            return self.report("a collective stands in a program that is not partitioned");
        };
        if c.axes.iter().any(|a| mesh.axes.get(*a).is_none()) {
            return self.report("a collective is over an unknown mesh axis");
        }
        let mut seen = BTreeSet::new();
        let distinct = c.axes.iter().all(|a| seen.insert(*a));
        self.check(distinct, || "a collective is over the same mesh axis twice".to_owned());
        self.check(!c.axes.is_empty(), || "a collective is over no mesh axis".to_owned());

        let program = self.program;
        let (input, out) = (&program.values[c.input], &program.values[c.out]);
        self.check(input.dtype == out.dtype, || {
            format!("a collective turns {} into {}", input.dtype, out.dtype)
        });
        if let CollectiveKind::AllReduce(reducer) | CollectiveKind::ReduceScatter { reducer, .. } =
            c.kind
        {
            let combines = reducer != Reducer::None && combines(reducer, input.dtype);
            self.check(combines, || {
                format!("a collective combines {} with {reducer:?}", input.dtype)
            });
        }
        let members = mesh.size_of(&c.axes);
        let given = program.extents(c.input);
        let Some(expected) = shape_after(&c.kind, &given, members) else {
            let kind = &c.kind;
            return self.report(format!("{kind:?} over {members} devices of shape {given:?}"));
        };
        let got = program.extents(c.out);
        self.check(expected == got, || {
            let gives = format!("{:?} over {members} devices gives shape", c.kind);
            format!("{gives} {expected:?}, not {got:?}")
        });
    }
}

/// The shape that a collective gives; `None` if it is impossible.
fn shape_after(kind: &CollectiveKind, given: &[u64], members: u64) -> Option<Vec<u64>> {
    let mut shape = given.to_vec();
    let grow = |shape: &mut Vec<u64>, position: usize| {
        let extent = shape.get_mut(position)?;
        *extent = extent.checked_mul(members)?;
        Some(())
    };
    let shrink = |shape: &mut Vec<u64>, position: usize| {
        let extent = shape.get_mut(position)?;
        if !extent.is_multiple_of(members) {
            return None;
        }
        *extent /= members;
        Some(())
    };
    match *kind {
        CollectiveKind::AllReduce(_) | CollectiveKind::CollectivePermute { .. } => {}
        CollectiveKind::AllGather { position } => grow(&mut shape, position)?,
        CollectiveKind::ReduceScatter { position, .. } => shrink(&mut shape, position)?,
        CollectiveKind::AllToAll { split, concat } => {
            shrink(&mut shape, split)?;
            grow(&mut shape, concat)?;
        }
    }
    Some(shape)
}
