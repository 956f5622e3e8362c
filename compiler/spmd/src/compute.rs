//! Comprehensions.
//!
//! A comprehension runs on each device's part of its index space. What it leaves is split like its
//! free indices and partial over the axes of its split reduced indices (and over those on which its
//! operands stayed partial); from there a reshard path leads to the planned sharding.

use crate::context::{Ctx, Version};
use crate::grid::combines;
use crate::nest::{Nest, Parts};
use einmesh_ir::{Comprehension, DType, Expr, MeshAxisId, Reducer, Sharding, ValueId};

impl Ctx {
    /// The axes that split each index of a comprehension.
    fn loops(&self, c: &Comprehension) -> Vec<Vec<MeshAxisId>> {
        let unsplit = || vec![Vec::new(); c.indices.len()];
        self.plan.loops.get(&c.out).cloned().unwrap_or_else(unsplit)
    }

    /// Partitions a comprehension.
    pub fn comprehension(&mut self, c: &Comprehension) {
        self.reader = c.out;
        let mut axes = self.loops(c);
        if c.store.is_some() {
            return self.store(c, axes);
        }
        if axes[c.free..].iter().any(|split| !split.is_empty()) {
            match c.reducer {
                Reducer::ArgMax | Reducer::ArgMin => return self.arg_extreme(c, axes),
                Reducer::LogSumExp => return self.log_sum_exp(c, axes),
                reducer if combines(reducer, self.global.values[c.out].dtype) => {}
                // Whatever cannot be combined across devices is computed on each.
                _ => axes[c.free..].iter_mut().for_each(Vec::clear),
            }
        }
        let nest = Nest::new(&c.indices, axes);
        let result = self.reduction(nest, c, c.out);
        self.settle(c.out, result);
    }

    /// Computes a comprehension without store on each device's part of its index space. `out` is
    /// the global value that the result is, before it is resharded.
    pub fn reduction(&mut self, mut nest: Nest, c: &Comprehension, out: ValueId) -> Version {
        let body = self.prepare(&nest, &c.body);
        let guard = c.guard.as_ref().map(|g| self.prepare(&nest, g));
        let (body, mut partial) = self.delay(&nest, c, body, guard.as_ref());
        for (axis, _) in &partial {
            self.inherit(out, *axis, &body);
        }
        nest.keep.extend(partial.iter().map(|(axis, _)| *axis));
        for index in c.reduced_indices() {
            for axis in nest.axes_of(index) {
                partial.push((*axis, c.reducer));
                self.summed.insert((out, *axis), c.indices[index].name.clone());
            }
        }
        partial.sort();
        let sharding = Sharding { spec: nest.axes[..c.free].to_vec(), partial };
        let dtype = self.partial_dtype(c, &sharding);
        let dims = self.local_dims(&self.global.values[out].dims.clone(), &sharding.spec);
        let local = self.local_value(out, dtype, dims);
        let body = self.localize(&mut nest, &body);
        let Comprehension { free, reducer, .. } = *c;
        let op = self.finish(nest, Parts { out: local, free, reducer, guard, body, store: None });
        self.frame().ops.push(op);
        Version { sharding, local }
    }

    /// A result that is partial because its operands are has the reasons of the first of them.
    fn inherit(&mut self, out: ValueId, axis: MeshAxisId, body: &Expr) {
        let over = |v: &ValueId| self.held(*v).partial.iter().any(|(a, _)| *a == axis);
        let operands = body.loads().into_iter().map(|load| load.value);
        let Some(first) = operands.filter(over).min() else {
            return;
        };
        if let Some(name) = self.summed.get(&(first, axis)).cloned() {
            self.summed.insert((out, axis), name);
        }
        if let Some(reason) = self.plan.reasons.get(&(first, axis)).cloned() {
            self.plan.reasons.entry((out, axis)).or_insert(reason);
        }
    }

    /// Names the split indices of `c` as what makes a temporary partial, for provenance.
    pub fn name_summed(&mut self, value: ValueId, c: &Comprehension) {
        for (split, index) in self.loops(c).iter().zip(c.indices.values()).skip(c.free) {
            for axis in split {
                self.summed.insert((value, *axis), index.name.clone());
            }
        }
    }

    /// The type in which partial results are combined: sums round to the output's type only when
    /// they are complete.
    fn partial_dtype(&self, c: &Comprehension, sharding: &Sharding) -> DType {
        let dtype = self.global.values[c.out].dtype;
        match c.reducer {
            Reducer::Sum | Reducer::Prod if !sharding.partial.is_empty() => {
                self.global.dtype_of(&c.body).accumulator()
            }
            _ => dtype,
        }
    }

    /// Brings what was computed of `out` to its planned sharding, and defines it.
    pub fn settle(&mut self, out: ValueId, mut result: Version) {
        let held = self.held(out).clone();
        let dtype = self.global.values[out].dtype;
        let wide = self.local.values[result.local].dtype;
        if wide != dtype {
            let complete = Sharding { partial: Vec::new(), ..held.clone() };
            let dims = self.global.values[out].dims.clone();
            let sums = self.temporary(out, wide, dims.clone(), complete.clone());
            for axis in self.grid.mesh.axes.ids() {
                if let Some(name) = self.summed.get(&(out, axis)).cloned() {
                    self.summed.insert((sums, axis), name);
                }
            }
            self.define(sums, result.sharding, result.local);
            let sum = self.reshard(sums, &complete);
            let local_dims = self.local_dims(&dims, &complete.spec);
            let local = self.local_value(out, dtype, local_dims);
            let op = self
                .elementwise(local, |ix| Expr::cast(dtype, Expr::load(sum, ix.iter().cloned())));
            self.frame().ops.push(op);
            result = Version { sharding: complete, local };
        }
        self.define(out, result.sharding, result.local);
        self.reshard(out, &held);
        self.plan_first(out);
    }

    /// Puts the planned version of a value before its others.
    fn plan_first(&mut self, value: ValueId) {
        let held = self.held(value).clone();
        let versions = self.frame().versions.get_mut(&value).expect("just defined");
        let planned = versions.iter().position(|v| v.sharding == held);
        versions[..=planned.expect("just resharded")].rotate_right(1);
    }
}
