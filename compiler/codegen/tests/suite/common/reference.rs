//! A plain evaluator of kernels: one point at a time, numbers of each dtype rounded after each operation.

use einmesh_ir::{
    BinaryOp, Bounds, DType, Expr, IndexId, Literal, Reducer, UnaryOp, ValueId, integer, rng,
};
use einmesh_schedule::kernel::{
    Body, Contraction, Kernel, Nest, Online, PointSum, Role, Stage, Sweep, Target,
};

/// A number of any dtype.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Number {
    Float(f64),
    Int(i64),
    Bool(bool),
}

use Number::{Bool, Float, Int};

impl Number {
    pub fn float(self) -> f64 {
        match self {
            Float(x) => x,
            Int(x) => x as f64,
            Bool(x) => f64::from(u8::from(x)),
        }
    }

    fn int(self) -> i64 {
        match self {
            Int(x) => x,
            Float(x) => x as i64,
            Bool(x) => i64::from(x),
        }
    }

    fn truth(self) -> bool {
        match self {
            Bool(x) => x,
            Int(x) => x != 0,
            Float(x) => x != 0.0,
        }
    }
}

fn round(dtype: DType, x: f64) -> f64 {
    dtype.round(x)
}

pub fn read(dtype: DType, bytes: &[u8]) -> Number {
    match dtype {
        DType::F64 => Float(f64::from_le_bytes(bytes.try_into().unwrap())),
        DType::F32 => Float(f64::from(f32::from_le_bytes(bytes.try_into().unwrap()))),
        DType::Bf16 => Float(half::bf16::from_le_bytes(bytes.try_into().unwrap()).to_f64()),
        DType::F16 => Float(half::f16::from_le_bytes(bytes.try_into().unwrap()).to_f64()),
        DType::I64 | DType::Key => Int(i64::from_le_bytes(bytes.try_into().unwrap())),
        DType::I32 => Int(i64::from(i32::from_le_bytes(bytes.try_into().unwrap()))),
        DType::Bool => Bool(bytes[0] != 0),
    }
}

pub fn write(dtype: DType, number: Number) -> Vec<u8> {
    match dtype {
        DType::F64 => number.float().to_le_bytes().to_vec(),
        DType::F32 => (number.float() as f32).to_le_bytes().to_vec(),
        DType::Bf16 => half::bf16::from_f64(round(dtype, number.float())).to_le_bytes().to_vec(),
        DType::F16 => half::f16::from_f64(round(dtype, number.float())).to_le_bytes().to_vec(),
        DType::I64 | DType::Key => number.int().to_le_bytes().to_vec(),
        DType::I32 => (number.int() as i32).to_le_bytes().to_vec(),
        DType::Bool => vec![u8::from(number.truth())],
    }
}

struct Ctx<'k> {
    kernel: &'k Kernel,
    memory: Vec<Vec<u8>>,
    ints: Vec<i64>,
    at: Vec<i64>,
}

/// Runs a kernel on the bytes of its operands.
pub fn run(kernel: &Kernel, operands: &mut [Vec<u8>], ints: &[i64]) {
    let mut given = operands.iter();
    let memory = kernel
        .values
        .iter()
        .map(|v| match v.role {
            Role::Local => vec![0xAA; super::bytes_of(v.dtype, &v.extents)],
            _ => given.next().unwrap().clone(),
        })
        .collect();
    let mut ctx = Ctx { kernel, memory, ints: ints.to_vec(), at: vec![0; kernel.indices.len()] };
    match &kernel.body {
        Body::Nest(nest) => ctx.nest(nest),
        Body::Contraction(contraction) => ctx.contraction(contraction),
        Body::Siblings(siblings) => siblings.iter().for_each(|c| ctx.contraction(c)),
        Body::Online(online) => ctx.online(online),
        Body::Sweep(sweep) => ctx.sweep(sweep),
        Body::Argsort { input, output, position } => ctx.argsort(*input, *output, *position),
    }
    let outside = kernel.values.iter().zip(ctx.memory).filter(|(v, _)| v.role != Role::Local);
    for (slot, (_, bytes)) in operands.iter_mut().zip(outside) {
        *slot = bytes;
    }
}

