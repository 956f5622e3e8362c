//! The plan as a person reads it: one row per value, in program order.

mod table;

use crate::cost::{bytes_of, product, total};
use crate::{Plan, Reason};
use einmesh_ir::{Block, Comprehension, MeshAxisId, Op, Program, ValueId};

/// A plan as plain data.
#[derive(Clone, PartialEq, Debug, serde::Serialize)]
pub struct PlanReport {
    /// The entry's name.
    pub entry: String,
    /// The mesh: names and sizes, major to minor.
    pub mesh: Vec<(String, u64)>,
    /// The number of devices.
    pub devices: u64,
    /// Values and loops, in program order; arguments first.
    pub rows: Vec<Row>,
    /// Bytes of the arguments, whole.
    pub argument_bytes: u64,
    /// Bytes of the arguments on each device.
    pub argument_bytes_per_device: u64,
    /// What was accepted without an effect on placement.
    pub notes: Vec<String>,
}

/// A line of the report.
#[derive(Clone, PartialEq, Debug, serde::Serialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum Row {
    /// The values that follow, with greater depth, are of this loop.
    Loop {
        /// How many loops it stands in.
        depth: usize,
        /// The counter's name.
        var: String,
        /// The dim it runs over.
        dim: String,
        /// How often it runs.
        trips: u64,
        /// Whether a condition may end it before.
        ends: bool,
    },
    /// A value.
    Value(ValueRow),
}

/// A value and where it is.
#[derive(Clone, PartialEq, Debug, serde::Serialize)]
pub struct ValueRow {
    /// How many loops it stands in.
    pub depth: usize,
    /// What defines it.
    pub role: Role,
    /// Its name, for arguments the path.
    pub name: String,
    /// The functions it was inlined from, outermost first.
    pub scope: Vec<String>,
    /// The type of its elements.
    pub dtype: String,
    /// Its dims.
    pub dims: Vec<DimRow>,
    /// Axes over which it is held as partial sums.
    pub partial: Vec<String>,
    /// Axes over which partial results are combined when it is computed.
    pub combined: Vec<String>,
    /// Its shape on each device, padding included.
    pub local_shape: Vec<u64>,
    /// Its bytes on each device.
    pub bytes_per_device: u64,
    /// Why each axis splits it, or what it is computed from.
    pub reasons: Vec<ReasonRow>,
}

/// What defines a value.
#[derive(Clone, Copy, PartialEq, Eq, Debug, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// An argument of the entry.
    Argument,
    /// A loop's state at the start of an iteration.
    State,
    /// An operation.
    Operation,
}

/// A dim of a value.
#[derive(Clone, PartialEq, Debug, serde::Serialize)]
pub struct DimRow {
    /// Its name.
    pub name: String,
    /// Its whole extent.
    pub extent: u64,
    /// The mesh axes that split it, major to minor.
    pub axes: Vec<String>,
}

/// Why a mesh axis splits a value.
#[derive(Clone, PartialEq, Debug, serde::Serialize)]
pub struct ReasonRow {
    /// The mesh axis.
    pub axis: String,
    /// The dim that is split.
    pub dim: String,
    /// The decorator, as written.
    pub decorator: String,
}

/// Describes a plan.
pub fn report(program: &Program, plan: &Plan) -> PlanReport {
    let mut ctx = Ctx { program, plan, rows: Vec::new() };
    for input in &program.inputs {
        let mut row = ctx.value(input.value, Role::Argument, 0);
        row.name = input.path.clone();
        ctx.rows.push(Row::Value(row));
    }
    ctx.block(&program.body, 0);
    let here = program.inputs.iter().map(|i| ctx.local(i.value).1);
    PlanReport {
        entry: program.name.clone(),
        mesh: plan.mesh.axes.values().map(|a| (a.name.clone(), a.size)).collect(),
        devices: plan.mesh.devices(),
        argument_bytes: total(program.inputs.iter().map(|i| bytes_of(program, i.value))),
        argument_bytes_per_device: total(here),
        rows: ctx.rows,
        notes: plan.notes.clone(),
    }
}

struct Ctx<'a> {
    program: &'a Program,
    plan: &'a Plan,
    rows: Vec<Row>,
}

