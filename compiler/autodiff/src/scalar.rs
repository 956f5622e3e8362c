//! Scalar expressions backwards: from the adjoint of an expression to the adjoints of its loads.

use crate::build::*;
use einmesh_ir::{BinaryOp, Bounds, DType, Expr, Literal, Load, Program, UnaryOp, ValueId};

/// The adjoint of one element that an expression loads.
pub struct Reached {
    /// What was loaded.
    pub load: Load,
    /// Its adjoint, of the loaded value's dtype.
    pub adjoint: Expr,
}

/// Calls `visit` with each load that an expression depends on differentiably: not those in subscripts and
/// conditions, nor below what jumps.
pub fn differentiable<'e>(program: &Program, e: &'e Expr, visit: &mut impl FnMut(&'e Load)) {
    if !program.dtype_of(e).is_float() {
        return;
    }
    match e {
        Expr::Literal(_) | Expr::Index(_) | Expr::LoopVar(_) | Expr::Coord(_) => {}
        Expr::Load(load) => {
            visit(load);
            if let Bounds::Else(default) = &load.bounds {
                differentiable(program, default, visit);
            }
        }
        Expr::Unary(UnaryOp::Floor | UnaryOp::Ceil | UnaryOp::Round, _) => {}
        Expr::Unary(_, a) | Expr::Cast(_, a) => differentiable(program, a, visit),
        Expr::Binary(_, a, b) | Expr::Select(_, a, b) => {
            differentiable(program, a, visit);
            differentiable(program, b, visit);
        }
    }
}

/// Goes through an expression from its adjoint to those of the loads of `active` values. Loads of the
/// same element are added; the branch of a selection that is not taken contributes an exact 0.
pub fn backwards(
    program: &Program,
    active: &dyn Fn(ValueId) -> bool,
    e: &Expr,
    adjoint: Expr,
    value: Option<Expr>,
) -> Vec<Reached> {
    let mut walk = Walk { program, active, reached: Vec::new() };
    walk.expr(e, adjoint, None, value);
    walk.reached
}

struct Walk<'a> {
    program: &'a Program,
    active: &'a dyn Fn(ValueId) -> bool,
    reached: Vec<Reached>,
}

impl Walk<'_> {
    fn is_active(&self, e: &Expr) -> bool {
        let mut found = false;
        differentiable(self.program, e, &mut |load| found |= (self.active)(load.value));
        found
    }

    /// `value` is a short expression of the same number, if there is one; `condition` is what must hold
    /// for the expression to matter.
    fn expr(&mut self, e: &Expr, g: Expr, condition: Option<Expr>, value: Option<Expr>) {
        if !self.is_active(e) {
            return;
        }
        let dtype = self.program.dtype_of(e);
        match e {
            Expr::Load(load) => self.load(load, dtype, g, condition),
            Expr::Unary(op, a) => {
                let condition = match op {
                    UnaryOp::Abs => {
                        let zero = Expr::float(dtype, 0.0);
                        both(condition, Some(compare(BinaryOp::Ne, (**a).clone(), zero)))
                    }
                    _ => condition,
                };
                let g = unary(dtype, *op, a, g, value.unwrap_or_else(|| e.clone()));
                self.expr(a, g, condition, None);
            }
            Expr::Cast(_, a) => {
                let from = self.program.dtype_of(a);
                let g = if from == dtype { g } else { Expr::cast(from, g) };
                self.expr(a, g, condition, None);
            }
            Expr::Select(c, a, b) => {
                let not = Expr::unary(UnaryOp::Not, (**c).clone());
                let then = both(condition.clone(), Some((**c).clone()));
                self.expr(a, g.clone(), then, None);
                self.expr(b, g, both(condition, Some(not)), None);
            }
            Expr::Binary(op, a, b) => {
                let value = value.unwrap_or_else(|| e.clone());
                let (x, y) = ((**a).clone(), (**b).clone());
                self.binary(dtype, *op, x, y, g, condition, value);
            }
            Expr::Literal(_) | Expr::Index(_) | Expr::LoopVar(_) | Expr::Coord(_) => {}
        }
    }

    #[allow(clippy::too_many_arguments)]
    fn binary(
        &mut self,
        dtype: DType,
        op: BinaryOp,
        a: Expr,
        b: Expr,
        g: Expr,
        condition: Option<Expr>,
        value: Expr,
    ) {
        use BinaryOp::*;
        let (da, db) = match op {
            Add => (g.clone(), g),
            Sub => (g.clone(), times(dtype, g, -1.0)),
            Mul => (mul(dtype, g.clone(), b.clone()), mul(dtype, a.clone(), g)),
            Div => {
                let da = div(dtype, g, b.clone());
                let db = times(dtype, mul(dtype, da.clone(), value), -1.0);
                (da, db)
            }
            Rem => {
                let whole = Expr::unary(UnaryOp::Floor, Expr::binary(Div, a.clone(), b.clone()));
                (g.clone(), times(dtype, mul(dtype, g, whole), -1.0))
            }
            Pow => (power_base(dtype, &a, &b, &g), power_exponent(dtype, &a, g, value)),
            Min | Max => {
                // The adjoint once and the rest as a condition: clamps are nested often.
                let wins = if op == Max { Ge } else { Le };
                let tie = compare(Eq, a.clone(), b.clone());
                let share = Expr::select(tie, literal(dtype, 0.5), literal(dtype, 1.0));
                let g = mul(dtype, g, share);
                let first = compare(wins, a.clone(), b.clone());
                let second = compare(wins, b.clone(), a.clone());
                self.expr(&a, g.clone(), both(condition.clone(), Some(first)), None);
                self.expr(&b, g, both(condition, Some(second)), None);
                return;
            }
            FloorDiv | Eq | Ne | Lt | Le | Gt | Ge | And | Or | Fold | Uniform => return,
        };
        self.expr(&a, da, condition.clone(), None);
        self.expr(&b, db, condition, None);
    }

    fn load(&mut self, load: &Load, dtype: DType, g: Expr, condition: Option<Expr>) {
        if let Bounds::Else(default) = &load.bounds {
            let extents = self.program.extents(load.value);
            let inside = load.subs.iter().zip(extents).fold(None, |all, (sub, extent)| {
                both(all, Some(within(self.program.dtype_of(sub), sub.clone(), extent)))
            });
            if let Some(inside) = inside {
                let outside = Expr::unary(UnaryOp::Not, inside);
                self.expr(default, g.clone(), both(condition.clone(), Some(outside)), None);
            }
        }
        if !(self.active)(load.value) {
            return;
        }
        let adjoint = only_if(dtype, condition, g);
        // What lies outside takes no part in the element's place.
        let place = |l: &Load| Load { bounds: without_default(&l.bounds), ..l.clone() };
        let same = |r: &&mut Reached| place(&r.load) == place(load);
        match self.reached.iter_mut().find(same) {
            Some(found) => {
                let before = std::mem::replace(&mut found.adjoint, Expr::int(0));
                found.adjoint = add(dtype, before, adjoint);
            }
            None => self.reached.push(Reached { load: load.clone(), adjoint }),
        }
    }
}

