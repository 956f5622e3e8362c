//! Halos: a block with the edges of its neighbours, for subscripts such as `i + r - 1`.
//!
//! A subscript c·i + rest, where i is split like the dim and the rest is bounded, reaches from
//! each block only so far into the neighbours if the blocks are aligned: c × (block of i) = (block
//! of the dim). The edges come by one `CollectivePermute` each way. They are zeros at the ends of
//! the mesh axis and padding at the end of the dim; a load that may leave the dim tests the global
//! position instead of reading them.

use crate::context::Ctx;
use crate::grid::{binary, sub};
use crate::nest::Nest;
use einmesh_ir::affine::{Affine, Atom};
use einmesh_ir::{BinaryOp, CollectiveKind, DType, Expr, MeshAxisId, Op, ValueId};

/// How far a load reaches beyond its block.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Reach {
    /// The position of the dim.
    pub position: usize,
    /// How many positions of the previous block precede the device's own.
    pub left: u64,
    /// How many positions of the next block follow.
    pub right: u64,
}

/// A subscript into a block with edges.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Halo {
    pub reach: Reach,
    /// The subscript into the extended block.
    pub local: Expr,
}

impl Ctx {
    /// How `subscript` reaches into the dim at `position`, which has this extent and is split over
    /// `axes`; `None` where it may reach beyond the neighbours.
    pub fn halo(
        &self,
        nest: &Nest,
        subscript: &Expr,
        position: usize,
        extent: u64,
        axes: &[MeshAxisId],
    ) -> Option<Halo> {
        let form = Affine::of(subscript)?;
        let split = |atom: &Atom| match atom {
            Atom::Index(i) => !nest.axes_of(*i).is_empty(),
            _ => false,
        };
        let mut moving = form.terms().iter().filter(|(atom, _)| split(atom));
        let (Some(&(Atom::Index(index), stride)), None) = (moving.next(), moving.next()) else {
            return None;
        };
        let steps = self.grid.local(self.index_extent(nest, index), axes) as i64;
        let block = self.grid.local(extent, axes) as i64;
        let aligned = stride > 0 && stride.checked_mul(steps) == Some(block);
        if nest.axes_of(index) != axes || !aligned {
            return None;
        }
        let range = form.range_with(|atom| match atom {
            Atom::Index(i) if i == index => Some(steps as u64),
            Atom::Index(i) => Some(self.index_extent(nest, i)),
            Atom::LoopVar(var) => Some(self.extent(self.global.loop_vars[var].dim)),
            Atom::Coord(_) => None,
        })?;
        let left = 0.max(-range.start());
        let right = 0.max(range.end().checked_sub(block - 1)?);
        if left > block || right > block {
            return None;
        }
        let local = form.add(&Affine::constant(left))?.to_expr(DType::I32);
        let (left, right) = (left as u64, right as u64);
        let reach = Reach { position, left, right };
        Some(Halo { reach, local })
    }

    /// A local value extended along a dim by the edges of its neighbours.
    pub fn extend(
        &mut self,
        value: ValueId,
        local: ValueId,
        reach: Reach,
        axes: &[MeshAxisId],
        ops: &mut Vec<Op>,
    ) -> ValueId {
        let Reach { position, left, right } = reach;
        let block = self.local.dims[self.local.values[local].dims[position]].extent;
        let mut edge = |ctx: &mut Ctx, from: u64, count: u64, shift: i64| {
            let piece = ctx.shaped(value, local, &[(position, count)]);
            ops.push(ctx.elementwise(piece, |ix| {
                let mut subs = ix.to_vec();
                subs[position] =
                    binary(BinaryOp::Add, subs[position].clone(), Expr::int(from as i64));
                Expr::load(local, subs)
            }));
            let received = ctx.shaped(value, local, &[(position, count)]);
            let kind = CollectiveKind::CollectivePermute { shift, wrap: false };
            let why = ctx.provenance(value, Some(ctx.dim(value, position)), axes);
            ops.push(Ctx::collective(kind, axes, piece, received, why));
            received
        };
        let before = (left > 0).then(|| edge(self, block - left, left, 1));
        let after = (right > 0).then(|| edge(self, 0, right, -1));
        let out = self.shaped(value, local, &[(position, left + block + right)]);
        ops.push(self.elementwise(out, |ix| {
            let at = |offset: u64| sub(ix[position].clone(), Expr::int(offset as i64));
            let read = |source: ValueId, offset: u64| {
                let mut subs = ix.to_vec();
                if offset > 0 {
                    subs[position] = at(offset);
                }
                // The branches of a selection may all be evaluated, so each load stays in range.
                clamped(source, subs)
            };
            let mut all = read(local, left);
            if let Some(after) = after {
                let beyond =
                    binary(BinaryOp::Ge, ix[position].clone(), Expr::int((left + block) as i64));
                all = Expr::select(beyond, read(after, left + block), all);
            }
            if let Some(before) = before {
                let ahead = binary(BinaryOp::Lt, ix[position].clone(), Expr::int(left as i64));
                all = Expr::select(ahead, read(before, 0), all);
            }
            all
        }));
        out
    }
}

/// A load whose subscripts are clamped.
fn clamped(value: ValueId, subs: Vec<Expr>) -> Expr {
    Expr::Load(einmesh_ir::Load { value, subs, bounds: einmesh_ir::Bounds::Clamp })
}
