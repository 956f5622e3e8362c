//! Making reshard paths real: slices, masks and collectives, paid once per value and block.
//!
//! A step is emitted in the block in which its value lives, not in that of the reader: what a loop
//! needs of an outer value is fetched before the loop. Each step's result stays known as a
//! [`Version`] of the value, and later readers start from the version that is cheapest for them.
//!
//! Collectives need blocks of equal extents. A whole dim that is dealt out is first padded to a
//! multiple of the number of devices, and one that is gathered is cut back to its extent; what the
//! padding holds is never read.

use crate::context::{Ctx, Version};
use crate::grid::{add, identity, zero};
use crate::path::{Move, Step, path, wire_bytes};
use einmesh_ir::{Bounds, CollectiveKind, DimId, Expr, Load, MeshAxisId, Op, Sharding, ValueId};

impl Ctx {
    /// The local value that holds `value` as `to`.
    pub fn reshard(&mut self, value: ValueId, to: &Sharding) -> ValueId {
        let home = self.home(value);
        let extents = self.global.extents(value);
        let element = self.global.values[value].dtype.bytes();
        let candidates = self.versions(value).iter().map(|version| {
            let moves = path(&self.grid, &extents, &version.sharding, to);
            let wire = wire_bytes(&self.grid, &extents, &version.sharding, &moves, element);
            (wire, moves.len(), moves, version.clone())
        });
        let best = candidates.min_by_key(|(wire, steps, ..)| (*wire, *steps));
        let (_, _, moves, mut at) = best.expect("a defined value has a version");
        for Move { step, after } in moves {
            let mut ops = Vec::new();
            let local = self.step(value, &at, &step, &after, &mut ops);
            at = Version { sharding: after, local };
            let frame = &mut self.frames[home];
            frame.ops.extend(ops);
            frame.versions.entry(value).or_default().push(at.clone());
        }
        at.local
    }

    /// Emits one step of a path and returns the local value it leads to.
    fn step(
        &mut self,
        value: ValueId,
        from: &Version,
        step: &Step,
        after: &Sharding,
        ops: &mut Vec<Op>,
    ) -> ValueId {
        let input = from.local;
        match step {
            Step::Slice { position, axes } => self.slice(value, from, *position, axes, after, ops),
            Step::Mask { axes } => {
                let dtype = self.local.values[input].dtype;
                let out = self.shaped(value, input, &[]);
                let masks = axes.iter().map(|(axis, reducer)| {
                    (self.grid.is_first(&[*axis]), identity(*reducer, dtype))
                });
                let masks: Vec<(Expr, Expr)> = masks.collect();
                ops.push(self.elementwise(out, |ix| {
                    let whole = Expr::load(input, ix.iter().cloned());
                    masks.into_iter().fold(whole, |e, (first, other)| Expr::select(first, e, other))
                }));
                out
            }
            Step::AllReduce { reducer, axes } => {
                let out = self.shaped(value, input, &[]);
                let why = self.provenance(value, None, axes);
                let kind = CollectiveKind::AllReduce(*reducer);
                ops.push(Ctx::collective(kind, axes, input, out, why));
                out
            }
            Step::ReduceScatter { reducer, position, axes } => {
                let input = self.pad(value, input, *position, after, axes, ops);
                let out = self.shaped(
                    value,
                    input,
                    &[(*position, self.block_extent(value, *position, after))],
                );
                let kind = CollectiveKind::ReduceScatter { reducer: *reducer, position: *position };
                let why = self.provenance(value, None, axes);
                ops.push(Ctx::collective(kind, axes, input, out, why));
                out
            }
            Step::AllGather { position, axes } => {
                let grown = self.held_extent(input, *position) * self.grid.parts(axes);
                let out = self.shaped(value, input, &[(*position, grown)]);
                let kind = CollectiveKind::AllGather { position: *position };
                let why = self.provenance(value, Some(self.dim(value, *position)), axes);
                ops.push(Ctx::collective(kind, axes, input, out, why));
                self.cut(value, out, *position, after, ops)
            }
            Step::AllToAll { split, concat, axes } => {
                let input = self.pad(value, input, *split, after, axes, ops);
                let grown = self.held_extent(input, *concat) * self.grid.parts(axes);
                let shrunk = self.block_extent(value, *split, after);
                let out = self.shaped(value, input, &[(*concat, grown), (*split, shrunk)]);
                let kind = CollectiveKind::AllToAll { split: *split, concat: *concat };
                let why = self.provenance(value, Some(self.dim(value, *concat)), axes);
                ops.push(Ctx::collective(kind, axes, input, out, why));
                self.cut(value, out, *concat, after, ops)
            }
        }
    }

