//! Layers of stacked values.
//!
//! A loop over layers reads `p.h[l]` of parameters that are stacked along a dim. If such a value has
//! to be communicated, only the current layer is, in each iteration: gathering the stack before the
//! loop would hold every layer at once.

use crate::context::{Ctx, Version};
use crate::nest::Nest;
use einmesh_ir::affine::{Affine, Atom};
use einmesh_ir::{DimId, Expr, Load, LoopVarId, Sharding};

impl Ctx {
    /// The load from this iteration's layer of a stacked value that has to be communicated, so that
    /// only the layer is.
    pub fn layer(&mut self, nest: &Nest, load: &Load) -> Option<Load> {
        let value = load.value;
        let held = self.held(value).clone();
        let dims = self.global.values[value].dims.clone();
        let stacked = load.subs.iter().enumerate().filter_map(|(k, sub)| {
            let Atom::LoopVar(var) = Affine::of(sub)?.as_atom()? else {
                return None;
            };
            let within = self.extent(self.global.loop_vars[var].dim) <= self.extent(dims[k]);
            (within && held.spec[k].is_empty()).then_some((k, var))
        });
        let stacked: Vec<(usize, LoopVarId)> = stacked.collect();
        let inside = self.frames.iter().rposition(|f| {
            f.looping.is_some_and(|(var, _)| stacked.iter().any(|(_, v)| *v == var))
        })?;
        if self.home(value) >= inside || self.served(value, &self.want(nest, load)).is_some() {
            return None;
        }
        let kept = |k: &usize| !stacked.iter().any(|(at, _)| at == k);
        let rest: Vec<usize> = (0..dims.len()).filter(kept).collect();
        let key = (value, stacked.clone());
        let layer = match self.frames[inside].layers.get(&key) {
            Some(known) => *known,
            None => {
                let spec = rest.iter().map(|k| held.spec[*k].clone()).collect();
                let sharding = Sharding { spec, partial: held.partial.clone() };
                let layer_dims: Vec<DimId> = rest.iter().map(|k| dims[*k]).collect();
                let dtype = self.global.values[value].dtype;
                let layer = self.temporary(value, dtype, layer_dims.clone(), sharding.clone());
                let stack = self.versions(value)[0].local;
                let local_dims = self.local_dims(&layer_dims, &sharding.spec);
                let out = self.local_value(value, dtype, local_dims);
                let op = self.elementwise(out, |ix| {
                    let mut ix = ix.iter().cloned();
                    let subs =
                        (0..dims.len()).map(|k| match stacked.iter().find(|(at, _)| *at == k) {
                            Some((_, var)) => Expr::LoopVar(*var),
                            None => ix.next().expect("an index for each kept dim"),
                        });
                    Expr::load(stack, subs.collect::<Vec<_>>())
                });
                let frame = &mut self.frames[inside];
                frame.ops.push(op);
                frame.layers.insert(key, layer);
                let version = Version { sharding, local: out };
                frame.versions.insert(layer, vec![version]);
                layer
            }
        };
        let subs = rest.iter().map(|k| load.subs[*k].clone()).collect();
        Some(Load { value: layer, subs, bounds: load.bounds.clone() })
    }
}
