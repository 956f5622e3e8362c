//! Random programs compute the same numbers before and after.

mod common;

use common::*;
use einmesh_interp::Precision;
use einmesh_ir::*;
use einmesh_rewrite::{Numerics, Options, rewrite};

/// A random program: definitions over the letters `a b c t u`, where `u` is a role of `t`.
struct Random {
    m: Maker,
    state: u64,
    /// What can be read: name, dims.
    known: Vec<(String, String)>,
    count: usize,
}

impl Random {
    fn new(seed: u64) -> Random {
        let state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
        let mut r = Random { m: Maker::new(&[], DType::F64), state, known: vec![], count: 0 };
        let t = 1 + r.below(4);
        let dims = [
            ('a', 2 + r.below(2)),
            ('b', 1 + r.below(3)),
            ('c', 1 + r.below(3)),
            ('t', t),
            ('u', t),
            ('l', 2),
        ];
        r.m = Maker::new(&dims, DType::F64);
        r.m.program.dims[r.m.dims[&'u']].role_of = Some(r.m.dims[&'t']);
        for n in 0..3 + r.below(2) {
            let dims = r.letters("abctu", 3);
            let name = format!("in{n}");
            r.m.input(&name, &dims);
            r.known.push((name, dims));
        }
        // Weights of a loop, and rows that are picked by constants and by integers.
        r.m.input("w", "lac");
        r.m.typed_input("pick", DType::I32, "b");
        // Which positions are seen: of some rows none.
        r.m.typed_input("keep", DType::I32, "bu");
        r
    }

    fn below(&mut self, n: u64) -> u64 {
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        (self.state >> 11) % n
    }

    /// Up to `most` different letters, in random order.
    fn letters(&mut self, of: &str, most: u64) -> String {
        let mut left: Vec<char> = of.chars().collect();
        let n = self.below(most + 1);
        let mut pick = || {
            let at = self.below(left.len() as u64) as usize;
            left.remove(at)
        };
        (0..n).map(|_| pick()).collect()
    }

    /// A random load, sometimes with `t` and `u` exchanged.
    fn load(&mut self) -> (E, String) {
        let at = self.below(self.known.len() as u64) as usize;
        let (name, dims) = self.known[at].clone();
        let swap = self.below(4) == 0;
        let exchange = |c| match c {
            't' => 'u',
            'u' => 't',
            c => c,
        };
        let subs: String = if swap { dims.chars().map(exchange).collect() } else { dims };
        match self.below(16) {
            0 => (self.m.load("w", "1ac"), "ac".into()),
            1 => {
                let gather = |c: char| match c {
                    'l' => self.m.load("pick", "b").0,
                    c => index(c),
                };
                let load = Load {
                    value: self.m.values["w"],
                    subs: "lac".chars().map(gather).collect(),
                    bounds: Bounds::Clamp,
                };
                (E(Expr::Load(load)), "bac".into())
            }
            _ => (self.m.load(&name, &subs), subs),
        }
    }

    /// A random scalar expression and its letters.
    fn body(&mut self, depth: u64) -> (E, String) {
        let kinds = if depth == 0 { 1 } else { 9 };
        let number = |x| number(DType::F64, x);
        match self.below(kinds) {
            0 => self.load(),
            1 | 2 => self.pair(depth, |a, b| a * b),
            3 => self.pair(depth, |a, b| a + b),
            4 => self.pair(depth, |a, b| a - b),
            5 => self.pair(depth, move |a, b| a / (b.clone() * b + number(1.0))),
            6 => {
                let (e, l) = self.body(depth - 1);
                let c = [2.0, -1.0, 0.5][self.below(3) as usize];
                (e * number(c), l)
            }
            7 => {
                let (e, l) = self.body(depth - 1);
                (e.tanh().exp(), l)
            }
            _ => {
                let (e, l) = self.body(depth - 1);
                let c = [2.0, 3.0][self.below(2) as usize];
                (e.binary(BinaryOp::Pow, number(c)), l)
            }
        }
    }

