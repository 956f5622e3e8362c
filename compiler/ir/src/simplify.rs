//! Simplification of expressions that never changes a value.
//!
//! Floats are never reassociated, and arithmetic on float literals is folded only where the result
//! is exact, so that evaluation in any precision gives the same numbers before and after. Identities
//! hold for −0.0, infinities and NaN too.

use crate::affine::{Affine, Scope};
use crate::dtype::DType;
use crate::expr::{BinaryOp, Bounds, Expr, Literal, Load, UnaryOp};
use crate::integer;
use crate::program::{Comprehension, Dim, Program};

/// Simplifies an expression of a program.
pub fn simplify(program: &Program, expr: Expr) -> Expr {
    let ctx = Ctx { program, scope: None };
    expr.map(&mut |e| ctx.node(e))
}

/// As [`simplify`], and decides what the extents of the scope decide: comparisons of affine forms,
/// and the bounds of loads.
pub fn simplify_within(program: &Program, scope: &Scope<'_>, expr: Expr) -> Expr {
    let ctx = Ctx { program, scope: Some(scope) };
    expr.map(&mut |e| ctx.node(e))
}

/// Simplifies every expression of a comprehension within its scope, and drops a guard that holds
/// everywhere.
pub fn simplify_comprehension(program: &Program, comprehension: &mut Comprehension) {
    let before = comprehension.clone();
    let scope = Scope::new(program, &before);
    for expr in comprehension.exprs_mut() {
        let taken = std::mem::replace(expr, bool_literal(false));
        *expr = simplify_within(program, &scope, taken);
    }
    if comprehension.guard == Some(bool_literal(true)) {
        comprehension.guard = None;
    }
}

struct Ctx<'a> {
    program: &'a Program,
    scope: Option<&'a Scope<'a>>,
}

fn bool_literal(value: bool) -> Expr {
    Expr::Literal(Literal::Bool(value))
}

fn int_literal(dtype: DType, value: i64) -> Expr {
    Expr::Literal(Literal::Int(dtype, value))
}

/// Whether every number of `from` is a number of `to`.
fn is_lossless(to: DType, from: DType) -> bool {
    match (to, from) {
        _ if to == from => true,
        (DType::F64, d) => d.is_float() || matches!(d, DType::I32 | DType::Bool),
        (DType::F32, d) => matches!(d, DType::F16 | DType::Bf16 | DType::Bool),
        (DType::I64, d) => matches!(d, DType::I32 | DType::Bool),
        (DType::I32 | DType::F16 | DType::Bf16, d) => d == DType::Bool,
        _ => false,
    }
}

/// Whether the expression's value is already a number of its dtype. Arithmetic of half precision
/// is computed in f32 and is not; everything else is.
fn is_rounded(dtype: DType, expr: &Expr) -> bool {
    match (dtype, expr) {
        (DType::F16 | DType::Bf16, Expr::Unary(..) | Expr::Binary(..)) => false,
        (DType::F16 | DType::Bf16, Expr::Select(_, a, b)) => {
            is_rounded(dtype, a) && is_rounded(dtype, b)
        }
        (DType::F16 | DType::Bf16, Expr::Load(load)) => match &load.bounds {
            Bounds::Else(default) => is_rounded(dtype, default),
            Bounds::Proven | Bounds::Clamp => true,
        },
        _ => true,
    }
}

/// A literal of a float dtype, if the number is one of it.
fn exact_float(dtype: DType, value: f64) -> Option<Expr> {
    dtype.represents(value).then(|| Expr::float(dtype, value))
}