impl Ctx<'_> {
    fn extent(&self, index: IndexId) -> i64 {
        self.kernel.indices[index.0 as usize].extent as i64
    }

    fn each(&mut self, indices: &[IndexId], body: &mut dyn FnMut(&mut Self)) {
        let Some((first, rest)) = indices.split_first() else {
            return body(self);
        };
        for position in 0..self.extent(*first) {
            self.at[first.0 as usize] = position;
            self.each(rest, body);
        }
    }

    fn nest(&mut self, nest: &Nest) {
        self.each(&nest.outer, &mut |ctx| {
            for stage in &nest.stages {
                ctx.each(&stage.free, &mut |ctx| ctx.stage(stage));
            }
        });
    }

    fn stage(&mut self, stage: &Stage) {
        let body_dtype = self.dtype(&stage.body);
        let reduction = match stage.reducer {
            Reducer::Sum | Reducer::Prod | Reducer::LogSumExp => body_dtype.accumulator(),
            _ => body_dtype,
        };
        let mut points: Vec<(Number, i64)> = Vec::new();
        let first = stage.reduced.first().copied();
        self.each(&stage.reduced, &mut |ctx| {
            let inside = stage.guard.as_ref().is_none_or(|g| ctx.eval(g).truth());
            if inside {
                let position = first.map_or(0, |i| ctx.at[i.0 as usize]);
                points.push((ctx.eval(&stage.body), position));
            }
        });
        if points.is_empty() && stage.target.store {
            return;
        }
        let result = reduce(stage.reducer, reduction, &points);
        let dtype = match stage.reducer {
            Reducer::ArgMax | Reducer::ArgMin => DType::I32,
            _ => reduction,
        };
        self.put(&stage.target, result, dtype);
    }

    fn contraction(&mut self, c: &Contraction) {
        let free = [&c.batch[..], &c.m, &c.n].concat();
        let acc = c.acc.0 as usize;
        self.each(&free, &mut |ctx| {
            let mut sum = Float(0.0);
            let mut whole = 0i64;
            ctx.each(&c.k, &mut |ctx| {
                let (x, y) = (ctx.eval(&c.lhs), ctx.eval(&c.rhs));
                sum = Float(sum.float() + x.float() * y.float());
                whole = whole.wrapping_add(x.int().wrapping_mul(y.int()));
            });
            let sum =
                if c.accumulator.is_int() { Int(integer::wrap(c.accumulator, whole)) } else { sum };
            ctx.memory[acc] = write(c.accumulator, sum);
            let result = ctx.eval(&c.epilogue);
            let dtype = ctx.dtype(&c.epilogue);
            ctx.put(&c.target, result, dtype);
        });
    }

    fn online(&mut self, o: &Online) {
        let (n, wide) = (o.n, o.accumulator);
        let set = |ctx: &mut Self, local: ValueId, value: f64| {
            ctx.memory[local.0 as usize] = write(wide, Float(value));
        };
        let rows = [&o.batch[..], &o.m].concat();
        let columns = o.context.as_ref().map_or(vec![], |c| c.v.clone());
        self.each(&rows, &mut |ctx| {
            let mut points: Vec<(i64, f64)> = Vec::new();
            ctx.each(&[n], &mut |ctx| {
                if !o.guard.as_ref().is_none_or(|g| ctx.eval(g).truth()) {
                    return;
                }
                let mut sum = 0.0;
                ctx.each(&o.k, &mut |ctx| {
                    sum += ctx.eval(&o.lhs).float() * ctx.eval(&o.rhs).float();
                });
                set(ctx, o.acc, sum);
                points.push((ctx.at[n.0 as usize], ctx.eval(&o.score).float()));
            });
            let scores: Vec<(Number, i64)> = points.iter().map(|p| (Float(p.1), p.0)).collect();
            let top = reduce(Reducer::Max, DType::F64, &scores).float();
            let lse = reduce(Reducer::LogSumExp, DType::F64, &scores).float();
            set(ctx, o.top, top);
            set(ctx, o.lse, lse);
            set(ctx, o.total, points.iter().map(|p| libm::exp(p.1 - top)).sum());
            for result in o.results.iter().filter(|r| !r.wide) {
                let value = ctx.eval(&result.value);
                ctx.put(&result.target, value, ctx.dtype(&result.value));
            }
            let Some(context) = &o.context else { return };
            ctx.each(&columns, &mut |ctx| {
                let mut sum = 0.0;
                for (at, score) in &points {
                    ctx.at[n.0 as usize] = *at;
                    sum += libm::exp(score - top) * ctx.eval(&context.value).float();
                }
                set(ctx, context.acc, sum);
                for result in o.results.iter().filter(|r| r.wide) {
                    let value = ctx.eval(&result.value);
                    ctx.put(&result.target, value, ctx.dtype(&result.value));
                }
            });
        });
    }

    fn sweep(&mut self, s: &Sweep) {
        let wide = s.accumulator;
        let set = |ctx: &mut Self, local: ValueId, value: f64| {
            ctx.memory[local.0 as usize] = write(wide, Float(value));
        };
        self.each(&s.batch, &mut |ctx| {
            // The weights of each sum at the points of m and n, row-major; none where the guard is false.
            let mut weights: Vec<Option<Vec<f64>>> = Vec::new();
            ctx.each(&[&s.m[..], &[s.n]].concat(), &mut |ctx| {
                if !s.guard.as_ref().is_none_or(|g| ctx.eval(g).truth()) {
                    return weights.push(None);
                }
                for product in &s.products {
                    let mut sum = 0.0;
                    ctx.each(&product.k, &mut |ctx| {
                        sum += ctx.eval(&product.lhs).float() * ctx.eval(&product.rhs).float();
                    });
                    set(ctx, product.acc, sum);
                }
                for point in &s.points {
                    let value = ctx.eval(&point.value).float();
                    set(ctx, point.local, value);
                }
                let of = |sum: &PointSum| ctx.eval(&Expr::load(sum.weight, [])).float();
                weights.push(Some(s.sums.iter().map(of).collect()));
            });
            let keys = ctx.extent(s.n) as usize;
            for (number, sum) in s.sums.iter().enumerate() {
                let (own, summed) = match sum.of_columns {
                    true => (vec![s.n], s.m.clone()),
                    false => (s.m.clone(), vec![s.n]),
                };
                ctx.each(&[own, sum.v.clone()].concat(), &mut |ctx| {
                    let mut total = 0.0;
                    ctx.each(&summed, &mut |ctx| {
                        let row = s.m.iter().fold(0, |at, i| {
                            at * ctx.extent(*i) as usize + ctx.at[i.0 as usize] as usize
                        });
                        let at = row * keys + ctx.at[s.n.0 as usize] as usize;
                        if let Some(weights) = &weights[at] {
                            total += weights[number] * ctx.eval(&sum.value).float();
                        }
                    });
                    set(ctx, sum.acc, total);
                    let value = ctx.eval(&sum.result);
                    ctx.put(&sum.target, value, ctx.dtype(&sum.result));
                });
            }
        });
    }

    fn argsort(&mut self, input: ValueId, output: ValueId, position: usize) {
        let memory = &self.kernel.values[input.0 as usize];
        let extents: Vec<usize> = memory.extents.iter().map(|e| *e as usize).collect();
        let inner: usize = extents[position + 1..].iter().product();
        let outer: usize = extents[..position].iter().product();
        let length = extents[position];
        let size = memory.dtype.bytes() as usize;
        for row in 0..outer {
            for column in 0..inner {
                let place = |n: usize| (row * length + n) * inner + column;
                let key = |n: usize| {
                    let at = place(n) * size;
                    read(memory.dtype, &self.memory[input.0 as usize][at..at + size])
                };
                let mut order: Vec<usize> = (0..length).collect();
                order.sort_by(|a, b| match (key(*a), key(*b)) {
                    (Float(x), Float(y)) => match (x.is_nan(), y.is_nan()) {
                        (false, false) => x.partial_cmp(&y).unwrap(),
                        (x, y) => x.cmp(&y),
                    },
                    (x, y) => x.int().cmp(&y.int()),
                });
                for (n, position) in order.into_iter().enumerate() {
                    let at = place(n) * 4;
                    let bytes = (position as i32).to_le_bytes();
                    self.memory[output.0 as usize][at..at + 4].copy_from_slice(&bytes);
                }
            }
        }
    }

    fn put(&mut self, target: &Target, value: Number, dtype: DType) {
        let subs: Vec<i64> = target.subs.iter().map(|s| self.eval(s).int()).collect();
        let memory = &self.kernel.values[target.value.0 as usize];
        let (to, extents) = (memory.dtype, &memory.extents);
        if subs.iter().zip(extents).any(|(s, e)| *s < 0 || *s >= *e as i64) {
            assert!(target.store, "only stores may be out of range");
            return;
        }
        let at = subs.iter().zip(extents).fold(0, |at, (s, e)| at * *e as i64 + s) as usize;
        let size = to.bytes() as usize;
        let range = at * size..(at + 1) * size;
        let value = match target.combine {
            Reducer::None => value,
            reducer => {
                let there = read(to, &self.memory[target.value.0 as usize][range.clone()]);
                reduce(reducer, dtype, &[(there, 0), (value, 0)])
            }
        };
        let value = convert(value, dtype, to);
        self.memory[target.value.0 as usize][range].copy_from_slice(&write(to, value));
    }

    fn dtype(&self, expr: &Expr) -> DType {
        match expr {
            Expr::Literal(literal) => literal.dtype(),
            Expr::Index(_) | Expr::LoopVar(_) | Expr::Coord(_) => DType::I32,
            Expr::Load(load) => self.kernel.values[load.value.0 as usize].dtype,
            Expr::Unary(UnaryOp::Not | UnaryOp::IsFinite, _) => DType::Bool,
            Expr::Unary(_, a) => self.dtype(a),
            Expr::Binary(op, ..) if op.is_comparison() => DType::Bool,
            Expr::Binary(BinaryOp::And | BinaryOp::Or, ..) => DType::Bool,
            Expr::Binary(BinaryOp::Uniform, ..) => DType::F32,
            Expr::Binary(_, a, _) => self.dtype(a),
            Expr::Select(_, then, _) => self.dtype(then),
            Expr::Cast(dtype, _) => *dtype,
        }
    }

    fn eval(&self, expr: &Expr) -> Number {
        let dtype = self.dtype(expr);
        match expr {
            Expr::Literal(Literal::Float(_, x)) => Float(*x),
            Expr::Literal(Literal::Int(_, x)) => Int(*x),
            Expr::Literal(Literal::Bool(x)) => Bool(*x),
            Expr::Index(i) => Int(self.at[i.0 as usize]),
            Expr::LoopVar(v) => Int(self.ints[v.0 as usize]),
            Expr::Coord(_) => panic!("kernels have no coordinates"),
            Expr::Load(load) => {
                let memory = &self.kernel.values[load.value.0 as usize];
                let mut at = 0;
                for (sub, extent) in load.subs.iter().zip(&memory.extents) {
                    let mut position = self.eval(sub).int();
                    let last = *extent as i64 - 1;
                    match &load.bounds {
                        Bounds::Proven => assert!((0..=last).contains(&position), "{load:?}"),
                        Bounds::Clamp => position = position.clamp(0, last),
                        Bounds::Else(default) => {
                            if !(0..=last).contains(&position) {
                                return self.eval(default);
                            }
                        }
                    }
                    at = at * (last + 1) + position;
                }
                let size = memory.dtype.bytes() as usize;
                let at = at as usize * size;
                read(memory.dtype, &self.memory[load.value.0 as usize][at..at + size])
            }
            Expr::Unary(op, a) => {
                let x = self.eval(a);
                match (op, x) {
                    (UnaryOp::Not, x) => Bool(!x.truth()),
                    (UnaryOp::IsFinite, x) => Bool(x.float().is_finite()),
                    (UnaryOp::Neg, Int(x)) => Int(integer::wrap(dtype, x.wrapping_neg())),
                    (UnaryOp::Abs, Int(x)) => Int(integer::wrap(dtype, x.wrapping_abs())),
                    (_, x) => Float(round(dtype, unary(*op, x.float()))),
                }
            }
            // What stands to the right of a condition may rely on it.
            Expr::Binary(BinaryOp::And, a, _) if !self.eval(a).truth() => Bool(false),
            Expr::Binary(op, a, b) => self.binary(*op, dtype, self.eval(a), self.eval(b)),
            Expr::Select(c, a, b) => match self.eval(c).truth() {
                true => self.eval(a),
                false => self.eval(b),
            },
            Expr::Cast(to, a) => convert(self.eval(a), self.dtype(a), *to),
        }
    }

    fn binary(&self, op: BinaryOp, dtype: DType, x: Number, y: Number) -> Number {
        use BinaryOp::*;
        if let (Int(a), Int(b)) = (x, y) {
            let wrapped = |v| Int(integer::wrap(dtype, v));
            return match op {
                Add => wrapped(a.wrapping_add(b)),
                Sub => wrapped(a.wrapping_sub(b)),
                Mul => wrapped(a.wrapping_mul(b)),
                FloorDiv => wrapped(integer::floor_div(a, b)),
                Rem => wrapped(integer::floor_rem(a, b)),
                Pow => wrapped(integer::pow(a, b)),
                Min => Int(a.min(b)),
                Max => Int(a.max(b)),
                Eq => Bool(a == b),
                Ne => Bool(a != b),
                Lt => Bool(a < b),
                Le => Bool(a <= b),
                Gt => Bool(a > b),
                Ge => Bool(a >= b),
                Fold => Int(rng::fold(a as u64, b) as i64),
                Uniform => Float(f64::from(rng::uniform(a as u64, b))),
                Div | And | Or => panic!("{op:?} of integers"),
            };
        }
        if let (Bool(a), Bool(b)) = (x, y) {
            return Bool(match op {
                And => a && b,
                Or => a || b,
                Eq => a == b,
                Ne => a != b,
                _ => panic!("{op:?} of truth values"),
            });
        }
        let (a, b) = (x.float(), y.float());
        let nan = a.is_nan() || b.is_nan();
        Float(round(
            dtype,
            match op {
                Add => a + b,
                Sub => a - b,
                Mul => a * b,
                Div => a / b,
                Pow => libm::pow(a, b),
                Rem => {
                    let rest = libm::fmod(a, b);
                    if rest != 0.0 && (rest < 0.0) != (b < 0.0) { rest + b } else { rest }
                }
                Min if nan => f64::NAN,
                Max if nan => f64::NAN,
                Min => a.min(b),
                Max => a.max(b),
                Eq => return Bool(a == b),
                Ne => return Bool(a != b),
                Lt => return Bool(a < b),
                Le => return Bool(a <= b),
                Gt => return Bool(a > b),
                Ge => return Bool(a >= b),
                FloorDiv | And | Or | Fold | Uniform => panic!("{op:?} of floats"),
            },
        ))
    }
}

