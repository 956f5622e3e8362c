//! The state of partitioning: the program so far, and where each value can be found.

use crate::grid::Grid;
use crate::halo::Reach;
use einmesh_ir::spmd::Provenance;
use einmesh_ir::{
    Arena, Block, Collective, CollectiveKind, Comprehension, DType, Dim, DimId, DimLayout, Expr,
    Id, Index, IndexId, Layout, LoopVarId, MeshAxisId, Op, Origin, Program, Reducer, Sharding,
    Value, ValueId,
};
use einmesh_plan::Plan;
use std::collections::BTreeMap;

/// A value as it exists on the devices.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Version {
    /// Its layout.
    pub sharding: Sharding,
    /// The local value.
    pub local: ValueId,
}

/// A block under construction, with the values that live in it.
#[derive(Default, Debug)]
pub(crate) struct Frame {
    /// The local operations so far.
    pub ops: Vec<Op>,
    /// The loop whose body it is, with its trip count; `None` for the entry's block.
    pub looping: Option<(LoopVarId, u64)>,
    /// The versions of each global value defined here; the first is the planned one.
    pub versions: BTreeMap<ValueId, Vec<Version>>,
    /// Layers cut out of stacked values: the global value that holds each.
    pub layers: BTreeMap<(ValueId, Vec<(usize, LoopVarId)>), ValueId>,
    /// Local values with their neighbours' edges.
    pub halos: BTreeMap<(ValueId, Vec<Reach>), ValueId>,
}

/// Everything that the stages of partitioning share.
pub(crate) struct Ctx {
    /// The whole program without its body, plus the temporaries that partitioning adds.
    pub global: Program,
    /// The plan, normalised, with placements of the temporaries.
    pub plan: Plan,
    /// The arithmetic of blocks.
    pub grid: Grid,
    /// What every device runs, without its body.
    pub local: Program,
    /// The enclosing blocks, outermost first.
    pub frames: Vec<Frame>,
    /// The name of the index whose split makes a value partial over an axis.
    pub summed: BTreeMap<(ValueId, MeshAxisId), String>,
    /// The statement that is being partitioned.
    pub reader: ValueId,
    dims: BTreeMap<(DimId, u64), DimId>,
    /// The number of values of the whole program; those beyond are temporaries.
    named: usize,
}

impl Ctx {
    pub fn new(source: &Program, plan: Plan) -> Ctx {
        let global = Program { body: Block::default(), ..source.clone() };
        let local = Program { values: Arena::new(), ..global.clone() };
        Ctx {
            global,
            grid: Grid { mesh: plan.mesh.clone() },
            plan,
            local,
            frames: vec![Frame::default()],
            summed: BTreeMap::new(),
            reader: ValueId(0),
            dims: BTreeMap::new(),
            named: source.values.len(),
        }
    }

    /// The planned sharding of a global value.
    pub fn held(&self, value: ValueId) -> &Sharding {
        &self.plan.shardings[value]
    }

    /// Whether partitioning added a value.
    pub fn is_temporary(&self, value: ValueId) -> bool {
        value.index() >= self.named
    }

    pub fn extent(&self, dim: DimId) -> u64 {
        self.global.dims[dim].extent
    }

    /// The block under construction.
    pub fn frame(&mut self) -> &mut Frame {
        self.frames.last_mut().expect("there is always the entry's block")
    }

    /// The depth of the block that a global value lives in.
    pub fn home(&self, value: ValueId) -> usize {
        let lives = |frame: &Frame| frame.versions.contains_key(&value);
        self.frames.iter().rposition(lives).expect("values are defined before they are used")
    }

    /// The versions of a global value, the planned one first.
    pub fn versions(&self, value: ValueId) -> &[Version] {
        &self.frames[self.home(value)].versions[&value]
    }

    /// Defines a global value in the current block.
    pub fn define(&mut self, value: ValueId, sharding: Sharding, local: ValueId) {
        self.frame().versions.insert(value, vec![Version { sharding, local }]);
    }

    /// How often the current block runs for each run of the block at `depth`.
    pub fn trips_since(&self, depth: usize) -> u64 {
        let trips = self.frames[depth + 1..].iter().filter_map(|f| f.looping);
        trips.map(|(_, trips)| trips).product()
    }

