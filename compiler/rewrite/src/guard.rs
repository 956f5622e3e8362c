//! What is known of guards.

use crate::index::IndexSet;
use crate::lang::{Graph, MapFn, Node};
use egg::Id;
use einmesh_ir::BinaryOp;

/// Whether a guard is proven to hold where the summed indices are 0: `j <= t`, `j < t + 1` and
/// conjunctions of such.
pub fn holds_at_zero(graph: &Graph, guard: Id, summed: IndexSet) -> bool {
    graph[guard].nodes.iter().any(|node| {
        let Node::Map(MapFn::Binary(op), args) = node else {
            return false;
        };
        let [a, b] = [graph.find(args[0]), graph.find(args[1])];
        match op {
            BinaryOp::And => holds_at_zero(graph, a, summed) && holds_at_zero(graph, b, summed),
            BinaryOp::Or => holds_at_zero(graph, a, summed) || holds_at_zero(graph, b, summed),
            BinaryOp::Le => zero(graph, a, summed) && at_least(graph, b, 0),
            BinaryOp::Ge => zero(graph, b, summed) && at_least(graph, a, 0),
            BinaryOp::Lt => zero(graph, a, summed) && at_least(graph, b, 1),
            BinaryOp::Gt => zero(graph, b, summed) && at_least(graph, a, 1),
            _ => false,
        }
    })
}

/// Whether an integer is 0 where the summed indices are.
fn zero(graph: &Graph, id: Id, summed: IndexSet) -> bool {
    graph[id].nodes.iter().any(|n| match n {
        Node::Position(i) => summed.contains(*i),
        Node::Const(dtype, bits) => dtype.is_int() && *bits == 0,
        _ => false,
    })
}

/// Whether an integer is at least `low`, at each of its points.
fn at_least(graph: &Graph, id: Id, low: i64) -> bool {
    graph[id].nodes.iter().any(|n| match n {
        Node::Position(_) | Node::LoopVar(_) => low <= 0,
        Node::Const(dtype, bits) => dtype.is_int() && *bits as i64 >= low,
        Node::Map(MapFn::Binary(BinaryOp::Add), args) => {
            let [a, b] = [graph.find(args[0]), graph.find(args[1])];
            at_least(graph, a, low) && at_least(graph, b, 0)
                || at_least(graph, a, 0) && at_least(graph, b, low)
        }
        _ => false,
    })
}
