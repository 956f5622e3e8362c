//! The sizes of attention, and the guards that it is tested under.

use super::make::*;
use einmesh_ir::{BinaryOp, DType, Expr, IndexId, ValueId};

/// `q[b,t,g,r,k]`, `key[b,u,g,k]`, `val[b,u,g,v]`, and the result `[b,t,g,r,v]`.
#[derive(Clone, Copy)]
pub struct Shape {
    pub dtype: DType,
    pub b: u64,
    pub t: u64,
    pub u: u64,
    pub g: u64,
    pub r: u64,
    pub k: u64,
    pub v: u64,
}

pub const SMALL: Shape = Shape { dtype: DType::F32, b: 2, t: 19, u: 45, g: 2, r: 3, k: 13, v: 21 };

/// What guards may mention.
pub struct Names {
    pub b: IndexId,
    pub t: IndexId,
    pub u: IndexId,
    /// `bool[b,u]`.
    pub keep: ValueId,
    /// `i32[b]`.
    pub start: ValueId,
}

/// Makes a guard.
pub type Guard = fn(&Names) -> Expr;

pub fn causal(n: &Names) -> Expr {
    le(idx(n.u), idx(n.t))
}

pub fn window(n: &Names) -> Expr {
    and(causal(n), lt(sub(idx(n.t), idx(n.u)), Expr::int(7)))
}

/// Shifted by a launch number, which is 1.
pub fn shifted(n: &Names) -> Expr {
    let number = Expr::LoopVar(einmesh_ir::LoopVarId(0));
    lt(add(idx(n.u), mul(number, Expr::int(5))), idx(n.t))
}

pub fn keep(n: &Names) -> Expr {
    and(load(n.keep, &[n.b, n.u]), causal(n))
}

/// `start` is between −4 and 18: some rows have no point.
pub fn ragged(n: &Names) -> Expr {
    le(idx(n.u), add(load(n.start, &[n.b]), idx(n.t)))
}

/// Depends on the row alone.
pub fn rows(n: &Names) -> Expr {
    lt(Expr::int(3), load(n.start, &[n.b]))
}

/// Every second key: a condition that is no range.
pub fn even(n: &Names) -> Expr {
    let rest = Expr::binary(BinaryOp::Rem, idx(n.u), Expr::int(2));
    Expr::binary(BinaryOp::Eq, rest, Expr::int(0))
}

pub const GUARDS: [(&str, Option<Guard>); 8] = [
    ("all", None),
    ("causal", Some(causal)),
    ("window", Some(window)),
    ("shifted", Some(shifted)),
    ("keep", Some(keep)),
    ("ragged", Some(ragged)),
    ("rows", Some(rows)),
    ("even", Some(even)),
];
