//! What rewriting must find, and what it must leave alone.

mod common;

use common::*;
use einmesh_interp::Precision;
use einmesh_ir::*;
use einmesh_rewrite::{Options, rewrite};

fn comprehensions(p: &Program) -> Vec<&Comprehension> {
    p.body
        .ops
        .iter()
        .filter_map(|op| match op {
            Op::Compute(c) => Some(c),
            _ => None,
        })
        .collect()
}

fn check(p: &Program, precision: Precision) -> Program {
    let r = rewrite(p, &Options::default());
    assert_eq!(verify(&r.program), vec![], "{}", r.report);
    let worst = difference(p, &r.program, precision, 3);
    assert!(worst < 1e-9, "{worst}\n{}", r.report);
    r.program
}

#[test]
fn narrow_floats_and_integers_are_left_alone() {
    for dtype in [DType::Bf16, DType::F16, DType::I32] {
        let mut m = Maker::new(&[('a', 16), ('b', 2), ('c', 16), ('d', 2)], dtype);
        m.input("x", "ab");
        m.input("y", "bc");
        m.input("z", "cd");
        let product = m.load("x", "ab") * m.load("y", "bc") * m.load("z", "cd");
        m.sum("out", "ad", "bc", product);
        let p = m.finish(&["out"]);
        assert_eq!(rewrite(&p, &Options::default()).program, p);
    }
}

#[test]
fn nothing_moves_across_a_rounding() {
    // Three factors in f32, but the inner sum is rounded to bf16 first: it stays a value of its own.
    let mut m = Maker::new(&[('a', 16), ('b', 8), ('c', 16), ('d', 2)], DType::F32);
    m.input("x", "ab");
    m.input("y", "bc");
    m.input("z", "cd");
    m.sum("xy", "ac", "b", m.load("x", "ab") * m.load("y", "bc"));
    m.map("rounded", "ac", m.load("xy", "ac").cast(DType::Bf16).cast(DType::F32));
    m.sum("out", "ad", "c", m.load("rounded", "ac") * m.load("z", "cd"));
    let p = m.finish(&["out"]);
    check(&p, Precision::Program);
}

#[test]
fn unused_and_repeated_work_disappears() {
    let mut m = Maker::new(&[('a', 8), ('b', 8)], DType::F64);
    m.input("x", "ab");
    m.map("unused", "ab", m.load("x", "ab").exp());
    m.map("first", "ab", m.load("x", "ab").tanh());
    m.map("second", "ab", m.load("x", "ab").tanh());
    m.sum("out", "a", "b", m.load("first", "ab") * m.load("second", "ab"));
    let r = check(&m.finish(&["out"]), Precision::F64);
    assert_eq!(comprehensions(&r).len(), 2);
}

#[test]
fn a_shifted_log_sum_becomes_one_reduction() {
    let mut m = Maker::new(&[('a', 64), ('v', 4096)], DType::F64);
    m.input("x", "av");
    m.def("top", "a", "v", Reducer::Max, None, m.load("x", "av"));
    let e = (m.load("x", "av") - m.load("top", "a")).exp();
    m.sum("z", "a", "v", e);
    m.map("loss", "a", m.load("top", "a") + m.load("z", "a").log());
    let r = check(&m.finish(&["loss"]), Precision::F64);
    let all = comprehensions(&r);
    assert_eq!(all.len(), 1, "the maximum is not needed");
    assert_eq!(all[0].reducer, Reducer::LogSumExp);
}

#[test]
fn a_low_rank_update_is_merged_where_that_is_cheaper() {
    let sizes = [('n', 4096), ('i', 256), ('o', 256), ('r', 128)];
    let mut m = Maker::new(&sizes, DType::F32);
    for (name, dims) in [("x", "ni"), ("w", "io"), ("down", "ir"), ("up", "ro")] {
        m.input(name, dims);
    }
    m.sum("base", "no", "i", m.load("x", "ni") * m.load("w", "io"));
    m.sum("low", "nr", "i", m.load("x", "ni") * m.load("down", "ir"));
    m.sum("back", "no", "r", m.load("low", "nr") * m.load("up", "ro"));
    m.map("y", "no", m.load("base", "no") + m.load("back", "no"));
    let r = rewrite(&m.finish(&["y"]), &Options::default());
    assert_eq!(verify(&r.program), vec![]);
    let large = comprehensions(&r.program)
        .iter()
        .filter(|c| c.reducer == Reducer::Sum && r.program.elements(c.out) == 4096 * 256)
        .count();
    assert_eq!(large, 1, "one product with x: {}", r.report);
}

