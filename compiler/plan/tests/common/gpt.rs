//! GPT-2, statement by statement as lowering writes it.

use super::*;
use einmesh_ir::{
    Block, Bounds, Carried, Expr, IndexId, Literal, Load, Loop, LoopVar, LoopVarId, Op, Program,
};

/// The extents.
pub struct Config {
    pub b: u64,
    pub t: u64,
    pub p: u64,
    pub v: u64,
    pub d: u64,
    pub h: u64,
    pub f: u64,
    pub l: u64,
}

pub const SMALL: Config = Config { b: 8, t: 64, p: 128, v: 50257, d: 768, h: 12, f: 3072, l: 12 };

struct Gpt {
    m: Make,
    layer: LoopVarId,
}

/// The forward pass and, if asked for, the loss.
pub fn gpt(c: &Config, with_loss: bool) -> Program {
    let dims = [
        ("B", c.b),
        ("T", c.t),
        ("U", c.t),
        ("P", c.p),
        ("V", c.v),
        ("D", c.d),
        ("H", c.h),
        ("K", c.d / c.h),
        ("F", c.f),
        ("L", c.l),
        ("3", 3),
    ];
    let mut m = Make::new("forward", &dims);
    let (t, u, over) = (m.dim("T"), m.dim("U"), m.dim("L"));
    m.b.program.dims[u].role_of = Some(t);
    let layer = m.b.program.loop_vars.push(LoopVar { name: "l".to_owned(), dim: over });
    let mut g = Gpt { m, layer };

    let tokens = g.m.input("tokens", DType::I32, "b t");
    let wte = g.m.leaf("wte.weight", "v d", &["Params"]);
    let wpe = g.m.leaf("wpe.weight", "p d", &["Params"]);
    let block = &["Block", "Params"];
    let weights = Weights {
        ln_1: (
            g.m.leaf("h.{}.ln_1.weight", "l d", block),
            g.m.leaf("h.{}.ln_1.bias", "l d", block),
        ),
        c_attn: (
            g.m.leaf("h.{}.attn.c_attn.weight", "l d 3 h k", block),
            g.m.leaf("h.{}.attn.c_attn.bias", "l 3 h k", block),
        ),
        attn_proj: (
            g.m.leaf("h.{}.attn.c_proj.weight", "l h k d", block),
            g.m.leaf("h.{}.attn.c_proj.bias", "l d", block),
        ),
        ln_2: (
            g.m.leaf("h.{}.ln_2.weight", "l d", block),
            g.m.leaf("h.{}.ln_2.bias", "l d", block),
        ),
        c_fc: (
            g.m.leaf("h.{}.mlp.c_fc.weight", "l d f", block),
            g.m.leaf("h.{}.mlp.c_fc.bias", "l f", block),
        ),
        mlp_proj: (
            g.m.leaf("h.{}.mlp.c_proj.weight", "l f d", block),
            g.m.leaf("h.{}.mlp.c_proj.bias", "l d", block),
        ),
    };
    let ln_f = (g.m.leaf("ln_f.weight", "d", &["Params"]), g.m.leaf("ln_f.bias", "d", &["Params"]));

    let embed = g.m.compute("embed", "b t d", Reducer::None, "", |l| {
        let row = Load {
            value: wte,
            subs: vec![l(tokens, "b t"), Expr::Index(IndexId(2))],
            bounds: Bounds::Clamp,
        };
        add(Expr::Load(row), l(wpe, "t d"))
    });
    let x = g.layers(embed, &weights);
    let y = g.norm("ln_f", x, ln_f, None);
    let logits = g.m.einsum("logits", "b t v", "d", (y, "b t d"), (wte, "v d"));
    if with_loss {
        let loss = g.loss(logits);
        g.m.b.output(loss);
    } else {
        g.m.b.output(logits);
    }
    g.m.b.finish()
}

type Pair = (ValueId, ValueId);

/// The load, or in a loop over layers the load of that layer's part.
fn at_layer(load: Expr, layer: Option<LoopVarId>) -> Expr {
    match (load, layer) {
        (Expr::Load(mut load), Some(var)) => {
            load.subs.insert(0, Expr::LoopVar(var));
            Expr::Load(load)
        }
        (other, _) => other,
    }
}

struct Weights {
    ln_1: Pair,
    c_attn: Pair,
    attn_proj: Pair,
    ln_2: Pair,
    c_fc: Pair,
    mlp_proj: Pair,
}

impl Gpt {
    fn layers(&mut self, init: ValueId, w: &Weights) -> ValueId {
        let dims = self.m.b.program.values[init].dims.clone();
        let entry = self.m.b.value("x", DType::F32, &dims);
        let start = self.m.b.program.body.ops.len();
        let exit = self.block(entry, w);
        let ops = self.m.b.program.body.ops.split_off(start);
        let result = self.m.b.value("x", DType::F32, &dims);
        self.m.b.program.body.ops.push(Op::Loop(Loop {
            var: self.layer,
            reversed: false,
            condition: None,
            carried: vec![Carried { init, entry, exit, result }],
            collected: vec![],
            body: Block { ops },
        }));
        result
    }

