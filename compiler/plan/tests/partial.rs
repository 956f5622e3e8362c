//! Partial sums are reduced once, and as late as that is free.

mod common;

use common::inspect::{reductions, shown};
use common::*;
use einmesh_ir::directive::Fsdp;
use einmesh_ir::{
    BinaryOp, Block, Carried, DType, Directives, Expr, Loop, LoopVar, Op, Program, Reducer,
    UnaryOp, ValueId,
};
use einmesh_plan::{Plan, plan};

/// Two products partial over `tensor`, `a = x·w` and `c = y·w`, both `[b, d]`, and what follows.
fn products(then: impl FnOnce(&mut Make, [einmesh_ir::ValueId; 2])) -> Program {
    let mut m = Make::new("main", &[("B", 8), ("D", 16), ("H", 12), ("E", 16)]);
    let x = m.input("x", DType::F32, "b h");
    let y = m.input("y", DType::F32, "b h");
    let w = m.input("w", DType::F32, "h d");
    let a = m.einsum("a", "b d", "h", (x, "b h"), (w, "h d"));
    let c = m.einsum("c", "b d", "h", (y, "b h"), (w, "h d"));
    then(&mut m, [a, c]);
    let last = m.b.program.values.ids().next_back().expect("a value");
    m.b.output(last);
    m.b.finish()
}

fn directives(program: &Program) -> Directives {
    let mut directives = mesh(&[("tensor", 4)]);
    directives.shard.push(shard(program, "tensor", &["H"], 10));
    directives
}

fn planned(program: &Program, directives: &Directives) -> Plan {
    assert_eq!(einmesh_ir::verify(program), []);
    let (plan, found) = plan(program, directives);
    assert!(found.is_empty(), "{found:?}");
    plan
}

fn sites(program: &Program) -> Vec<String> {
    reductions(program, &planned(program, &directives(program)), "tensor")
}

#[test]
fn a_sum_of_partial_sums_is_reduced_once() {
    let program = products(|m, [a, c]| {
        m.compute("y", "b d", Reducer::None, "", |l| add(l(a, "b d"), l(c, "b d")));
    });
    let plan = planned(&program, &directives(&program));
    assert_eq!(reductions(&program, &plan, "tensor"), ["all_reduce sum y"]);
    assert_eq!(shown(&program, &plan, value(&program, "a")), "[B, D]+tensor");
    assert_eq!(shown(&program, &plan, value(&program, "y")), "[B, D]");
    let key = (value(&program, "y"), plan.mesh.axis("tensor").expect("tensor"));
    assert_eq!(plan.reasons[&key].dim, "H", "the reduction of y is due to the split of h");
}

#[test]
fn scaling_negation_and_sums_are_linear() {
    let program = products(|m, [a, c]| {
        let scale = m.input("scale", DType::F32, "d");
        let half = m.compute("half", "b d", Reducer::None, "", |l| mul(l(a, "b d"), l(scale, "d")));
        let neg = m.compute("neg", "b d", Reducer::None, "", |l| {
            Expr::binary(BinaryOp::Div, Expr::unary(UnaryOp::Neg, l(c, "b d")), float(2.0))
        });
        m.typed("y", DType::F64, "b", Reducer::Sum, "d", |l| {
            Expr::cast(DType::F64, sub(l(half, "b d"), l(neg, "b d")))
        });
    });
    assert_eq!(sites(&program), ["all_reduce sum y"]);
}

#[test]
fn widening_alone_is_not_worth_the_delay() {
    let program = products(|m, [a, _]| {
        m.typed("y", DType::F64, "b d", Reducer::None, "", |l| Expr::cast(DType::F64, l(a, "b d")));
    });
    assert_eq!(sites(&program)[0], "all_reduce sum a");
}

/// Attention and MLP side by side (Chowdhery et al. 2022): their biases and the residual stream do
/// not keep the two sums from being reduced as one.
#[test]
fn parallel_branches_share_one_reduction() {
    let program = products(|m, [a, c]| {
        let (b1, b2) = (m.input("b1", DType::F32, "d"), m.input("b2", DType::F32, "d"));
        let x = m.input("x0", DType::F32, "b d");
        let left = m.compute("left", "b d", Reducer::None, "", |l| add(l(a, "b d"), l(b1, "d")));
        let right = m.compute("right", "b d", Reducer::None, "", |l| add(l(c, "b d"), l(b2, "d")));
        m.compute("y", "b d", Reducer::None, "", |l| {
            add(l(x, "b d"), add(l(left, "b d"), l(right, "b d")))
        });
    });
    assert_eq!(sites(&program), ["all_reduce sum y"]);
}