#[test]
fn sorts_and_stores_keep_what_they_read() {
    let mut m = Maker::new(&[('a', 4), ('b', 5)], DType::F64);
    m.input("x", "ab");
    m.input("base", "ab");
    m.map("twice", "ab", m.load("x", "ab") + m.load("x", "ab"));
    m.map("copy", "ab", m.load("twice", "ab"));
    let (input, like) = (m.values["copy"], m.program.values[m.values["copy"]].clone());
    m.map("stored", "ab", m.load("copy", "ab") * m.load("x", "ab"));
    m.map("out", "ab", m.load("stored", "ab") + m.load("x", "ab"));
    let base = m.values["base"];
    let mut p = m.finish(&["out"]);
    let subs = vec![Expr::Index(IndexId(0)), Expr::Index(IndexId(1))];
    if let Op::Compute(c) = &mut p.body.ops[2] {
        c.store = Some(Store { base, subs, combine: Reducer::Sum });
    }
    let out = p.values.push(Value { dtype: DType::I32, ..like });
    p.body.ops.push(Op::Argsort(Argsort { out, input, position: 1 }));
    let (path, tensor) = ("order".to_owned(), "order".to_owned());
    p.outputs.push(Output { value: out, path, tensor, axes: vec![1, 1] });
    assert_eq!(verify(&p), vec![]);
    let r = check(&p, Precision::F64);
    assert!(comprehensions(&r).iter().any(|c| c.store.is_some()));
}

#[test]
fn costs_are_those_of_one_device() {
    // Both products have `c`, so that over eight devices each costs about an eighth.
    let mut m = Maker::new(&[('a', 512), ('b', 512), ('c', 512), ('d', 500)], DType::F32);
    for (name, dims) in [("x", "ab"), ("y", "bc"), ("z", "cd")] {
        m.input(name, dims);
    }
    let product = m.load("x", "ab") * m.load("y", "bc") * m.load("z", "cd");
    m.sum("out", "ad", "bc", product);
    let split = m.dims[&'c'];
    let p = m.finish(&["out"]);
    let whole = rewrite(&p, &Options::default());
    let options = Options { split: [(split, 8)].into(), ..Options::default() };
    let part = rewrite(&p, &options);
    assert!(part.report.blocks[0].after_ps * 4 < whole.report.blocks[0].after_ps);
}

/// Rows of which nothing is kept: x · 0 · (1 / 0) is NaN, and stays so wherever the count comes from.
#[test]
fn a_count_from_outside_a_loop_may_be_zero() {
    let mut m = Maker::new(&[('b', 5), ('u', 3), ('l', 2)], DType::F64);
    m.input("x", "u");
    m.typed_input("keep", DType::I32, "bu");
    m.input("state", "b");
    let keep = |m: &Maker| m.load("keep", "bu").binary(BinaryOp::Ne, E(Expr::int(0)));
    let one = number(DType::F64, 1.0);
    m.def("count", "b", "u", Reducer::Sum, Some(keep(&m)), one.clone());
    m.repeat('l', "state", |m| {
        m.def("kept", "bu", "", Reducer::None, Some(keep(m)), m.load("x", "u"));
        let part = m.load("kept", "bu") * (one.clone() / m.load("count", "b"));
        m.sum("mean", "b", "u", part);
        m.map("state", "b", m.load("mean", "b") + m.load("state", "b"));
    });
    let p = m.finish(&["state"]);
    let empty = (0..20).find(|seed| {
        let keep = &inputs(&p, *seed)[1];
        keep.ints().chunks(3).any(|row| row.iter().all(|k| *k == 0))
    });
    let seed = empty.expect("a row of which nothing is kept");
    let r = rewrite(&p, &Options::default());
    assert!(difference(&p, &r.program, Precision::F64, seed) < 1e-9, "{}", r.report);
}

/// The softmax of rows that may be empty is finite where its guard holds and 0 elsewhere, so that what is
/// made of it in one layer is as good as an input in the next.
#[test]
fn a_guarded_softmax_is_not_hollow() {
    let mut m = Maker::new(&[('b', 3), ('u', 4), ('c', 3), ('l', 2)], DType::F64);
    m.input("w", "uc");
    m.typed_input("keep", DType::I32, "bu");
    m.input("state", "bc");
    m.repeat('l', "state", |m| {
        let keep = |m: &Maker| Some(m.load("keep", "bu").binary(BinaryOp::Ne, E(Expr::int(0))));
        m.sum("s", "bu", "c", m.load("state", "bc") * m.load("w", "uc"));
        m.def("top", "b", "u", Reducer::Max, keep(m), m.load("s", "bu"));
        let e = (m.load("s", "bu") - m.load("top", "b")).exp();
        m.def("e", "bu", "", Reducer::None, keep(m), e);
        m.def("z", "b", "u", Reducer::Sum, keep(m), m.load("e", "bu"));
        let a = m.load("e", "bu") / m.load("z", "b");
        m.def("a", "bu", "", Reducer::None, keep(m), a);
        m.sum("state", "bc", "u", m.load("a", "bu") * m.load("w", "uc"));
    });
    let p = m.finish(&["state"]);
    assert_eq!(verify(&p), vec![]);
    let Some(Op::Loop(l)) = p.body.ops.first() else { panic!("a loop") };
    let exit = l.carried[0].exit;
    let s = einmesh_rewrite::saturate(&p, &l.body, &[exit], &Options::default());
    let s = s.expect("it is encoded");
    assert!(!s.graph.analysis.hollow.contains(&l.carried[0].entry));
    assert!(s.graph.analysis.hollow.contains(&value_named(&p, "z")));
}

fn value_named(p: &Program, name: &str) -> ValueId {
    p.values.iter().find(|(_, v)| v.name == name).expect("a value of that name").0
}