    fn pair(&mut self, depth: u64, f: impl FnOnce(E, E) -> E) -> (E, String) {
        let ((a, mut l), (b, more)) = (self.body(depth - 1), self.body(depth - 1));
        l.push_str(&more);
        (f(a, b), l)
    }

    fn define(&mut self, dims: String, over: &str, by: Reducer, guard: bool, body: E) {
        let guard = guard.then(|| at_most('u', 't'));
        self.define_where(dims, over, by, guard, body);
    }

    fn define_where(&mut self, dims: String, over: &str, by: Reducer, guard: Option<E>, body: E) {
        self.count += 1;
        let name = format!("v{}", self.count);
        self.m.def(&name, &dims, over, by, guard, body);
        self.known.push((name, dims));
    }

    /// One or several definitions.
    fn statement(&mut self) {
        if self.below(6) == 0 {
            return self.softmax();
        }
        let depth = 1 + self.below(3);
        let (body, letters) = self.body(depth);
        let mut distinct: Vec<char> = letters.chars().collect();
        distinct.sort_unstable();
        distinct.dedup();
        let guard = "tu".chars().all(|c| distinct.contains(&c)) && self.below(2) == 0;
        let (mut out, mut over): (String, String) =
            distinct.iter().partition(|_| self.below(2) == 0);
        if self.below(8) == 0 {
            // An index that only the left side has, or only the reduction.
            let extra: Vec<char> = "abctu".chars().filter(|c| !distinct.contains(c)).collect();
            if let Some(c) = extra.first() {
                if self.below(2) == 0 { out.push(*c) } else { over.push(*c) }
            }
        }
        let by = match self.below(6) {
            _ if over.is_empty() => Reducer::None,
            0 => Reducer::Max,
            1 => Reducer::Min,
            2 => Reducer::LogSumExp,
            _ => Reducer::Sum,
        };
        // Extremes of nothing are infinite and then compare badly.
        let guard = guard && matches!(by, Reducer::Sum | Reducer::None);
        self.define(out, &over, by, guard, body);
    }

    /// A softmax over `u`, applied to something.
    fn softmax(&mut self) {
        let (body, letters) = self.body(1);
        // Rows that no position is kept of.
        let some_empty = self.below(4) == 0;
        let extra = if some_empty { "tb" } else { "t" };
        let mut out: Vec<char> =
            letters.chars().filter(|c| *c != 'u').chain(extra.chars()).collect();
        out.sort_unstable();
        out.dedup();
        let out: String = out.into_iter().collect();
        let all = format!("{out}u");
        let keep = || self.m.load("keep", "bu").binary(BinaryOp::Ne, E(Expr::int(0)));
        let guard = match some_empty {
            true => Some(keep()),
            false => (self.below(2) == 0).then(|| at_most('u', 't')),
        };
        self.define(all.clone(), "", Reducer::None, false, body);
        let last = |r: &Random| r.known.last().expect("a definition").0.clone();
        let s = last(self);
        self.define_where(out.clone(), "u", Reducer::Max, guard.clone(), self.m.load(&s, &all));
        let top = last(self);
        let e = (self.m.load(&s, &all) - self.m.load(&top, &out)).exp();
        self.define_where(all.clone(), "", Reducer::None, guard.clone(), e);
        let e = last(self);
        self.define_where(out.clone(), "u", Reducer::Sum, guard.clone(), self.m.load(&e, &all));
        let z = last(self);
        let a = self.m.load(&e, &all) / self.m.load(&z, &out);
        self.define_where(all.clone(), "", Reducer::None, guard.clone(), a);
        let a = self.m.load(&last(self), &all);
        let (v, more) = self.load();
        let mut rest: Vec<char> = out.chars().chain(more.chars()).filter(|c| *c != 'u').collect();
        rest.sort_unstable();
        rest.dedup();
        self.define(rest.into_iter().collect(), "u", Reducer::Sum, false, a * v);
        let lse = self.m.load(&top, &out) + self.m.load(&z, &out).log();
        self.define(out, "", Reducer::None, false, lse);
        if some_empty {
            // Extremes of nothing are infinite and then compare badly.
            let lse = last(self);
            self.known.retain(|(name, _)| *name != top && *name != lse);
        }
    }

