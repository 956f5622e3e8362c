//! Loads from split dims at computed places: embedding tables, targets' logits, stacked layers.
//!
//! Each device reads what lies in its own block and zero elsewhere; the sum over devices is the
//! element. That is a temporary over the indices of the subscripts, partial over the axes that
//! split the looked-up dims, and from there on a value like any other: its reduction may be
//! scattered or delayed. Where gathering the table moves fewer bytes, it is gathered instead.
//!
//! Subscripts are clamped to the whole value before a device compares them with its block.

use crate::context::Ctx;
use crate::grid::{all, clamp, in_range, sub, zero};
use crate::nest::{Nest, Parts};
use crate::operand::{Access, Want, bare};
use einmesh_ir::affine::{Affine, Atom};
use einmesh_ir::{
    Arena, Bounds, DType, DimId, Expr, IndexId, Load, LoopVarId, MeshAxisId, Reducer, Sharding,
};

impl Ctx {
    /// Replaces loads by loads of temporaries: layers of stacked values that must be moved, and
    /// lookups.
    pub fn prepare(&mut self, nest: &Nest, expr: &Expr) -> Expr {
        let mut expr = expr.clone();
        if let Expr::Load(load) = &mut expr {
            if let Some(layer) = self.layer(nest, load) {
                *load = layer;
            }
            if let Some(found) = self.lookup(nest, load) {
                return found;
            }
        }
        for child in expr.children_mut() {
            *child = self.prepare(nest, child);
        }
        expr
    }