fn without_default(bounds: &Bounds) -> Bounds {
    match bounds {
        Bounds::Else(_) => Bounds::Else(Box::new(Expr::int(0))),
        other => other.clone(),
    }
}

/// The adjoint of `a` from that of `op(a)`, whose value is `y`.
fn unary(dtype: DType, op: UnaryOp, a: &Expr, g: Expr, y: Expr) -> Expr {
    use UnaryOp::*;
    let a = || a.clone();
    let one = || literal(dtype, 1.0);
    let square = |e: Expr| Expr::binary(BinaryOp::Mul, e.clone(), e);
    match op {
        Neg => times(dtype, g, -1.0),
        Exp => mul(dtype, g, y),
        Log => div(dtype, g, a()),
        Log1p => div(dtype, g, Expr::binary(BinaryOp::Add, a(), one())),
        Expm1 => mul(dtype, g, Expr::unary(Exp, a())),
        Sqrt => div(dtype, times(dtype, g, 0.5), y),
        Rsqrt => {
            let cube = Expr::binary(BinaryOp::Mul, square(y.clone()), y);
            mul(dtype, g, times(dtype, cube, -0.5))
        }
        Sin => mul(dtype, g, Expr::unary(Cos, a())),
        Cos => mul(dtype, g, times(dtype, Expr::unary(Sin, a()), -1.0)),
        Tanh => mul(dtype, g, Expr::binary(BinaryOp::Sub, one(), square(y))),
        Erf => {
            let density = Expr::unary(Exp, times(dtype, square(a()), -1.0));
            mul(dtype, g, times(dtype, density, std::f64::consts::FRAC_2_SQRT_PI))
        }
        Abs => {
            let negative = compare(BinaryOp::Lt, a(), Expr::float(dtype, 0.0));
            mul(dtype, g, Expr::select(negative, literal(dtype, -1.0), one()))
        }
        Not | Floor | Ceil | Round | IsFinite => Expr::float(dtype, 0.0),
    }
}

/// The adjoint of the base of a power: `b a^(b − 1)`, and 0 for the exponent 0.
fn power_base(dtype: DType, a: &Expr, b: &Expr, g: &Expr) -> Expr {
    let power = |n: Expr| Expr::binary(BinaryOp::Pow, a.clone(), n);
    if let Expr::Literal(Literal::Float(_, n)) = b {
        let slope = match *n {
            0.0 => return Expr::float(dtype, 0.0),
            1.0 => literal(dtype, 1.0),
            2.0 => a.clone(),
            3.0 => Expr::binary(BinaryOp::Mul, a.clone(), a.clone()),
            n => power(literal(dtype, n - 1.0)),
        };
        return mul(dtype, g.clone(), times(dtype, slope, *n));
    }
    let lower = Expr::binary(BinaryOp::Sub, b.clone(), literal(dtype, 1.0));
    let slope = mul(dtype, b.clone(), power(lower));
    let constant = compare(BinaryOp::Eq, b.clone(), Expr::float(dtype, 0.0));
    Expr::select(constant, Expr::float(dtype, 0.0), mul(dtype, g.clone(), slope))
}

/// The adjoint of the exponent: `y log a`, and 0 for the base 0.
fn power_exponent(dtype: DType, a: &Expr, g: Expr, y: Expr) -> Expr {
    let flat = compare(BinaryOp::Eq, a.clone(), Expr::float(dtype, 0.0));
    let slope = mul(dtype, mul(dtype, g, y), Expr::unary(UnaryOp::Log, a.clone()));
    Expr::select(flat, Expr::float(dtype, 0.0), slope)
}
