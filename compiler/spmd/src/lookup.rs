//! Loads from split dims at computed places: embedding tables, targets' logits, stacked layers.
//!
//! Each device reads what lies in its own block and zero elsewhere; the sum over devices is the
//! element. That is a temporary over the indices of the subscripts, partial over the axes that
//! split the looked-up dims, and from there on a value like any other: its reduction may be
//! scattered or delayed. Where gathering the table moves fewer bytes, it is gathered instead.
//!
//! Subscripts are clamped to the whole value before a device compares them with its block.

use crate::context::{Ctx, Version};
use crate::grid::{all, clamp, in_range, sub, zero};
use crate::nest::{Nest, Parts};
use crate::operand::{Access, Want, bare};
use einmesh_ir::affine::{Affine, Atom};
use einmesh_ir::{
    Arena, Bounds, DType, DimId, Expr, IndexId, Load, MeshAxisId, Reducer, Sharding, ValueId,
};

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

    /// The load as a sum of what each device finds in its block, if it has to be and pays off.
    fn lookup(&mut self, nest: &Nest, load: &Load) -> Option<Expr> {
        let over = self.looked_up(nest, load)?;
        let part = self.part(nest, load, &over.axes)?;
        if !self.pays_off(nest, &part.nest, load, &over) {
            return None;
        }
        let used: Vec<IndexId> =
            nest.indices.ids().filter(|i| part.map[i.0 as usize].is_some()).collect();
        let result = self.find(part, load, &over);
        let read = Expr::load(result, used.into_iter().map(Expr::Index));
        let Bounds::Else(default) = &load.bounds else {
            return Some(read);
        };
        let default = self.prepare(nest, default);
        let mut conditions: Vec<Expr> = Vec::new();
        for (k, subscript) in load.subs.iter().enumerate() {
            if !self.is_whole_index(nest, load, k) {
                let at = self.prepare(nest, subscript);
                let dtype = self.sub_dtype(&at);
                conditions.push(in_range(at, self.extent(self.dim(load.value, k)), dtype));
            }
        }
        let inside = all(conditions).expect("a looked-up dim has a computed subscript");
        Some(Expr::select(inside, read, default))
    }

    /// Whether a subscript is an index that runs over just the dim it subscripts.
    fn is_whole_index(&self, nest: &Nest, load: &Load, k: usize) -> bool {
        let extent = self.extent(self.dim(load.value, k));
        bare(&load.subs[k]).is_some_and(|i| self.index_extent(nest, i) == extent)
    }

    /// Whether a subscript is in range at all real positions of the indices.
    fn stays_inside(&self, nest: &Nest, subscript: &Expr, extent: u64) -> bool {
        let extent_of = |atom| match atom {
            Atom::Index(i) => Some(self.index_extent(nest, i)),
            Atom::LoopVar(var) => Some(self.extent(self.global.loop_vars[var].dim)),
            Atom::Coord(_) => None,
        };
        let range = Affine::of(subscript).and_then(|form| form.range_with(extent_of));
        range.is_some_and(|range| *range.start() >= 0 && *range.end() < extent as i64)
    }

    /// The split dims that the load reads at computed places; `None` if there are none, or if the
    /// value is at hand as the load wants it.
    fn looked_up(&self, nest: &Nest, load: &Load) -> Option<Over> {
        let Want { access, .. } = &self.want(nest, load);
        let held = self.held(load.value);
        let sums = self.global.values[load.value].dtype != DType::Key;
        let edges = access.iter().any(|access| matches!(access, Access::Halo(_)));
        // What is never evaluated may be out of range; a part of an empty space may have points.
        let empty = nest.indices.values().any(|i| self.extent(i.dim) == 0);
        if !sums || edges || empty || self.served(load.value, &self.want(nest, load)).is_some() {
            return None;
        }
        let own = |k: &usize| {
            let whole = access[*k] == Access::Whole && !self.is_whole_index(nest, load, *k);
            whole && !held.spec[*k].is_empty()
        };
        let dims: Vec<usize> = (0..access.len()).filter(own).collect();
        let axes = dims.iter().flat_map(|k| held.spec[*k].clone()).collect();
        (!dims.is_empty()).then_some(Over { dims, axes })
    }

    /// The index space of a lookup: the indices that occur in the subscripts, split by all their
    /// axes but those of the lookup. `None` if two of them range over one dim.
    fn part(&self, nest: &Nest, load: &Load, over: &[MeshAxisId]) -> Option<Part> {
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
        Some(Part { nest: Nest::new(&indices, axes), map })
    }

    /// Whether to sum what was found rather than gather the looked-up dims: where a plan counts on
    /// it, which is for loaded subscripts and axes that split no index, and else if it moves
    /// fewer bytes.
    fn pays_off(&self, whole: &Nest, part: &Nest, load: &Load, over: &Over) -> bool {
        let loaded = |k: &usize| !load.subs[*k].loads().is_empty();
        if over.dims.iter().any(loaded) && !over.axes.iter().any(|a| whole.uses(*a)) {
            return true;
        }
        let block = |i| self.grid.local(self.index_extent(part, i), part.axes_of(i));
        let found: u64 = part.indices.ids().map(block).product();
        let want = self.want(whole, load);
        let extents = self.global.extents(load.value);
        let gathered: u64 = crate::path::local_bytes(&self.grid, &extents, &want.sharding, 1);
        2 * found * self.trips_since(self.home(load.value)) < gathered
    }

    /// Emits the lookup; the result is a temporary over the part's indices.
    fn find(&mut self, part: Part, load: &Load, over: &Over) -> ValueId {
        let Part { nest: mut inner, map } = part;
        let value = load.value;
        let dtype = self.global.values[value].dtype;
        let mut subs: Vec<Expr> = Vec::with_capacity(load.subs.len());
        for subscript in &load.subs {
            let renamed = subscript.clone().map(&mut |e| match e {
                Expr::Index(i) => Expr::Index(map[i.0 as usize].expect("a used index")),
                other => other,
            });
            subs.push(self.prepare(&inner, &renamed));
        }
        let found = Load { value, subs, bounds: load.bounds.clone() };
        let (version, access) = self.own_blocks(&inner, &found, over);
        let local_subs = self.own_subscripts(&mut inner, &found, over, &version, &access);
        let bounds = Bounds::Else(Box::new(zero(dtype)));
        let body = Expr::Load(Load { value: version.local, subs: local_subs, bounds });

        let dims: Vec<DimId> = inner.indices.values().map(|i| i.dim).collect();
        let reducer = if dtype == DType::Bool { Reducer::Any } else { Reducer::Sum };
        let mut partial: Vec<_> = over.axes.iter().map(|a| (*a, reducer)).collect();
        partial.sort();
        let sharding = Sharding { spec: inner.axes.clone(), partial };
        let local_dims = self.local_dims(&dims, &sharding.spec);
        let out = self.local_value(value, dtype, local_dims);
        let result = self.temporary(value, dtype, dims, sharding.clone());
        for k in &over.dims {
            for axis in self.held(value).spec[*k].clone() {
                let name = self.global.dims[self.dim(value, *k)].name.to_lowercase();
                self.summed.insert((result, axis), name);
            }
        }
        let free = inner.indices.len();
        let parts = Parts { out, free, reducer: Reducer::None, guard: None, body, store: None };
        let op = self.finish(inner, parts);
        self.frame().ops.push(op);
        self.define(result, sharding, out);
        result
    }

    /// The value with the looked-up dims as they are held, and the others as the load wants them.
    fn own_blocks(&mut self, nest: &Nest, load: &Load, over: &Over) -> (Version, Vec<Access>) {
        let Want { mut sharding, mut access } = self.want(nest, load);
        for (k, access) in access.iter_mut().enumerate() {
            if over.dims.contains(&k) {
                sharding.spec[k] = self.held(load.value).spec[k].clone();
            } else if matches!(access, Access::Halo(_)) {
                // Without the lookup's axes an index may fit a dim that it did not fit before.
                sharding.spec[k].clear();
                *access = Access::Whole;
            }
        }
        let serves = |version: &&Version| {
            let mut dims = version.sharding.spec.iter().zip(&sharding.spec).enumerate();
            version.sharding.partial.is_empty()
                && dims.all(|(k, (have, wanted))| {
                    have == wanted || (have.is_empty() && !over.dims.contains(&k))
                })
        };
        let version = self.versions(load.value).iter().find(serves).cloned();
        let version = version.unwrap_or_else(|| {
            let local = self.reshard(load.value, &sharding);
            Version { sharding, local }
        });
        for (access, axes) in access.iter_mut().zip(&version.sharding.spec) {
            if axes.is_empty() {
                *access = Access::Whole;
            }
        }
        (version, access)
    }

    /// Subscripts into what the device holds; out of range where the element is another's.
    fn own_subscripts(
        &mut self,
        nest: &mut Nest,
        load: &Load,
        over: &Over,
        version: &Version,
        access: &[Access],
    ) -> Vec<Expr> {
        let mut subs = Vec::with_capacity(load.subs.len());
        for (k, subscript) in load.subs.iter().enumerate() {
            if let Access::Block(index) = access[k] {
                subs.push(Expr::Index(index));
                continue;
            }
            let extent = self.extent(self.dim(load.value, k));
            let dtype = self.sub_dtype(subscript);
            let mut at = self.localize(nest, subscript);
            if load.bounds == Bounds::Clamp && !self.stays_inside(nest, subscript, extent) {
                at = clamp(at, extent, dtype);
            }
            if over.dims.contains(&k) {
                let start = self.grid.start(extent, &version.sharding.spec[k]);
                at = sub(at, if dtype == DType::I32 { start } else { Expr::cast(dtype, start) });
            }
            subs.push(at);
        }
        subs
    }
}