    /// The load from this iteration's layer of a stacked value that has to be communicated, so that
    /// only the layer is.
    fn layer(&mut self, nest: &Nest, load: &Load) -> Option<Load> {
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
            f.looping
                .is_some_and(|(var, _)| stacked.iter().any(|(_, v)| *v == var))
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
                let sharding = Sharding {
                    spec,
                    partial: held.partial.clone(),
                };
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
                let version = crate::context::Version {
                    sharding,
                    local: out,
                };
                frame.versions.insert(layer, vec![version]);
                layer
            }
        };
        let subs = rest.iter().map(|k| load.subs[*k].clone()).collect();
        Some(Load {
            value: layer,
            subs,
            bounds: load.bounds.clone(),
        })
    }

    /// The load as a sum of what each device finds in its block, if it has to be and pays off.
    fn lookup(&mut self, nest: &Nest, load: &Load) -> Option<Expr> {
        let value = load.value;
        let dtype = self.global.values[value].dtype;
        let dims = self.global.values[value].dims.clone();
        let held = self.held(value).clone();
        let want = self.want(nest, load);
        if dtype == DType::Key || self.served(value, &want).is_some() {
            return None;
        }
        let same = |ctx: &Ctx, k: usize| {
            let index = bare(&load.subs[k]);
            index.is_some_and(|i| ctx.index_extent(nest, i) == ctx.extent(dims[k]))
        };
        let halo = |access: &Access| matches!(access, Access::Halo(_));
        let own = |k: &usize| {
            !held.spec[*k].is_empty() && want.access[*k] == Access::Whole && !same(self, *k)
        };
        let owned: Vec<usize> = (0..dims.len()).filter(own).collect();
        if owned.is_empty() || want.access.iter().any(halo) {
            return None;
        }
        let axes: Vec<MeshAxisId> = owned.iter().flat_map(|k| held.spec[*k].clone()).collect();
        let over = Over { dims: owned, axes };
        let Part {
            nest: mut inner,
            map,
        } = self.lookup_nest(nest, load, &over.axes)?;
        if !self.pays_off(nest, &inner, load, &want, &over) {
            return None;
        }
        let Over {
            dims: owned,
            axes: over,
        } = over;
        let renamed = |e: &Expr| {
            e.clone().map(&mut |e| match e {
                Expr::Index(i) => Expr::Index(map[i.0 as usize].expect("a used index")),
                other => other,
            })
        };
        let subs: Vec<Expr> = load.subs.iter().map(renamed).collect();
        let subs: Vec<Expr> = subs.iter().map(|s| self.prepare(&inner, s)).collect();
        let found = Load {
            value,
            subs,
            bounds: load.bounds.clone(),
        };

        // What each device reads: its block of the looked-up dims, the rest as any load would.
        let Want {
            mut sharding,
            access,
        } = self.want(&inner, &found);
        for k in &owned {
            sharding.spec[*k] = held.spec[*k].clone();
        }
        let exact = |v: &&crate::context::Version| {
            let fits = |k: usize| {
                let have = &v.sharding.spec[k];
                *have == sharding.spec[k] || (have.is_empty() && !owned.contains(&k))
            };
            v.sharding.partial.is_empty() && (0..dims.len()).all(fits)
        };
        let version = self.versions(value).iter().find(exact).cloned();
        let (local, spec) = match version {
            Some(version) => (version.local, version.sharding.spec),
            None => (self.reshard(value, &sharding), sharding.spec.clone()),
        };
        let mut local_subs = Vec::with_capacity(dims.len());
        for (k, subscript) in found.subs.iter().enumerate() {
            let extent = self.extent(dims[k]);
            if let Access::Block(index) = access[k]
                && !spec[k].is_empty()
            {
                local_subs.push(Expr::Index(index));
                continue;
            }
            let dtype = self.sub_dtype(subscript);
            let mut at = self.localize(&mut inner, subscript);
            if load.bounds == Bounds::Clamp {
                at = clamp(at, extent, dtype);
            }
            if owned.contains(&k) {
                let start = self.grid.start(extent, &spec[k]);
                at = sub(
                    at,
                    if dtype == DType::I32 {
                        start
                    } else {
                        Expr::cast(dtype, start)
                    },
                );
            }
            local_subs.push(at);
        }
        let bounds = Bounds::Else(Box::new(zero(dtype)));
        let body = Expr::Load(Load {
            value: local,
            subs: local_subs,
            bounds,
        });

        let found_dims: Vec<DimId> = inner.indices.values().map(|i| i.dim).collect();
        let reducer = if dtype == DType::Bool {
            Reducer::Any
        } else {
            Reducer::Sum
        };
        let mut partial: Vec<_> = over.iter().map(|a| (*a, reducer)).collect();
        partial.sort();
        let sharding = Sharding {
            spec: inner.axes.clone(),
            partial,
        };
        let local_dims = self.local_dims(&found_dims, &sharding.spec);
        let out = self.local_value(value, dtype, local_dims);
        let result = self.temporary(value, dtype, found_dims, sharding.clone());
        for k in &owned {
            for axis in &held.spec[*k] {
                let name = self.global.dims[dims[*k]].name.to_lowercase();
                self.summed.insert((result, *axis), name);
            }
        }
        let free = inner.indices.len();
        let parts = Parts {
            out,
            free,
            reducer: Reducer::None,
            guard: None,
            body,
            store: None,
        };
        let op = self.finish(inner, parts);
        self.frame().ops.push(op);
        self.define(result, sharding, out);

        let used = (0..map.len() as u32)
            .map(IndexId)
            .filter(|i| map[i.0 as usize].is_some());
        let read = Expr::load(result, used.map(Expr::Index));
        let Bounds::Else(default) = &load.bounds else {
            return Some(read);
        };
        let default = self.prepare(nest, default);
        let mut conditions: Vec<Expr> = Vec::new();
        for k in 0..dims.len() {
            if !same(self, k) {
                let at = self.prepare(nest, &load.subs[k]);
                let dtype = self.sub_dtype(&at);
                conditions.push(in_range(at, self.extent(dims[k]), dtype));
            }
        }
        let inside = all(conditions).expect("a looked-up dim has a computed subscript");
        Some(Expr::select(inside, read, default))
    }

    /// The index space of a lookup: the indices that occur in the subscripts, split by all their
    /// axes but those of the lookup. `None` if two of them range over one dim.
    fn lookup_nest(&self, nest: &Nest, load: &Load, over: &[MeshAxisId]) -> Option<Part> {
        let mut indices = Arena::new();
        let mut axes: Vec<Vec<MeshAxisId>> = Vec::new();
        let mut dims: Vec<DimId> = Vec::new();
        let mut map = Vec::with_capacity(nest.indices.len());
        for (id, index) in nest.indices.iter() {
            if !load.subs.iter().any(|s| s.mentions(id)) {
                map.push(None);
                continue;
            }
            if dims.contains(&index.dim) {
                return None;
            }
            dims.push(index.dim);
            let kept = nest.axes_of(id).iter().filter(|a| !over.contains(a));
            axes.push(kept.copied().collect());
            map.push(Some(indices.push(index.clone())));
        }
        Some(Part {
            nest: Nest::new(&indices, axes),
            map,
        })
    }

    /// Whether to sum what was found rather than gather the looked-up dims: where a plan counts on
    /// it, which is for loaded subscripts and axes that split no index, and else if it moves no
    /// more bytes.
    fn pays_off(&self, whole: &Nest, part: &Nest, load: &Load, want: &Want, over: &Over) -> bool {
        let loaded = |k: &usize| !load.subs[*k].loads().is_empty();
        if over.dims.iter().any(loaded) && !over.axes.iter().any(|a| whole.uses(*a)) {
            return true;
        }
        let indices = part.indices.ids();
        let block = |i| self.grid.local(self.index_extent(part, i), part.axes_of(i));
        let found: u64 = indices.map(block).product();
        let extents = self.global.extents(load.value);
        let gathered = |k: usize| self.grid.local(extents[k], &want.sharding.spec[k]);
        let gathered: u64 = (0..extents.len()).map(gathered).product();
        2 * found * self.trips_since(self.home(load.value)) <= gathered
    }
}

/// What a lookup is over.
struct Over {
    /// The positions of the split dims.
    dims: Vec<usize>,
    /// The axes that split them.
    axes: Vec<MeshAxisId>,
}

/// An index space that is part of another.
struct Part {
    nest: Nest,
    /// For each index of the whole, which of the part's it is.
    map: Vec<Option<IndexId>>,
}
