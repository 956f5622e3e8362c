//! Each rule, and each look-alike that would change a value.

use super::*;
use crate::builder::Builder;
use crate::program::{DimId, Reducer, ValueId};

struct Fixture {
    program: Program,
    x: ValueId,
    n: ValueId,
    h: ValueId,
}

fn fixture() -> Fixture {
    let mut b = Builder::new("test");
    let t = b.dim("T", 5);
    let x = b.input("x", DType::F32, &[t]);
    let n = b.input("n", DType::I32, &[t]);
    let h = b.input("h", DType::Bf16, &[t]);
    b.compute("y", DType::F32, &[t], &[], Reducer::None, |ix| Expr::load(x, [ix[0].clone()]));
    Fixture { program: b.finish(), x, n, h }
}

fn index() -> Expr {
    Expr::Index(crate::expr::IndexId(0))
}

fn load(value: ValueId) -> Expr {
    Expr::load(value, [index()])
}

fn check(before: Expr, after: Expr) {
    assert_eq!(simplify(&fixture().program, before), after);
}

fn unchanged(expr: Expr) {
    check(expr.clone(), expr);
}

fn f32(x: f64) -> Expr {
    Expr::float(DType::F32, x)
}

use BinaryOp::*;

#[test]
fn neutral_elements_vanish() {
    let f = fixture();
    check(Expr::binary(Mul, load(f.x), f32(1.0)), load(f.x));
    check(Expr::binary(Mul, f32(1.0), load(f.x)), load(f.x));
    check(Expr::binary(Div, load(f.x), f32(1.0)), load(f.x));
    check(Expr::binary(Pow, load(f.x), f32(1.0)), load(f.x));
    check(Expr::binary(Sub, load(f.x), f32(0.0)), load(f.x));
    check(Expr::binary(Add, load(f.x), f32(-0.0)), load(f.x));
    check(Expr::binary(Add, load(f.n), Expr::int(0)), load(f.n));
    check(Expr::binary(Mul, load(f.n), Expr::int(0)), Expr::int(0));
}

#[test]
fn float_look_alikes_stay() {
    let f = fixture();
    unchanged(Expr::binary(Add, load(f.x), f32(0.0)));
    unchanged(Expr::binary(Sub, load(f.x), f32(-0.0)));
    unchanged(Expr::binary(Mul, load(f.x), f32(0.0)));
    unchanged(Expr::binary(Sub, load(f.x), load(f.x)));
    unchanged(Expr::binary(Eq, load(f.x), load(f.x)));
    let sum = Expr::binary(Add, load(f.x), f32(1.0));
    unchanged(Expr::binary(Add, sum, f32(2.0)));
    unchanged(Expr::unary(UnaryOp::Not, Expr::binary(Lt, load(f.x), f32(1.0))));
}

#[test]
fn literals_fold_where_exact() {
    check(Expr::binary(Add, f32(1.5), f32(2.25)), f32(3.75));
    // 1/3 is not a number of f32, 2^24 + 1 neither.
    unchanged(Expr::binary(Div, f32(1.0), f32(3.0)));
    unchanged(Expr::binary(Add, f32(16_777_216.0), f32(1.0)));
    // The f64 sum is rounded to a number of f32.
    unchanged(Expr::binary(Add, f32(1e30), f32(1.0)));
    check(Expr::binary(FloorDiv, Expr::int(-7), Expr::int(2)), Expr::int(-4));
    check(Expr::binary(Rem, Expr::int(-7), Expr::int(3)), Expr::int(2));
    check(Expr::binary(Lt, f32(1.0), f32(f64::NAN)), bool_literal(false));
    check(Expr::binary(Le, Expr::int(2), Expr::int(2)), bool_literal(true));
    let max = Expr::int(i64::from(i32::MAX));
    check(Expr::binary(Add, max, Expr::int(1)), Expr::int(i64::from(i32::MIN)));
}

#[test]
fn selects_and_logic() {
    let f = fixture();
    let c = Expr::binary(Lt, load(f.x), f32(1.0));
    check(Expr::select(bool_literal(true), load(f.x), f32(2.0)), load(f.x));
    check(Expr::select(c.clone(), load(f.x), load(f.x)), load(f.x));
    let not = Expr::unary(UnaryOp::Not, c.clone());
    check(Expr::select(not, f32(2.0), load(f.x)), Expr::select(c.clone(), load(f.x), f32(2.0)));
    check(Expr::binary(And, bool_literal(true), c.clone()), c.clone());
    check(Expr::binary(Or, c.clone(), bool_literal(true)), bool_literal(true));
    check(Expr::select(c.clone(), bool_literal(true), bool_literal(false)), c);
}

#[test]
fn casts_that_change_nothing_vanish() {
    let f = fixture();
    check(Expr::cast(DType::F32, load(f.x)), load(f.x));
    let up = Expr::cast(DType::F64, load(f.x));
    check(Expr::cast(DType::F32, up), load(f.x));
    let down = Expr::cast(DType::Bf16, load(f.x));
    unchanged(Expr::cast(DType::F32, down));
    check(Expr::cast(DType::Bf16, load(f.h)), load(f.h));
    // Arithmetic of half precision is computed in f32, so this cast rounds.
    let product = Expr::binary(Mul, load(f.h), load(f.h));
    unchanged(Expr::cast(DType::Bf16, product));
    unchanged(Expr::cast(DType::F32, load(f.n)));
    check(Expr::cast(DType::F32, Expr::int(3)), f32(3.0));
    unchanged(Expr::cast(DType::F32, Expr::int(16_777_217)));
    check(Expr::cast(DType::I32, f32(-2.75)), Expr::int(-2));
    check(Expr::cast(DType::I32, f32(1e20)), Expr::int(i64::from(i32::MAX)));
    check(Expr::cast(DType::I32, f32(f64::NAN)), Expr::int(0));
    check(Expr::cast(DType::Bf16, f32(1.5)), Expr::float(DType::Bf16, 1.5));
    unchanged(Expr::cast(DType::Bf16, f32(1.001_953_125)));
}

#[test]
fn affine_sums_get_shorter() {
    let next = Expr::binary(Add, index(), Expr::int(1));
    check(Expr::binary(Sub, next, Expr::int(1)), index());
    check(Expr::binary(Sub, index(), index()), Expr::int(0));
    unchanged(Expr::binary(Add, Expr::int(1), index()));
}

#[test]
fn the_scope_decides_guards_and_bounds() {
    let f = fixture();
    let crate::program::Op::Compute(c) = &f.program.body.ops[0] else { unreachable!() };
    let mut c = c.clone();
    c.guard = Some(Expr::binary(Lt, index(), Expr::int(5)));
    c.body = Expr::Load(Load {
        value: f.x,
        subs: vec![index()],
        bounds: Bounds::Else(Box::new(f32(0.0))),
    });
    simplify_comprehension(&f.program, &mut c);
    assert_eq!(c.guard, None);
    assert_eq!(c.body, load(f.x));

    c.guard = Some(Expr::binary(Lt, index(), Expr::int(4)));
    let shifted = Expr::Load(Load {
        value: f.x,
        subs: vec![Expr::binary(Sub, index(), Expr::int(1))],
        bounds: Bounds::Else(Box::new(f32(0.0))),
    });
    c.body = shifted.clone();
    let before = c.clone();
    simplify_comprehension(&f.program, &mut c);
    assert_eq!(c, before);
    assert_eq!(f.program.dims[DimId(0)].extent, 5);
}
