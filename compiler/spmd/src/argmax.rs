//! Positions of extremes over a split index, in two steps.
//!
//! First the extreme itself is reduced over the devices; then, of the positions at which devices
//! found it, the smallest is taken, so that ties go to the lowest. A device that found NaN offers
//! its position, and if any did, the extreme is NaN and no other device does. A device all of
//! whose points are excluded offers none, and if there is no offer the result is 0. Nothing larger
//! than the output is communicated.

use crate::context::{Ctx, Version};
use crate::grid::{add, binary, combines, identity, zero};
use crate::nest::Nest;
use einmesh_ir::{BinaryOp, Comprehension, DType, Expr, Literal, MeshAxisId, Reducer, Sharding};

impl Ctx {
    /// Partitions an arg-max or arg-min whose reduced index is split.
    pub fn arg_extreme(&mut self, c: &Comprehension, mut axes: Vec<Vec<MeshAxisId>>) {
        let extreme = match c.reducer {
            Reducer::ArgMin => Reducer::Min,
            _ => Reducer::Max,
        };
        let dtype = self.global.dtype_of(&c.body);
        let reduced: Vec<_> = c.reduced_indices().collect();
        let [index] = reduced[..] else { unreachable!("an arg-max reduces one index: verified") };
        if !combines(extreme, dtype) {
            axes[index.0 as usize].clear();
            let result = self.reduction(Nest::new(&c.indices, axes), c, c.out);
            return self.settle(c.out, result);
        }
        // What each device finds must be what it compares with.
        let nest = Nest { complete: true, ..Nest::new(&c.indices, axes) };
        let out_dims = self.global.values[c.out].dims.clone();
        let spec = nest.axes[..c.free].to_vec();
        let whole = Sharding { spec: spec.clone(), partial: Vec::new() };

        let best = self.temporary(c.out, dtype, out_dims.clone(), whole.clone());
        let values = Comprehension { reducer: extreme, out: best, ..c.clone() };
        let own = self.reduction(nest.clone(), &values, best);
        let own_best = own.local;
        self.settle(best, own);
        let best = self.versions(best)[0].local;
        let found = self.reduction(nest.clone(), c, c.out).local;
        let excludes = c.guard.is_some() || self.is_uneven(&nest, index);
        let evaluated = excludes.then(|| {
            let flag = self.temporary(c.out, DType::Bool, out_dims.clone(), whole.clone());
            let body = Expr::Literal(Literal::Bool(true));
            let any = Comprehension { reducer: Reducer::Any, out: flag, body, ..c.clone() };
            self.reduction(nest.clone(), &any, flag).local
        });

        let number = self.global.values[c.out].dtype;
        let mut start = self.grid.start(self.index_extent(&nest, index), nest.axes_of(index));
        if number != DType::I32 {
            start = Expr::cast(number, start);
        }
        let none = identity(Reducer::Min, number);
        let dims = self.local_dims(&out_dims, &spec);
        let offer = self.local_value(c.out, number, dims);
        let op = self.elementwise(offer, |ix| {
            let at = |value| Expr::load(value, ix.iter().cloned());
            let mut offers = binary(BinaryOp::Eq, at(own_best), at(best));
            if dtype.is_float() {
                let nan = binary(BinaryOp::Ne, at(own_best), at(own_best));
                offers = binary(BinaryOp::Or, offers, nan);
            }
            if let Some(evaluated) = evaluated {
                offers = binary(BinaryOp::And, at(evaluated), offers);
            }
            Expr::select(offers, add(start, at(found)), none.clone())
        });
        self.frame().ops.push(op);
        let mut partial: Vec<_> = nest.axes_of(index).iter().map(|a| (*a, Reducer::Min)).collect();
        partial.sort();
        let offered = Version { sharding: Sharding { spec, partial }, local: offer };
        if c.guard.is_none() && self.index_extent(&nest, index) > 0 {
            return self.settle(c.out, offered);
        }
        let lowest = self.temporary(c.out, number, out_dims.clone(), whole.clone());
        self.name_summed(lowest, c);
        self.settle(lowest, offered);
        let lowest = self.versions(lowest)[0].local;
        let dims = self.local.values[lowest].dims.clone();
        let local = self.local_value(c.out, number, dims);
        let op = self.elementwise(local, |ix| {
            let lowest = Expr::load(lowest, ix.iter().cloned());
            let nothing = binary(BinaryOp::Eq, lowest.clone(), none);
            Expr::select(nothing, zero(number), lowest)
        });
        self.frame().ops.push(op);
        self.settle(c.out, Version { sharding: whole, local });
    }
}
