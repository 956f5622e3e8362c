//! A GPT-2 forward pass: what rewriting does to it, and how fast.

mod common;

use common::*;
use einmesh_interp::Precision;
use einmesh_ir::*;
use einmesh_rewrite::{Options, rewrite};

/// Extents of a model.
pub struct Size {
    b: u64,
    t: u64,
    d: u64,
    h: u64,
    k: u64,
    f: u64,
    l: u64,
}

fn layer_norm(m: &mut Maker, x: &str, name: &str, l: &str) {
    let (d, n) = (m.program.dims[m.dims[&'d']].extent as f64, |s: &str| format!("{name}_{s}"));
    let dtype = m.dtype;
    let over = || number(dtype, d);
    m.sum(&n("sum"), "bt", "d", m.load(x, "btd"));
    m.map(&n("mu"), "bt", m.load(&n("sum"), "bt") / over());
    let centred = |m: &Maker| m.load(x, "btd") - m.load(&n("mu"), "bt");
    let square = centred(m).binary(BinaryOp::Pow, number(dtype, 2.0));
    m.sum(&n("sq"), "bt", "d", square);
    m.map(&n("vr"), "bt", m.load(&n("sq"), "bt") / over());
    let scale = (m.load(&n("vr"), "bt") + number(dtype, 1e-5)).rsqrt();
    let w = |m: &Maker, s: &str| m.load(&n(s), &format!("{l}d"));
    let body = centred(m) * scale * w(m, "w") + w(m, "b");
    m.map(&n("out"), "btd", body);
}

fn linear(m: &mut Maker, name: &str, out: &str, over: &str, product: E, bias: E) {
    m.sum(&format!("{name}_mm"), out, over, product);
    let mm = m.load(&format!("{name}_mm"), out);
    m.map(name, out, mm + bias);
}

fn layer(m: &mut Maker) {
    let dtype = m.dtype;
    layer_norm(m, "x", "ln1", "@");
    for (n, name) in ["q", "key", "val"].into_iter().enumerate() {
        let out = if n == 0 { "bthk" } else { "buhk" };
        let x = m.load("ln1_out", if n == 0 { "btd" } else { "bud" });
        let w = m.load("c_attn_w", &format!("@d{n}hk"));
        linear(m, name, out, "d", x * w, m.load("c_attn_b", &format!("@{n}hk")));
    }
    let k = m.program.dims[m.dims[&'k']].extent as f64;
    let s = m.load("q", "bthk") * m.load("key", "buhk") * number(dtype, k.powf(-0.5));
    m.sum("s", "bhtu", "k", s);
    let causal = || Some(at_most('u', 't'));
    m.def("top", "bht", "u", Reducer::Max, causal(), m.load("s", "bhtu"));
    let e = (m.load("s", "bhtu") - m.load("top", "bht")).exp();
    m.def("e", "bhtu", "", Reducer::None, causal(), e);
    m.def("z", "bht", "u", Reducer::Sum, causal(), m.load("e", "bhtu"));
    m.def("a", "bhtu", "", Reducer::None, causal(), m.load("e", "bhtu") / m.load("z", "bht"));
    m.sum("o", "bthk", "u", m.load("a", "bhtu") * m.load("val", "buhk"));
    let proj = m.load("o", "bthk") * m.load("c_proj_w", "@hkd");
    linear(m, "attn", "btd", "hk", proj, m.load("c_proj_b", "@d"));
    m.map("x1", "btd", m.load("x", "btd") + m.load("attn", "btd"));
    layer_norm(m, "x1", "ln2", "@");
    let up = m.load("ln2_out", "btd") * m.load("w1", "@df");
    linear(m, "up", "btf", "d", up, m.load("b1", "@f"));
    let u = |m: &Maker| m.load("up", "btf");
    let cube = u(m).binary(BinaryOp::Pow, number(dtype, 3.0));
    let inner = number(dtype, 0.797_884_560_802_865_4) * (u(m) + number(dtype, 0.044715) * cube);
    let gelu = number(dtype, 0.5) * u(m) * (number(dtype, 1.0) + inner.tanh());
    m.map("g", "btf", gelu);
    let down = m.load("g", "btf") * m.load("w2", "@fd");
    linear(m, "down", "btd", "f", down, m.load("b2", "@d"));
    m.map("x", "btd", m.load("x1", "btd") + m.load("down", "btd"));
}