fn literals(op: BinaryOp, a: Literal, b: Literal) -> Option<Expr> {
    match (a, b) {
        (Literal::Int(dtype, x), Literal::Int(other, y)) if dtype == other && dtype.is_int() => {
            let number = || integer::arithmetic(op, dtype, x, y).map(|z| int_literal(dtype, z));
            integer::compare(op, x, y).map(bool_literal).or_else(number)
        }
        (Literal::Bool(x), Literal::Bool(y)) => match op {
            BinaryOp::And => Some(bool_literal(x && y)),
            BinaryOp::Or => Some(bool_literal(x || y)),
            BinaryOp::Eq => Some(bool_literal(x == y)),
            BinaryOp::Ne => Some(bool_literal(x != y)),
            _ => None,
        },
        (Literal::Float(dtype, x), Literal::Float(other, y)) if dtype == other => {
            if let Some(truth) = integer::compare(op, x, y) {
                return Some(bool_literal(truth));
            }
            float_literals(op, dtype, x, y)
        }
        _ => None,
    }
}

/// Folds float arithmetic where the exact result is a number of the dtype. For f64 the operations
/// themselves round, in the same way wherever they are evaluated.
fn float_literals(op: BinaryOp, dtype: DType, x: f64, y: f64) -> Option<Expr> {
    let result = match op {
        BinaryOp::Add => x + y,
        BinaryOp::Sub => x - y,
        BinaryOp::Mul => x * y,
        BinaryOp::Div => x / y,
        _ => return None,
    };
    // An f64 sum of two narrower numbers may itself be rounded, to a number of the narrower type.
    let undone = match op {
        _ if dtype == DType::F64 => true,
        BinaryOp::Add => result - x == y && result - y == x,
        BinaryOp::Sub => x - result == y && result + y == x,
        BinaryOp::Div => result * y == x,
        _ => true,
    };
    if undone { exact_float(dtype, result) } else { None }
}