/// Nothing is gained by reducing later, so the sum stays with the statement that makes it.
#[test]
fn a_bias_alone_does_not_delay() {
    let program = products(|m, [a, _]| {
        let bias = m.input("bias", DType::F32, "d");
        m.compute("y", "b d", Reducer::None, "", |l| add(l(a, "b d"), l(bias, "d")));
    });
    assert_eq!(sites(&program)[0], "all_reduce sum a");
}

/// Widening doubles the payload, summing over d makes up for it.
#[test]
fn a_step_that_costs_may_lead_to_one_that_saves() {
    let program = products(|m, [a, _]| {
        let wide = m.typed("wide", DType::F64, "b d", Reducer::None, "", |l| {
            Expr::cast(DType::F64, l(a, "b d"))
        });
        m.typed("y", DType::F64, "b", Reducer::Sum, "d", |l| l(wide, "b d"));
    });
    assert_eq!(sites(&program), ["all_reduce sum c", "all_reduce sum y"]);
}

#[test]
fn a_function_ends_the_delay() {
    let program = products(|m, [a, c]| {
        let bias = m.input("bias", DType::F32, "d");
        m.compute("y", "b d", Reducer::None, "", |l| {
            add(add(l(a, "b d"), l(bias, "d")), exp(l(c, "b d")))
        });
    });
    assert_eq!(sites(&program), ["all_reduce sum a", "all_reduce sum c"]);
}

#[test]
fn a_product_of_partial_sums_is_not_linear() {
    let program = products(|m, [a, c]| {
        m.compute("y", "b d", Reducer::None, "", |l| mul(l(a, "b d"), l(c, "b d")));
    });
    assert_eq!(sites(&program), ["all_reduce sum a", "all_reduce sum c"]);
}

#[test]
fn a_reader_that_is_not_linear_stops_the_others() {
    let program = products(|m, [a, c]| {
        let sum = m.compute("sum", "b d", Reducer::None, "", |l| add(l(a, "b d"), l(c, "b d")));
        m.compute("y", "b d", Reducer::None, "", |l| mul(l(sum, "b d"), exp(l(a, "b d"))));
    });
    assert_eq!(sites(&program), ["all_reduce sum a", "all_reduce sum c"]);
}

#[test]
fn broadcasting_is_not_worth_the_delay() {
    let program = products(|m, [a, _]| {
        let small = m.compute("small", "b", Reducer::Sum, "d", |l| l(a, "b d"));
        let w = m.input("w2", DType::F32, "b e");
        m.compute("y", "b e", Reducer::None, "", |l| mul(l(small, "b"), l(w, "b e")));
    });
    // `a` is summed over d while partial (8 elements instead of 128), but not spread over e.
    assert_eq!(sites(&program)[..1], ["all_reduce sum c"]);
    assert_eq!(sites(&program)[1..], ["all_reduce sum small"]);
}

#[test]
fn narrow_sums_are_reduced_before_they_are_rounded() {
    let program = products(|m, [a, c]| {
        m.typed("y", DType::Bf16, "b d", Reducer::None, "", |l| {
            Expr::cast(DType::Bf16, add(l(a, "b d"), l(c, "b d")))
        });
    });
    assert_eq!(sites(&program), ["all_reduce sum a", "all_reduce sum c"]);
}

#[test]
fn maxima_are_not_delayed_as_sums() {
    let mut m = Make::new("main", &[("B", 8), ("H", 12)]);
    let x = m.input("x", DType::F32, "b h");
    let top = m.compute("top", "b", Reducer::Max, "h", |l| l(x, "b h"));
    let sum = m.compute("sum", "b", Reducer::Sum, "h", |l| l(x, "b h"));
    let y = m.compute("y", "b", Reducer::None, "", |l| add(l(top, "b"), l(sum, "b")));
    m.b.output(y);
    let program = m.b.finish();
    assert_eq!(sites(&program), ["all_reduce max top", "all_reduce sum sum"]);
}

