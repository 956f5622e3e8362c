//! Orders of contraction while extents are not known.
//!
//! Which order has the least to do depends on extents: a product by a matrix of low rank and then by another is best
//! done so, and one by two large matrices with a small one before them is not. So the program is rewritten for several
//! examples of extents, and those schedules are kept of which each is clearly best for some; a call takes the best for its
//! own extents.

use einmesh_ir::{BinaryOp, Comprehension, Expr, Op, Program, Reducer};
use einmesh_schedule::symbolic::SymbolicGraph;

/// At most so many orders are compiled.
const MOST: usize = 4;
/// An order is kept if it has, for some example, so many times fewer points than those kept before.
const WORTH: f64 = 1.2;
/// Extents that are small and large beside one another. Not round ones, which might fit something by chance.
const SMALL: u64 = 5;
const LARGE: u64 = 83;
/// Examples besides those in which one dim differs from all others.
const MIXED: u64 = 8;

/// The schedule with further orders beside its own.
pub fn all(lowered: &Program, symbols: &[String], graph: SymbolicGraph) -> SymbolicGraph {
    if symbols.len() < 2 || !lowered.body.ops.iter().any(has_orders) {
        return graph;
    }
    let examples = examples(symbols.len());
    let others: Vec<SymbolicGraph> = examples
        .iter()
        .filter_map(|extents| {
            let options = einmesh_rewrite::Options::default();
            let rewritten = einmesh_rewrite::rewrite(&with(lowered, symbols, extents), &options);
            einmesh_schedule::symbolic(&rewritten.program, symbols).ok()
        })
        .filter(|other| other.symbols == graph.symbols && other.within == graph.within)
        .collect();
    let mut kept = graph;
    for _ in 1..MOST {
        // How many times fewer points another order has, over all examples and at best.
        let gain = |other: &SymbolicGraph| {
            let gains = examples.iter().map(|e| kept.fewest_points(e) / other.fewest_points(e));
            gains.fold((0.0, 1.0), |(sum, most): (f64, f64), gain| {
                (sum + gain.max(1.0).ln(), most.max(gain))
            })
        };
        let best = others.iter().map(|other| (gain(other), other));
        let best =
            best.filter(|((_, most), _)| *most > WORTH).max_by(|a, b| a.0.0.total_cmp(&b.0.0));
        let Some((_, other)) = best else { break };
        kept = kept.with(other);
    }
    kept
}

/// Whether an operation is a sum of products of three factors or more.
fn has_orders(op: &Op) -> bool {
    fn factors(expr: &Expr) -> usize {
        match expr {
            Expr::Binary(BinaryOp::Mul, x, y) => factors(x) + factors(y),
            _ => 1,
        }
    }
    matches!(op, Op::Compute(Comprehension { reducer: Reducer::Sum, body, .. }) if factors(body) > 2)
}

/// Extents that are one small among large ones, one large among small ones, and mixed.
fn examples(symbols: usize) -> Vec<Vec<u64>> {
    // Distinct, so that no two are equal by chance.
    let choose = |large: &dyn Fn(usize) -> bool| -> Vec<u64> {
        (0..symbols).map(|n| n as u64 + if large(n) { LARGE } else { SMALL }).collect()
    };
    let one = (0..symbols).flat_map(|one| [choose(&|n| n == one), choose(&|n| n != one)]);
    let mixed = (1..=MIXED).map(|turn| {
        let hash = |n: usize| (turn * 64 + n as u64 + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 63;
        choose(&|n| hash(n) == 1)
    });
    one.chain(mixed).collect()
}

/// The program with other examples of its symbols' extents.
fn with(program: &Program, symbols: &[String], extents: &[u64]) -> Program {
    let mut program = program.clone();
    for (_, dim) in program.dims.iter_mut().filter(|(_, dim)| dim.symbolic) {
        if let Some(n) = symbols.iter().position(|symbol| *symbol == dim.name) {
            dim.extent = extents[n];
        }
    }
    program
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Goal, Request, Source, compile_symbolic};

    fn graph(text: &str, symbols: &[&str]) -> SymbolicGraph {
        let source = Source::Text { name: "orders.ein".to_owned(), text: text.to_owned() };
        let mut request = Request::new(source, "f");
        request.goal = Goal::Plan;
        let symbols: Vec<String> = symbols.iter().map(|s| (*s).to_owned()).collect();
        let (_, products) = compile_symbolic(&request, &symbols);
        products.expect("it compiles").graph.expect("it is scheduled")
    }

    #[test]
    fn a_chain_is_done_from_either_end() {
        let graph = graph(
            "dim T, D, R, F\n\
             export fn f(x: f32[T,D], a: f32[D,R], b: f32[R,F]) -> f32[T,F] {\n\
               out[t,f] = x[t,d] * a[d,r] * b[r,f]\n\
             }",
            &["T", "D", "R", "F"],
        );
        assert!((2..=MOST).contains(&graph.orders.len()), "{graph}");
        for [t, d, r, f] in [[100, 200, 3, 300], [3, 200, 100, 300], [300, 2, 100, 1], [7, 7, 7, 7]]
        {
            let (left, right) = (t * d * r + t * r * f, d * r * f + t * d * f);
            assert_eq!(graph.fewest_points(&[t, d, r, f]), left.min(right) as f64, "{graph}");
        }
    }

    #[test]
    fn what_has_one_order_is_compiled_once() {
        let softmax = "dim T, U\n\
            export fn f(x: f32[T,U], w: f32[U]) -> f32[T] { p[t,u] = softmax[u](x[t,u])\n out[t] = p[t,u] * w[u] }";
        assert_eq!(graph(softmax, &["T", "U"]).orders.len(), 1);
        let known = "dim T, D = 8, R = 4, F = 8\n\
            export fn f(x: f32[T,D], a: f32[D,R], b: f32[R,F]) -> f32[T,F] { out[t,f] = x[t,d] * a[d,r] * b[r,f] }";
        assert_eq!(graph(known, &["T"]).orders.len(), 1);
    }
}