    /// This device's block of what it holds of a dim; padding where that has no more positions.
    fn slice(
        &mut self,
        value: ValueId,
        from: &Version,
        position: usize,
        axes: &[MeshAxisId],
        after: &Sharding,
        ops: &mut Vec<Op>,
    ) -> ValueId {
        let input = from.local;
        let block = self.block_extent(value, position, after);
        let exact = block * self.grid.parts(axes) == self.held_extent(input, position);
        let bounds = self.bounds(input, exact);
        let start = self.grid.coordinate(axes);
        let out = self.shaped(value, input, &[(position, block)]);
        ops.push(self.elementwise(out, |ix| {
            let mut subs = ix.to_vec();
            let start = crate::grid::mul(start, Expr::int(block as i64));
            subs[position] = add(start, subs[position].clone());
            Expr::Load(Load { value: input, subs, bounds })
        }));
        out
    }

    /// A whole dim extended by padding, so that it can be dealt out over `axes` in the equal blocks
    /// that `after` has.
    fn pad(
        &mut self,
        value: ValueId,
        input: ValueId,
        position: usize,
        after: &Sharding,
        axes: &[MeshAxisId],
        ops: &mut Vec<Op>,
    ) -> ValueId {
        let extent = self.block_extent(value, position, after) * self.grid.parts(axes);
        if extent == self.held_extent(input, position) {
            return input;
        }
        self.resized(value, input, position, extent, false, ops)
    }

    /// A gathered dim without the padding at its end, if `after` has it whole.
    fn cut(
        &mut self,
        value: ValueId,
        input: ValueId,
        position: usize,
        after: &Sharding,
        ops: &mut Vec<Op>,
    ) -> ValueId {
        let extent = self.block_extent(value, position, after);
        if extent == self.held_extent(input, position) {
            return input;
        }
        self.resized(value, input, position, extent, true, ops)
    }

    /// The first `extent` positions along a dim, padding beyond what there is.
    fn resized(
        &mut self,
        value: ValueId,
        input: ValueId,
        position: usize,
        extent: u64,
        exact: bool,
        ops: &mut Vec<Op>,
    ) -> ValueId {
        let out = self.shaped(value, input, &[(position, extent)]);
        let bounds = self.bounds(input, exact);
        ops.push(
            self.elementwise(out, |ix| {
                Expr::Load(Load { value: input, subs: ix.to_vec(), bounds })
            }),
        );
        out
    }

    /// Bounds of a copy: proven, or zeros beyond the input.
    fn bounds(&self, input: ValueId, exact: bool) -> Bounds {
        match exact {
            true => Bounds::Proven,
            false => Bounds::Else(Box::new(zero(self.local.values[input].dtype))),
        }
    }

    /// A new local value of the type of `input` but for the extents at some positions.
    pub fn shaped(&mut self, value: ValueId, input: ValueId, extents: &[(usize, u64)]) -> ValueId {
        let mut dims = self.local.values[input].dims.clone();
        for (position, extent) in extents {
            dims[*position] = self.local_dim(self.dim(value, *position), *extent);
        }
        let dtype = self.local.values[input].dtype;
        self.local_value(value, dtype, dims)
    }

    /// The global dim of a value.
    pub fn dim(&self, value: ValueId, position: usize) -> DimId {
        self.global.values[value].dims[position]
    }

    /// What a device holds of a dim under `sharding`.
    fn block_extent(&self, value: ValueId, position: usize, sharding: &Sharding) -> u64 {
        self.grid.local(self.extent(self.dim(value, position)), &sharding.spec[position])
    }

    /// What a device holds of a dim of a local value.
    fn held_extent(&self, local: ValueId, position: usize) -> u64 {
        self.local.dims[self.local.values[local].dims[position]].extent
    }
}
