//! log Σ exp over a split index.
//!
//! Each device has the log-sum-exp of its part, ℓ. With the largest of them, m, the whole is
//! m + log Σ exp(ℓ − m), of which only the sum is left to combine. Where m is not finite it is the
//! result: −∞ if there is nothing to sum, +∞ and NaN as they are found.

use crate::context::{Ctx, Version};
use crate::grid::{add, sub, zero};
use crate::nest::Nest;
use einmesh_ir::{Comprehension, Expr, MeshAxisId, Reducer, Sharding, UnaryOp, ValueId};

impl Ctx {
    /// Partitions a log-sum-exp whose reduced indices are split.
    pub fn log_sum_exp(&mut self, c: &Comprehension, axes: Vec<Vec<MeshAxisId>>) {
        let nest = Nest::new(&c.indices, axes);
        let dims = self.global.values[c.out].dims.clone();
        let dtype = self.global.values[c.out].dtype;
        let wide = dtype.accumulator();
        let whole = Sharding { spec: nest.axes[..c.free].to_vec(), partial: Vec::new() };
        let local_dims = self.local_dims(&dims, &whole.spec);

        let largest = self.temporary(c.out, wide, dims.clone(), whole.clone());
        let part = Comprehension { out: largest, ..c.clone() };
        let mut part = self.reduction(nest, &part, largest);
        let own = part.local;
        let over = |reducer: Reducer| move |(axis, _): &(MeshAxisId, Reducer)| (*axis, reducer);
        part.sharding.partial = part.sharding.partial.iter().map(over(Reducer::Max)).collect();
        let summed = part.sharding.partial.iter().map(over(Reducer::Sum)).collect();
        self.settle(largest, part);
        let largest = self.versions(largest)[0].local;

        let scaled = self.local_value(c.out, wide, local_dims.clone());
        let op = self.elementwise(scaled, |ix| {
            let at = |value: ValueId| Expr::load(value, ix.iter().cloned());
            let exp = Expr::unary(UnaryOp::Exp, sub(at(own), at(largest)));
            let finite = Expr::unary(UnaryOp::IsFinite, at(largest));
            Expr::select(finite, exp, zero(wide))
        });
        self.frame().ops.push(op);
        let sum = self.temporary(c.out, wide, dims, whole.clone());
        self.name_summed(sum, c);
        let partial = Sharding { spec: whole.spec.clone(), partial: summed };
        self.settle(sum, Version { sharding: partial, local: scaled });
        let sum = self.versions(sum)[0].local;

        let local = self.local_value(c.out, dtype, local_dims);
        let op = self.elementwise(local, |ix| {
            let at = |value: ValueId| Expr::load(value, ix.iter().cloned());
            let log = Expr::unary(UnaryOp::Log, at(sum));
            let finite = Expr::unary(UnaryOp::IsFinite, at(largest));
            let result = Expr::select(finite, add(at(largest), log), at(largest));
            if wide == dtype { result } else { Expr::cast(dtype, result) }
        });
        self.frame().ops.push(op);
        self.settle(c.out, Version { sharding: whole, local });
    }
}
