//! Plans in the form that partitioning works on.

use crate::grid::combines;
use einmesh_ir::{MeshAxisId, Program, Sharding};
use einmesh_plan::Plan;

/// The plan without axes of one device, which split nothing, and without partial values that may
/// not be combined late: those narrower than their accumulators, which would be rounded before they
/// are complete.
pub(crate) fn normalize(program: &Program, plan: &Plan) -> Plan {
    let mut plan = plan.clone();
    let mesh = plan.mesh.clone();
    let splits = |axis: &MeshAxisId| mesh.axes[*axis].size > 1;
    for (value, sharding) in plan.shardings.iter_mut() {
        let Sharding { spec, partial } = sharding;
        spec.iter_mut().for_each(|axes| axes.retain(splits));
        let dtype = program.values[value].dtype;
        let late = dtype.accumulator() == dtype;
        partial.retain(|(axis, reducer)| splits(axis) && late && combines(*reducer, dtype));
        partial.sort();
    }
    for axes in plan.loops.values_mut().flatten() {
        axes.retain(splits);
    }
    plan
}