    fn finish(mut self) -> Program {
        for _ in 0..2 + self.below(4) {
            self.statement();
        }
        if self.below(3) == 0 {
            // A loop that mixes its state with a slice of the stacked weights.
            self.m.input("state", "ac");
            let at = self.below(self.known.len() as u64) as usize;
            let scale = self.known[at].clone();
            self.m.repeat('l', "state", |m| {
                let w = m.load("state", "ac") * m.load("w", "@ac");
                m.map("scaled", "ac", w);
                let total = m.load(&scale.0, &scale.1) * number(DType::F64, 0.1);
                m.sum("total", "", &scale.1, total.tanh());
                let next = (m.load("scaled", "ac") + m.load("total", "")).tanh();
                m.map("state", "ac", next);
            });
            self.known.push(("state".into(), "ac".into()));
            self.statement();
        }
        let mut outputs = vec![self.known.last().expect("definitions").0.clone()];
        for _ in 0..self.below(3) {
            let at = self.below(self.known.len() as u64) as usize;
            let name = self.known[at].0.clone();
            if !outputs.contains(&name) {
                outputs.push(name);
            }
        }
        let names: Vec<&str> = outputs.iter().map(String::as_str).collect();
        self.m.finish(&names)
    }
}

fn cases(default: u64) -> u64 {
    std::env::var("EINMESH_FUZZ").ok().and_then(|n| n.parse().ok()).unwrap_or(default)
}

fn check(p: &Program, options: &Options, seed: u64) -> bool {
    let r = rewrite(p, options);
    let violations = verify(&r.program);
    assert_eq!(violations, vec![], "seed {seed}\n{}", r.report);
    let worst = difference(p, &r.program, Precision::F64, seed);
    assert!(worst < 1e-9, "seed {seed}: {worst}\n{}", r.report);
    for b in &r.report.blocks {
        assert!(b.after_ps <= b.before_ps, "seed {seed}: {b}");
    }
    assert_eq!(r, rewrite(p, options), "seed {seed} gives the same twice");
    r.report.blocks.iter().any(|b| b.changed)
}

#[test]
fn random_programs_keep_their_numbers() {
    let (n, mut changed) = (cases(200), 0);
    for seed in 0..n {
        let p = Random::new(seed).finish();
        assert_eq!(verify(&p), vec![], "seed {seed}");
        changed += u64::from(check(&p, &Options::default(), seed));
    }
    println!("{changed} of {n} programs changed");
    assert!(changed > n / 4, "{changed} of {n} programs changed");
}

#[test]
fn random_programs_keep_their_numbers_with_distribution() {
    let mut options = Options { distribute: true, ..Options::default() };
    options.limits.nodes = 400;
    for seed in 0..cases(40) {
        check(&Random::new(seed).finish(), &options, seed);
    }
}

/// Subscripts that are alike do not make loads of different types one.
#[test]
fn picked_elements_keep_their_types() {
    let mut m = Maker::new(&[('a', 3)], DType::F32);
    m.typed_input("x", DType::F64, "a");
    m.input("y", "a");
    m.map("u", "a", (m.load("x", "0") * m.load("x", "a")).cast(DType::F32));
    m.sum("v", "", "a", m.load("y", "0") * m.load("y", "a"));
    check(&m.finish(&["u", "v"]), &Options::default(), 1);
}

/// With exact numerics, results stay the same bit for bit in the program's own dtypes.
#[test]
fn exact_numerics_change_no_bit() {
    let options = Options { numerics: Numerics::Exact, ..Options::default() };
    for seed in 0..cases(1500) {
        let p = Random::new(seed).finish();
        let r = rewrite(&p, &options);
        assert_eq!(verify(&r.program), vec![], "seed {seed}");
        let worst = difference(&p, &r.program, Precision::Program, seed);
        assert_eq!(worst, 0.0, "seed {seed}\n{}", r.report);
    }
}
