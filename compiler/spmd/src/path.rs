//! Reshard paths: how a value goes from one sharding to another over the same mesh.
//!
//! A path is a list of [`Move`]s, chosen so that few bytes move: first whatever makes the value
//! smaller for free (slices), then reductions (scattered where the target is split by the reduced
//! axis), then all-to-alls, and only then gathers, the smallest growth first. Masks, which turn a
//! whole value into a partial one, come last.

use crate::grid::Grid;
use einmesh_ir::{MeshAxisId, Reducer, Sharding};

/// One step of a path.
#[derive(Clone, PartialEq, Debug)]
pub(crate) enum Step {
    /// Keeps this device's block over `axes` of what it holds of a dim. Local.
    Slice { position: usize, axes: Vec<MeshAxisId> },
    /// Replaces the value by the identity on all devices but the first along these axes. Local.
    Mask { axes: Vec<(MeshAxisId, Reducer)> },
    /// Combines partial results.
    AllReduce { reducer: Reducer, axes: Vec<MeshAxisId> },
    /// Combines partial results and keeps this device's block over `axes`.
    ReduceScatter { reducer: Reducer, position: usize, axes: Vec<MeshAxisId> },
    /// Undoes the split of a dim by its minor axes, which are `axes`.
    AllGather { position: usize, axes: Vec<MeshAxisId> },
    /// Moves the split by `axes` from the dim `concat` to the dim `split`.
    AllToAll { split: usize, concat: usize, axes: Vec<MeshAxisId> },
}

/// A step with the sharding it leads to.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Move {
    pub step: Step,
    pub after: Sharding,
}

/// The bytes of what one device holds of a value.
pub(crate) fn local_bytes(grid: &Grid, extents: &[u64], sharding: &Sharding, element: u64) -> u64 {
    let locals = extents.iter().zip(&sharding.spec).map(|(e, axes)| grid.local(*e, axes));
    locals.product::<u64>() * element
}

/// The bytes that each device sends along a path, with ring algorithms.
pub(crate) fn wire_bytes(
    grid: &Grid,
    extents: &[u64],
    from: &Sharding,
    moves: &[Move],
    element: u64,
) -> u64 {
    let mut total = 0;
    let mut before = from;
    for Move { step, after } in moves {
        let held = |s: &Sharding| local_bytes(grid, extents, s, element);
        let share = |bytes: u64, axes: &[MeshAxisId]| {
            let n = grid.parts(axes);
            bytes * (n - 1) / n
        };
        total += match step {
            Step::Slice { .. } | Step::Mask { .. } => 0,
            Step::AllReduce { axes, .. } => 2 * share(held(before), axes),
            Step::ReduceScatter { axes, .. } | Step::AllToAll { axes, .. } => {
                share(held(before), axes)
            }
            Step::AllGather { axes, .. } => share(held(after), axes),
        };
        before = after;
    }
    total
}

/// The path from one sharding of a value with these extents to another.
pub(crate) fn path(grid: &Grid, extents: &[u64], from: &Sharding, to: &Sharding) -> Vec<Move> {
    let mut search = Search { grid, extents, to, now: from.clone() };
    let mut moves = Vec::new();
    while let Some(step) = search.next() {
        search.apply(&step);
        moves.push(Move { step, after: search.now.clone() });
    }
    debug_assert_eq!(search.now, *to, "a reshard path ends at its target");
    moves
}

struct Search<'a> {
    grid: &'a Grid,
    extents: &'a [u64],
    to: &'a Sharding,
    now: Sharding,
}

