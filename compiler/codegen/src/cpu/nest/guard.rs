//! Guards, split into conditions that bound a loop and those that must be looked at point by point.

use crate::build::V;
use crate::cpu::env::Env;
use einmesh_ir::{Affine, Atom, BinaryOp, Expr, IndexId};

/// The conditions of a guard, all of which must hold.
pub fn conjuncts(guard: Option<&Expr>) -> Vec<&Expr> {
    match guard {
        None => vec![],
        Some(Expr::Binary(BinaryOp::And, a, b)) => {
            let mut all = conjuncts(Some(a));
            all.extend(conjuncts(Some(b)));
            all
        }
        Some(other) => vec![other],
    }
}

/// Narrows `low..high` to the positions of `index` for which a condition holds; `None` if it does not
/// amount to a range that is known where the loop starts.
pub fn narrow<'c>(
    env: &Env<'c, '_>,
    condition: &Expr,
    index: IndexId,
    (low, high): (V<'c>, V<'c>),
) -> Option<(V<'c>, V<'c>)> {
    let Expr::Binary(op, x, y) = condition else {
        return None;
    };
    // x op y is the same as difference op 0.
    let difference = env.affine(x)?.sub(&env.affine(y)?)?;
    let factor = difference.coefficient(Atom::Index(index));
    let rest = difference.substitute(Atom::Index(index), &Affine::constant(0))?;
    let known = rest.terms().iter().all(|(atom, _)| match atom {
        Atom::Index(i) => env.is_uniform(*i),
        Atom::LoopVar(_) => true,
        Atom::Coord(_) => false,
    });
    if !known || !matches!(factor, 1 | -1) {
        return None;
    }
    // index op limit, with the comparison turned around for a factor of −1.
    let limit = rest.scale(-factor)?;
    let op = match (op, factor) {
        (_, 1) => *op,
        (BinaryOp::Lt, _) => BinaryOp::Gt,
        (BinaryOp::Le, _) => BinaryOp::Ge,
        (BinaryOp::Gt, _) => BinaryOp::Lt,
        (BinaryOp::Ge, _) => BinaryOp::Le,
        (other, _) => *other,
    };
    let b = env.b;
    let next = || Some(env.affine_value(&limit.add(&Affine::constant(1))?));
    let this = || env.affine_value(&limit);
    let (low, high) = match op {
        BinaryOp::Lt => (low, b.smin(high, this())),
        BinaryOp::Le => (low, b.smin(high, next()?)),
        BinaryOp::Gt => (b.smax(low, next()?), high),
        BinaryOp::Ge => (b.smax(low, this()), high),
        BinaryOp::Eq => (b.smax(low, this()), b.smin(high, next()?)),
        _ => return None,
    };
    Some((low, high))
}