    /// A dim of the device's program: as many positions of `dim` as a device holds.
    pub fn local_dim(&mut self, dim: DimId, extent: u64) -> DimId {
        if extent == self.extent(dim) {
            return dim;
        }
        let name = format!("{}_{extent}", self.global.dims[dim].name);
        let dims = &mut self.local.dims;
        *self
            .dims
            .entry((dim, extent))
            .or_insert_with(|| dims.push(Dim { name, extent, role_of: None, symbolic: false }))
    }

    /// The local dims of a value with these global dims and this split.
    pub fn local_dims(&mut self, dims: &[DimId], spec: &[Vec<MeshAxisId>]) -> Vec<DimId> {
        let pairs = dims.iter().zip(spec);
        pairs
            .map(|(dim, axes)| {
                let extent = self.grid.local(self.extent(*dim), axes);
                self.local_dim(*dim, extent)
            })
            .collect()
    }

    /// A new local value named after a global one.
    pub fn local_value(&mut self, like: ValueId, dtype: DType, dims: Vec<DimId>) -> ValueId {
        let Value { name, origin, .. } = &self.global.values[like];
        let (name, origin) = (name.clone(), origin.clone());
        self.local.values.push(Value { name, dtype, dims, origin })
    }

    /// A new global value, held as `sharding`: a temporary in the place of a part of `like`.
    pub fn temporary(
        &mut self,
        like: ValueId,
        dtype: DType,
        dims: Vec<DimId>,
        sharding: Sharding,
    ) -> ValueId {
        let Value { name, origin, .. } = &self.global.values[like];
        let value = Value { name: name.clone(), dtype, dims, origin: origin.clone() };
        let id = self.global.values.push(value);
        self.plan.shardings.push(sharding);
        for axis in self.grid.mesh.axes.ids() {
            if let Some(reason) = self.plan.reasons.get(&(like, axis)) {
                self.plan.reasons.insert((id, axis), reason.clone());
            }
        }
        id
    }

    /// A local comprehension over all of `dims` without reduction: a copy, slice or mask.
    pub fn elementwise(&mut self, out: ValueId, body: impl FnOnce(&[Expr]) -> Expr) -> Op {
        let dims = self.local.values[out].dims.clone();
        let indices: Arena<IndexId, Index> = dims
            .iter()
            .map(|d| Index { name: self.local.dims[*d].name.to_lowercase(), dim: *d })
            .collect();
        let exprs: Vec<Expr> = indices.ids().map(Expr::Index).collect();
        Op::Compute(Comprehension {
            out,
            free: indices.len(),
            indices,
            reducer: Reducer::None,
            guard: None,
            body: body(&exprs),
            store: None,
        })
    }

    /// A collective on the local value `input`.
    pub fn collective(
        kind: CollectiveKind,
        axes: &[MeshAxisId],
        input: ValueId,
        out: ValueId,
        provenance: Provenance,
    ) -> Op {
        Op::Collective(Collective { kind, axes: axes.to_vec(), input, out, provenance })
    }

    /// Why a collective over `axes` moves the global value `value`; `dim` is the dim that is split,
    /// unless it is a reduction.
    pub fn provenance(
        &self,
        value: ValueId,
        dim: Option<DimId>,
        axes: &[MeshAxisId],
    ) -> Provenance {
        let reason = |axis: &MeshAxisId| {
            let reasons = &self.plan.reasons;
            reasons.get(&(value, *axis)).or_else(|| reasons.get(&(self.reader, *axis)))
        };
        let reasons: Vec<_> = axes.iter().filter_map(reason).collect();
        let mut decorators: Vec<&str> = Vec::new();
        for reason in &reasons {
            if !decorators.contains(&reason.decorator.as_str()) {
                decorators.push(&reason.decorator);
            }
        }
        let summed = axes.iter().find_map(|a| self.summed.get(&(value, *a)));
        let index = match (dim, summed) {
            (Some(dim), _) => self.global.dims[dim].name.to_lowercase(),
            (None, Some(name)) => name.clone(),
            (None, None) => reasons.first().map(|r| r.dim.to_lowercase()).unwrap_or_default(),
        };
        let origin: Origin = self.global.values[self.reader].origin.clone();
        Provenance { origin, index, decorator: decorators.join(" ") }
    }

    /// The layout of a global value that is held with this split.
    pub fn layout(&self, value: ValueId, sharding: &Sharding) -> Layout {
        let dims = self.global.values[value].dims.iter().zip(&sharding.spec);
        let dims = dims.map(|(dim, axes)| DimLayout {
            global: self.extent(*dim),
            local: self.grid.local(self.extent(*dim), axes),
            axes: axes.clone(),
        });
        Layout { dims: dims.collect() }
    }
}
