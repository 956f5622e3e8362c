//! What is known of guards.

use crate::index::IndexSet;
use crate::lang::{Graph, MapFn, Node};
use egg::Id;
use einmesh_ir::{BinaryOp, Comprehension, Expr, Literal};

/// Whether a guard is proven to hold where the summed indices are 0: `j <= t`, `j < t + 1` and
/// conjunctions of such.
pub fn holds_at_zero(graph: &Graph, guard: Id, summed: IndexSet) -> bool {
    let forms = |id: Id| {
        let form = |node: &Node| match node {
            Node::Position(i) => Some(Form::Index { summed: summed.contains(*i) }),
            Node::LoopVar(_) => Some(Form::Index { summed: false }),
            Node::Const(dtype, bits) if dtype.is_int() => Some(Form::Int(*bits as i64)),
            Node::Map(MapFn::Binary(op), args) => {
                Some(Form::Binary(*op, graph.find(args[0]), graph.find(args[1])))
            }
            _ => None,
        };
        graph[id].nodes.iter().filter_map(form).collect()
    };
    holds(&forms, guard)
}

/// The same of a comprehension's guard, where its reduced indices are 0.
pub fn guard_holds_at_zero(c: &Comprehension, guard: &Expr) -> bool {
    let forms = |e| match e {
        &Expr::Index(i) => vec![Form::Index { summed: i.0 as usize >= c.free }],
        Expr::LoopVar(_) => vec![Form::Index { summed: false }],
        Expr::Literal(Literal::Int(_, value)) => vec![Form::Int(*value)],
        Expr::Binary(op, a, b) => vec![Form::Binary(*op, &**a, &**b)],
        _ => vec![],
    };
    holds(&forms, guard)
}

/// An expression as far as it is looked into.
enum Form<T> {
    /// An index or a loop's counter: at least 0.
    Index {
        /// Whether it is 0 where the question is asked.
        summed: bool,
    },
    Int(i64),
    Binary(BinaryOp, T, T),
}

/// Whether a guard holds; `forms` are the ways in which an expression is written.
fn holds<T: Copy>(forms: &impl Fn(T) -> Vec<Form<T>>, guard: T) -> bool {
    forms(guard).into_iter().any(|form| {
        let Form::Binary(op, a, b) = form else {
            return false;
        };
        match op {
            BinaryOp::And => holds(forms, a) && holds(forms, b),
            BinaryOp::Or => holds(forms, a) || holds(forms, b),
            BinaryOp::Le => zero(forms, a) && at_least(forms, b, 0),
            BinaryOp::Ge => zero(forms, b) && at_least(forms, a, 0),
            BinaryOp::Lt => zero(forms, a) && at_least(forms, b, 1),
            BinaryOp::Gt => zero(forms, b) && at_least(forms, a, 1),
            _ => false,
        }
    })
}

/// Whether an integer is 0 where the summed indices are.
fn zero<T: Copy>(forms: &impl Fn(T) -> Vec<Form<T>>, e: T) -> bool {
    forms(e).iter().any(|form| matches!(form, Form::Index { summed: true } | Form::Int(0)))
}

/// Whether an integer is at least `low`, at each of its points.
fn at_least<T: Copy>(forms: &impl Fn(T) -> Vec<Form<T>>, e: T, low: i64) -> bool {
    forms(e).into_iter().any(|form| match form {
        Form::Index { .. } => low <= 0,
        Form::Int(value) => value >= low,
        Form::Binary(BinaryOp::Add, a, b) => {
            at_least(forms, a, low) && at_least(forms, b, 0)
                || at_least(forms, a, 0) && at_least(forms, b, low)
        }
        Form::Binary(..) => false,
    })
}
