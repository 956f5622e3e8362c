//! Operands: what a load needs of its value, and how it then reads it.
//!
//! A dim subscripted by a bare split index is wanted split like the index; a split dim subscripted
//! by an index plus a bounded rest is read with its neighbours' edges ([`crate::halo`]); any other
//! dim is wanted whole and is subscripted by global positions. A dim that is whole already is read
//! at global positions, too: a slice costs nothing when it is never made.

use crate::context::{Ctx, Version};
use crate::grid::{all, clamp, in_range};
use crate::halo::{Halo, Reach};
use crate::nest::Nest;
use einmesh_ir::affine::Affine;
use einmesh_ir::{Bounds, DType, Expr, IndexId, Load, MeshAxisId, Op, Sharding, ValueId};

/// How a load reads one dim of what the device holds.
#[derive(Clone, PartialEq, Debug)]
pub(crate) enum Access {
    /// The dim is whole; the subscript is a global position.
    Whole,
    /// The dim is split like this index, which is its subscript.
    Block(IndexId),
    /// The dim is split like an index and extended by its neighbours' edges.
    Halo(Halo),
}

/// What a load wants of its value.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Want {
    pub sharding: Sharding,
    pub access: Vec<Access>,
}

/// The index that a subscript is, if it is nothing else.
pub(crate) fn bare(sub: &Expr) -> Option<IndexId> {
    Affine::of(sub)?.as_index()
}

impl Ctx {
    /// What a load wants, given how its value is planned.
    pub fn want(&self, nest: &Nest, load: &Load) -> Want {
        let dims = &self.global.values[load.value].dims;
        let held = self.held(load.value);
        let mut access = vec![Access::Whole; dims.len()];
        let mut spec: Vec<Vec<MeshAxisId>> = vec![Vec::new(); dims.len()];
        // Dims that are split as wanted choose first: in a diagonal only one dim can be split.
        for matching in [true, false] {
            for (k, sub) in load.subs.iter().enumerate() {
                let Some(index) = bare(sub) else { continue };
                let axes = nest.axes_of(index);
                let same = self.index_extent(nest, index) == self.extent(dims[k]);
                let taken = spec.iter().flatten().any(|a| axes.contains(a));
                if same && !taken && !axes.is_empty() && (held.spec[k] == axes) == matching {
                    spec[k] = axes.to_vec();
                    access[k] = Access::Block(index);
                }
            }
        }
        for (k, sub) in load.subs.iter().enumerate() {
            let axes = &held.spec[k];
            let taken = spec.iter().flatten().any(|a| axes.contains(a));
            if access[k] != Access::Whole || axes.is_empty() || taken {
                continue;
            }
            if load.bounds != Bounds::Clamp
                && let Some(halo) = self.halo(nest, sub, k, self.extent(dims[k]), axes)
            {
                spec[k] = axes.clone();
                access[k] = Access::Halo(halo);
            }
        }
        let mut partial = held.partial.clone();
        partial.retain(|(axis, _)| nest.keep.contains(axis));
        Want { sharding: Sharding { spec, partial }, access }
    }

    /// A version of the value that serves as it is: each dim is as wanted, or whole.
    pub fn served(&self, value: ValueId, want: &Want) -> Option<Version> {
        let serves = |version: &&Version| {
            let mut dims = version.sharding.spec.iter().zip(&want.sharding.spec);
            version.sharding.partial == want.sharding.partial
                && dims.all(|(have, wanted)| have.is_empty() || have == wanted)
        };
        let versions = self.versions(value).iter().filter(serves);
        versions.min_by_key(|v| v.sharding != want.sharding).cloned()
    }

    /// The load on this device.
    pub fn load(&mut self, nest: &mut Nest, load: &Load) -> Expr {
        let Want { sharding, mut access } = self.want(nest, load);
        let want = Want { sharding, access: access.clone() };
        let version = self.served(load.value, &want).unwrap_or_else(|| {
            let local = self.reshard(load.value, &want.sharding);
            Version { sharding: want.sharding.clone(), local }
        });
        for (access, axes) in access.iter_mut().zip(&version.sharding.spec) {
            if axes.is_empty() {
                *access = Access::Whole;
            }
        }
        let value = self.with_edges(load.value, &version, &access);
        let mut bounds = match &load.bounds {
            Bounds::Else(default) => Bounds::Else(Box::new(self.localize(nest, default))),
            other => other.clone(),
        };
        let mut inside: Vec<Expr> = Vec::new();
        let mut subs = Vec::with_capacity(load.subs.len());
        for (k, sub) in load.subs.iter().enumerate() {
            subs.push(match &access[k] {
                Access::Block(index) => Expr::Index(*index),
                Access::Halo(halo) => {
                    if matches!(bounds, Bounds::Else(_)) {
                        let extent = self.extent(self.dim(load.value, k));
                        let global = self.localize(nest, sub);
                        inside.push(in_range(global, extent, self.sub_dtype(sub)));
                    }
                    halo.local.clone()
                }
                Access::Whole => {
                    let padded = !self.uneven_in(nest, sub).is_empty();
                    let position = self.localize(nest, sub);
                    if bounds == Bounds::Proven && padded {
                        // In range for real positions; padding reads whatever is nearest.
                        let extent = self.extent(self.dim(load.value, k));
                        clamp(position, extent, self.sub_dtype(sub))
                    } else {
                        position
                    }
                }
            });
        }
        let default = match &bounds {
            Bounds::Else(default) if !inside.is_empty() => Some((**default).clone()),
            _ => None,
        };
        if default.is_some() && !access.contains(&Access::Whole) {
            bounds = Bounds::Proven;
        }
        let read = Expr::Load(Load { value, subs, bounds });
        match (all(inside), default) {
            (Some(inside), Some(default)) => Expr::select(inside, read, default),
            _ => read,
        }
    }

    /// The integer type of a subscript.
    pub fn sub_dtype(&self, sub: &Expr) -> DType {
        self.global.dtype_of(sub)
    }

    /// The value extended by its neighbours' edges along the dims that are read so.
    fn with_edges(&mut self, value: ValueId, version: &Version, access: &[Access]) -> ValueId {
        let beyond = access.iter().filter_map(|access| match access {
            Access::Halo(halo) => Some(halo.reach),
            _ => None,
        });
        let reach: Vec<Reach> = beyond.filter(|r| r.left + r.right > 0).collect();
        if reach.is_empty() {
            return version.local;
        }
        let home = self.home(value);
        let key = (version.local, reach.clone());
        if let Some(known) = self.frames[home].halos.get(&key) {
            return *known;
        }
        let mut local = version.local;
        let mut ops: Vec<Op> = Vec::new();
        for reach in reach {
            let axes = &version.sharding.spec[reach.position];
            local = self.extend(value, local, reach, axes, &mut ops);
        }
        self.frames[home].ops.extend(ops);
        self.frames[home].halos.insert(key, local);
        local
    }
}
