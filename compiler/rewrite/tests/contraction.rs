//! The contraction order of every einsum of the peer suite is optimal.

use einmesh_ir::{BinaryOp, Builder, Comprehension, DType, DimId, Expr, Op, Program, Reducer};
use einmesh_rewrite::{Options, rewrite};
use std::collections::{BTreeMap, BTreeSet};

/// The cases of `einsum_suite.py` with three or more operands, and some with two or one.
const CASES: &[(&str, &str, &str)] = &[
    ("lora", "btd,dr,rf->btf", "b=2 t=256 d=768 r=8 f=3072"),
    ("linear_attention", "bthk,bshk,bshv->bthv", "b=1 t=1024 s=1024 h=12 k=64 v=64"),
    ("bilinear", "bi,oij,bj->bo", "b=256 i=128 o=64 j=128"),
    ("chain_bottleneck", "ab,bc,cd,de->ae", "a=2048 b=16 c=2048 d=16 e=2048"),
    ("chain_skewed", "ab,bc,cd,de->ae", "a=1024 b=1024 c=1024 d=1024 e=4"),
    ("ring_mps", "aib,bjc,ckd,dla->ijkl", "a=16 b=16 c=16 d=16 i=16 j=16 k=16 l=16"),
    ("tucker", "abc,ai,bj,ck->ijk", "a=32 b=32 c=32 i=128 j=128 k=128"),
    ("cp_hyperedge", "ir,jr,kr->ijk", "i=128 j=128 k=128 r=32"),
    ("batched_ring_trace", "zab,zbc,zca->z", "z=64 a=128 b=128 c=128"),
    ("long_chain", "ab,bc,cd,de,ef,fg,gh->ah", "a=30 b=35 c=15 d=5 e=10 f=20 g=25 h=40"),
    ("qkv_proj", "btd,dchk->cbthk", "b=2 t=256 d=768 c=3 h=12 k=64"),
    ("reduce_only", "bhts->bht", "b=2 t=256 s=256 h=12"),
    ("transpose_only", "bthk->bhkt", "b=2 t=256 h=12 k=64"),
];

struct Einsum {
    inputs: Vec<Vec<char>>,
    out: Vec<char>,
    extents: BTreeMap<char, u64>,
}

fn parse(expr: &str, sizes: &str) -> Einsum {
    let (inputs, out) = expr.split_once("->").expect("an arrow");
    let extent = |s: &str| {
        let (name, n) = s.split_once('=').expect("name=size");
        (name.chars().next().expect("a letter"), n.parse().expect("a number"))
    };
    Einsum {
        inputs: inputs.split(',').map(|t| t.chars().collect()).collect(),
        out: out.chars().collect(),
        extents: sizes.split(' ').map(extent).collect(),
    }
}

fn program(e: &Einsum) -> Program {
    let mut b = Builder::new("einsum");
    let dims: BTreeMap<char, DimId> =
        e.extents.iter().map(|(c, n)| (*c, b.dim(&c.to_uppercase().to_string(), *n))).collect();
    let values: Vec<_> = e
        .inputs
        .iter()
        .enumerate()
        .map(|(n, t)| {
            let dims: Vec<DimId> = t.iter().map(|c| dims[c]).collect();
            b.input(&format!("x{n}"), DType::F32, &dims)
        })
        .collect();
    let all: BTreeSet<char> = e.inputs.iter().flatten().copied().collect();
    let summed: Vec<char> = all.into_iter().filter(|c| !e.out.contains(c)).collect();
    let order: Vec<char> = e.out.iter().chain(&summed).copied().collect();
    let ids = |cs: &[char]| cs.iter().map(|c| dims[c]).collect::<Vec<_>>();
    let reducer = if summed.is_empty() { Reducer::None } else { Reducer::Sum };
    let out = b.compute("y", DType::F32, &ids(&e.out), &ids(&summed), reducer, |ix| {
        let at = |c: &char| ix[order.iter().position(|o| o == c).expect("an index")].clone();
        let loads = values.iter().zip(&e.inputs).map(|(v, t)| Expr::load(*v, t.iter().map(at)));
        loads.reduce(|a, b| Expr::binary(BinaryOp::Mul, a, b)).expect("an operand")
    });
    b.output(out);
    b.finish()
}

/// Multiplications and additions, counted as opt_einsum does.
fn flops(program: &Program, c: &Comprehension) -> u64 {
    let points: u64 = c.indices.values().map(|i| program.dims[i.dim].extent).product();
    points * (c.body.loads().len() as u64 - 1 + u64::from(c.reducer == Reducer::Sum))
}

fn total(program: &Program) -> u64 {
    let each = program.body.ops.iter().map(|op| match op {
        Op::Compute(c) => flops(program, c),
        _ => unreachable!("only comprehensions"),
    });
    each.sum()
}

/// The fewest operations over all orders of pairs, by trying them.
fn optimum(live: &[BTreeSet<char>], e: &Einsum) -> u64 {
    if live.len() <= 1 {
        return 0;
    }
    let mut best = u64::MAX;
    for i in 0..live.len() {
        for j in i + 1..live.len() {
            let mut rest: Vec<_> =
                (0..live.len()).filter(|k| *k != i && *k != j).map(|k| live[k].clone()).collect();
            let both: BTreeSet<char> = live[i].union(&live[j]).copied().collect();
            let alive: BTreeSet<char> = rest.iter().flatten().chain(&e.out).copied().collect();
            let out: BTreeSet<char> = both.intersection(&alive).copied().collect();
            let points: u64 = both.iter().map(|c| e.extents[c]).product();
            let cost = points * if out.len() < both.len() { 2 } else { 1 };
            rest.push(out);
            best = best.min(cost.saturating_add(optimum(&rest, e)));
        }
    }
    best
}

#[test]
fn suite_reaches_the_optimal_order() {
    for (name, expr, sizes) in CASES {
        let e = parse(expr, sizes);
        let given = program(&e);
        let r = rewrite(&given, &Options::default());
        let sets: Vec<BTreeSet<char>> =
            e.inputs.iter().map(|t| t.iter().copied().collect()).collect();
        let best = if sets.len() == 1 { total(&given) } else { optimum(&sets, &e) };
        println!(
            "{name}: {} -> {} (optimum {best})\n{}",
            total(&given),
            total(&r.program),
            r.report
        );
        assert_eq!(total(&r.program), best, "{name}");
        if sets.len() <= 2 {
            assert_eq!(r.program, given, "{name} is left alone");
        }
    }
}
