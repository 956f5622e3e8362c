//! Estimates that choices are made by. Units are roughly instructions per point.

use super::value::memory;
use einmesh_ir::{BinaryOp, DType, Expr, IndexId, Load, UnaryOp};
use einmesh_schedule::kernel::{Kernel, Stage};

/// What reading or writing a lane by lane costs.
const SCATTERED: f64 = 2.0;

/// How often something costs when `lanes` points of `index` are evaluated side by side.
#[derive(Clone, Copy)]
pub struct Lane {
    /// The index.
    pub index: IndexId,
    /// Points per vector that count.
    pub filled: f64,
}

impl Lane {
    /// Lanes along an index of some extent.
    pub fn new(index: IndexId, extent: u64, lanes: u32) -> Lane {
        let vectors = extent.div_ceil(u64::from(lanes)).max(1);
        Lane { index, filled: extent as f64 / vectors as f64 }
    }
}

/// The cost of an expression per point.
pub fn expression(kernel: &Kernel, expr: &Expr, lane: Option<Lane>) -> f64 {
    let own = match expr {
        Expr::Literal(_) | Expr::Index(_) | Expr::LoopVar(_) | Expr::Coord(_) => 0.0,
        Expr::Load(load) => return load_cost(kernel, load, lane),
        Expr::Unary(op, _) => match op {
            UnaryOp::Exp | UnaryOp::Log | UnaryOp::Expm1 => 15.0,
            UnaryOp::Log1p | UnaryOp::Tanh => 25.0,
            UnaryOp::Sin | UnaryOp::Cos | UnaryOp::Erf => 50.0,
            UnaryOp::Sqrt | UnaryOp::Rsqrt => 8.0,
            _ => 1.0,
        },
        Expr::Binary(BinaryOp::Pow, _, y) if matches!(**y, Expr::Literal(_)) => 6.0,
        Expr::Binary(op, a, _) => match op {
            BinaryOp::Div => 6.0,
            BinaryOp::Pow => 80.0,
            BinaryOp::FloorDiv | BinaryOp::Rem => 20.0,
            BinaryOp::Fold | BinaryOp::Uniform => 16.0,
            _ if matches!(super::env::dtype_of(kernel, a), DType::Bf16 | DType::F16) => 6.0,
            _ => 1.0,
        },
        Expr::Select(..) | Expr::Cast(..) => 1.0,
    };
    let per_point = match lane {
        Some(lane) => own / lane.filled,
        None => own,
    };
    let children = expr.children();
    per_point + children.iter().map(|e| expression(kernel, e, lane)).sum::<f64>()
}

fn load_cost(kernel: &Kernel, load: &Load, lane: Option<Lane>) -> f64 {
    let subs: f64 = load.subs.iter().map(|e| expression(kernel, e, lane)).sum();
    subs + access(kernel, load.value, &load.subs, lane)
}

/// The cost of reading or writing an element.
fn access(kernel: &Kernel, value: einmesh_ir::ValueId, subs: &[Expr], lane: Option<Lane>) -> f64 {
    let Some(lane) = lane else { return 1.0 };
    let memory_of = &kernel.values[value.0 as usize];
    match stride(kernel, value, subs, lane.index) {
        Some(0 | 1) => 1.0 / lane.filled,
        _ if memory(memory_of.dtype).bytes() < 4 => 2.0 * SCATTERED,
        _ => SCATTERED,
    }
}

/// The distance between elements for consecutive positions of an index, if it is constant.
pub fn stride(
    kernel: &Kernel,
    value: einmesh_ir::ValueId,
    subs: &[Expr],
    index: IndexId,
) -> Option<i64> {
    let strides = super::env::row_major(&kernel.values[value.0 as usize].extents);
    let mut stride = 0i64;
    for (sub, step) in subs.iter().zip(strides) {
        if !sub.mentions(index) {
            continue;
        }
        let form = einmesh_ir::Affine::of(sub)?;
        let factor = form.coefficient(einmesh_ir::Atom::Index(index));
        stride += factor.checked_mul(step)?;
    }
    Some(stride)
}

/// The cost of a stage per point of all its indices.
pub fn stage(kernel: &Kernel, stage: &Stage, lane: Option<Lane>) -> f64 {
    let extent = |i: &IndexId| kernel.indices[i.0 as usize].extent.max(1) as f64;
    let reduced: f64 = stage.reduced.iter().map(extent).product();
    let mut cost = expression(kernel, &stage.body, lane);
    cost += stage.guard.as_ref().map_or(0.0, |g| expression(kernel, g, lane));
    let over_reduced = lane.is_some_and(|l| stage.reduced.contains(&l.index));
    if over_reduced {
        // Combining the lanes at the end, and a scalar store.
        return cost + 12.0 / reduced;
    }
    cost + access(kernel, stage.target.value, &stage.target.subs, lane) / reduced
}