    fn block(&mut self, x: ValueId, w: &Weights) -> ValueId {
        let var = self.layer;
        let layer = |load| at_layer(load, Some(var));
        let n1 = self.norm("ln_1", x, w.ln_1, Some(self.layer));
        let m = &mut self.m;
        let project = |m: &mut Make, name: &str, part: usize, free: &str| {
            let t = if free.contains('u') { "u" } else { "t" };
            let product = m.compute(&format!("{name}0"), free, Reducer::Sum, "d", |l| {
                mul(l(n1, &format!("b {t} d")), layer(l(w.c_attn.0, &format!("d {part} h k"))))
            });
            m.compute(name, free, Reducer::None, "", |l| {
                add(l(product, free), layer(l(w.c_attn.1, &format!("{part} h k"))))
            })
        };
        let q = project(m, "q", 0, "b t h k");
        let key = project(m, "key", 1, "b u h k");
        let val = project(m, "val", 2, "b u h k");
        let s = m.compute("s", "b h t u", Reducer::Sum, "k", |l| {
            mul(mul(l(q, "b t h k"), l(key, "b u h k")), float(0.125))
        });
        let top = m.compute("top", "b h t", Reducer::Max, "u", |l| l(s, "b h t u"));
        let e = m.compute("e", "b h t u", Reducer::None, "", |l| {
            exp(sub(l(s, "b h t u"), l(top, "b h t")))
        });
        let den = m.compute("den", "b h t", Reducer::Sum, "u", |l| l(e, "b h t u"));
        let a = m.compute("a", "b h t u", Reducer::None, "", |l| {
            Expr::binary(BinaryOp::Div, l(e, "b h t u"), l(den, "b h t"))
        });
        let o = m.einsum("o", "b t h k", "u", (a, "b h t u"), (val, "b u h k"));
        let proj = m.compute("proj", "b t d", Reducer::Sum, "h k", |l| {
            mul(l(o, "b t h k"), layer(l(w.attn_proj.0, "h k d")))
        });
        let attn = m.compute("attn", "b t d", Reducer::None, "", |l| {
            add(l(proj, "b t d"), layer(l(w.attn_proj.1, "d")))
        });
        let y =
            m.compute("y", "b t d", Reducer::None, "", |l| add(l(x, "b t d"), l(attn, "b t d")));
        let n2 = self.norm("ln_2", y, w.ln_2, Some(self.layer));
        let m = &mut self.m;
        let fc = m.compute("fc", "b t f", Reducer::Sum, "d", |l| {
            mul(l(n2, "b t d"), layer(l(w.c_fc.0, "d f")))
        });
        let act = m.compute("act", "b t f", Reducer::None, "", |l| {
            Expr::unary(UnaryOp::Tanh, add(l(fc, "b t f"), layer(l(w.c_fc.1, "f"))))
        });
        let down = m.compute("down", "b t d", Reducer::Sum, "f", |l| {
            mul(l(act, "b t f"), layer(l(w.mlp_proj.0, "f d")))
        });
        let mlp = m.compute("mlp", "b t d", Reducer::None, "", |l| {
            add(l(down, "b t d"), layer(l(w.mlp_proj.1, "d")))
        });
        m.compute("out", "b t d", Reducer::None, "", |l| add(l(y, "b t d"), l(mlp, "b t d")))
    }

    fn norm(
        &mut self,
        name: &str,
        x: ValueId,
        parameters: Pair,
        layer: Option<LoopVarId>,
    ) -> ValueId {
        let m = &mut self.m;
        let count = m.b.program.dims[m.dim("D")].extent as f64;
        let sum = m.compute(&format!("{name}.sum"), "b t", Reducer::Sum, "d", |l| l(x, "b t d"));
        let mu = m.compute(&format!("{name}.mu"), "b t", Reducer::None, "", |l| {
            mul(l(sum, "b t"), float(1.0 / count))
        });
        let sq = m.compute(&format!("{name}.sq"), "b t", Reducer::Sum, "d", |l| {
            let centred = || sub(l(x, "b t d"), l(mu, "b t"));
            mul(centred(), centred())
        });
        m.compute(name, "b t d", Reducer::None, "", |l| {
            let scale = Expr::unary(UnaryOp::Rsqrt, mul(l(sq, "b t"), float(1.0 / count)));
            let normal = mul(sub(l(x, "b t d"), l(mu, "b t")), scale);
            let parameter = |value| at_layer(l(value, "d"), layer);
            add(mul(normal, parameter(parameters.0)), parameter(parameters.1))
        })
    }

    fn loss(&mut self, z: ValueId) -> ValueId {
        let m = &mut self.m;
        let targets = m.input("targets", DType::I32, "b t");
        let top = m.compute("ce.top", "b t", Reducer::Max, "v", |l| l(z, "b t v"));
        let den = m.compute("ce.den", "b t", Reducer::Sum, "v", |l| {
            exp(sub(l(z, "b t v"), l(top, "b t")))
        });
        let nll = m.compute("ce", "b t", Reducer::None, "", |l| {
            let picked = Load {
                value: z,
                subs: vec![Expr::Index(IndexId(0)), Expr::Index(IndexId(1)), l(targets, "b t")],
                bounds: Bounds::Clamp,
            };
            let lse = add(l(top, "b t"), Expr::unary(UnaryOp::Log, l(den, "b t")));
            sub(lse, Expr::Load(picked))
        });
        let total = m.compute("total", "", Reducer::Sum, "b t", |l| l(nll, "b t"));
        let valid = |l: &dyn Fn(ValueId, &str) -> Expr| {
            let zero = Expr::Literal(Literal::Int(DType::I32, 0));
            Expr::binary(BinaryOp::Ge, l(targets, "b t"), zero)
        };
        let count = m.compute("count", "", Reducer::Sum, "b t", |l| {
            Expr::select(valid(l), float(1.0), float(0.0))
        });
        m.compute("loss", "", Reducer::None, "", |l| {
            Expr::binary(BinaryOp::Div, l(total, ""), l(count, ""))
        })
    }
}
