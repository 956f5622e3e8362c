//! Index spaces split over devices, and expressions in them.
//!
//! A [`Nest`] is the index space of a comprehension with the mesh axes that split each index. Its
//! expressions are localized: an index used as a number becomes its global position, and loads
//! read what the device holds (see [`crate::operand`]).
//!
//! Masking. A point whose index lies in a block's padding must not contribute. Reduced indices
//! with padding are guarded always. A free index with padding only computes padding of the output,
//! so it needs no guard (except where it decides the divisor of an integer division), which leaves
//! contractions plain. Since such points, and guards, are evaluated for padding, too, subscripts
//! that are proven in range for real positions are clamped where padding could leave the value.

use crate::context::Ctx;
use crate::grid::{all, binary};
use einmesh_ir::{
    Arena, BinaryOp, Comprehension, Expr, Index, IndexId, MeshAxisId, Op, Reducer, Store, ValueId,
};
use std::collections::BTreeSet;

/// An index space with its split.
#[derive(Clone, Debug)]
pub(crate) struct Nest {
    /// The indices, over global dims.
    pub indices: Arena<IndexId, Index>,
    /// The mesh axes that split each index, major to minor.
    pub axes: Vec<Vec<MeshAxisId>>,
    /// The axes over which operands stay partial.
    pub keep: BTreeSet<MeshAxisId>,
    /// The indices whose padding must be guarded.
    pub guarded: BTreeSet<IndexId>,
    /// Whether all operands are reduced first, though the body would commute with it.
    pub complete: bool,
}

impl Nest {
    pub fn new(indices: &Arena<IndexId, Index>, axes: Vec<Vec<MeshAxisId>>) -> Nest {
        Nest {
            indices: indices.clone(),
            axes,
            keep: BTreeSet::new(),
            guarded: BTreeSet::new(),
            complete: false,
        }
    }

    pub fn axes_of(&self, index: IndexId) -> &[MeshAxisId] {
        &self.axes[index.0 as usize]
    }

    /// Whether an axis splits some index.
    pub fn uses(&self, axis: MeshAxisId) -> bool {
        self.axes.iter().any(|axes| axes.contains(&axis))
    }
}

impl Ctx {
    pub fn index_extent(&self, nest: &Nest, index: IndexId) -> u64 {
        self.extent(nest.indices[index].dim)
    }

    /// Whether some device's block of the index holds padding.
    pub fn is_uneven(&self, nest: &Nest, index: IndexId) -> bool {
        self.grid.uneven(self.index_extent(nest, index), nest.axes_of(index))
    }

    /// The indices with padding that occur in an expression.
    pub fn uneven_in(&self, nest: &Nest, expr: &Expr) -> Vec<IndexId> {
        let uneven = |i: &IndexId| self.is_uneven(nest, *i) && expr.mentions(*i);
        nest.indices.ids().filter(uneven).collect()
    }

    /// The global position of an index.
    pub fn position(&self, nest: &Nest, index: IndexId) -> Expr {
        let extent = self.index_extent(nest, index);
        self.grid.position(Expr::Index(index), extent, nest.axes_of(index))
    }

    /// What an expression over global positions is on this device.
    pub fn localize(&mut self, nest: &mut Nest, expr: &Expr) -> Expr {
        match expr {
            Expr::Index(index) => self.position(nest, *index),
            Expr::Load(load) => self.load(nest, load),
            _ => {
                if let Expr::Binary(BinaryOp::FloorDiv | BinaryOp::Rem, _, divisor) = expr
                    && !matches!(**divisor, Expr::Literal(_))
                {
                    nest.guarded.extend(self.uneven_in(nest, divisor));
                }
                let mut local = expr.clone();
                for child in local.children_mut() {
                    *child = self.localize(nest, child);
                }
                local
            }
        }
    }

    /// Ends a nest: the local comprehension, with padding guarded.
    pub fn finish(&mut self, mut nest: Nest, parts: Parts) -> Op {
        let guard = parts.guard.map(|g| self.localize(&mut nest, &g));
        let pads = nest.indices.ids().filter(|i| {
            let reduced = i.0 as usize >= parts.free;
            (reduced || nest.guarded.contains(i)) && self.is_uneven(&nest, *i)
        });
        let pads = pads.map(|i| {
            let extent = Expr::int(self.index_extent(&nest, i) as i64);
            binary(BinaryOp::Lt, self.position(&nest, i), extent)
        });
        let guard = all(pads.chain(guard).collect::<Vec<_>>());
        let mut indices = Arena::new();
        for (id, Index { name, dim }) in nest.indices.iter() {
            let extent = self.grid.local(self.extent(*dim), nest.axes_of(id));
            indices.push(Index { name: name.clone(), dim: self.local_dim(*dim, extent) });
        }
        Op::Compute(Comprehension {
            out: parts.out,
            indices,
            free: parts.free,
            reducer: parts.reducer,
            guard,
            body: parts.body,
            store: parts.store,
        })
    }
}

/// The parts of a local comprehension that its nest does not know.
pub(crate) struct Parts {
    /// The local output.
    pub out: ValueId,
    pub free: usize,
    pub reducer: Reducer,
    /// The guard over global positions.
    pub guard: Option<Expr>,
    /// The local body.
    pub body: Expr,
    /// The local store.
    pub store: Option<Store>,
}