impl Ctx<'_> {
    /// Simplifies a node whose children are simple.
    fn node(&self, expr: Expr) -> Expr {
        let expr = match expr {
            Expr::Unary(op, a) => unary(op, *a),
            Expr::Binary(op, a, b) => self.binary(op, *a, *b),
            Expr::Select(c, a, b) => self.select(*c, *a, *b),
            Expr::Cast(dtype, a) => self.cast(dtype, *a),
            Expr::Load(load) => self.load(load),
            leaf => leaf,
        };
        shorter_affine(self.program, expr)
    }

    fn binary(&self, op: BinaryOp, a: Expr, b: Expr) -> Expr {
        use BinaryOp::*;
        if let (Expr::Literal(x), Expr::Literal(y)) = (&a, &b)
            && let Some(folded) = literals(op, *x, *y)
        {
            return folded;
        }
        if op.is_comparison()
            && let Some(truth) = self.decide(op, &a, &b)
        {
            return bool_literal(truth);
        }
        let zero = |e: &Expr| matches!(e, Expr::Literal(Literal::Int(d, 0)) if d.is_int());
        let one = |e: &Expr| match e {
            Expr::Literal(Literal::Int(d, 1)) => d.is_int(),
            Expr::Literal(Literal::Float(_, x)) => *x == 1.0,
            _ => false,
        };
        let float = |e: &Expr, bits: f64| matches!(e, Expr::Literal(Literal::Float(_, x)) if x.to_bits() == bits.to_bits());
        let truth = |e: &Expr| match e {
            Expr::Literal(Literal::Bool(x)) => Some(*x),
            _ => None,
        };
        match op {
            // x + −0.0 = x even for x = −0.0, which x + 0.0 is not.
            Add if zero(&a) || float(&a, -0.0) => b,
            Add if zero(&b) || float(&b, -0.0) => a,
            Sub if zero(&b) || float(&b, 0.0) => a,
            Mul if one(&a) => b,
            Mul if one(&b) => a,
            // Only of integers: 0 · ∞ is NaN.
            Mul if zero(&a) => a,
            Mul if zero(&b) => b,
            Div | FloorDiv | Pow if one(&b) => a,
            And if truth(&a) == Some(true) => b,
            And if truth(&b) == Some(true) => a,
            And if truth(&a) == Some(false) || truth(&b) == Some(false) => bool_literal(false),
            Or if truth(&a) == Some(false) => b,
            Or if truth(&b) == Some(false) => a,
            Or if truth(&a) == Some(true) || truth(&b) == Some(true) => bool_literal(true),
            And | Or | Min | Max if a == b => a,
            _ => Expr::binary(op, a, b),
        }
    }

    /// The truth of a comparison of affine forms, if it is the same at every point of the scope.
    fn decide(&self, op: BinaryOp, a: &Expr, b: &Expr) -> Option<bool> {
        let (a, b) = (Affine::of(a)?, Affine::of(b)?);
        let difference = a.sub(&b)?;
        let range = match difference.as_constant() {
            Some(constant) => constant..=constant,
            None => difference.range(self.scope?)?,
        };
        // Neither side may wrap: their ranges must be of the index type.
        let narrow = i64::from(i32::MIN)..=i64::from(i32::MAX);
        for side in [a, b] {
            let sides = match side.as_constant() {
                Some(constant) => constant..=constant,
                None => side.range(self.scope?)?,
            };
            if !narrow.contains(sides.start()) || !narrow.contains(sides.end()) {
                return None;
            }
        }
        let (low, high) = (*range.start(), *range.end());
        let always = |yes: bool, no: bool| match (yes, no) {
            (true, _) => Some(true),
            (_, true) => Some(false),
            _ => None,
        };
        match op {
            BinaryOp::Lt => always(high < 0, low >= 0),
            BinaryOp::Le => always(high <= 0, low > 0),
            BinaryOp::Gt => always(low > 0, high <= 0),
            BinaryOp::Ge => always(low >= 0, high < 0),
            BinaryOp::Eq => always(low == 0 && high == 0, low > 0 || high < 0),
            BinaryOp::Ne => always(low > 0 || high < 0, low == 0 && high == 0),
            _ => None,
        }
    }

    fn select(&self, condition: Expr, then: Expr, otherwise: Expr) -> Expr {
        match condition {
            Expr::Literal(Literal::Bool(true)) => then,
            Expr::Literal(Literal::Bool(false)) => otherwise,
            _ if then == otherwise => then,
            Expr::Unary(UnaryOp::Not, inner) => self.select(*inner, otherwise, then),
            _ if then == bool_literal(true) && otherwise == bool_literal(false) => condition,
            _ => Expr::select(condition, then, otherwise),
        }
    }

    fn cast(&self, dtype: DType, a: Expr) -> Expr {
        if let Expr::Literal(literal) = a
            && let Some(folded) = cast_literal(dtype, literal)
        {
            return folded;
        }
        if self.program.dtype_of(&a) == dtype && is_rounded(dtype, &a) {
            return a;
        }
        match a {
            // The wider type in between changes nothing.
            Expr::Cast(wide, inner) if is_lossless(wide, self.program.dtype_of(&inner)) => {
                self.cast(dtype, *inner)
            }
            a => Expr::cast(dtype, a),
        }
    }

    fn load(&self, mut load: Load) -> Expr {
        if load.bounds != Bounds::Proven && self.is_in_range(&load) {
            load.bounds = Bounds::Proven;
        }
        Expr::Load(load)
    }

    /// Whether every subscript is affine and in range at every point of the scope.
    fn is_in_range(&self, load: &Load) -> bool {
        let Some(scope) = self.scope else {
            return false;
        };
        load.subs.iter().zip(&self.program.values[load.value].dims).all(|(sub, dim)| {
            let Dim { extent, symbolic, .. } = self.program.dims[*dim];
            if symbolic {
                return matches!(sub, Expr::Index(index) if scope.is_position(*index, *dim));
            }
            let range = Affine::of(sub).and_then(|a| a.range(scope));
            range.is_some_and(|r| *r.start() >= 0 && (*r.end() as i128) < i128::from(extent))
        })
    }
}