fn unary(op: UnaryOp, x: f64) -> f64 {
    match op {
        UnaryOp::Neg => -x,
        UnaryOp::Abs => x.abs(),
        UnaryOp::Exp => libm::exp(x),
        UnaryOp::Log => libm::log(x),
        UnaryOp::Log1p => libm::log1p(x),
        UnaryOp::Expm1 => libm::expm1(x),
        UnaryOp::Sqrt => x.sqrt(),
        UnaryOp::Rsqrt => 1.0 / x.sqrt(),
        UnaryOp::Sin => libm::sin(x),
        UnaryOp::Cos => libm::cos(x),
        UnaryOp::Tanh => libm::tanh(x),
        UnaryOp::Erf => libm::erf(x),
        UnaryOp::Floor => x.floor(),
        UnaryOp::Ceil => x.ceil(),
        UnaryOp::Round => x.round_ties_even(),
        UnaryOp::Not | UnaryOp::IsFinite => panic!("{op:?} gives no float"),
    }
}

pub fn convert(x: Number, from: DType, to: DType) -> Number {
    if from == to {
        return x;
    }
    match to {
        DType::Bool => Bool(x.truth()),
        DType::I32 => match x {
            Float(x) => Int(i64::from(x as i32)),
            other => Int(i64::from(other.int() as i32)),
        },
        DType::I64 | DType::Key => Int(x.int()),
        // An i64 must not be rounded twice.
        DType::F32 => match x {
            Int(x) => Float(f64::from(x as f32)),
            other => Float(round(to, other.float())),
        },
        _ => Float(round(to, x.float())),
    }
}