fn gpt2(z: &Size, dtype: DType) -> Program {
    let sizes = [('b', z.b), ('t', z.t), ('u', z.t), ('d', z.d), ('h', z.h), ('k', z.k)];
    let more = [('f', z.f), ('l', z.l), ('c', 3)];
    let mut m = Maker::new(&[&sizes[..], &more[..]].concat(), dtype);
    m.program.dims[m.dims[&'u']].role_of = Some(m.dims[&'t']);
    m.input("x", "btd");
    let weights = [
        ("ln1_w", "ld"),
        ("ln1_b", "ld"),
        ("c_attn_w", "ldchk"),
        ("c_attn_b", "lchk"),
        ("c_proj_w", "lhkd"),
        ("c_proj_b", "ld"),
        ("ln2_w", "ld"),
        ("ln2_b", "ld"),
        ("w1", "ldf"),
        ("b1", "lf"),
        ("w2", "lfd"),
        ("b2", "ld"),
    ];
    for (name, dims) in weights {
        m.input(name, dims);
    }
    m.repeat('l', "x", layer);
    m.finish(&["x"])
}

fn small() -> Size {
    Size { b: 2, t: 5, d: 6, h: 2, k: 3, f: 8, l: 2 }
}

#[test]
fn forward_pass_keeps_its_numbers() {
    let p = gpt2(&small(), DType::F64);
    assert_eq!(verify(&p), vec![]);
    let r = rewrite(&p, &Options::default());
    println!("{}", r.report);
    assert_eq!(verify(&r.program), vec![]);
    let worst = difference(&p, &r.program, Precision::F64, 1);
    assert!(worst < 1e-12, "{worst}");
}

#[test]
fn the_layer_is_rewritten_once_and_quickly() {
    let big = |l| Size { b: 1, t: 1024, d: 768, h: 12, k: 64, f: 3072, l };
    let (p, deep) = (gpt2(&big(12), DType::F32), gpt2(&big(96), DType::F32));
    let r = rewrite(&p, &Options::default());
    // Printed, not asserted: the machine may be busy.
    let times = (0..5).map(|_| {
        let start = std::time::Instant::now();
        rewrite(&p, &Options::default());
        start.elapsed()
    });
    println!("best of five: {:?}\n{}", times.min(), r.report);
    for op in &r.program.body.ops {
        if let Op::Loop(l) = op {
            for op in &l.body.ops {
                if let Op::Compute(c) = op {
                    println!("{}", show(&r.program, c));
                }
            }
        }
    }
    assert!(r.report.blocks.iter().all(|b| b.graph.as_ref().is_some_and(|g| g.saturated)));
    assert_eq!(r.report, rewrite(&deep, &Options::default()).report, "depth does not matter");
    assert_eq!(r, rewrite(&p, &Options::default()), "the same twice");
}

/// One line for a comprehension.
fn show(p: &Program, c: &Comprehension) -> String {
    let names: Vec<&str> = c.indices.values().map(|i| i.name.as_str()).collect();
    let (free, over) = names.split_at(c.free);
    let guard = if c.guard.is_some() { " | guard" } else { "" };
    let body = expr(p, c, &c.body);
    format!("{}{free:?} = {:?}{over:?}{guard} {body}", p.values[c.out].name, c.reducer)
}

fn expr(p: &Program, c: &Comprehension, e: &Expr) -> String {
    let go = |e: &Expr| expr(p, c, e);
    match e {
        Expr::Literal(Literal::Float(_, x)) => format!("{x:.4}"),
        Expr::Literal(Literal::Int(_, x)) => format!("{x}"),
        Expr::Index(i) => c.indices[*i].name.clone(),
        Expr::LoopVar(_) => "@".into(),
        Expr::Load(l) => {
            let subs: Vec<String> = l.subs.iter().map(go).collect();
            format!("{}[{}]", p.values[l.value].name, subs.join(","))
        }
        Expr::Unary(op, a) => format!("{op:?}({})", go(a)),
        Expr::Binary(op, a, b) => format!("({} {op:?} {})", go(a), go(b)),
        other => format!("{other:?}"),
    }
}