impl Search<'_> {
    fn next(&self) -> Option<Step> {
        let tries = [
            Self::slice,
            Self::reduce_scatter,
            Self::all_reduce,
            Self::all_to_all,
            Self::all_gather,
            Self::mask,
        ];
        tries.iter().find_map(|attempt| attempt(self))
    }

    fn apply(&mut self, step: &Step) {
        let now = &mut self.now;
        let drop_partial = |now: &mut Sharding, axes: &[MeshAxisId]| {
            now.partial.retain(|(a, _)| !axes.contains(a));
        };
        let shorten = |now: &mut Sharding, position: usize, axes: &[MeshAxisId]| {
            let kept = now.spec[position].len() - axes.len();
            now.spec[position].truncate(kept);
        };
        match step {
            Step::Slice { position, axes } => now.spec[*position].extend(axes),
            Step::Mask { axes } => {
                now.partial.extend(axes);
                now.partial.sort();
            }
            Step::AllReduce { axes, .. } => drop_partial(now, axes),
            Step::ReduceScatter { position, axes, .. } => {
                drop_partial(now, axes);
                now.spec[*position].extend(axes);
            }
            Step::AllGather { position, axes } => shorten(now, *position, axes),
            Step::AllToAll { split, concat, axes } => {
                shorten(now, *concat, axes);
                now.spec[*split].extend(axes);
            }
        }
    }

    /// How many of the leading axes of a dim stay through the whole path: a common prefix of both
    /// splits whose blocks nest in those of both, or nothing.
    fn base(&self, position: usize) -> usize {
        let (now, to) = (&self.now.spec[position], &self.to.spec[position]);
        let common = now.iter().zip(to).take_while(|(a, b)| a == b).count();
        let nests = |list: &[MeshAxisId], at: usize| {
            at == list.len() || self.grid.nests(self.extents[position], &list[..at], &list[at..])
        };
        (1..=common).rev().find(|at| nests(now, *at) && nests(to, *at)).unwrap_or(0)
    }

    /// The axes that a dim still lacks, if those it has need not go.
    fn missing(&self, position: usize) -> &[MeshAxisId] {
        let (now, to) = (&self.now.spec[position], &self.to.spec[position]);
        match self.base(position) == now.len() {
            true => &to[now.len()..],
            false => &[],
        }
    }

    /// How many of the next `run` missing axes a dim can take on now: as many as leave blocks in
    /// which the target's blocks nest, so that no later step has to undo it.
    fn takes(&self, position: usize, run: usize) -> usize {
        let (have, to) = (self.now.spec[position].len(), &self.to.spec[position]);
        let nests = |take: &usize| {
            let (left, rest) = to.split_at(have + take);
            rest.is_empty() || self.grid.nests(self.extents[position], left, rest)
        };
        (1..=run).rev().find(nests).unwrap_or(0)
    }

    /// The next missing axes of a dim that are all `wanted` and can be taken on now.
    fn run(&self, position: usize, wanted: impl Fn(&MeshAxisId) -> bool) -> Vec<MeshAxisId> {
        let missing = self.missing(position);
        let run = missing.iter().take_while(|a| wanted(a)).count();
        missing[..self.takes(position, run)].to_vec()
    }

    fn dims(&self) -> std::ops::Range<usize> {
        0..self.extents.len()
    }

    fn slice(&self) -> Option<Step> {
        let free =
            |a: &MeshAxisId| !self.now.splits(*a) && !self.now.partial.iter().any(|(p, _)| p == a);
        self.dims().find_map(|position| {
            let axes = self.run(position, free);
            (!axes.is_empty()).then_some(Step::Slice { position, axes })
        })
    }

    /// The partial results that the target does not want, all of one reducer.
    fn to_reduce(&self) -> Option<(Reducer, Vec<MeshAxisId>)> {
        let mut pending = self.now.partial.iter().filter(|p| !self.to.partial.contains(p));
        let (axis, reducer) = *pending.next()?;
        let more = pending.filter(|(_, r)| *r == reducer).map(|(a, _)| *a);
        Some((reducer, std::iter::once(axis).chain(more).collect()))
    }

    fn reduce_scatter(&self) -> Option<Step> {
        let (reducer, pending) = self.to_reduce()?;
        self.dims().find_map(|position| {
            let axes = self.run(position, |a| pending.contains(a));
            (!axes.is_empty()).then_some(Step::ReduceScatter { reducer, position, axes })
        })
    }

    fn all_reduce(&self) -> Option<Step> {
        let (reducer, axes) = self.to_reduce()?;
        Some(Step::AllReduce { reducer, axes })
    }

    fn all_to_all(&self) -> Option<Step> {
        self.dims().find_map(|concat| {
            let now = &self.now.spec[concat];
            // The longest run of minor axes that another dim wants next.
            (self.base(concat)..now.len()).find_map(|kept| {
                let (left, axes) = now.split_at(kept);
                if kept > 0 && !self.grid.nests(self.extents[concat], left, axes) {
                    return None;
                }
                let fits = |split: &usize| {
                    *split != concat
                        && self.missing(*split).starts_with(axes)
                        && self.takes(*split, axes.len()) == axes.len()
                };
                let split = self.dims().find(fits)?;
                Some(Step::AllToAll { split, concat, axes: axes.to_vec() })
            })
        })
    }

    fn all_gather(&self) -> Option<Step> {
        let excess = self.dims().filter_map(|position| {
            let axes = &self.now.spec[position][self.base(position)..];
            (!axes.is_empty()).then_some((self.grid.parts(axes), position, axes))
        });
        let (_, position, axes) = excess.min()?;
        Some(Step::AllGather { position, axes: axes.to_vec() })
    }

    fn mask(&self) -> Option<Step> {
        let lacking = self.to.partial.iter().filter(|p| !self.now.partial.contains(p));
        let axes: Vec<(MeshAxisId, Reducer)> = lacking.copied().collect();
        (!axes.is_empty()).then_some(Step::Mask { axes })
    }
}

#[cfg(test)]
mod tests;
