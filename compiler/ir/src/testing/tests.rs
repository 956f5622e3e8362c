//! What is generated is valid, varied, reproducible, and the same after a round trip through text.

use super::*;
use crate::expr::{BinaryOp, Bounds, Expr};
use crate::text::{parse, print};
use crate::verify;

fn options(mode: Mode) -> GenerateOptions {
    GenerateOptions { mode, size: 8, ..GenerateOptions::default() }
}

#[test]
fn programs_verify_and_round_trip_through_text() {
    for seed in 0..300 {
        for mode in [Mode::Exact, Mode::Float] {
            let (program, specs) = generate(seed, &options(mode));
            let found = verify(&program);
            let text = print(&program);
            assert_eq!(found, [], "seed {seed} {mode:?}\n{text}");
            assert_eq!(specs.len(), program.inputs.len());
            let parsed =
                parse(&text).unwrap_or_else(|e| panic!("seed {seed} {mode:?}: {e}\n{text}"));
            assert_eq!(parsed, program, "seed {seed} {mode:?}\n{text}");
            assert_eq!(print(&parsed), text);
        }
    }
}

#[test]
fn generation_is_reproducible_and_grows_at_its_end() {
    let smaller = GenerateOptions { size: 7, ..options(Mode::Exact) };
    for seed in 0..50 {
        let (program, specs) = generate(seed, &options(Mode::Exact));
        assert_eq!(generate(seed, &options(Mode::Exact)), (program.clone(), specs.clone()));
        let (prefix, same) = generate(seed, &smaller);
        assert_eq!(same, specs);
        let common = prefix.body.ops.len();
        assert!(7 <= common && common < program.body.ops.len());
        assert_eq!(prefix.body.ops[..], program.body.ops[..common]);
        assert_eq!(numbers(seed, &specs), numbers(seed, &specs));
    }
}

fn comprehensions<'p>(block: &'p Block, all: &mut Vec<&'p Comprehension>) {
    for op in &block.ops {
        match op {
            Op::Compute(c) => all.push(c),
            Op::Loop(l) => comprehensions(&l.body, all),
            _ => {}
        }
    }
}

/// Counts how many of 200 programs have a property.
fn count(options: &GenerateOptions, has: impl Fn(&Program, &[&Comprehension]) -> bool) -> usize {
    let with = |seed: &u64| {
        let (program, _) = generate(*seed, options);
        let mut all = Vec::new();
        comprehensions(&program.body, &mut all);
        has(&program, &all)
    };
    (0..200).filter(with).count()
}

fn any_expr(all: &[&Comprehension], wanted: impl Fn(&Expr) -> bool) -> bool {
    let mut found = false;
    all.iter().flat_map(|c| c.exprs()).for_each(|e| e.walk(&mut |e| found |= wanted(e)));
    found
}

#[test]
fn every_construct_occurs() {
    let o = options(Mode::Float);
    let reducers = [
        Reducer::Sum,
        Reducer::Prod,
        Reducer::Max,
        Reducer::Min,
        Reducer::Any,
        Reducer::All,
        Reducer::ArgMax,
        Reducer::ArgMin,
        Reducer::LogSumExp,
    ];
    for reducer in reducers {
        assert!(count(&o, |_, all| all.iter().any(|c| c.reducer == reducer)) > 5, "{reducer:?}");
    }
    for combine in [Reducer::None, Reducer::Sum, Reducer::Max, Reducer::Min, Reducer::Any] {
        let stores = |c: &&Comprehension| c.store.as_ref().is_some_and(|s| s.combine == combine);
        assert!(count(&o, |_, all| all.iter().any(stores)) > 1, "{combine:?}");
    }
    let looped = |l: &Loop| !l.carried.is_empty() && !l.collected.is_empty();
    let has_loop = |p: &Program| p.body.ops.iter().any(|op| matches!(op, Op::Loop(l) if looped(l)));
    assert!(count(&o, |p, _| has_loop(p)) > 20);
    assert!(count(&o, |_, all| any_expr(all, |e| matches!(e, Expr::LoopVar(_)))) > 20);
    assert!(count(&o, |p, _| p.body.ops.iter().any(|op| matches!(op, Op::Argsort(_)))) > 20);
    assert!(count(&o, |_, all| all.iter().any(|c| c.guard.is_some())) > 50);
    let draws = |e: &Expr| matches!(e, Expr::Binary(BinaryOp::Uniform, ..));
    assert!(count(&o, |_, all| any_expr(all, draws)) > 20);
    let defaults = |e: &Expr| matches!(e, Expr::Load(l) if matches!(l.bounds, Bounds::Else(_)));
    assert!(count(&o, |_, all| any_expr(all, defaults)) > 50);
    let clamps = |e: &Expr| matches!(e, Expr::Load(l) if l.bounds == Bounds::Clamp);
    assert!(count(&o, |_, all| any_expr(all, clamps)) > 20);
    for dtype in DType::ALL {
        let computes = |p: &Program| p.values.values().any(|v| v.dtype == dtype);
        assert!(count(&o, |p, _| computes(p)) > 20, "{dtype}");
    }
}

#[test]
fn options_exclude_what_they_name() {
    let plain = GenerateOptions {
        guards: false,
        affine: false,
        gathers: false,
        stores: false,
        loops: false,
        sorts: false,
        halves: false,
        wide: false,
        random: false,
        ..options(Mode::Exact)
    };
    let clean = count(&plain, |p, all| {
        let unguarded = all.iter().all(|c| c.guard.is_none() && c.store.is_none());
        let narrow = |d| matches!(d, DType::F32 | DType::I32 | DType::Bool);
        let proven = !any_expr(all, |e| matches!(e, Expr::Load(l) if l.bounds != Bounds::Proven));
        let simple = p.body.ops.iter().all(|op| matches!(op, Op::Compute(_)));
        unguarded && proven && simple && p.values.values().all(|v| narrow(v.dtype))
    });
    assert_eq!(clean, 200);
}
