//! Stores: writes into a copy of an array, at computed places.
//!
//! An output dim subscripted by a bare split index is split like it, and each device writes into
//! its own block. Any other split index makes the result partial: each device combines what its
//! points contribute, and the base counts once, on the first device. Where that is not possible,
//! because places are overwritten or the index is reduced in another way, the index is not split
//! and the sources are gathered.
//!
//! A dim subscripted otherwise is held as planned if its axes are free: subscripts become positions
//! in the device's block, and points outside of it are dropped, as points outside of the array are.

use crate::context::{Ctx, Version};
use crate::grid::{combines, sub};
use crate::nest::{Nest, Parts};
use crate::operand::bare;
use einmesh_ir::{Comprehension, DType, Expr, IndexId, MeshAxisId, Sharding, Store};

impl Ctx {
    /// Partitions a comprehension with a store.
    pub fn store(&mut self, c: &Comprehension, mut axes: Vec<Vec<MeshAxisId>>) {
        let Some(store) = &c.store else { return };
        let dtype = self.global.values[c.out].dtype;
        let dims = self.global.values[c.out].dims.clone();
        let index_extent = |ctx: &Ctx, i: IndexId| ctx.extent(c.indices[i].dim);

        let mut blocks: Vec<Option<IndexId>> = Vec::with_capacity(dims.len());
        for (k, subscript) in store.subs.iter().enumerate() {
            let fits = |i: &IndexId| {
                !axes[i.0 as usize].is_empty()
                    && index_extent(self, *i) == self.extent(dims[k])
                    && !blocks.contains(&Some(*i))
            };
            blocks.push(bare(subscript).filter(fits));
        }
        let mergeable = combines(store.combine, dtype) && dtype.accumulator() == dtype;
        let mut partial = Vec::new();
        for (id, index) in c.indices.iter().filter(|(id, _)| !blocks.contains(&Some(*id))) {
            let split = &mut axes[id.0 as usize];
            if mergeable && (!c.is_reduced(id) || c.reducer == store.combine) {
                for axis in split.iter() {
                    partial.push((*axis, store.combine));
                    self.summed.insert((c.out, *axis), index.name.clone());
                }
            } else {
                split.clear();
            }
        }
        partial.sort();

        let held = self.held(c.out).clone();
        let mut nest = Nest::new(&c.indices, axes);
        let spec: Vec<Vec<MeshAxisId>> = blocks
            .iter()
            .zip(&held.spec)
            .map(|(block, planned)| match block {
                Some(index) => nest.axes_of(*index).to_vec(),
                None if planned.iter().any(|a| nest.uses(*a)) => Vec::new(),
                None => planned.clone(),
            })
            .collect();
        let sharding = Sharding { spec, partial };

        let body = self.prepare(&nest, &c.body);
        let guard = c.guard.as_ref().map(|g| self.prepare(&nest, g));
        let subs: Vec<Expr> = store.subs.iter().map(|s| self.prepare(&nest, s)).collect();
        let base = self.reshard(store.base, &sharding);
        let written = nest.indices.ids().filter(|i| !blocks.contains(&Some(*i)));
        let padded: Vec<IndexId> = written.filter(|i| self.is_uneven(&nest, *i)).collect();
        nest.guarded.extend(padded);
        let body = self.localize(&mut nest, &body);
        let mut local_subs = Vec::with_capacity(subs.len());
        for (k, subscript) in subs.iter().enumerate() {
            local_subs.push(match (blocks[k], &sharding.spec[k][..]) {
                (Some(index), _) => Expr::Index(index),
                (None, []) => self.localize(&mut nest, subscript),
                (None, split) => {
                    let start = self.grid.start(self.extent(dims[k]), split);
                    let start = match self.sub_dtype(subscript) {
                        DType::I32 => start,
                        wide => Expr::cast(wide, start),
                    };
                    sub(self.localize(&mut nest, subscript), start)
                }
            });
        }
        let local_dims = self.local_dims(&dims, &sharding.spec);
        let local = self.local_value(c.out, dtype, local_dims);
        let local_store = Store { base, subs: local_subs, combine: store.combine };
        let op = self.finish(
            nest,
            Parts {
                out: local,
                free: c.free,
                reducer: c.reducer,
                guard,
                body,
                store: Some(local_store),
            },
        );
        self.frame().ops.push(op);
        self.settle(c.out, Version { sharding, local });
    }
}
