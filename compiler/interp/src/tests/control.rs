//! Loops, sorts, and what is refused.

use super::*;
use einmesh_ir::{Argsort, Carried, Collected, Literal, Loop, LoopVar, Value};

/// `for l in L { s = 2 · s + x[l, j] }`, collecting `s` at `position`.
fn looped(layers: u64, reversed: bool, position: usize) -> Vec<Tensor> {
    let mut c = Case::new();
    let (l, j) = (c.dim("L", layers), c.dim("J", 2));
    let elements: Vec<f64> = (0..layers * 2).map(|x| x as f64).collect();
    let x = c.floats(DType::F32, &[l, j], &elements);
    let init = c.floats(DType::F32, &[j], &[100.0, 200.0]);
    let b = &mut c.builder;
    let entry = b.value("s", DType::F32, &[j]);
    let var = b.program.loop_vars.push(LoopVar { name: "l".to_owned(), dim: l });
    let exit = b.compute("s", DType::F32, &[j], &[], Reducer::None, |ix| {
        let state = load(entry, ix);
        let layer = load(x, &[Expr::LoopVar(var), ix[0].clone()]);
        binary(BinaryOp::Add, binary(BinaryOp::Add, state.clone(), state), layer)
    });
    let body = std::mem::take(&mut b.program.body);
    let result = b.value("s", DType::F32, &[j]);
    let dims = if position == 0 { [l, j] } else { [j, l] };
    let all = b.value("all", DType::F32, &dims);
    let carried = vec![Carried { init, entry, exit, result }];
    let collected = vec![Collected { value: exit, result: all, position }];
    b.program.body.ops.push(Op::Loop(Loop {
        var,
        reversed,
        condition: None,
        carried,
        collected,
        body,
    }));
    b.output(result);
    b.output(all);
    c.run(Precision::Program)
}

#[test]
fn loops_carry_and_collect() {
    let forward = looped(2, false, 0);
    // 100 → 200 + 0 → 400 + 2; 200 → 400 + 1 → 802 + 3.
    same(forward[0].floats(), &[402.0, 805.0]);
    same(forward[1].floats(), &[200.0, 401.0, 402.0, 805.0]);
    same(looped(2, false, 1)[1].floats(), &[200.0, 402.0, 401.0, 805.0]);
}

#[test]
fn reversed_loops_collect_at_the_counter() {
    let backward = looped(2, true, 0);
    // 100 → 200 + 2 → 404 + 0; 200 → 400 + 3 → 806 + 1.
    same(backward[0].floats(), &[404.0, 807.0]);
    same(backward[1].floats(), &[404.0, 807.0, 202.0, 403.0]);
}

#[test]
fn a_loop_without_iterations_returns_its_start() {
    let none = looped(0, false, 1);
    same(none[0].floats(), &[100.0, 200.0]);
    assert_eq!(none[1].shape, [2, 0]);
}

#[test]
fn states_may_be_exchanged() {
    let mut c = Case::new();
    let l = c.dim("L", 3);
    let (a, b) = (c.floats(DType::F32, &[], &[1.0]), c.floats(DType::F32, &[], &[2.0]));
    let builder = &mut c.builder;
    let mut scalar = |name: &str| builder.value(name, DType::F32, &[]);
    let (x, y) = (scalar("x"), scalar("y"));
    let (p, q) = (scalar("p"), scalar("q"));
    let var = builder.program.loop_vars.push(LoopVar { name: "l".to_owned(), dim: l });
    let carried = vec![
        Carried { init: a, entry: x, exit: y, result: p },
        Carried { init: b, entry: y, exit: x, result: q },
    ];
    let body = einmesh_ir::Block::default();
    let op = Loop { var, reversed: false, condition: None, carried, collected: vec![], body };
    builder.program.body.ops.push(Op::Loop(op));
    builder.output(p);
    builder.output(q);
    let results = c.run(Precision::Program);
    same(results[0].floats(), &[2.0]);
    same(results[1].floats(), &[1.0]);
}