fn reduce(reducer: Reducer, dtype: DType, points: &[(Number, i64)]) -> Number {
    let floats = || points.iter().map(|p| p.0.float());
    let ints = || points.iter().map(|p| p.0.int());
    let better = |greater: bool| {
        let mut best: Option<(f64, i64)> = None;
        for (value, position) in points {
            let value = value.float();
            let wins = best.is_none_or(|(b, _)| {
                !b.is_nan() && (value.is_nan() || if greater { value > b } else { value < b })
            });
            if wins {
                best = Some((value, *position));
            }
        }
        best
    };
    match (reducer, dtype) {
        (Reducer::None, _) => {
            points.first().map_or(if dtype.is_float() { Float(0.0) } else { Int(0) }, |p| p.0)
        }
        (Reducer::Any, _) => Bool(points.iter().any(|p| p.0.truth())),
        (Reducer::All, _) => Bool(points.iter().all(|p| p.0.truth())),
        (Reducer::ArgMax, _) => Int(better(true).map_or(0, |b| b.1)),
        (Reducer::ArgMin, _) => Int(better(false).map_or(0, |b| b.1)),
        (Reducer::Sum, d) if d.is_int() => Int(integer::wrap(d, ints().fold(0, i64::wrapping_add))),
        (Reducer::Prod, d) if d.is_int() => {
            Int(ints().fold(1, |a, b| integer::wrap(d, a.wrapping_mul(b))))
        }
        (Reducer::Max, d) if d.is_int() => Int(ints().fold(integer::min_value(d), i64::max)),
        (Reducer::Min, d) if d.is_int() => Int(ints().fold(integer::max_value(d), i64::min)),
        (Reducer::Sum, _) => Float(round(dtype, floats().sum())),
        (Reducer::Prod, _) => Float(round(dtype, floats().product())),
        (Reducer::Max, _) if floats().any(f64::is_nan) => Float(f64::NAN),
        (Reducer::Min, _) if floats().any(f64::is_nan) => Float(f64::NAN),
        (Reducer::Max, _) => Float(floats().fold(f64::NEG_INFINITY, f64::max)),
        (Reducer::Min, _) => Float(floats().fold(f64::INFINITY, f64::min)),
        (Reducer::LogSumExp, _) => {
            let most = floats().fold(f64::NEG_INFINITY, f64::max);
            let shift = if most.is_finite() { most } else { 0.0 };
            let sum: f64 = floats().map(|x| libm::exp(x - shift)).sum();
            Float(round(dtype, shift + libm::log(sum)))
        }
    }
}