#[test]
fn a_split_result_is_scattered_once() {
    let program = products(|m, [a, c]| {
        m.compute("y", "b d", Reducer::None, "", |l| add(l(a, "b d"), l(c, "b d")));
    });
    let mut directives = directives(&program);
    directives.shard_values.push(shard_value(&program, "y", &[("D", &["tensor"])], true, 20));
    let plan = planned(&program, &directives);
    assert_eq!(reductions(&program, &plan, "tensor"), ["reduce_scatter sum y"]);
    assert_eq!(shown(&program, &plan, value(&program, "y")), "[B, D@tensor]");
    assert_eq!(shown(&program, &plan, value(&program, "a")), "[B, D]+tensor");
}

/// `s += x·w` in a loop, and what follows.
fn accumulated(init_is_sum: bool, then: impl FnOnce(&mut Make, ValueId) -> ValueId) -> Program {
    let mut m = Make::new("main", &[("B", 8), ("D", 16), ("H", 12), ("L", 3)]);
    let over = m.dim("L");
    let var = m.b.program.loop_vars.push(LoopVar { name: "l".to_owned(), dim: over });
    let x = m.input("x", DType::F32, "b h");
    let w = m.input("w", DType::F32, "h d");
    let init = match init_is_sum {
        true => m.einsum("init", "b d", "h", (x, "b h"), (w, "h d")),
        false => m.compute("init", "b d", Reducer::None, "", |_| Expr::float(DType::F32, 0.0)),
    };
    let step = m.einsum("step", "b d", "h", (x, "b h"), (w, "h d"));
    let dims = m.b.program.values[init].dims.clone();
    let entry = m.b.value("s", DType::F32, &dims);
    let exit =
        m.compute("exit", "b d", Reducer::None, "", |l| add(l(entry, "b d"), l(step, "b d")));
    let body = Block { ops: m.b.program.body.ops.split_off(1) };
    let result = m.b.value("s", DType::F32, &dims);
    let carried = vec![Carried { init, entry, exit, result }];
    m.b.program.body.ops.push(Op::Loop(Loop {
        var,
        reversed: false,
        condition: None,
        carried,
        collected: vec![],
        body,
    }));
    let last = then(&mut m, result);
    m.b.output(last);
    m.b.finish()
}

#[test]
fn a_sum_that_a_loop_carries_is_reduced_after_it() {
    for init_is_sum in [false, true] {
        let program = accumulated(init_is_sum, |_, result| result);
        assert_eq!(sites(&program), ["all_reduce sum s"]);
    }
    // What follows and is linear is reduced later still.
    let program =
        accumulated(false, |m, s| m.compute("less", "d", Reducer::Sum, "b", |l| l(s, "b d")));
    assert_eq!(sites(&program), ["all_reduce sum less"]);
    let program = accumulated(false, |m, s| {
        m.compute("square", "b d", Reducer::None, "", |l| {
            Expr::binary(BinaryOp::Mul, l(s, "b d"), l(s, "b d"))
        })
    });
    assert_eq!(sites(&program), ["all_reduce sum s"]);
}

#[test]
fn a_loop_does_not_carry_partial_sums_that_it_reads_otherwise() {
    use Expr as E;
    let mut program = accumulated(false, |_, result| result);
    let Some(Op::Loop(l)) = program.body.ops.last_mut() else { panic!("a loop") };
    let Some(Op::Compute(exit)) = l.body.ops.last_mut() else { panic!("a sum") };
    exit.body = E::unary(UnaryOp::Tanh, exit.body.clone());
    assert_eq!(sites(&program), ["all_reduce sum step"]);
}

#[test]
fn parameters_in_parts_get_their_gradients_in_parts() {
    let program = accumulated(false, |_, result| result);
    let mut directives = directives(&program);
    directives.fsdp.push(Fsdp {
        axis: "tensor".to_owned(),
        record: "P".to_owned(),
        prefetch: true,
        text: "@fsdp(tensor: P)".to_owned(),
        span: None,
    });
    let (plan, _) = plan(&program, &directives);
    assert_eq!(reductions(&program, &plan, "tensor"), ["all_reduce sum step"]);
}