/// `while n < stop limit 5 { n = n + 1 }`, from 0: how often it ran.
fn counted(stop: i64) -> i64 {
    let mut c = Case::new();
    let five = c.dim("N", 5);
    let b = &mut c.builder;
    let below = |n: Expr| binary(BinaryOp::Lt, n, Expr::Literal(Literal::Int(DType::I32, stop)));
    let number = |n: i64| Expr::Literal(Literal::Int(DType::I32, n));
    let zero = b.compute("n", DType::I32, &[], &[], Reducer::None, |_| number(0));
    let first = b.compute("on", DType::Bool, &[], &[], Reducer::None, |_| below(number(0)));
    let before = std::mem::take(&mut b.program.body);
    let [n, after] = [(); 2].map(|()| b.value("n", DType::I32, &[]));
    let [on, last] = [(); 2].map(|()| b.value("on", DType::Bool, &[]));
    let next = b.compute("n", DType::I32, &[], &[], Reducer::None, |_| {
        binary(BinaryOp::Add, load(n, &[]), number(1))
    });
    let more = b.compute("on", DType::Bool, &[], &[], Reducer::None, |_| below(load(next, &[])));
    let body = std::mem::replace(&mut b.program.body, before);
    let carried = vec![
        Carried { init: zero, entry: n, exit: next, result: after },
        Carried { init: first, entry: on, exit: more, result: last },
    ];
    let var = b.program.loop_vars.push(LoopVar { name: "step".to_owned(), dim: five });
    let (reversed, collected) = (false, vec![]);
    let op = Loop { var, reversed, condition: Some(on), carried, collected, body };
    b.program.body.ops.push(Op::Loop(op));
    b.output(after);
    c.ints_out()[0]
}

#[test]
fn a_condition_ends_a_loop_before_an_iteration() {
    assert_eq!([-1, 0, 1, 3, 5, 9].map(counted), [0, 0, 1, 3, 5, 5]);
}

fn sorted(dims: [u64; 2], position: usize, elements: &[f64]) -> Vec<i64> {
    let mut c = Case::new();
    let (i, j) = (c.dim("I", dims[0]), c.dim("J", dims[1]));
    let input = c.floats(DType::F32, &[i, j], elements);
    let out = c.builder.value("order", DType::I32, &[i, j]);
    c.builder.program.body.ops.push(Op::Argsort(Argsort { out, input, position }));
    c.builder.output(out);
    c.ints_out()
}

#[test]
fn argsort_is_stable_with_nan_last() {
    let x = [2.0, f64::NAN, 1.0, 2.0, f64::INFINITY, 1.0];
    assert_eq!(sorted([1, 6], 1, &x), [2, 5, 0, 3, 4, 1]);
    assert_eq!(sorted([1, 3], 1, &[0.0, -0.0, 0.0]), [0, 1, 2]);
    // Columns of [[3, 1], [1, 2], [2, 0]].
    let x = [3.0, 1.0, 1.0, 2.0, 2.0, 0.0];
    assert_eq!(sorted([3, 2], 0, &x), [1, 2, 2, 0, 0, 1]);
}

#[test]
fn wrong_inputs_are_refused() {
    let program = || {
        let mut b = Builder::new("test");
        let (i, j) = (b.dim("I", 2), b.dim("J", 3));
        let x = b.input("x", DType::F32, &[i, j]);
        b.output(x);
        b.finish()
    };
    let run = |tensors: &[Tensor]| evaluate(&program(), tensors, Precision::F64);
    assert_eq!(run(&[]), Err(EvalError::InputCount { expected: 1, got: 0 }));
    let zeros = |dtype, shape: &[usize]| Tensor::zeros(dtype, shape);
    let message = |tensor: Tensor| run(&[tensor]).unwrap_err().to_string();
    assert_eq!(
        message(zeros(DType::F32, &[3, 2])),
        "input `x` is f32[2, 3], the tensor given is f32[3, 2]"
    );
    assert_eq!(
        message(zeros(DType::F64, &[2, 3])),
        "input `x` is f32[2, 3], the tensor given is f64[2, 3]"
    );
    // With axes of several dims, the tensor's own shape is accepted.
    let mut merged = program();
    merged.inputs[0].axes = vec![2];
    let given = [Tensor::float(DType::F32, &[6], [1.0, 2.0, 3.0, 4.0, 5.0, 6.0])];
    let results = evaluate(&merged, &given, Precision::F64).unwrap();
    assert_eq!(results[0].shape, [2, 3]);
}

#[test]
fn invalid_programs_are_refused() {
    let mut b = Builder::new("test");
    let i = b.dim("I", 2);
    let x = b.value("x", DType::F32, &[i]);
    b.output(x);
    let program: Program = b.finish();
    let error = evaluate(&program, &[], Precision::F64).unwrap_err();
    assert!(error.to_string().contains("%x.0 is read before it is assigned"), "{error}");
    let value: &Value = &program.values[x];
    assert_eq!(value.name, "x");
}

#[test]
fn values_that_cannot_be_held_are_refused() {
    let mut c = Case::new();
    let (i, j) = (c.dim("I", 1 << 20), c.dim("J", 1 << 20));
    c.compute(DType::F32, &[i, j], &[], Reducer::None, |_| Expr::float(DType::F32, 1.0));
    let error = c.try_run(Precision::F64).unwrap_err().to_string();
    assert_eq!(error, "%out0.0 has 1099511627776 elements, more than the interpreter holds");
}