fn unary(op: UnaryOp, a: Expr) -> Expr {
    match (op, a) {
        (UnaryOp::Not, Expr::Literal(Literal::Bool(x))) => bool_literal(!x),
        (UnaryOp::Neg, Expr::Literal(Literal::Int(d, x))) => {
            int_literal(d, integer::wrap(d, x.wrapping_neg()))
        }
        (UnaryOp::Abs, Expr::Literal(Literal::Int(d, x))) => {
            int_literal(d, integer::wrap(d, x.wrapping_abs()))
        }
        (UnaryOp::Neg, Expr::Literal(Literal::Float(d, x))) => Expr::float(d, -x),
        (UnaryOp::Abs, Expr::Literal(Literal::Float(d, x))) => Expr::float(d, x.abs()),
        (UnaryOp::Neg, Expr::Unary(UnaryOp::Neg, inner))
        | (UnaryOp::Not, Expr::Unary(UnaryOp::Not, inner)) => *inner,
        (UnaryOp::Abs, Expr::Unary(UnaryOp::Neg | UnaryOp::Abs, inner)) => {
            Expr::Unary(UnaryOp::Abs, inner)
        }
        // The only comparisons whose negation is a comparison for NaN too.
        (UnaryOp::Not, Expr::Binary(BinaryOp::Eq, x, y)) => Expr::Binary(BinaryOp::Ne, x, y),
        (UnaryOp::Not, Expr::Binary(BinaryOp::Ne, x, y)) => Expr::Binary(BinaryOp::Eq, x, y),
        (op, a) => Expr::unary(op, a),
    }
}

fn cast_literal(dtype: DType, literal: Literal) -> Option<Expr> {
    match literal {
        Literal::Bool(x) if dtype.is_float() => Some(Expr::float(dtype, f64::from(u8::from(x)))),
        Literal::Bool(x) if dtype.is_int() => Some(int_literal(dtype, i64::from(x))),
        Literal::Int(from, x) if from.is_int() => match dtype {
            DType::I32 | DType::I64 => Some(int_literal(dtype, integer::wrap(dtype, x))),
            DType::Bool => Some(bool_literal(x != 0)),
            _ if x.unsigned_abs() <= 1 << 53 => exact_float(dtype, x as f64),
            _ => None,
        },
        Literal::Float(_, x) => match dtype {
            // Rust's conversions saturate, truncate, and give 0 for NaN, as programs' do.
            DType::I32 => Some(int_literal(dtype, i64::from(x as i32))),
            DType::I64 => Some(int_literal(dtype, x as i64)),
            DType::Bool => Some(bool_literal(x != 0.0)),
            _ => exact_float(dtype, x),
        },
        _ => None,
    }
}

/// The affine form written out, where that is shorter. Sums of integers are the same modulo the
/// dtype's width in any order, so this needs no ranges, as long as no inner cast changes the width.
fn shorter_affine(program: &Program, expr: Expr) -> Expr {
    let is_sum = matches!(
        expr,
        Expr::Unary(UnaryOp::Neg, _)
            | Expr::Binary(BinaryOp::Add | BinaryOp::Sub | BinaryOp::Mul, ..)
    );
    if !is_sum {
        return expr;
    }
    let dtype = program.dtype_of(&expr);
    let (mut size, mut casts) = (0, false);
    expr.walk(&mut |e| {
        size += 1;
        casts |= matches!(e, Expr::Cast(..));
    });
    if casts || dtype != DType::I32 {
        return expr;
    }
    let Some(affine) = Affine::of(&expr) else {
        return expr;
    };
    let fits = |x: i64| integer::wrap(dtype, x) == x;
    if !fits(affine.constant) || !affine.terms().iter().all(|(_, c)| fits(*c)) {
        return expr;
    }
    let shorter = affine.to_expr(dtype);
    let mut length = 0;
    shorter.walk(&mut |_| length += 1);
    if length < size { shorter } else { expr }
}

#[cfg(test)]
mod tests;