impl Ctx<'_> {
    fn block(&mut self, block: &Block, depth: usize) {
        for op in &block.ops {
            match op {
                Op::Compute(c) => {
                    let mut row = self.value(c.out, Role::Operation, depth);
                    row.combined = self.combined(c);
                    self.rows.push(Row::Value(row));
                }
                Op::Argsort(a) => {
                    let row = self.value(a.out, Role::Operation, depth);
                    self.rows.push(Row::Value(row));
                }
                Op::Loop(l) => {
                    let var = &self.program.loop_vars[l.var];
                    let dim = &self.program.dims[var.dim];
                    self.rows.push(Row::Loop {
                        depth,
                        var: var.name.clone(),
                        dim: dim.name.clone(),
                        trips: dim.extent,
                        ends: l.condition.is_some(),
                    });
                    for state in &l.carried {
                        let row = self.value(state.entry, Role::State, depth + 1);
                        self.rows.push(Row::Value(row));
                    }
                    self.block(&l.body, depth + 1);
                    for value in op.defines() {
                        let row = self.value(value, Role::Operation, depth);
                        self.rows.push(Row::Value(row));
                    }
                }
                Op::Collective(_) => {}
            }
        }
    }

    fn names(&self, axes: &[MeshAxisId]) -> Vec<String> {
        axes.iter().map(|a| self.plan.mesh.axes[*a].name.clone()).collect()
    }

    fn value(&self, id: ValueId, role: Role, depth: usize) -> ValueRow {
        let value = &self.program.values[id];
        let sharding = &self.plan.shardings[id];
        let dims = value.dims.iter().zip(&sharding.spec).map(|(dim, axes)| DimRow {
            name: self.program.dims[*dim].name.clone(),
            extent: self.program.dims[*dim].extent,
            axes: self.names(axes),
        });
        let partial: Vec<MeshAxisId> = sharding.partial.iter().map(|(axis, _)| *axis).collect();
        let reasons = self.plan.mesh.axes.iter().filter_map(|(axis, named)| {
            let Reason { dim, decorator } = self.plan.reasons.get(&(id, axis))?.clone();
            Some(ReasonRow { axis: named.name.clone(), dim, decorator })
        });
        let (local_shape, bytes_per_device) = self.local(id);
        ValueRow {
            depth,
            role,
            name: value.name.clone(),
            scope: value.origin.scope.to_vec(),
            dtype: value.dtype.to_string(),
            dims: dims.collect(),
            partial: self.names(&partial),
            combined: Vec::new(),
            local_shape,
            bytes_per_device,
            reasons: reasons.collect(),
        }
    }

    /// The shape and bytes of a value on each device.
    fn local(&self, id: ValueId) -> (Vec<u64>, u64) {
        let extents = self.program.extents(id);
        let spec = &self.plan.shardings[id].spec;
        let shape =
            extents.iter().zip(spec).map(|(e, axes)| e.div_ceil(self.plan.mesh.size_of(axes)));
        let shape: Vec<u64> = shape.collect();
        let bytes = product(shape.iter().copied());
        let bytes = bytes.saturating_mul(self.program.values[id].dtype.bytes());
        (shape, bytes)
    }

    /// The axes over which the result of a comprehension is combined.
    fn combined(&self, c: &Comprehension) -> Vec<String> {
        let split = self.plan.loops.get(&c.out).map(Vec::as_slice).unwrap_or_default();
        let held = &self.plan.shardings[c.out];
        let axes = self.plan.mesh.axes.ids().filter(|axis| {
            let index = split.iter().position(|axes| axes.contains(axis));
            let partial = match index {
                Some(index) => index >= c.free,
                None => self.reads_parts(c, *axis),
            };
            partial && held.partial.iter().all(|(a, _)| a != axis)
        });
        self.names(&axes.collect::<Vec<_>>())
    }

    /// Whether a comprehension reads partial values, or looks a table up that is split.
    fn reads_parts(&self, c: &Comprehension, axis: MeshAxisId) -> bool {
        c.body.loads().iter().any(|load| {
            let held = &self.plan.shardings[load.value];
            let mut dims = load.subs.iter().zip(&held.spec);
            held.partial.iter().any(|(a, _)| *a == axis)
                || dims.any(|(sub, axes)| !sub.loads().is_empty() && axes.contains(&axis))
        })
    }
}
