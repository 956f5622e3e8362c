//! The contraction order of every einsum of the peer suite is optimal.

use einmesh_ir::{BinaryOp, Builder, Comprehension, DType, DimId, Expr, Op, Program, Reducer};
use einmesh_rewrite::{Device, Options, rewrite};
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

/// Chains, low-rank updates, Tucker, CP and matrix-product forms of mixed sizes, with what `opt_einsum` 3.4.0's path costs
/// (`contract_path(…, optimize="optimal")`): the sum over its steps of the points of a step's loops, times one less
/// than its operands, plus one if it sums.
const OPT_EINSUM: &[(&str, &str, &str, u64)] = &[
    ("chain_3", "ab,bc,cd->ad", "a=8 b=768 c=256 d=5", 2_027_520),
    ("chain_4", "ab,bc,cd,de->ae", "a=24 b=768 c=128 d=768 e=3", 1_290_240),
    ("chain_5", "ab,bc,cd,de,ef->af", "a=768 b=2 c=128 d=16 e=256 f=8", 57_344),
    ("chain_6", "ab,bc,cd,de,ef,fg->ag", "a=8 b=128 c=256 d=256 e=128 f=64 g=5", 1_402_880),
    ("chain_7", "ab,bc,cd,de,ef,fg,gh->ah", "a=8 b=5 c=256 d=64 e=2 f=3 g=5 h=768", 110_812),
    ("chain_vector", "ab,bc,cd,d->a", "a=2 b=16 c=2 d=16", 192),
    ("chain_batched", "zab,zbc,zcd->zad", "a=128 b=768 c=64 d=64 z=64", 872_415_232),
    ("chain_trace", "ab,bc,cd,da->", "a=768 b=128 c=5 d=24", 1_167_600),
    ("lora_pair", "btd,dr,rf,fs,sg->btg", "b=3 d=2 f=5 g=128 r=8 s=16 t=64", 106_976),
    ("lora_heads", "btd,dr,rhk->bhtk", "b=16 d=64 h=256 k=64 r=768 t=24", 2_415_919_104),
    ("lora_scaled", "td,dr,r,rf->tf", "d=256 f=768 r=64 t=768", 100_679_680),
    ("tucker_two", "abc,ai,bj->ijc", "a=8 b=24 c=2 i=16 j=768", 983_040),
    (
        "tucker_four",
        "abcd,ai,bj,ck,dl->ijkl",
        "a=5 b=24 c=256 d=768 i=768 j=3 k=8 l=768",
        471_859_200,
    ),
    ("tucker_back", "ijk,ai,bj,ck->abc", "a=16 b=16 c=3 i=3 j=128 k=128", 336_384),
    ("cp_back", "ijk,jr,kr->ir", "i=3 j=24 k=3 r=64", 28_800),
    ("cp_four", "ir,jr,kr,lr->ijkl", "i=5 j=2 k=16 l=64 r=64", 1_321_600),
    ("mps_four", "ib,bjc,ckd,dl->ijkl", "b=3 c=2 d=768 i=768 j=2 k=64 l=768", 453_003_264),
    ("mps_norm", "ia,ajb,bk,il,ljm,mk->", "a=24 b=256 i=16 j=256 k=8 l=2 m=16", 8_521_280),
    ("mps_operator", "aib,ijmn,cmd->abcdjn", "a=2 b=3 c=3 d=768 i=256 j=2 m=8 n=64", 31_457_280),
    ("tree", "ijx,klx,xm->ijklm", "i=16 j=768 k=16 l=5 m=2 x=24", 94_375_680),
    ("star", "ax,bx,cx,x->abc", "a=24 b=24 c=5 x=64", 376_640),
    (
        "attention_linear",
        "bthk,bshk,bshv->bthv",
        "b=64 h=128 k=256 s=64 t=768 v=256",
        412_316_860_416,
    ),
    ("bilinear_pair", "bi,oij,bj,op->bp", "b=3 i=768 j=256 o=16 p=64", 18_905_088),
    ("outer_sum", "ab,cd,e->ace", "a=8 b=16 c=64 d=16 e=256", 393_216),
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

/// Multiplications and additions, counted as opt_einsum does; a product within a body counts at the points of its own
/// indices, since it is computed outside of the others' loops.
fn flops(program: &Program, c: &Comprehension) -> u64 {
    let points = |e: &Expr| -> u64 {
        let own = c.indices.iter().filter(|(index, _)| e.mentions(*index));
        own.map(|(_, i)| program.dims[i.dim].extent).product()
    };
    let mut products = 0;
    c.body.walk(&mut |e| {
        if let Expr::Binary(BinaryOp::Mul, ..) = e {
            products += points(e);
        }
    });
    let all: u64 = c.indices.values().map(|i| program.dims[i.dim].extent).product();
    products + if c.reducer == Reducer::Sum { all } else { 0 }
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

/// A machine on which only operations cost: by default launches and bytes count as well, for which a path of small
/// arrays may do a few operations more.
fn operations_only() -> Options {
    let device = Device {
        launch_ps: 0,
        byte_ps_per_1000: 0,
        matrix_ps_per_1000: 10_000,
        vector_ps_per_1000: 10_000,
    };
    Options { device, ..Options::default() }
}

#[test]
fn no_path_costs_more_than_opt_einsums() {
    let mut dearer = Vec::new();
    for (name, expr, sizes, cost) in OPT_EINSUM {
        let given = program(&parse(expr, sizes));
        let found = total(&rewrite(&given, &operations_only()).program);
        let by_time = total(&rewrite(&given, &Options::default()).program);
        println!("{name}: {found} (by time {by_time}), opt_einsum {cost}");
        if found > *cost {
            dearer.push(format!("{name} {expr}: {found} instead of {cost}"));
        }
    }
    assert!(dearer.is_empty(), "{}", dearer.join("\n"));
}
